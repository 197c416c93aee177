"""Damaged files: every command that reads one ends with a message that names the file and what to do."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from hornlib import cli
from hornlib.errors import HornlibError
from hornlib.grid import read_grid
from hornlib.results.analysis_files import EXPERIMENT_FILE, STABILITY_FILE, STATISTICS_FILE
from hornlib.results.calibration_file import Calibration, write_calibration
from hornlib.results.gather import gather
from hornlib.results.netcdf import write_dataset, write_groups
from hornlib.results.run_file import RunRecord, write_run_file
from hornlib.results.variables import CURVES

CONFIG = """
seeds: 2
statistics: {baseline: cnn}
defaults: {data: {name: digits}, training: {steps: 20}}
sweeps:
  one:
    model: [{name: horn_cnn, num_nodes: 4, timesteps: 2}, {name: cnn, channels: 4-8}]
  tuned:
    model:
      - {name: horn_cnn, num_nodes: 4, timesteps: 4}
      - {name: cnn, channels: 4-8}
    training: {learning_rate: {tune: {low: 1e-3, high: 1e-1, scale: log}}}
    tuning: {trials: 4, seeds: 2, finalists: {trials: 2, seeds: 2}}
"""

ONE = CONFIG[: CONFIG.index("  tuned:")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a finished sweep: its configuration, and one file of every kind."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "config.yaml").write_text(f"results: {folder / 'results'}\n{ONE}")
    grid = read_grid([folder / "config.yaml"])
    for job in grid.jobs({}):
        cell = grid.cells[job.cell]
        steps = np.array(cell.training.evaluation_steps(cell.data.num_train))
        curves = {
            name: np.random.default_rng(0).random((2, len(steps)))
            for name, curve in CURVES.items()
            if not curve.optional
        }
        record = RunRecord([0, 1], steps, curves, ["complete"] * 2, np.full(2, np.nan), np.ones(2), {})
        write_run_file(grid.run_path(job), cell, record)
    results = folder / "results"
    ds = xr.Dataset({"x": ("n", np.arange(100.0))})
    write_calibration(results / "calibration/cpu.nc", Calibration("cpu", {}))
    gather(grid)
    write_groups(
        results / "statistics.nc", STATISTICS_FILE, {"sweeps": ["one"], "made_from": ""}, [("one", ds)]
    )
    write_groups(results / "stability.nc", STABILITY_FILE, {}, [("cells", ds)])
    write_dataset(results / "mechanism/scale.nc", EXPERIMENT_FILE, ds)
    return folder


@pytest.fixture
def folder(finished, tmp_path, monkeypatch):
    """A copy of the folder, which is the current one."""
    shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    Path("config.yaml").write_text(ONE)
    return Path()


def flip(path):
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 8
    path.write_bytes(content)
    return path


def error_of(monkeypatch, capsys, *words):
    """Return what a command that must fail prints as its error."""
    monkeypatch.setattr(sys, "argv", ["hornlib", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 1
    return capsys.readouterr().err


RESULTS_READERS = {
    "statistics": ["statistics"],
    "stability": ["stability"],
    "report": ["report"],
    "figures": ["figures", "--results", "results/results.nc", "--sweep", "one", "--folder", "figures"],
    "mechanism": ["mechanism", "scale", "--sweep", "one"],
}


@pytest.mark.parametrize("words", RESULTS_READERS.values(), ids=RESULTS_READERS)
def test_every_reader_of_damaged_results_names_them_and_blames_no_disk(folder, monkeypatch, capsys, words):
    if words != ["report"]:
        Path("results/statistics.nc").unlink()
    flip(Path("results/results.nc"))
    error = error_of(monkeypatch, capsys, *words)
    assert "results/results.nc: damaged: " in error and "`hornlib gather` writes it anew" in error
    assert "disk" not in error


@pytest.mark.parametrize(
    ("file", "remedy"),
    [
        ("statistics.nc", "`hornlib statistics` writes it anew"),
        ("stability.nc", "`hornlib stability` writes it anew"),
        ("mechanism/scale.nc", "`hornlib mechanism` writes it anew"),
    ],
)
def test_the_report_names_a_damaged_file_and_what_makes_it_anew(folder, monkeypatch, capsys, file, remedy):
    flip(Path("results", file))
    error = error_of(monkeypatch, capsys, "report")
    assert f"results/{file}: damaged: " in error and remedy in error


@pytest.mark.parametrize("kind", ["runs", "calibration"])
def test_gather_names_a_damaged_file_and_keeps_the_results(folder, monkeypatch, capsys, kind):
    path = flip(next(Path("results", kind).glob("*.nc")))
    before = Path("results/results.nc").read_bytes()
    error = error_of(monkeypatch, capsys, "gather")
    assert f"{path}: damaged: " in error and "Delete it and " in error and "disk" not in error
    assert Path("results/results.nc").read_bytes() == before


def test_a_damaged_tuning_file_is_named_by_the_commands_that_choose_from_it(folder, monkeypatch, capsys):
    Path("config.yaml").write_text(CONFIG)
    grid = read_grid(["config.yaml"])
    cell = next(cell for cell in grid.cells.values() if cell.tuned is not None)
    stage = grid.finalist_stages[cell.tuned.finalists]
    trials = Path(f"{stage.arm.name}.nc")
    trials.write_bytes(Path("results/results.nc").read_bytes()[:-1] + b" ")
    options = ["--trials", trials]
    options += ["--baseline", trials] if stage.baseline else []
    finalists = ["finalists", f"{stage.name}.nc", "--stage", json.dumps(stage.document()), *options]
    select = ["select", f"{cell.name}.json", "--cell", json.dumps(cell.job_specification()), *options]
    select += ["--finalists", trials, *(["--baseline-finalists", trials] if stage.baseline else [])]
    for words in (finalists, select):
        error = error_of(monkeypatch, capsys, *words)
        assert f"{trials}: damaged" in error and "Delete it and give the same command again" in error


def test_calibrate_names_a_damaged_calibration(folder):
    pytest.importorskip("torch")
    from hornlib.calibration.calibrate import calibrate, device_name
    from hornlib.results.calibration_file import calibration_path
    from hornlib.training.devices import resolve_device

    grid = read_grid(["config.yaml"])
    path = calibration_path(
        "results", device_name(resolve_device("auto"), grid.settings.threads, grid.settings.kernel)
    )
    write_calibration(path, Calibration("cpu", {}))
    flip(path)
    with pytest.raises(HornlibError, match=r"\.nc: damaged: .*Delete it and run `hornlib calibrate`"):
        calibrate(grid)
