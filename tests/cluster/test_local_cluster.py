"""Jobs as processes of this machine, and in this very process: real ones, through submitit and the dispatcher."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from snakemake_executor_plugin_submitit.batches import JobRecord, read_batches
from snakemake_executor_plugin_submitit.clusters import LocalCluster, install_runner, make_cluster
from snakemake_executor_plugin_submitit.dispatcher import Dispatcher
from snakemake_executor_plugin_submitit.parameters import sbatch_parameters
from snakemake_executor_plugin_submitit.requests import Policy, Request
from snakemake_executor_plugin_submitit.slurm import Slurm

SAVES = "trap 'touch saved; exit 75' TERM USR2; touch ready; while :; do sleep 0.05; done"


async def nothing():
    pass


class Sweep:
    """A head on a folder: wants jobs, and gives the dispatcher its turns."""

    def __init__(self, folder: Path, kind: str = "local", setup=(), jobs_per_task=1) -> None:
        self.folder = folder
        header = {"shell": "/bin/bash", "directory": str(folder), "umask": 0o022}
        policy = Policy(jobs_per_task=jobs_per_task, poll_min=0.05, poll_max=0.1, vanished_after=0.5)
        self.cluster = make_cluster(kind, install_runner(folder), list(setup), 0, Slurm())
        self.dispatcher = Dispatcher(
            folder, self.cluster, policy, header, lambda said, _: said, logging.getLogger("test")
        )
        self.ends: dict[str, str] = {}

    def want(self, *commands, anew=False, **resources):
        for number, command in enumerate(commands):
            record = JobRecord((f"out{number}",), f"job {number}", (), command, {})
            request = Request(record, sbatch_parameters(resources, 1), nothing, not anew, record.name)
            self.dispatcher.add([request])

    def turn(self):
        for event in asyncio.run(self.dispatcher.turn()):
            if event.kind != "submitted":
                self.ends[event.request.handle] = event.kind
        time.sleep(0.02)

    def run(self, seconds=20):
        """Take turns until nothing is left; return the ends in the jobs' order."""
        deadline = time.monotonic() + seconds
        while self.dispatcher.wanted or self.dispatcher.active:
            assert time.monotonic() < deadline, "the jobs did not end"
            self.turn()
        return [self.ends[name] for name in sorted(self.ends)]

    def turn_until(self, *names, seconds=20):
        deadline = time.monotonic() + seconds
        while not all((self.folder / name).exists() for name in names):
            assert time.monotonic() < deadline, f"{names} did not appear"
            self.turn()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project's folder with the head in it; processes of its jobs are ended afterwards."""
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SUBMITIT_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWEEP_OF_THIS_TEST", str(tmp_path))
    yield tmp_path
    for pid in processes(tmp_path):
        os.kill(pid, signal.SIGKILL)


def processes(folder):
    """Process ids that inherited this test's mark, this one aside."""
    mark, pids = f"SWEEP_OF_THIS_TEST={folder}".encode(), []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in entry.read_bytes().split(b"\0") and int(entry.parent.name) != os.getpid():
                pids.append(int(entry.parent.name))
        except OSError:
            continue
    return pids


@pytest.mark.parametrize("kind", ["local", "debug"])
def test_jobs_run_and_their_ends_are_told(folder, kind):
    sweep = Sweep(folder, kind)
    sweep.want("echo $MARK > out0", "exit 3", "kill -9 $$")
    os.environ["MARK"] = "inherited"
    try:
        assert sweep.run() == ["succeeded", "failed", "failed"]
    finally:
        del os.environ["MARK"]
    assert (folder / "out0").read_text() == "inherited\n"


@pytest.mark.parametrize("kind", ["local", "debug"])
def test_recorded_jobs_leave_no_record(folder, kind):
    sweep = Sweep(folder, kind)
    sweep.want("touch out0")
    request = sweep.dispatcher.wanted[0]
    sweep.run()
    assert len(read_batches(folder)) == 1
    sweep.dispatcher.collect([request])
    assert read_batches(folder) == []


def test_what_a_job_prints_is_in_its_log(folder):
    sweep = Sweep(folder)
    sweep.want("echo said; echo wrong >&2")
    sweep.run()
    (batch,) = read_batches(folder)
    assert {"said", "wrong"} <= set(batch.log(0).read_text().split())


def test_packed_jobs_share_a_process(folder):
    sweep = Sweep(folder, jobs_per_task=2)
    sweep.want(*(f"touch {n}; until test -e {1 - n}; do sleep 0.02; done; touch out{n}" for n in (0, 1)))
    assert sweep.run() == ["succeeded", "succeeded"]
    assert len(read_batches(folder)) == 1


@pytest.mark.parametrize("setup", [(), ("export FROM_SETUP='a b'", "true")])
def test_setup_lines_come_before_the_job(folder, setup):
    sweep = Sweep(folder, setup=setup)
    sweep.want('echo "$FROM_SETUP" > out0')
    assert sweep.run() == ["succeeded"]
    assert (folder / "out0").read_text() == ("a b\n" if setup else "\n")


@pytest.mark.parametrize("setup", [(), ("true",)])
def test_cancelling_lets_a_job_save_and_starts_it_no_more(folder, setup):
    sweep = Sweep(folder, setup=setup)
    sweep.want(f"echo x >> starts; {SAVES}")
    sweep.turn_until("ready")
    assert sweep.dispatcher.cancel() == 1
    deadline = time.monotonic() + 20
    while processes(folder):
        assert time.monotonic() < deadline, "a cancelled job goes on"
        time.sleep(0.05)
    assert (folder / "saved").exists() and (folder / "starts").read_text() == "x\n"


def test_a_job_that_saved_goes_on_in_its_process(folder):
    sweep = Sweep(folder)
    sweep.want(f"echo x >> starts; test -e saved && exec touch out0; {SAVES}")
    sweep.turn_until("ready")
    (controller,) = sweep.cluster.processes
    os.kill(int(controller), signal.SIGTERM)
    assert sweep.run() == ["succeeded"]
    assert (folder / "starts").read_text() == "x\nx\n" and len(read_batches(folder)) == 1


HEAD = textwrap.dedent("""
    import os, sys
    sys.path.insert(0, sys.argv[1])
    from pathlib import Path
    from {module} import Sweep
    sweep = Sweep(Path(sys.argv[2]))
    sweep.want("touch ready; until test -e go; do sleep 0.05; done; echo x >> out0")
    sweep.turn_until("ready")
    os.kill(os.getpid(), 9)
""")


def test_a_job_outlives_its_head_and_is_taken_over_by_the_next(folder):
    here = Path(__file__)
    head = subprocess.run(
        [sys.executable, "-c", HEAD.format(module=here.stem), str(here.parent), str(folder)]
    )
    assert head.returncode == -signal.SIGKILL
    sweep = Sweep(folder)
    sweep.want("echo submitted again >> out0")
    for _ in range(10):
        sweep.turn()
    assert sweep.ends == {} and len(sweep.dispatcher.active) == 1
    (folder / "go").touch()
    assert sweep.run() == ["succeeded"] and (folder / "out0").read_text() == "x\n"


def test_a_job_that_was_killed_with_its_controller_runs_again(folder):
    sweep = Sweep(folder)
    sweep.want("echo x >> starts; test -e ready && exec touch out0; touch ready; sleep 60")
    sweep.turn_until("ready")
    for pid in processes(folder):
        os.kill(pid, signal.SIGKILL)
    assert sweep.run() == ["succeeded"] and (folder / "starts").read_text() == "x\nx\n"


def test_a_number_that_is_no_controllers_is_neither_waited_for_nor_killed(folder):
    cluster = LocalCluster(folder / "runner", [])
    me = str(os.getpid())
    assert cluster.queued([me, "1", "0", "999999999", "x"]) == {}
    with subprocess.Popen(["sleep", "60"]) as bystander:
        cluster.cancel([str(bystander.pid), f"{bystander.pid}_0"])
        time.sleep(0.1)
        assert bystander.poll() is None
        bystander.kill()
