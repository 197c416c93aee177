"""Importance of connections: what proxies say of it, how it is distributed, and what the removal of sets costs."""

import numpy as np
import xarray as xr

from hornlib.report.blocks import Block, Chart, Heading, Paragraph, Section
from hornlib.report.charts.lines import Line, lines_chart
from hornlib.report.estimates import legend_of
from hornlib.report.evidence import ReportEvidence
from hornlib.report.tables import Estimate, Row, table
from hornlib.report.wording import number, slug
from hornlib.results.importance_file import importance_sweeps, sweep_of_importance
from hornlib.statistics.estimators.student import student_interval

__all__ = ["importance"]

SUMMARY = (
    "By how much the loss changes without a single connection, and which proxy orders connections alike."
)

READING = (
    "Importance is the exact change of the loss when one connection is set to 0, with the statistics of batch norm "
    "frozen. A proxy that predicts the change itself is compared with the change, any other one with its absolute "
    "value, by Spearman's rank correlation over all layers together. Held-out examples are those of the test part. "
    "Intervals are over runs, since the connections of one network are not a sample. Curves remove the same share of "
    "every layer; an order that is named after a proxy removes its smallest values first. A cell whose runs all "
    "diverged is left out. A mean over cells counts a seed only where every other cell has the number; no mean is "
    "shown of proxies and orders that a cell lacks, such as orders by the exact change of a sample of connections."
)

WORDS = "mean over cells of each seed, with its 95% interval over seeds by Student's t with n - 2 degrees of freedom"

SPLITS = {"training": "training examples", "held_out": "held-out examples"}


def importance(evidence: ReportEvidence) -> Section:
    """Return the section on the importance of connections, without blocks where it was not measured."""
    section = Section("importance", "Importance of connections", [], SUMMARY)
    if evidence.importance is None:
        return section
    present = importance_sweeps(evidence.importance)
    sweeps = [sweep.name for sweep in evidence.sweeps if sweep.name in present]
    blocks: list[Block] = [Paragraph(READING, "note")]
    for name in sweeps:
        ds = _measured_cells(sweep_of_importance(evidence.importance, name))
        if len(sweeps) > 1:
            blocks.append(Heading(f"Sweep {name}", slug("importance", name)))
        for dataset in dict.fromkeys(ds["dataset"].values.astype(str)):
            here = ds.isel(cell=np.flatnonzero(ds["dataset"] == dataset))
            blocks += [
                _proxies(here, name, dataset),
                _cells(here, name, dataset),
                *_curves(here, name, dataset),
            ]
    return Section(section.anchor, section.title, blocks if sweeps else [], SUMMARY)


def _measured_cells(ds: xr.Dataset) -> xr.Dataset:
    """Return the cells of which a run completed, (cell, seed, ...)."""
    has_number = ds["pooled_mean_importance"].notnull().any(["seed", "split"])
    return ds.isel(cell=np.flatnonzero(has_number))


def _proxies(ds: xr.Dataset, sweep: str, dataset: str) -> Block:
    """Return the table of all proxies, the best one first."""
    rho = ds["pooled_spearman"]
    estimates = {split: student_interval(_mean_of_cells(rho.sel(split=split))) for split in SPLITS}
    by_cell = rho.sel(split="held_out").mean("seed")
    order = np.argsort(-estimates["held_out"]["estimate"].values, kind="stable")
    rows: list[Row] = []
    for place in order:
        shown = [_estimate(estimates[split].isel(proxy=place)) for split in SPLITS]
        ends = [float(end.isel(proxy=place)) for end in (by_cell.min("cell"), by_cell.max("cell"))]
        count = float(estimates["held_out"]["num_seeds"].values[place])
        cells = float(by_cell.count("cell")[place])
        rows.append([str(ds["proxy"].values[place]), *shown, *ends, cells, count])
    columns = ["proxy", *SPLITS.values(), "lowest cell", "highest cell", "cells", "n"]
    caption = (
        f"Rank correlation of proxies with importance, {dataset}: {WORDS}; lowest and highest mean of a cell."
    )
    return table(slug(sweep, dataset, "importance-proxies"), caption, columns, rows)


def _cells(ds: xr.Dataset, sweep: str, dataset: str) -> Block:
    """Return the table of all cells: two correlations, and how importance is distributed."""
    held_out = ds.sel(split="held_out")
    rho = held_out["pooled_spearman"]
    columns = {
        "magnitude": rho.sel(proxy="magnitude"),
        "second order": rho.sel(proxy="second_order"),
        "mean importance": held_out["pooled_mean_importance"],
        "Gini": held_out["pooled_gini"],
        "harmful share": held_out["pooled_harmful_share"],
        "idle share": held_out["pooled_idle_share"],
    }
    estimates = [student_interval(values.drop_vars("proxy", errors="ignore")) for values in columns.values()]
    rows: list[Row] = [
        [
            str(ds["label"].values[place]),
            *(_estimate(estimate.isel(cell=place)) for estimate in estimates),
            float(estimates[0]["num_seeds"].values[place]),
        ]
        for place in range(ds.sizes["cell"])
    ]
    caption = (
        f"Held-out importance of every cell, {dataset}: mean over seeds with its 95% interval; correlations of |w| and "
        "of -g w + h w^2 / 2, mean |change of the loss| of a connection, Gini's coefficient of it, shares of "
        "connections without which the loss is lower, and exactly the same."
    )
    return table(slug(sweep, dataset, "importance-cells"), caption, ["contender", *columns, "n"], rows)


def _curves(ds: xr.Dataset, sweep: str, dataset: str) -> list[Chart]:
    """Return the chart of the held-out loss without growing sets of connections, of orders that all cells have."""
    loss = ds["curve_loss"].sel(split="held_out")
    estimate = student_interval(_mean_of_cells(loss - loss.isel(removed_share=0)))
    orders, shares = ds["removal_order"].values.astype(str), ds["removed_share"].values.astype(float)
    lines = []
    for order in orders:
        curve = estimate.sel(removal_order=order)
        low, high = curve["interval"].transpose("bound", "removed_share").values
        if np.isfinite(curve["estimate"].values).all():
            lines.append(Line(order, shares, curve["estimate"].values.astype(float), low, high))
    if not lines:
        return []
    legend = legend_of(orders, {line.series for line in lines})
    count = int(estimate["num_seeds"].max())
    chart = Chart(
        slug(sweep, dataset, "importance-removal"),
        f"Loss without growing sets of connections, {dataset}",
        f"Rise of the held-out loss, {WORDS}; n = {count} seeds.",
        f"Rise of the loss without half of the connections on {dataset}: "
        + "; ".join(f"{line.series} {number(float(line.y[shares.searchsorted(0.5)]))}" for line in lines)
        + ".",
        lines_chart(lines, legend, ("share of connections removed", "rise of the loss"), scale="linear"),
        legend,
    )
    return [chart]


def _mean_of_cells(values: xr.DataArray) -> xr.DataArray:
    """Return the mean over cells of (cell, seed, ...), NaN where a cell has no number: its seed, proxy or order."""
    return values.mean("cell", skipna=False)


def _estimate(estimate: xr.Dataset) -> Estimate:
    low, high = estimate["interval"].values
    return Estimate(float(estimate["estimate"]), float(low), float(high))
