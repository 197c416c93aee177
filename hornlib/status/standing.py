"""The states that a job can be in, as a person sees them."""

from enum import Enum
from typing import NamedTuple

from hornlib.grid.jobs import Job

__all__ = ["Standing", "State"]


class State(Enum):
    """Where a job stands; the value is what people read."""

    DONE = "done"
    RUNNING = "running"
    QUEUED = "queued"
    STOPPED = "stopped"
    """It ended without a mistake of its own, and goes on from its checkpoint when it is started again."""
    FAILED = "failed"
    OPEN = "not submitted"


class Standing(NamedTuple):
    """One job, and what is known of it.

    Attributes:
        reason: why it waits, stopped or failed; "" where there is nothing to say.
        task: SLURM's id, e.g. 123_4.
        node: where it runs.
        limit_seconds: time left until its time limit.
    """

    job: Job
    state: State
    reason: str = ""
    task: str = ""
    node: str = ""
    limit_seconds: float | None = None
