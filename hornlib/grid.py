"""From the configuration to sweeps, arms, cells and jobs; no torch is loaded here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hornlib.cell import Cell, add_cell
from hornlib.config import Config, read_config
from hornlib.expansion import Caution, Expansion
from hornlib.jobs import Job, Range, covering_ranges
from hornlib.matching import Match
from hornlib.settings import Settings

__all__ = ["Grid", "Sweep", "expand", "read_grid"]


class Sweep(NamedTuple):
    """One sweep: its cells with the arm each belongs to, and its seeds."""

    name: str
    arms: dict[str, str]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Grid:
    """Everything that the configuration asks for.

    Attributes:
        settings: the machine's side (paths, lanes, threads).
        files: what was read.
        sweeps: by name; `Sweep.arms` maps a cell's name to its arm.
        cells: by name, every cell once, in the order of the configuration.
        seeds: cell name -> the seeds that any sweep wants of it, ascending.
        matches: how near each matched rival came to its target.
        warnings: predictions of trouble, of each cell once a sweep.
    """

    settings: Settings
    files: tuple[Path, ...]
    sweeps: dict[str, Sweep]
    cells: dict[str, Cell]
    seeds: dict[str, tuple[int, ...]]
    matches: list[Match] = field(default_factory=list)
    warnings: list[Caution] = field(default_factory=list)

    def jobs(self, present: Mapping[str, Sequence[Range]], cells: Iterable[str] | None = None) -> list[Job]:
        """Return the jobs whose run files together hold the wanted seeds (of `cells`, or of all).

        Args:
            present: the run files there are, as `hornlib.jobs.scan_runs` finds them; they stay as they are.
            cells: names of cells.
        """
        per_job = self.settings.per_job
        return [
            Job(name, seeds)
            for name in (self.cells if cells is None else cells)
            for seeds in covering_ranges(self.seeds[name], present.get(name, ()), per_job)
        ]

    def describe(self, cell: str) -> str:
        """Return a cell in the words of the configuration: sweep, arm, dataset, and what differs from the defaults."""
        found = self.cells[cell]
        sweep = next(sweep for sweep in self.sweeps.values() if cell in sweep.arms)
        sections = (found.model, found.structure, found.training)
        changed = [
            f"{key}={value}"
            for section in sections
            for key, value in section.changed().items()
            if key != "name"
        ]
        return " ".join([sweep.name, sweep.arms[cell], found.data.name, *changed])

    def run_path(self, job: Job) -> Path:
        """Return where the job's run file belongs."""
        return Path(self.settings.results) / "runs" / job.file_name


def read_grid(files: Sequence[str | Path]) -> Grid:
    """Read the configuration and expand it.

    Raises:
        ConfigError: naming file, line, key, what was found and what is valid.
    """
    return expand(read_config(files))


def expand(config: Config) -> Grid:
    """Expand every sweep into its cells, merge equal cells, and unite the seeds that are wanted of them."""
    grid = Grid(config.settings, config.files, {}, {}, {})
    wanted: dict[str, set[int]] = {}
    for name, content in config.sweeps.items():
        arms: dict[str, str] = {}
        expansion = Expansion(config, name)
        for arm, cell, path in expansion.members():
            arms[cell.name] = arm
            try:
                add_cell(grid.cells, cell)
            except ValueError as error:
                raise config.error(path, str(error)) from None
            wanted.setdefault(cell.name, set()).update(content["seeds"])
        grid.sweeps[name] = Sweep(name, arms, content["seeds"])
        grid.matches.extend(expansion.matches)
        grid.warnings.extend(expansion.cautions)
    grid.seeds.update({name: tuple(sorted(seeds)) for name, seeds in wanted.items()})
    return grid
