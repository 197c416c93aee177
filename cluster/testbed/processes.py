"""Processes in /proc: their state, environment, open files and descendants."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["children_of", "command_name", "environment", "kill", "listens", "opened", "running", "wait_for"]


def running() -> list[int]:
    """Return the ids of all processes of the machine except zombies."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and is_alive(int(entry.name))
    ]


def is_alive(pid: int) -> bool:
    """Return whether a process exists and is no zombie; in a container, zombies may stay for ever."""
    # The command's name stands in parentheses and may itself hold any character; the state follows the last one.
    return _read(pid, "stat").rpartition(b")")[2].split()[:1] not in ([], [b"Z"], [b"X"])


def command_name(pid: int) -> str:
    """Return the name of the program, "" if the process has ended."""
    return _read(pid, "comm").decode(errors="replace").strip()


def environment(pid: int) -> dict[str, str]:
    """Return the environment of a process at its start; empty if it has ended or belongs to another user."""
    entries = _read(pid, "environ").decode(errors="replace").split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def opened(pid: int) -> set[str]:
    """Return the files that a process has open; empty if it has ended or belongs to another user."""
    files = set()
    try:
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            files.add(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
    except OSError:
        pass
    return files


def children_of(pids: Iterable[int]) -> set[int]:
    """Return all descendants of these processes."""
    parents = {
        pid: int(stat[1])
        for pid in running()
        if len(stat := _read(pid, "stat").rpartition(b")")[2].split()) > 1
    }
    descendants: set[int] = set()
    generation = set(pids)
    while generation:
        generation = {pid for pid, parent in parents.items() if parent in generation} - descendants
        descendants |= generation
    return descendants


def kill(pids: Iterable[int], sign: signal.Signals = signal.SIGKILL, patience: float = 10) -> None:
    """Signal processes and wait until they have ended; kill those that outlast the patience.

    Args:
        pids: ids of processes.
        sign: the signal.
        patience: seconds to wait.
    """
    pids = list(pids)
    for pid in pids:
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            continue
    if not wait_for(lambda: not any(map(is_alive, pids)), patience) and sign != signal.SIGKILL:
        kill([pid for pid in pids if is_alive(pid)])


def listens(port: int) -> bool:
    """Return whether a process of this machine listens on a TCP port; no connection is made, because daemons log it."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in lines)


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Return whether a condition became true in time.

    Args:
        condition: what to wait for.
        seconds: the longest wait.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.03)
    return True


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has ended, or belongs to another user
        return b""
