"""Gathering: every run file of a grid into one labelled netCDF file, filled array by array."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hornlib.errors import ResultsError
from hornlib.grid import Grid
from hornlib.grid.jobs import Job, scan_runs
from hornlib.results.atomic import written_atomically
from hornlib.results.run_file import RunFile, read_run_file
from hornlib.results.selection_file import Choice, read_choice
from hornlib.results.table import Table

if TYPE_CHECKING:
    import xarray

__all__ = ["gather"]

SHOWN = 10
"""Files named in a message before the rest is only counted."""


def gather(grid: Grid, partial: bool = False) -> "xarray.Dataset":
    """Write results.nc from the run files that the grid wants, and return it, open.

    Dimensions are cell, seed and step (the union over cells; NaN where a cell has no evaluation). Of run
    files that overlap, `hornlib.grid.jobs.covering_ranges` chooses. A seed that a chosen file has and no sweep
    wants keeps its values under the status `unwanted`.

    Args:
        grid: what is wanted.
        partial: write partial.nc instead, from the files there are; the rest has the status `missing`.

    Raises:
        ResultsError: files are missing (unless `partial`), or damaged, stale or foreign; all are named. With
            `partial`, those that cannot be read count as missing, and standard error names them.
    """
    import xarray

    results = Path(grid.settings.results)
    grid, choices, unchosen = _resolved(grid)
    found = _read(grid, results)
    found.problems.extend(unchosen)
    if partial:
        _tell(found.problems, "left out")
    elif found.problems or found.missing:
        raise ResultsError("\n".join([*found.problems, *_describe_missing(grid, found.missing)]))
    if not any(found.runs.values()):
        raise ResultsError(f"{results / 'runs'}: there is no run file of this configuration yet")
    mixed = _mixed_versions(found.runs)
    path = results / ("partial.nc" if partial else "results.nc")
    with written_atomically(path) as temporary:
        Table(grid, found.runs, choices).write(temporary, mixed)
    return xarray.open_dataset(path)


@dataclass
class _Found:
    """What lies on the disk: run files by cell, jobs without one, and what is wrong with the others."""

    runs: dict[str, list[RunFile]]
    missing: list[Job] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def _resolved(grid: Grid) -> tuple[Grid, dict[str, Choice], list[str]]:
    """Give the tuned cells the values chosen for them; return what was chosen, and where nothing is."""
    cells, choices, problems = dict(grid.cells), {}, []
    for name, cell in grid.cells.items():
        if cell.tuned is None:
            continue
        try:
            choices[name] = read_choice(grid.selection_path(name))
            cells[name] = cell.resolved(choices[name].selection)
        except ResultsError as error:
            problems.append(str(error))
    return replace(grid, cells=cells), choices, problems


def _read(grid: Grid, results: Path) -> _Found:
    present = scan_runs(results)
    found = _Found({name: [] for name in grid.cells})
    for job in grid.jobs(present):
        if job.range not in present.get(job.cell, ()):
            found.missing.append(job)
            continue
        try:
            found.runs[job.cell].append(read_run_file(grid.run_path(job), grid.cells[job.cell]))
        except ResultsError as error:
            found.problems.append(str(error))
    return found


def _describe_missing(grid: Grid, missing: list[Job]) -> list[str]:
    if not missing:
        return []
    paths = [str(grid.run_path(job)) for job in missing]
    return [
        f"{len(paths)} run file(s) are missing: {_some(paths)}. "
        f"`snakemake --cores 1 {paths[0]}` trains the first, `snakemake --cores N` all; "
        "`hornlib gather --partial` writes what is there to partial.nc"
    ]


def _mixed_versions(runs: Mapping[str, list[RunFile]]) -> str:
    """Return the files of each version of hornlib, and tell them, if there are several; else nothing."""
    versions: dict[str, list[str]] = {}
    for run in (run for files in runs.values() for run in files):
        version = (
            f"{run.attributes.get('hornlib_version', 'unknown')} {run.attributes.get('hornlib_commit', '')}"
        )
        versions.setdefault(version.strip(), []).append(run.job.file_name)
    if len(versions) < 2:
        return ""
    lines = [f"{version}: {len(files)} file(s), {_some(files)}" for version, files in versions.items()]
    _tell(lines, "run files of several versions of hornlib")
    return json.dumps(versions)


def _some(names: Sequence[str]) -> str:
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _tell(lines: Iterable[str], what: str) -> None:
    for line in lines:
        print(f"warning: {what}: {line}", file=sys.stderr)
