"""Fixtures that several folders of tests share, and how tests are run: side by side, and without torch."""

import importlib.util
import signal
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from hornlib.grid import read_grid
from hornlib.results.tuning_file import TrialRecord, write_trials

# The same examples at every call, and no limit of time: a slow machine is no wrong answer.
settings.register_profile("hornlib", derandomize=True, deadline=None)
settings.load_profile("hornlib")

# Tests import scripts by their names. Some have the name of an installed package, so that they stand last. Where a page
# of findings and a benchmark have the same name, the page's script is meant.
sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("docs/findings", "benchmarks")]

HAS_TORCH = importlib.util.find_spec("torch") is not None

NEEDS_TORCH = (
    "benchmarks",
    "calibration",
    "cluster",
    "data",
    "dynamics",
    "evolution",
    "findings",
    "importance",
    "kernels",
    "mechanism",
    "models",
    "stability",
    "structures",
    "training",
    "tuning",
    "workflow",
)
"""Folders that are left out where torch is not installed (`make test-lowest`): nearly all of their tests need it."""

TOGETHER = ("cluster/end_to_end", "workflow")
"""Folders whose tests one process of pytest-xdist runs, because they share a SLURM, or a sweep that was run once."""


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what needs torch where there is none."""
    folder = collection_path.relative_to(Path(__file__).parent).as_posix()
    return True if not HAS_TORCH and folder in NEEDS_TORCH else None


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    """Skip a file of tests whose imports need torch where there is none."""
    report = yield
    if not HAS_TORCH and report.failed and "No module named 'torch'" in str(report.longrepr):
        report.outcome = "skipped"
        report.longrepr = (report.nodeid, None, "Skipped: these tests import torch")
    return report


def _unit(nodeid: str) -> str:
    """Return the file of a test, or its folder where that is one of TOGETHER."""
    file = nodeid.partition("::")[0]
    return next((folder for folder in TOGETHER if file.startswith(f"tests/{folder}/")), file)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folders that one process runs, so that the others need not wait for it at the end."""
    items.sort(key=lambda item: _unit(item.nodeid) not in TOGETHER)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give every process whole files, whose fixtures are then made once."""
    from xdist.scheduler import LoadScopeScheduling

    class ByUnit(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _unit(nodeid)

    config.option.loadscopereorder = False
    return ByUnit(config, log)


def _skip_without_torch() -> Iterator[None]:
    """Skip a test that turns out to need torch where there is none."""
    try:
        return (yield)
    except ModuleNotFoundError as error:
        if HAS_TORCH or error.name != "torch":
            raise
        pytest.skip("this test needs torch")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Iterator[None]:
    """Make fixtures; those that need torch skip their test where there is none."""
    return (yield from _skip_without_torch())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Run the test; one that needs torch is skipped where there is none."""
    return (yield from _skip_without_torch())


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    """Compute with one thread: results depend on their number, and several processes test at the same time."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def default_signals() -> None:
    """Heed the signals that a shell lets its background jobs ignore: the programs that tests start inherit that."""
    for number, default in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
        (signal.SIGQUIT, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, default)


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

    def write(path, stage, metric, diverged=None, trials=None, **attributes):
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
        write_trials(
            path, stage, TrialRecord(trials, rates, steps, curves, at, {"device": "cpu", **attributes})
        )

    return write
