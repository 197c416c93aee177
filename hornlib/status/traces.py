"""The state of jobs that no executor submitted, from the logs, checkpoints and locks of a sweep on this machine."""

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

from hornlib.grid import Grid
from hornlib.grid.jobs import Job, TuningJob
from hornlib.lease import Holder, lock_path, read_holder, read_trainer
from hornlib.status.standing import JobState, Standing

__all__ = ["Traces", "ago", "last_lines", "log_path", "read_end"]

FRESH = 600.0
"""A log that was written within so many seconds may belong to a running job."""

MISTAKE = re.compile(r"error: .*|[\w.]*(Error|Exception)\b.*")
"""The last line in the log of a failed job: an error message of hornlib, or the end of a traceback."""


class Traces:
    """The logs, checkpoints and locks in the results folder, and the sweep that may be writing them."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.results = grid.settings.results
        folder = Path(self.results) / "logs"
        self.logs = _names(folder / "train") | _names(folder / "tune")
        self.checkpoints = _names(Path(grid.settings.checkpoints or f"{self.results}/checkpoints"))
        self.locks = _names(Path(self.results) / "runs") | _names(Path(self.results) / "tuning")
        self.sweep = read_holder(self.results)

    def trainer(self, job: Job) -> Holder | None:
        """Return the living process of this machine that trains a job's run file, or None."""
        run = Path(self.grid.run_path(job))
        if lock_path(run).name not in self.locks:
            return None
        holder = read_trainer(run)
        return holder if holder is not None and holder.lives else None

    def orphan(self, job: Job) -> Standing | None:
        """Return the state of a job that a living process trains for a sweep that was killed; None for other jobs."""
        trainer = self.trainer(job)
        if trainer is None:
            return None
        if self.sweep is not None and self.sweep.lives and trainer.since >= self.sweep.since:
            return None
        reason = (
            f"process {trainer.process} trains it, and no head watches it; kill {trainer.process} stops it"
        )
        return Standing(job, JobState.RUNNING, reason, node=trainer.host)

    def is_written_now(self, job: Job) -> bool:
        """Return whether the sweep that lives on this machine wrote the job's log."""
        if self.sweep is None or not self.sweep.lives or not self._has_log(job):
            return False
        return _written(log_path(self.results, job)) >= self.sweep.since

    def stand(self, job: Job) -> Standing:
        """Return the state of a job that is not in the executor's records."""
        stem = job.file_name.removesuffix(".nc")
        if orphan := self.orphan(job):
            return orphan
        if not self._has_log(job):
            if f"{stem}.checkpoint" in self.checkpoints:
                return Standing(job, JobState.STOPPED, "it goes on from its checkpoint")
            return Standing(job, JobState.OPEN)
        path = log_path(self.results, job)
        end = last_lines(read_end(path), 1)
        if end and MISTAKE.fullmatch(end[0]):
            return Standing(job, JobState.FAILED, end[0])
        silent = time.time() - _written(path)
        if self.is_written_now(job):
            reason = "" if silent < FRESH else f"its log is silent for {ago(silent)}"
            return Standing(job, JobState.RUNNING, reason)
        if self.sweep is not None and self.sweep.lives is None and silent < FRESH:
            return Standing(job, JobState.RUNNING, f"or interrupted: only {self.sweep.host} can tell")
        saved = f"{stem}.checkpoint" in self.checkpoints
        goes_on = "it goes on from its checkpoint" if saved else "it has no checkpoint and starts again"
        return Standing(job, JobState.STOPPED, f"interrupted; {goes_on}")

    def _has_log(self, job: Job) -> bool:
        return log_path(self.results, job).name in self.logs


def log_path(results: str | Path, job: Job) -> Path:
    """Return the path of a job's log.

    Args:
        results: the results folder.
        job: a training job or a tuning job.
    """
    rule = "tune" if isinstance(job, TuningJob) else "train"
    return Path(results) / "logs" / rule / f"{job.file_name.removesuffix('.nc')}.log"


def read_end(path: Path, count: int = 65_536) -> str:
    """Return the end of a file as text; "" for a missing file.

    Args:
        path: the file.
        count: the most bytes to read.
    """
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - count))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def last_lines(text: str, count: int) -> Sequence[str]:
    """Return the last lines that are not empty.

    Args:
        text: the end of a log.
        count: the most lines to return.
    """
    return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]


def ago(seconds: float) -> str:
    """Return a duration in a readable unit: 35 s, 12 min, 3.5 h, 2 days."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} days"


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError:
        return set()


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
