"""The lease on a results folder: one sweep at a time writes into it, and a killed one leaves no lock behind."""

import errno
import fcntl
import os
import platform
import re
from pathlib import Path
from typing import IO, NamedTuple

from hornlib.errors import ResultsError

__all__ = ["Holder", "acquire", "read_holder"]


WITHOUT_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}
"""What file systems say that lock nothing: there the sweep goes on, and on a cluster the executor's own lease holds."""


class Holder(NamedTuple):
    """Who took the lease last, and when; `lives` is None where only another host can tell."""

    process: int
    host: str
    since: float
    lives: bool | None


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
    except (BlockingIOError, PermissionError) as error:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise ResultsError(
            f"{results}: {holder} is at work in this folder; wait for it, or stop it"
        ) from error
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise ResultsError(f"{path}: the lease cannot be taken ({error.strerror})") from error
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()}")
    file.flush()
    return file


def read_holder(results: str | Path) -> Holder | None:
    """Return who took the lease last, or None; the lease is not touched, which could refuse a sweep that starts."""
    path = Path(results) / ".lease"
    try:
        match = re.fullmatch(r"process (\d+) on (.+)", path.read_text().strip())
        since = path.stat().st_mtime
    except OSError:
        return None
    if match is None:
        return None
    process, host = int(match[1]), match[2]
    return Holder(process, host, since, _has_open(process, path) if host == platform.node() else None)


def _has_open(process: int, path: Path) -> bool:
    """Say whether a process has the file open: a process id in use again is not taken for the holder."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives, and is another user's
        return True
    try:
        descriptors = os.listdir(f"/proc/{process}/fd")
    except OSError:  # this system has no /proc
        return True
    return any(_is_same(f"/proc/{process}/fd/{descriptor}", path) for descriptor in descriptors)


def _is_same(descriptor: str, path: Path) -> bool:
    try:
        return os.path.samefile(descriptor, path)
    except OSError:
        return False
