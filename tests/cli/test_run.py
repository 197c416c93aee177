"""`hornlib run`: which signals reach the program that it starts, which Snakefile it takes, and what it prints."""

import importlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hornlib.errors import ConfigError

run_module = importlib.import_module("hornlib.cli.run")  # `hornlib.cli.run` is the command of the same name

REPOSITORY = Path(__file__).resolve().parents[2]

CALL = (
    "import sys; from hornlib.cli.run import _call; sys.exit(_call([sys.executable, '-c', sys.argv[1]], []))"
)

REPORTER = """
import signal, sys, time
for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGCONT"):
    if signal.getsignal(getattr(signal, name)) != signal.SIG_IGN:
        signal.signal(getattr(signal, name), lambda number, frame: print(signal.Signals(number).name, flush=True))
print("ready", flush=True)
for line in sys.stdin:
    print("end", flush=True)
    break
"""
"""A program that prints the signals that reach it, until a line comes."""


def started(before=None):
    """Start the wrapper around the program, in a session of its own; return it once the program is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", CALL, REPORTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=before,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    return process


def ended(process):
    """Let the program end, and return what it printed since."""
    printed, _ = process.communicate("go on\n", timeout=120)
    return printed.split()


def state(process):
    """Return the letter of a process's state: S sleeps, T is stopped."""
    return subprocess.run(
        ["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True
    ).stdout.strip()[:1]


def comes_true(condition):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_signal_to_the_command_alone_reaches_its_program_once(name):
    with started() as process:
        process.send_signal(getattr(signal, name))
        assert process.stdout.readline() == f"{name}\n"
        assert ended(process) == ["end"]
    assert process.returncode == 0


def test_a_signal_that_the_caller_ignores_ends_neither_the_command_nor_its_program():
    """`nohup hornlib run &` survives the end of its terminal."""
    with started(lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as process:
        os.killpg(process.pid, signal.SIGHUP)
        process.send_signal(
            signal.SIGTERM
        )  # it reaches the program after the hangup, so that nothing is awaited
        assert process.stdout.readline() == "SIGTERM\n"
        assert ended(process) == ["end"]
    assert process.returncode == 0


def test_ctrl_z_stops_the_program_too_and_both_go_on_together():
    with started() as process:
        listed = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True).stdout
        rows = (map(int, row.split()) for row in listed.splitlines())
        (program,) = [number for number, parent in rows if parent == process.pid]
        process.send_signal(signal.SIGTSTP)
        assert comes_true(lambda: state(process.pid) == "T" and state(program) == "T")
        process.send_signal(signal.SIGCONT)
        assert process.stdout.readline() == "SIGCONT\n"
        assert ended(process) == ["end"]
    assert process.returncode == 0


def test_a_signal_that_comes_before_the_program_exists_is_sent_to_it_afterwards():
    program = subprocess.Popen(
        [sys.executable, "-c", REPORTER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0
    )  # fmt: skip
    with program:
        assert program.stdout.readline() == "ready\n"
        with run_module._passed_on() as signals:
            os.kill(os.getpid(), signal.SIGTERM)
            signals.attach(program.pid)
        assert program.stdout.readline() == "SIGTERM\n"
        assert ended(program) == ["end"]


def test_a_program_that_a_signal_ended_has_the_exit_status_of_a_shell():
    program = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert run_module._call([sys.executable, "-c", program], []) == 128 + signal.SIGKILL


def test_a_snakefile_of_another_project_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("Snakefile").write_text("rule all:\n    shell: 'touch foreign'\n")
    assert run_module._snakefile() == REPOSITORY / "Snakefile"


def test_a_snakefile_of_hornlib_in_this_folder_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("Snakefile").write_text((REPOSITORY / "Snakefile").read_text())
    assert run_module._snakefile() == Path("Snakefile")


def test_a_snakefile_without_its_profile_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("Snakefile").write_text((REPOSITORY / "Snakefile").read_text())
    with pytest.raises(ConfigError, match=re.escape("profiles/default/config.yaml: there is no such file")):
        run_module._snakemake(1, None, dry_run=True)


def test_snakemake_gets_the_profile_that_lies_beside_its_snakefile(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = run_module._snakemake(1, None, dry_run=True)
    assert command[command.index("--workflow-profile") + 1] == str(REPOSITORY / "profiles/default")


TWO_SWEEPS = """
    defaults: {data: {name: digits}}
    sweeps:
      one: {model: [{name: horn_cnn, timesteps: 2}, {name: cnn, channels: 5}]}
      two: {model: [{name: horn_cnn, timesteps: 4}, {name: cnn, channels: 8-16}]}
      three: {model: {name: mlp}}
"""


@pytest.mark.parametrize(
    ("sweeps", "where", "limit", "models"),
    [
        ([], ["timesteps=2"], None, ["horn_cnn"]),
        ([], ["sweep=two"], None, ["horn_cnn", "cnn"]),
        (["one", "two"], ["channels=5"], None, ["cnn"]),
        (["two", "three"], [], None, ["horn_cnn", "cnn", "mlp"]),
        (["two"], ["model=horn_cnn"], None, ["horn_cnn"]),
        (["two", "three"], [], 2, ["horn_cnn", "cnn"]),
        ([], [], 1, ["horn_cnn"]),
    ],
)
def test_conditions_and_a_limit_choose_over_all_sweeps(grid_from, sweeps, where, limit, models):
    targets = run_module._targets(grid_from(TWO_SWEEPS), sweeps, where, limit)
    assert [Path(target).name.split("-")[1] for target in targets] == models


def test_a_condition_that_no_chosen_sweep_meets_is_refused(grid_from):
    with pytest.raises(ConfigError, match="no cell has 2; there are 4"):
        run_module._targets(grid_from(TWO_SWEEPS), ["two"], ["timesteps=2"], None)


def test_a_cell_of_two_sweeps_is_trained_with_the_seeds_of_the_chosen_sweep(grid_from):
    grid = grid_from("""
        per_job: 2
        sweeps:
          few: {seeds: 2, data: {name: digits}, model: {name: cnn}}
          many: {seeds: 5, data: {name: digits}, model: {name: cnn}}
    """)
    assert [
        Path(target).name.partition(".")[2] for target in run_module._targets(grid, ["few"], [], None)
    ] == ["seeds-0-1.nc"]
