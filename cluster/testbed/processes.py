"""Processes as /proc shows them: which still run, whose they are, and what descends from them."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

__all__ = ["children_of", "command_name", "environment", "kill", "listens", "opened", "running", "wait_for"]


def running() -> list[int]:
    """Every process of the machine but the dead ones (zombies)."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and is_alive(int(entry.name))
    ]


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie: in a container nobody may be there to collect the dead."""
    # The command's name stands in parentheses and may itself hold any sign; the state follows the last one.
    return _read(pid, "stat").rpartition(b")")[2].split()[:1] not in ([], [b"Z"], [b"X"])


def command_name(pid: int) -> str:
    """Name of the program, empty if the process is gone."""
    return _read(pid, "comm").decode(errors="replace").strip()


def environment(pid: int) -> dict[str, str]:
    """Environment that the process was started with, empty if it is gone or another user's."""
    entries = _read(pid, "environ").decode(errors="replace").split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def opened(pid: int) -> set[str]:
    """Files that a process has open, empty if it is gone or another user's."""
    files = set()
    try:
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            files.add(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
    except OSError:
        pass
    return files


def children_of(pids: Iterable[int]) -> set[int]:
    """All descendants of these processes."""
    parents = {
        pid: int(stat[1])
        for pid in running()
        if len(stat := _read(pid, "stat").rpartition(b")")[2].split()) > 1
    }
    found: set[int] = set()
    generation = set(pids)
    while generation:
        generation = {pid for pid, parent in parents.items() if parent in generation} - found
        found |= generation
    return found


def kill(pids: Iterable[int], sign: signal.Signals = signal.SIGKILL, patience: float = 10) -> None:
    """Signal processes and wait until they are gone; those that outlast the patience (seconds) are killed."""
    pids = list(pids)
    for pid in pids:
        try:
            os.kill(pid, sign)
        except ProcessLookupError:
            continue
    if not wait_for(lambda: not any(map(is_alive, pids)), patience) and sign != signal.SIGKILL:
        kill([pid for pid in pids if is_alive(pid)])


def listens(port: int) -> bool:
    """Whether anybody on this machine listens on a TCP port. Read, not tried: daemons log every empty connection."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in lines)


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether a condition came true within some seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.03)
    return True


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # gone meanwhile, or another user's
        return b""
