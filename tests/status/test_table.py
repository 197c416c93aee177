"""JobCounts, and what is printed of them, as a table and as JSON."""

import json

import pytest

from hornlib.grid import read_grid
from hornlib.status.document import to_document
from hornlib.status.standing import JobState
from hornlib.status.submissions import parse_duration
from hornlib.status.table import print_status
from hornlib.training.progress_lines import begin_line, evaluation_line


def test_arms_count_the_jobs_that_hold_their_seeds_and_totals_count_each_once(bench):
    cnn = [job for job in bench.jobs if "-cnn-" in job.cell]
    bench.write_run(cnn[0])
    survey = bench.survey()
    assert {
        (row.sweep, row.arm): (row.counts.cells_done, row.counts.runs_done, dict(row.counts.jobs))
        for row in survey.rows()
    } == {
        ("one", "horn_cnn"): (0, 0, {JobState.OPEN: 4}),
        ("one", "cnn"): (0, 2, {JobState.DONE: 1, JobState.OPEN: 1}),
        ("two", "cnn"): (1, 2, {JobState.DONE: 1, JobState.OPEN: 0}),
    }
    counts = survey.counts()
    assert (counts.cells, counts.cells_done, counts.runs, counts.runs_done) == (3, 0, 12, 2)
    assert counts.jobs == {JobState.DONE: 1, JobState.OPEN: 5}


def test_only_chosen_cells_are_told_of_and_the_rest_of_the_queue_is_counted(bench):
    bench.submit(bench.jobs)
    bench.slurm.queue = "12_[0-5]|PENDING|1:00||Priority"
    survey = bench.survey("timesteps=4")
    assert (len(survey.standings), survey.strays) == (2, 4)
    assert bench.survey().strays == 0


def test_at_most_twenty_jobs_are_listed_and_the_rest_counted(bench_in, tmp_path):
    bench = bench_in(tmp_path, per_job=1, seeds=9)
    batch = bench.submit(bench.jobs)
    for number in range(len(bench.jobs)):
        bench.end(batch, number, 1)
    shown = bench.printed(print_status, bench.survey())
    assert shown.count("exit code 1") == 20
    assert "7 more failed" in shown


TUNED = """
    results: {results}
    defaults:
      data: {{name: digits}}
    sweeps:
      tuned:
        model: [{{name: cnn, channels: 4}}, {{name: mlp}}]
        training: {{learning_rate: {{tune: {{low: 1e-3, high: 1e-1, scale: log}}}}}}
        tuning: {{trials: 4, seeds: 3, finalists: {{trials: 2, seeds: 5}}}}
"""


def test_finalists_are_counted_apart_from_the_arms_that_are_tuned_first(bench, tmp_path):
    (tmp_path / "config.yaml").write_text(TUNED.format(results=tmp_path / "out"))
    bench.grid = grid = read_grid([tmp_path / "config.yaml"])
    first, _ = (grid.tuning_job(name) for name in grid.finalist_stages)
    for arm in grid.tuned_arms:
        bench.write_run(grid.tuning_job(arm))
    bench.write_log(first, "error: no data")
    survey = bench.survey()
    assert survey.tuning() == {JobState.DONE: 2}
    assert survey.finalists() == {JobState.FAILED: 1, JobState.OPEN: 1}
    shown = bench.printed(print_status, survey)
    assert "2 arms to be tuned first: 2 done" in shown
    assert "finalists of 2 arms: 1 failed, 1 not submitted" in shown
    assert "best 2 of 4 trials x 5 seeds for time_to_target and final_metric" in shown
    document = to_document(survey)
    assert document["finalists"] == {"failed": 1, "not submitted": 1}
    (failed,) = [job for job in document["jobs"] if job["state"] == "failed"]
    assert (failed["first_seed"], failed["last_seed"]) == (1003, 1007)


@pytest.mark.parametrize("width", [80, 160])
def test_names_and_counts_are_whole_at_this_width(bench, width):
    bench.submit(bench.jobs, "1234567")
    bench.slurm.queue = (
        "1234567_[0-4]|PENDING|1:00||PartitionTimeLimit\n1234567_5|RUNNING|1-00:00:00|gpu-node17|None"
    )
    bench.write_log(bench.jobs[5], begin_line([2, 3], 0, 40) + "\n" + evaluation_line(10, 40, "", 30) + "\n")
    shown = bench.printed(print_status, bench.survey(), width)
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
    bench.end(batch, 0, 1)
    bench.write_log(bench.jobs[0], "error: no\n")
    bench.slurm.queue = "12_1|RUNNING|59:10|n1|None\n12_2|PENDING|1:00||Priority"
    document = json.loads(json.dumps(to_document(bench.survey())))
    states = [job["state"] for job in document["jobs"]]
    assert states == ["failed", "running", "queued", *3 * ["not submitted"]]
    assert document["counts"]["jobs"]["running"] == 1
    assert document["jobs"][1]["limit_seconds_left"] == 3550
    failed = to_document(bench.survey(), only_failed=True)["jobs"]
    assert [job["last_lines"] for job in failed] == [["error: no"]]
