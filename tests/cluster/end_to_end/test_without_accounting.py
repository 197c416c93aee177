"""Clusters without slurmdbd: what jobs leave on the disk, and what the controller remembers, have to do."""

import os
import re
import signal

import pytest

pytestmark = pytest.mark.slow

STEPS = 20


@pytest.fixture
def bare(new_bed, workflow):
    """The workflow, on a SLURM that keeps no accounts."""
    workflow.slurm = new_bed(HORNLIB_TESTBED_ACCOUNTING="0")
    return workflow


def with_shell_of_one(workflow, number: int, shell: str) -> None:
    text = (workflow.folder / "Snakefile").read_text()
    worker = re.search(r'shell: "(.*)"', text)[1]
    chosen = f"if [ {{wildcards.i}} = {number} ] && [ ! -e mended ]; then {shell}; else {worker}; fi"
    (workflow.folder / "Snakefile").write_text(text.replace(f'shell: "{worker}"', f"shell: {chosen!r}"))


def test_a_sweep_ends_well_but_for_the_job_that_fails_which_is_told_by_its_cause(bare, expected):
    bare.write(num=20, steps=STEPS)
    with_shell_of_one(bare, 7, "echo this is why >> {log}; exit 1")
    done = bare.run()
    assert done.returncode != 0
    assert re.search(r"work on number 7 \(job \d+_7\): exit code 1 .*logs/7.log\s+this is why", done.stdout)
    assert sorted(bare.outputs(), key=int) == [str(i) for i in range(20) if i != 7]
    (bare.folder / "mended").touch()
    again = bare.run()
    assert again.returncode == 0, again.stdout
    assert bare.outputs() == {str(i): expected(str(i), STEPS) for i in range(20)}
    assert set(bare.times_started().values()) == {1}


def test_a_cancelled_task_is_told_as_such_from_the_controllers_memory(bare, expected, until):
    bare.write(num=3, steps=STEPS)
    with_shell_of_one(bare, 1, "touch waits; sleep 600")
    head = bare.start()
    until(lambda: (bare.folder / "waits").exists(), what="the task to wait")
    array = re.search(r"as array (\d+)", bare.said())[1]
    bare.slurm.output("scancel", f"{array}_1")
    assert head.wait(120) != 0
    assert re.search(r"work on number 1 \(job \d+_1\): cancelled with scancel", bare.said())
    assert bare.outputs() == {str(i): expected(str(i), STEPS) for i in (0, 2)}


def test_a_task_that_is_killed_from_outside_runs_again(bare, expected, until):
    """The controller remembers that it failed, not how; nothing on the disk says that the job itself did."""
    bare.write(num=2, steps=60)
    head = bare.start()
    until(lambda: len(bare.starts()) == 2, what="two starts")
    for pid, (task, command) in sorted(bare.task_processes().items()):
        if task.endswith("_1") and "slurm_script" not in command and not command.startswith("srun"):
            os.kill(pid, signal.SIGKILL)
    assert head.wait(120) == 0, bare.said()
    assert bare.outputs() == {str(i): expected(str(i), 60) for i in range(2)}
    assert bare.times_started() == {"0": 1, "1": 2}


def test_a_head_that_is_killed_is_succeeded(bare, expected, until):
    bare.write(num=4, steps=60)
    head = bare.start()
    until(lambda: len(bare.starts()) == 4, what="four starts")
    bare.stop(head, signal.SIGKILL)
    done = bare.run()
    assert done.returncode == 0, done.stdout
    assert "4 jobs were submitted before" in done.stdout
    assert bare.outputs() == {str(i): expected(str(i), 60) for i in range(4)}
    assert set(bare.times_started().values()) == {1}


def test_jobs_that_end_while_no_head_watches_are_collected(bare, expected, until):
    bare.write(num=3, steps=STEPS)
    head = bare.start()
    until(lambda: len(bare.starts()) == 3, what="three starts")
    bare.stop(head, signal.SIGKILL)
    until(lambda: not bare.queue(), what="an empty queue")
    assert bare.run().returncode == 0
    assert bare.outputs() == {str(i): expected(str(i), STEPS) for i in range(3)}
    assert set(bare.times_started().values()) == {1}
