"""The time left of a sweep, from run files that are finished and from logs of jobs that run."""

import pytest

from hornlib.plan.estimates import Estimates, training_forward_flops
from hornlib.status.document import to_document
from hornlib.status.remaining import sweep_seconds_left
from hornlib.status.table import print_status
from hornlib.training.progress_lines import begin_line, evaluation_line

RATE = 1e-9


@pytest.fixture
def measured(monkeypatch):
    """Let every model on digits have been measured: a run takes RATE seconds a forward FLOP."""
    rates = {("horn_cnn", "digits"): RATE, ("cnn", "digits"): RATE}
    monkeypatch.setattr(
        "hornlib.plan.plan.Estimates.from_runs", lambda grid, present: Estimates(rates=rates, num_files=2)
    )


def whole(bench, job):
    return len(job.range.seeds()) * RATE * training_forward_flops(bench.grid.cells[job.cell])


def test_one_job_at_a_time_takes_the_sum_of_the_jobs(bench, measured):
    assert sweep_seconds_left(bench.survey()) == pytest.approx(sum(whole(bench, job) for job in bench.jobs))
    bench.write_run(bench.jobs[0])
    assert sweep_seconds_left(bench.survey()) == pytest.approx(
        sum(whole(bench, job) for job in bench.jobs[1:])
    )


def test_jobs_side_by_side_share_what_waits(bench, measured):
    bench.submit(bench.jobs)
    bench.slurm.queue = "12_[2-5]|PENDING|2:00:00||Priority\n12_[0-1]|RUNNING|59:10|n1|None"
    for job in bench.jobs[:2]:
        seeds = job.range.seeds()
        bench.write_log(job, begin_line(seeds, 0, 40) + "\n" + evaluation_line(20, 40, "loss 1", 30) + "\n")
    waiting = [whole(bench, job) for job in bench.jobs[2:]]
    expected = 30 + max(waiting[0] + waiting[2], waiting[1] + waiting[3])
    assert sweep_seconds_left(bench.survey()) == pytest.approx(expected)
    assert "with 2 jobs at a time" in bench.printed(print_status, bench.survey())


def test_what_was_never_measured_is_unknown_and_not_guessed(bench, monkeypatch):
    monkeypatch.setattr("hornlib.plan.plan.Estimates.from_runs", lambda grid, present: Estimates())
    assert sweep_seconds_left(bench.survey()) is None
    assert "time left: not known yet" in bench.printed(print_status, bench.survey())
    assert to_document(bench.survey())["seconds_left"] is None


def test_a_running_job_measures_its_model_before_any_run_file_exists(bench, monkeypatch):
    monkeypatch.setattr("hornlib.plan.plan.Estimates.from_runs", lambda grid, present: Estimates())
    cnn = [job for job in bench.jobs if "-cnn-" in job.cell]
    bench.submit(cnn)
    bench.slurm.queue = "12_0|RUNNING|59:10|n1|None\n12_1|PENDING|2:00:00||Priority"
    # half of the steps of two lanes take 30 s more: the next job with two lanes takes 60 s
    bench.write_log(cnn[0], begin_line([0, 1], 0, 40) + "\n" + evaluation_line(20, 40, "loss 1", 30) + "\n")
    assert sweep_seconds_left(bench.survey("model=cnn")) == pytest.approx(30 + 60)


def test_failed_jobs_take_no_time_and_a_finished_sweep_takes_none(bench, measured):
    for job in bench.jobs[1:]:
        bench.write_run(job)
    bench.write_log(bench.jobs[0], "error: no data\n")
    assert sweep_seconds_left(bench.survey()) == 0.0
    assert "time left" not in bench.printed(print_status, bench.survey())
