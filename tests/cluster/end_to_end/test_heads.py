"""A head may die at any moment, in any way: nothing is lost, nothing is done twice."""

import signal
import textwrap
import time

import pytest

pytestmark = pytest.mark.slow


def finish_and_check(workflow, expected, num: int, steps: int) -> str:
    """Give the same command again, and compare with what undisturbed jobs leave."""
    done = workflow.run()
    assert done.returncode == 0, done.stdout
    assert workflow.outputs() == {str(i): expected(str(i), steps) for i in range(num)}
    return done.stdout


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_a_head_that_dies_leaves_its_jobs_and_the_next_takes_them_over(workflow, expected, until, number):
    workflow.write(num=4, steps=40)
    head = workflow.start()
    until(lambda: len(workflow.starts()) == 4, what="four workers to start")
    assert workflow.stop(head, number) != 0
    assert workflow.queue().count("RUNNING") == 4
    said = finish_and_check(workflow, expected, 4, 40)
    assert "4 jobs were submitted before" in said
    assert set(workflow.times_started().values()) == {1}


@pytest.mark.parametrize("milliseconds", [0, 10, 50, 200])
def test_a_head_that_is_told_to_end_as_it_begins_waits_for_no_job(workflow, expected, until, milliseconds):
    """Snakemake's own handler of SIGTERM would wait for the jobs."""
    workflow.write(num=2, steps=40)
    head = workflow.start()
    until(lambda: "Execute 2 jobs" in workflow.said(), what="Snakemake to choose the jobs")
    time.sleep(milliseconds / 1000)
    assert workflow.stop(head, signal.SIGTERM) != 0
    assert "Finished jobid" not in workflow.said()
    finish_and_check(workflow, expected, 2, 40)


def test_jobs_that_end_while_no_head_watches_are_collected(workflow, expected, until):
    workflow.write(num=4, steps=10)
    head = workflow.start()
    until(lambda: len(workflow.starts()) == 4, what="four workers to start")
    workflow.stop(head, signal.SIGKILL)
    until(lambda: len(workflow.outputs()) == 4, what="the jobs to end by themselves")
    until(lambda: not workflow.queue(), what="the queue to be empty")
    finish_and_check(workflow, expected, 4, 10)
    assert set(workflow.times_started().values()) == {1}


def test_ctrl_c_cancels_and_the_same_command_goes_on_from_the_checkpoints(workflow, expected, until):
    workflow.write(num=4, steps=40)
    head = workflow.start()
    until(lambda: len(workflow.starts()) == 4, what="four workers to start")
    assert workflow.stop(head, signal.SIGINT, group=True) != 0
    assert "cancelled 4 jobs" in workflow.said()
    finish_and_check(workflow, expected, 4, 40)
    assert set(workflow.times_started().values()) == {2}
    assert all(int(start[3]) > 0 for start in workflow.starts()[4:]), "the second start reads the checkpoint"


def test_ctrl_c_can_leave_the_jobs_running(workflow, expected, until):
    workflow.write(num=2, steps=40)
    head = workflow.start("--submitit-on-interrupt", "leave")
    until(lambda: len(workflow.starts()) == 2, what="two workers to start")
    workflow.stop(head, signal.SIGINT, group=True)
    assert "left 2 jobs in the queue" in workflow.said()
    finish_and_check(workflow, expected, 2, 40)
    assert set(workflow.times_started().values()) == {1}


def test_a_second_head_is_refused_while_the_first_lives(workflow, until):
    workflow.write(num=2, steps=100)
    workflow.start()
    until(lambda: len(workflow.starts()) == 2, what="two workers to start")
    rival = workflow.run()
    assert rival.returncode != 0
    assert f"process {workflow.heads[0].pid}" in rival.stdout
    assert len(workflow.starts()) == 2


PREFIXED = """
import os, signal, subprocess, sys
def kill_head():
    os.kill(int(open("head.pid").read()), signal.SIGKILL)
"""

STEPS = {
    "before sbatch": "kill_head(); sys.exit(1)",
    "before sbatch, which still arrives": "kill_head(); os.execv(REAL, [REAL, *sys.argv[1:]])",
    "before sbatch, which arrives much later": (
        "kill_head(); subprocess.Popen(['sh', '-c', 'sleep 6; exec ' + REAL + ' ' + sys.argv[1]]); sys.exit(1)"
    ),
    "after sbatch, before its answer is read": (
        "done = subprocess.run([REAL, *sys.argv[1:]]); kill_head(); sys.exit(done.returncode)"
    ),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_head_killed_around_sbatch_neither_loses_nor_doubles(workflow, expected, until, step):
    workflow.write(num=3, steps=20)
    bin_folder = workflow.folder / "bin"
    bin_folder.mkdir()
    real = workflow.slurm.output("which", "sbatch")
    body = f"REAL = {real!r}\n{PREFIXED}\n{STEPS[step]}\n"
    fake = bin_folder / "sbatch"
    fake.write_text(f"#!/usr/bin/env python3\n{body}")
    fake.chmod(0o755)
    # the shell writes the head's number before it becomes the head
    command = ["bash", "-c", 'echo $$ > head.pid; exec "$@"', "head", *workflow.command()]
    path = f"{bin_folder}:{workflow.slurm.env['PATH']}"
    done = workflow.slurm.run(command, cwd=workflow.folder, env=workflow.environment(PATH=path))
    assert done.returncode == -signal.SIGKILL
    finish_and_check(workflow, expected, 3, 20)
    until(lambda: not workflow.queue(), 30, what="late arrays to pass")
    assert set(workflow.times_started().values()) == {1}


KILL_AT = {
    "before the job id is kept": "snakemake_executor_plugin_submitit.batches.Batch.record_array",
    "before Snakemake's own record": "snakemake.jobs.Job.register",
    "before success is reported": "snakemake_executor_plugin_submitit.executor.Executor.report_job_success",
    "before Snakemake records success": "snakemake.persistence.file.FilePersistence.finished",
    "before our record is removed": "snakemake_executor_plugin_submitit.batches.Batch.collect",
}


@pytest.mark.parametrize("step", KILL_AT)
def test_a_head_killed_at_its_own_records_neither_loses_nor_doubles(workflow, expected, until, step):
    workflow.write(num=3, steps=10)
    module, owner, method = KILL_AT[step].rsplit(".", 2)
    site = workflow.folder / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        textwrap.dedent(f"""
        import importlib, os, signal, sys
        if "snakemake" in " ".join(sys.orig_argv):
            def die(*arguments, **options):
                os.kill(os.getpid(), signal.SIGKILL)
            owner = getattr(importlib.import_module({module!r}), {owner!r})
            assert hasattr(owner, {method!r})
            setattr(owner, {method!r}, die)
        """)
    )
    died = workflow.run(PYTHONPATH=str(site))
    assert died.returncode == -signal.SIGKILL, died.stdout
    finish_and_check(workflow, expected, 3, 10)
    until(lambda: not workflow.queue(), 30, what="the queue to be empty")
    assert set(workflow.times_started().values()) == {1}
    again = workflow.run()
    assert "Nothing to be done" in again.stdout
