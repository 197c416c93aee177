"""Taking over what an earlier head submitted."""

from collections import Counter
from types import SimpleNamespace

import pytest
from snakemake_executor_plugin_submitit.batches import read_batches
from snakemake_executor_plugin_submitit.slurm import Accounted, Unavailable


@pytest.mark.parametrize("state", ["waiting", "running", "ended"])
def test_the_next_head_takes_over_whatever_its_predecessor_left(head, cluster, state, assert_all_well, names):
    head().want(*names(3)).turn()
    if state != "waiting":
        for task in cluster.tasks("PENDING"):
            cluster.start(*task)
    if state == "ended":
        for task in cluster.tasks("RUNNING"):
            cluster.finish(*task)
    second = head().want(*names(3))
    assert_all_well(cluster, second.run(), 3)
    assert len(cluster.submissions) == 1 and any("taken over" in said for said in second.said)


@pytest.mark.parametrize("accounting", [True, False])
def test_the_next_head_takes_over_a_running_job_that_squeue_does_not_list(
    head, cluster, monkeypatch, accounting
):
    head().want("job0").turn()
    cluster.start("100", 0)
    if not accounting:
        monkeypatch.setattr(cluster, "accounted", lambda arrays: {})
    cluster.lagging = 1
    second = head().want("job0").turn()
    assert (len(cluster.submissions), second.submitted["job0"]) == (1, 1)
    assert second.run() == {"job0": "succeeded"}


def test_what_the_workflow_wants_anew_is_run_anew(head, cluster):
    head().want("job0").turn()
    cluster.work()
    cluster.succeeded.clear()
    assert head().want("job0", anew=True).run() == {"job0": "succeeded"}
    assert len(cluster.submissions) == 2


def test_a_success_whose_output_is_gone_is_none(head, cluster, tmp_path):
    head().want("job0").turn()
    cluster.work()
    (tmp_path / "job0").unlink()
    cluster.succeeded.clear()
    head().want("job0").run()
    assert len(cluster.submissions) == 2


def test_a_failure_on_record_is_tried_again_by_the_next_head(head, cluster):
    head().want("job0").turn()
    cluster.start("100", 0)
    cluster.finish("100", 0, code=1)
    assert head().want("job0").run() == {"job0": "succeeded"}


def test_what_was_recorded_leaves_no_record_and_is_not_taken_over(head, cluster, tmp_path, names):
    one = head().want(*names(2))
    one.run()
    one.dispatcher.collect(one.requests.values())
    assert read_batches(tmp_path) == []
    cluster.succeeded.clear()
    head().want("job0").run()
    assert len(cluster.submissions) == 2


def test_a_task_that_slurm_queues_again_after_its_end_is_cancelled_with_the_last_result(head, cluster, names):
    one = head().want(*names(2))
    one.run()
    cluster.arrays["100"].states = {0: "PENDING", 1: "RUNNING"}
    one.dispatcher.collect([one.requests["job0"]])
    assert cluster.tasks("PENDING") == [("100", 0)]  # its sibling has no result yet
    one.dispatcher.collect([one.requests["job1"]])
    assert cluster.arrays["100"].states == {1: "RUNNING"}


def test_a_task_that_slurm_queues_again_is_cancelled_by_the_next_head_too(head, cluster, names):
    head().want(*names(2)).run()  # it is killed before it removes its records
    cluster.arrays["100"].states = {0: "PENDING"}
    two = head().want("job2")
    two.turn()
    two.dispatcher.cancel_leftovers()
    assert cluster.tasks("PENDING") == [
        ("100", 0),
        ("101", 0),
    ]  # its own job waits, so nothing is a left-over
    two.run()
    cluster.arrays["100"].states = {0: "PENDING"}
    two.dispatcher.cancel_leftovers()
    assert cluster.tasks("PENDING") == []


def test_a_waiting_task_of_another_array_with_the_same_number_is_left_alone(head, cluster):
    one = head().want("job0")
    one.run()
    cluster.arrays["100"].states = {0: "PENDING"}
    cluster.arrays["100"].comment = "another_uuid"
    one.dispatcher.collect(one.requests.values())
    assert cluster.tasks("PENDING") == [("100", 0)]


def test_batches_that_nobody_needs_are_removed_at_the_next_start(head, cluster, tmp_path):
    head().want("job0").turn()
    cluster.start("100", 0)
    cluster.finish("100", 0, code=1)
    head().want("job0").turn()
    assert len(read_batches(tmp_path)) == 2
    head().want("job0").turn()
    assert len(read_batches(tmp_path)) == 1


def test_a_cancelled_job_that_still_saves_is_waited_for(head, cluster, names):
    first = head().want(*names(2)).turn()
    cluster.start("100", 0)
    assert first.dispatcher.cancel() == 2
    second = head().want(*names(2)).turn(3)
    assert cluster.arrays["100"].states == {0: "COMPLETING"}
    assert second.submitted == Counter(["job1"])
    cluster.lose("100", 0, Accounted("CANCELLED by 1000", 0, 0, "n1"))
    assert second.run() == dict.fromkeys(names(2), "succeeded")
    assert len(cluster.submissions) == 3 - 1 + 1


def test_a_cancelled_task_that_starts_after_all_does_nothing(head, cluster):
    first = head().want("job0").turn()
    cluster.silences = 1
    with pytest.raises(Unavailable):
        first.dispatcher.cancel()
    cluster.start("100", 0)
    assert cluster.ran == Counter()
    assert head().want("job0").run() == {"job0": "succeeded"}


def test_cancelling_reaches_a_submission_that_had_no_answer(head, cluster):
    cluster.outcomes.append("no answer")
    first = head().want("job0").turn()
    assert first.dispatcher.cancel() == 1
    assert not cluster.tasks("PENDING") and cluster.ran == Counter()


def test_an_id_that_was_given_out_twice_is_not_taken_for_ours(head, cluster, tmp_path):
    head().want("job0").turn()
    cluster.arrays["100"] = SimpleNamespace(
        folder=tmp_path, outputs=[("theirs",)], packing=1, comment="of_another_batch", states={0: "PENDING"}
    )
    second = head().want("job0").turn()
    assert [num for _, num, _ in cluster.submissions] == [1, 1]
    cluster.start("101", 0)
    cluster.finish("101", 0)
    assert second.run(work=False) == {"job0": "succeeded"}
