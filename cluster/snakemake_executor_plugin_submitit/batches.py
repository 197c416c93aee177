"""The records of submitted jobs: one folder for each batch, written before SLURM is called. Plain JSON, no pickle.

    <folder>/batches/<uuid>/batch.json    size, packing, sbatch parameters        (before sbatch)
                            jobs.jsonl    a line a job: outputs, name, command    (before sbatch)
                            array.json    the array's job id                      (after sbatch)
                            abandoned     a fence: tasks that start later do nothing
                            collected     numbers of the jobs that the workflow has recorded as done
                            <n>.starts, <n>.exit, <array>_<task>_0_log.out        (by the node)

A kill between any two of these leaves something that the next start can read.
"""

import contextlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from snakemake_executor_plugin_submitit.causes import Verdict
from snakemake_executor_plugin_submitit.task import EXIT_INTERRUPTED, exit_path, log_path, starts_path

__all__ = ["Batch", "JobRecord", "Place", "Start", "index_latest", "read_batches", "write_batch"]


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


@dataclass
class Batch:
    """One array of tasks, each of one or several jobs."""

    folder: Path
    jobs: list[JobRecord]
    jobs_per_task: int
    parameters: dict[str, Any]
    created: float
    array: str | None = None
    collected: set[int] = field(default_factory=set)

    @property
    def uuid(self) -> str:
        """The batch's name, in the comment of its array."""
        return self.folder.name

    @property
    def num_tasks(self) -> int:
        """Tasks of the array."""
        return -(-len(self.jobs) // self.jobs_per_task)

    def task(self, job: int) -> int:
        """Return the task that a job is in."""
        return job // self.jobs_per_task

    def external_id(self, job: int) -> str:
        """Return SLURM's id of a job's task: 123_4."""
        return f"{self.array}_{self.task(job)}"

    def owns(self, comment: str) -> bool:
        """Return whether an array with this comment is this batch's; an array without a comment is taken for it."""
        return comment.split()[:1] in ([], [self.uuid])

    def give_up(self, job: int, verdict: Verdict) -> bool:
        """Record that a job is given up, so that it cannot start; return False if it has ended meanwhile.

        Args:
            job: the job's number in the batch.
            verdict: why it ended without a record of its own.
        """
        record = {"code": EXIT_INTERRUPTED, **_as_fields(verdict), "time": time.time()}
        try:
            with _open_private(exit_path(self.folder, job)) as file:
                file.write(json.dumps(record).encode())
        except FileExistsError:
            return False
        return True

    def conclude(self, job: int, verdict: Verdict) -> None:
        """Add to a job's exit record that the head reported it as failed; `hornlib status` repeats that.

        Args:
            job: the job's number in the batch.
            verdict: what the head reported.
        """
        record = self.read_exit(job) or {"code": EXIT_INTERRUPTED, "time": time.time()}
        with contextlib.suppress(OSError):  # without it, the status judges the end by itself
            _write_json(exit_path(self.folder, job), {**record, **_as_fields(verdict), "final": True})

    def read_exit(self, job: int) -> dict[str, Any] | None:
        """Return the exit record of a job, or None. It is read by its name, because a listing may be stale."""
        record = _read_json(exit_path(self.folder, job))
        return record if isinstance(record, dict) and isinstance(record.get("code"), int) else None

    def read_starts(self, job: int) -> list[Start]:
        """Return a job's starts, the oldest first; a torn last line is left out."""
        starts = []
        try:
            lines = starts_path(self.folder, job).read_text(errors="replace").splitlines()
        except OSError:
            return []
        for line in lines:
            try:
                starts.append(Start(**json.loads(line)))
            except (ValueError, TypeError):
                continue
        return starts

    def seconds_ahead(self, job: int, start: Start) -> float:
        """Return how many seconds the host's clock was ahead of the file server's when it noted a start.

        Args:
            job: the job's number in the batch.
            start: the job's latest start.
        """
        try:
            return start.time - starts_path(self.folder, job).stat().st_mtime
        except OSError:
            return 0.0

    def list_ended(self) -> set[int]:
        """Return the jobs whose exit record is in a listing; others may have ended as well (stale NFS cache)."""
        try:
            names = os.listdir(self.folder)
        except OSError:
            return set()
        return {int(name[:-5]) for name in names if name.endswith(".exit") and name[:-5].isdecimal()}

    def find_array(self) -> str | None:
        """Return the array's id from the records of its tasks, or None if no task has started."""
        try:
            names = os.listdir(self.folder)
        except OSError:
            return None
        for name in sorted(names):
            number, _, kind = name.rpartition(".")
            if not number.isdecimal():
                continue
            if kind == "starts" and (starts := self.read_starts(int(number))):
                return starts[0].job.split("_")[0]
            if kind == "exit" and (ended := self.read_exit(int(number))) and ended.get("job"):
                return str(ended["job"]).split("_")[0]
        return None

    def log(self, job: int) -> Path:
        """Return the path of the task's log."""
        return log_path(self.folder, str(self.array), self.task(job))

    def record_array(self, array: str) -> None:
        """Write the array's job id."""
        self.array = array
        _write_json(self.folder / "array.json", {"job_id": array, "time": time.time()})

    def abandon(self, why: str) -> None:
        """Raise the fence: tasks of this batch that start from now on do nothing."""
        _write_json(self.folder / "abandoned", {"why": why, "time": time.time()})

    def readopt(self) -> None:
        """Take the fence away."""
        (self.folder / "abandoned").unlink(missing_ok=True)

    @property
    def abandoned_because(self) -> str:
        """Why the fence is up; "" without a fence or a reason."""
        record = _read_json(self.folder / "abandoned")
        return str(record.get("why", "")) if isinstance(record, dict) else ""

    @property
    def is_abandoned(self) -> bool:
        """Whether the fence is up."""
        return (self.folder / "abandoned").exists()

    def collect(self, jobs: Sequence[int]) -> None:
        """Note that the workflow has recorded these jobs as done, and remove their records."""
        with (self.folder / "collected").open("a") as file:
            file.write("".join(f"\n{job}." for job in jobs))  # a number that a full disk cuts short is none
        self.collected.update(jobs)
        for job in jobs:
            exit_path(self.folder, job).unlink(missing_ok=True)
            starts_path(self.folder, job).unlink(missing_ok=True)
        if self.jobs_per_task == 1:
            for job in jobs:
                self.log(job).unlink(missing_ok=True)
        if len(self.collected) == len(self.jobs):
            self.remove()

    def remove(self) -> None:
        """Remove the whole record."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Place(NamedTuple):
    """The place of a job in a batch."""

    batch: Batch
    number: int

    @property
    def record(self) -> JobRecord:
        """The job."""
        return self.batch.jobs[self.number]


def write_batch(
    folder: Path, jobs: Sequence[JobRecord], parameters: dict[str, Any], jobs_per_task: int, **header: Any
) -> Batch:
    """Write a batch's record and return it; the header, which makes it a record, comes last.

    Args:
        folder: the executor's folder.
        jobs: the jobs of the batch.
        parameters: the parameters of sbatch.
        jobs_per_task: jobs side by side in one task.
        header: further fields that the nodes need: shell, directory, umask, requeues.

    Raises:
        OSError: the disk is full, or the folder cannot be written; nothing is left behind.
    """
    place = folder / "batches" / uuid.uuid4().hex[:16]
    for private in (folder, place.parent, place):  # a mode given to parents= is not theirs
        private.mkdir(mode=0o700, parents=True, exist_ok=private is not place)
    try:
        offsets, position = [], 0
        with _open_private(place / "jobs.jsonl") as lines:
            for job in jobs:
                line = json.dumps(job._asdict()).encode() + b"\n"
                offsets.append(position)
                position += lines.write(line)
            lines.flush()
            os.fsync(lines.fileno())
        content = {
            "version": 1,
            "jobs_per_task": jobs_per_task,
            "parameters": parameters,
            "offsets": offsets,
            **header,
        }
        _write_json(place / "batch.json", content)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return Batch(place, list(jobs), jobs_per_task, parameters, _written_at(place))


def read_batches(folder: Path) -> list[Batch]:
    """Return every batch on record, the oldest first. A half-written record was never submitted, and is left out.

    Raises:
        OSError: the records cannot be read. Without this error, every job would be submitted twice.
    """
    batches = []
    try:
        places = list((folder / "batches").iterdir())
    except FileNotFoundError:
        return []
    for place in places:
        header, jobs = _read_record(place / "batch.json"), list(_read_jobs(place / "jobs.jsonl"))
        if not isinstance(header, dict) or len(jobs) != len(header.get("offsets", ())):
            continue
        if not isinstance(header.get("jobs_per_task"), int) or not isinstance(header.get("parameters"), dict):
            continue
        array = _read_record(place / "array.json")
        try:
            written_at = _written_at(place)
        except FileNotFoundError:  # removed by its head at this moment
            continue
        batch = Batch(place, jobs, header["jobs_per_task"], header["parameters"], written_at)
        batch.array = array.get("job_id") if isinstance(array, dict) else None
        batch.collected = _read_numbers(place / "collected")
        batches.append(batch)
    return sorted(batches, key=lambda batch: batch.created)


def index_latest(batches: Iterable[Batch]) -> dict[tuple[str, ...], Place]:
    """Return the latest submission of each job that the workflow has not recorded as done, by its outputs."""
    latest: dict[tuple[str, ...], Place] = {}
    for batch in sorted(batches, key=lambda batch: batch.created):
        for number, job in enumerate(batch.jobs):
            if number in batch.collected:
                latest.pop(job.outputs, None)
            else:
                latest[job.outputs] = Place(batch, number)
    return latest


def _as_fields(verdict: Verdict) -> dict[str, str]:
    return {"cause": verdict.cause.name, "sentence": verdict.sentence}


def _written_at(place: Path) -> float:
    """Return a record's time by the file server's clock; those of heads on several hosts differ."""
    return (place / "batch.json").stat().st_mtime


def _read_jobs(path: Path) -> Iterator[JobRecord]:
    try:
        lines = path.read_bytes().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return
    for line in lines:
        try:
            job = json.loads(line)
            tuples = {key: tuple(job[key]) for key in ("outputs", "logs", "earlier_marks")}
        except (ValueError, TypeError, KeyError):  # torn: its header was never written
            return
        yield JobRecord(**{**job, **tuples})


def _read_numbers(path: Path) -> set[int]:
    try:
        return {
            int(line[:-1])
            for line in path.read_text(errors="replace").split()
            if re.fullmatch(r"[0-9]+\.", line)
        }
    except OSError:
        return set()


def _read_record(path: Path) -> Any:
    """Return a record; None if it is missing or torn. Any other error is raised, because the record may exist."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def _open_private(path: Path) -> Any:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _write_json(path: Path, content: Any) -> None:
    """Write under a temporary name, force it to the disk, rename: the file is whole or not there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        with _open_private(temporary) as file:
            file.write(json.dumps(content).encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
