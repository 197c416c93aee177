"""A lease in the shared folder that admits one head at a time; it expires with its holder and needs no --unlock."""

import contextlib
import os
import platform
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from snakemake_executor_plugin_submitit.task import seal, unseal

__all__ = ["Head", "Lease", "RivalError", "read_head"]


class RivalError(Exception):
    """Another head is alive and works on the same folder."""


class Head(NamedTuple):
    """The holder of a folder's lease; `silent` is the seconds since its last beat, by this host's clock."""

    host: str
    pid: int
    lives: bool
    silent: float


def read_head(folder: Path) -> Head | None:
    """Return the holder of the lease, alive or dead, or None without one; nothing is written."""
    lease = Lease(folder)
    holder = lease._read()
    if holder is None:
        return None
    try:
        silent = max(0.0, time.time() - lease.path.stat().st_mtime)
    except OSError:
        return None
    here = holder["host"] == platform.node()
    lives = lease._lives(holder) if here else silent < lease.patience
    return Head(holder["host"], holder["pid"], lives, silent)


class Lease:
    """A file with host, process and start time, touched every few seconds.

    On this host the kernel knows whether the holder lives. On another host its beat tells, by the file server's clock.

    Args:
        folder: the folder that is leased.
        beat: seconds between two beats.
        patience: seconds without a beat after which a holder on another host counts as dead.
    """

    def __init__(self, folder: Path, beat: float = 15.0, patience: float = 90.0) -> None:
        self.path = folder / "head.json"
        self.beat, self.patience = beat, patience
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.lost = False
        """Whether another head has taken over because this one was silent for too long."""

    def acquire(self) -> None:
        """Take the lease.

        Raises:
            RivalError: a living head has it.
            OSError: the folder cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        deadline = time.monotonic() + 2 * self.beat
        while self.is_damaged() and time.monotonic() < deadline:
            time.sleep(min(1.0, self.beat))  # a living head writes its lease anew at its next beat
        holder = self._read()
        if holder is not None and self._lives(holder):
            raise RivalError(
                f"process {holder['pid']} on {holder['host']} works with this folder ({self.path.parent}); wait for "
                "it, or stop it: Ctrl-C there cancels its jobs, SIGTERM leaves them running. For another sweep beside "
                "it, with a results folder of its own, name another folder: --submitit-folder .snakemake/submitit-2"
            )
        self._write()
        time.sleep(0.2)
        if self._read() != self._ours():  # two heads took over from a dead one at the same time
            raise RivalError(
                f"another head was quicker to take {self.path.parent}; give the command again to see which"
            )
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()

    def is_damaged(self) -> bool:
        """Return whether the lease was written a moment ago and cannot be read: its holder may be alive."""
        return self._read() is None and self.path.exists() and self._silence() < self.patience

    def release(self) -> None:
        """Give the lease back."""
        self._stop.set()
        if self._thread is not None and self._read() == self._ours():
            self.path.unlink(missing_ok=True)
        self._thread = None

    def _ours(self) -> dict[str, Any]:
        return {"host": platform.node(), "pid": os.getpid(), "born": _born(os.getpid())}

    def _read(self) -> dict[str, Any] | None:
        """Return the holder; None without one, and where the file is damaged."""
        try:
            holder = unseal(self.path.read_bytes())
        except (OSError, ValueError):
            return None
        is_whole = (
            isinstance(holder.get("host"), str)
            and isinstance(holder.get("pid"), int)
            and isinstance(holder.get("born", 0), str | None)
        )
        return holder if is_whole else None

    def _write(self) -> None:
        temporary = self.path.with_name(f".head.{platform.node()}.{os.getpid()}")
        temporary.write_bytes(seal(self._ours()))
        os.replace(temporary, self.path)

    def _lives(self, holder: dict[str, Any]) -> bool:
        if holder["host"] == platform.node():
            return holder["born"] is not None and _born(holder["pid"]) == holder["born"]
        return self._silence() < self.patience

    def _silence(self) -> float:
        """Return the seconds since the last beat, by the file server's clock."""
        probe = self.path.with_name(f".now.{platform.node()}.{os.getpid()}")
        probe.touch()
        try:
            return probe.stat().st_mtime - self.path.stat().st_mtime
        except OSError:
            return float("inf")
        finally:
            probe.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(self.beat):
            holder = self._read()
            if holder not in (None, self._ours()):
                self.lost = True
                return
            if holder is None:  # damaged or deleted
                with contextlib.suppress(OSError):
                    self._write()
            try:
                os.utime(self.path)
            except OSError:
                time.sleep(1)  # others report a full or absent disk


def _born(pid: int) -> str | None:
    """Return the start time of a living process in ticks since boot; it tells apart two processes with one id."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]  # dead, and its parent does not ask after it
    except (OSError, IndexError):
        return None
