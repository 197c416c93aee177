"""The records of what was submitted: whole or not there, whatever a kill, a full disk or a stale listing leaves."""

import errno
import json
import os
import resource
import shutil
import stat
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakemake_executor_plugin_submitit import batches as batches_module
from snakemake_executor_plugin_submitit.batches import (
    JobRecord,
    clear_removed,
    index_latest,
    read_batches,
    write_batch,
)
from snakemake_executor_plugin_submitit.causes import Cause, Verdict

HEADER = {"shell": "/bin/bash", "directory": "/", "umask": 0o022, "requeues": 5}
RECORDS = st.builds(
    JobRecord,
    outputs=st.lists(st.text(), max_size=3).map(tuple),
    name=st.text(),
    logs=st.lists(st.text(), max_size=2).map(tuple),
    command=st.text(),
    environment=st.dictionaries(st.text(), st.text(), max_size=2),
    checkpoint=st.none() | st.text(),
    earlier_marks=st.lists(st.none() | st.text(), max_size=3).map(tuple),
)


def job(name, command="true"):
    return JobRecord((f"{name}.nc",), name, (), command, {})


def write(folder, *jobs, jobs_per_task=1, **parameters):
    return write_batch(folder, jobs, parameters, jobs_per_task, **HEADER)


@contextmanager
def full_disk(size):
    """No file may grow beyond so many bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


# -- round trip


@given(
    st.lists(RECORDS, min_size=1, max_size=4),
    st.dictionaries(st.text(), st.integers() | st.text() | st.booleans() | st.none(), max_size=3),
    st.integers(1, 3),
    st.none() | st.from_regex(r"[1-9][0-9]{0,8}", fullmatch=True),
)
def test_what_is_written_is_read(jobs, parameters, jobs_per_task, array):
    with tempfile.TemporaryDirectory() as folder:
        written = write_batch(Path(folder), jobs, parameters, jobs_per_task, **HEADER)
        if array is not None:
            written.record_array(array)
        assert read_batches(Path(folder)) == [written]


@given(st.integers(1, 40), st.integers(1, 7))
def test_every_job_is_in_one_task_and_no_task_is_empty(num_jobs, jobs_per_task):
    batch = batches_module.Batch(
        Path("x"), [job(str(n)) for n in range(num_jobs)], jobs_per_task, {}, 0.0, "9"
    )
    tasks = [batch.task(number) for number in range(num_jobs)]
    assert set(tasks) == set(range(batch.num_tasks)) and max(map(tasks.count, tasks)) <= jobs_per_task
    assert batch.external_id(num_jobs - 1) == f"9_{batch.num_tasks - 1}"


def test_a_node_finds_each_job_at_its_offset(tmp_path):
    batch = write(tmp_path, job("é"), job("b", "x" * 70_000), job("c"))
    offsets = json.loads((batch.folder / "batch.json").read_text())["offsets"]
    content = (batch.folder / "jobs.jsonl").read_bytes()
    assert [json.loads(content[offset:].split(b"\n")[0])["name"] for offset in offsets] == ["é", "b", "c"]


def test_records_are_private_whatever_the_umask(tmp_path):
    old = os.umask(0)
    try:
        batch = write(tmp_path / "executor", job("a", "export TOKEN=secret"))
        batch.record_array("7")
        batch.abandon("a test")
    finally:
        os.umask(old)
    for folder in (tmp_path / "executor", batch.folder.parent, batch.folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in batch.folder.iterdir()} == {0o600}


def test_no_two_batches_share_a_folder(tmp_path):
    assert len({write(tmp_path, job("a")).uuid for _ in range(20)}) == 20


def test_batches_are_read_the_oldest_first_and_none_where_there_is_no_folder(tmp_path):
    written = [write(tmp_path, job(str(n))) for n in range(5)]
    assert [batch.uuid for batch in read_batches(tmp_path)] == [batch.uuid for batch in written]
    assert read_batches(tmp_path / "nowhere") == []


# -- kills


@pytest.mark.parametrize("name", ["batch.json", "jobs.jsonl", "array.json", "collected"])
def test_a_record_that_is_cut_short_anywhere_is_whole_or_not_there(tmp_path, name):
    batch = write(tmp_path, job("a"), *(job(f"b{n}") for n in range(1, 12)), mem="5MB")
    batch.record_array("123456")
    batch.collect([1, 11])
    path = batch.folder / name
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        read = read_batches(tmp_path)
        if name in ("batch.json", "jobs.jsonl"):
            assert read == [batch] and str(path) in read[0].damage[0] and "copy is used" in read[0].damage[0]
        elif name == "array.json":
            assert [one.array for one in read] == [None]
        else:
            assert read[0].array == "123456" and read[0].collected <= {1, 11}


@pytest.mark.parametrize("name", ["batch.json", "jobs.jsonl", "array.json", "collected"])
@pytest.mark.parametrize("garbage", [b"", b"\0" * 64, b"\xff\xfe", b"[]", b"{}", b"null", b"3"])
def test_garbage_in_a_record_stops_nobody(tmp_path, name, garbage):
    sound = write(tmp_path, job("sound"))
    batch = write(tmp_path, job("a"), job("b"))
    (batch.folder / name).write_bytes(garbage)
    assert read_batches(tmp_path) == [sound, batch]


@pytest.mark.parametrize("finished", [[], ["jobs.jsonl.copy"], ["jobs.jsonl.copy", "jobs.jsonl"]])
def test_what_was_never_finished_was_never_submitted(tmp_path, finished):
    batch = write(tmp_path, job("a"))
    for path in batch.folder.iterdir():
        if path.name not in finished:
            path.unlink()
    (tmp_path / "batches" / "a file").touch()
    assert read_batches(tmp_path) == []


@pytest.mark.parametrize("parser", ["parse_header", "parse_jobs", "parse_array"])
def test_a_record_that_is_removed_while_it_is_read_is_none_and_not_damaged(tmp_path, monkeypatch, parser):
    batch = write(tmp_path, job("a"))
    batch.record_array("12")
    parse = getattr(batches_module, parser)

    def remove_and_parse(*args, **kwargs):
        batch.remove()
        return parse(*args, **kwargs)

    monkeypatch.setattr(batches_module, parser, remove_and_parse)
    assert [read.damage for read in read_batches(tmp_path)] in ([], [[]])


def test_a_record_that_is_read_while_it_is_written_is_whole_or_none_and_not_damaged(tmp_path, monkeypatch):
    write_file, lengths = batches_module._write, []

    def write_and_read(path, content):
        write_file(path, content)
        read = read_batches(tmp_path)
        lengths.append(len(read))
        assert not any(batch.damage for batch in read)

    monkeypatch.setattr(batches_module, "_write", write_and_read)
    write(tmp_path, job("a"))
    assert lengths == [0, 0, 1, 1]


def test_a_removal_that_was_interrupted_is_finished_by_the_next_head(tmp_path, monkeypatch):
    batch, sound = write(tmp_path, job("a")), write(tmp_path, job("b"))
    monkeypatch.setattr(batches_module.shutil, "rmtree", lambda *_, **__: None)  # the head dies
    batch.remove()
    assert read_batches(tmp_path) == [sound]
    monkeypatch.undo()
    clear_removed(tmp_path)
    assert [path.name for path in (tmp_path / "batches").iterdir()] == [sound.uuid]


def test_a_collection_goes_on_after_one_that_was_cut_short(tmp_path):
    """A number cut short would be another job's, which is then submitted although it runs."""
    batch = write(tmp_path, *(job(str(n)) for n in range(150)))
    batch.collect([100, 101, 120])
    path = batch.folder / "collected"
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        (read,) = read_batches(tmp_path)
        read.collect([141])
        assert {141} <= read_batches(tmp_path)[0].collected <= {100, 101, 120, 141}
        path.write_bytes(content)


# -- a full disk


@pytest.mark.parametrize("fails", ["os.fsync", "os.replace"])
def test_a_batch_that_cannot_be_forced_to_the_disk_leaves_nothing(tmp_path, monkeypatch, fails):
    def no_space(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"{batches_module.__name__}.{fails}", no_space)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path, job("a"))
    assert list((tmp_path / "batches").iterdir()) == []


@pytest.mark.parametrize("size", [0, 10, 150, 400, 700])
def test_a_full_disk_leaves_nothing_of_a_batch(tmp_path, size):
    with full_disk(size), pytest.raises(OSError):
        write(tmp_path, *(job(str(n)) for n in range(6)))
    assert list((tmp_path / "batches").iterdir()) == []


def test_a_job_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        write(tmp_path, JobRecord(("a",), "a", (), "true", {}, checkpoint=object()))
    assert list((tmp_path / "batches").iterdir()) == []


@pytest.mark.parametrize(
    "write_one", [lambda batch: batch.record_array("7"), lambda batch: batch.abandon("a test")]
)
def test_a_full_disk_leaves_a_batch_as_it_was(tmp_path, write_one):
    batch = write(tmp_path, job("a"))
    before = sorted(path.name for path in batch.folder.iterdir())
    with full_disk(4), pytest.raises(OSError):
        write_one(batch)
    assert sorted(path.name for path in batch.folder.iterdir()) == before
    assert not batch.is_abandoned and read_batches(tmp_path)[0].array is None


# -- ends and starts


def test_an_end_is_found_by_name_although_a_stale_listing_lacks_it(tmp_path, monkeypatch):
    batch = write(tmp_path, job("a"), job("b"))
    listing = os.listdir(batch.folder)
    (batch.folder / "1.exit").write_text('{"code": 3}')
    assert batch.list_ended() == {1}
    monkeypatch.setattr(batches_module.os, "listdir", lambda _: listing)
    assert batch.list_ended() == set() and batch.read_exit(1) == {"code": 3}


def test_a_listing_may_show_what_is_no_longer_there(tmp_path, monkeypatch):
    batch = write(tmp_path, job("a"))
    monkeypatch.setattr(batches_module.os, "listdir", lambda _: ["0.exit", "0.starts"])
    assert batch.list_ended() == {0} and batch.read_exit(0) is None and batch.find_array() is None


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "3", '{"code": "3"}', '{"host": "n1"}', "\0\0\0"])
def test_an_end_that_is_not_whole_is_none(tmp_path, content):
    batch = write(tmp_path, job("a"))
    (batch.folder / "0.exit").write_text(content)
    assert batch.read_exit(0) is None


def test_only_ends_are_listed(tmp_path):
    batch = write(tmp_path, *(job(str(n)) for n in range(12)))
    for name in (
        "0.exit",
        "11.exit",
        ".3.exit.n1.77",
        "x.exit",
        "3.starts",
        "exit",
        ".exit",
        "9_0_0_log.out",
    ):
        (batch.folder / name).touch()
    assert batch.list_ended() == {0, 11}
    shutil.rmtree(batch.folder)
    assert batch.list_ended() == set() and batch.find_array() is None and batch.read_starts(0) == []


def test_starts_tell_the_array_and_how_far_a_clock_is_ahead(tmp_path):
    batch = write(tmp_path, job("a"), job("b"))
    start = {"job": "900_1", "host": "n1", "time": time.time() + 100, "mark": None, "restart": 0}
    (batch.folder / "1.starts").write_text(json.dumps(start) + '\nnull\n{"job": "901_1", "host"')
    (noted,) = batch.read_starts(1)
    assert batch.find_array() == "900" and batch.read_starts(0) == []
    assert 90 < batch.seconds_ahead(1, noted) < 110
    (batch.folder / "1.starts").unlink()
    assert batch.seconds_ahead(1, noted) == 0.0


def test_a_job_that_is_given_up_is_ended_unless_it_has_ended_meanwhile(tmp_path):
    batch = write(tmp_path, job("a"), job("b"))
    (batch.folder / "1.exit").write_text('{"code": 0}')
    verdict = Verdict(Cause.NODE, "the node failed")
    assert batch.give_up(0, verdict) and not batch.give_up(1, verdict)
    assert batch.read_exit(0)["code"] != 0 and batch.read_exit(1)["code"] == 0


def test_the_fence_goes_up_and_down(tmp_path):
    batch = write(tmp_path, job("a"))
    batch.readopt()
    assert not batch.is_abandoned
    batch.abandon("a test")
    batch.abandon("again")
    assert batch.is_abandoned and read_batches(tmp_path)[0].is_abandoned
    batch.readopt()
    assert not batch.is_abandoned


@pytest.mark.parametrize("comment, owned", [("{} horn x3", True), ("{}", True), ("", True), ("  ", True),
                                            ("abcd horn", False),
                                            ("x{}", False), ("horn {}", False)])  # fmt: skip
def test_an_array_with_the_comment_of_another_batch_is_not_ours(tmp_path, comment, owned):
    batch = write(tmp_path, job("a"))
    assert batch.owns(comment.format(batch.uuid)) is owned


# -- collecting


def test_collected_jobs_leave_no_file_and_the_last_takes_the_folder(tmp_path):
    batch = write(tmp_path, job("a"), job("b"))
    batch.record_array("7")
    for number in (0, 1):
        for name in (f"{number}.exit", f"{number}.starts", f"7_{number}_0_log.out"):
            (batch.folder / name).touch()
    batch.collect([1])
    names = {path.name for path in batch.folder.iterdir()}
    assert {"0.exit", "0.starts", "7_0_0_log.out"} <= names and not any(
        name.startswith(("1.", "7_1")) for name in names
    )
    assert read_batches(tmp_path)[0].collected == {1}
    batch.collect([0])
    assert not batch.folder.exists() and read_batches(tmp_path) == []


def test_the_log_of_packed_jobs_stays_while_one_of_them_may_need_it(tmp_path):
    batch = write(tmp_path, job("a"), job("b"), jobs_per_task=2)
    batch.record_array("7")
    batch.log(0).touch()
    batch.collect([0])
    assert batch.log(1).exists()


def test_collecting_twice_or_what_left_nothing_is_no_error(tmp_path):
    batch = write(tmp_path, job("a"), job("b"))
    batch.collect([0])
    batch.collect([0])
    assert batch.folder.exists()


# -- the latest submission


def test_the_latest_submission_of_a_job_counts(tmp_path):
    first = write(tmp_path, job("a"), job("b"))
    second = write(tmp_path, job("b"))
    latest = index_latest(reversed(read_batches(tmp_path)))
    assert latest["a.nc",].batch.uuid == first.uuid
    assert (
        latest["b.nc",].batch.uuid == second.uuid
        and latest["b.nc",].number == 0
        and latest["b.nc",].record == job("b")
    )


def test_a_recorded_job_is_nowhere_although_an_earlier_submission_of_it_is_left(tmp_path):
    write(tmp_path, job("a"), job("b"))
    second = write(tmp_path, job("b"), job("c"))
    second.collect([0])
    assert set(index_latest(read_batches(tmp_path))) == {("a.nc",), ("c.nc",)}


def test_a_job_submitted_again_after_it_was_recorded_counts(tmp_path):
    first = write(tmp_path, job("a"), job("b"))
    first.collect([0])
    again = write(tmp_path, job("a"))
    assert index_latest(read_batches(tmp_path))["a.nc",].batch.uuid == again.uuid
