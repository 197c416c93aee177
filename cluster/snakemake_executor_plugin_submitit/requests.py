"""Requests to the dispatcher, and the events with which it answers."""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from snakemake_executor_plugin_submitit.batches import JobRecord, Place
from snakemake_executor_plugin_submitit.parameters import without_nodes
from snakemake_executor_plugin_submitit.slurm import Queued, TaskId

__all__ = ["Event", "Policy", "Request", "StopSweep"]


class StopSweep(Exception):
    """A mistake that every further job would meet too; running jobs are left alone."""


class Policy(NamedTuple):
    """Limits, numbers of retries, and pauses of the dispatcher.

    Attributes:
        array_size: most tasks of one array; 0: as many as SLURM takes.
        jobs_per_task: jobs side by side in one task.
        requeues: restarts in a row without progress before a job counts as stuck.
        memory_retries: how often a job that ran out of memory is submitted again with twice as much.
        poll_min, poll_max: bounds of the pause between two polls, in seconds.
        vanished_after: seconds after which a job that is in no listing is looked up by its id, and may count as lost.
    """

    array_size: int = 0
    jobs_per_task: int = 1
    requeues: int = 5
    memory_retries: int = 2
    poll_min: float = 1.0
    poll_max: float = 60.0
    vanished_after: float = 30.0


@dataclass(eq=False)
class Request:
    """A wanted job and its state.

    Attributes:
        record: the job.
        parameters: the parameters of sbatch.
        prepare: deletes old outputs; awaited before a new submission, never before an adoption.
        adopts_success: whether a recorded success counts. It does not if the workflow wants the job anew.
        handle: an object of the caller.
        keeps_outputs: whether outputs that exist are the job's, and whole: they are not wanted anew, and
            --ignore-incomplete is given.
    """

    record: JobRecord
    parameters: dict[str, Any]
    prepare: Callable[[], Awaitable[None]]
    adopts_success: bool
    handle: Any
    keeps_outputs: bool = False
    place: Place | None = None
    state: str = ""
    reason: str = ""
    ended_at: float | None = None
    polls_since_end: int = 0
    is_prepared: bool = False
    memory_retries: int = 0
    restarts: int = 0
    releases: int = 0
    failed_nodes: list[str] = field(default_factory=list)

    @property
    def final_parameters(self) -> dict[str, Any]:
        """The parameters for sbatch, with the failed nodes excluded."""
        return without_nodes(self.parameters, self.failed_nodes) if self.failed_nodes else self.parameters

    @property
    def task(self) -> TaskId:
        """Array and task of the latest submission."""
        assert self.place is not None and self.place.batch.array is not None
        return self.place.batch.array, self.place.batch.task(self.place.number)

    @property
    def label(self) -> str:
        """The job's name with SLURM's id."""
        if self.place is None or self.place.batch.array is None:
            return self.record.name
        return f"{self.record.name} (job {self.place.batch.external_id(self.place.number)})"

    def has_outputs(self) -> bool:
        """Return whether all outputs of the job exist."""
        return all(os.path.exists(output) for output in self.record.outputs)

    def owns(self, task: Queued) -> bool:
        """Return whether a task in the queue is this job's; a controller that crashed gives job ids out twice."""
        return self.place is not None and self.place.batch.owns(task.comment)

    def submitted(self, place: Place) -> None:
        """Note that the job is, or was, in the queue."""
        self.place, self.state, self.reason = place, "", ""
        self.ended_at, self.polls_since_end = None, 0
        self.is_prepared = False


class Event(NamedTuple):
    """A change of a request; its kind is submitted, succeeded or failed."""

    kind: str
    request: Request
    message: str = ""
