"""The project's own workflow on SLURM: what its status says of a failed job, and a local run beside submitted jobs."""

import re
import shlex
import signal
import sys

import pytest

from tests.cluster.end_to_end.conftest import REPOSITORY, Workflow

pytestmark = pytest.mark.slow

CONFIG = """
results: results
seeds: 1
sweeps:
  small:
    data: {name: digits, train_subset: 128}
    model: {name: cnn, channels: 4-8}
    training: {steps: 4, batch_size: 32, learning_rate: 1e-2}
"""


class OwnWorkflow(Workflow):
    """A folder with a config.yaml of one training job, on which the repository's Snakefile is run."""

    def __init__(self, folder, slurm) -> None:
        super().__init__(folder, slurm)
        (folder / "config.yaml").write_text(CONFIG)
        self.run_file = self.hornlib("plan", "--paths").strip()
        self.words = ["--snakefile", str(REPOSITORY / "Snakefile")]

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", *self.words, *words]

    def on_slurm(self, *words: str) -> list[str]:
        """Return the words of a call that trains the one job on SLURM."""
        return [
            self.run_file,
            "--profile",
            str(REPOSITORY / "cluster/slurm"),
            "--submitit-poll-max",
            "2",
            *words,
        ]

    def hornlib(self, *words: str) -> str:
        done = self.slurm.run(
            [sys.executable, "-m", "hornlib.cli", *words], cwd=self.folder, env=self.environment()
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def own(tmp_path, slurm):
    made = OwnWorkflow(tmp_path, slurm)
    yield made
    for head in made.heads:
        head.kill()
        head.wait()
    for array in re.findall(r"as array (\d+)", "".join(made.said(n) for n in range(len(made.heads)))):
        slurm.run(["scancel", array])


def test_the_status_counts_a_job_that_failed_for_memory_among_the_failed(own):
    words = ["--set-resources", "train:mem_mb=60", "--submitit-memory-retries", "1"]
    done = own.run(*own.on_slurm(*words))
    assert done.returncode != 0
    story = re.search(r"\(job \d+_0\): (out of memory; 120 MB were asked for, .*?)\. Log: ", done.stdout)
    assert story, done.stdout
    said = own.hornlib("status", "--failed")
    assert f": {story[1]}\n" in said and said.endswith("1 job failed\n")


def test_every_other_run_is_refused_while_slurm_has_the_jobs_and_goes_on_when_they_are_cancelled(own, until):
    go = shlex.quote(str(own.folder / "go"))
    head = own.start(*own.on_slurm("--submitit-setup", f"until [ -e {go} ]; do sleep 0.2; done"))
    until(lambda: "as array" in own.said(), 120, what="the submission")
    array = re.search(r"as array (\d+)", own.said())[1]
    own.stop(head, signal.SIGKILL)
    beside = own.on_slurm("--submitit-folder", "other"), own.on_slurm("--submitit-cluster", "local")
    for words in (["--cores", "1", own.run_file], *beside):
        refused = own.run(*words)
        assert refused.returncode != 0
        assert f"SLURM has jobs of this folder in array {array}" in refused.stdout
        assert f"scancel {array}" in refused.stdout and "Finished jobid" not in refused.stdout
        assert refused.stdout.count("as array") == 0
    own.slurm.output("scancel", array)
    until(lambda: not own.queue(), what="the queue to be empty")
    done = own.run("--cores", "1", own.run_file)
    assert done.returncode == 0, done.stdout
    assert (own.folder / own.run_file).exists()


def test_a_head_on_slurm_is_refused_beside_a_living_local_run(own, until):
    (own.folder / "config.yaml").write_text(CONFIG.replace("steps: 4", "steps: 500000"))
    own.run_file = own.hornlib("plan", "--paths").strip()
    head = own.start("--cores", "1", own.run_file)
    until(lambda: (own.folder / "results/.lease").exists(), 120, what="the local run")
    refused = own.run(*own.on_slurm())
    assert refused.returncode != 0
    assert f"process {head.pid} on" in refused.stdout and "is at work in this folder" in refused.stdout
    assert "as array" not in refused.stdout
    own.stop(head, signal.SIGINT, group=True)
