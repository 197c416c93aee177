"""`hornlib status --json`: the survey as numbers and strings, for programs."""

from collections.abc import Sequence
from typing import Any

from hornlib.status.remaining import job_seconds_left, sweep_seconds_left
from hornlib.status.standing import JobState, Standing
from hornlib.status.survey import JobCounts, Survey

__all__ = ["to_document"]


def to_document(survey: Survey, only_failed: bool = False) -> dict[str, Any]:
    """Return the survey as dicts, lists, numbers and strings that JSON can hold.

    Args:
        survey: the states of the jobs.
        only_failed: whether to list the failed jobs only, each with the last lines of its log.
    """
    head, sweep = survey.submissions.head, survey.traces.sweep
    standings: Sequence[Standing] = survey.of(JobState.FAILED) if only_failed else survey.of(*JobState)
    return {
        "head": head._asdict() if head else None,
        "local_sweep": sweep._asdict() if sweep else None,
        "slurm_silent": survey.submissions.silence or None,
        "damaged_records": survey.submissions.damage,
        "counts": _counts(survey.counts()),
        "arms": [
            {"sweep": row.sweep, "dataset": row.dataset, "arm": row.arm, **_counts(row.counts)}
            for row in survey.rows()
        ],
        "tuning": {state.value: count for state, count in survey.tuning().items()},
        "finalists": {state.value: count for state, count in survey.finalists().items()},
        "seconds_left": sweep_seconds_left(survey),
        "strays": survey.strays,
        "jobs": [_job(survey, standing, only_failed) for standing in standings],
    }


def _counts(counts: JobCounts) -> dict[str, Any]:
    return {**counts._asdict(), "jobs": {state.value: counts.jobs[state] for state in JobState}}


def _job(survey: Survey, standing: Standing, with_log: bool) -> dict[str, Any]:
    job = standing.job
    fields: dict[str, Any] = {
        "cell": job.cell,
        "first_seed": job.range.first,
        "last_seed": job.range.last,
        "run": str(survey.grid.run_path(job)),
        "state": standing.state.value,
    }
    if standing.state in (JobState.DONE, JobState.OPEN):
        return fields
    fields |= {
        "label": survey.grid.describe(job.cell),
        "reason": standing.reason,
        "slurm_job": standing.task or None,
        "node": standing.node or None,
        "log": str(survey.log(job)),
        "restarts": survey.restarts(job),
    }
    if standing.state is JobState.RUNNING:
        progress = survey.progress(job)
        fields |= {
            "step": progress.step if progress else None,
            "total_steps": progress.total_steps if progress else None,
            "seeds_in_training": progress.seeds if progress else None,
            "seconds_left": job_seconds_left(survey, job),
            "limit_seconds_left": standing.limit_seconds,
        }
    if with_log:
        fields["last_lines"] = survey.last_lines(job, 8)
    return fields
