"""Damaged files: each is read in a process with a time limit, and its outcome is counted."""

import dataclasses
import hashlib
import multiprocessing
import tempfile
from collections import Counter
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from fuzz.corruptions import damaged
from fuzz.examples import EXAMPLES
from hornlib.errors import HornlibError

SECONDS = 60.0
"""Reading a file takes milliseconds; what takes longer hangs. A new process of `hornlib seal` takes seconds."""

FIRST_SECONDS = 300.0
"""To start a process that writes and reads the undamaged example."""

GOOD = ("refused", "harmless")

OUTCOMES = (*GOOD, "accepted and changed", "message without file or remedy", "traceback", "crash", "hang")


class Task(NamedTuple):
    """One damaged file; `corruption` is a name of the table of corruptions, or "" for any."""

    example: str
    seed: int
    corruption: str = ""


class Reader:
    """A process that damages and reads files; it is ended, and another one begun, where it hangs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: multiprocessing.process.BaseProcess | None = None
        self.connection: Connection | None = None
        self.prepared: set[str] = set()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *error: object) -> None:
        if self.process is not None and self.connection is not None:
            self.connection.close()  # the process then ends by itself, with what it started
            self.process.join(SECONDS)
            self._end()

    def outcome(self, task: Task) -> str:
        """Return the outcome of reading a damaged file, with the error after it where it is a bad one."""
        if task.example not in self.prepared:
            answer = self._answer(Task(task.example, -1), FIRST_SECONDS)
            if answer != "harmless":
                raise RuntimeError(f"{task.example}: the undamaged file is not read: {answer}")
            self.prepared.add(task.example)
        return self._answer(task, SECONDS)

    def _answer(self, task: Task, seconds: float) -> str:
        if self.connection is None:
            context = multiprocessing.get_context("spawn")
            self.connection, other = context.Pipe()
            self.process = context.Process(target=_serve, args=(other, self.folder))
            self.process.start()
            other.close()
        self.connection.send(task)
        if not self.connection.poll(seconds):
            self._end()
            return "hang"
        try:
            return str(self.connection.recv())
        except EOFError:
            self._end()
            return "crash"

    def _end(self) -> None:
        if self.process is not None and self.connection is not None:
            self.process.kill()
            self.process.join()
            self.connection.close()
        self.process = self.connection = None
        self.prepared.clear()


def table(number: int, bits: int, seed: int = 0) -> list[str]:
    """Return the lines of a table in Markdown, with a row for every kind of file.

    Args:
        number: damaged files of each kind.
        bits: run files with a single changed bit.
        seed: of all that is random.
    """
    with tempfile.TemporaryDirectory() as folder, Reader(Path(folder)) as reader:
        rows = {
            name: Counter(reader.outcome(Task(name, seed + index)) for index in range(number))
            for name in EXAMPLES
        }
        rows["run file, single bits"] = Counter(
            reader.outcome(Task("run file", seed + index, "bit")) for index in range(bits)
        )
    lines = [f"| file | damaged | {' | '.join(OUTCOMES)} |", "|---|" + "---:|" * (len(OUTCOMES) + 1)]
    for name, counts in rows.items():
        by_word = Counter(
            {
                word: sum(count for outcome, count in counts.items() if outcome.startswith(word))
                for word in OUTCOMES
            }
        )
        numbers = [counts.total(), *(by_word[word] for word in OUTCOMES)]
        lines.append(f"| {name} | {' | '.join(f'{count:,}' for count in numbers)} |")
    bad = [
        f"- {name}: {outcome} ({count})"
        for name, counts in rows.items()
        for outcome, count in counts.items()
        if outcome not in GOOD
    ]
    return [*lines, "", *bad]


def _serve(connection: Connection, folder: Path) -> None:
    """Judge tasks until the other end is closed."""
    undamaged: dict[str, tuple[Path, bytes, str]] = {}
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        if task.example not in undamaged:
            example = EXAMPLES[task.example]
            path = example.write(folder / str(list(EXAMPLES).index(task.example)))
            content = path.read_bytes()
            undamaged[task.example] = path, content, fingerprint(example.read(path))
        path, content, expected = undamaged[task.example]
        path.write_bytes(content if task.seed < 0 else damaged(content, task.seed, task.corruption))
        connection.send(_judged(task, path, expected))


def _judged(task: Task, path: Path, expected: str) -> str:
    example = EXAMPLES[task.example]
    try:
        value = example.read(path)
    except HornlibError as error:
        is_helpful = path.name in str(error) and example.remedy in str(error)
        return "refused" if is_helpful else f"message without file or remedy: {error}"
    except Exception as error:
        return f"traceback: {type(error).__name__}: {error}"
    return "harmless" if fingerprint(value) == expected else "accepted and changed"


def fingerprint(value: object) -> str:
    """Return a digest of everything that a file says."""
    return hashlib.sha256(repr(_plain(value)).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Return numbers, text, lists and dicts in place of datasets, arrays, tensors and records."""
    if isinstance(value, xr.Dataset):
        return _plain(value.to_dict())
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.tolist()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(vars(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value
