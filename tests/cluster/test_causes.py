"""Why a job ended: every state of SLURM, with and without the node's own record, which counts first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakemake_executor_plugin_submitit.causes import Cause, judge
from snakemake_executor_plugin_submitit.slurm import Accounted
from snakemake_executor_plugin_submitit.snapshots import LAUNCHER


def account(state, code=0, signal=0, nodes="n1", memory=-1.0):
    return Accounted(state, code, signal, nodes, memory)


STATES = {
    "COMPLETED": Cause.SUCCESS,
    "FAILED": Cause.INTERRUPTED,  # a job's own failure is on record: here its task was ended from outside
    "TIMEOUT": Cause.TIMEOUT,
    "DEADLINE": Cause.TIMEOUT,
    "NODE_FAIL": Cause.NODE,
    "BOOT_FAIL": Cause.NODE,
    "PREEMPTED": Cause.PREEMPTED,
    "CANCELLED": Cause.CANCELLED,
    "CANCELLED by 1000": Cause.CANCELLED,
    "CANCELLED+": Cause.CANCELLED,
    "OUT_OF_MEMORY": Cause.MEMORY,
    "OUT_OF_ME+": Cause.MEMORY,
    "REVOKED": Cause.VANISHED,
    "SPECIAL_EXIT": Cause.VANISHED,
    "RUNNING": Cause.VANISHED,
    "A_STATE_OF_TOMORROW": Cause.VANISHED,
    "": Cause.VANISHED,
    " ": Cause.VANISHED,
    "+": Cause.VANISHED,
}


@pytest.mark.parametrize("state", STATES)
def test_without_a_record_slurms_state_is_the_cause(state):
    assert judge(None, account(state)).cause is STATES[state]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    "code, cause", [(0, Cause.SUCCESS), (1, Cause.EXIT_CODE), (75, Cause.INTERRUPTED), (-11, Cause.SIGNAL)]
)
def test_what_the_job_left_on_the_disk_counts_first(state, code, cause):
    assert judge({"code": code, "host": "n1"}, account(state)).cause is cause
    assert judge({"code": code, "host": "n1"}, None).cause is cause


@pytest.mark.parametrize(
    "record, cause, word",
    [({"code": 3, "host": "n7"}, Cause.EXIT_CODE, "exit code 3 on n7"),
     ({"code": 1}, Cause.EXIT_CODE, "its node"),
     ({"code": -9}, Cause.SIGNAL, "SIGKILL"), ({"code": 137}, Cause.SIGNAL, "SIGKILL"),
     ({"code": -11}, Cause.SIGNAL, "SIGSEGV"), ({"code": 159}, Cause.SIGNAL, "SIGSYS"),
     ({"code": 160}, Cause.EXIT_CODE, "160"),
     ({"code": 255}, Cause.EXIT_CODE, "255"), ({"code": -62}, Cause.SIGNAL, "signal 62"),
     ({"code": 75, "stuck": True}, Cause.STUCK, "checkpoint"),
     ({"code": 78, "changed": "/a b/x.zip"}, Cause.CHANGED, "/a b/x.zip is not the code that was submitted"),
     ({"code": 78}, Cause.EXIT_CODE, "78"),
     ({"code": 75, "fenced": True}, Cause.FENCED, "given up"),
     ({"code": 75, "refused": "Job is pending"}, Cause.INTERRUPTED, "Job is pending")],
)  # fmt: skip
def test_a_record_tells_its_cause_in_words(record, cause, word):
    verdict = judge(record, None)
    assert verdict.cause is cause and word in verdict.sentence


def test_a_task_without_a_record_that_failed_tells_how_and_where():
    assert "SIGTERM on n1" not in judge(None, account("FAILED", 0, 15)).sentence
    assert (
        "n1" in judge(None, account("FAILED", 0, 15)).sentence
        and "SIGTERM" in judge(None, account("FAILED", 0, 15)).sentence
    )
    assert "exit code 3" in judge(None, account("FAILED", 3)).sentence
    assert "signal 99" in judge(None, account("FAILED", 0, 99)).sentence


@pytest.mark.parametrize("state", ["NODE_FAIL", "BOOT_FAIL"])
def test_a_failed_node_is_named_so_that_others_are_taken(state):
    assert judge(None, account(state, nodes="n[1-2]")).nodes == ("n[1-2]",)
    for nodes in ("", "None assigned"):
        assert judge(None, account(state, nodes=nodes)).nodes == ()


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED"])
def test_a_task_that_ran_and_left_nothing_is_on_a_node_that_does_not_see_the_folder(state):
    assert judge(None, account(state), started=False).cause is Cause.UNSEEN


def test_a_task_that_ended_before_it_noted_its_start_runs_again_when_its_log_shows_that_the_folder_is_seen():
    assert judge(None, account("FAILED"), started=False, logged=True).cause is Cause.INTERRUPTED


@pytest.mark.parametrize("state", sorted(set(STATES) - {"COMPLETED", "FAILED"}))
def test_a_task_that_never_ran_may_leave_nothing(state):
    assert judge(None, account(state), started=False).cause is STATES[state]


@pytest.mark.parametrize("accounted", [account("COMPLETED"), None])
def test_a_job_behind_the_fence_did_nothing_and_is_no_success(accounted):
    assert judge(None, accounted, started=False, fenced=True).cause is Cause.FENCED
    assert judge(None, account("COMPLETED"), started=True, fenced=True).cause is Cause.SUCCESS


def test_a_waiting_task_that_is_gone_while_its_siblings_are_known_was_cancelled():
    assert judge(None, None, started=False, alone_unknown=True).cause is Cause.CANCELLED
    assert judge(None, None, started=True, alone_unknown=True).cause is Cause.VANISHED
    assert judge(None, None, started=False).cause is Cause.VANISHED


@pytest.mark.parametrize(
    "said",
    ["slurmstepd: error: Detected 1 oom-kill event(s) in StepId=7.0. Some of your processes may have been "
     "killed by the cgroup out-of-memory handler.", "slurmstepd: error: Detected 1 oom_kill event in StepId=7.batch",
     "slurmstepd: error: Step 7.0 exceeded memory limit (412 > 100), being killed",
     "slurmstepd: error: Exceeded job memory limit",
     "slurmstepd: error: StepId=7.0 exceeded memory limit (400 > 100), being killed"],
)  # fmt: skip
def test_a_kill_with_slurms_word_for_memory_is_out_of_memory(said):
    assert judge({"code": -9}, None, said).cause is Cause.MEMORY
    assert judge({"code": 137}, account("FAILED", 0, 9), said).cause is Cause.MEMORY
    assert judge(None, account("FAILED", 0, 9), said).cause is Cause.MEMORY


@pytest.mark.parametrize("code", [1, 3, -11, -15])
def test_other_ends_are_not_taken_for_memory_by_a_word_in_the_log(code):
    assert (
        judge({"code": code}, None, "MemoryError: out of memory handler; oom-kill").cause is not Cause.MEMORY
    )


@pytest.mark.parametrize("state", ["TIMEOUT", "NODE_FAIL", "PREEMPTED", "COMPLETED"])
def test_slurms_state_counts_before_an_old_line_of_the_log(state):
    assert judge(None, account(state), "Detected 1 oom-kill event(s)").cause is STATES[state]


@pytest.mark.parametrize(
    "used, cause", [(99.0, Cause.MEMORY), (400.0, Cause.MEMORY), (94.0, Cause.SIGNAL), (-1.0, Cause.SIGNAL)]
)
def test_a_kill_near_the_limit_is_out_of_memory(used, cause):
    verdict = judge({"code": -9}, account("FAILED", 0, 9, memory=used), memory_mb=100.0)
    assert verdict.cause is cause
    assert cause is Cause.SIGNAL or ("100 MB" in verdict.sentence and f"{used:.0f} MB" in verdict.sentence)


@pytest.mark.parametrize("accounted", [account("FAILED", 1), account("CANCELLED"), None])
@pytest.mark.parametrize("started", [True, False])
def test_a_task_that_refused_its_program_is_told_by_its_log(accounted, started):
    said = "    module x\n    /a b/task-0.py is not the code that was submitted\n    srun: error: n1: task 0: Exited"
    verdict = judge(None, accounted, said, started=started)
    assert verdict.cause is Cause.CHANGED and "because /a b/task-0.py is not" in verdict.sentence


def test_a_log_that_quotes_the_launcher_refuses_nothing():
    """SLURM prints the command line of a task that it cannot launch."""
    assert judge(None, None, f"srun: error: python -c {LAUNCHER} /a/task-0.py").cause is Cause.VANISHED
    assert judge(None, account("NODE_FAIL"), LAUNCHER).cause is Cause.NODE


@pytest.mark.parametrize(
    ("sample", "end"),
    [
        (4100.0, "; SLURM's largest sample is 4100 MB"),
        (1051.0, "; SLURM's largest sample is 1051 MB, which misses a peak between two samples"),
        (-1.0, ""),
    ],
)
def test_the_limit_is_said_to_be_of_all_processes_and_a_figure_below_it_to_be_a_sample(sample, end):
    verdict = judge(None, account("OUT_OF_MEMORY", 0, 9, memory=sample), memory_mb=4000.0)
    assert verdict.sentence == f"out of memory; 4000 MB were asked for, for all its processes together{end}"


def test_near_the_limit_without_a_kill_is_an_ordinary_end():
    assert judge({"code": 1}, account("FAILED", 1, 0, memory=100.0), memory_mb=100.0).cause is Cause.EXIT_CODE
    assert judge({"code": -9}, account("FAILED", 0, 9, memory=100.0)).cause is Cause.SIGNAL


def test_what_goes_on_and_what_does_not():
    """An exit code and a scancel are never tried again; more memory after a lack of it is the caller's affair."""
    assert {cause for cause in Cause if not cause.goes_on} == {
        Cause.SUCCESS, Cause.EXIT_CODE, Cause.SIGNAL, Cause.MEMORY, Cause.CANCELLED, Cause.STUCK,
        Cause.UNSEEN, Cause.CHANGED}  # fmt: skip


@given(
    st.none()
    | st.fixed_dictionaries(
        {"code": st.integers(-70, 300)}, optional={"stuck": st.booleans(), "host": st.text()}
    ),
    st.none() | st.builds(Accounted, st.text(), st.integers(), st.integers(), st.text(), st.floats()),
    st.text(),
    st.none() | st.floats(1),
    st.booleans(),
    st.booleans(),
)
def test_every_end_has_a_cause_and_a_sentence(record, accounted, said, memory, started, fenced):
    verdict = judge(record, accounted, said, memory, started, fenced)
    assert isinstance(verdict.cause, Cause) and verdict.sentence
    if record is not None and record["code"] == 0:
        assert verdict.cause is Cause.SUCCESS
