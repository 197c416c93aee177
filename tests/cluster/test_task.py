"""The node's program, run as on a node, with squeue and scontrol faked: exits, signals, requeues, packing, fences."""

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from snakemake_executor_plugin_submitit import task as task_module
from snakemake_executor_plugin_submitit.batches import JobRecord, write_batch
from snakemake_executor_plugin_submitit.snapshots import store
from snakemake_executor_plugin_submitit.task import EXIT_CHANGED, EXIT_INTERRUPTED, LOCAL_REQUEUE

PYTHON = f"{sys.executable} -I -S"
SAVES = "[signal.signal(number, lambda *_: sys.exit({code})) for number in (signal.SIGUSR2, signal.SIGTERM)]"


def job(command, **more):
    """A job of this command."""
    fields = {"outputs": ("out",), "name": "a job", "logs": (), "environment": {}} | more
    return JobRecord(command=command, **fields)


def trainer(code=EXIT_INTERRUPTED, ready="ready"):
    """A command that says when it runs, and on a signal to stop exits with this code."""
    program = (
        f"import signal, sys, time; {SAVES.format(code=code)}; open({ready!r}, 'w').close(); time.sleep(60)"
    )
    return f'{PYTHON} -c "{program}"; exit $?'


class Node:
    """A node with a shared folder: starts tasks, and has a squeue and a scontrol that say what a test wants."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.programs, self.work = folder, folder / "bin", folder / "work"
        self.programs.mkdir()
        self.work.mkdir()
        self.slurm_says("RUNNING")
        self.fake(
            "scontrol", f'echo "$@" >> {folder}/scontrol; kill -9 $PPID'
        )  # SLURM ends a task it requeues

    def fake(self, name, body):
        (self.programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (self.programs / name).chmod(0o755)

    def slurm_says(self, state):
        self.fake("squeue", f"echo {state}")

    @property
    def requeued(self):
        """What scontrol was asked."""
        asked = self.folder / "scontrol"
        return asked.read_text().splitlines() if asked.exists() else []

    def batch(self, *jobs, jobs_per_task=1, requeues=5, umask=0o022, directory=None, snapshots=()):
        header = {
            "snapshots": [str(snapshot) for snapshot in snapshots],
            "shell": "/bin/bash",
            "directory": str(directory or self.work),
            "umask": umask,
            "requeues": requeues,
        }
        return write_batch(self.folder / "records", jobs, {}, jobs_per_task, **header)

    def start(self, batch, task=0, restarts=0, executor="slurm", **more):
        """Start a task as srun does."""
        environment = {
            "PATH": f"{self.programs}:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "SUBMITIT_EXECUTOR": executor,
        }
        if executor == "slurm":
            environment |= {
                "SLURM_JOB_ID": "900",
                "SLURM_ARRAY_JOB_ID": "900",
                "SLURM_ARRAY_TASK_ID": str(task),
            }
        if restarts:
            environment["SLURM_RESTART_COUNT"] = str(restarts)
        words = [sys.executable, "-I", "-S", "-u", task_module.__file__, str(batch.folder)]
        return subprocess.Popen(
            words + ([] if executor == "slurm" else [str(task)]),
            env=environment | more,
            cwd=self.work,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, batch, task=0, **more):
        """Run a task to its end; return its exit status and what it said."""
        process = self.start(batch, task, **more)
        said = process.communicate(timeout=30)[0]
        return process.returncode, said

    def wait_for(self, *names):
        deadline = time.monotonic() + 20
        while not all((self.work / name).exists() for name in names):
            assert time.monotonic() < deadline, f"{names} did not appear"
            time.sleep(0.01)


@pytest.fixture
def node(tmp_path):
    return Node(tmp_path)


# -- ends


@pytest.mark.parametrize("command, code, status", [("true", 0, 0), ("exit 1", 1, 1), ("exit 3", 3, 3),
                                                   ("exit 255", 255, 255), ("kill -9 $$", -9, 137),
                                                   ("kill -11 $$", -11, 139), ("exit 143", 143, 143),
                                                   ("false | true", 0, 0)])  # fmt: skip
def test_an_exit_code_is_recorded_and_handed_on(node, command, code, status):
    batch = node.batch(job(command))
    assert node.run(batch)[0] == status
    record = batch.read_exit(0)
    assert record["code"] == code and record["job"] == "900_0" and abs(record["time"] - time.time()) < 60
    assert node.requeued == []


def test_each_task_of_an_array_runs_its_own_job(node):
    batch = node.batch(*(job(f"echo {n} > {n}.txt; exit {n}") for n in range(4)))
    assert [node.run(batch, task)[0] for task in (2, 0)] == [2, 0]
    assert sorted(path.name for path in node.work.iterdir()) == ["0.txt", "2.txt"]
    assert batch.read_exit(1) is None and batch.read_exit(2)["code"] == 2


def test_records_are_private_and_the_jobs_files_as_the_user_wants_them(node):
    batch = node.batch(job("touch theirs"), umask=0o027)
    node.run(batch)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in [*batch.folder.iterdir(), *node.work.iterdir()]
    }
    assert modes.pop("theirs") == 0o640
    assert {"0.exit", "0.starts", "batch.json", "jobs.jsonl"} <= set(modes) and set(modes.values()) == {0o600}


def test_a_job_sees_its_variables_its_folder_its_shell_and_no_terminal(node, tmp_path):
    command = 'test -n "$BASH_VERSION" && echo "$A|$OMP_NUM_THREADS|$INHERITED|$PWD" > out; read x || echo end >> out'
    batch = node.batch(job(command, environment={"A": '$(touch x); "', "OMP_NUM_THREADS": "2"}))
    assert node.run(batch, INHERITED="yes", A="overruled")[0] == 0
    assert (node.work / "out").read_text() == f'$(touch x); "|2|yes|{node.work}\nend\n'
    assert not (node.work / "x").exists()


def test_a_job_sees_its_restart_count(node):
    batch = node.batch(job("echo $SLURM_RESTART_COUNT > out"))
    node.run(batch, restarts=3)
    assert (node.work / "out").read_text() == "3\n"
    assert [start.restart for start in batch.read_starts(0)] == [3]


@pytest.mark.parametrize("length", [99_000, 131_072, 3_000_000])
def test_a_command_of_any_length_runs(node, length):
    batch = node.batch(job(f": {'x' * length}\necho done > out; exit 4"))
    assert node.run(batch)[0] == 4
    assert (node.work / "out").read_text() == "done\n"


def test_nothing_of_a_command_is_read_by_anything_but_its_shell(node):
    text = "a'b\"c\\d\n$e `f` %g {h} !i ~ # é \u2028"
    batch = node.batch(job("printf %s \"$TEXT\" > out; : '\n'; # trailing", environment={"TEXT": text}))
    assert node.run(batch)[0] == 0
    assert (node.work / "out").read_text() == text


def test_a_shell_or_folder_that_a_node_lacks_ends_the_job_in_words(node, tmp_path):
    batch = node.batch(job("true"), directory=tmp_path / "nowhere")
    status, said = node.run(batch)
    assert (
        status == 127 and batch.read_exit(0)["code"] == 127 and "nowhere" in said and "Traceback" not in said
    )


def test_a_folder_that_a_node_never_sees_is_told_with_the_nodes_name(tmp_path, monkeypatch):
    monkeypatch.setattr(task_module, "SECONDS_TO_APPEAR", -1)
    with pytest.raises(SystemExit, match=f"{os.uname().nodename}.*shared by all nodes"):
        task_module.run_task(tmp_path / "nowhere", 0)


def test_a_folder_that_appears_late_is_waited_for(node):
    batch = node.batch(job("exit 6"))
    hidden = batch.folder.rename(batch.folder.with_name("hidden"))
    process = node.start(batch)
    time.sleep(0.3)
    hidden.rename(batch.folder)
    assert process.wait(timeout=20) == 6


def test_an_end_that_cannot_be_recorded_is_left_to_slurms_record_of_the_exit_status(node):
    batch = node.batch(job("mkdir -p $BATCH/0.exit/in_the_way; exit 5"))
    status, said = node.run(batch, BATCH=str(batch.folder))
    assert status == 5 and "cannot be written" in said and "Traceback" not in said


# -- requeues


def test_a_job_that_saved_is_requeued_in_its_slot_and_leaves_no_end(node):
    batch = node.batch(job("test -e saved && exit 0; touch saved; exit 75"))
    assert node.run(batch)[0] == -signal.SIGKILL
    assert node.requeued == ["requeue 900_0"] and batch.read_exit(0) is None
    assert node.run(batch, restarts=1)[0] == 0
    assert batch.read_exit(0)["code"] == 0
    assert [start.restart for start in batch.read_starts(0)] == [0, 1] and batch.find_array() == "900"


@pytest.mark.parametrize("state", ["COMPLETING", "CANCELLED", "PENDING", "TIMEOUT", "PREEMPTED", "''"])
def test_a_job_that_slurm_ends_for_its_own_reasons_is_not_brought_back(node, state):
    node.slurm_says(state)
    batch = node.batch(job("exit 75"))
    assert node.run(batch)[0] == EXIT_INTERRUPTED
    assert node.requeued == [] and batch.read_exit(0) is None


def test_a_controller_that_does_not_answer_is_asked_for_the_requeue_all_the_same(node):
    node.fake("squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    batch = node.batch(job("exit 75"))
    node.run(batch)
    assert node.requeued == ["requeue 900_0"]


@pytest.mark.parametrize("body, reason", [("echo 'Requested operation is presently disabled' >&2; exit 1", "disabled"),
                                          ("exit 4", "exit 4"), (None, "No such file")])  # fmt: skip
def test_a_refused_requeue_is_left_to_the_head_with_its_reason(node, body, reason):
    if body is None:
        (node.programs / "scontrol").unlink()
    else:
        node.fake("scontrol", body)
    batch = node.batch(job("exit 75"))
    status, said = node.run(batch, PATH=f"{node.programs}")  # a SLURM of this machine has an scontrol too
    assert status == EXIT_INTERRUPTED and reason in said
    record = batch.read_exit(0)
    assert record["code"] == EXIT_INTERRUPTED and reason in record["refused"]


# -- signals


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
@pytest.mark.parametrize("prefix", ["", "set -euo pipefail; ", "true && ", "exec 2>&1; "])
def test_slurms_signal_lets_a_job_save_and_requeues_it(node, number, prefix):
    batch = node.batch(job(prefix + trainer()))
    process = node.start(batch)
    node.wait_for("ready")
    os.killpg(process.pid, number)  # SLURM signals every process of the step
    said = process.communicate(timeout=20)[0]
    assert node.requeued == ["requeue 900_0"] and batch.read_exit(0) is None, said
    assert signal.Signals(number).name in said


@pytest.mark.parametrize(
    "command",
    ["touch ready; sleep 60", "touch ready; exec sleep 60", "(touch ready; sleep 60) | cat",
     "set -euo pipefail; touch ready; sleep 60 > log"],
)  # fmt: skip
def test_a_job_that_dies_of_slurms_signal_goes_on_too(node, command):
    batch = node.batch(job(command))
    process = node.start(batch)
    node.wait_for("ready")
    time.sleep(0.05)
    os.killpg(process.pid, signal.SIGUSR2)
    process.communicate(timeout=20)
    assert node.requeued == ["requeue 900_0"] and batch.read_exit(0) is None


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
def test_a_signal_that_reaches_the_job_first_and_its_task_a_moment_later_requeues_it(node, number):
    batch = node.batch(job(f"sh -c 'kill -{int(number)} $$'; code=$?; touch ready; exit $code"))
    process = node.start(batch)
    node.wait_for("ready")
    time.sleep(0.5)
    process.send_signal(number)
    process.communicate(timeout=20)
    assert node.requeued == ["requeue 900_0"] and batch.read_exit(0) is None


@pytest.mark.parametrize("code", [0, 3])
def test_a_job_that_ends_by_itself_after_a_signal_has_ended(node, code):
    batch = node.batch(job(trainer(code)))
    process = node.start(batch)
    node.wait_for("ready")
    os.killpg(process.pid, signal.SIGUSR2)
    process.communicate(timeout=20)
    assert node.requeued == [] and batch.read_exit(0)["code"] == code and process.returncode == code


def test_a_job_that_kills_itself_by_a_stop_signal_that_nobody_sent_has_failed(node):
    batch = node.batch(job("kill -TERM $$; sleep 1 & wait $!; kill -KILL $$"))
    node.run(batch)
    assert batch.read_exit(0)["code"] == -9 and node.requeued == []


def test_a_second_signal_changes_nothing(node):
    batch = node.batch(job(trainer()))
    process = node.start(batch)
    node.wait_for("ready")
    for number in (signal.SIGUSR2, signal.SIGCONT, signal.SIGTERM, signal.SIGUSR2):
        os.killpg(process.pid, number)
    process.communicate(timeout=20)
    assert node.requeued == ["requeue 900_0"] and batch.read_exit(0) is None


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGTERM])
def test_elsewhere_the_signal_is_handed_on_and_the_local_controller_starts_the_task_again(node, number):
    batch = node.batch(job("test -e saved && exit 0; touch saved; " + trainer()))
    process = node.start(batch, executor="local")
    node.wait_for("ready")
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == LOCAL_REQUEUE and batch.read_exit(0) is None and node.requeued == []
    assert node.run(batch, executor="local")[0] == 0 and batch.read_exit(0)["code"] == 0


def test_a_local_task_inside_a_slurm_job_does_not_requeue_that_job(node):
    """The head may sit in an interactive job, whose variables its local tasks inherit."""
    batch = node.batch(job(trainer()))
    process = node.start(
        batch, executor="local", SLURM_JOB_ID="55", SLURM_ARRAY_JOB_ID="50", SLURM_ARRAY_TASK_ID="5"
    )
    node.wait_for("ready")
    process.send_signal(signal.SIGUSR2)
    process.communicate(timeout=20)
    assert process.returncode == LOCAL_REQUEUE and node.requeued == []
    assert batch.find_array() not in ("50", "55")


def runs_in(group):
    """Whether any process of a group runs; the dead may wait for a parent that asks after them."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, number = entry.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(number) == group and state != "Z":
            return True
    return False


@pytest.mark.parametrize("obeys", [True, False])
def test_no_job_outlives_the_local_controllers_last_second(node, obeys):
    stubborn = "trap '' USR2 TERM; echo $$ > pid; touch ready; sleep 60; sleep 60"
    batch = node.batch(job(("echo $$ > pid; " + trainer()) if obeys else stubborn))
    process = node.start(batch, executor="local")
    node.wait_for("ready", "pid")
    group = int((node.work / "pid").read_text())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert not runs_in(group)
    assert batch.read_exit(0) is None if obeys else batch.read_exit(0)["code"] == -9


# -- stuck jobs


def run_until_it_ends(node, batch, most=12):
    """Run a task again and again, as its requeues do; return how often its job ran."""
    for restarts in range(most):
        node.run(batch, restarts=restarts)
        if batch.read_exit(0) is not None:
            break
    return int((node.work / "count").read_text().count("x"))


def test_a_job_whose_result_the_workflow_has_is_not_run_again_by_a_late_requeue(node):
    batch = node.batch(job("echo x >> count"), job("echo y >> count"))
    node.run(batch)
    batch.collect([0])
    assert node.run(batch, restarts=1)[0] == 0
    assert (node.work / "count").read_text() == "x\n" and batch.read_exit(0) is None


@pytest.mark.parametrize("requeues", [0, 1, 3])
@pytest.mark.parametrize("checkpoint", [None, "absent", "same"])
def test_a_job_without_progress_stops_after_so_many_restarts(node, requeues, checkpoint):
    (node.work / "same").write_text("state")
    batch = node.batch(job("printf x >> count; exit 75", checkpoint=checkpoint), requeues=requeues)
    assert run_until_it_ends(node, batch) == requeues + 1
    assert batch.read_exit(0)["stuck"] is True and len(node.requeued) == requeues + 1


def test_a_job_with_progress_goes_on(node):
    batch = node.batch(
        job("printf x >> count; test $(wc -c < count) -ge 9 || exit 75", checkpoint="count"), requeues=2
    )
    assert run_until_it_ends(node, batch) == 9
    assert batch.read_exit(0)["code"] == 0


def test_a_checkpoint_that_is_only_touched_is_no_progress(node):
    (node.work / "state").write_text("1")
    batch = node.batch(
        job("printf x >> count; sleep 0.01; touch state; exit 75", checkpoint="state"), requeues=1
    )
    assert run_until_it_ends(node, batch) == 2


def test_restarts_of_earlier_batches_count(node):
    mark = task_module._digest(__file__)
    first = node.batch(job("true", checkpoint=__file__, earlier_marks=(mark, mark)), requeues=1)
    node.run(first)
    assert first.read_exit(0).get("stuck") is True
    second = node.batch(job("true", checkpoint=__file__, earlier_marks=("other", mark)), requeues=1)
    node.run(second)
    assert second.read_exit(0)["code"] == 0


@pytest.mark.parametrize("torn", ['{"job": "900_0", "ho', "\0\0\0\0", "null\n", "{}\n", "[]", "\n\n"])
def test_a_start_that_a_dying_node_tore_is_left_out(node, torn):
    batch = node.batch(job("true"))
    (batch.folder / "0.starts").write_text(torn)
    assert node.run(batch)[0] == 0 and batch.read_exit(0)["code"] == 0
    assert [start.job for start in batch.read_starts(0)] == ["900_0"] and batch.find_array() == "900"


# -- fences


def test_a_batch_that_was_given_up_does_nothing_and_says_so_on_record(node):
    batch = node.batch(job("touch out"), job("touch out"), jobs_per_task=2)
    batch.abandon("a test")
    assert node.run(batch)[0] == 0
    assert not (node.work / "out").exists()
    assert [batch.read_exit(n)["fenced"] for n in (0, 1)] == [True, True]


def test_a_fence_does_not_unmake_an_end(node):
    batch = node.batch(job("true"))
    node.run(batch)
    batch.abandon("a test")
    node.run(batch)
    assert batch.read_exit(0)["code"] == 0


# -- code


def test_jobs_run_while_their_snapshots_are_whole(node):
    batch = node.batch(job("echo ran > out"), snapshots=[store(node.folder, "package", ".zip", b"1")])
    assert node.run(batch) == (0, "") and (node.work / "out").exists()


@pytest.mark.parametrize("damage", ["cut", "removed"])
def test_a_task_with_a_damaged_snapshot_runs_nothing_and_records_it_for_each_job(
    node, monkeypatch, capsys, damage
):
    whole, damaged = (store(node.folder, "package", ".zip", content) for content in (b"first", b"second"))
    damaged.write_bytes(b"sec") if damage == "cut" else damaged.unlink()
    batch = node.batch(
        *(job(f"echo {number} >> ran") for number in range(3)), jobs_per_task=2, snapshots=[whole, damaged]
    )
    monkeypatch.setattr(task_module, "SECONDS_TO_APPEAR", 0)
    assert task_module.run_task(batch.folder, 0, in_process=True) == EXIT_CHANGED
    assert f"{damaged} is not the code that was submitted" in capsys.readouterr().out
    records = [batch.read_exit(number) for number in range(3)]
    assert [record and (record["code"], record["changed"]) for record in records] == [
        *2 * [(EXIT_CHANGED, str(damaged))],
        None,
    ]
    assert not (node.work / "ran").exists() and batch.read_starts(0) == []


def test_a_sibling_that_ended_before_keeps_its_record_when_the_code_is_damaged_later(node, monkeypatch):
    snapshot = store(node.folder, "package", ".zip", b"1")
    batch = node.batch(job("exit 0"), job("exit 75"), jobs_per_task=2, snapshots=[snapshot])
    node.run(batch)
    snapshot.unlink()
    monkeypatch.setattr(task_module, "SECONDS_TO_APPEAR", 0)
    task_module.run_task(batch.folder, 0, in_process=True)
    assert [batch.read_exit(number)["code"] for number in range(2)] == [0, EXIT_CHANGED]


def test_a_snapshot_that_the_file_system_shows_late_is_waited_for(node, monkeypatch):
    snapshot = store(node.folder, "package", ".zip", b"1")
    hidden = snapshot.rename(node.folder / "hidden")
    monkeypatch.setattr(
        task_module.time, "sleep", lambda seconds: hidden.exists() and hidden.rename(snapshot)
    )
    batch = node.batch(job("exit 0"), snapshots=[snapshot])
    assert task_module.run_task(batch.folder, 0, in_process=True) == 0


# -- packed jobs


def test_packed_jobs_run_side_by_side_each_with_an_end_of_its_own(node):
    meet = "touch {me}; until test -e {you}; do sleep 0.01; done; exit {me}"
    batch = node.batch(
        *(job(meet.format(me=me, you=you)) for me, you in ((0, 3), (3, 0), (7, 7))), jobs_per_task=2
    )
    assert node.run(batch)[0] == 3
    assert [batch.read_exit(n) and batch.read_exit(n)["code"] for n in range(3)] == [0, 3, None]
    assert node.run(batch, task=1)[0] == 7


def test_a_restart_of_packed_jobs_runs_those_that_have_not_ended(node):
    commands = [
        "echo 0 >> ran; exit 0",
        "echo 1 >> ran; exit 9",
        "echo 2 >> ran; test -e saved || { touch saved; exit 75; }",
    ]
    batch = node.batch(*map(job, commands), jobs_per_task=3)
    node.run(batch)
    assert node.requeued == ["requeue 900_0"]
    assert [batch.read_exit(n) and batch.read_exit(n)["code"] for n in range(3)] == [0, 9, None]
    assert node.run(batch, restarts=1)[0] == 0
    assert sorted((node.work / "ran").read_text().split()) == ["0", "1", "2", "2"]
    assert [batch.read_exit(n)["code"] for n in range(3)] == [0, 9, 0]


def test_a_packed_job_that_cannot_start_and_one_that_is_stuck_leave_their_siblings_alone(node):
    stuck = job("exit 75", earlier_marks=(None, None))
    batch = node.batch(stuck, job("echo ran > out"), jobs_per_task=2, requeues=1)
    assert node.run(batch)[0] == EXIT_INTERRUPTED
    assert batch.read_exit(0)["stuck"] and batch.read_exit(1)["code"] == 0 and (node.work / "out").exists()


def test_the_program_needs_nothing_but_the_standard_library():
    program = textwrap.dedent(f"""
        import json, runpy, sys
        runpy.run_path({task_module.__file__!r})
        names = {{name.partition('.')[0] for name in sys.modules}}
        print(json.dumps(sorted(names - sys.stdlib_module_names - {{"__main__"}})))
    """)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []
