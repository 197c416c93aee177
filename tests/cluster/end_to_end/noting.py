"""Notes of jobs for tests, in the working directory: `starts`, `ends`, and those `doubled` that trained the same."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["noted_training"]


@contextlib.contextmanager
def noted_training(name: str, step: int = 0) -> Iterator[None]:
    """Note the start and the end of a job, and whether another process trains it at this moment.

    The lock that tells is the kernel's, and the notes' own: it also sees two jobs that the trainer's lock let pass.

    Args:
        name: the job.
        step: the step from which it goes on.
    """
    names = ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURMD_NODENAME")
    array, task, node = (os.environ.get(variable, "-") for variable in names)
    Path("training").mkdir(exist_ok=True)
    with Path("training", name).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _note("doubled", f"{name} {array} {task} {node}")
        _note("starts", f"{name} {array} {task} {step} {node}")
        yield
        _note("ends", f"{name} {array} {task} {step} {node}")


def _note(kind: str, line: str) -> None:
    with Path(kind).open("a") as file:
        file.write(f"{line}\n")
