"""The lease on a results folder: one sweep at a time writes into it, and a killed one leaves no lock behind."""

import fcntl
import os
import platform
from pathlib import Path
from typing import IO

from hornlib.errors import ResultsError

__all__ = ["acquire"]


def acquire(results: str | Path) -> IO[str]:
    """Take the lease and return the open file that holds it; the kernel gives it back when the process ends.

    Raises:
        ResultsError: another living process holds it, or the folder cannot be written.
    """
    path = Path(results) / ".lease"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise ResultsError(f"{results}: the results folder cannot be written ({error.strerror})") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise ResultsError(
            f"{results}: {holder} is at work in this folder; wait for it, or stop it"
        ) from error
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()}")
    file.flush()
    return file
