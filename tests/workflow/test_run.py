"""`hornlib run`: the answer comes last, a part is judged alone, and Ctrl-C ends everything that it started."""

import os
import signal
import subprocess
import sys
import time

import pytest


def waits_for(condition, seconds=240):
    """Return whether a condition came true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.1)
    return False


def processes_of_session(session):
    """Return the processes that a session still has, whatever their group."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True).stdout
    rows = [row.split()[:2] for row in listed.splitlines()]
    return [int(number) for number, state in rows if state[0] != "Z" and session_of(int(number)) == session]


def session_of(process):
    try:
        return os.getsid(process)
    except (ProcessLookupError, PermissionError):  # it has ended, or is another user's
        return None


def ends_with_the_answer(printed):
    """Return whether the answer is there, and after it the report, the results and the next step, in this order."""
    terms = [line.partition(":")[0] for line in printed.splitlines() if line and line[0] != " "]
    return "Does horn_cnn learn faster?" in printed and terms[-3:] == ["report", "results", "next"]


def test_the_answer_and_the_next_step_are_the_last_lines(finished):
    before = finished.times()
    again = finished.hornlib("run", "--cores", "1")
    assert again.returncode == 0, again.stderr
    assert finished.times() == before
    lines = again.stdout.splitlines()
    assert ends_with_the_answer(again.stdout)
    assert "results/report.html" in again.stdout and "`hornlib run`" in " ".join(lines[-3:])
    assert max(map(len, lines)) <= 100


def test_an_answer_says_that_its_results_changed_since(copied):
    (copied.folder / "other.yaml").write_text(copied.configuration.replace("seeds: 2\n", "seeds: 1\n"))
    assert "changed after this answer" not in copied.hornlib("answer").stdout
    assert copied.hornlib("gather", "--configfile", "other.yaml").returncode == 0
    assert "changed after this answer" in copied.hornlib("answer").stdout


def test_a_plain_snakemake_call_that_made_the_report_ends_with_the_answer(copied):
    (copied.folder / "results/report.html").unlink()
    again = copied.snakemake()
    assert again.returncode == 0, again.stderr
    assert ends_with_the_answer(again.stdout)


def test_a_dry_run_with_other_values_writes_nothing(finished):
    before = finished.times()
    planned = finished.hornlib("run", "--dry-run", "--set", "training.steps=13", "two_cells")
    assert planned.returncode == 0, planned.stderr
    assert (
        "train           2" in " ".join(planned.stdout.splitlines())
        or "train" in planned.stdout + planned.stderr
    )
    assert finished.times() == before
    assert "configuration: config.yaml with training.steps=13\n" in planned.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--configfile", "nope.yaml"], "nope.yaml: there is no such file"),
        (["two_cell"], "did you mean 'two_cells'"),
        (["--where", "modell=cnn"], "did you mean 'model'"),
        (["--where", "seed=7"], "valid: 0, 1"),
        (["--set", "training.step=2"], "did you mean 'training.steps'"),
    ],
)
def test_a_mistake_is_one_message_and_starts_nothing(project, words, message):
    refused = project.hornlib("run", *words)
    assert refused.returncode == 1 and message in refused.stderr
    assert "Traceback" not in refused.stderr and not (project.folder / "results").exists()


def test_a_target_beside_a_configuration_file_is_no_configuration_file(project):
    (project.folder / "config.yaml").rename(project.folder / "other.yaml")
    planned = project.hornlib("run", "--configfile", "other.yaml", "two_cells", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "gather" not in planned.stdout


@pytest.mark.slow  # trains a cell, and judges it through three more commands: a minute
def test_a_chosen_part_is_trained_and_judged_alone(project):
    part = project.hornlib("run", "--where", "model=cnn", "--cores", "2")
    assert part.returncode == 0, part.stderr
    assert [name.split("-")[1] for name in project.runs()] == ["cnn"]
    assert "results: results/partial.nc" in part.stdout
    assert "2 runs of the configuration are missing" in " ".join(part.stdout.split())


def test_ctrl_c_ends_the_jobs_without_a_traceback_and_says_how_to_go_on(project):
    project.configure(project.configuration.replace("steps: 12", "steps: 100000"))
    command = [sys.executable, "-m", "hornlib.cli", "run", "--cores", "1"]
    with subprocess.Popen(
        command, cwd=project.folder, env=project.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        logs = project.folder / "results/logs/train"
        try:
            assert waits_for(lambda: any("step" in log.read_text() for log in logs.glob("*.log")))
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=120)
        finally:
            if process.poll() is None:
                for started in [process.pid, *processes_of_session(process.pid)]:
                    os.kill(started, signal.SIGKILL)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "not finished: 4 runs missing. The same command goes on" in said
    assert "logs of all other rules are in results/logs" in said
    assert waits_for(lambda: not processes_of_session(process.pid), 30)
