"""`hornlib cancel`: find the tasks that hold only chosen jobs, and cancel them in SLURM."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from hornlib.config.messages import counted
from hornlib.errors import ResourceError
from hornlib.grid.jobs import Job
from hornlib.status.standing import JobState
from hornlib.status.submissions import task_id
from hornlib.status.survey import Survey

if TYPE_CHECKING:
    from snakemake_executor_plugin_submitit.batches import Batch
    from snakemake_executor_plugin_submitit.slurm import TaskId

__all__ = ["Cancellation", "cancel", "describe", "plan_cancellation"]


SHOWN = 12
"""The most arrays and tasks that are named in the question; the rest is an ellipsis."""


class Cancellation(NamedTuple):
    """The jobs that would be cancelled, and the chosen jobs that are left alone.

    Attributes:
        names: arrays and tasks as scancel takes them. An array is named as a whole if all its tasks are cancelled.
        jobs: the jobs in these arrays and tasks.
        shared: chosen jobs that share their task with jobs that are not chosen.
        nameless: chosen jobs whose array has no id yet.
        processes: chosen jobs that are processes of this machine, outside SLURM.
    """

    names: list[str]
    jobs: list[Job]
    shared: list[Job]
    nameless: list[Job]
    processes: list[Job]


def plan_cancellation(survey: Survey) -> Cancellation:
    """Return what it means to cancel the queued and running jobs of the survey.

    Raises:
        ResourceError: SLURM does not answer, so the queue is unknown.
    """
    submissions = survey.submissions
    live = {
        standing.job: survey.places[standing.job]
        for standing in survey.of(JobState.QUEUED, JobState.RUNNING)
        if standing.job in survey.places
    }
    if submissions.silence and any(place.batch.array for place in live.values()):
        raise ResourceError(f"nothing was cancelled: {submissions.silence}")
    chosen = {(place.batch.uuid, place.number) for place in live.values()}
    tasks: dict[TaskId, list[Job]] = {}
    shared, nameless, processes = [], [], []
    for job, place in live.items():
        task = task_id(place)
        if place.batch.array is None:
            nameless.append(job)
        elif task in submissions.processes:
            processes.append(job)
        elif _others(place.batch, task[1], chosen):
            shared.append(job)
        elif task in submissions.queue:
            tasks.setdefault(task, []).append(job)
    jobs = [job for members in tasks.values() for job in members]
    return Cancellation(_names(survey, set(tasks)), jobs, shared, nameless, processes)


def describe(survey: Survey, cancellation: Cancellation) -> Iterator[str]:
    """Yield one line for the jobs that are cancelled, and one for each reason to leave jobs alone.

    Args:
        survey: the states of the jobs.
        cancellation: what `plan_cancellation` returned for it.
    """
    if cancellation.names:
        names = ", ".join(cancellation.names[:SHOWN]) + (", ..." if len(cancellation.names) > SHOWN else "")
        yield f"{counted(len(cancellation.jobs), 'job')} in {names}"
    left_alone = {
        "in one task with jobs that were not chosen": cancellation.shared,
        "of an array whose id is not known yet; try again in a moment": cancellation.nameless,
        "in processes of this machine, which end with the head (Ctrl-C there)": cancellation.processes,
    }
    for reason, jobs in left_alone.items():
        if jobs:
            yield f"left alone: {counted(len(jobs), 'job')} {reason}"
    head, waiting = survey.submissions.head, len(survey.of(JobState.OPEN))
    if waiting and head is not None and head.lives:
        yield (
            f"not submitted yet: {counted(waiting, 'job')}, which the head (process {head.pid} on {head.host}) will "
            "submit all the same; stop it first"
        )


def cancel(survey: Survey, cancellation: Cancellation) -> None:
    """Cancel the tasks in SLURM.

    Args:
        survey: the states of the jobs.
        cancellation: what `plan_cancellation` returned for it.

    Raises:
        ResourceError: SLURM does not answer, or refuses.
    """
    from snakemake_executor_plugin_submitit.slurm import Refused, Unavailable

    try:
        survey.submissions.slurm.cancel(cancellation.names)
    except (Unavailable, Refused) as error:
        raise ResourceError(f"the jobs could not be cancelled: {error}") from None


def _others(batch: "Batch", task: int, chosen: set[tuple[str, int]]) -> bool:
    """Return whether a task holds an unfinished job that was not chosen."""
    first = task * batch.jobs_per_task
    return any(
        (batch.uuid, number) not in chosen
        and number not in batch.collected
        and batch.read_exit(number) is None
        for number in range(first, min(first + batch.jobs_per_task, len(batch.jobs)))
    )


def _names(survey: Survey, tasks: "set[TaskId]") -> list[str]:
    alive: dict[str, set[TaskId]] = {}
    for task in survey.submissions.queue:
        alive.setdefault(task[0], set()).add(task)
    names = []
    for array in dict.fromkeys(sorted(array for array, _ in tasks)):
        ours = {task for task in tasks if task[0] == array}
        names += [array] if ours == alive[array] else [f"{array}_{number}" for _, number in sorted(ours)]
    return names
