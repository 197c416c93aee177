"""The writer of stability.nc: predictions with the outcomes of training, maps and orders, one group each."""

from pathlib import Path

import numpy as np
import xarray as xr

from hornlib.errors import ResultsError
from hornlib.grid import Grid
from hornlib.grid.cell import Cell
from hornlib.results.analysis_files import STABILITY_FILE
from hornlib.results.netcdf import write_groups
from hornlib.results.opening import open_results
from hornlib.results.selection_file import read_choice
from hornlib.stability.maps import heterogeneity_map, plane_map
from hornlib.stability.nodes import has_oscillators
from hornlib.stability.orders import integrator_orders
from hornlib.stability.predictions import EXPECTATIONS, predict_cells

__all__ = ["OUTCOMES", "join_outcome", "stability_table", "write_stability"]

OUTCOMES = ("complete", "diverged")

OUTCOME_VARIABLES = {
    "status": "status",
    "diverged_at_step": "diverged_at_step",
    "final_test_metric": "final_metric",
    "chance_level": "chance_level",
}
"""Variable of results.nc -> its name here."""


def write_stability(grid: Grid, output: Path, results: Path | None = None) -> Path:
    """Write stability.nc.

    Groups: "cells" (predictions and, with results, outcomes), "plane" (over omega h and damping h), "heterogeneity"
    (over timesteps and heterogeneity), "orders" (of the integrators).

    Args:
        grid: the wanted cells and seeds.
        output: the file.
        results: results.nc or partial.nc; None for predictions alone, before any training.

    Raises:
        ResultsError: results cannot be read, or the output cannot be written.
    """
    groups = {
        "cells": stability_table(grid, results),
        "plane": plane_map(),
        "heterogeneity": heterogeneity_map(),
        "orders": integrator_orders(),
    }
    attributes = {"title": "Stability of the oscillators of hornlib sweeps"}
    write_groups(output, STABILITY_FILE, attributes, groups.items())
    return output


def stability_table(grid: Grid, results: Path | None = None) -> xr.Dataset:
    """Return the predictions for every cell with oscillators and, with results, the outcomes of its runs.

    The coordinate `arm_<sweep>` is the cell's arm in the sweep, or "". Tuned cells without a choice are left out.

    Args:
        grid: the wanted cells and seeds.
        results: results.nc or partial.nc; None for predictions alone.
    """
    cells = {name: cell for name, cell in _known_cells(grid).items() if has_oscillators(cell)}
    table = predict_cells(cells, grid.seeds)
    labels = {
        "dataset": [cell.data.name for cell in cells.values()],
        "model": [cell.model.name for cell in cells.values()],
        "recurrence": [str(cell.model.canonical().get("recurrence", "full")) for cell in cells.values()],
        **{
            f"arm_{name}": [sweep.arms.get(cell, "") for cell in cells] for name, sweep in grid.sweeps.items()
        },
    }
    for name, values in labels.items():
        long_name = f"arm of the sweep {name[4:]}" if name.startswith("arm_") else name
        attributes = {"units": "1", "long_name": long_name}
        table = table.assign_coords({name: ("cell", np.array(values, str), attributes)})
    if results is None:
        return table
    return join_outcome(table, open_results(results))


def _known_cells(grid: Grid) -> dict[str, Cell]:
    """Return the cells whose values are known; a tuned cell has values after the choice."""
    cells = {}
    for name, cell in grid.cells.items():
        if cell.tuned is None or cell.selection is not None:
            cells[name] = cell
        elif (path := grid.selection_path(name)).exists():
            cells[name] = cell.resolved(read_choice(path).selection)
    return cells


def join_outcome(table: xr.Dataset, results: xr.Dataset) -> xr.Dataset:
    """Add the outcomes of training: `status`, `diverged_at_step`, `final_metric`, `chance_level` and `num_runs`.

    Args:
        table: from `predict_cells`.
        results: from `open_results`, of all sweeps.

    Returns:
        The table; `num_runs` (expectation, outcome) is the number of completed and of diverged runs by expectation.

    Raises:
        ResultsError: the results have none of the cells.
    """
    if table.sizes["cell"] and not set(table["cell"].values) & set(results["cell"].values):
        raise ResultsError(
            "results.nc has no cell of this configuration: it belongs to another configuration; "
            "name that configuration with --configfile"
        )
    outcomes = results.reset_coords("chance_level")[list(OUTCOME_VARIABLES)]
    outcomes = outcomes.drop_vars([name for name in outcomes.coords if name not in ("cell", "seed")])
    outcomes = outcomes.reindex(cell=table["cell"], seed=table["seed"], fill_value={"status": "missing"})
    outcomes["status"] = outcomes["status"].astype(str)
    return _counted(table.merge(outcomes.rename(OUTCOME_VARIABLES)))


def _counted(table: xr.Dataset) -> xr.Dataset:
    """Add the number of completed and of diverged runs by expectation."""
    counts = [
        [
            int(((table["expected_failure"] == word) & (table["status"] == outcome)).sum())
            for outcome in OUTCOMES
        ]
        for word in EXPECTATIONS
    ]
    table["num_runs"] = (("expectation", "outcome"), counts, {"units": "1", "long_name": "number of runs"})
    expected = {"units": "1", "long_name": "how a run was expected to fail, if it failed"}
    ended = {"units": "1", "long_name": "how the runs ended"}
    return table.assign_coords(
        expectation=("expectation", list(EXPECTATIONS), expected), outcome=("outcome", list(OUTCOMES), ended)
    )
