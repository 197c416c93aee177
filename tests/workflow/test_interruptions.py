"""What a person sees after Ctrl-C, a kill of the trainer, and a kill of Snakemake alone."""

import os
import signal
import subprocess
import time

import pytest

from hornlib.lease import read_trainer

pytestmark = pytest.mark.slow

LONG = "steps: 500000"


def wait_for(condition, seconds=120):
    """Poll until the condition holds, and return what it returned."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s")


class Sweep:
    """One job of the two-cell sweep, by default for a long time, under a Snakemake in a session of its own."""

    def __init__(self, project, steps=LONG):
        self.project = project
        project.configure(
            project.configuration.replace("steps: 12", steps).replace(
                "lanes: 2", "lanes: 2\ncheckpoint_minutes: 0.002"
            )
        )
        plan = project.hornlib("plan", "--paths")
        self.run = project.folder / plan.stdout.split()[0]
        self.log = project.folder / "results/logs/train" / f"{self.run.stem}.log"
        self.checkpoint = project.folder / "results/checkpoints" / f"{self.run.stem}.checkpoint"
        self.target = str(self.run.relative_to(project.folder))
        self.words = ["--cores", "1", self.target]

    def start(self):
        head = subprocess.Popen(
            self.project.command(*self.words),
            cwd=self.project.folder,
            env=self.project.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        self.trainer = wait_for(lambda: self.checkpoint.exists() and self.living_trainer())
        return head

    def living_trainer(self):
        trainer = read_trainer(self.run)
        return trainer if trainer is not None and trainer.lives else None

    def status(self, *words):
        return self.project.hornlib("status", *words).stdout


@pytest.fixture
def sweep(project):
    made = Sweep(project)
    yield made
    if trainer := made.living_trainer():
        os.kill(trainer.process, signal.SIGKILL)


def test_ctrl_c_before_the_first_run_file_does_not_complain_of_missing_run_files(sweep):
    head = sweep.start()
    os.killpg(head.pid, signal.SIGINT)
    said, _ = head.communicate(timeout=120)
    assert head.returncode != 0
    assert "there is no run file" not in said


def test_a_trainer_that_is_killed_has_a_cause_and_its_log_is_kept_when_it_goes_on(sweep):
    head = sweep.start()
    os.kill(sweep.trainer.process, signal.SIGKILL)
    said, _ = head.communicate(timeout=120)
    assert "killed (signal 9): often out of memory" in said
    assert "killed (signal 9): often out of memory" in sweep.status("--failed")
    first = sweep.log.read_text()
    head = sweep.start()
    wait_for(lambda: "seeds 0-1: step" in sweep.log.read_text().removeprefix(first))
    os.killpg(head.pid, signal.SIGINT)
    head.communicate(timeout=120)
    text = sweep.log.read_text()
    assert text.startswith(first), "the log of the first attempt is lost"
    headers = [line for line in text.splitlines() if line.startswith("--- ")]
    assert len(headers) == 2 and time.strftime("%Y-") in headers[0]
    assert "killed" not in sweep.status()


def test_a_training_that_outlives_a_killed_snakemake_is_shown_and_not_doubled(sweep):
    head = sweep.start()
    os.kill(head.pid, signal.SIGKILL)
    head.wait()
    assert f"process {sweep.trainer.process} trains it, and no head watches it" in sweep.status()
    second = sweep.project.run(*sweep.project.command(*sweep.words))
    assert second.returncode != 0
    assert f"process {sweep.trainer.process} on " in second.stdout + second.stderr
    assert "has trained this run file since" in second.stdout + second.stderr
    assert f"process {sweep.trainer.process} trains it" in sweep.status()
    os.kill(sweep.trainer.process, signal.SIGTERM)
    wait_for(lambda: not sweep.living_trainer())
    third = sweep.start()
    os.killpg(third.pid, signal.SIGINT)
    third.communicate(timeout=120)


def test_a_run_that_is_finished_after_its_snakemake_was_killed_is_not_trained_again(project):
    sweep = Sweep(project, steps="steps: 1000")
    head = sweep.start()
    os.kill(sweep.trainer.process, signal.SIGSTOP)  # it must not be finished before Snakemake is killed
    os.kill(head.pid, signal.SIGKILL)
    head.wait()
    assert not sweep.run.exists()
    os.kill(sweep.trainer.process, signal.SIGCONT)
    wait_for(lambda: sweep.run.exists() and not sweep.living_trainer(), seconds=400)
    before = project.runs()
    assert project.planned(sweep.target) == {}
    again = project.snakemake(sweep.target)
    assert again.returncode == 0, again.stderr
    assert project.runs() == before and list(before) == [sweep.run.name]
