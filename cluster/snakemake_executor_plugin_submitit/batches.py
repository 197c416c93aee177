"""The records of submitted jobs: one folder for each batch, written before SLURM is called. Plain JSON, no pickle.

    <folder>/batches/<uuid>/batch.json    size, packing, sbatch parameters, and a copy  (before sbatch)
                            jobs.jsonl    a line a job: outputs, name, command, and a copy  (before sbatch)
                            array.json    the array's job id                      (after sbatch)
                            abandoned     a fence: tasks that start later do nothing
                            collected     numbers of the jobs that the workflow has recorded as done
                            <n>.starts, <n>.exit, <array>_<task>_0_log.out        (by the node)

A kill between any two of these leaves something that the next start can read. `records` knows their shapes.
"""

import contextlib
import functools
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from snakemake_executor_plugin_submitit.causes import Verdict
from snakemake_executor_plugin_submitit.records import (
    VERSION,
    JobRecord,
    Start,
    parse_array,
    parse_collected,
    parse_exit,
    parse_header,
    parse_jobs,
    parse_start,
    read_with_copy,
)
from snakemake_executor_plugin_submitit.task import (
    EXIT_INTERRUPTED,
    copy_path,
    exit_path,
    log_path,
    seal,
    starts_path,
    unseal,
)

__all__ = [
    "Batch",
    "JobRecord",
    "Place",
    "Start",
    "clear_removed",
    "index_latest",
    "list_unfinished",
    "read_batches",
    "write_batch",
]


@dataclass
class Batch:
    """One array of tasks, each of one or several jobs.

    Attributes:
        jobs: the jobs; none if they are unknown, because the record is damaged or has another version.
        damage: one sentence for each file of the record that is damaged.
    """

    folder: Path
    jobs: list[JobRecord]
    jobs_per_task: int
    parameters: dict[str, Any]
    created: float = field(compare=False)  # that of the copy is a moment later
    array: str | None = None
    collected: set[int] = field(default_factory=set)
    version: int = VERSION
    damage: list[str] = field(default_factory=list, compare=False)

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
                file.write(seal(record))
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
        try:
            return parse_exit(exit_path(self.folder, job).read_bytes())
        except (OSError, ValueError):
            return None

    def read_starts(self, job: int) -> list[Start]:
        """Return a job's starts, the oldest first; torn and damaged lines are left out."""
        starts = []
        try:
            lines = starts_path(self.folder, job).read_text(errors="replace").splitlines()
        except OSError:
            return []
        for line in lines:
            with contextlib.suppress(ValueError):
                starts.append(parse_start(line))
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
            tasks: list[str] = []
            if kind == "starts":
                tasks = [start.job for start in self.read_starts(int(number))]
            elif kind == "exit":
                tasks = [str((self.read_exit(int(number)) or {}).get("job"))]
            for task in tasks:
                if match := re.match("[0-9]+", task):
                    return match[0]
        return None

    def log(self, job: int) -> Path:
        """Return the path of the task's log."""
        return log_path(self.folder, str(self.array), self.task(job))

    def record_array(self, array: str) -> None:
        """Write the array's job id."""
        self.array = array
        _write_json(self.folder / "array.json", {"job_id": array, "time": time.time()})

    def abandon(self, why: str) -> None:
        """Raise the fence: tasks of this batch that start from now on do nothing. Its record may be missing."""
        for private in (self.folder.parent, self.folder):
            private.mkdir(mode=0o700, exist_ok=True)
        _write_json(self.folder / "abandoned", {"why": why, "time": time.time()})

    def readopt(self) -> None:
        """Take the fence away."""
        (self.folder / "abandoned").unlink(missing_ok=True)

    @property
    def abandoned_because(self) -> str:
        """Why the fence is up; "" without a fence or a reason."""
        try:
            return str(unseal((self.folder / "abandoned").read_bytes()).get("why", ""))
        except (OSError, ValueError):
            return ""

    @property
    def is_abandoned(self) -> bool:
        """Whether the fence is up."""
        return (self.folder / "abandoned").exists()

    def collect(self, jobs: Sequence[int]) -> None:
        """Note that the workflow has recorded these jobs as done, and remove their records."""
        with (self.folder / "collected").open("a") as file:
            file.write("".join(f"\n{job}.{job}." for job in jobs))
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
        """Remove the whole record: first its name, so that nobody reads one of which a part is left."""
        grave = self.folder.with_name(f".{self.folder.name}")
        with contextlib.suppress(OSError):
            self.folder.rename(grave)
        shutil.rmtree(grave, ignore_errors=True)


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
    """Write a batch's record and return it; the header, which makes it a record, comes after the jobs.

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
        lines = [seal(job._asdict()) + b"\n" for job in jobs]
        for line in lines:
            offsets.append(position)
            position += len(line)
        _write_with_copy(place / "jobs.jsonl", b"".join(lines))
        content = {
            "version": VERSION,
            "jobs_per_task": jobs_per_task,
            "parameters": parameters,
            "offsets": offsets,
            **header,
        }
        _write_with_copy(place / "batch.json", seal(content))
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return Batch(place, list(jobs), jobs_per_task, parameters, _written_at(place))


def read_batches(folder: Path) -> list[Batch]:
    """Return every batch on record, the oldest first; nothing is written.

    A record that was never finished was never submitted, and is left out. A batch whose jobs are unknown, because a
    file is damaged and its copy too, has no jobs.

    Raises:
        OSError: the records cannot be read. Without this error, every job would be submitted twice.
    """
    try:
        places = [place for place in (folder / "batches").iterdir() if not place.name.startswith(".")]
    except FileNotFoundError:
        return []
    batches = [batch for place in places if (batch := _read_batch(place)) is not None]
    return sorted(batches, key=lambda batch: batch.created)


def _read_batch(place: Path) -> Batch | None:
    """Return a batch; None for a record that was never finished, one that is removed just now, or somebody's file."""
    damage: list[str] = []
    try:
        batch = Batch(place, [], 1, {}, _written_at(place), damage=damage)
        header = read_with_copy(place / "batch.json", parse_header, damage)
        if header is not None and header.version != VERSION:
            batch.version = header.version
            damage.append(f"{place} has version {header.version}, and version {VERSION} can be read")
        elif header is not None:
            parse = functools.partial(parse_jobs, num_jobs=header.num_jobs)
            batch.jobs = read_with_copy(place / "jobs.jsonl", parse, damage) or []
            batch.jobs_per_task, batch.parameters = header.jobs_per_task, header.parameters
        batch.array = _read_array(place / "array.json", damage)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if damage and not place.exists():  # it was removed between two files
        return None
    batch.collected = _read_collected(place / "collected")
    return batch


def clear_removed(folder: Path) -> None:
    """Delete what is left of records whose removal was interrupted.

    Args:
        folder: the executor's folder.
    """
    for place in (folder / "batches").glob(".*"):
        shutil.rmtree(place, ignore_errors=True)


def list_unfinished(folder: Path) -> list[Path]:
    """Return the folders of batches without a header and its copy: records that were never finished, and lone fences.

    Args:
        folder: the executor's folder.
    """
    return [
        place
        for place in (folder / "batches").glob("[0-9a-f]" * 16)
        if not (place / "batch.json").exists() and not copy_path(place / "batch.json").exists()
    ]


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
    """Return a record's time by the file server's clock; those of heads on several hosts differ.

    The older one of the header and its copy counts, because damage makes a file newer.

    Raises:
        FileNotFoundError: there is neither a header nor its copy.
    """
    times = []
    for file in (path := place / "batch.json", copy_path(path)):
        with contextlib.suppress(FileNotFoundError):
            times.append(file.stat().st_mtime)
    if not times:
        raise FileNotFoundError(path)
    return min(times)


def _read_array(path: Path, damage: list[str]) -> str | None:
    """Return the array's job id, None if it is not known; any other error is raised, because the record may exist."""
    try:
        return parse_array(path.read_bytes())
    except FileNotFoundError:  # the head was killed while it submitted
        return None
    except (IsADirectoryError, ValueError) as error:
        why = "a folder" if isinstance(error, OSError) else f"damaged ({error})"
        damage.append(f"{path} is {why}; its array is looked for in the queue")
        return None


def _read_collected(path: Path) -> set[int]:
    try:
        return parse_collected(path.read_text(errors="replace"))
    except OSError:
        return set()


def _open_private(path: Path) -> Any:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    _write(path, seal(content))


def _write_with_copy(path: Path, content: bytes) -> None:
    _write(path, content)
    _write(copy_path(path), content)  # a reader that comes in between needs no copy


def _write(path: Path, content: bytes) -> None:
    """Write under a temporary name, force it to the disk, rename: the file is whole or not there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        with _open_private(temporary) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
