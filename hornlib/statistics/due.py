"""Due jobs: the run files that the next look at a sequential sweep needs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import xarray as xr

from hornlib.errors import ConfigError, nearest
from hornlib.grid import Grid, Sweep
from hornlib.grid.jobs import Job, Range
from hornlib.statistics.write import open_statistics, statistics_sweeps

__all__ = ["due_jobs", "judged_looks", "sequential_sweeps"]


def sequential_sweeps(grid: Grid, sweep: str | None = None) -> list[Sweep]:
    """Return the sweeps that are judged at looks.

    Args:
        grid: the configuration.
        sweep: name of the only sweep to return; None: all of them.

    Raises:
        ConfigError: no sweep has looks, or the named one has none.
    """
    sweeps = {
        candidate.name: candidate for candidate in grid.sweeps.values() if candidate.statistics.sequential
    }
    if not sweeps:
        raise ConfigError("no sweep has looks; `statistics: {sequential: [7, 10, 15, 20]}` gives it some")
    if sweep is not None and sweep not in sweeps:
        raise ConfigError(
            f"no sweep {sweep!r} with looks{nearest(sweep, sweeps)}; valid: {', '.join(sweeps)}"
        )
    return list(sweeps.values()) if sweep is None else [sweeps[sweep]]


def judged_looks(path: Path, sweep: Sweep) -> xr.Dataset | None:
    """Return the statistics of a sweep, or None if there are none of the looks that it has now.

    Args:
        path: path of statistics.nc, which may not exist.
        sweep: a sweep with looks.

    Returns:
        The statistics of `hornlib.statistics.sequential.summarise_looks` (look, dataset, claim, contender, ..).
    """
    if not path.exists() or sweep.name not in statistics_sweeps(path):
        return None
    summary = open_statistics(path, sweep.name)
    same = "look" in summary.dims and tuple(summary["look"].values.tolist()) == sweep.statistics.sequential
    return summary if same else None


def due_jobs(
    grid: Grid, sweep: Sweep, summary: xr.Dataset | None, present: Mapping[str, Sequence[Range]]
) -> list[Job]:
    """Return the jobs whose run files the next look needs, whether the files exist or not; at least one job.

    The first look needs every cell of the sweep. A later look needs the arms of the claims that are still open, on the
    datasets where they are open.

    Args:
        grid: the configuration.
        sweep: a sweep with looks.
        summary: from `judged_looks`; it reads `cell_name` and `seeds_to_train` (contender).
        present: cell -> ranges of seeds whose run files exist.
    """
    first = sweep.statistics.sequential[0]
    wanted: dict[str, int] = dict.fromkeys(sweep.arms, first)
    if summary is not None:
        cells = summary["cell_name"].values.tolist()
        counts = dict(zip(cells, summary["seeds_to_train"].values.astype(int).tolist(), strict=True))
        wanted = {cell: counts.get(cell, first) for cell in sweep.arms}
    seeds = {cell: sweep.first_seeds(number) for cell, number in wanted.items()}
    return [
        job
        for job in grid.jobs(present, wanted)
        if any(job.range.first <= seed <= job.range.last for seed in seeds[job.cell])
    ]
