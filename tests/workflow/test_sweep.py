"""The two-cell sweep through Snakemake, end to end, and what people do to it."""

import json
import os
import re
import signal
import subprocess
import time

import numpy as np
import pytest
import xarray as xr

from hornlib.lease import acquire
from hornlib.statistics.write import open_statistics

RESULTS = "results/results.nc"  # as a target: what comes after it is not asked for, and not waited for

VOLATILE = {"seconds", "job_seconds", "final_seconds", "step_time", "step_time_bound", "peak_memory"}


def test_the_sweep_leaves_results_and_figures(finished):
    with xr.open_dataset(finished.folder / "results/results.nc") as results:
        assert dict(results.sizes)["cell"] == 2 and dict(results.sizes)["seed"] == 2
        assert (results["status"] == "complete").all()
        assert np.isfinite(results["final_test_metric"]).all()
    figures = {file.name for file in (finished.folder / "results/figures/report").iterdir()}
    assert figures >= {
        f"two-cells-digits-curves-{axis}.{kind}"
        for axis in ("step", "samples", "training-flops", "seconds")
        for kind in ("svg", "png")
    }
    pictures = [file.name for file in (finished.folder / "results/figures").rglob("*.svg")]
    assert len(pictures) == len(set(pictures))
    page = (finished.folder / "results/report.html").read_text()
    assert "two_cells" in page and "Not enough data" in page
    assert (
        open_statistics(finished.folder / "results/statistics.nc", "two_cells").attrs["subject"] == "horn_cnn"
    )


def test_a_second_call_has_nothing_to_do(finished):
    before = finished.runs()
    again = finished.snakemake()
    assert again.returncode == 0 and "Nothing to be done" in again.stderr
    assert finished.runs() == before


def test_the_sweep_is_a_target_and_rules_are_listed(finished):
    target = finished.snakemake("two_cells", "-n")
    assert target.returncode == 0 and "Nothing to be done" in target.stderr + target.stdout
    listed = finished.snakemake("--list-rules")
    assert listed.returncode == 0
    for rule in ("all", "data", "tune", "select", "train", "calibrate", "gather", "statistics", "report"):
        assert re.search(rf"^\s*{rule}\b", listed.stdout + listed.stderr, re.M), listed.stdout


def test_snakemakes_own_report_works(finished):
    report = finished.snakemake("--report", "report.html")
    assert report.returncode == 0, report.stderr
    assert (finished.folder / "report.html").stat().st_size > 10_000


def test_one_more_seed_and_one_deleted_run_train_just_that(copied):
    first = copied.runs()
    copied.configure(copied.configuration.replace("seeds: 2\n", "seeds: 3\n"))
    assert copied.snakemake("two_cells").returncode == 0
    more = copied.runs()
    assert {name: more[name] for name in first} == first
    assert sorted(name.partition(".")[2] for name in set(more) - set(first)) == ["seeds-2-2.nc"] * 2
    victim = sorted(more)[0]
    (copied.folder / "results/runs" / victim).unlink()
    assert copied.snakemake("two_cells", RESULTS).returncode == 0
    last = copied.runs()
    assert set(last) == set(more)
    assert {name for name in last if last[name] != more[name]} == {victim}
    with xr.open_dataset(copied.folder / "results/results.nc") as results:
        assert results.sizes["seed"] == 3 and (results["status"] == "complete").all()


def test_one_run_file_is_a_target_that_trains_only_itself(project):
    paths = project.hornlib("plan", "--paths").stdout.split()
    assert len(paths) == 2
    assert project.snakemake(paths[0]).returncode == 0
    assert list(project.runs()) == [paths[0].rpartition("/")[2]]


def test_a_failing_cell_leaves_the_others_running_and_is_named(project):
    paths = project.hornlib("plan", "--paths").stdout.split()
    blocked, other = (project.folder / path for path in paths)
    blocked.parent.mkdir(parents=True)
    # a damaged checkpoint that cannot be set aside makes just this job fail
    checkpoint = project.folder / "results/checkpoints" / f"{blocked.stem}.checkpoint"
    checkpoint.mkdir(parents=True)
    (checkpoint.with_name(f"{checkpoint.name}.damaged") / "in the way").mkdir(parents=True)
    failed = project.snakemake("two_cells")
    assert failed.returncode != 0
    assert other.exists() and not blocked.exists()
    message = failed.stderr
    assert "hornlib train" in message and f"logs/train/{blocked.stem}.log" in message
    assert "Traceback" not in message
    with xr.open_dataset(project.folder / "results/partial.nc") as partial:
        assert sorted(set(partial["status"].values.ravel())) == ["complete", "missing"]
    assert not (project.folder / "results/results.nc").exists()
    checkpoint.rmdir()
    assert project.snakemake("two_cells").returncode == 0
    assert blocked.exists()


@pytest.mark.slow
def test_config_values_never_reach_a_shell(project):
    config = (project.folder / "config.yaml").read_text()
    nasty = "results `touch pwned`; touch pwned & (touch pwned) | #!~[a]"
    project.configure(config.replace("results: results\n", f"results: {json.dumps(nasty)}\n"))
    result = project.snakemake()
    assert result.returncode == 0, result.stderr
    assert (project.folder / nasty / "results.nc").exists()
    assert not list(project.folder.rglob("pwned"))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: cnn,", "name: cnm,", r"sweeps\.two_cells\.model\[1\]\.name: unknown model 'cnm'.*'cnn'"),
        ("timesteps: 4", "timestep: 4", r"config\.yaml:\d+.*timestep.*'timesteps'"),
        ("seeds: 2", "seeds: 2\nseeds: 3", r"config\.yaml:\d+:\d+.*duplicate key"),
        ("steps: 12,", "steps: 12, epochs: true,", r"epochs: got true"),
        ("sweeps:", "sweeps: [", r"config\.yaml:\d+:\d+"),
    ],
)
def test_a_mistake_in_the_config_is_told_before_any_training(project, old, new, said):
    project.configure((project.folder / "config.yaml").read_text().replace(old, new, 1))
    result = project.snakemake()
    assert result.returncode != 0
    assert re.search(said, result.stderr, re.S), result.stderr
    assert "Traceback" not in result.stderr
    assert not (project.folder / "results").exists()


def test_a_run_file_of_no_cell_is_refused_without_a_traceback(project):
    result = project.snakemake("results/runs/digits-cnn-000000000000.seeds-0-1.nc")
    assert result.returncode != 0 and "Traceback" not in result.stderr
    assert "digits-cnn-000000000000" in result.stderr


def test_a_living_rival_in_the_same_results_folder_is_refused_by_its_name(project):
    (project.folder / "results").mkdir()
    with acquire(project.folder / "results"):
        result = project.snakemake()
    assert result.returncode != 0 and f"process {os.getpid()} on" in result.stderr
    assert "Traceback" not in result.stderr and not project.runs()


def test_a_sweep_holds_its_results_folder_until_it_ends(project):
    first = subprocess.Popen(
        project.command("--cores", "1"),
        cwd=project.folder,
        env=project.environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        logs = project.folder / "results/logs"
        deadline = time.monotonic() + 120
        while not logs.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        second = project.snakemake()
        assert second.returncode != 0 and f"process {first.pid} on" in second.stderr, second.stderr
    finally:
        first.terminate()
        first.wait(60)


def test_config_on_the_command_line_is_refused(project):
    result = project.snakemake("--config", "seeds=3")
    assert result.returncode != 0 and "HORNLIB_CONFIG=FILE" in result.stderr


@pytest.mark.slow
def test_after_kill_9_of_everything_the_same_command_ends_bit_identical(project, finished):
    config = (project.folder / "config.yaml").read_text().replace("steps: 12", "steps: 400")
    project.configure(config.replace("lanes: 2", "lanes: 2\ncheckpoint_minutes: 0.005"))
    undisturbed = project.folder / "undisturbed"
    undisturbed.mkdir()
    (undisturbed / "config.yaml").write_text((project.folder / "config.yaml").read_text())
    other = type(project)(undisturbed)
    other.configure((project.folder / "config.yaml").read_text())
    assert other.snakemake().returncode == 0
    checkpoints = project.folder / "results/checkpoints"
    resumed = 0
    for kill in range(3):
        started = subprocess.Popen(
            project.command("--cores", "2"),
            cwd=project.folder,
            env=project.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        seen = {file: file.stat().st_mtime_ns for file in checkpoints.glob("*.checkpoint")}
        while time.monotonic() < deadline and started.poll() is None:
            now = {file: file.stat().st_mtime_ns for file in checkpoints.glob("*.checkpoint")}
            if sum(now[file] != seen.get(file) for file in now) > (kill == 0):  # both jobs, then any
                break
            time.sleep(0.01)
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
            resumed += bool(list(checkpoints.glob("*.checkpoint")))
        started.wait()
    assert resumed, "no kill hit a job in training"
    again = project.snakemake()
    assert again.returncode == 0, again.stderr
    with (
        xr.open_dataset(project.folder / "results/results.nc") as resumed,
        xr.open_dataset(undisturbed / "results/results.nc") as expected,
    ):
        for name in set(expected.variables) - VOLATILE:
            xr.testing.assert_identical(resumed[name].drop_attrs(), expected[name].drop_attrs())
