"""Damaged records: what was written is read, or the file is named; no flipped bit is believed."""

import json

import pytest
from snakemake_executor_plugin_submitit import task as task_module
from snakemake_executor_plugin_submitit.batches import JobRecord, read_batches, write_batch
from snakemake_executor_plugin_submitit.records import (
    parse_array,
    parse_collected,
    parse_exit,
    parse_header,
    parse_jobs,
    parse_start,
)
from snakemake_executor_plugin_submitit.task import copy_path, run_task, seal, unseal

JOB = {"outputs": ["a.nc"], "name": "a", "logs": [], "command": "true", "environment": {"A": "b"},
       "checkpoint": None, "earlier_marks": [None]}  # fmt: skip
HEADER = {"version": 1, "jobs_per_task": 1, "parameters": {"mem": "5MB"}, "offsets": [0]}
START = {"job": "900_1", "host": "n1", "time": 1.5, "mark": None, "restart": 0}


def parse_one_job(content):
    return parse_jobs(content + b"\n", 1)


SOUND = {parse_header: HEADER, parse_one_job: JOB, parse_start: START, parse_exit: {"code": 0, "host": "n1"},
         parse_array: {"job_id": "12", "time": 1.0}}  # fmt: skip


def flipped(content):
    """Yield the content with one bit flipped, for every bit."""
    for position in range(len(content)):
        for bit in range(8):
            yield content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]


@pytest.mark.parametrize("parse", SOUND)
def test_no_record_with_a_flipped_bit_is_believed(parse):
    content = seal(SOUND[parse])
    whole = parse(content)
    for damaged in flipped(content):
        try:
            assert parse(damaged) == whole or parse is parse_exit  # the bit was in the word "digest" itself
        except ValueError as error:
            assert str(error)


@pytest.mark.parametrize("parse", SOUND)
def test_no_record_that_is_cut_short_is_believed(parse):
    content = seal(SOUND[parse])
    for length in range(len(content)):
        with pytest.raises(ValueError):
            parse(content[:length])


@pytest.mark.parametrize("parse", SOUND)
@pytest.mark.parametrize(
    "content", [b"", b"\0\0", b"\xff", b"[]", b"{}", b"null", b"3", b'"a"', b"[" * 100_000]
)
def test_what_is_no_record_is_said_to_be_none(parse, content):
    with pytest.raises(ValueError, match=r"JSON|missing|lines"):
        parse(content)


WRONG = [
    (parse_header, HEADER, key, value)
    for key, values in {"jobs_per_task": [0, -1, True, "1", None, 1.5], "parameters": [[], "x", None],
                        "offsets": [[], 3, "abc", None, {}]}.items()
    for value in values
] + [
    (parse_one_job, JOB, key, value)
    for key, values in {"outputs": ["a", [1], [["a"]], None], "logs": [3, [None]], "name": [3, None],
                        "command": [None, ["a"]], "environment": [[], {"A": 1}, None], "checkpoint": [3, []],
                        "earlier_marks": [None, [3], "x"]}.items()
    for value in values
] + [
    (parse_start, START, key, value)
    for key, values in {"job": [900, None], "host": [1], "time": ["now", None], "mark": [3, []],
                        "restart": ["0", None, 1.5]}.items()
    for value in values
] + [
    (parse_array, {"job_id": "12"}, "job_id", value) for value in [12, None, "", "12a", "-1", "1 2", ["12"]]
] + [(parse_exit, {"code": 0}, "code", value) for value in ["0", None, True, 0.0, [0]]]  # fmt: skip


@pytest.mark.parametrize(("parse", "sound", "key", "value"), WRONG)
def test_a_value_of_the_wrong_kind_is_refused_by_its_name_with_digest_and_without(parse, sound, key, value):
    for content in (seal({**sound, key: value}), json.dumps({**sound, key: value}).encode()):
        with pytest.raises(ValueError, match=key):
            parse(content)


@pytest.mark.parametrize(
    ("parse", "sound", "key"),
    [(parse, sound, key) for parse, sound in SOUND.items() for key in sound if key not in ("version", "host", "time")
     and not (key == "mark" or key == "checkpoint")],
)  # fmt: skip
def test_a_record_without_one_of_its_keys_is_refused(parse, sound, key):
    with pytest.raises(ValueError, match=key):
        parse(seal({name: value for name, value in sound.items() if name != key}))


@pytest.mark.parametrize("parse", SOUND)
def test_records_of_earlier_versions_have_no_digest_and_are_read(parse):
    assert parse(json.dumps(SOUND[parse]).encode()) == parse(seal(SOUND[parse]))


def test_what_is_sealed_is_the_same_afterwards_and_one_line():
    record = {"é": ["漢", 1.1, None, True, {"a": "\n"}], "digits": 10**30}
    assert unseal(seal(record)) == record and b"\n" not in seal(record)


def test_a_line_that_is_missing_is_noticed():
    content = seal(JOB) + b"\n"
    assert len(parse_jobs(2 * content, 2)) == 2
    for damaged in (content, 3 * content, 2 * content[:-1], b""):
        with pytest.raises(ValueError, match="lines"):
            parse_jobs(damaged, 2)


def test_a_number_in_which_a_bit_was_flipped_is_not_recorded_as_done():
    text = "\n3.3.\n12.12."
    assert parse_collected(text) == {3, 12}
    for damaged in flipped(text.encode()):
        assert parse_collected(damaged.decode(errors="replace")) <= {3, 12}
    assert parse_collected("\n3.\n12.") == {3, 12}, "as an earlier version wrote them"


# -- a whole batch


def damage(kind, path):
    content = path.read_bytes()
    match kind:
        case "torn":
            path.write_bytes(content[: len(content) // 2])
        case "flipped":
            middle = len(content) // 2
            path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        case "emptied":
            path.write_bytes(b"")
        case "deleted":
            path.unlink()
        case "a folder":
            path.unlink()
            path.mkdir()
        case "another shape":
            path.write_text('{"jobs_per_task": 0, "offsets": 3, "job_id": 7, "commane": "true"}\n')


KINDS = ["torn", "flipped", "emptied", "deleted", "a folder", "another shape"]


def written(folder):
    jobs = [JobRecord((f"{name}.nc",), name, (), "true", {}) for name in "abc"]
    batch = write_batch(
        folder, jobs, {"mem": "5MB"}, 1, shell="/bin/bash", directory="/", umask=0, requeues=5
    )
    batch.record_array("12")
    return batch


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["batch.json", "jobs.jsonl"])
def test_of_a_damaged_file_the_copy_is_read_and_the_file_is_named(tmp_path, name, kind):
    batch = written(tmp_path)
    damage(kind, batch.folder / name)
    (read,) = read_batches(tmp_path)
    assert (read, read.array) == (batch, "12")
    (sentence,) = read.damage
    assert str(batch.folder / name) in sentence and "its copy is used" in sentence


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["batch.json", "jobs.jsonl"])
def test_where_file_and_copy_are_damaged_the_jobs_are_unknown_and_both_are_named(tmp_path, name, kind):
    batch = written(tmp_path)
    damage(kind, batch.folder / name)
    damage("torn" if kind == "deleted" else kind, copy_path(batch.folder / name))
    (read,) = read_batches(tmp_path)
    assert read.jobs == [] and read.uuid == batch.uuid and read.array == "12"
    text = " ".join(read.damage)
    assert str(batch.folder / name) in text and str(copy_path(batch.folder / name)) in text


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_job_id_is_none_and_its_file_is_named(tmp_path, kind):
    batch = written(tmp_path)
    damage(kind, batch.folder / "array.json")
    (read,) = read_batches(tmp_path)
    assert read.array is None and read.jobs == batch.jobs
    assert kind == "deleted" or str(batch.folder / "array.json") in read.damage[0]


def test_an_id_that_is_none_is_never_asked_for(tmp_path):
    """`squeue -j 12,abc` answers that abc is invalid, and running arrays would then look gone."""
    batch = written(tmp_path)
    (batch.folder / "0.starts").write_text(
        '{"job": "abc_1", "host": "n1", "time": 1, "mark": null, "restart": 0}\n'
    )
    (batch.folder / "1.exit").write_text('{"code": 1, "job": []}')
    assert batch.find_array() is None
    (batch.folder / "2.exit").write_text('{"code": 1, "job": "77_2"}')
    assert batch.find_array() == "77"


# -- on the node


def run(batch):
    """Run the batch's first task in this process, as a node would."""
    return run_task(batch.folder, 0, in_process=True)


@pytest.fixture
def noting(tmp_path):
    """A batch whose job writes a file."""
    job = JobRecord(("a",), "a", (), f"echo ran >> {tmp_path}/ran", {})
    return write_batch(
        tmp_path, [job], {}, 1, shell="/bin/bash", directory=str(tmp_path), umask=0, requeues=5, snapshots=[]
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["batch.json", "jobs.jsonl"])
def test_a_node_runs_what_the_copy_says(noting, tmp_path, name, kind):
    damage(kind, noting.folder / name)
    assert run(noting) == 0
    assert (tmp_path / "ran").read_text() == "ran\n" and noting.read_exit(0)["code"] == 0


@pytest.mark.parametrize("kind", ["torn", "flipped", "emptied", "another shape"])
@pytest.mark.parametrize("name", ["batch.json", "jobs.jsonl"])
def test_a_node_runs_nothing_of_what_is_damaged_twice(noting, tmp_path, monkeypatch, name, kind):
    monkeypatch.setattr(task_module, "SECONDS_TO_APPEAR", 0)
    monkeypatch.setattr(task_module.time, "sleep", lambda _: None)
    for path in (noting.folder / name, copy_path(noting.folder / name)):
        damage(kind, path)
    with pytest.raises(SystemExit, match=f"{name}.* damaged"):
        run(noting)
    assert not (tmp_path / "ran").exists() and noting.read_exit(0) is None
