"""Learning curves of a sweep as charts: each arm's best cell against steps, samples, FLOPs and seconds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from hornlib.report.blocks import Chart, Swatch
from hornlib.report.charts.lines import Line, lines_chart, thinned
from hornlib.report.curves import DATA, CurvePanel, cell_labels, panels
from hornlib.report.figures import embedded_svg, write_figures
from hornlib.report.series import named_swatches, series_of, swatches
from hornlib.report.wording import AXES, counted_range, slug
from hornlib.results.calibrated_seconds import best_device
from hornlib.results.divergence import final_with_chance
from hornlib.results.opening import open_results, select_sweep

__all__ = ["READING", "curve_charts", "plot_sweep"]

MOST_CELLS = 16
"""Cells of a panel up to which all of them are drawn, the best of each arm in full and the others faint."""


READING = (
    "Line: median over seeds; band: quartiles. Each arm is shown by its cell with the best last median, chosen on "
    "these curves; faint lines are its other cells. A diverged run counts as chance from there on. Dotted: chance."
)
"""How every learning curve is read."""


def plot_sweep(results: xr.Dataset | str | Path, sweep: str, folder: str | Path) -> list[Path]:
    """Write the learning curves of a sweep as SVG and PNG, one figure for each panel and axis.

    Args:
        results: results.nc or partial.nc (cell, seed, step), open or as a path.
        sweep: name of the sweep.
        folder: where `<sweep>-<data>-curves-<axis>.svg` and `.png` are written; it is made.

    Returns:
        The paths of the files.

    Raises:
        ResultsError: there is no such file or sweep, or the folder cannot be written.
    """
    ds = results if isinstance(results, xr.Dataset) else open_results(results)
    charts = curve_charts(select_sweep(ds, sweep), sweep)
    return write_figures({chart: embedded_svg(chart) for chart in charts}, Path(folder))


def curve_charts(ds: xr.Dataset, sweep: str) -> list[Chart]:
    """Return one chart for every panel and axis; against seconds only where cells are calibrated.

    Args:
        ds: the sweep's results, as `select_sweep` gives them: dimensions (cell, seed, step).
        sweep: its name.
    """
    ds = ds.assign_coords(label=("cell", cell_labels(ds)), arm=("cell", series_of(ds)))
    legend = swatches(ds["arm"].values)
    ds, device = _calibrated(ds)
    ds = ds.isel(cell=_drawn_cells(ds)).load()
    labels = {**AXES, "seconds": f"calibrated seconds on {device}"}
    if not device:
        labels.pop("seconds")
    by_axis = {axis: panels(ds, axis) for axis in labels}
    return [
        _chart(by_axis[axis][index], legend, sweep, axis, labels[axis])
        for index in range(len(by_axis["step"]))
        for axis in labels
        if by_axis[axis][index].curves
    ]


def _drawn_cells(ds: xr.Dataset) -> list[int]:
    """Return the cells that are drawn: all cells of small panels, of larger ones the best of every arm.

    The best cell has the best median of the last metric. A diverged run counts as chance.
    """
    split = "validation" if ds["final_validation_metric"].notnull().any() else "test"
    final = final_with_chance(ds[f"final_{split}_metric"], ds["diverged_at_step"], ds["chance_level"])
    last = final.median("seed").values
    score = np.where(np.isnan(last), -np.inf, np.where(ds["direction"] == "maximise", last, -last))
    names = ["dataset", *(name for name in DATA if name in ds.coords), "arm"]
    keys = list(zip(*(ds[name].values.astype(str) for name in names), strict=True))
    cells: dict[tuple[str, ...], list[int]] = {}
    best: dict[tuple[str, ...], int] = {}
    for index, key in enumerate(keys):
        cells.setdefault(key[:-1], []).append(index)
        if score[index] > score[best.setdefault(key, index)]:
            best[key] = index
    small = [index for members in cells.values() if len(members) <= MOST_CELLS for index in members]
    return sorted({*best.values(), *small})


def _chart(panel: CurvePanel, legend: Sequence[Swatch], sweep: str, axis: str, label: str) -> Chart:
    best = panel.best_curves()
    lines = [thinned(Line(curve.label, curve.x, curve.median, curve.low, curve.high)) for curve in best]
    colours = {swatch.label: swatch.colour for swatch in legend}
    faint = [
        (thinned(Line(curve.label, curve.x, curve.median, curve.low, curve.high)), colours[curve.arm])
        for curve in panel.curves
        if curve not in best
    ]
    names = named_swatches(legend, {curve.arm: curve.label for curve in best})
    ends = "; ".join(f"{line.series}: {line.y[-1]:.3g}" for line in lines)
    return Chart(
        slug(sweep, panel.title, "curves", axis),
        f"Learning curves, {panel.title}: {AXES[axis]}",
        _caption(panel),
        f"{panel.label} on {panel.title} against {label}. At the end: {ends}.",
        lines_chart(lines, names, (label, panel.label), reference=(panel.chance, "chance"), faint=faint),
        names,
    )


def _caption(panel: CurvePanel) -> str:
    runs = sum(curve.num_seeds for curve in panel.curves)
    diverged = sum(curve.num_diverged for curve in panel.curves)
    caption = f"n = {counted_range([curve.num_seeds for curve in panel.curves])} seeds a cell."
    if diverged:
        caption += f" {diverged} of these {runs} runs diverged."
    if panel.num_missing:
        caption += f" {panel.num_missing} of these cells' runs are missing."
    return caption


def _calibrated(ds: xr.Dataset) -> tuple[xr.Dataset, str]:
    """Return the results with calibrated seconds, NaN where a cell has none, and the device; "" without one."""
    best = best_device(ds)
    if best is None or not bool(best[1].notnull().any()):
        return ds, ""
    device, seconds = best
    return ds.assign(seconds=seconds), str(ds["calibration_device"].values[device])
