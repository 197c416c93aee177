"""How jobs end, why, and what follows from each cause."""

import errno
import json
import os
import time as real_time
from pathlib import Path

import pytest
from snakemake_executor_plugin_submitit.batches import Batch, read_batches
from snakemake_executor_plugin_submitit.requests import StopSweep
from snakemake_executor_plugin_submitit.slurm import Accounted, Queued, Unavailable


def lost(head, cluster, account, **policy):
    """A job runs and is gone without a record; return its head after enough turns to believe it."""
    one = head(**policy).want("job0", logs=["theirs.log"]).turn()
    cluster.start("100", 0)
    one.turn()
    cluster.lose("100", 0, account)
    return one


@pytest.mark.parametrize("state", ["NODE_FAIL", "BOOT_FAIL", "TIMEOUT", "DEADLINE", "PREEMPTED", "FAILED"])
def test_what_is_not_the_jobs_fault_is_submitted_again(head, cluster, state):
    one = lost(head, cluster, Accounted(state, 0, 9 if state == "FAILED" else 0, "n7"))
    assert one.run() == {"job0": "succeeded"}
    assert len(cluster.submissions) == 2 and any("submitted again" in said for said in one.said)
    exclude = cluster.submissions[1][2].get("exclude")
    assert exclude == ("n7" if state in ("NODE_FAIL", "BOOT_FAIL") else None)


def test_out_of_memory_gets_twice_as_much_so_many_times(head, cluster):
    one = head(memory_retries=2).want("job0", mem_mb=100).turn()
    for array in ("100", "101", "102"):
        cluster.start(array, 0)
        one.turn()
        cluster.lose(array, 0, Accounted("OUT_OF_MEMORY", 0, 9, "n1"))
        one.turn(4)
    assert [parameters["mem"] for _, _, parameters in cluster.submissions] == ["100MB", "200MB", "400MB"]
    assert one.ends == {"job0": "failed"} and "400 MB" in one.messages["job0"]
    *earlier, last = [batch.read_exit(0) for batch in read_batches(one.folder)]
    assert [record["cause"] for record in (*earlier, last)] == 3 * ["MEMORY"]
    assert last["final"] and last["sentence"] in one.messages["job0"]
    assert not any("final" in record for record in earlier)


def test_more_memory_than_any_node_has_fails_the_job_and_not_the_sweep(head, cluster):
    one = lost(head, cluster, Accounted("OUT_OF_MEMORY", 0, 9, "n1"))
    cluster.outcomes.append("refused")
    assert one.run() == {"job0": "failed"} and "out of memory" in one.messages["job0"]
    (batch,) = read_batches(one.folder)
    record = batch.read_exit(0)
    assert record["final"] and record["cause"] == "MEMORY" and record["sentence"] in one.messages["job0"]


def test_the_last_of_too_many_restarts_is_recorded_as_a_failure(head, cluster):
    one = head(requeues=1).want("job0").turn()
    for array in range(100, 105):
        cluster.start(str(array), 0)
        one.turn()
        cluster.lose(str(array), 0, Accounted("PREEMPTED", 0, 0, "n1"))
        one.turn(4)
    assert one.ends == {"job0": "failed"}
    *_, last = read_batches(one.folder)
    assert last.read_exit(0)["final"] and last.read_exit(0)["cause"] == "PREEMPTED"


def test_scancel_ends_a_job_for_good(head, cluster):
    one = lost(head, cluster, Accounted("CANCELLED by 1000", 0, 0, "n1"))
    assert one.run() == {"job0": "failed"} and "scancel" in one.messages["job0"]


@pytest.mark.parametrize(
    "code, more, word", [(3, {}, "exit code 3"), (-11, {}, "SIGSEGV"), (75, {"stuck": True}, "checkpoint")]
)
def test_a_jobs_own_failure_is_told_with_name_id_cause_log_and_last_lines(
    head, cluster, tmp_path, code, more, word
):
    log = tmp_path / "theirs.log"
    log.write_text("".join(f"line {n}\n" for n in range(50)))
    one = head().want("job0", logs=[str(log)]).turn()
    cluster.start("100", 0)
    cluster.finish("100", 0, code, **more)
    assert one.run() == {"job0": "failed"} and len(cluster.submissions) == 1
    message = one.messages["job0"]
    assert (
        "job job0" in message
        and "100_0" in message
        and word in message
        and str(log) in message
        and "line 49" in message
    )
    assert "line 39" not in message


@pytest.mark.parametrize("code", [-9, 75, 1])
@pytest.mark.parametrize("keeps_outputs", [True, False])
def test_a_job_whose_files_are_there_has_succeeded_whatever_its_end(head, cluster, code, keeps_outputs):
    """Snakemake would remove the files of a failed job. Files that may be half-written count for nothing.

    Exit code 1: the start that is refused while an earlier one, of which only the batch script was killed, goes on.
    """
    one = head().want("job0", keeps_outputs=keeps_outputs).turn()
    cluster.start("100", 0)
    (one.folder / "job0").touch()
    cluster.finish("100", 0, code)
    one.turn(2)
    assert one.ends == ({"job0": "succeeded"} if keeps_outputs else {} if code == 75 else {"job0": "failed"})


def test_a_task_without_a_record_whose_job_wrote_its_files_has_succeeded(head, cluster):
    one = head().want("job0", keeps_outputs=True).turn()
    cluster.start("100", 0)
    one.turn()
    (one.folder / "job0").touch()
    cluster.lose("100", 0, Accounted("NODE_FAIL", 0, 0, "n7"))
    assert one.run(work=False) == {"job0": "succeeded"} and len(cluster.submissions) == 1


def test_a_job_that_refused_its_code_is_not_tried_again_before_the_next_call(head, cluster):
    one = head().want("job0").turn()
    cluster.start("100", 0)
    cluster.finish("100", 0, 78, changed="/folder/snapshots/package-0.zip")
    assert one.run() == {"job0": "failed"} and len(cluster.submissions) == 1
    assert "package-0.zip is not the code that was submitted" in one.messages["job0"]
    assert head().want("job0").run() == {"job0": "succeeded"} and len(cluster.submissions) == 2


@pytest.mark.parametrize("account", [Accounted("FAILED", 1, 0, "n1"), None])
def test_a_task_that_refused_its_program_is_not_tried_again_before_the_next_call(
    head, cluster, clock, account
):
    one = head(vanished_after=30.0).want("job0").turn()
    log = cluster.arrays["100"].folder / "100_0_0_log.out"
    log.write_text("/folder/task-0.py is not the code that was submitted\n")
    cluster._leave("100", 0, account)
    one.turn(2)
    clock.now += 40
    assert one.run() == {"job0": "failed"} and len(cluster.submissions) == 1
    assert "task-0.py is not the code that was submitted" in one.messages["job0"]
    assert head().want("job0").run() == {"job0": "succeeded"} and len(cluster.submissions) == 2


def test_an_interrupted_job_whose_requeue_was_refused_goes_on_with_its_marks(head, cluster, tmp_path):
    one = head().want("job0").turn()
    cluster.start("100", 0)
    cluster.finish("100", 0, 75, refused="disabled")
    assert one.run() == {"job0": "succeeded"}
    assert len(one.requests["job0"].record.earlier_marks) == 1
    assert read_batches(tmp_path)[-1].jobs[0].earlier_marks == (None,)


def test_restarts_have_an_end(head, cluster):
    one = head(requeues=2).want("job0")
    for _ in range(60):
        if one.ends:
            break
        one.turn()
        for task in cluster.tasks("PENDING"):
            cluster.start(*task)
            cluster.finish(*task, 75, refused="disabled")
    assert one.ends == {"job0": "failed"} and len(cluster.submissions) == 1 + 4 * 2


def test_a_failure_without_a_record_is_believed_after_two_looks(head, cluster):
    one = lost(head, cluster, Accounted("CANCELLED by 1000", 0, 0, "n1"))
    looks = cluster.looks
    while not one.ends:
        one.turn()
    assert cluster.looks == looks + 2


@pytest.mark.parametrize("state", ["NODE_FAIL", "FAILED", "PREEMPTED"])
def test_a_failure_that_slurm_takes_back_was_none(head, cluster, state):
    one = head().want("job0").turn()
    cluster.start("100", 0)
    one.turn()
    cluster.lagging = 1
    cluster.accounts["100", 0] = Accounted(state, 0, 0, "n1")
    one.turn()
    cluster.requeue("100", 0)
    one.turn(3)
    assert one.ends == {} and len(cluster.submissions) == 1
    assert one.run() == {"job0": "succeeded"} and any("back in the queue" in said for said in one.said)


def test_a_record_that_appears_late_is_the_jobs_end(head, cluster, tmp_path):
    one = lost(head, cluster, None)
    one.turn(2)
    (batch,) = read_batches(tmp_path)
    (batch.folder / "0.exit").write_text('{"code": 3, "host": "n1"}')
    assert one.run(work=False) == {"job0": "failed"} and "exit code 3" in one.messages["job0"]


def test_a_record_that_a_stale_listing_lacks_is_found_by_its_name(head, cluster, monkeypatch):
    one = head().want("job0").turn()
    cluster.work()
    monkeypatch.setattr(Batch, "list_ended", lambda _: set())
    assert one.run() == {"job0": "succeeded"}


def test_a_job_of_which_nobody_knows_counts_as_gone_after_a_while(head, cluster, clock):
    one = lost(head, cluster, None, vanished_after=30)
    begun = clock.now
    while len(cluster.submissions) == 1:
        one.turn()
    assert 30 < clock.now - begun < 60
    assert one.run() == {"job0": "succeeded"}


def test_an_account_of_a_task_that_the_controller_has_forgotten_is_no_proof_of_life(head, cluster):
    one = lost(head, cluster, Accounted("RUNNING", 0, 0, "n1"), vanished_after=30)
    one.turn(4)
    assert one.ends == {} and len(cluster.submissions) == 1
    assert one.run() == {"job0": "succeeded"} and len(cluster.submissions) == 2


@pytest.mark.parametrize("accounting", [True, False])
def test_a_running_job_that_squeue_never_lists_is_not_submitted_again(
    head, cluster, clock, monkeypatch, accounting
):
    if not accounting:
        monkeypatch.setattr(cluster, "accounted", lambda arrays: {})
    one = head(vanished_after=30).want("job0").turn()
    cluster.start("100", 0)
    cluster.lagging = 10_000
    begun = clock.now
    while clock.now < begun + 600:
        one.turn()
    assert (len(cluster.submissions), one.ends) == (1, {})
    assert sum("squeue does not list array 100" in said for said in one.said) == 1
    cluster.finish("100", 0)
    assert one.run() == {"job0": "succeeded"} and cluster.ran[one.requests["job0"].record.outputs] == 1


def test_accounts_that_cannot_be_asked_for_decide_nothing(head, cluster, monkeypatch):
    one = lost(head, cluster, Accounted("CANCELLED by 1000", 0, 0, "n1"))
    accounted, asked = cluster.accounted, []

    def away(arrays):
        asked.append(1)
        if len(asked) < 4:
            raise Unavailable("slurmdbd is away")
        return accounted(arrays)

    monkeypatch.setattr(cluster, "accounted", away)
    one.turn(4)
    assert one.ends == {}
    assert one.run() == {"job0": "failed"}


def test_a_folder_that_the_nodes_do_not_see_stops_the_sweep_and_cancels_the_rest(head, cluster, names):
    one = head().want(*names(3)).turn()
    cluster.lose("100", 0, Accounted("FAILED", 1, 0, "n1"))
    with pytest.raises(StopSweep, match="--submitit-folder"):
        one.turn(6)
    assert cluster.tasks("PENDING") == []


def test_packed_jobs_have_ends_of_their_own(head, cluster, tmp_path, names):
    one = head(jobs_per_task=2).want(*names(4)).turn()
    cluster.start("100", 0)
    cluster.start("100", 1)
    batch = read_batches(tmp_path)[0]
    (batch.folder / "1.exit").write_text('{"code": 3, "host": "n1"}')
    one.turn(2)
    assert one.ends == {"job1": "failed"}
    assert one.run() == {"job0": "succeeded", "job1": "failed", "job2": "succeeded", "job3": "succeeded"}


def test_a_job_that_may_wait_for_ever_is_told_once(head, cluster, monkeypatch, names):
    one = head().want(*names(3)).turn()
    queued = cluster.queued

    def hopeless(arrays):
        return {task: one._replace(reason="PartitionNodeLimit") for task, one in queued(arrays).items()}

    monkeypatch.setattr(cluster, "queued", hopeless)
    one.turn(4)
    assert sum("PartitionNodeLimit" in said for said in one.said) == 1


def test_a_clock_that_is_wrong_is_told_once_a_host(head, cluster, monkeypatch, names):
    monkeypatch.setattr(real_time, "time", lambda now=real_time.time: now() + 300)
    one = head().want(*names(3)).turn()
    for task in cluster.tasks("PENDING"):
        cluster.start(*task)
    one.turn(3)
    assert sum("clock of n1" in said for said in one.said) == 1


def test_one_node_that_does_not_see_the_folder_is_left_aside_while_others_do(head, cluster, names):
    one = head().want(*names(3)).turn()
    for task in (0, 1):
        cluster.start("100", task)
    cluster.lose("100", 2, Accounted("FAILED", 0, 53, "n7"))
    one.turn(3)
    assert cluster.arrays["100"].states == {0: "RUNNING", 1: "RUNNING"}, "nothing was cancelled"
    assert one.run() == dict.fromkeys(names(3), "succeeded")
    assert cluster.submissions[1][2]["exclude"] == "n7"


@pytest.mark.parametrize(
    "account, end",
    [(Accounted("OUT_OF_MEMORY", 0, 9, "n1"), "succeeded"), (Accounted("FAILED", 137, 0, "n1"), "failed")],
)
def test_a_kill_on_record_waits_for_slurms_word_on_memory(head, cluster, account, end):
    one = head().want("job0").turn()
    cluster.start("100", 0)
    folder = cluster.arrays["100"].folder
    (folder / "0.exit").write_text(json.dumps({"code": 137, "host": "n1"}))
    one.turn(3)
    assert one.ends == {}, "the task is still in the queue"
    cluster.running.clear()
    cluster.lose("100", 0, account)
    assert one.run() == {"job0": end}
    assert len(cluster.submissions) == (2 if end == "succeeded" else 1)


def test_the_last_node_that_is_excluded_is_asked_again_instead_of_ending_the_sweep(head, cluster):
    one = head().want("job0").turn()
    cluster.start("100", 0)
    cluster.lose("100", 0, Accounted("NODE_FAIL", 0, 0, "n1"))
    cluster.outcomes.append("refused")
    assert one.run() == {"job0": "succeeded"}
    assert "exclude" not in cluster.submissions[-1][2]


def test_a_job_that_a_new_head_submits_again_keeps_its_predecessor_from_coming_back(head, cluster):
    head().want("job0").turn()
    cluster.start("100", 0)
    cluster.lose("100", 0, Accounted("FAILED", 1, 0, "n1"))
    one = head().want("job0").turn()
    cluster.arrays["100"].states[0] = "PENDING"  # SLURM requeues it after all
    cluster.start("100", 0)
    assert not cluster.running, "it finds that it was given up"
    assert one.run() == {"job0": "succeeded"}


def test_records_that_cannot_be_read_are_not_taken_for_none(head, cluster, monkeypatch):
    head().want("job0").turn()
    listing = Path.iterdir

    def unreadable(path):
        if path.name == "batches":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", unreadable)
    with pytest.raises(StopSweep, match="Input/output error"):
        head().want("job0").turn()
    assert len(cluster.submissions) == 1


def test_a_job_that_nodes_refuse_again_and_again_is_left_to_a_person(head, cluster):
    one = head(requeues=2).want("job0").turn()
    cluster.queued = lambda arrays: {("100", 0): Queued("PENDING", "launch failed requeued held")}
    one.turn(8)
    assert cluster.released == ["100_0", "100_0"]
    assert sum("scontrol release 100_0" in said for said in one.said) == 1


def test_nothing_more_is_submitted_once_the_head_is_to_stop(head, cluster, names):
    one = head(array_size=1).want(*names(5))
    submit = cluster.submit

    def submit_and_stop(batch, name, comment):
        one.dispatcher.stop()
        return submit(batch, name, comment)

    cluster.submit = submit_and_stop
    one.turn()
    assert len(cluster.submissions) == 1


def test_all_records_are_gone_when_a_job_that_was_submitted_again_is_done(head, cluster, tmp_path, names):
    one = head().want(*names(2)).turn()
    cluster.start("100", 0)
    cluster.start("100", 1)
    cluster.finish("100", 0)
    cluster.lose("100", 1, Accounted("NODE_FAIL", 0, 0, "n1"))
    assert one.run() == dict.fromkeys(names(2), "succeeded")
    one.dispatcher.collect(one.requests.values())
    assert read_batches(tmp_path) == []
