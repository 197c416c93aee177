"""Jobs: which seeds of a cell are trained together, and which of them have a run file."""

import os
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from hornlib.errors import ResultsError

__all__ = ["Job", "Range", "TuningJob", "covering_ranges", "parse_run_name", "scan_runs", "weights_path"]


class Range(NamedTuple):
    """The seeds from first to last, both included."""

    first: int
    last: int

    def seeds(self) -> range:
        """Return the seeds."""
        return range(self.first, self.last + 1)


class Job(NamedTuple):
    """One cell with a range of seeds; it leaves one run file."""

    cell: str
    range: Range

    @property
    def file_name(self) -> str:
        """<cell>.seeds-<first>-<last>.nc"""
        return f"{self.cell}.seeds-{self.range.first}-{self.range.last}.nc"


class TuningJob(Job):
    """The trials of a tuned arm, or its finalists, whose name stands in `cell`; they leave one tuning file."""

    @property
    def file_name(self) -> str:
        """<arm>.nc or <stage>.finalists.nc"""
        return f"{self.cell}.nc"


_RUN_NAME = re.compile(
    r"(?P<cell>[a-z0-9_]+-[a-z0-9_]+(-[a-z0-9_]+)?-[0-9a-f]{12})"
    r"\.seeds-(?P<first>0|[1-9][0-9]{0,8})-(?P<last>0|[1-9][0-9]{0,8})\.nc"
)


def weights_path(run_file: Path) -> Path:
    """Return where a job keeps its weights: `weights/<name of the run file>.weights`, beside the folder of run files.

    Args:
        run_file: `<cell>.seeds-<first>-<last>.nc` in the folder `runs`.
    """
    return run_file.parent.parent / "weights" / f"{run_file.stem}.weights"


def parse_run_name(file_name: str) -> Job | None:
    """Return the job whose run file has this name, None for any other file."""
    match = _RUN_NAME.fullmatch(file_name)
    if match is None or int(match["first"]) > int(match["last"]):
        return None
    return Job(match["cell"], Range(int(match["first"]), int(match["last"])))


def scan_runs(results: str | Path) -> dict[str, list[Range]]:
    """Return cell name -> the ranges of seeds of its run files in `results`/runs.

    The folder is listed once, and no file is opened.

    Raises:
        ResultsError: the folder cannot be listed.
    """
    ranges: dict[str, list[Range]] = {}
    folder = Path(results) / "runs"
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if job := parse_run_name(entry.name):
                    ranges.setdefault(job.cell, []).append(job.range)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ResultsError(f"{folder}: cannot be listed: {error.strerror}") from None
    return ranges


def covering_ranges(
    wanted: Sequence[int], present: Iterable[Range], per_job: int, starts: Collection[int] = ()
) -> list[Range]:
    """Return the ranges that cover the wanted seeds: those on disk as they are, and each gap cut from its start.

    The ranges follow from the arguments alone, so that another `per_job`, or more seeds, retrains nothing. Of files
    that overlap, the one that begins first counts, and of several such files the longest.

    Args:
        wanted: seeds that must be covered.
        present: ranges of the run files on disk.
        per_job: largest number of seeds of a new range.
        starts: seeds at which a new range begins, so that no job straddles two looks of a sequential sweep.
    """
    chosen: list[Range] = []
    for candidate in sorted(present, key=lambda on_disk: (on_disk.first, -on_disk.last)):
        is_apart = not chosen or candidate.first > chosen[-1].last
        if is_apart and any(candidate.first <= seed <= candidate.last for seed in wanted):
            chosen.append(candidate)
    missing = sorted(
        seed for seed in set(wanted) if not any(on_disk.first <= seed <= on_disk.last for on_disk in chosen)
    )
    cut: list[Range] = []
    for seed in missing:
        if cut and cut[-1].last == seed - 1 and seed - cut[-1].first < per_job and seed not in starts:
            cut[-1] = Range(cut[-1].first, seed)
        else:
            cut.append(Range(seed, seed))
    return sorted(chosen + cut)
