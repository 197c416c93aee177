"""Where jobs stand, by run files, records, a faked SLURM, and logs; and what cancelling them comes to."""

import io
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from snakemake_executor_plugin_submitit.batches import JobRecord, read_batches, write_batch
from snakemake_executor_plugin_submitit.slurm import Refused, Slurm, Unavailable

from hornlib import cli
from hornlib.errors import ResourceError
from hornlib.lease import acquire, read_holder
from hornlib.selection import parse_condition, select
from hornlib.status.cancellation import cancel, describe, plan_cancellation
from hornlib.status.document import to_document
from hornlib.status.standing import State
from hornlib.status.submissions import parse_duration
from hornlib.status.survey import Survey
from hornlib.status.table import print_failed, print_status, time_left
from hornlib.status.traces import log_path
from hornlib.training.progress_lines import begin_line, evaluation_line

CONFIG = """
    results: {results}
    seeds: 4
    per_job: 2
    sweeps:
      one:
        data: {{name: digits}}
        model: [{{name: horn_cnn, timesteps: [4, 8]}}, {{name: cnn, channels: 8-16}}]
      two:
        seeds: 2
        data: {{name: digits}}
        model: {{name: cnn, channels: 8-16}}
"""


class FakeSlurm:
    """Answers squeue and sacct from text, and remembers what it was asked."""

    def __init__(self):
        self.queue, self.accounts, self.calls, self.away = "", "", [], None

    def __call__(self, command):
        self.calls.append(list(command))
        if self.away:
            raise self.away
        if command[0] == "scontrol":
            return "AccountingStorageType = accounting_storage/slurmdbd\n"
        return {"squeue": self.queue, "sacct": self.accounts, "scancel": ""}[command[0]]

    def asked(self, program):
        return [call for call in self.calls if call[0] == program]


class Bench:
    """A grid of six jobs, an executor's folder, and a SLURM that says what a test wants."""

    def __init__(self, grid, folder):
        self.grid, self.folder, self.slurm = grid, folder, FakeSlurm()
        self.jobs = grid.jobs({})

    def submit(self, jobs, array="12", jobs_per_task=1, **header):
        records = [
            JobRecord((str(self.grid.run_path(job)),), "train", (str(self.log(job)),), "true", {})
            for job in jobs
        ]
        batch = write_batch(self.folder, records, {"mem": "100MB"}, jobs_per_task, **header)
        if array:
            batch.record_array(array)
        return batch

    def log(self, job):
        return log_path(self.grid.settings.results, job)

    def write_log(self, job, text):
        self.log(job).parent.mkdir(parents=True, exist_ok=True)
        self.log(job).write_text(text)

    def write_run(self, job):
        path = self.grid.run_path(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    def survey(self, *conditions, sweep=None):
        selected = select(self.grid, [parse_condition(text) for text in conditions], sweep)
        return Survey(self.grid, selected, self.folder, Slurm(self.slurm))

    def standing(self, number):
        return self.survey().standings[self.jobs[number]]


@pytest.fixture
def bench(grid_from, tmp_path):
    return Bench(grid_from(CONFIG.format(results=tmp_path / "out")), tmp_path / "records")


def end(batch, number, code, **more):
    record = {"code": code, "job": "12_0", "host": "n1", "time": time.time(), **more}
    (batch.folder / f"{number}.exit").write_text(json.dumps(record))


def start(batch, number, job="12_0", times=1):
    line = json.dumps({"job": job, "host": "n1", "time": time.time(), "mark": None, "restart": 0})
    (batch.folder / f"{number}.starts").write_text(f"{line}\n" * times)


def write_head(folder, pid, host, born="1"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "head.json").write_text(json.dumps({"host": host, "pid": pid, "born": born}))


def printed(show, survey, width=None):
    stream = io.StringIO()
    terminal = {"force_terminal": True, "width": width, "color_system": None} if width else {}
    show(survey, Console(file=stream, **terminal))
    return stream.getvalue()


# -- the queue and the records


def test_without_records_nothing_is_submitted_and_slurm_is_not_asked(bench):
    found = bench.survey()
    assert {standing.state for standing in found.standings.values()} == {State.OPEN}
    assert bench.slurm.calls == []


def test_a_run_file_is_done_whatever_else_is_said(bench):
    batch = bench.submit(bench.jobs)
    end(batch, 0, 1)
    bench.write_run(bench.jobs[0])
    assert bench.standing(0).state is State.DONE


def test_the_queue_tells_what_waits_and_what_runs_in_one_query(bench):
    bench.submit(bench.jobs[:4])
    bench.slurm.queue = (
        "12_[1-2]|PENDING|2:00:00||Priority\n12_0|RUNNING|59:10|n1|None\n12_3|COMPLETING|0:01|n2|None"
    )
    found = list(bench.survey().standings.values())
    assert [one.state for one in found] == [
        State.RUNNING,
        *2 * [State.QUEUED],
        State.RUNNING,
        *2 * [State.OPEN],
    ]
    assert (found[0].node, found[0].limit_seconds, found[0].task, found[0].reason) == ("n1", 3550, "12_0", "")
    assert found[1].reason == "Priority"
    assert found[3].reason == "completing"
    assert len(bench.slurm.calls) == 1


def test_an_end_with_an_error_is_a_failure_without_asking_the_accounting(bench):
    end(bench.submit(bench.jobs), 0, 3)
    bench.slurm.queue = "12_[1-5]|PENDING|2:00:00||Priority"
    standing = bench.standing(0)
    assert (standing.state, standing.reason) == (State.FAILED, "exit code 3 on n1")
    assert bench.slurm.asked("sacct") == []


def test_a_job_that_ended_beside_a_sibling_that_runs_has_ended(bench):
    end(bench.submit(bench.jobs[:2], jobs_per_task=2), 0, 1)
    bench.slurm.queue = "12_0|RUNNING|59:10|n1|None"
    found = bench.survey().standings
    assert (found[bench.jobs[0]].state, found[bench.jobs[1]].state) == (State.FAILED, State.RUNNING)


@pytest.mark.parametrize(
    ("account", "state", "word"),
    [
        ("12_0|CANCELLED by 0|0:15|n1|", State.STOPPED, "scancel"),
        ("12_0|TIMEOUT|0:0|n1|", State.STOPPED, "time limit"),
        ("12_0|NODE_FAIL|0:0|n1|", State.STOPPED, "n1"),
        ("12_0|OUT_OF_MEMORY|0:9|n1|", State.FAILED, "out of memory"),
        ("12_0|FAILED|2:0|n1|", State.STOPPED, "exit code 2"),
        ("12_0|COMPLETED|0:0|n1|", State.FAILED, "run file"),
        ("12_0|RUNNING|0:0|n1|", State.RUNNING, "leaving"),
        ("", State.STOPPED, "nothing says"),
        ("nonsense|||", State.STOPPED, "nothing says"),
    ],
)
def test_an_end_without_a_word_is_judged_by_the_accounting(bench, account, state, word):
    start(bench.submit(bench.jobs[:1]), 0)
    bench.slurm.accounts = account
    standing = bench.standing(0)
    assert standing.state is state
    assert word in standing.reason


def test_a_killed_job_that_took_too_much_is_out_of_memory_as_the_head_says(bench):
    end(bench.submit(bench.jobs[:1]), 0, 137)
    assert "SIGKILL" in bench.standing(0).reason
    bench.slurm.accounts = "12_0|OUT_OF_MEMORY|0:9|n1|"
    assert "out of memory" in bench.standing(0).reason


def test_an_interrupted_job_that_may_not_return_to_the_queue_is_stopped_not_failed(bench):
    end(bench.submit(bench.jobs[:1]), 0, 75, refused="no")
    assert bench.standing(0).state is State.STOPPED


def test_the_latest_submission_counts(bench):
    end(bench.submit(bench.jobs[:1], "11"), 0, 1)
    bench.submit(bench.jobs[:1], "12")
    bench.slurm.queue = "12_0|PENDING|1:00||Resources"
    assert bench.standing(0).task == "12_0"


@pytest.mark.parametrize(
    "error", [Unavailable("squeue: timed out"), Refused("squeue: No such file or directory")]
)
def test_without_slurm_the_records_speak_and_the_note_says_so(bench, error):
    batch = bench.submit(bench.jobs[:3])
    start(batch, 0)
    end(batch, 2, 1)
    bench.slurm.away = error
    found = bench.survey()
    assert [found.standings[job].state for job in bench.jobs[:3]] == [
        State.RUNNING,
        State.QUEUED,
        State.FAILED,
    ]
    assert str(error) in printed(print_status, found)


def test_a_process_that_is_gone_is_not_taken_for_a_silent_slurm(bench):
    start(bench.submit(bench.jobs[:1], "999999999"), 0, job="999999999")
    bench.slurm.away = Refused("squeue: No such file or directory")
    assert bench.standing(0).state is State.STOPPED


def test_a_batch_without_an_id_is_being_submitted_only_while_a_head_lives(bench):
    bench.submit(bench.jobs[:1], array=None)
    assert bench.standing(0).state is State.OPEN
    write_head(bench.folder, 1, "elsewhere")
    assert bench.standing(0).state is State.QUEUED


def test_the_id_of_a_batch_is_found_where_its_tasks_wrote_it(bench):
    batch = bench.submit(bench.jobs[:1], array=None)
    start(batch, 0, "77_0")
    bench.slurm.queue = "77_0|RUNNING|1:00|n1|None"
    assert bench.standing(0).state is State.RUNNING
    assert read_batches(bench.folder)[0].array is None  # noting it is the head's


def test_a_run_file_that_appears_while_looking_is_done(bench, monkeypatch):
    bench.submit(bench.jobs[:2])

    def answer(command):
        bench.write_run(bench.jobs[0])  # it leaves the queue, its file in place, just before squeue answers
        return ""

    monkeypatch.setattr(bench, "slurm", answer)
    assert bench.standing(0).state is State.DONE


def test_a_run_file_that_the_listing_misses_is_found_by_its_name(bench, monkeypatch):
    end(bench.submit(bench.jobs[:1]), 0, 0)
    assert bench.standing(0).state is State.FAILED
    bench.write_run(bench.jobs[0])
    monkeypatch.setattr("hornlib.status.survey.scan_runs", lambda results: {})
    assert bench.standing(0).state is State.DONE


def test_looking_writes_nothing(bench, tmp_path):
    batch = bench.submit(bench.jobs[:3])
    write_head(bench.folder, os.getpid(), platform.node())
    start(batch, 0)
    end(batch, 1, 1)
    bench.write_log(bench.jobs[0], "x\n")

    def tree():
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    before = tree()
    printed(print_status, bench.survey())
    assert tree() == before


# -- what logs say


def test_step_and_time_left_come_from_the_log(bench):
    bench.submit(bench.jobs[:1])
    bench.slurm.queue = "12_0|RUNNING|59:10|n1|None"
    bench.write_log(
        bench.jobs[0], begin_line([0], 0, 40) + "\n" + evaluation_line(10, 40, "loss 1", 30) + "\n"
    )
    found = bench.survey()
    standing = found.standings[bench.jobs[0]]
    assert time_left(found, standing) == pytest.approx(30 + 40)  # seed 1 comes after seed 0
    assert "10/40 of seed 0" in printed(print_status, found)


@given(st.binary(max_size=300))
def test_any_log_is_survived(noise):
    import tempfile

    from hornlib.grid import read_grid

    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text(CONFIG.format(results=f"{folder}/out"))
        bench = Bench(read_grid([config]), Path(folder) / "records")
        start(bench.submit(bench.jobs[:1]), 0)
        bench.slurm.queue = "12_0|RUNNING|59:10|n1|None"
        for job in bench.jobs[:2]:
            bench.write_log(job, "")
            bench.log(job).write_bytes(noise)
        found = bench.survey()
        assert found.standings[bench.jobs[0]].state is State.RUNNING
        assert found.standings[bench.jobs[1]].state in (State.STOPPED, State.FAILED)
        printed(print_status, found)
        printed(print_failed, found)


def test_a_failed_job_is_shown_with_the_end_of_its_log(bench):
    end(bench.submit(bench.jobs[:1]), 0, 1)
    bench.write_log(bench.jobs[0], "".join(f"line {number}\n" for number in range(50)))
    shown = printed(print_failed, bench.survey())
    assert str(bench.log(bench.jobs[0])) in shown
    assert "line 49" in shown
    assert "line 30" not in shown


def test_restarts_are_counted(bench):
    start(bench.submit(bench.jobs[:1]), 0, times=3)
    bench.slurm.queue = "12_0|RUNNING|59:10|n1|None"
    assert bench.survey().restarts(bench.jobs[0]) == 2


# -- a sweep on this machine


def test_a_log_of_a_sweep_that_is_gone_is_an_interrupted_job(bench):
    bench.write_log(bench.jobs[0], begin_line([0, 1], 0, 40) + "\n")
    assert bench.standing(0).state is State.STOPPED


def test_a_log_written_by_the_sweep_that_lives_here_is_a_running_job(bench):
    bench.write_log(bench.jobs[1], "of the sweep before\n")
    os.utime(bench.log(bench.jobs[1]), (1, 1))
    with acquire(bench.grid.settings.results):
        bench.write_log(bench.jobs[0], begin_line([0, 1], 0, 40) + "\n")
        assert bench.standing(0).state is State.RUNNING
        assert bench.standing(1).state is State.STOPPED
    assert bench.standing(0).state is State.STOPPED


def test_a_sweep_on_another_host_leaves_open_whether_a_fresh_log_is_a_running_job(bench):
    bench.write_log(bench.jobs[0], "at work\n")
    (Path(bench.grid.settings.results) / ".lease").write_text("process 1 on elsewhere")
    standing = bench.standing(0)
    assert standing.state is State.RUNNING
    assert "elsewhere" in standing.reason
    os.utime(bench.log(bench.jobs[0]), (1, 1))
    assert bench.standing(0).state is State.STOPPED


@pytest.mark.parametrize("line", ["error: no data", "torch.OutOfMemoryError: too much", "ValueError"])
def test_a_log_that_ends_in_an_error_is_a_failure_with_that_error(bench, line):
    bench.write_log(bench.jobs[0], f"Traceback\n{line}\n\n")
    with acquire(bench.grid.settings.results):
        standing = bench.standing(0)
    assert (standing.state, standing.reason) == (State.FAILED, line)


def test_a_checkpoint_without_a_log_goes_on(bench):
    folder = Path(bench.grid.settings.results) / "checkpoints"
    folder.mkdir(parents=True)
    (folder / f"{bench.jobs[0].file_name.removesuffix('.nc')}.checkpoint").touch()
    assert bench.standing(0).state is State.STOPPED


def test_a_sweep_that_goes_on_here_outweighs_what_the_cluster_left(bench):
    end(bench.submit(bench.jobs[:1]), 0, 1)
    with acquire(bench.grid.settings.results):
        assert bench.standing(0).state is State.FAILED
        bench.write_log(bench.jobs[0], begin_line([0, 1], 0, 40) + "\n")
        assert bench.standing(0).state is State.RUNNING
        write_head(bench.folder, 1, "elsewhere")  # the sweep here is the head of a cluster's
        assert bench.standing(0).state is State.FAILED


def test_a_lease_whose_process_id_is_in_use_again_is_not_held(tmp_path):
    acquire(tmp_path).close()
    holder = read_holder(tmp_path)
    assert holder is not None
    assert (holder.process, holder.lives) == (os.getpid(), False)
    with acquire(tmp_path):
        assert read_holder(tmp_path).lives


def test_a_head_is_alive_by_its_process_here_and_by_its_beat_elsewhere(bench):
    write_head(bench.folder, os.getpid(), platform.node(), born="never")
    assert not bench.survey().submissions.head.lives
    write_head(bench.folder, 1, "elsewhere")
    assert bench.survey().submissions.head.lives
    os.utime(bench.folder / "head.json", (1, 1))
    assert not bench.survey().submissions.head.lives
    (bench.folder / "head.json").write_text("{")
    assert bench.survey().submissions.head is None


# -- counts and what is printed


def test_arms_count_the_jobs_that_hold_their_seeds_and_totals_count_each_once(bench):
    cnn = [job for job in bench.jobs if "-cnn-" in job.cell]
    bench.write_run(cnn[0])
    found = bench.survey()
    assert {
        (row.sweep, row.arm): (row.counts.cells_done, row.counts.runs_done, dict(row.counts.jobs))
        for row in found.rows()
    } == {
        ("one", "horn_cnn"): (0, 0, {State.OPEN: 4}),
        ("one", "cnn"): (0, 2, {State.DONE: 1, State.OPEN: 1}),
        ("two", "cnn"): (1, 2, {State.DONE: 1, State.OPEN: 0}),
    }
    counts = found.counts()
    assert (counts.cells, counts.cells_done, counts.runs, counts.runs_done) == (3, 0, 12, 2)
    assert counts.jobs == {State.DONE: 1, State.OPEN: 5}


def test_only_chosen_cells_are_told_of_and_the_rest_of_the_queue_is_counted(bench):
    bench.submit(bench.jobs)
    bench.slurm.queue = "12_[0-5]|PENDING|1:00||Priority"
    found = bench.survey("timesteps=4")
    assert (len(found.standings), found.strays) == (2, 4)
    assert bench.survey().strays == 0


def test_at_most_twenty_jobs_are_listed_and_the_rest_counted(grid_from, tmp_path):
    grid = grid_from(
        CONFIG.format(results=tmp_path / "out")
        .replace("per_job: 2", "per_job: 1")
        .replace("seeds: 4", "seeds: 9")
    )
    bench = Bench(grid, tmp_path / "records")
    batch = bench.submit(bench.jobs)
    for number in range(len(bench.jobs)):
        end(batch, number, 1)
    shown = printed(print_status, bench.survey())
    assert shown.count("exit code 1") == 20
    assert "7 more failed" in shown


@pytest.mark.parametrize("width", [80, 160])
def test_names_and_counts_are_whole_at_this_width(bench, width):
    bench.submit(bench.jobs, "1234567")
    bench.slurm.queue = (
        "1234567_[0-4]|PENDING|1:00||PartitionTimeLimit\n1234567_5|RUNNING|1-00:00:00|gpu-node17|None"
    )
    bench.write_log(bench.jobs[5], begin_line([2, 3], 0, 40) + "\n" + evaluation_line(10, 40, "", 30) + "\n")
    shown = printed(print_status, bench.survey(), width)
    assert "…" not in shown
    assert "10/40" in shown
    assert "wait for ever" in shown


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("59:10", 3550),
        ("2:00:00", 7200),
        ("1-02:03:04", 93784),
        ("UNLIMITED", None),
        ("INVALID", None),
        ("", None),
    ],
)
def test_slurms_durations_are_read(text, seconds):
    assert parse_duration(text) == seconds


def test_the_document_is_json_and_holds_every_job(bench):
    batch = bench.submit(bench.jobs[:3])
    end(batch, 0, 1)
    bench.write_log(bench.jobs[0], "error: no\n")
    bench.slurm.queue = "12_1|RUNNING|59:10|n1|None\n12_2|PENDING|1:00||Priority"
    document = json.loads(json.dumps(to_document(bench.survey())))
    states = [job["state"] for job in document["jobs"]]
    assert states == ["failed", "running", "queued", *3 * ["not submitted"]]
    assert document["counts"]["jobs"]["running"] == 1
    assert document["jobs"][1]["limit_seconds_left"] == 3550
    failed = to_document(bench.survey(), only_failed=True)["jobs"]
    assert [job["last_lines"] for job in failed] == [["error: no"]]


# -- cancelling


def names_of(bench, *conditions):
    return plan_cancellation(bench.survey(*conditions)).names


def test_an_array_whose_live_tasks_are_all_meant_is_cancelled_as_a_whole(bench):
    batch = bench.submit(bench.jobs)
    end(batch, 5, 1)
    bench.slurm.queue = "12_[0-4]|PENDING|1:00||Priority"
    assert names_of(bench) == ["12"]


def test_only_the_chosen_tasks_of_an_array_are_cancelled(bench):
    bench.submit(bench.jobs)
    bench.slurm.queue = "12_[0-5]|PENDING|1:00||Priority"
    found = bench.survey("timesteps=8")
    planned = plan_cancellation(found)
    assert planned.jobs == bench.jobs[2:4]
    cancel(found, planned)
    assert bench.slurm.asked("scancel") == [["scancel", "12_2", "12_3"]]


def test_a_task_shared_with_jobs_that_are_not_chosen_is_left_alone_until_they_have_ended(bench):
    batch = bench.submit(bench.jobs, jobs_per_task=3)
    bench.slurm.queue = "12_[0-1]|RUNNING|1:00|n1|None"
    planned = plan_cancellation(bench.survey("model=horn_cnn"))
    assert planned.names == ["12_0"]
    assert planned.shared == [bench.jobs[3]]
    end(batch, 4, 1)
    end(batch, 5, 0)
    assert names_of(bench, "model=horn_cnn") == ["12"]


def test_a_batch_without_an_id_is_named_as_what_cannot_be_cancelled(bench):
    bench.submit(bench.jobs[:2], array=None)
    write_head(bench.folder, 1, "elsewhere")
    found = bench.survey()
    planned = plan_cancellation(found)
    assert (planned.names, planned.nameless) == ([], bench.jobs[:2])
    told = "\n".join(describe(found, planned))
    assert "2 jobs" in told
    assert "4 jobs" in told  # those that the head will still submit


def test_nothing_is_cancelled_where_slurm_does_not_answer(bench):
    bench.submit(bench.jobs)
    bench.slurm.away = Unavailable("squeue: timed out")
    with pytest.raises(ResourceError, match="timed out"):
        names_of(bench)


# -- the commands


@pytest.fixture
def hornlib(bench, tmp_path, monkeypatch, capsys):
    """Call the command line beside the bench, with its SLURM."""
    (tmp_path / "config.yaml").write_text(CONFIG.format(results=tmp_path / "out"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("snakemake_executor_plugin_submitit.slurm.Slurm", lambda: Slurm(bench.slurm))

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["hornlib", *words, "--folder", str(bench.folder)])
        with pytest.raises(SystemExit) as left:
            cli.main()
            raise SystemExit(0)
        return int(left.value.code or 0), *capsys.readouterr()

    return call


def test_status_ends_well_even_where_jobs_failed(bench, hornlib):
    end(bench.submit(bench.jobs), 0, 1)
    for words in (
        [],
        ["--failed"],
        ["--json"],
        ["--json", "--failed"],
        ["--where", "timesteps=4"],
        ["--sweep", "two"],
    ):
        status, out, err = hornlib("status", *words)
        assert (status, err) == (0, "")
        assert out
    status, _, err = hornlib("status", "--sweep", "three")
    assert (status, "three" in err) == (1, True)


def test_cancel_refuses_without_a_terminal_unless_told_yes(bench, hornlib, monkeypatch):
    bench.submit(bench.jobs)
    bench.slurm.queue = "12_[0-5]|PENDING|1:00||Priority"
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    status, _, err = hornlib("cancel")
    assert (status, "--yes" in err, bench.slurm.asked("scancel")) == (1, True, [])
    status, out, _ = hornlib("cancel", "--yes")
    assert (status, bench.slurm.asked("scancel")) == (0, [["scancel", "12"]])
    assert "checkpoints are kept" in out


@pytest.mark.parametrize(("answer", "calls"), [("n", []), ("y", [["scancel", "12"]])])
def test_cancel_asks_on_a_terminal(bench, hornlib, monkeypatch, answer, calls):
    bench.submit(bench.jobs)
    bench.slurm.queue = "12_[0-5]|PENDING|1:00||Priority"
    terminal = io.StringIO(f"{answer}\n")
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", terminal)
    assert hornlib("cancel")[0] == 0
    assert bench.slurm.asked("scancel") == calls


def test_looking_loads_no_torch_and_no_snakemake(tmp_path):
    code = (
        "import sys, hornlib.status.cancellation, hornlib.status.document\nimport snakemake_executor_plugin_submitit\n"
        "assert not {'torch', 'snakemake', 'submitit', 'xarray'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
