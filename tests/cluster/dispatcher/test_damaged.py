"""Damaged records: the next head names them, and no job runs beside an earlier start of it."""

import shutil

import pytest
from snakemake_executor_plugin_submitit.batches import read_batches
from snakemake_executor_plugin_submitit.requests import StopSweep
from snakemake_executor_plugin_submitit.task import seal, unseal

from tests.cluster.test_records import KINDS, damage

FILES = [("batch.json",), ("jobs.jsonl",), ("array.json",), ("batch.json", "array.json"),
         ("batch.json", "batch.json.copy"), ("jobs.jsonl", "jobs.jsonl.copy"),
         ("batch.json", "batch.json.copy", "jobs.jsonl", "jobs.jsonl.copy", "array.json")]  # fmt: skip


def submit_and_start(head, cluster, names, started=2):
    head().want(*names(4)).turn()
    for task in cluster.tasks("PENDING")[:started]:
        cluster.start(*task)


def finish(head, cluster, names):
    """Run the next head to the end; the cluster raises AssertionError where a job would run twice at once."""
    second = head().want(*names(4))
    second.turn(3)
    assert second.run() == dict.fromkeys(names(4), "succeeded")
    assert set(cluster.ran.values()) <= {1, 2} and not cluster.running
    return second


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("files", FILES)
def test_a_damaged_record_is_named_and_its_jobs_run_once_at_a_time(
    head, cluster, tmp_path, names, files, kind
):
    submit_and_start(head, cluster, names)
    (batch,) = read_batches(tmp_path)
    for name in files:
        damage("deleted" if (kind, name) == ("a folder", "array.json") else kind, batch.folder / name)
    second = finish(head, cluster, names)
    reported = [said for said in second.said if str(batch.folder) in said]
    assert reported or (kind in ("deleted", "a folder") and files == ("array.json",))
    assert len(reported) == len(set(reported)), "each is said once"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["batch.json", "jobs.jsonl", "array.json"])
def test_where_the_jobs_are_known_they_are_taken_over(head, cluster, tmp_path, names, name, kind):
    submit_and_start(head, cluster, names)
    damage(
        "deleted" if (kind, name) == ("a folder", "array.json") else kind,
        read_batches(tmp_path)[0].folder / name,
    )
    second = finish(head, cluster, names)
    assert len(cluster.submissions) == 1 and set(cluster.ran.values()) == {1} and not second.prepared


def test_where_the_jobs_are_unknown_their_array_is_cancelled_waited_for_and_submitted_again(
    head, cluster, tmp_path, names
):
    submit_and_start(head, cluster, names)
    (batch,) = read_batches(tmp_path)
    damage("torn", batch.folder / "jobs.jsonl")
    damage("torn", batch.folder / "jobs.jsonl.copy")
    second = head().want(*names(4)).turn(4)
    assert len(cluster.submissions) == 1 and cluster.tasks("COMPLETING"), "two of them still save"
    (waits,) = [said for said in second.said if "left the queue" in said and "next try" in said]
    assert "array 100" in waits and str(batch.folder) in waits and "cancelled" in waits
    assert second.run() == dict.fromkeys(names(4), "succeeded")
    assert not batch.folder.exists()


@pytest.mark.parametrize("gone", ["the batch", "all batches"])
def test_an_array_without_any_record_is_cancelled_before_its_jobs_are_submitted_again(
    head, cluster, tmp_path, names, gone
):
    submit_and_start(head, cluster, names)
    (batch,) = read_batches(tmp_path)
    shutil.rmtree(batch.folder if gone == "the batch" else tmp_path / "batches")
    second = head().want(*names(4)).turn(3)
    assert len(cluster.submissions) == 1
    assert any("array 100" in said and "missing" in said for said in second.said)
    for task in cluster.tasks("COMPLETING"):
        cluster.running.clear()
        cluster.lose(*task)
    assert second.run() == dict.fromkeys(names(4), "succeeded")


@pytest.mark.parametrize("state", ["COMPLETING", "COMPLETED"])
def test_an_array_that_leaves_its_node_after_its_results_were_collected_is_left_alone(
    head, cluster, names, state
):
    first = head().want(*names(2))
    first.run()
    first.dispatcher.collect(first.requests.values())
    cluster.arrays["100"].states = {0: state, 1: state}  # for ever, where the node is broken
    second = head().want("job5")
    assert second.turn().submitted["job5"] == 1 and not cluster.cancelled
    assert not any("damaged" in said or "missing" in said for said in second.said)


def test_an_array_without_a_record_that_was_cancelled_is_waited_for_by_the_next_head_too(
    head, cluster, tmp_path, names
):
    submit_and_start(head, cluster, names)
    shutil.rmtree(tmp_path / "batches")
    head().want(*names(4)).turn()
    assert cluster.tasks("COMPLETING") and not cluster.tasks("PENDING"), "two jobs still save"
    second = head().want(*names(4)).turn(3)
    assert len(cluster.submissions) == 1
    assert not any("damaged" in said for said in second.said)
    for task in cluster.tasks("COMPLETING"):
        cluster.running.clear()
        cluster.lose(*task)
    assert second.run() == dict.fromkeys(names(4), "succeeded")
    assert len(list((tmp_path / "batches").iterdir())) == 1, "the fence is removed"


def test_the_records_of_another_version_stop_the_sweep_and_nothing_is_cancelled(
    head, cluster, tmp_path, names
):
    submit_and_start(head, cluster, names)
    (batch,) = read_batches(tmp_path)
    for path in batch.folder.glob("batch.json*"):
        path.write_bytes(seal({**unseal(path.read_bytes()), "version": 2, "offsets": "of another kind"}))
    second = head().want(*names(4))
    with pytest.raises(
        StopSweep, match=r"version 2.*Nothing was submitted or cancelled.*hornlib that submitted"
    ):
        second.turn()
    assert not cluster.cancelled and len(cluster.submissions) == 1
    assert batch.folder.exists() and not batch.is_abandoned


def test_an_array_of_another_folder_is_left_alone(head, cluster, tmp_path, names, new_head, clock):
    other = new_head(tmp_path / "other", cluster, clock).want("job9").turn()
    assert head().want(*names(2)).run() == dict.fromkeys(names(2), "succeeded")
    assert other.run() == {"job9": "succeeded"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["0.exit", "0.starts", "collected", "abandoned"])
def test_what_a_node_or_a_head_noted_may_be_damaged_too(head, cluster, tmp_path, names, name, kind):
    submit_and_start(head, cluster, names)
    (batch,) = read_batches(tmp_path)
    cluster.finish("100", 0)
    if not (batch.folder / name).exists():
        (batch.folder / name).write_text("\n")
    damage(kind, batch.folder / name)
    second = head().want(*names(4))
    cluster.succeeded.clear()  # an end without a record is done again
    for _ in range(60):
        second.turn()
        cluster.work()
        if len(second.ends) == 4:
            break
    assert second.ends == dict.fromkeys(names(4), "succeeded")
