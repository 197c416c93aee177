"""A sweep is refused while jobs of its results folder are submitted that it would train again, and only then."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from snakemake_executor_plugin_submitit.settings import ExecutorSettings
from snakemake_executor_plugin_submitit.slurm import Refused, Slurm, Unavailable

from hornlib.errors import ResultsError
from hornlib.status.beside_cluster import SubmittingHead, note_head, refuse_beside_cluster, submitting_head

AWAY = Unavailable("squeue: error: Unable to contact slurm controller (connect failure)")


@pytest.fixture
def results(bench):
    """The results folder of a sweep that was submitted to SLURM."""
    note_head(bench.grid.settings.results, head_of(bench))
    return bench.grid.settings.results


def head_of(bench, cluster="slurm", folder=None):
    return SubmittingHead(str(folder or bench.folder), os.getcwd(), cluster)


def list_in_queue(bench, *folders, array="12", state="RUNNING", comment="(null)"):
    bench.slurm.queue = "\n".join(
        f"{array}|{state}|{comment}|{folder}/submission_file_x.sh" for folder in folders
    )


def refusal(bench, results, head=None):
    with pytest.raises(ResultsError) as caught:
        refuse_beside_cluster(results, head, Slurm(bench.slurm))
    return str(caught.value)


def accept(bench, results, head=None):
    refuse_beside_cluster(results, head, Slurm(bench.slurm))


def test_a_results_folder_that_was_never_used_with_slurm_needs_no_slurm(bench):
    bench.submit(bench.jobs)
    accept(bench, bench.grid.settings.results)
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
    accept(bench, results)


def test_jobs_that_left_the_queue_or_ended_are_no_reason(bench, results):
    batch = bench.submit(bench.jobs)
    accept(bench, results)
    list_in_queue(bench, batch.folder)  # SLURM has not noticed yet that all of them ended
    for number in range(len(bench.jobs)):
        bench.end(batch, number, 0)
    accept(bench, results)


def test_jobs_of_another_results_folder_are_no_reason(bench, results, tmp_path):
    list_in_queue(bench, bench.submit(bench.jobs).folder)
    note_head(tmp_path / "other", head_of(bench))
    accept(bench, tmp_path / "other")


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
    accept(bench, results)


def test_the_override_works(bench, results):
    batch = bench.submit(bench.jobs)
    bench.slurm.away = AWAY
    batch.remove()
    batch.folder.parent.rmdir()
    accept(bench, results)


@pytest.mark.parametrize(
    ("state", "is_refused"), [("COMPLETING", False), ("COMPLETED", False), ("PENDING", True)]
)
def test_an_array_whose_record_is_gone_is_a_reason_until_its_tasks_leave_their_nodes(
    bench, results, state, is_refused
):
    batch = bench.submit(bench.jobs)
    batch.remove()
    list_in_queue(bench, batch.folder, state=state)
    if is_refused:
        assert "scancel 12;" in refusal(bench, results)
    else:
        accept(bench, results)


def test_an_unfinished_job_that_leaves_its_node_may_still_save_and_is_refused(bench, results):
    batch = bench.submit(bench.jobs)
    list_in_queue(bench, batch.folder, state="COMPLETING")
    assert "scancel 12;" in refusal(bench, results)
    list_in_queue(bench, batch.folder, state="TIMEOUT")
    accept(bench, results)


def test_a_link_to_the_results_folder_is_the_results_folder(bench, results, tmp_path):
    list_in_queue(bench, bench.submit(bench.jobs).folder)
    (tmp_path / "link").symlink_to(results)
    assert "scancel 12;" in refusal(bench, tmp_path / "link")


def test_an_array_is_known_by_its_comment_or_by_its_script_whatever_the_path_to_it(bench, results, tmp_path):
    batch = bench.submit(bench.jobs)
    (tmp_path / "link").symlink_to(bench.folder)
    list_in_queue(bench, tmp_path / "link/batches" / batch.uuid)
    assert "scancel 12;" in refusal(bench, results)
    list_in_queue(bench, "/var/spool/slurm", comment=f"{batch.uuid} train 6 jobs")
    assert "scancel 12;" in refusal(bench, results)
    list_in_queue(bench, "/var/spool/slurm", comment="somebody else's")
    accept(bench, results)


def test_records_of_another_user_are_refused_with_the_owner_and_the_way_out(bench, results, monkeypatch):
    bench.submit(bench.jobs)
    iterdir = Path.iterdir

    def forbid(path):
        if bench.folder in path.parents:
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", forbid)
    for words in (str(bench.folder), f"by {bench.folder.owner()},", f"remove {results}/.submitit"):
        assert words in refusal(bench, results)
    note_head(results, head_of(bench, folder=bench.folder.with_name("mine")))
    assert str(bench.folder) in refusal(bench, results)


def test_a_head_takes_over_the_jobs_in_its_own_records_and_refuses_beside_others(bench, results, tmp_path):
    list_in_queue(bench, bench.submit(bench.jobs).folder)
    accept(bench, results, head_of(bench))
    other = head_of(bench, folder=tmp_path / "other")
    assert f"with the submitit-folder {bench.folder}." in refusal(bench, results, other)
    bench.slurm.queue = ""
    accept(bench, results, other)


def test_a_head_on_this_machine_and_one_on_slurm_refuse_the_jobs_of_each_other(bench, results):
    batch = bench.submit(bench.jobs)
    list_in_queue(bench, batch.folder)
    assert "scancel 12;" in refusal(bench, results, head_of(bench, "local"))
    bench.slurm.queue = ""
    note_head(results, head_of(bench, "local"))
    with process_of_executor() as process:
        batch.record_array(str(process.pid))
        assert f"kill -INT {process.pid}" in refusal(bench, results, head_of(bench, "slurm"))
        accept(bench, results, head_of(bench, "local"))


def test_every_folder_stays_in_the_note_until_its_jobs_have_ended(bench, results, tmp_path):
    batch = bench.submit(bench.jobs)
    note_head(results, head_of(bench, folder=tmp_path / "second"))
    list_in_queue(bench, batch.folder)
    assert "scancel 12;" in refusal(bench, results)
    for number in range(len(bench.jobs)):
        bench.end(batch, number, 0)
    note_head(results, head_of(bench, folder=tmp_path / "third"))
    assert [head["folder"] for head in noted(results)] == [str(tmp_path / "third")]


def test_only_a_head_whose_jobs_outlive_it_submits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert submitting_head(None) is None
    assert submitting_head(ExecutorSettings(cluster="debug")) is None
    head = submitting_head(ExecutorSettings(cluster="local", folder="link/records"))
    assert head == SubmittingHead(str(tmp_path / "real/records"), str(tmp_path), "local")
    assert submitting_head(ExecutorSettings()).cluster == "slurm"
    with pytest.raises(ResultsError, match="%"):
        submitting_head(ExecutorSettings(folder="a%b"))


def process_of_executor():
    waits = [sys.executable, "-c", "try: input()\nexcept KeyboardInterrupt: pass", "submitit"]
    return subprocess.Popen(waits, stdin=subprocess.PIPE)


def test_a_process_of_the_executor_on_this_machine_is_refused_until_the_advised_command_ends_it(bench):
    results = bench.grid.settings.results
    note_head(results, head_of(bench, "local"))
    bench.slurm.away = Refused("squeue: No such file or directory")  # a machine without SLURM
    with process_of_executor() as process:
        bench.submit(bench.jobs, array=str(process.pid))
        message, _, command = refusal(bench, results).rpartition(": ")
        assert message.endswith("stop them") and str(process.pid) in command.split()
        subprocess.run(command, shell=True, check=True)
        process.communicate()
    accept(bench, results)


def test_relative_outputs_are_meant_in_the_folder_of_the_head_that_submitted_them(
    bench, results, tmp_path, monkeypatch
):
    batch = bench.submit(bench.jobs)
    jobs = (batch.folder / "jobs.jsonl").read_text().replace(f"{tmp_path}/", "")
    assert noted(results) == [{"folder": str(bench.folder), "directory": os.getcwd(), "cluster": "slurm"}]
    for path in batch.folder.glob("jobs.jsonl*"):
        path.write_text("".join(f"{_without_digest(line)}\n" for line in jobs.splitlines()))
    list_in_queue(bench, batch.folder)
    monkeypatch.chdir(tmp_path)
    note_head("out", head_of(bench))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "scancel 12;" in refusal(bench, "../out")


def noted(results):
    return json.loads(Path(results, ".submitit").read_bytes())


def _without_digest(line):
    return json.dumps({key: value for key, value in json.loads(line).items() if key != "digest"})


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"{}}",
        b"[3]",
        b'{"folder": "/x", "directory": "/"}',
        b'[{"folder": "/x"}]',
        b'[{"folder": 3, "directory": "/", "cluster": "slurm"}]',
        b"\xff",
    ],
)
def test_a_damaged_note_is_refused_by_its_name(bench, results, content):
    note = bench.folder.parent / "out/.submitit"
    note.write_bytes(content)
    assert refusal(bench, results).startswith(f"{note}: damaged")
