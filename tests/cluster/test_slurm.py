"""SLURM's programs, faked: every answer they give, every malformed one, and every way in which they fail."""

import os
import shlex
import stat
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakemake_executor_plugin_submitit import slurm as slurm_module
from snakemake_executor_plugin_submitit.answers import parse_exit_code, parse_megabytes, parse_task_ids
from snakemake_executor_plugin_submitit.slurm import (
    FULL,
    OTHER_LIMIT,
    Accounted,
    Queued,
    Refused,
    Slurm,
    Unavailable,
    run_program,
)

PASSING_SAYINGS = [
    "squeue: error: Unable to contact slurm controller (connect failure)",
    "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
    "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)",
    "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
    "slurm_load_jobs error: Socket timed out on send/recv operation",
    "slurm_load_jobs error: Zero Bytes were transmitted or received",
    "sacct: error: Problem talking to the database: Connection refused",
    "sacct: error: slurm_persist_conn_open_without_init: failed to open persistent connection to host:db:6819: "
    "Connection timed out",
    "sacct: error: slurmdbd: Sending PersistInit msg: Connection refused",
    "sbatch: error: Batch job submission failed: Resource temporarily unavailable",
    "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying.",
    "slurm_load_jobs error: Slurm backup controller in standby mode",
    "slurm_load_jobs error: Protocol authentication error",
    "squeue: error: If munged is up, restart with --num-threads=10",
    "squeue: error: slurm_receive_msg: Transport endpoint is not connected",
    "slurm_load_jobs error: Communication connection failure",
    "scancel: error: Kill job error on job id 7: No route to host",
    "squeue: error: Connection reset by peer",
    "sbatch: error: Batch job submission failed: Unexpected missing socket error",
    "sbatch: error: Batch job submission failed: Message send failure",
    "sbatch: error: Batch job submission failed: Message receive failure",
    "sbatch: error: Batch job submission failed: Header lengths are longer than data received",
    "sbatch: error: Batch job submission failed: Received zero length message",
    "sbatch: error: Batch job submission failed: Failed to send entire message",
    "sbatch: error: Batch job submission failed: I/O error writing script/environment to file",
    "sbatch: error: Batch job submission failed: System submissions disabled",
    "sbatch: error: Batch job submission failed: Requested operation is presently disabled",
    "sbatch: error: Batch job submission failed: Required partition not available (inactive or drain)",
    "sbatch: error: Batch job submission failed: Unspecified error",
    "slurm_load_jobs error: Unexpected missing socket error",
    "slurm_load_jobs error: Header lengths are longer than data received",
    "slurm_load_jobs error: Incompatible versions of client and server code",
    "scancel: error: Kill job error on job id 7: Message receive failure",
    "sacct: fatal: something that nobody has seen before",
    "Segmentation fault",
]
NO_SAYINGS = [
    "sbatch: error: invalid partition specified: foo",
    "sbatch: error: Batch job submission failed: Invalid partition name specified",
    "sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified",
    "sbatch: error: Batch job submission failed: Requested node configuration is not available",
    "sbatch: error: Batch job submission failed: Invalid qos specification",
    "sbatch: error: Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)",
    "sbatch: error: Memory specification can not be satisfied",
    "sbatch: error: Batch job submission failed: Invalid generic resource (gres) specification",
    "sbatch: error: Batch job submission failed: Invalid feature specification",
    "sbatch: error: Batch job submission failed: Access/permission denied",
    "sbatch: error: Batch job submission failed: Requested reservation is invalid",
    "sbatch: error: Batch job submission failed: Invalid license specification",
    "sbatch: error: Batch job submission failed: Invalid node name specified",
    "sbatch: error: Batch job submission failed: Job dependency problem",
    "sbatch: error: Invalid --time specification",
    "sbatch: unrecognized option --foo",
    'sbatch: error: Invalid numeric value "abc" for --switches.',
    "slurm_load_jobs error: Invalid job id specified",
    "squeue: error: Invalid job id: abc",
    "Slurm accounting storage is disabled",
    *(
        f"sbatch: error: Batch job submission failed: {words}"
        for words in (
            "No partition specified or system default partition",
            "User's group not permitted to use this partition",
            "Job's account not permitted to use this partition (lab allows a not b)",
            "Access denied to requested reservation",
            "Requested GRES option unsupported by configured SelectType plugin",
            "Job size specification needs to be provided",
            "Memory required by task is not available",
            "Invalid job constraint",
            "Invalid user id",
            "Invalid group id",
            "Invalid --nice value",
            "Invalid cluster name",
            "Invalid KNL configuration (MCDRAM or NUMA option)",
            "Invalid preferred feature specification",
            "Invalid time-min specification (exceeds job's time or other limits)",
            "Duplicate generic resource (gres) specification",
            "Task count specification invalid",
            "Task distribution specification invalid",
            "Requested more tasks than available processors",
            "Requested operation not supported on this system",
            "Cannot request more threads per core than the job allocation",
            "Multiple partition job request not supported when a partition is set in the association",
            "Burst Buffer request invalid",
            "Burst Buffer permission denied",
            "Container support is not configured",
            "Job --batch option is invalid or not a subset of --constraints",
        )
    ),
]


def answering(answers, asked=None):
    """Return a Slurm whose programs print what is in the table, or raise it."""

    def run(command):
        if asked is not None:
            asked.append(list(command))
        answer = answers[command[0]]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Slurm(run)


ACCOUNTING = "AccountingStorageType   = accounting_storage/slurmdbd\n"


# -- ids


@st.composite
def folded_ids(draw):
    """An array, its tasks, and the way squeue writes them."""
    array = str(draw(st.integers(1, 10**9)))
    parts, tasks = [], []
    for _ in range(draw(st.integers(1, 6))):
        first = draw(st.integers(0, 4000))
        count, step = draw(st.integers(1, 20)), draw(st.integers(1, 7))
        last = first + (count - 1) * step
        tasks += range(first, last + 1, step)
        if count == 1:
            parts.append(str(first))
        else:
            parts.append(f"{first}-{last}" + (f":{step}" if step > 1 else ""))
    brake = draw(st.sampled_from(["", "%1", "%50"]))
    return array, tasks, f"{array}_[{','.join(parts)}{brake}]"


@given(folded_ids())
def test_folded_task_ids_unfold_to_what_was_folded(case):
    array, tasks, text = case
    assert parse_task_ids(text) == [(array, task) for task in tasks]


@given(st.integers(1, 10**9), st.integers(0, 10**6))
def test_plain_ids_are_themselves(array, task):
    assert parse_task_ids(f" {array}_{task}\n") == [(str(array), task)]
    assert parse_task_ids(str(array)) == [(str(array), 0)]


@pytest.mark.parametrize(
    "text",
    ["", "_", "12_", "12_[", "12_[]", "12_[0-3", "12_[0-3...]", "a_1", "12_x", "12+0", "12_1_1", "(null)",
     "١٢_٣",
     "12.batch", "-12", "12_[0-99999999999]", "9" * 6000 + "_" + "9" * 6000, "\0", "12_1\0"],
)  # fmt: skip
def test_what_is_no_task_id_names_no_task(text):
    assert parse_task_ids(text) == []


@given(st.text())
def test_no_text_whatever_breaks_the_parsers(text):
    parse_task_ids(text)
    parse_exit_code(text)
    parse_megabytes(text)


@pytest.mark.parametrize(
    "text, expected", [("1:0", (1, 0)), ("0:9", (0, 9)), (" 0:15 ", (0, 15)), ("", (0, 0))]
)
def test_exit_codes_are_code_and_signal(text, expected):
    assert parse_exit_code(text) == expected


@pytest.mark.parametrize(
    "text, megabytes",
    [("1024K", 1), ("1.50G", 1536), ("3M", 3), ("2T", 2 * 2**20), ("1048576", 1), ("0", 0), ("", -1),
     ("16?", -1),
     ("K", -1), ("1,5G", -1), ("-1K", -1)],
)  # fmt: skip
def test_memory_is_read_in_every_unit(text, megabytes):
    assert parse_megabytes(text) == megabytes


# -- squeue


def test_every_state_of_the_queue_is_passed_on_with_reason_node_and_time_left():
    states = ["PENDING", "RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "RESIZING", "REQUEUED",
              "SIGNALING",
              "STAGE_OUT", "STOPPED", "REQUEUE_HOLD", "SPECIAL_EXIT", "NODE_FAIL",
              "A_STATE_OF_TOMORROW"]  # fmt: skip
    answer = "".join(f"12_{n}|{state}|1:00|n{n}|Why\n" for n, state in enumerate(states))
    queued = answering({"squeue": answer}).queued(["12"])
    assert queued == {("12", n): Queued(state, "Why", "1:00", f"n{n}") for n, state in enumerate(states)}


def test_tasks_that_a_folded_line_calls_held_are_asked_for_one_by_one():
    def run(command):
        if "-r" not in command:
            return "12_[1-3]|PENDING|1:00||Resources,JobHeldUser|uuid\n13_0|RUNNING|0:30|n1|None|uuid\n"
        assert command[command.index("-j") + 1] == "12"
        reasons = ("Resources", "launch failed requeued held", "Resources")
        return "".join(f"12_{n}|PENDING|1:00||{reason}|uuid\n" for n, reason in enumerate(reasons, start=1))

    queued = Slurm(run).queued(["12", "13"])
    assert {task: one.reason for task, one in queued.items()} == {
        ("12", 1): "Resources",
        ("12", 2): "launch failed requeued held",
        ("12", 3): "Resources",
        ("13", 0): "None",
    }


def test_a_folded_line_speaks_for_all_its_tasks():
    queued = answering({"squeue": "12_[1-3%2]|PENDING|1:00||Priority\n12_0|RUNNING|0:30|n1|None\n"}).queued(
        ["12"]
    )
    assert {task: one.state for task, one in queued.items()} == {
        ("12", 0): "RUNNING", ("12", 1): "PENDING", ("12", 2): "PENDING", ("12", 3): "PENDING"}  # fmt: skip


def test_a_comment_is_passed_on_so_that_an_id_given_out_twice_is_noticed_and_may_hold_a_bar():
    answer = "12_0|PENDING|1:00||Priority|abcd a|b\n12_1|PENDING|1:00||Priority|(null)\n12_2|PENDING|1:00||Priority|\n"
    comments = [task.comment for task in answering({"squeue": answer}).queued(["12"]).values()]
    assert comments[0].split()[0] == "abcd" and comments[1:] == ["", ""]


@pytest.mark.parametrize(
    "line", ["", "   ", "squeue: warning: something", "||||", "|", "\0\0\0", "�\x01|\x02|||",
    "Lmod has detected 1 error",
             "٣|RUNNING|||", "99_0|RUNNING", "slurm_update error"]
)  # fmt: skip
def test_a_line_that_is_not_about_our_arrays_is_left_out(line):
    queued = answering({"squeue": f"{line}\n12_0|RUNNING|1:00|n1|None\n{line}"}).queued(["12"])
    assert list(queued) == [("12", 0)]


@pytest.mark.parametrize(
    "line",
    [
        "12_[0-3",
        "12_[0-3...]|PENDING|1:00||Priority",
        "12_3",
        "12_3|PEND",
        "12_x|RUNNING|1:00|n1|None",
        "12_",
    ],
)
def test_a_torn_line_about_our_array_is_no_answer_at_all(line):
    """Left out, its tasks would look gone, and be submitted a second time."""
    with pytest.raises(Unavailable, match="squeue"):
        answering({"squeue": f"12_0|RUNNING|1:00|n1|None\n{line}\n"}).queued(["12"])


def test_one_query_asks_for_all_arrays_and_none_is_made_for_none():
    asked = []
    slurm = answering({"squeue": ""}, asked)
    assert slurm.queued(["3", "12", "3"]) == {} and slurm.queued([]) == {} and slurm.accounted([]) == {}
    assert [command[command.index("-j") + 1] for command in asked] == ["12,3"]


def test_arrays_that_slurm_has_forgotten_are_gone_and_other_refusals_are_not_swallowed():
    assert (
        answering({"squeue": Refused("slurm_load_jobs error: Invalid job id specified")}).queued(["12"]) == {}
    )
    with pytest.raises(Refused, match="denied"):
        answering({"squeue": Refused("Access/permission denied")}).queued(["12"])
    with pytest.raises(Unavailable):
        answering({"squeue": Unavailable("away")}).queued(["12"])


def test_arrays_are_found_by_the_first_word_of_their_comment_or_by_their_script(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    (real / "batches").mkdir(parents=True)
    link.symlink_to(real)
    answer = (
        "7|PENDING|abcd horn x3|/moved/batches/abcd/x.sh\n8|RUNNING||\n9|RUNNING|(null)|(null)\n"
        "no bar\n|RUNNING|efgh|\n"
        f"x|RUNNING|ijkl|\n10|RUNNING|mnop with|bar|{tmp_path}/other/batches/mnop/x.sh\n11|  \n\0|\0\n"
        f"12|RUNNING|the site's|{real}/batches/qrst/x.sh\n13|RUNNING||{link}/batches/uvwx/x.sh\n"
        f"14|RUNNING|foreign job|{tmp_path}/other/batches/yzab/x.sh\n15|RUNNING|cdef a|b|{link}/batches/cdef/x.sh\n"
    )
    for folder in (real, link, tmp_path / "other/../link"):
        arrays = answering({"squeue": answer}).find_arrays(folder, ["abcd", "efgh", "ijkl", "mnop"])
        assert {uuid: array.id for uuid, array in arrays.items()} == {
            "abcd": "7", "mnop": "10", "qrst": "12", "uvwx": "13", "cdef": "15"
        }  # fmt: skip


@pytest.mark.parametrize(
    ("states", "has_ended"),
    [(["COMPLETING"], True), (["COMPLETED", "CANCELLED", "COMPLETING"], True), (["COMPLETED"], True),
     (["COMPLETING", "RUNNING"], False), (["COMPLETED", "PENDING"], False), (["REQUEUE_HOLD"], False),
     (["A NEW STATE"], False)],
)  # fmt: skip
def test_an_array_has_ended_when_all_its_tasks_have_or_leave_their_nodes(states, has_ended):
    answer = "\n".join(f"7|{state}|abcd|" for state in states)
    (array,) = answering({"squeue": answer}).find_arrays(Path("/"), ["abcd"]).values()
    assert (array.id, array.has_ended) == ("7", has_ended)


def test_the_queue_is_asked_for_the_user_who_runs_whatever_the_shell_calls_him(monkeypatch):
    monkeypatch.setenv("LOGNAME", "somebody_else")
    monkeypatch.setenv("USER", "somebody_else")
    asked = []
    answering({"squeue": ""}, asked).find_arrays(Path("/"), [])
    assert asked[0][asked[0].index("-u") + 1] == str(os.getuid())


# -- sinfo


NODES = (
    "n1|cpu*|drained|Duplicate jobid\nn2|cpu*|mixed|none\nn2|gpu|mixed|none\ng1|gpu|down*|Not responding|!\n"
)


@pytest.mark.parametrize(
    ("partitions", "expected"),
    [(None, (["n1 drained (Duplicate jobid)"], 2)), ("gpu", (["g1 down* (Not responding|!)"], 2)),
     ("gpu,cpu", (["n1 drained (Duplicate jobid)", "g1 down* (Not responding|!)"], 3)), ("none", ([], 0))],
)  # fmt: skip
def test_nodes_that_take_no_jobs_are_listed_with_state_and_reason(partitions, expected):
    assert answering({"sinfo": NODES}).unavailable_nodes(partitions) == expected


@pytest.mark.parametrize(
    "state", ["idle", "mixed", "allocated", "completing", "idle~", "allocated#", "planned"]
)
def test_a_node_that_takes_jobs_or_can_be_woken_is_not_listed(state):
    assert answering({"sinfo": f"n1|cpu*|{state}|none\n"}).unavailable_nodes(None) == ([], 1)


@pytest.mark.parametrize(
    "state", ["down", "drained", "draining", "drained*", "idle*", "fail", "maint", "unknown"]
)
def test_a_node_that_takes_no_jobs_is_listed(state):
    assert answering({"sinfo": f"n1|cpu*|{state}|none\n"}).unavailable_nodes(None) == ([f"n1 {state}"], 1)


@pytest.mark.parametrize("answer", ["", "\n", "n1", "n1|cpu*", "|||", "\0"])
def test_a_malformed_list_of_nodes_breaks_nothing(answer):
    assert answering({"sinfo": answer}).unavailable_nodes(None)[0] == []


# -- scontrol show job

SHOWN = """
JobId=12 ArrayJobId=12 ArrayTaskId=4-5%1 JobName=wrap JobState=PENDING Reason=Priority Comment=abcd train x
JobId=15 ArrayJobId=12 ArrayTaskId=3 JobName=wrap JobState=RUNNING Reason=None Comment=abcd train x  StdErr=/dev/null
JobId=14 ArrayJobId=12 ArrayTaskId=2 JobName=wrap JobState=COMPLETED Reason=None Comment=abcd train x
JobId=13 ArrayJobId=12 ArrayTaskId=1 JobName=wrap JobState=COMPLETING Reason=None StdErr=/dev/null
"""


def test_the_controller_asked_by_id_names_the_tasks_that_are_alive_and_whose_they_are():
    assert answering({"scontrol": SHOWN}).look_up(["12"]) == {
        ("12", 1): Queued("COMPLETING"),
        ("12", 3): Queued("RUNNING", comment="abcd"),
        ("12", 4): Queued("PENDING", comment="abcd"),
        ("12", 5): Queued("PENDING", comment="abcd"),
    }


def test_an_array_that_the_controller_has_forgotten_has_no_task_alive():
    forgotten = Refused("scontrol: slurm_load_jobs error: Invalid job id specified")
    assert answering({"scontrol": forgotten}).look_up(["12"]) == {}
    assert answering({"scontrol": "JobId=12 JobName=of_another JobState=RUNNING"}).look_up(["12"]) == {}
    with pytest.raises(Unavailable):
        answering({"scontrol": Unavailable("away")}).look_up(["12"])


def test_a_cut_list_of_tasks_is_no_answer_at_all():
    with pytest.raises(Unavailable, match="scontrol"):
        answering({"scontrol": SHOWN.replace("4-5%1", "4,6,8...")}).look_up(["12"])


# -- sacct


def test_accounts_tell_state_code_signal_node_and_the_most_memory_of_the_steps():
    answer = (
        "12_0|COMPLETED|0:0|n1|\n12_0.batch|COMPLETED|0:0|n1|2048K\n12_0.extern|COMPLETED|0:0|n1|0\n"
        "12_0.0|COMPLETED|0:0|n1|5M\n12_1|FAILED|3:0|n2|\n12_2|FAILED|0:9|n2|\n"
        "12_3|CANCELLED by 1000|0:0|None assigned|\n"
        "12_[4-5]|PENDING|0:0|None assigned|\n"
    )
    accounts = answering({"scontrol": ACCOUNTING, "sacct": answer}).accounted(["12"])
    assert accounts == {
        ("12", 0): Accounted("COMPLETED", 0, 0, "n1", 5.0),
        ("12", 1): Accounted("FAILED", 3, 0, "n2"),
        ("12", 2): Accounted("FAILED", 0, 9, "n2"),
        ("12", 3): Accounted("CANCELLED by 1000", 0, 0, "None assigned"),
        ("12", 4): Accounted("PENDING", 0, 0, "None assigned"),
        ("12", 5): Accounted("PENDING", 0, 0, "None assigned"),
    }


@pytest.mark.parametrize(
    "line", ["", "12_0|COMPLETED", "|||||", "||||", "12_0|COMPLETED|0:0|n1||", "x|COMPLETED|0:0|n1|", "\0",
    "sacct: hello",
             ".batch|FAILED|1:0|n1|5K", "12_0.batch|FAILED|1:0|n1|much"]
)  # fmt: skip
def test_a_malformed_line_of_the_accounting_says_nothing(line):
    answer = f"{line}\n12_1|TIMEOUT|0:0|n1|\n{line}\n"
    accounts = answering({"scontrol": ACCOUNTING, "sacct": answer}).accounted(["12"])
    assert accounts == {("12", 1): Accounted("TIMEOUT", 0, 0, "n1")}


def test_a_malformed_exit_code_leaves_the_state():
    accounts = answering({"scontrol": ACCOUNTING, "sacct": "12_1|FAILED|garbage|n1|\n"}).accounted(["12"])
    assert accounts["12", 1] == Accounted("FAILED", 0, 0, "n1")


@given(st.text(), st.text())
def test_no_answer_whatever_breaks_the_queries(queue, accounts):
    slurm = answering({"scontrol": ACCOUNTING, "sacct": accounts, "squeue": queue})
    try:
        slurm.queued(["12"])
    except Unavailable:
        assert "12" in queue
    slurm.accounted(["12"])
    slurm.find_arrays(Path("/"), ["abcd"])
    off = answering({"scontrol": queue, "squeue": accounts})
    off.max_array_size()
    off.has_accounting()
    off.requeues_by_default()


@pytest.mark.parametrize("storage", ["accounting_storage/none", "(null)", ""])
def test_without_accounting_the_controllers_memory_is_asked(storage):
    asked = []
    slurm = answering(
        {
            "scontrol": f"AccountingStorageType   = {storage}\n",
            "squeue": "12_0|COMPLETED|n1\n12_1|NODE_FAIL|n2\n12_[2-3]|PENDING|\n12_4|COMP",
        },
        asked,
    )
    accounts = slurm.accounted(["12"])
    assert {task: one.state for task, one in accounts.items()} == {
        ("12", 0): "COMPLETED", ("12", 1): "NODE_FAIL", ("12", 2): "PENDING", ("12", 3): "PENDING"}  # fmt: skip
    assert "sacct" not in {command[0] for command in asked}


def test_without_accounting_forgotten_arrays_are_unknown():
    none = "AccountingStorageType   = accounting_storage/none\n"
    forgotten = Refused("slurm_load_jobs error: Invalid job id specified")
    assert answering({"scontrol": none, "squeue": forgotten}).accounted(["12"]) == {}
    with pytest.raises(Refused):
        answering({"scontrol": none, "squeue": Refused("Access/permission denied")}).accounted(["12"])


# -- scontrol, scancel


def test_the_configuration_is_asked_once_and_read_with_slurms_defaults_where_it_is_silent():
    asked = []
    slurm = answering(
        {"scontrol": "MaxArraySize            = 25\nJobRequeue = 0\nX = a = b\nno pair\n"}, asked
    )
    assert slurm.max_array_size() == 25 and not slurm.requeues_by_default() and len(asked) == 1
    silent = answering({"scontrol": "MaxArraySize = lots\n"})
    assert silent.max_array_size() == 1001 and silent.requeues_by_default()


def test_cancelling_survives_what_has_ended_and_cuts_long_lists():
    asked = []
    gone = Refused("scancel: error: Kill job error on job id 7: Invalid job id specified")
    answering({"scancel": gone}, asked).cancel([f"7_{n}" for n in range(1200)])
    assert [len(command) - 1 for command in asked] == [500, 500, 200]
    ending = Refused("scancel: error: Kill job error on job id 7: Job/step already completing or completed")
    answering({"scancel": ending}).cancel(["7"])
    answering({}).cancel([])
    with pytest.raises(Refused):
        answering(
            {"scancel": Refused("scancel: error: Kill job error on job id 7: Access/permission denied")}
        ).cancel(["7"])
    with pytest.raises(Unavailable):
        answering({"scancel": Unavailable("away")}).cancel(["7"])


def test_names_for_a_message_are_sorted_and_empty_where_nobody_answers():
    assert answering({"sinfo": "gpu\ncpu\n\ngpu\n"}).names(["sinfo"]) == ["cpu", "gpu"]
    assert answering({"sinfo": Unavailable("away")}).names(["sinfo"]) == []
    assert answering({"sinfo": Refused("no")}).names(["sinfo"]) == []


# -- real programs


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Write an executable that comes first on PATH."""

    def write(name, body, mode=0o755):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(mode)
        monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
        return path

    return write


@pytest.mark.parametrize("said", PASSING_SAYINGS)
def test_a_message_that_may_pass_or_is_unknown_is_no_refusal(program, said):
    program("squeue", f"echo {shlex.quote(said)} >&2; exit 1")
    with pytest.raises(Unavailable) as caught:
        run_program(["squeue"])
    assert said in str(caught.value)


@pytest.mark.parametrize("said", NO_SAYINGS)
def test_a_controller_that_says_no_has_refused(program, said):
    program("squeue", f"echo {shlex.quote(said)} >&2; exit 1")
    with pytest.raises(Refused) as caught:
        run_program(["squeue"])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "limit, full",
    [("AssocMaxSubmitJobLimit", True), ("QOSMaxSubmitJobPerUserLimit", True), ("AssocGrpSubmitJobsLimit", True),
     ("QOSGrpSubmitJobsLimit", True), ("QOSMaxSubmitJobPerAccountLimit", True),
     ("QOSMaxWallDurationPerJobLimit", False), ("AssocMaxWallDurationPerJobLimit", False),
     ("QOSMaxCpuPerJobLimit", False), ("AssocMaxCpuPerJobLimit", False), ("QOSMaxMemoryPerJob", False),
     ("QOSMaxNodePerJobLimit", False)],
)  # fmt: skip
def test_a_full_queue_is_told_from_a_limit_that_waiting_does_not_lift(limit, full):
    said = (
        f"{limit}; Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size "
        "and/or time limits)"
    )
    assert bool(FULL.search(said) and not OTHER_LIMIT.search(said)) is full


def test_a_program_prints_its_answer_with_whatever_bytes(program):
    program("squeue", r"printf '12_0|RUNNING\377\n'")
    assert run_program(["squeue"]) == "12_0|RUNNING�\n"


def test_an_exit_status_without_words_is_told(program):
    program("squeue", "exit 3")
    with pytest.raises(Unavailable, match="exit 3"):
        run_program(["squeue"])


def test_a_program_that_does_not_answer_is_unavailable(program, monkeypatch):
    monkeypatch.setattr(slurm_module, "SECONDS", 0.2)
    program("squeue", "exec sleep 20")
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="did not answer"):
        run_program(["squeue"])
    assert time.monotonic() - begun < 5


def test_a_program_that_is_asked_for_a_remark_alone_is_given_less_time(program, monkeypatch):
    program("sinfo", "sleep 60")
    monkeypatch.setattr(slurm_module, "SECONDS_FOR_REMARKS", 0.2)
    with pytest.raises(Unavailable, match=r"sinfo did not answer within 0.2 s"):
        Slurm().unavailable_nodes("cpu")


def test_a_program_that_is_killed_has_said_nothing_and_is_asked_again(program):
    program("squeue", "kill -9 $$")
    with pytest.raises(Unavailable, match="squeue"):
        run_program(["squeue"])


def test_a_machine_without_a_process_to_spare_is_asked_again(monkeypatch):
    def fork_fails(*args, **kwargs):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(slurm_module.subprocess, "run", fork_fails)
    with pytest.raises(Unavailable, match="squeue"):
        run_program(["squeue"])


def test_a_program_that_is_missing_or_not_ours_to_run_is_refused(program, tmp_path):
    with pytest.raises(Refused, match="squeue_of_no_machine"):
        run_program(["squeue_of_no_machine"])
    path = program("squeue", "true", mode=stat.S_IRUSR)
    with pytest.raises(Refused, match="squeue"):
        run_program([str(path)])


def test_programs_speak_english_unfolded_and_in_a_session_of_their_own(program):
    program(
        "squeue", 'echo "$LC_ALL $SLURM_BITSTR_LEN $SLURM_TIME_FORMAT"; cut -d" " -f6 /proc/$$/stat; echo $$'
    )
    words, session, pid = run_program(["squeue"]).splitlines()
    assert words == "C.UTF-8 0 standard" and session == pid


def test_variables_of_the_caller_that_change_an_answer_reach_no_program(program, monkeypatch):
    """`SQUEUE_PARTITION=other` hid running jobs, so that they were submitted again."""
    filters = ["SQUEUE_PARTITION", "SQUEUE_STATES", "SQUEUE_USERS", "SQUEUE_FORMAT2", "SACCT_FORMAT",
               "SACCT_FEDERATION", "SCANCEL_STATE", "SCANCEL_INTERACTIVE", "SCONTROL_FUTURE", "SINFO_PARTITION",
               "SBATCH_PARTITION", "SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_EXPORT_ENV",
               "SLURM_CLUSTER_NAME"]  # fmt: skip
    for name in filters:
        monkeypatch.setenv(name, "7")
    monkeypatch.setenv("SLURM_CONF", "/etc/other.conf")
    monkeypatch.setenv("SLURM_CLUSTERS", "big")
    program("squeue", "env")
    variables = dict(line.split("=", 1) for line in run_program(["squeue"]).splitlines() if "=" in line)
    assert set(filters) & set(variables) == set()
    assert (variables["SLURM_CONF"], variables["SLURM_CLUSTERS"]) == ("/etc/other.conf", "big")


def test_what_is_asked_reaches_the_program_as_one_word_each(program, tmp_path):
    program("scancel", f'for word in "$@"; do echo "[$word]" >> {tmp_path}/asked; done')
    Slurm().cancel([f"7; touch {tmp_path}/x", "$(touch x)"])
    assert Path(tmp_path, "asked").read_text() == f"[7; touch {tmp_path}/x]\n[$(touch x)]\n"
    assert not Path(tmp_path, "x").exists()


@pytest.mark.parametrize(
    "error",
    [
        Refused("sacct: No such file or directory"),
        Unavailable("sacct: fatal: something that nobody has seen before"),
    ],
)
def test_a_sacct_that_fails_leaves_what_the_controller_remembers(error):
    def run(command):
        if command[0] == "sacct":
            raise error
        if command[0] == "scontrol":
            return "AccountingStorageType = accounting_storage/slurmdbd\n"
        return "12_3|TIMEOUT|n1\n"

    assert Slurm(run).accounted(["12"])[("12", 3)].state == "TIMEOUT"
