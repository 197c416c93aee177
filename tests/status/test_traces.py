"""What logs say of jobs: the step, the time left, the error."""

import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornlib.status.remaining import job_seconds_left
from hornlib.status.standing import JobState
from hornlib.status.table import print_failed, print_status
from hornlib.training.progress_lines import begin_line, evaluation_line


def test_step_and_time_left_come_from_the_log(bench):
    bench.submit(bench.jobs[:1])
    bench.slurm.queue = "12_0|RUNNING|59:10|n1|None"
    bench.write_log(
        bench.jobs[0], begin_line([0], 0, 40) + "\n" + evaluation_line(10, 40, "loss 1", 30) + "\n"
    )
    survey = bench.survey()
    assert job_seconds_left(survey, bench.jobs[0]) == pytest.approx(30 + 40)  # seed 1 comes after seed 0
    assert "10/40 of seed 0" in bench.printed(print_status, survey)


@given(st.binary(max_size=300))
def test_any_log_is_survived(bench_in, noise):
    with tempfile.TemporaryDirectory() as folder:
        bench = bench_in(folder)
        bench.start(bench.submit(bench.jobs[:1]), 0)
        bench.slurm.queue = "12_0|RUNNING|59:10|n1|None"
        for job in bench.jobs[:2]:
            bench.write_log(job, "")
            bench.log(job).write_bytes(noise)
        survey = bench.survey()
        assert survey.standings[bench.jobs[0]].state is JobState.RUNNING
        assert survey.standings[bench.jobs[1]].state in (JobState.STOPPED, JobState.FAILED)
        bench.printed(print_status, survey)
        bench.printed(print_failed, survey)


def test_a_failed_job_is_shown_with_the_end_of_its_log(bench):
    bench.end(bench.submit(bench.jobs[:1]), 0, 1)
    bench.write_log(bench.jobs[0], "".join(f"line {number}\n" for number in range(50)))
    shown = bench.printed(print_failed, bench.survey())
    assert str(bench.log(bench.jobs[0])) in shown
    assert "line 49" in shown
    assert "line 30" not in shown


def test_restarts_are_counted(bench):
    bench.start(bench.submit(bench.jobs[:1]), 0, times=3)
    bench.slurm.queue = "12_0|RUNNING|59:10|n1|None"
    assert bench.survey().restarts(bench.jobs[0]) == 2
