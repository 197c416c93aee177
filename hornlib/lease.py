"""Locks that the kernel gives back when their process ends: one sweep per results folder, one process per run file."""

import contextlib
import errno
import fcntl
import os
import platform
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

from hornlib.errors import ResultsError

__all__ = ["Holder", "acquire", "lock_path", "lock_run_file", "read_holder", "read_trainer"]

REFUSALS = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES}
"""What the kernel says where another process has the lock.

Any other error comes from a file system without locks: 38 (ENOSYS) from Lustre, 37 (ENOLCK) and 95 (EOPNOTSUPP) from
NFS, 524 (ENOTSUPP) from Cray DVS, 22 (EINVAL) from others.
"""

SECONDS_TO_SAVE = 5.0
"""How long a process on this machine may take to end, which was told to stop and still saves its checkpoint."""

SECONDS_OF_A_DEAD_NODE = 120.0
"""How long a file server may keep the locks of a machine that failed (90 s for NFS 4)."""


class Holder(NamedTuple):
    """The process that took a lock last.

    Attributes:
        process: its id.
        host: its machine.
        since: when it took the lock, in seconds since 1970.
        lives: whether it still has the lock; None where only another host can tell.
    """

    process: int
    host: str
    since: float
    lives: bool | None


def acquire(results: str | Path) -> IO[str]:
    """Take the lease on a results folder and return the open file that holds it.

    Raises:
        ResultsError: another living process holds it, or the folder cannot be written.
    """
    path = Path(results) / ".lease"
    try:
        file = _open(path)
    except OSError as error:
        raise ResultsError(f"{results}: the results folder cannot be written ({error.strerror})") from error
    if not _lock(file, path):
        file.close()
        raise ResultsError(f"{results}: {_name(path)} is at work in this folder; wait for it, or stop it")
    _sign(file)
    return file


@contextlib.contextmanager
def lock_run_file(output: Path) -> Iterator[None]:
    """Keep every other process from training the same run file, until the block or this process ends.

    A training outlives a sweep that is killed, and the next call of the sweep would train the same run beside it.

    Args:
        output: the run file, or the tuning file; the lock is a hidden file beside it, which is removed at the end.

    Raises:
        ResultsError: another process trains it, or the folder cannot be written.
    """
    path = lock_path(output)
    started = time.monotonic()
    while (file := _try(path, output)) is None:
        holder = _read(path)
        patience = (
            SECONDS_TO_SAVE if holder is None or holder.host == platform.node() else SECONDS_OF_A_DEAD_NODE
        )
        if time.monotonic() - started >= patience:
            raise ResultsError(_refusal(output, path, holder))
        time.sleep(0.2)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        file.close()


def lock_path(output: Path) -> Path:
    """Return the lock of a run file or a tuning file."""
    return output.with_name(f".{output.name}.lock")


def read_holder(results: str | Path) -> Holder | None:
    """Return who took the lease last, or None; the lease is not touched, which could refuse a sweep that starts."""
    return _read(Path(results) / ".lease")


def read_trainer(output: Path) -> Holder | None:
    """Return which process trains a run file, or trained it and was killed; None where there is no lock."""
    return _read(lock_path(output))


def _open(path: Path) -> IO[str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a+")


def _try(path: Path, output: Path) -> IO[str] | None:
    """Return the open file that holds the lock, or None where another process has it.

    Raises:
        ResultsError: the folder cannot be written.
    """
    try:
        file = _open(path)
    except OSError as error:
        raise ResultsError(f"{output}: its folder cannot be written ({error.strerror})") from error
    if not _lock(file, path) or not _is_same(file.fileno(), path):
        file.close()  # another process has it, or had it and just removed it
        return None
    _sign(file)
    return file


def _lock(file: IO[str], path: Path) -> bool:
    """Lock an open file; return False where another process has the lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in REFUSALS:
            return False
        _warn_once(path.parent, error)
        holder = _read(path)
        return holder is None or not holder.lives or holder.process == os.getpid()
    return True


_warned: set[Path] = set()


def _warn_once(folder: Path, error: OSError) -> None:
    if folder not in _warned:
        _warned.add(folder)
        print(
            f"warning: {folder}: this file system has no locks ({error.strerror}). The work goes on; do not start the "
            "same sweep from two machines",
            file=sys.stderr,
            flush=True,
        )


def _sign(file: IO[str]) -> None:
    with contextlib.suppress(OSError):  # the lock holds without a name on a full disk
        os.ftruncate(file.fileno(), 0)
        os.write(file.fileno(), f"process {os.getpid()} on {platform.node()}".encode())


def _name(path: Path) -> str:
    holder = _read(path)
    return "another process" if holder is None else f"process {holder.process} on {holder.host}"


def _refusal(output: Path, path: Path, holder: Holder | None) -> str:
    if holder is None:
        return f"{output}: another process trains this run file; wait until it ends"
    since = time.strftime("%H:%M", time.localtime(holder.since))
    remedy = (
        f"stop it with: kill {holder.process}"
        if holder.host == platform.node()
        else f"stop it there. If {holder.host} is down, remove {path}"
    )
    return (
        f"{output}: process {holder.process} on {holder.host} has trained this run file since {since}; wait until it "
        f"ends and give the same command again, or {remedy}"
    )


def _read(path: Path) -> Holder | None:
    try:
        match = re.fullmatch(r"process (\d+) on (.+)", path.read_text().strip())
        since = path.stat().st_mtime
    except (OSError, UnicodeDecodeError):
        return None
    if match is None:
        return None
    process, host = int(match[1]), match[2]
    return Holder(process, host, since, _has_open(process, path) if host == platform.node() else None)


def _has_open(process: int, path: Path) -> bool:
    """Say whether a process has the file open: a process id in use again is not taken for the holder."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it lives, and is another user's
        return True
    try:
        descriptors = os.listdir(f"/proc/{process}/fd")
    except OSError:  # this system has no /proc
        return True
    return any(_is_same(f"/proc/{process}/fd/{descriptor}", path) for descriptor in descriptors)


def _is_same(descriptor: str | int, path: Path) -> bool:
    try:
        return os.path.samestat(os.stat(descriptor), os.stat(path))
    except OSError:
        return False
