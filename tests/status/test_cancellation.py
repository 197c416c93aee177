"""What cancelling chosen jobs comes to."""

import pytest
from snakemake_executor_plugin_submitit.slurm import Unavailable

from hornlib.errors import ResourceError
from hornlib.status.cancellation import cancel, describe, plan_cancellation


def names_of(bench, *conditions):
    return plan_cancellation(bench.survey(*conditions)).names


def test_an_array_whose_live_tasks_are_all_meant_is_cancelled_as_a_whole(bench):
    batch = bench.submit(bench.jobs)
    bench.end(batch, 5, 1)
    bench.slurm.queue = "12_[0-4]|PENDING|1:00||Priority"
    assert names_of(bench) == ["12"]


def test_only_the_chosen_tasks_of_an_array_are_cancelled(bench):
    bench.submit(bench.jobs)
    bench.slurm.queue = "12_[0-5]|PENDING|1:00||Priority"
    survey = bench.survey("timesteps=8")
    planned = plan_cancellation(survey)
    assert planned.jobs == bench.jobs[2:4]
    cancel(survey, planned)
    assert bench.slurm.asked("scancel") == [["scancel", "12_2", "12_3"]]


def test_a_task_shared_with_jobs_that_are_not_chosen_is_left_alone_until_they_have_ended(bench):
    batch = bench.submit(bench.jobs, jobs_per_task=3)
    bench.slurm.queue = "12_[0-1]|RUNNING|1:00|n1|None"
    planned = plan_cancellation(bench.survey("model=horn_cnn"))
    assert planned.names == ["12_0"]
    assert planned.shared == [bench.jobs[3]]
    bench.end(batch, 4, 1)
    bench.end(batch, 5, 0)
    assert names_of(bench, "model=horn_cnn") == ["12"]


def test_a_batch_without_an_id_is_named_as_what_cannot_be_cancelled(bench):
    bench.submit(bench.jobs[:2], array=None)
    bench.write_head(1, "elsewhere")
    survey = bench.survey()
    planned = plan_cancellation(survey)
    assert (planned.names, planned.nameless) == ([], bench.jobs[:2])
    description = "\n".join(describe(survey, planned))
    assert "2 jobs" in description
    assert "4 jobs" in description  # those that the head will still submit


def test_nothing_is_cancelled_where_slurm_does_not_answer(bench):
    bench.submit(bench.jobs)
    bench.slurm.away = Unavailable("squeue: timed out")
    with pytest.raises(ResourceError, match="timed out"):
        names_of(bench)
