"""Learning curves of a sweep as charts: each arm's best cell, on steps, samples, FLOPs and seconds."""

from dataclasses import replace

import numpy as np
import xarray as xr

from hornlib.report.blocks import Chart, Swatch
from hornlib.report.charts.lines import Line, lines_chart, thinned
from hornlib.report.curves import DATA, Panel, panels
from hornlib.report.series import series_of, swatches
from hornlib.report.wording import AXES, counted_range, slug
from hornlib.results.calibrated_seconds import best_device

__all__ = ["curve_charts"]


def curve_charts(ds: xr.Dataset, sweep: str) -> list[Chart]:
    """Return one chart for every dataset and axis.

    Args:
        ds: a sweep's results, as `select_sweep` gives them.
        sweep: its name.
    """
    ds = ds.assign_coords(arm=("cell", series_of(ds)))
    legend = swatches(ds["arm"].values)
    ds, device = _calibrated(ds)
    ds = ds.isel(cell=_best(ds)).load()
    seconds = (
        f"calibrated seconds on {device}" if device else "seconds, a lane's share of its job (not calibrated)"
    )
    drawn = {axis: [_known(panel) for panel in panels(ds, axis)] for axis in AXES}
    return [
        _chart(drawn[axis][index], legend, sweep, axis, {**AXES, "seconds": seconds}[axis])
        for index in range(len(drawn["step"]))
        for axis in AXES
        if drawn[axis][index].curves
    ]


def _best(ds: xr.Dataset) -> list[int]:
    """Return of each arm, in each panel, the cell with the best last median; a diverged run counts as chance."""
    split = "validation" if ds["final_validation_metric"].notnull().any() else "test"
    diverged = ds["diverged_at_step"].notnull()
    last = ds[f"final_{split}_metric"].where(~diverged, ds["chance_level"]).median("seed").values
    score = np.where(np.isnan(last), -np.inf, np.where(ds["direction"] == "maximise", last, -last))
    names = ["arm", "dataset", *(name for name in DATA if name in ds.coords)]
    best: dict[tuple[str, ...], int] = {}
    for index, key in enumerate(zip(*(ds[name].values.astype(str) for name in names), strict=True)):
        if score[index] > score[best.setdefault(key, index)]:
            best[key] = index
    return sorted(best.values())


def _known(panel: Panel) -> Panel:
    """Return a panel without curves that have no known point."""
    return replace(panel, curves=[curve for curve in panel.curves if len(curve.median)])


def _chart(panel: Panel, legend: list[Swatch], sweep: str, axis: str, label: str) -> Chart:
    lines = [thinned(Line(curve.arm, curve.x, curve.median, curve.low, curve.high)) for curve in panel.curves]
    runs, diverged = (sum(getattr(c, name) for c in panel.curves) for name in ("num_seeds", "num_diverged"))
    caption = (
        f"Median over seeds, band: quartiles; n = {counted_range([c.num_seeds for c in panel.curves])} seeds a cell. "
        "Of each arm the cell with the best last median, chosen on these curves; dotted: chance."
    )
    if diverged:
        caption += f" {diverged} of these {runs} runs diverged; from there on they count as chance."
    if panel.num_missing:
        caption += f" {panel.num_missing} of these cells' runs are missing."
    ends = "; ".join(f"{line.series}: {line.y[-1]:.3g}" for line in lines if len(line.y))
    return Chart(
        slug(sweep, panel.title, "curves", axis),
        f"Learning curves, {panel.title}: {axis.replace('_', ' ')}",
        caption,
        f"{panel.label} on {panel.title} against {label}. At the end: {ends}.",
        lines_chart(lines, legend, (label, panel.label), reference=(panel.chance, "chance")),
        [swatch for swatch in legend if any(swatch.label == line.series for line in lines)],
    )


def _calibrated(ds: xr.Dataset) -> tuple[xr.Dataset, str]:
    """Take seconds from the calibration where one device has measured every cell; return the device, or ""."""
    best = best_device(ds)
    if best is None:
        return ds, ""
    device, seconds = best
    trained = ds["status"].isin(("complete", "diverged")).any("seed")
    known = seconds.notnull().any([dim for dim in seconds.dims if dim != "cell"])
    if not known.where(trained, True).all():
        return ds, ""
    return ds.assign(seconds=seconds), str(ds["calibration_device"].values[device])
