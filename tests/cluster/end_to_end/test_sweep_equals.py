"""The same sweep on the cluster and at home gives the same numbers; so does a trainer that is interrupted."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

from tests.cluster.end_to_end.conftest import REPOSITORY
from tests.cluster.end_to_end.sweep import assert_same_numbers


class Project:
    """A folder with a config.yaml, on which the repository's Snakefile is run."""

    def __init__(self, folder: Path, slurm, config: str) -> None:
        self.folder, self.slurm = folder, slurm
        folder.mkdir()
        (folder / "config.yaml").write_text(config)
        self.environment = {**slurm.env, "OMP_NUM_THREADS": "1"}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), *words]

    @property
    def profile(self) -> list[str]:
        return ["--profile", str(REPOSITORY / "cluster/slurm"), "--submitit-poll-max", "2"]

    def run(self, *words: str) -> None:
        done = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment,
            text=True,
            capture_output=True,
            timeout=400,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def runs(self) -> dict[str, Path]:
        return {file.name: file for file in (self.folder / "results/runs").glob("*.nc")}


@pytest.fixture(scope="module")
def two_cells(tmp_path_factory, slurm):
    """The two-cell sweep at home and through the profile."""
    folder = tmp_path_factory.mktemp("two_cells")
    config = (REPOSITORY / "config/two_cells.yaml").read_text()
    home, cluster = Project(folder / "home", slurm, config), Project(folder / "cluster", slurm, config)
    home.run("--cores", "2")
    cluster.run(*cluster.profile)
    return home, cluster


def test_the_two_cell_sweep_is_the_same_at_home_and_on_the_cluster(two_cells):
    home, cluster = two_cells
    assert sorted(home.runs()) == sorted(cluster.runs())
    for name, file in home.runs().items():
        assert_same_numbers(file, cluster.runs()[name])
    assert_same_numbers(home.folder / "results/results.nc", cluster.folder / "results/results.nc")
    assert sorted(file.name for file in (home.folder / "results/figures").iterdir()) == sorted(
        file.name for file in (cluster.folder / "results/figures").iterdir()
    )


def test_a_run_on_the_cluster_names_the_commit_though_it_ran_from_a_snapshot(two_cells):
    home, cluster = two_cells
    log = next((cluster.folder / ".snakemake/submitit/snapshots").glob("hornlib-*.zip"))
    assert log.stat().st_size > 50_000
    for name, file in cluster.runs().items():
        with xr.open_dataset(file) as run, xr.open_dataset(home.runs()[name]) as other:
            assert run.attrs["hornlib_commit"] == other.attrs["hornlib_commit"]


def test_a_finished_sweep_has_nothing_to_do_on_the_cluster(two_cells):
    _, cluster = two_cells
    done = subprocess.run(
        cluster.command(*cluster.profile),
        cwd=cluster.folder,
        env=cluster.environment,
        text=True,
        capture_output=True,
    )
    assert "Nothing to be done" in done.stderr


LONGER = """
results: results
seeds: 2
per_job: 2
lanes: 2
sweeps:
  longer:
    data: {name: digits}
    model:
      - {name: horn_cnn, num_nodes: 8, timesteps: 8}
    training: {steps: 400, batch_size: 64, learning_rate: 1e-2}
"""


@pytest.mark.slow
def test_a_training_job_interrupted_three_times_is_the_undisturbed_one_bit_for_bit(tmp_path, slurm, until):
    home, cluster = (Project(tmp_path / name, slurm, LONGER) for name in ("home", "cluster"))
    home.run("--cores", "1")
    with (tmp_path / "head.log").open("w") as log:
        head = subprocess.Popen(
            cluster.command(*cluster.profile),
            cwd=cluster.folder,
            env=cluster.environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        train_log = (
            cluster.folder / "results/logs/train" / f"{next(iter(home.runs())).removesuffix('.nc')}.log"
        )

        def text() -> str:
            return train_log.read_text() if train_log.exists() else ""

        for count, step in enumerate(("step 10/", "step 22/", "step 46/"), start=1):
            until(lambda step=step: step in text(), 120, what=step)
            array = re.search(r"as array (\d+)", (tmp_path / "head.log").read_text())[1]
            slurm.output("scancel", "--signal=USR2", f"{array}_0")
            until(lambda count=count: text().count("stopped by") == count, 60, what="the checkpoint")
        assert head.wait(240) == 0, (tmp_path / "head.log").read_text()
    finally:
        if head.poll() is None:
            os.killpg(head.pid, signal.SIGTERM)
            head.wait(60)
    for name, file in home.runs().items():
        assert_same_numbers(file, cluster.runs()[name])
