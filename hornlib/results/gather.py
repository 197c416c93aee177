"""Gathering: the run files of a grid become one labelled netCDF file, results.nc or partial.nc."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hornlib.errors import ResultsError
from hornlib.grid import Grid
from hornlib.grid.jobs import Job, scan_runs
from hornlib.results.netcdf import load_dataset
from hornlib.results.results_file import RESULTS_FILE, ResultsWriter
from hornlib.results.run_file import RunFile, read_run_file
from hornlib.results.same_data import TrainedFile, different_data
from hornlib.results.selection_file import Choice, read_choice

if TYPE_CHECKING:
    import xarray

__all__ = ["gather"]

SHOWN = 10
"""Largest number of files that a line names."""

MOST_PROBLEMS = 100
"""Largest number of files whose problem a message tells; all files of an earlier hornlib have the same one."""


def gather(grid: Grid, partial: bool = False) -> "xarray.Dataset":
    """Write results.nc from the run files that the grid wants, and return it, read into memory.

    Dimensions are cell, seed and step (the union over cells; NaN where a cell has no evaluation). Of run files that
    overlap, `hornlib.grid.jobs.covering_ranges` chooses. A seed that a chosen file has and no sweep wants keeps its
    values under the status `unwanted`.

    Args:
        grid: the wanted cells and seeds.
        partial: write partial.nc instead, from the files that exist; other runs get the status `missing`.

    Raises:
        ResultsError: files are missing (unless `partial`), damaged, stale or foreign; the message names the first
            hundred. With `partial`, files that cannot be read count as missing, and standard error names them.
    """
    path = Path(grid.settings.results) / ("partial.nc" if partial else "results.nc")
    _write(path, grid, partial)
    return load_dataset(path, RESULTS_FILE)


def _write(path: Path, grid: Grid, partial: bool) -> None:
    grid, choices, problems = _resolved(grid)
    gathered = _read(grid)
    problems = [*gathered.problems, *problems]
    differences = _different_data(grid, gathered.runs)
    if partial:
        _warn(problems, "left out")
        _warn(differences, "not comparable")
    elif problems or differences or gathered.missing:
        raise ResultsError(
            "\n".join([*_first(problems), *differences, *_describe_missing(grid, gathered.missing)])
        )
    if not any(gathered.runs.values()):
        raise ResultsError(f"{path.parent / 'runs'}: there is no run file of this configuration yet")
    mixed = _mixed_versions(gathered.runs)
    ResultsWriter(grid, gathered.runs, choices).write(path, mixed)


@dataclass
class _Gathered:
    """Run files by cell, jobs without a run file, and a problem for each file that cannot be read."""

    runs: dict[str, list[RunFile]]
    missing: list[Job] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def _resolved(grid: Grid) -> tuple[Grid, dict[str, Choice], list[str]]:
    """Return the grid with chosen values in its tuned cells, the choices, and a problem for each missing choice."""
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


def _read(grid: Grid) -> _Gathered:
    ranges = scan_runs(Path(grid.settings.results))
    gathered = _Gathered({name: [] for name in grid.cells})
    for job in grid.jobs(ranges):
        if job.range not in ranges.get(job.cell, ()):
            gathered.missing.append(job)
            continue
        try:
            gathered.runs[job.cell].append(read_run_file(grid.run_path(job), grid.cells[job.cell]))
        except ResultsError as error:
            gathered.problems.append(str(error))
    return gathered


def _different_data(grid: Grid, runs: Mapping[str, list[RunFile]]) -> list[str]:
    return different_data(
        TrainedFile(run.job.file_name, grid.cells[cell].data, run.attributes)
        for cell, files in runs.items()
        for run in files
    )


def _describe_missing(grid: Grid, missing: list[Job]) -> list[str]:
    if not missing:
        return []
    paths = [str(grid.run_path(job)) for job in missing]
    return [
        f"{len(paths)} run file(s) are missing: {_some(paths)}. "
        f"`snakemake --cores 1 {paths[0]}` trains the first, `snakemake --cores N` all; "
        "`hornlib gather --partial` writes the finished runs to partial.nc"
    ]


def _mixed_versions(runs: Mapping[str, list[RunFile]]) -> str:
    """Return the run files of each version of hornlib as JSON, and print them; "" where there is one version."""
    versions: dict[str, list[str]] = {}
    for run in (run for files in runs.values() for run in files):
        version = (
            f"{run.attributes.get('hornlib_version', 'unknown')} {run.attributes.get('hornlib_commit', '')}"
        )
        versions.setdefault(version.strip(), []).append(run.job.file_name)
    if len(versions) < 2:
        return ""
    lines = [f"{version}: {len(files)} file(s), {_some(files)}" for version, files in versions.items()]
    _warn(lines, "run files of several versions of hornlib")
    return json.dumps(versions)


def _first(problems: Sequence[str]) -> list[str]:
    more = len(problems) - MOST_PROBLEMS
    return [*problems[:MOST_PROBLEMS], *([f"{more} more file(s) cannot be read"] if more > 0 else [])]


def _some(names: Sequence[str]) -> str:
    more = f", and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _warn(lines: Iterable[str], heading: str) -> None:
    for line in lines:
        print(f"warning: {heading}: {line}", file=sys.stderr)
