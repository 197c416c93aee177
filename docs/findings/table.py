"""A sweep as a Markdown table: final test metric and steps to a level, with n and the spread over seeds.

What stands in the page above the mark is kept.

python docs/findings/table.py results/results.nc digits --level 0.9 --out docs/findings/digits.md
"""

import argparse
from pathlib import Path

import numpy as np
import xarray as xr
from tables import EDGE_NOTE, edge_mark, write_below_mark

from hornlib import open_results, time_to_target
from hornlib.results.opening import axes_of


def spread(values: np.ndarray, digits: int) -> str:
    """Write 'median (smallest to largest)' of the finite values."""
    values = values[np.isfinite(values)]
    if not len(values):
        return "-"
    return f"{np.median(values):.{digits}f} ({values.min():.{digits}f} to {values.max():.{digits}f})"


def steps_to(reached: xr.Dataset, row: int) -> str:
    """Write the steps to the level; with the number of seeds that never got there, if any."""
    times, events = reached["time"].values[row], reached["event"].values[row].astype(bool)
    never = np.isfinite(times).sum() - events.sum()
    return spread(times, 0) if not never else f"{spread(times[events], 0)}; {never} never"


def label_of(results: xr.Dataset, row: int) -> str:
    """Write the arm, and the values by which its cells differ."""
    cell = results.isel(cell=row)
    arm = results.isel(cell=np.flatnonzero(results["arm"].values == cell["arm"].item()))
    varying = [
        axis for axis in axes_of(arm, str(cell["model"].item())) if len(np.unique(arm[axis].values)) > 1
    ]
    numbers = [axis for axis in varying if arm[axis].dtype.kind == "f"]
    values = [f"{axis.replace('_', ' ')} {cell[axis].item():g}{edge_mark(cell, axis)}" for axis in numbers]
    values += [f"{axis.replace('_', ' ')} {cell[axis].item()}" for axis in varying if axis not in numbers]
    return ", ".join([str(cell["arm"].item()), *values])


def _tuning_of(results: xr.Dataset) -> str:
    """Say whether anything was tuned, and explain the mark of values at an edge."""
    if "at_edge" not in results:
        return "One setting an arm, nothing tuned"
    return f"Some cells have tuned values, chosen on validation data ({EDGE_NOTE.rstrip('.')})"


def main() -> None:
    """Read the results and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("sweep")
    parser.add_argument("--level", type=float, default=0.9, help="validation accuracy to reach")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    results = open_results(arguments.results, sweep=arguments.sweep)
    reached = time_to_target(results, target=arguments.level, on="step")
    lines = [
        "Final test accuracy, %, and steps to "
        f"{100 * arguments.level:g} % validation accuracy (confirmed over two evaluations, the right end of the "
        f"evaluation interval): median (smallest to largest) over n seeds. {_tuning_of(results)}: a description of "
        "these runs, no verdict.",
        "",
        "| arm | dataset | parameters | n | test accuracy, % | steps |",
        "|---|---|---:|---:|---:|---:|",
    ]
    is_trained = results["status"].isin(["complete", "diverged"]).any("seed").values
    for row in np.flatnonzero(is_trained):
        cell = results.isel(cell=row)
        complete = (cell["status"].values == "complete").sum()
        lines.append(
            f"| {label_of(results, row)} | {cell['dataset'].item()} "
            f"| {np.nanmax(cell['num_parameters'].values):,.0f} | {complete} "
            f"| {spread(100 * cell['final_test_metric'].values, 2)} | {steps_to(reached, row)} |"
        )
    if not is_trained.all():
        lines += ["", f"{(~is_trained).sum()} further cells were not trained here."]
    print("\n".join(lines))
    if arguments.out:
        write_below_mark(arguments.out, f"The sweep `{arguments.sweep}`", "docs/findings/table.py", lines)


if __name__ == "__main__":
    main()
