"""The plan: for each arm, the runs that are done, the runs that are left, and their cost."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from hornlib.grid import Grid
from hornlib.grid.cell import Cell
from hornlib.grid.expansion import Caution
from hornlib.grid.jobs import Job, Range, TuningJob
from hornlib.grid.matching import Match
from hornlib.grid.routes import Route, device_type, route_of
from hornlib.parameters.tuning import Tuned
from hornlib.plan.choosing_cells import Selected
from hornlib.plan.estimates import Estimates, RunTime
from hornlib.plan.weights_size import run_bytes
from hornlib.results.file_kind import RUN_FILE, TUNING_FILE
from hornlib.results.seal import fault_of, is_unsealed

__all__ = ["Plan", "Row"]

READERS = 8
"""Threads that read files at the same time to verify them."""


class Row(NamedTuple):
    """One arm of one sweep on one dataset.

    Attributes:
        cells, runs, done, jobs: numbers of each; `done` counts runs on disk, `jobs` counts run files, on disk or not.
        parameters, flops: smallest and largest count of its cells by masks; FLOPs of one forward pass of one example.
        computed_flops: the same FLOPs as they are really computed, with the zeros of masked weights.
        matches: how near its cells came to the arm they are matched to.
        left: device time of the runs that are still to be trained.
        routes: how the recurrences of its cells are computed on this machine, each way once.
        tuned: how its tuned values are chosen; None where nothing is tuned.
    """

    sweep: str
    dataset: str
    arm: str
    cells: int
    runs: int
    done: int
    jobs: int
    parameters: tuple[int, int]
    flops: tuple[int, int]
    computed_flops: tuple[int, int]
    matches: tuple[Match, ...]
    left: RunTime
    routes: tuple[Route, ...]
    tuned: Tuned | None = None


class Plan:
    """The chosen cells of a grid and their run files; a cell of several sweeps counts once.

    Attributes:
        seeds: cell name -> seeds that it has in the chosen sweeps.
        jobs: jobs whose run files hold these seeds, on disk or not.
        to_train: jobs whose run file does not exist yet.
        done: number of the runs that are on disk.
    """

    def __init__(
        self, grid: Grid, selected: Sequence[Selected], present: Mapping[str, Sequence[Range]]
    ) -> None:
        self.grid, self.selected, self.present = grid, selected, present
        self.cells: dict[str, Cell] = {member.cell.name: member.cell for member in selected}
        self.seeds: dict[str, set[int]] = {}
        for member in selected:
            self.seeds.setdefault(member.cell.name, set()).update(grid.sweeps[member.sweep].seeds)
        self.jobs = self._jobs(self.seeds)
        self.to_train = [job for job in self.jobs if job.range not in present.get(job.cell, ())]
        self.done = sum(self._done(name, seeds) for name, seeds in self.seeds.items())

    @cached_property
    def estimates(self) -> Estimates:
        """Costs learned from the run files; opens some of them."""
        return Estimates.from_runs(self.grid, self.present)

    @cached_property
    def tuning_jobs(self) -> list[TuningJob]:
        """Jobs that tune the arms of the chosen cells, then jobs that train finalists, done or not."""
        tuned_cells = [cell.tuned for cell in self.cells.values() if cell.tuned is not None]
        first = [*(tuned.arm for tuned in tuned_cells), *(tuned.baseline for tuned in tuned_cells)]
        second = [
            *(tuned.finalists for tuned in tuned_cells),
            *(tuned.baseline_finalists for tuned in tuned_cells),
        ]
        stages = [self.grid.finalist_stages[name] for name in second if name]
        # the finalists of an arm may be shared with another objective, which needs the baseline's trials
        first += [name for stage in stages for name in (stage.arm.name, stage.baseline)]
        return [self.grid.tuning_job(name) for name in dict.fromkeys([*first, *second]) if name]

    @property
    def tuned_arms(self) -> list[TuningJob]:
        """The jobs of the first stage of tuning."""
        return [job for job in self.tuning_jobs if job.cell in self.grid.tuned_arms]

    @property
    def finalists(self) -> list[TuningJob]:
        """The jobs of the second stage of tuning."""
        return [job for job in self.tuning_jobs if job.cell in self.grid.finalist_stages]

    @cached_property
    def to_tune(self) -> list[TuningJob]:
        """Tuning jobs whose file does not exist yet."""
        return [job for job in self.tuning_jobs if not self.grid.run_path(job).exists()]

    @cached_property
    def faults(self) -> dict[Job, str]:
        """Job -> what is wrong with its run file or tuning file, and what to do; sound and missing files are left out.

        Every file on disk is read; a process reads it once, unless it changes.
        """
        trained = [job for job in self.jobs if job.range in self.present.get(job.cell, ())]
        jobs = [*trained, *self.tuning_jobs]
        with ThreadPoolExecutor(READERS) as readers:  # on a network file system each file is waited for
            faults = dict(zip(jobs, readers.map(self.fault, jobs), strict=True))
        return {job: fault for job, fault in faults.items() if fault}

    @cached_property
    def unsealed(self) -> list[Path]:
        """Files of `faults` without a seal: an earlier hornlib wrote them, or they were cut off."""
        return [path for path in map(self.grid.run_path, self.faults) if is_unsealed(path)]

    def fault(self, job: Job) -> str:
        """Return what is wrong with a job's file, and what to do; "" for a sound or missing file."""
        kind = TUNING_FILE if isinstance(job, TuningJob) else RUN_FILE
        return fault_of(self.grid.run_path(job), kind)

    def num_trials(self, jobs: Iterable[TuningJob]) -> int:
        """Return the runs of these jobs; of finalists the most, since objectives may choose the same trials."""
        return sum(self.num_runs(job) for job in jobs)

    def num_runs(self, job: Job) -> int:
        """Return the runs of a job; of finalists the most."""
        if not isinstance(job, TuningJob):
            return len(job.range.seeds())
        if job.cell in self.grid.finalist_stages:
            stage = self.grid.finalist_stages[job.cell]
            return stage.most_trials * stage.seeds
        arm = self.grid.tuned_arms[job.cell]
        return arm.trials * arm.seeds

    def paths(self) -> list[Path]:
        """Return the run files of the jobs, each a target of Snakemake."""
        return [self.grid.run_path(job) for job in self.jobs]

    def rows(self) -> list[Row]:
        """Return a row for every arm on every dataset, in the order of the configuration."""
        groups: dict[tuple[str, str, str], list[Cell]] = {}
        for sweep, arm, cell in self.selected:
            groups.setdefault((sweep, cell.data.name, arm), []).append(cell)
        matches: dict[tuple[str, str, str], list[Match]] = {}
        for match in self.grid.matches:
            matches.setdefault((match.sweep, match.dataset, match.arm), []).append(match)
        return [self._row(key, cells, matches.get(key, [])) for key, cells in groups.items()]

    def route(self, cell: Cell) -> Route:
        """Return how a cell's recurrence is computed on this machine; the device `auto` counts as a CPU."""
        settings = self.grid.settings
        return route_of(cell, settings.kernel, device_type(settings.device))

    def left(self) -> RunTime:
        """Return the device time of every job to train and every arm to tune."""
        jobs: list[Job] = [*self.to_train, *self.to_tune]
        return _total((self.num_runs(job), self.estimates.run_time(self.grid.cell_of(job))) for job in jobs)

    def disk_bytes(self) -> float:
        """Return the size of the run files to come."""
        return sum(self.estimates.job_bytes(self.cells[job.cell], job.range) for job in self.to_train)

    def weights_bytes(self) -> float:
        """Return the size of the weights of all jobs, done or not; 0 where none are kept."""
        if self.grid.settings.keep_weights == "off":
            return 0
        return sum(len(job.range.seeds()) * run_bytes(self.cells[job.cell]) for job in self.jobs)

    def cautions(self) -> list[Caution]:
        """Return the warnings about the chosen cells."""
        chosen = {(member.sweep, member.cell.name) for member in self.selected}
        return [caution for caution in self.grid.warnings if (caution.sweep, caution.cell) in chosen]

    def _row(self, key: tuple[str, str, str], cells: Sequence[Cell], matches: Iterable[Match]) -> Row:
        sweep, dataset, arm = key
        seeds = self.grid.sweeps[sweep].seeds
        done = {cell.name: self._done(cell.name, seeds) for cell in cells}
        parameters = [cell.cost().num_parameters for cell in cells]
        flops = [cell.cost().flops.total for cell in cells]
        computed_flops = [cell.computed_cost().flops.total for cell in cells]
        widths = {cell.model.width() for cell in cells}
        return Row(
            sweep,
            dataset,
            arm,
            cells=len(cells),
            runs=len(cells) * len(seeds),
            done=sum(done.values()),
            jobs=len(self._jobs({cell.name: set(seeds) for cell in cells})),
            parameters=(min(parameters), max(parameters)),
            flops=(min(flops), max(flops)),
            computed_flops=(min(computed_flops), max(computed_flops)),
            matches=tuple(match for match in matches if match.width in widths),
            routes=tuple(dict.fromkeys(map(self.route, cells))),
            tuned=next((cell.tuned for cell in cells if cell.tuned is not None), None),
            left=_total((len(seeds) - done[cell.name], self.estimates.run_time(cell)) for cell in cells),
        )

    def _jobs(self, seeds: Mapping[str, set[int]]) -> list[Job]:
        return [job for job in self.grid.jobs(self.present, seeds) if _holds(job.range, seeds[job.cell])]

    def _done(self, cell: str, seeds: Iterable[int]) -> int:
        ranges = self.present.get(cell, ())
        return sum(any(run_file.first <= seed <= run_file.last for run_file in ranges) for seed in seeds)


def _holds(seeds: Range, wanted: Iterable[int]) -> bool:
    return any(seeds.first <= seed <= seeds.last for seed in wanted)


def _total(runs: Iterable[tuple[int, RunTime]]) -> RunTime:
    """Return the time of numbers of runs together; runs that are done cost nothing and are no guess."""
    left = [(number, time) for number, time in runs if number > 0]
    return RunTime(
        sum(number * time.seconds for number, time in left), any(time.is_guess for _, time in left)
    )
