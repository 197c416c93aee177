"""A real SLURM for the tests: the one that SLURM_CONF names, else a test bed of their own."""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TESTBED = Path(__file__).resolve().parents[2] / "cluster/testbed/testbed"
SYSTEM_PROGRAMS = "/usr/sbin:/sbin"
PROGRAMS = ("slurmctld", "slurmd", "munged", "slurmdbd", "mariadbd")


class Slurm:
    """A SLURM that answers.

    Attributes:
        env: environment variables for whatever is to use it.
        folder: the test bed's folder, None for a SLURM that is no test bed.
    """

    def __init__(self, conf: str, folder: Path | None, **options: str) -> None:
        # Tests may themselves run inside a job; sbatch and srun would take its SLURM_* for their own options.
        foreign = ("SLURM_", "SBATCH_", "SRUN_", "SQUEUE_", "SACCT_", "SCANCEL_", "HORNLIB_TESTBED")
        variables = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        path = f"{Path(sys.executable).parent}:{variables.get('PATH', os.defpath)}:{SYSTEM_PROGRAMS}"
        self.env = {**variables, **options, "PATH": path, "SLURM_CONF": conf}
        self.folder = folder

    def run(self, command: list[str], **options) -> subprocess.CompletedProcess[str]:
        """Run a command that sees this SLURM; keywords are subprocess.run's."""
        defaults = {"env": self.env, "text": True, "capture_output": True, "timeout": 120}
        return subprocess.run(command, **{**defaults, **options})

    def output(self, *command: str) -> str:
        """What a command that must succeed prints."""
        done = self.run(list(command))
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def submit(self, script: str, *options: str) -> str:
        """Number of a new batch job that runs this bash script."""
        command = ["sbatch", "--parsable", "--output=/dev/null", *options]
        done = self.run(command, input=f"#!/bin/bash\n{script}\n")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def state(self, job: str) -> str:
        """State in the controller's eyes, e.g. RUNNING; it remembers jobs for five minutes."""
        return self.output("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T")

    def answers(self) -> bool:
        try:
            return self.run(["sinfo"], timeout=20).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False

    def testbed(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Call the test bed's command for this bed, e.g. `testbed("kill", "slurmd:n1", "--with-jobs")`."""
        assert self.folder is not None, "this SLURM is no test bed: its daemons are not ours to touch"
        done = self.run([str(TESTBED), *words])
        assert done.returncode == 0, f"testbed {' '.join(words)}: {done.stdout}{done.stderr}"
        return done


@contextlib.contextmanager
def running_bed(folder: Path, **options: str) -> Iterator[Slurm]:
    """A test bed in this folder, on ports nobody uses, for as long as the context lasts."""
    options = {"HORNLIB_TESTBED": str(folder), "HORNLIB_TESTBED_PORT": str(free_ports()), **options}
    bed = Slurm(str(folder / "etc/slurm.conf"), folder, **options)
    try:
        bed.testbed("up")
        yield bed
    finally:
        bed.testbed("down")


def free_ports() -> int:
    """First of 15 TCP ports that are free, below those the system hands out itself."""
    while True:
        first = random.randrange(20000, 32000, 20)
        with socket.socket() as probe:
            if all(probe.connect_ex(("127.0.0.1", first + offset)) for offset in (0, 1, 11, 12, 13, 14)):
                return first


def machine_has_slurm() -> bool:
    path = f"{os.environ.get('PATH', os.defpath)}:{SYSTEM_PROGRAMS}"
    return all(shutil.which(program, path=path) for program in PROGRAMS)


def require_slurm() -> None:
    """Skip, or fail where a SLURM was promised, when this machine has none."""
    if not machine_has_slurm() and not os.environ.get("HORNLIB_REQUIRE_SLURM"):
        pytest.skip(
            "no SLURM on this machine: `make testbed` installs one (root), or set SLURM_CONF to a cluster's"
        )


@pytest.fixture(scope="session")
def slurm(tmp_path_factory) -> Iterator[Slurm]:
    """A SLURM shared by all tests: leave its daemons alone."""
    if conf := os.environ.get("SLURM_CONF"):
        folder = Path(conf).parents[1]
        ours = (folder / "etc/testbed.json").exists()
        given = Slurm(conf, folder, HORNLIB_TESTBED=str(folder)) if ours else Slurm(conf, None)
        if given.answers():
            yield given
            return
    require_slurm()
    with running_bed(tmp_path_factory.mktemp("bed")) as bed:
        yield bed


@pytest.fixture(scope="module")
def own_bed(tmp_path_factory) -> Iterator[Slurm]:
    """A test bed for one module alone, whose daemons may be killed."""
    require_slurm()
    with running_bed(tmp_path_factory.mktemp("own_bed")) as bed:
        yield bed


@pytest.fixture
def new_bed(tmp_path_factory) -> Iterator[Callable[..., Slurm]]:
    """Start further test beds; keywords are the HORNLIB_TESTBED_... variables."""
    require_slurm()
    with contextlib.ExitStack() as beds:
        yield lambda **options: beds.enter_context(running_bed(tmp_path_factory.mktemp("bed"), **options))
