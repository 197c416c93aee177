"""The shapes of the executor's records, checked at one place: a damaged record raises a ValueError that says why.

Every record is JSON on one line, with a digest of its content (`task.seal`). Records of earlier versions have no
digest; their shape is checked all the same.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from snakemake_executor_plugin_submitit.task import copy_path, unseal

__all__ = [
    "VERSION",
    "Header",
    "JobRecord",
    "Start",
    "parse_array",
    "parse_collected",
    "parse_exit",
    "parse_header",
    "parse_jobs",
    "parse_start",
    "read_with_copy",
]

T = TypeVar("T")

VERSION = 1
"""The version of the records. The records of another version are read by the executor that wrote them."""


class JobRecord(NamedTuple):
    """One job as it was submitted.

    Attributes:
        outputs: its output files, as the workflow names them; they identify the job.
        name: a description for people.
        logs: its log files.
        command: the shell command.
        environment: variables in addition to those of the submitting process.
        checkpoint: a file whose content changes with progress, or None.
        earlier_marks: digests of its checkpoint at its starts in earlier batches.
    """

    outputs: tuple[str, ...]
    name: str
    logs: tuple[str, ...]
    command: str
    environment: dict[str, str]
    checkpoint: str | None = None
    earlier_marks: tuple[str | None, ...] = ()


class Start(NamedTuple):
    """One start of a job on a node."""

    job: str
    host: str
    time: float
    mark: str | None
    restart: int


class Header(NamedTuple):
    """What a head reads from batch.json; nodes read more. Of another version, only the version is known."""

    jobs_per_task: int
    parameters: dict[str, Any]
    num_jobs: int
    version: int = VERSION


def parse_header(content: bytes) -> Header:
    """Return the header of a batch.

    Raises:
        ValueError: the content is damaged.
    """
    version = _fields(content).get("version", VERSION)
    if isinstance(version, int) and version != VERSION:
        return Header(1, {}, 0, version)
    record = _fields(content, jobs_per_task=int, parameters=dict, offsets=list)
    if record["jobs_per_task"] < 1 or not record["offsets"]:
        raise ValueError("jobs_per_task or offsets has no jobs")
    return Header(record["jobs_per_task"], record["parameters"], len(record["offsets"]))


def parse_jobs(content: bytes, num_jobs: int) -> list[JobRecord]:
    """Return the jobs of a batch, one of each line.

    Args:
        content: the content of jobs.jsonl.
        num_jobs: the number of jobs that the header tells.

    Raises:
        ValueError: a line is damaged, or lines are missing.
    """
    jobs = []
    lines = content.split(b"\n")[:-1]
    if len(lines) != num_jobs:
        raise ValueError(f"it has {len(lines)} whole lines instead of {num_jobs}")
    for number, line in enumerate(lines):
        try:
            jobs.append(_parse_job(line))
        except ValueError as error:
            raise ValueError(f"line {number + 1}: {error}") from None
    return jobs


def _parse_job(line: bytes) -> JobRecord:
    record = _fields(
        line, outputs=list, name=str, logs=list, command=str, environment=dict, earlier_marks=list
    )
    checkpoint = record.get("checkpoint")
    texts = [*record["outputs"], *record["logs"], *record["environment"].values()]
    marks = [checkpoint, *record["earlier_marks"]]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("outputs, logs or environment hold something that is no text")
    if not all(mark is None or isinstance(mark, str) for mark in marks):
        raise ValueError("checkpoint or earlier_marks hold something that is no text")
    return JobRecord(
        tuple(record["outputs"]),
        record["name"],
        tuple(record["logs"]),
        record["command"],
        record["environment"],
        checkpoint,
        tuple(record["earlier_marks"]),
    )


def parse_array(content: bytes) -> str:
    """Return the array's job id.

    Raises:
        ValueError: the content is damaged.
    """
    array: str = _fields(content, job_id=str)["job_id"]
    if not re.fullmatch("[0-9]+", array):
        raise ValueError(f"job_id is {array[:40]!r}")
    return array


def parse_start(line: str) -> Start:
    """Return one start.

    Raises:
        ValueError: the line is damaged.
    """
    record = _fields(line, job=str, host=str, time=(int, float), restart=int)
    mark = record.get("mark")
    if mark is not None and not isinstance(mark, str):
        raise ValueError("mark is no text")
    return Start(record["job"], record["host"], record["time"], mark, record["restart"])


def parse_exit(content: bytes) -> dict[str, Any]:
    """Return how a job ended: its exit code and more.

    Raises:
        ValueError: the content is damaged.
    """
    return _fields(content, code=int)


def parse_collected(text: str) -> set[int]:
    """Return the numbers of the jobs that the workflow has recorded; each number stands twice, as in `12.12.`.

    A number that is cut short, or in which a bit was flipped, is none. Earlier versions wrote each number once.
    """
    return {
        int(match[1])
        for word in text.split()
        if (match := re.fullmatch(r"([0-9]{1,9})\.(?:\1\.)?", word, re.ASCII))
    }


def read_with_copy(path: Path, parse: Callable[[bytes], T], damage: list[str]) -> T | None:
    """Return what a file holds, else what its copy holds; None if neither is whole.

    Args:
        path: the file; `task.copy_path` names its copy.
        parse: raises ValueError for damaged content.
        damage: gets one sentence for each file that is missing or damaged.

    Raises:
        OSError: a file cannot be read; it may be whole.
    """
    sentences = []
    for file in (path, copy_path(path)):
        try:
            content = parse(file.read_bytes())
        except FileNotFoundError:
            sentences.append(f"{file} is missing")
        except IsADirectoryError:
            sentences.append(f"{file} is a folder")
        except ValueError as error:
            sentences.append(f"{file} is damaged ({error})")
        else:
            damage += [f"{sentence}; its copy is used" for sentence in sentences]
            return content
    damage += sentences
    return None


def _fields(content: bytes | str, **kinds: Any) -> dict[str, Any]:
    """Return a record whose values are of these kinds.

    Raises:
        ValueError: the content is damaged.
    """
    record = unseal(content)
    for key, kind in kinds.items():
        if key not in record:
            raise ValueError(f"{key} is missing")
        if not isinstance(record[key], kind) or isinstance(record[key], bool):
            raise ValueError(f"{key} is {str(record[key])[:40]!r}")
    return record
