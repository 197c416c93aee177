"""Fixtures that several folders of tests share: configurations in a file, a tuned sweep, and its trials."""

import textwrap

import numpy as np
import pytest
from hypothesis import settings

from hornlib.grid import read_grid
from hornlib.results.tuning_file import TrialRecord, write_trials

# The same examples at every call, and no limit of time: a slow machine is no wrong answer.
settings.register_profile("hornlib", derandomize=True, deadline=None)
settings.load_profile("hornlib")

TUNED_SWEEP = """
seeds: 3
statistics: {baseline: cnn}
defaults:
  data: {name: digits}
  training: {steps: 20, batch_size: 64, learning_rate: 3e-3}
sweeps:
  tuned:
    model:
      - {name: horn_cnn, arm: horn, num_nodes: 4, timesteps: 4, num_cycles: {tune: {low: 0.3, high: 0.6, scale: log}}}
      - {name: cnn, channels: 4-8, match: {to: horn, by: parameters}}
    training: {learning_rate: {tune: {low: 1e-3, high: 1e-1, scale: log}}}
    tuning: {trials: 4, seeds: 2}
"""


@pytest.fixture
def config_file(tmp_path):
    """Write a configuration and return its path."""

    def write(text, name="config.yaml"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write


@pytest.fixture
def grid_from(config_file):
    """Return the grid of a configuration given as text."""
    return lambda text: read_grid([config_file(text)])


@pytest.fixture
def tuned_grid(tmp_path):
    """Read the configuration with some of its text replaced."""

    def read(*replacements):
        text = TUNED_SWEEP
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "config.yaml"
        path.write_text(f"results: {tmp_path / 'results'}\n{text}")
        return read_grid([path])

    return read


@pytest.fixture
def write_arm():
    """Write trials with given validation metrics, (trial, seed, step), and diverged steps; the rest is made up.

    Of a second stage, `trials` are the finalists.
    """

    def write(path, stage, metric, diverged=None, trials=None):
        arm = getattr(stage, "arm", stage)
        trials = range(arm.trials) if trials is None else trials
        steps = np.array(arm.cell.training.evaluation_steps(arm.cell.data.num_train))
        metric = np.asarray(metric, float)
        shape = (len(trials), stage.seeds, len(steps))
        assert metric.shape == shape
        curves = {
            name: np.broadcast_to(steps * 10.0, shape).copy()
            for name in (
                "training_loss",
                "training_total_loss",
                "validation_loss",
                "test_loss",
                "test_metric",
                "training_flops",
                "num_parameters",
                "seconds",
            )
        }
        curves["validation_metric"] = metric
        at = np.full(shape[:2], np.nan) if diverged is None else np.asarray(diverged, float)
        rates = {key: [found.at(k / arm.trials) for k in trials] for key, found in arm.ranges.items()}
        write_trials(path, stage, TrialRecord(trials, rates, steps, curves, at, {"device": "cpu"}))

    return write
