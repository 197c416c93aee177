"""Where jobs stand, by run files, records, a faked SLURM, and a sweep on this machine."""

import json
import os
import platform
from pathlib import Path

import pytest
from snakemake_executor_plugin_submitit.batches import read_batches
from snakemake_executor_plugin_submitit.causes import Cause, Verdict
from snakemake_executor_plugin_submitit.slurm import Refused, Unavailable

from hornlib.lease import acquire, lock_path, lock_run_file, read_holder
from hornlib.plan.plan import Plan
from hornlib.results import seal
from hornlib.status.document import to_document
from hornlib.status.standing import JobState
from hornlib.status.table import print_failed, print_status
from hornlib.training.progress_lines import begin_line


def test_without_records_nothing_is_submitted_and_slurm_is_not_asked(bench):
    survey = bench.survey()
    assert {standing.state for standing in survey.standings.values()} == {JobState.OPEN}
    assert bench.slurm.calls == []
    assert "no sweep runs here" in bench.printed(print_status, bench.survey())


def test_a_run_file_is_done_whatever_else_is_said(bench):
    batch = bench.submit(bench.jobs)
    bench.end(batch, 0, 1)
    bench.write_run(bench.jobs[0])
    assert bench.standing(0).state is JobState.DONE


def test_the_queue_tells_what_waits_and_what_runs_in_one_query(bench):
    bench.submit(bench.jobs[:4])
    bench.slurm.queue = (
        "12_[1-2]|PENDING|2:00:00||Priority\n12_0|RUNNING|59:10|n1|None\n12_3|COMPLETING|0:01|n2|None"
    )
    standings = list(bench.survey().standings.values())
    assert [one.state for one in standings] == [
        JobState.RUNNING,
        *2 * [JobState.QUEUED],
        JobState.RUNNING,
        *2 * [JobState.OPEN],
    ]
    assert (standings[0].node, standings[0].limit_seconds, standings[0].task, standings[0].reason) == (
        "n1",
        3550,
        "12_0",
        "",
    )
    assert standings[1].reason == "Priority"
    assert standings[3].reason == "completing"
    assert len(bench.slurm.calls) == 1


def test_an_end_with_an_error_is_a_failure_without_asking_the_accounting(bench):
    bench.end(bench.submit(bench.jobs), 0, 3)
    bench.slurm.queue = "12_[1-5]|PENDING|2:00:00||Priority"
    standing = bench.standing(0)
    assert (standing.state, standing.reason) == (JobState.FAILED, "exit code 3 on n1")
    assert bench.slurm.asked("sacct") == []


def test_a_job_that_ended_beside_a_sibling_that_runs_has_ended(bench):
    bench.end(bench.submit(bench.jobs[:2], jobs_per_task=2), 0, 1)
    bench.slurm.queue = "12_0|RUNNING|59:10|n1|None"
    standings = bench.survey().standings
    assert (standings[bench.jobs[0]].state, standings[bench.jobs[1]].state) == (
        JobState.FAILED,
        JobState.RUNNING,
    )


@pytest.mark.parametrize(
    ("account", "state", "word"),
    [
        ("12_0|CANCELLED by 0|0:15|n1|", JobState.STOPPED, "scancel"),
        ("12_0|TIMEOUT|0:0|n1|", JobState.STOPPED, "time limit"),
        ("12_0|NODE_FAIL|0:0|n1|", JobState.STOPPED, "n1"),
        ("12_0|OUT_OF_MEMORY|0:9|n1|", JobState.FAILED, "out of memory"),
        ("12_0|FAILED|2:0|n1|", JobState.STOPPED, "exit code 2"),
        ("12_0|COMPLETED|0:0|n1|", JobState.FAILED, "run file"),
        ("12_0|RUNNING|0:0|n1|", JobState.RUNNING, "leaving"),
        ("", JobState.STOPPED, "nothing says"),
        ("nonsense|||", JobState.STOPPED, "nothing says"),
    ],
)
def test_an_end_without_a_word_is_judged_by_the_accounting(bench, account, state, word):
    bench.start(bench.submit(bench.jobs[:1]), 0)
    bench.slurm.accounts = account
    standing = bench.standing(0)
    assert standing.state is state
    assert word in standing.reason


def test_a_killed_job_that_took_too_much_is_out_of_memory_as_the_head_says(bench):
    bench.end(bench.submit(bench.jobs[:1]), 0, 137)
    assert "killed (signal 9): often out of memory" in bench.standing(0).reason
    bench.slurm.accounts = "12_0|OUT_OF_MEMORY|0:9|n1|"
    assert "out of memory" in bench.standing(0).reason


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-11, "killed by SIGSEGV on n1"),
        (143, "killed by SIGTERM on n1"),
        (-9, "SIGKILL on n1"),
        (-62, "signal 62"),
    ],
)
def test_a_job_that_was_killed_names_the_signal_and_the_host(bench, code, words):
    bench.end(bench.submit(bench.jobs[:1]), 0, code)
    standing = bench.standing(0)
    assert standing.state is JobState.FAILED and words in standing.reason


MEMORY = Verdict(Cause.MEMORY, "out of memory; 800 MB were asked for")
NODE = Verdict(Cause.NODE, "the node failed on n1")


@pytest.mark.parametrize("record", [None, 137])
@pytest.mark.parametrize("verdict", [MEMORY, NODE], ids=["memory", "node"])
def test_a_job_that_the_head_reported_as_failed_is_among_the_failed_with_the_heads_words(
    bench, record, verdict
):
    batch = bench.submit(bench.jobs[:1])
    bench.start(batch, 0)
    bench.end(batch, 0, record) if record else batch.give_up(0, verdict)
    batch.conclude(0, verdict)
    bench.slurm.accounts = "12_0|FAILED|0:9|n1|"
    survey = bench.survey()
    standing = survey.standings[bench.jobs[0]]
    assert (standing.state, standing.reason) == (JobState.FAILED, verdict.sentence)
    assert bench.slurm.asked("sacct") == []
    assert f": {verdict.sentence}\n" in bench.printed(print_failed, survey)


@pytest.mark.parametrize("verdict", [MEMORY, NODE], ids=["memory", "node"])
def test_a_job_that_the_head_submits_again_is_stopped_and_not_failed(bench, verdict):
    batch = bench.submit(bench.jobs[:1])
    batch.give_up(0, verdict)
    standing = bench.standing(0)
    assert (standing.state, standing.reason) == (JobState.STOPPED, verdict.sentence)


def test_a_cancelled_job_is_stopped_though_the_head_reported_it_as_failed(bench):
    batch = bench.submit(bench.jobs[:1])
    batch.conclude(0, Verdict(Cause.CANCELLED, "cancelled with scancel"))
    assert bench.standing(0).state is JobState.STOPPED


def test_a_job_that_refused_its_code_is_among_the_failed_with_its_cause(bench):
    batch = bench.submit(bench.jobs[:2])
    bench.end(batch, 0, 78, changed="/folder/snapshots/hornlib-0.zip")
    batch.log(1).write_text("/folder/task-0.py is not the code that was submitted\n")
    shown = bench.printed(print_failed, bench.survey())
    assert "because /folder/snapshots/hornlib-0.zip is not the code that was submitted" in shown
    assert "because /folder/task-0.py is not the code that was submitted" in shown
    assert "2 jobs failed" in shown


def test_a_record_without_a_host_says_its_node(bench):
    bench.end(bench.submit(bench.jobs[:1]), 0, 75, host="")
    assert bench.standing(0).reason == "interrupted on its node"


def test_an_interrupted_job_that_may_not_return_to_the_queue_is_stopped_not_failed(bench):
    bench.end(bench.submit(bench.jobs[:1]), 0, 75, refused="no")
    assert bench.standing(0).state is JobState.STOPPED


def test_the_latest_submission_counts(bench):
    bench.end(bench.submit(bench.jobs[:1], "11"), 0, 1)
    bench.submit(bench.jobs[:1], "12")
    bench.slurm.queue = "12_0|PENDING|1:00||Resources"
    assert bench.standing(0).task == "12_0"


@pytest.mark.parametrize(
    "error", [Unavailable("squeue: timed out"), Refused("squeue: No such file or directory")]
)
def test_without_slurm_the_records_speak_and_the_note_says_so(bench, error):
    batch = bench.submit(bench.jobs[:3])
    bench.start(batch, 0)
    bench.end(batch, 2, 1)
    bench.slurm.away = error
    survey = bench.survey()
    assert [survey.standings[job].state for job in bench.jobs[:3]] == [
        JobState.RUNNING,
        JobState.QUEUED,
        JobState.FAILED,
    ]
    assert str(error) in bench.printed(print_status, survey)


def test_a_process_that_is_gone_is_not_taken_for_a_silent_slurm(bench):
    bench.start(bench.submit(bench.jobs[:1], "999999999"), 0, job="999999999")
    bench.slurm.away = Refused("squeue: No such file or directory")
    assert bench.standing(0).state is JobState.STOPPED


def test_a_batch_without_an_id_is_being_submitted_only_while_a_head_lives(bench):
    bench.submit(bench.jobs[:1], array=None)
    assert bench.standing(0).state is JobState.OPEN
    bench.write_head(1, "elsewhere")
    assert bench.standing(0).state is JobState.QUEUED


def test_the_id_of_a_batch_is_found_where_its_tasks_wrote_it(bench):
    batch = bench.submit(bench.jobs[:1], array=None)
    bench.start(batch, 0, "77_0")
    bench.slurm.queue = "77_0|RUNNING|1:00|n1|None"
    assert bench.standing(0).state is JobState.RUNNING
    assert read_batches(bench.folder)[0].array is None  # noting it is the head's


def test_an_array_that_no_head_recorded_is_found_in_the_queue_by_its_script(bench):
    batch = bench.submit(bench.jobs[:1], array=None)
    (batch.folder / "array.json").write_text("{")

    def answer(command):
        assert command[0] == "squeue"
        by_script = command[-1].endswith("%o")
        return f"77|PENDING|(null)|{batch.folder}/x.sh" if by_script else "77_0|PENDING|1:00||Priority"

    bench.slurm = answer
    survey = bench.survey()
    standing = survey.standings[bench.jobs[0]]
    assert (standing.state, standing.task) == (JobState.QUEUED, "77_0")
    assert f"note: {batch.folder}/array.json is damaged" in bench.printed(print_status, survey)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff", b'{"jobs_per_task": 0}', None])
@pytest.mark.parametrize(
    "name", ["batch.json", "jobs.jsonl", "array.json", "0.starts", "0.exit", "collected"]
)
def test_a_damaged_record_is_no_traceback(bench, name, damage):
    batch = bench.submit(bench.jobs[:2])
    bench.start(batch, 0)
    bench.end(batch, 0, 1)
    for path in (batch.folder / name, batch.folder / f"{name}.copy"):
        path.unlink(missing_ok=True) if damage is None else path.write_bytes(damage)
    survey = bench.survey()
    shown = bench.printed(print_status, survey)
    assert json.dumps(to_document(survey))
    is_named = damage is not None and name in ("batch.json", "jobs.jsonl", "array.json")
    assert not is_named or f"note: {batch.folder / name} is damaged" in shown


def test_a_run_file_that_appears_while_looking_is_done(bench, monkeypatch):
    bench.submit(bench.jobs[:2])

    def answer(command):
        bench.write_run(bench.jobs[0])  # it leaves the queue, its file in place, just before squeue answers
        return ""

    monkeypatch.setattr(bench, "slurm", answer)
    assert bench.standing(0).state is JobState.DONE


def test_a_run_file_that_the_listing_misses_is_found_by_its_name(bench, monkeypatch):
    bench.end(bench.submit(bench.jobs[:1]), 0, 0)
    assert bench.standing(0).state is JobState.FAILED
    bench.write_run(bench.jobs[0])
    monkeypatch.setattr("hornlib.status.survey.scan_runs", lambda results: {})
    assert bench.standing(0).state is JobState.DONE


def test_every_run_file_is_looked_at_once(bench, monkeypatch):
    for job in bench.jobs:
        bench.write_run(job)
    fault, jobs = Plan.fault, []
    monkeypatch.setattr(Plan, "fault", lambda plan, job: jobs.append(job) or fault(plan, job))
    assert {standing.state for standing in bench.survey().standings.values()} == {JobState.DONE}
    assert sorted(jobs) == sorted(bench.jobs)


def test_a_damaged_run_file_is_named_with_its_remedy_and_is_not_done(bench):
    for job in bench.jobs[:2]:
        bench.write_run(job)
    path = bench.grid.run_path(bench.jobs[0])
    path.write_bytes(path.read_bytes().replace(b"a run", b"a rum"))
    survey = bench.survey()
    states = [survey.standings[job].state for job in bench.jobs[:2]]
    assert states == [JobState.FAILED, JobState.DONE] and survey.counts().runs_done == 2
    for show in (print_status, print_failed):
        shown = bench.printed(show, survey)
        assert f"{path}: damaged" in shown and "Delete it and give the same command again" in shown
        assert ".log" not in shown


def test_one_line_stands_for_all_run_files_of_an_earlier_hornlib(bench):
    for job in bench.jobs[:3]:
        bench.write_run(job)
    for job in bench.jobs[:2]:
        path = bench.grid.run_path(job)
        path.write_bytes(b"an earlier hornlib")
    survey = bench.survey()
    assert [survey.standings[job].state for job in bench.jobs[:2]] == [JobState.FAILED] * 2
    for show in (print_status, print_failed):
        failures = [line for line in bench.printed(show, survey).splitlines() if line.startswith("failed: ")]
        assert len(failures) == 1
        assert failures[0].startswith("failed: files without a SHA-256 at their end: 2, the first is ")
        assert failures[0].index("hornlib seal") < failures[0].index("Delete")


def test_a_run_file_is_read_once_while_it_is_the_same(bench, monkeypatch):
    reads = []
    read_sealed = seal.read_sealed
    monkeypatch.setattr(seal, "read_sealed", lambda *arguments: reads.append(1) or read_sealed(*arguments))
    bench.write_run(bench.jobs[0])
    assert [bench.standing(0).state for _ in range(3)] == 3 * [JobState.DONE] and len(reads) == 1
    bench.grid.run_path(bench.jobs[0]).write_bytes(b"cut")
    assert [bench.standing(0).state for _ in range(3)] == 3 * [JobState.FAILED] and len(reads) == 2


def test_looking_writes_nothing(bench, tmp_path):
    batch = bench.submit(bench.jobs[:3])
    bench.write_head(os.getpid(), platform.node())
    bench.start(batch, 0)
    bench.end(batch, 1, 1)
    bench.write_log(bench.jobs[0], "x\n")

    def tree():
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    before = tree()
    bench.printed(print_status, bench.survey())
    assert tree() == before


def test_a_log_of_a_sweep_that_is_gone_is_an_interrupted_job(bench):
    bench.write_log(bench.jobs[0], begin_line([0, 1], 0, 40) + "\n")
    assert bench.standing(0).state is JobState.STOPPED


def test_a_log_written_by_the_sweep_that_lives_here_is_a_running_job(bench):
    bench.write_log(bench.jobs[1], "of the sweep before\n")
    os.utime(bench.log(bench.jobs[1]), (1, 1))
    with acquire(bench.grid.settings.results):
        bench.write_log(bench.jobs[0], begin_line([0, 1], 0, 40) + "\n")
        assert bench.standing(0).state is JobState.RUNNING
        assert bench.standing(1).state is JobState.STOPPED
    assert bench.standing(0).state is JobState.STOPPED


def test_a_sweep_on_another_host_leaves_open_whether_a_fresh_log_is_a_running_job(bench):
    bench.write_log(bench.jobs[0], "at work\n")
    (Path(bench.grid.settings.results) / ".lease").write_text("process 1 on elsewhere")
    standing = bench.standing(0)
    assert standing.state is JobState.RUNNING
    assert "elsewhere" in standing.reason
    os.utime(bench.log(bench.jobs[0]), (1, 1))
    assert bench.standing(0).state is JobState.STOPPED


@pytest.mark.parametrize("line", ["error: no data", "torch.OutOfMemoryError: too much", "ValueError"])
def test_a_log_that_ends_in_an_error_is_a_failure_with_that_error(bench, line):
    bench.write_log(bench.jobs[0], f"Traceback\n{line}\n\n")
    with acquire(bench.grid.settings.results):
        standing = bench.standing(0)
    assert (standing.state, standing.reason) == (JobState.FAILED, line)


def test_a_checkpoint_without_a_log_goes_on(bench):
    folder = Path(bench.grid.settings.results) / "checkpoints"
    folder.mkdir(parents=True)
    (folder / f"{bench.jobs[0].file_name.removesuffix('.nc')}.checkpoint").touch()
    assert bench.standing(0).state is JobState.STOPPED


def test_a_sweep_that_goes_on_here_outweighs_what_the_cluster_left(bench):
    bench.end(bench.submit(bench.jobs[:1]), 0, 1)
    with acquire(bench.grid.settings.results):
        assert bench.standing(0).state is JobState.FAILED
        bench.write_log(bench.jobs[0], begin_line([0, 1], 0, 40) + "\n")
        assert bench.standing(0).state is JobState.RUNNING
        bench.write_head(1, "elsewhere")  # the sweep here is the head of a cluster's
        assert bench.standing(0).state is JobState.FAILED


def test_a_training_whose_head_was_killed_is_running_without_a_head(bench):
    run = bench.grid.run_path(bench.jobs[0])
    bench.write_log(bench.jobs[0], begin_line([0, 1], 0, 40) + "\nerror: a second training was refused\n")
    with lock_run_file(run):
        standing = bench.standing(0)
        assert standing.state is JobState.RUNNING
        assert f"process {os.getpid()} trains it, and no head watches it" in standing.reason
        assert standing.reason in bench.printed(print_status, bench.survey())
    assert bench.standing(0).state is JobState.FAILED


def test_a_training_that_is_older_than_the_sweep_is_an_orphan_and_a_younger_one_is_not(bench):
    run = bench.grid.run_path(bench.jobs[0])
    with acquire(bench.grid.settings.results), lock_run_file(run):
        bench.write_log(bench.jobs[0], begin_line([0, 1], 0, 40) + "\n")
        assert (bench.standing(0).state, bench.standing(0).reason) == (JobState.RUNNING, "")
        os.utime(lock_path(run), (1, 1))
        assert "no head watches it" in bench.standing(0).reason


def test_an_orphan_is_running_though_the_records_say_it_failed(bench):
    bench.end(bench.submit(bench.jobs[:1]), 0, 1)
    assert bench.standing(0).state is JobState.FAILED
    with lock_run_file(bench.grid.run_path(bench.jobs[0])):
        assert bench.standing(0).state is JobState.RUNNING


def test_the_lock_of_a_training_that_was_killed_is_no_running_job(bench):
    run = bench.grid.run_path(bench.jobs[0])
    run.parent.mkdir(parents=True)
    lock_path(run).write_text(f"process 999999999 on {platform.node()}")
    assert bench.standing(0).state is JobState.OPEN


def test_a_lease_whose_process_id_is_in_use_again_is_not_held(tmp_path):
    acquire(tmp_path).close()
    holder = read_holder(tmp_path)
    assert holder is not None
    assert (holder.process, holder.lives) == (os.getpid(), False)
    with acquire(tmp_path):
        assert read_holder(tmp_path).lives


def test_a_head_is_alive_by_its_process_here_and_by_its_beat_elsewhere(bench):
    bench.write_head(os.getpid(), platform.node(), born="never")
    assert not bench.survey().submissions.head.lives
    bench.write_head(1, "elsewhere")
    assert bench.survey().submissions.head.lives
    os.utime(bench.folder / "head.json", (1, 1))
    assert not bench.survey().submissions.head.lives
    (bench.folder / "head.json").write_text("{")
    assert bench.survey().submissions.head is None
