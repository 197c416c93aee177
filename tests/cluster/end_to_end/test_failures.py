"""What ends badly is told by name and cause, the others complete, and the next call runs only what is missing."""

import re
import sys

import pytest

pytestmark = pytest.mark.slow

STEPS = 10


def with_shell_of_one(workflow, number: int, shell: str, before: str = "") -> None:
    """Let the job of this number run another command, and all others the worker."""
    text = (workflow.folder / "Snakefile").read_text()
    worker = re.search(r'shell: "(.*)"', text)[1]
    chosen = f"if [ {{wildcards.i}} = {number} ] && [ ! -e mended ]; then {shell}; else {worker}; fi"
    (workflow.folder / "Snakefile").write_text(text.replace(f'shell: "{worker}"', f"shell: {chosen!r}"))


def the_others_are_done_and_the_next_call_runs_only_the_rest(
    workflow, expected, number: int, num: int = 4
) -> None:
    others = {str(i) for i in range(num)} - {str(number)}
    assert set(workflow.outputs()) == others
    before = len(workflow.starts())
    (workflow.folder / "mended").touch()
    again = workflow.run()
    assert again.returncode == 0, again.stdout
    assert [start[0] for start in workflow.starts()[before:]] == [str(number)]
    assert workflow.outputs() == {str(i): expected(str(i), STEPS) for i in range(num)}


@pytest.mark.parametrize(
    ("shell", "cause"),
    [
        ("echo this is why >> {log}; exit 1", "exit code 1"),
        ("echo this is why >> {log}; kill -SEGV $$; sleep 5", "killed by SIGSEGV"),
        ("echo this is why >> {log}; kill -KILL $$; sleep 5", "killed (signal 9): often out of memory"),
    ],
)
def test_an_exit_code_or_a_signal_is_reported_and_never_retried(workflow, expected, shell, cause):
    workflow.write(num=4, steps=STEPS)
    with_shell_of_one(workflow, 2, f"echo try >> tries; {shell}")
    done = workflow.run()
    assert done.returncode != 0
    report = re.search(r"work on number 2 \(job \d+_2\): .*", done.stdout)[0]
    assert cause in report and "logs/2.log" in report
    assert "this is why" in done.stdout
    assert (workflow.folder / "tries").read_text().count("try") == 1
    the_others_are_done_and_the_next_call_runs_only_the_rest(workflow, expected, 2)


def test_scancel_of_one_task_is_final_for_this_call(workflow, expected, until):
    workflow.write(num=4, steps=STEPS)
    with_shell_of_one(workflow, 1, "touch waits; sleep 600")
    head = workflow.start()
    until(lambda: (workflow.folder / "waits").exists(), what="the task to wait")
    array = re.search(r"as array (\d+)", workflow.said())[1]
    workflow.slurm.output("scancel", f"{array}_1")
    assert head.wait(120) != 0
    assert re.search(r"work on number 1 \(job \d+_1\): cancelled with scancel", workflow.said())
    the_others_are_done_and_the_next_call_runs_only_the_rest(workflow, expected, 1)


def test_a_worker_that_is_cancelled_does_not_come_back(workflow, until):
    """It saves and exits with 75, as it does before a requeue."""
    workflow.write(num=2, steps=400)
    head = workflow.start()
    until(lambda: len(workflow.starts()) == 2, what="two starts")
    array = re.search(r"as array (\d+)", workflow.said())[1]
    workflow.slurm.output("scancel", f"{array}_0")
    until(lambda: "cancelled with scancel" in workflow.said(), 60, what="the report")
    assert len(workflow.starts()) == 2
    assert f"{array}_0" not in workflow.queue()
    workflow.stop(head, 2, group=True)


GREEDY = f"{sys.executable} -S -c 'import time; kept = bytearray({{size}} * 2**20); time.sleep(8)' >> {{{{log}}}} 2>&1"


def test_a_job_out_of_memory_gets_more_and_completes(workflow, expected):
    workflow.write(num=4, steps=STEPS)
    size = 80  # of 50, 100, 200 MB the third holds Python too
    worker = re.search(r'shell: "(.*)"', (workflow.folder / "Snakefile").read_text())[1]
    with_shell_of_one(workflow, 3, f"{GREEDY.format(size=size)} && {worker}")
    done = workflow.run()
    assert done.returncode == 0, done.stdout
    assert re.search(
        r"work on number 3 \(job \d+_3\): out of memory; 50 MB were asked for.*again with 100MB", done.stdout
    )
    assert workflow.outputs() == {str(i): expected(str(i), STEPS) for i in range(4)}


def test_a_job_that_never_has_enough_memory_fails_with_its_cause(workflow, expected):
    workflow.write(num=4, steps=STEPS)
    with_shell_of_one(workflow, 0, GREEDY.format(size=400))
    done = workflow.run("--submitit-memory-retries", "1")
    assert done.returncode != 0
    assert re.search(r"work on number 0 \(job \d+_0\): out of memory; 100 MB were asked for", done.stdout)
    the_others_are_done_and_the_next_call_runs_only_the_rest(workflow, expected, 0)


def test_of_a_log_of_50_megabytes_the_end_is_shown_once(workflow):
    workflow.write(
        """
rule all:
    output: "out/0"
    log: "logs/0.log"
    resources: mem_mb=50, runtime=10
    shell: "({{ yes a line of many || true; }} | head -c 50000000; echo; echo the last line; exit 3) > {log} 2>&1"
"""
    )
    failed = workflow.run()
    assert failed.returncode != 0 and len(failed.stdout) < 30_000
    assert (workflow.folder / "logs/0.log").stat().st_size > 50_000_000
    assert failed.stdout.count("\n    the last line\n") == 1 and "exit code 3" in failed.stdout
