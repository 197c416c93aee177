"""Time until the sweep ends, from the run files that are finished and the logs of the jobs that run."""

import heapq
import statistics
from collections.abc import Iterable
from dataclasses import replace

from hornlib.grid.jobs import Job, TuningJob
from hornlib.plan.estimates import Estimates, rate_keys, training_forward_flops
from hornlib.status.standing import JobState
from hornlib.status.survey import Survey

__all__ = ["job_seconds_left", "sweep_seconds_left"]


def sweep_seconds_left(survey: Survey) -> float | None:
    """Return the seconds until the last job ends, if as many jobs keep running side by side as run now.

    Failed jobs are left out, because nobody trains them again without a new command. Where no job runs, one job at a
    time is assumed.

    Returns:
        None where a job is left whose model was never measured, neither in a run file nor in the log of a running job.
    """
    running = [standing.job for standing in survey.of(JobState.RUNNING)]
    waiting = [standing.job for standing in survey.of(JobState.QUEUED, JobState.STOPPED, JobState.OPEN)]
    if not running and not waiting:
        return 0.0
    estimates = _with_running_jobs(survey, running)
    running_seconds = []
    for job in running:
        seconds = job_seconds_left(survey, job)
        running_seconds.append(_whole_job_seconds(survey, job, estimates) if seconds is None else seconds)
    waiting_seconds = [_whole_job_seconds(survey, job, estimates) for job in waiting]
    measured_running = [seconds for seconds in running_seconds if seconds is not None]
    measured_waiting = [seconds for seconds in waiting_seconds if seconds is not None]
    if len(measured_running) < len(running) or len(measured_waiting) < len(waiting):
        return None
    return _makespan(measured_running, measured_waiting)


def job_seconds_left(survey: Survey, job: Job) -> float | None:
    """Return the seconds that a running job still trains, as its log says; None where the log does not say it yet.

    Args:
        survey: the states of the jobs.
        job: a running job.
    """
    progress = survey.progress(job)
    return None if progress is None else progress.job_seconds_left(job.range.last)


def _makespan(running: Iterable[float], waiting: Iterable[float]) -> float:
    """Return when the last job ends if each place that becomes free takes the next job that waits."""
    free_at = list(running) or [0.0]
    heapq.heapify(free_at)
    for seconds in waiting:
        heapq.heappush(free_at, heapq.heappop(free_at) + seconds)
    return max(free_at)


def _with_running_jobs(survey: Survey, running: Iterable[Job]) -> Estimates:
    """Return the estimates of the run files, and beside them the rates of models that only a running job measured.

    Tuning jobs are left out: their logs do not say how many trials are lanes of the chunk in training.
    """
    rates: dict[tuple[str, str], list[float]] = {}
    for job in running:
        progress = survey.progress(job)
        if isinstance(job, TuningJob) or progress is None or progress.seeds is None:
            continue
        if progress.seconds_left is None or progress.step >= progress.total_steps:
            continue
        num_lanes = progress.seeds[1] - progress.seeds[0] + 1
        share_left = 1 - progress.step / progress.total_steps
        cell = survey.grid.cell_of(job)
        rate = progress.seconds_left / share_left / num_lanes / training_forward_flops(cell)
        for key in rate_keys(cell):
            rates.setdefault(key, []).append(rate)
    estimates = survey.plan.estimates
    medians = {key: statistics.median(values) for key, values in rates.items()}
    return replace(estimates, rates={**medians, **estimates.rates})


def _whole_job_seconds(survey: Survey, job: Job, estimates: Estimates) -> float | None:
    """Return the seconds of a job from its first step, all its lanes together."""
    seconds = estimates.run_seconds(survey.grid.cell_of(job))
    return None if seconds is None else seconds * survey.plan.num_runs(job)
