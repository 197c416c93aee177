"""The state of one job, in the words that a person reads."""

from enum import Enum
from typing import NamedTuple

from hornlib.grid.jobs import Job

__all__ = ["JobState", "Standing"]


class JobState(Enum):
    """The state of a job; its value is the word that `hornlib status` prints."""

    DONE = "done"
    RUNNING = "running"
    QUEUED = "queued"
    STOPPED = "stopped"
    """The job ended without an error of its own. Started again, it goes on from its checkpoint."""
    FAILED = "failed"
    OPEN = "not submitted"


class Standing(NamedTuple):
    """The state of one job and its reason.

    Attributes:
        job: the job.
        state: its state.
        reason: why the job waits, stopped or failed; "" without a reason.
        task: SLURM's id, e.g. 123_4; "" outside SLURM.
        node: the machine on which the job runs; "" where that is unknown.
        limit_seconds: seconds until the job's time limit; None without a limit.
    """

    job: Job
    state: JobState
    reason: str = ""
    task: str = ""
    node: str = ""
    limit_seconds: float | None = None
