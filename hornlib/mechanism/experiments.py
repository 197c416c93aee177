"""The table of experiments: the module of each, and the sweep of config/mechanism.yaml that it reads."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hornlib.errors import ConfigError, ResultsError, nearest
from hornlib.grid import Grid

if TYPE_CHECKING:
    import xarray as xr


__all__ = ["EXPERIMENTS", "Experiment", "experiments_of", "run_experiment"]


class Experiment(NamedTuple):
    """One experiment.

    Attributes:
        module: module that holds its `measure(study)`.
        sweep: the sweep that it reads unless another one is named.
        needs_results: whether it cannot do without training results.
    """

    module: str
    sweep: str
    needs_results: bool


EXPERIMENTS: dict[str, Experiment] = {
    "scale": Experiment("hornlib.mechanism.scale", "arms", False),
    "effective_rate": Experiment("hornlib.mechanism.effective_rate", "learning_rates", False),
    "tangent_kernel": Experiment("hornlib.mechanism.tangent_kernel", "arms", False),
    "linear_probe": Experiment("hornlib.mechanism.linear_probe", "arms", False),
    "frozen_recurrence": Experiment("hornlib.mechanism.frozen_recurrence", "frozen_recurrence", True),
    "resonance": Experiment("hornlib.mechanism.resonance", "resonance", True),
    "heterogeneity": Experiment("hornlib.mechanism.heterogeneity", "heterogeneity", True),
}


def experiments_of(grid: Grid) -> list[str]:
    """Return the experiments whose sweep is in the configuration."""
    return [name for name, experiment in EXPERIMENTS.items() if experiment.sweep in grid.sweeps]


def run_experiment(name: str, grid: Grid, sweep: str | None = None, output: Path | None = None) -> Path:
    """Run one experiment, write its Dataset and draw its figure. Return the path of the Dataset.

    It reads results.nc if that exists, else partial.nc. The figure is figures/mechanism-<name>.svg (and .png) in
    the results folder.

    Args:
        name: key of `EXPERIMENTS`.
        grid: cells and sweeps of the configuration.
        sweep: sweep that is read; None: that of the table.
        output: file of the Dataset; None: mechanism/<name>.nc in the results folder.

    Raises:
        ConfigError: there is no such experiment or sweep, or the sweep lacks the cells that the experiment compares.
        ResultsError: the experiment needs training results and there are none, or the file cannot be written.
    """
    # not above: the workflow reads the table at every start, and xarray takes longer than the grid
    from hornlib.kernels.route import taking
    from hornlib.mechanism.contenders import Study, contenders
    from hornlib.mechanism.record import write
    from hornlib.report.mechanism_figures import plot_experiment

    if name not in EXPERIMENTS:
        valid = ", ".join(EXPERIMENTS)
        raise ConfigError(f"unknown experiment {name!r}{nearest(name, EXPERIMENTS)}; valid: {valid}")
    experiment = EXPERIMENTS[name]
    chosen = sweep or experiment.sweep
    study = Study(chosen, contenders(grid, chosen), grid.sweeps[chosen].seeds, _results(grid, chosen))
    if experiment.needs_results and study.results is None:
        raise ResultsError(
            f"{name} reads what the sweep {chosen!r} trained, and there is no results.nc with it in "
            f"{grid.settings.results}; `snakemake --cores N {chosen}` trains it, `hornlib gather` writes the file"
        )
    measure: Callable[[Study], xr.Dataset] = importlib.import_module(experiment.module).measure
    folder = Path(grid.settings.results)
    with taking(grid.settings.kernel):
        ds = measure(study)
    plot_experiment(ds, folder / "figures")
    return write(ds, output or folder / "mechanism" / f"{name}.nc")


def _results(grid: Grid, sweep: str) -> "xr.Dataset | None":
    """Return the sweep's part of the results; None if there are no results, or none of this sweep."""
    from hornlib.results.opening import open_results, part_of_results

    folder = Path(grid.settings.results)
    path = next((path for path in (folder / "results.nc", folder / "partial.nc") if path.exists()), None)
    if path is None:
        return None
    ds = open_results(path)
    return part_of_results(ds, sweep) if f"in_{sweep}" in ds.coords else None
