"""Submitting: which jobs become one array, a controller that is away, a queue that is full."""

import asyncio
import errno
import itertools
import os
import shutil
from collections import Counter
from contextlib import suppress

import pytest
from snakemake_executor_plugin_submitit import submission as submission_module
from snakemake_executor_plugin_submitit.batches import Batch, read_batches
from snakemake_executor_plugin_submitit.requests import StopSweep
from snakemake_executor_plugin_submitit.slurm import Accounted, QueueFull
from snakemake_executor_plugin_submitit.snapshots import store


def test_jobs_that_ask_for_the_same_are_one_array_and_end_well(head, cluster, assert_all_well, names):
    assert_all_well(cluster, head().want(*names(5)).run(), 5)
    assert [num_tasks for _, num_tasks, _ in cluster.submissions] == [5]


def test_jobs_that_ask_for_different_things_are_arrays_of_their_own(head, cluster, assert_all_well):
    one = head().want("job0", "job1", mem_mb=100).want("job2", mem_mb=200)
    assert_all_well(cluster, one.run(), 3)
    assert sorted((num, parameters["mem"]) for _, num, parameters in cluster.submissions) == [
        (1, "200MB"),
        (2, "100MB"),
    ]


@pytest.mark.parametrize("max_tasks, array_size, packing, expected", [(4, 0, 1, [4, 4, 2]),
                                                                      (100, 3, 1, [3, 3, 3, 1]),
                                                                      (2, 3, 2, [2, 2, 1]),
                                                                      (100, 0, 4, [3])])  # fmt: skip
def test_no_array_is_larger_than_the_cluster_or_the_user_wants(
    head, cluster, max_tasks, array_size, packing, expected, assert_all_well, names
):
    cluster.size = max_tasks
    assert_all_well(cluster, head(array_size=array_size, jobs_per_task=packing).want(*names(10)).run(), 10)
    assert [num for _, num, _ in cluster.submissions] == expected


def test_outputs_are_prepared_once_before_a_submission_and_never_before_an_adoption(
    head, cluster, assert_all_well, names
):
    first = head().want(*names(3)).turn()
    assert first.prepared == Counter(names(3))
    second = head().want(*names(3))
    assert_all_well(cluster, second.run(), 3)
    assert second.prepared == Counter() and second.submitted == Counter(names(3))


def test_a_job_that_cannot_be_prepared_fails_alone(head, cluster, names):
    one = head().want(*names(2))

    async def refuse():
        raise PermissionError("no such luck")

    one.requests["job0"].prepare = refuse
    assert one.run() == {"job0": "failed", "job1": "succeeded"} and "no such luck" in one.messages["job0"]


def test_jobs_that_become_ready_later_are_submitted_later(head, cluster, assert_all_well):
    one = head().want("job0").turn()
    one.want("job1", "job2")
    assert_all_well(cluster, one.run(), 3)
    assert [num for _, num, _ in cluster.submissions] == [1, 2]


def test_a_refusal_stops_the_sweep_in_words_and_leaves_what_runs(head, cluster, tmp_path):
    one = head().want("job0").turn()
    cluster.work()
    one.want("job1", slurm_partition="foo")
    cluster.outcomes.append("refused")
    with pytest.raises(StopSweep, match="explained: invalid partition specified: foo"):
        one.turn(3)
    assert len(read_batches(tmp_path)) == 1 and "CANCELLED" not in str(cluster.accounts)


def test_a_record_that_cannot_be_written_stops_the_sweep_before_sbatch(head, cluster, monkeypatch):
    def no_space(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(StopSweep, match=r"No space.*--submitit-folder"):
        head().want("job0").turn()
    assert cluster.submissions == []


@pytest.mark.parametrize("failures", [1, 3, 9])
@pytest.mark.parametrize("outcome", ["away", "broken"])
def test_a_submission_that_fails_is_waited_for_and_nothing_is_submitted_twice(
    head, cluster, outcome, failures, assert_all_well, names
):
    cluster.outcomes.extend([outcome] * failures)
    one = head().want(*names(4))
    assert_all_well(cluster, one.run(), 4)
    assert len(cluster.submissions) == 1 and any("nothing is lost" in said for said in one.said)


@pytest.mark.parametrize("failures", [1, 3])
@pytest.mark.parametrize("outcome", ["no answer", "broken, yet submitted"])
def test_a_submission_without_an_answer_is_found_by_its_comment(
    head, cluster, outcome, failures, assert_all_well, names
):
    cluster.outcomes.extend([outcome] * failures)
    assert_all_well(cluster, head(array_size=2).want(*names(6)).run(), 6)
    assert [num for _, num, _ in cluster.submissions] == [2, 2, 2]


def test_a_submission_without_an_answer_whose_jobs_have_long_ended_is_found_by_its_starts(
    head, cluster, assert_all_well, names
):
    cluster.outcomes.append("no answer")
    one = head().want(*names(3)).turn()
    cluster.work()
    assert cluster.tasks("PENDING", "RUNNING") == []
    assert_all_well(cluster, one.run(), 3)


def test_submissions_that_fail_again_and_again_leave_nothing_on_the_disk(
    head, cluster, tmp_path, assert_all_well, names
):
    cluster.outcomes.extend(["broken"] * 20)
    one = head().want(*names(50))
    for _ in range(20):
        one.turn()
        assert len(list((tmp_path / "batches").iterdir())) <= 1
    assert_all_well(cluster, one.run(), 50)
    assert len(list((tmp_path / "batches").iterdir())) == 1


def test_a_submission_that_failed_under_the_head_before_leaves_nothing_on_the_disk(
    head, cluster, tmp_path, assert_all_well, names
):
    cluster.outcomes.append("broken")
    head().want(*names(3)).turn()
    assert_all_well(cluster, head().want(*names(3)).run(), 3)
    assert len(list((tmp_path / "batches").iterdir())) == 1


def test_code_that_a_site_removed_or_that_was_cut_is_written_again_before_a_submission(head, tmp_path):
    runner = store(tmp_path, "task", ".py", b"the node's program")
    snapshot = store(tmp_path / "snapshots", "hornlib", ".zip", b"the library")
    one = head(code={path: path.read_bytes() for path in (runner, snapshot)}).want("job0").turn()
    runner.write_bytes(b"the node's")
    shutil.rmtree(tmp_path / "snapshots")
    one.want("job1").run()
    assert (runner.read_bytes(), snapshot.read_bytes()) == (b"the node's program", b"the library")


def test_a_submission_that_arrives_after_it_was_given_up_does_nothing(
    head, cluster, tmp_path, assert_all_well, names
):
    cluster.outcomes.append("away")
    one = head().want(*names(2)).turn()
    (late,) = read_batches(tmp_path)
    one.turn()  # it asks, hears no, and submits anew
    cluster.submit(late, "late", f"{late.uuid} late")
    assert_all_well(cluster, one.run(), 2)


def test_a_submission_that_arrives_after_it_was_given_up_does_nothing_under_the_next_head_either(
    head, cluster, tmp_path, assert_all_well, names
):
    cluster.outcomes.append("away")
    one = head().want(*names(2)).turn()
    (late,) = read_batches(tmp_path)
    one.turn()
    cluster.submit(late, "late", f"{late.uuid} late")
    assert_all_well(cluster, head().want(*names(2)).run(), 2)


def test_a_late_submission_of_which_only_a_part_was_submitted_anew_does_nothing(
    head, cluster, tmp_path, monkeypatch, assert_all_well, names
):
    cluster.outcomes.extend(["away", "full"])
    one = head().want(*names(4)).turn()
    (late,) = read_batches(tmp_path)
    one.turn()  # not found, and the queue takes no four
    write, written = submission_module.write_batch, []

    def die_at_the_second(*args, **kwargs):
        written.append(1)
        if len(written) == 2:
            raise KeyboardInterrupt  # the head dies
        return write(*args, **kwargs)

    monkeypatch.setattr(submission_module, "write_batch", die_at_the_second)
    with suppress(KeyboardInterrupt):
        one.turn()
    assert [num for _, num, _ in cluster.submissions] == [2]
    cluster.submit(late, "late", f"{late.uuid} late")
    assert_all_well(cluster, head().want(*names(4)).run(), 4)


def test_a_submission_without_an_answer_is_found_though_slurm_is_away_when_it_is_asked(
    head, cluster, assert_all_well, names
):
    cluster.outcomes.append("no answer")
    one = head().want(*names(2)).turn()
    cluster.silences = 3
    one.turn(8)
    assert one.submitted == Counter(names(2)) and len(cluster.submissions) == 1
    assert_all_well(cluster, one.run(), 2)


def test_a_full_disk_between_record_and_submission_loses_and_doubles_nothing(
    head, cluster, monkeypatch, assert_all_well, names
):
    """submitit's script has no room, or what it writes after sbatch has none."""
    submit, full = cluster.submit, [False, True]

    def submit_on_full_disk(batch, name, comment):
        if not full:
            return submit(batch, name, comment)
        if full.pop():
            submit(batch, name, comment)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cluster, "submit", submit_on_full_disk)
    for _ in range(2):
        with suppress(StopSweep):
            head(array_size=2).want(*names(4)).turn(4)
    assert_all_well(cluster, head(array_size=2).want(*names(4)).run(), 4)


def test_a_job_id_that_cannot_be_recorded_loses_and_doubles_nothing(
    head, cluster, monkeypatch, assert_all_well, names
):
    record_array = Batch.record_array

    def no_space(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Batch, "record_array", no_space)
    one = head().want(*names(2))
    with suppress(StopSweep):
        one.turn()
    monkeypatch.setattr(Batch, "record_array", record_array)
    assert_all_well(cluster, head().want(*names(2)).run(), 2)


def test_a_fence_that_cannot_be_written_stops_the_sweep_in_words(head, cluster, monkeypatch):
    def no_space(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cluster.outcomes.append("no answer")
    one = head().want("job0").turn()
    monkeypatch.setattr(Batch, "abandon", no_space)
    with pytest.raises(StopSweep, match="No space"):
        one.turn()


def test_a_task_that_starts_while_its_submission_is_being_found_runs_once_all_the_same(
    head, cluster, monkeypatch, assert_all_well, names
):
    """The fence is up for that moment, so the task does nothing, and its job is submitted again."""
    cluster.outcomes.append("no answer")
    one = head().want(*names(2)).turn()
    ask = cluster.find_arrays

    def ask_slowly(folder, uuids):
        answer = ask(folder, uuids)
        cluster.start("100", 0)
        return answer

    monkeypatch.setattr(cluster, "find_arrays", ask_slowly)
    assert_all_well(cluster, one.run(), 2)


def test_pauses_grow_while_the_queue_is_full_and_it_says_so(head, cluster, clock, assert_all_well, names):
    cluster.outcomes.extend(["full"] * 8)
    one = head().want(*names(100))
    tries = []
    for _ in range(9):
        before = len(cluster.outcomes)
        one.turn()
        if len(cluster.outcomes) < before:
            tries.append(clock.now)
    pauses = [after - before for before, after in itertools.pairwise(tries)]
    assert pauses == pytest.approx([2, 4, 8, 16, 32, 64, 120])
    assert 1 <= sum("queue takes no more" in said for said in one.said) < 8
    assert_all_well(cluster, one.run(), 100)


def test_arrays_are_halved_until_the_queue_takes_them(head, cluster, assert_all_well, names):
    cluster.outcomes.extend(["full"] * 3)
    assert_all_well(cluster, head().want(*names(100)).run(), 100)
    assert [num for _, num, _ in cluster.submissions][:2] == [12, 24]


def test_a_queue_that_takes_one_task_at_a_time_gets_them_all(head, cluster, assert_all_well, names):
    submit = cluster.submit

    def one_at_a_time(batch, name, comment):
        if batch.num_tasks > 1 or cluster.tasks("PENDING", "RUNNING"):
            raise QueueFull("the queue takes no more for now")
        return submit(batch, name, comment)

    cluster.submit = one_at_a_time
    assert_all_well(cluster, head().want(*names(7)).run(), 7)


def test_a_job_that_is_lost_while_the_queue_is_full_is_noticed(head, cluster):
    one = head().want("job0").turn()
    cluster.start("100", 0)
    one.want("job1")
    cluster.outcomes.extend(["full"] * 50)
    one.turn(2)
    cluster.lose("100", 0, Accounted("OUT_OF_MEMORY", 0, 9, "n1"))
    looks = cluster.looks
    one.turn(8)
    assert cluster.looks >= looks + 2


def test_turns_in_which_nothing_is_due_do_not_shorten_the_pauses(head, cluster, clock):
    cluster.outcomes.extend(["away"] * 4)
    one = head().want("job0")
    tries = []
    while cluster.outcomes:
        before = len(cluster.outcomes)
        asyncio.run(one.dispatcher.turn())
        if len(cluster.outcomes) < before:
            tries.append(clock.now)
        clock.now += 1.0
    assert [after - before for before, after in itertools.pairwise(tries)] == pytest.approx(
        [2, 4, 8], abs=1.0
    )


def test_a_controller_that_is_away_while_jobs_run_loses_none_and_their_ends_are_seen_on_the_disk(
    head, cluster, names
):
    one = head().want(*names(3)).turn()
    cluster.silences = 5
    cluster.work()
    one.turn(4)
    assert cluster.silences > 0 and one.ends == dict.fromkeys(names(3), "succeeded")


def test_a_query_that_slurm_refuses_is_tried_again_too(head, cluster, assert_all_well, names):
    one = head().want(*names(2)).turn()
    cluster.refusals = 3
    assert_all_well(cluster, one.run(), 2)
