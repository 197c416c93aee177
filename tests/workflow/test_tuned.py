"""A tuned sweep through the workflow: trials, choices, fresh runs, results.nc; and what makes it train anew."""

import contextlib
import json
import os
import signal
import subprocess
import time

import pytest
import xarray as xr

from hornlib.grid import read_grid

pytestmark = pytest.mark.slow

CONFIG = """
seeds: 2
per_job: 2
statistics: {baseline: cnn}
defaults:
  data: {name: digits, train_subset: 128}
  training: {steps: 8, batch_size: 32}
sweeps:
  tuned:
    model:
      - {name: mlp, hidden_nodes: 8}
      - {name: cnn, channels: 2-4}
    training: {learning_rate: {tune: {low: 1e-3, high: 1e-1, scale: log}}}
    tuning: {trials: 2, seeds: 2}
"""


def test_a_tuned_sweep_selects_trains_and_gathers_and_a_touched_trial_retrains_nothing(project):
    project.configure(CONFIG)
    done = project.snakemake("results/results.nc")
    assert done.returncode == 0, done.stderr
    results = project.folder / "results"
    with xr.open_dataset(results / "results.nc") as file:
        ds = file.load()
    assert ds.sizes["cell"] == 6 and ds.sizes["trial"] == 2
    wanted = ds["selected_for"].values.tolist()
    assert sorted(set(wanted)) == ["", "final_metric", "time_to_target"]
    for name, rate, objective in zip(ds["cell"].values, ds["learning_rate"].values, wanted, strict=True):
        expected = 1e-3
        if objective:
            choice = json.loads((results / "selected" / f"{name}.json").read_text())
            expected = choice["selection"]["chosen"]["training.learning_rate"]
        assert rate == expected
    assert (ds["status"] == "complete").all()
    assert ds["tuning_samples"].notnull().sum() == 4

    runs = project.runs()
    for path in (results / "tuning").iterdir():
        path.touch()
    again = project.snakemake("results/results.nc")
    assert again.returncode == 0, again.stderr
    assert project.runs() == runs


def stopped_inside_the_finalists(project, targets):
    """Kill the sweep as soon as a job of the second stage has saved a checkpoint."""
    sweep = subprocess.Popen(
        project.command("--cores", "2", *targets),
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 280
        while time.monotonic() < deadline and sweep.poll() is None:
            if list((project.folder / "results").glob("checkpoints/*.finalists.checkpoint")):
                return True
            time.sleep(0.02)
        return False
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(sweep.pid, signal.SIGKILL)
        sweep.wait()


def test_a_sweep_with_finalists_that_is_killed_goes_on_and_chooses_among_them(project):
    project.configure(
        CONFIG.replace("trials: 2, seeds: 2", "trials: 3, seeds: 1, finalists: {trials: 2, seeds: 2}")
        .replace("per_job: 2", "per_job: 2\ncheckpoint_minutes: 0.001")
        .replace("steps: 8", "steps: 200")
    )
    grid = read_grid([project.folder / "config.yaml"])
    timed = next(job for job in grid.jobs({}) if grid.cells[job.cell].selected_for == "time_to_target")
    choices = [str(grid.selection_path(name)) for name, cell in grid.cells.items() if cell.tuned]
    targets = [str(grid.run_path(timed)), *choices]
    assert stopped_inside_the_finalists(project, targets)
    results = project.folder / "results"
    assert not list((results / "selected").glob("*.json"))
    first_stage = {path: path.stat().st_mtime_ns for path in (results / "tuning").glob("*[0-9a-f].nc")}
    done = project.snakemake(*targets)
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in first_stage} == first_stage
    assert not list((results / "checkpoints").iterdir())
    assert len(list((results / "tuning").glob("*.finalists.nc"))) == 2
    for path in choices:
        choice = json.loads((project.folder / path).read_text())
        assert choice["selection"]["trial"] in choice["finalists"] and len(choice["finalists"]) == 2
        assert len(choice["scores"]) == 3
