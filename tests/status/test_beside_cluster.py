"""A sweep on this machine is refused while jobs of its results folder are submitted, and only then."""

import json
import os
import subprocess
import sys

import pytest
from snakemake_executor_plugin_submitit.slurm import Refused, Slurm, Unavailable

from hornlib.errors import ResultsError
from hornlib.status.beside_cluster import note_executor, refuse_beside_cluster

AWAY = Unavailable("squeue: error: Unable to contact slurm controller (connect failure)")


@pytest.fixture
def results(bench):
    """The results folder of a sweep that was submitted to SLURM."""
    note_executor(bench.grid.settings.results, bench.folder)
    return bench.grid.settings.results


def list_in_queue(bench, *folders, array="12"):
    bench.slurm.queue = "\n".join(f"{array}|{folder}/submission_file_x.sh" for folder in folders)


def refusal(bench, results):
    with pytest.raises(ResultsError) as caught:
        refuse_beside_cluster(results, Slurm(bench.slurm))
    return str(caught.value)


def test_a_results_folder_that_was_never_used_with_slurm_needs_no_slurm(bench):
    bench.submit(bench.jobs)
    refuse_beside_cluster(bench.grid.settings.results, Slurm(bench.slurm))
    assert bench.slurm.calls == []


def test_jobs_in_the_queue_are_refused_with_their_array_and_both_ways_out(bench, results):
    batch = bench.submit(bench.jobs)
    list_in_queue(bench, batch.folder)
    message = refusal(bench, results)
    for words in (str(results), "in array 12,", "--profile cluster/slurm", "scancel 12;"):
        assert words in message


@pytest.mark.parametrize("array", [None, "12"])
def test_an_array_is_found_by_its_batch_although_its_id_was_never_recorded(bench, results, array):
    batch = bench.submit(bench.jobs, array=array)
    list_in_queue(bench, batch.folder)
    assert "scancel 12;" in refusal(bench, results)


def test_an_array_whose_record_is_gone_or_damaged_is_refused_too(bench, results):
    batch, other = bench.submit(bench.jobs[:3]), bench.submit(bench.jobs[3:])
    list_in_queue(bench, batch.folder)
    for path in batch.folder.iterdir():
        path.write_text("{")
    assert "scancel 12;" in refusal(bench, results)
    batch.remove()
    assert "scancel 12;" in refusal(bench, results)
    list_in_queue(bench, f"{other.folder.parents[1]}2/batches/{batch.uuid}")  # of another executor's folder
    refuse_beside_cluster(results, Slurm(bench.slurm))


def test_jobs_that_left_the_queue_or_ended_are_no_reason(bench, results):
    batch = bench.submit(bench.jobs)
    refuse_beside_cluster(results, Slurm(bench.slurm))
    list_in_queue(bench, batch.folder)  # SLURM has not noticed yet that all of them ended
    for number in range(len(bench.jobs)):
        bench.end(batch, number, 0)
    refuse_beside_cluster(results, Slurm(bench.slurm))


def test_jobs_of_another_results_folder_are_no_reason(bench, results, tmp_path):
    list_in_queue(bench, bench.submit(bench.jobs).folder)
    note_executor(tmp_path / "other", bench.folder)
    refuse_beside_cluster(tmp_path / "other", Slurm(bench.slurm))


@pytest.mark.parametrize("error", [AWAY, Refused("squeue: No such file or directory")])
def test_a_slurm_that_does_not_answer_refuses_while_jobs_may_run_and_the_message_names_the_override(
    bench, results, error
):
    batch = bench.submit(bench.jobs)
    bench.slurm.away = error
    message = refusal(bench, results)
    assert str(error) in message and f"remove {bench.folder / 'batches'}" in message
    for number in range(len(bench.jobs)):
        bench.end(batch, number, 1)
    refuse_beside_cluster(results, Slurm(bench.slurm))


def test_the_override_works(bench, results):
    batch = bench.submit(bench.jobs)
    bench.slurm.away = AWAY
    batch.remove()
    batch.folder.parent.rmdir()
    refuse_beside_cluster(results, Slurm(bench.slurm))


def test_a_process_of_the_executor_on_this_machine_is_refused_by_its_number(bench, results):
    waits = [sys.executable, "-c", "input()", "submitit"]
    with subprocess.Popen(waits, stdin=subprocess.PIPE) as process:
        bench.submit(bench.jobs, array=str(process.pid))
        assert f"kill {process.pid}" in refusal(bench, results)
        process.communicate(b"\n")
    refuse_beside_cluster(results, Slurm(bench.slurm))


def test_relative_outputs_are_meant_in_the_folder_of_the_head_that_submitted_them(
    bench, results, tmp_path, monkeypatch
):
    batch = bench.submit(bench.jobs)
    jobs = (batch.folder / "jobs.jsonl").read_text().replace(f"{tmp_path}/", "")
    note = tmp_path / "out/.submitit"
    assert json.loads(note.read_text()) == {"folder": str(bench.folder), "directory": os.getcwd()}
    monkeypatch.chdir(tmp_path)
    note_executor("out", "records")
    for path in batch.folder.glob("jobs.jsonl*"):
        path.write_text("".join(f"{_without_digest(line)}\n" for line in jobs.splitlines()))
    list_in_queue(bench, batch.folder)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "scancel 12;" in refusal(bench, "../out")


def _without_digest(line):
    return json.dumps({key: value for key, value in json.loads(line).items() if key != "digest"})


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"folder": 3, "directory": "/"}', b'{"folder": "/x"}', b"\xff"]
)
def test_a_damaged_note_is_refused_by_its_name(bench, results, content):
    note = bench.folder.parent / "out/.submitit"
    note.write_bytes(content)
    assert refusal(bench, results).startswith(f"{note}: damaged")
