"""Intervals of secondary quantities cover the truth as often as they promise, at five and at ten runs."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "coverage.py"
SIMULATIONS = 2000


@pytest.fixture(scope="module")
def coverage():
    """The benchmark as a module; its name alone would import the package `coverage`."""
    spec = importlib.util.spec_from_file_location("coverage_of_intervals", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow  # two minutes: thousands of simulated sweeps, each with its bootstrap
def test_every_interval_covers_at_least_93_percent_at_five_and_ten_runs(coverage):
    rows = list(coverage.table(SIMULATIONS))
    assert len(rows) > 30
    for row in rows:
        number = SIMULATIONS / 10 if row.estimator.startswith(("interquartile", "effects")) else SIMULATIONS
        error = np.sqrt(0.93 * 0.07 / number)
        if row.promised:
            assert min(row.coverage) >= coverage.PROMISED - 3 * error, row
