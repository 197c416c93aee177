"""The survey: the state of every job of the chosen cells, and the counts of every arm."""

import os
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hornlib.grid import Grid
from hornlib.grid.jobs import Job, scan_runs
from hornlib.plan.choosing_cells import Selected
from hornlib.plan.plan import Plan
from hornlib.status.standing import JobState, Standing
from hornlib.status.submissions import Submissions
from hornlib.status.traces import Traces, last_lines, log_path, read_end
from hornlib.training.progress_lines import Progress, read_progress

if TYPE_CHECKING:
    from snakemake_executor_plugin_submitit.batches import Place
    from snakemake_executor_plugin_submitit.slurm import Slurm

__all__ = ["ArmCounts", "JobCounts", "Survey"]


class JobCounts(NamedTuple):
    """Numbers of cells and runs, in all and finished, and the number of jobs in each state."""

    cells: int
    cells_done: int
    runs: int
    runs_done: int
    jobs: Counter[JobState]


class ArmCounts(NamedTuple):
    """One arm of one sweep on one dataset."""

    sweep: str
    dataset: str
    arm: str
    counts: JobCounts


class Survey:
    """The states of the chosen cells' jobs at this moment.

    Args:
        grid: the grid of the configuration.
        selected: the chosen cells.
        folder: the executor's folder.
        slurm: the SLURM to ask; None for the programs on the PATH.

    Attributes:
        standings: job -> its state. Tuning jobs come first, then the jobs in the order of the configuration.
        plan: the chosen cells beside their run files.
        submissions: the executor's records and SLURM's answers.
        traces: logs, checkpoints and locks in the results folder.
        places: job -> its latest submission, for unfinished jobs that were submitted.
    """

    def __init__(
        self, grid: Grid, selected: Sequence[Selected], folder: Path, slurm: "Slurm | None" = None
    ) -> None:
        self.grid = grid
        # The queue is read before the run files: a job that ends in between is then seen as done, and not as lost.
        self.submissions = Submissions(folder, slurm)
        present = scan_runs(grid.settings.results)
        self.plan = Plan(grid, selected, present)
        self.traces = Traces(grid)
        self.places: dict[Job, Place] = {
            job: place
            for job in [*self.plan.to_tune, *self.plan.to_train]
            if (place := self.submissions.place(grid.run_path(job))) is not None
        }
        submitted = self.submissions.stand(self._watched())
        jobs: list[Job] = [*self.plan.tuning_jobs, *self.plan.jobs]
        done = set(jobs) - set(self.plan.to_train) - set(self.plan.to_tune)
        self.standings = {
            job: _finished(job, self.plan.faults.get(job, ""))
            if job in done
            else self._settle(submitted.get(job), job)
            for job in jobs
        }

    def of(self, *states: JobState) -> list[Standing]:
        """Return the jobs in these states."""
        return [standing for standing in self.standings.values() if standing.state in states]

    def counts(self) -> JobCounts:
        """Return the counts of all chosen cells; a cell of two sweeps counts once."""
        return self._counts(self.plan.seeds)

    def tuning(self) -> Counter[JobState]:
        """Return how many arms that are tuned first are in each state."""
        return Counter(self.standings[job].state for job in self.plan.tuned_arms)

    def finalists(self) -> Counter[JobState]:
        """Return how many jobs that train an arm's finalists are in each state."""
        return Counter(self.standings[job].state for job in self.plan.finalists)

    def rows(self) -> list[ArmCounts]:
        """Return the counts of every arm on every dataset, in the order of the configuration."""
        groups: dict[tuple[str, str, str], list[str]] = {}
        for sweep, arm, cell in self.plan.selected:
            groups.setdefault((sweep, cell.data.name, arm), []).append(cell.name)
        return [
            ArmCounts(*key, self._counts({cell: set(self.grid.sweeps[key[0]].seeds) for cell in cells}))
            for key, cells in groups.items()
        ]

    def log(self, job: Job) -> Path:
        """Return the path of the job's log; if the job wrote none, the path of its task's log."""
        job_log = log_path(self.grid.settings.results, job)
        place = self.places.get(job)
        if place is None or job_log.exists():
            return job_log
        task_log = place.batch.log(place.number)
        return task_log if task_log.exists() else job_log

    def last_lines(self, job: Job, count: int) -> Sequence[str]:
        """Return the last lines of the job's log that are not empty.

        Args:
            job: the job.
            count: the most lines to return.
        """
        return last_lines(read_end(self.log(job), 16_384), count)

    def progress(self, job: Job) -> Progress | None:
        """Return the progress that a running job's log reports; None before its first report."""
        return read_progress(read_end(log_path(self.grid.settings.results, job)))

    def restarts(self, job: Job) -> int:
        """Return how often SLURM restarted the job's latest submission."""
        place = self.places.get(job)
        return 0 if place is None else max(0, len(place.batch.read_starts(place.number)) - 1)

    @cached_property
    def strays(self) -> int:
        """Number of queued jobs that are not among the chosen ones."""
        ours = {os.path.normpath(self.grid.run_path(job)) for job in self.standings}
        return sum(
            run not in ours and self.submissions.queued(place) is not None
            for run, place in self.submissions.latest.items()
        )

    def _watched(self) -> "dict[Job, Place]":
        """Return the submissions that still matter.

        A sweep may go on here without the executor. Records of the jobs that it trains now are out of date.
        """
        head = self.submissions.head
        if head is not None and head.lives:
            return self.places
        return {
            job: place
            for job, place in self.places.items()
            if self.submissions.queued(place) is not None or not self.traces.is_written_now(job)
        }

    def _settle(self, submitted: Standing | None, job: Job) -> Standing:
        if submitted is None:
            return self.traces.stand(job)
        if submitted.state not in (JobState.FAILED, JobState.STOPPED):
            return submitted
        if self.grid.run_path(job).exists():  # a listing may be older than the file
            return _finished(job, self.plan.fault(job))
        return self.traces.orphan(job) or submitted

    @cached_property
    def _by_cell(self) -> dict[str, list[Standing]]:
        by_cell: dict[str, list[Standing]] = {}
        for standing in self.standings.values():
            by_cell.setdefault(standing.job.cell, []).append(standing)
        return by_cell

    def _counts(self, wanted: dict[str, set[int]]) -> JobCounts:
        cells_done = runs_done = 0
        jobs: Counter[JobState] = Counter()
        for cell, seeds in wanted.items():
            done = 0
            for standing in self._by_cell.get(cell, ()):
                held = len(seeds.intersection(standing.job.range.seeds()))
                jobs[standing.state] += held > 0
                done += held if standing.state is JobState.DONE else 0
            runs_done += done
            cells_done += done == len(seeds)
        return JobCounts(len(wanted), cells_done, sum(map(len, wanted.values())), runs_done, jobs)


def _finished(job: Job, fault: str) -> Standing:
    """Return the state of a job whose file exists: a damaged file is a failure, and its reason says what to do."""
    return Standing(job, JobState.FAILED, fault) if fault else Standing(job, JobState.DONE)
