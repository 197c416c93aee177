"""Sparsity: accuracy and costs over density, densities by layer, explored connections, active units."""

import dataclasses

import numpy as np
import xarray as xr

from hornlib.report.blocks import Block, Chart, Paragraph, Section
from hornlib.report.charts.intervals import IntervalPoint, interval_chart
from hornlib.report.charts.lines import Line, lines_chart, thinned
from hornlib.report.charts.style import Scale
from hornlib.report.estimates import interval_points, last_values, legend_of, quartiles
from hornlib.report.evidence import ReportEvidence, SweepEvidence
from hornlib.report.sections.by_sweep import by_sweep
from hornlib.report.series import series_of
from hornlib.report.tables import Estimate, Row, table
from hornlib.report.wording import counted_range, number, slug
from hornlib.statistics.contenders import contenders, final_metric
from hornlib.statistics.estimators.student import student_interval

__all__ = ["sparsity"]

SUMMARY = "Accuracy and costs over density, and which connections the networks have."

READING = (
    "Density is the share of the positions of all sparse weights that hold a connection at the end; dense networks "
    "stand at 1. A unit is active if it has an incoming and an outgoing connection. FLOPs count connections alone. "
    "Masked networks multiply their zeros too, so that they take the seconds of dense ones: what their simulation "
    "wastes is the difference between the two ratios. Seconds are those of training steps, without the updates of "
    "connections between them. Points of equal density stand side by side."
)

OVER_TRAINING = {
    "explored": ("Explored connections", "share of positions that ever held a connection"),
    "active_units": ("Active units", "active units of all layers"),
}
"""Variable -> title of its chart, and of its vertical axis."""


def sparsity(evidence: ReportEvidence) -> Section:
    """Return the section on sparse networks, without blocks where no sweep has any."""
    sweeps = [sweep for sweep in evidence.sweeps if _is_sparse(sweep)]
    if not sweeps:
        return Section("sparsity", "Sparsity", [], SUMMARY)
    return by_sweep(dataclasses.replace(evidence, sweeps=sweeps), "sparsity", "Sparsity", _blocks, SUMMARY)


def _is_sparse(sweep: SweepEvidence) -> bool:
    ds = sweep.results
    return ds is not None and "layer_density" in ds and bool(ds["layer_density"].notnull().any())


def _blocks(sweep: SweepEvidence) -> list[Block]:
    assert sweep.results is not None, "a sweep without results is not sparse"
    ds = contenders(sweep.results, sweep.settings.baseline)
    blocks: list[Block] = [Paragraph(READING, "note")]
    for dataset in dict.fromkeys(ds["dataset"].values.astype(str)):
        blocks += _of_dataset(ds.isel(contender=np.flatnonzero(ds["dataset"] == dataset)), dataset, sweep)
    return blocks


def _of_dataset(ds: xr.Dataset, dataset: str, sweep: SweepEvidence) -> list[Block]:
    """Return the blocks of the contenders on one dataset."""
    name = slug(sweep.name, dataset, "sparsity")
    alpha, device = sweep.settings.alpha, str(ds.attrs.get("calibration_device", ""))
    seconds = ds["seconds"].broadcast_like(ds["training_flops"])  # without seeds where no shape changes
    estimates = {
        "final test metric": student_interval(final_metric(ds), alpha),
        "training FLOPs": student_interval(last_values(ds["training_flops"]), alpha),
        "seconds": student_interval(last_values(seconds), alpha),
    }
    words = f"Mean over seeds with its {1 - alpha:.0%} interval by Student's t with n - 2 degrees of freedom"
    blocks: list[Block] = [_table(ds, estimates, f"{name}-table", f"{words}; {dataset}.")]
    units = {"training FLOPs": "training FLOPs by masks", "seconds": f"calibrated seconds on {device}"}
    for variable, estimate in estimates.items():
        points = interval_points(ds, estimate, _density(ds))
        if len(points) > 1:
            title = units.get(variable, variable)
            scales: tuple[Scale, Scale] = ("log", "log" if variable == "training FLOPs" else "linear")
            legend = legend_of(series_of(ds), {point.series for point in points})
            blocks.append(
                Chart(
                    slug(name, variable),
                    f"{variable[0].upper()}{variable[1:]} over density, {dataset}",
                    f"{words}; n = {_counts(estimate)} seeds.",
                    f"{title} over density on {dataset}: "
                    + "; ".join(f"{p.label} {number(p.y)} at {number(p.x)}" for p in points[:12])
                    + ".",
                    interval_chart(points, legend, ("density", title), scales, variable == "seconds"),
                    legend,
                    marked=True,
                )
            )
    blocks += [chart for chart in (_by_layer(ds, name, dataset),) if chart is not None]
    return blocks + [chart for kind in OVER_TRAINING if (chart := _over_training(ds, kind, name, dataset))]


def _density(ds: xr.Dataset) -> np.ndarray:
    """Return the density of each contender's last network, (contender,).

    It is the one that was configured. Where the structure has another field for it, it is the share of the parameters
    that remain.
    """
    remaining = (ds["num_parameters"] / ds["largest_num_parameters"]).values
    density = np.where(_is_masked(ds), remaining, 1.0)
    if "density" in ds.coords:
        configured = ds["density"].values.astype(float)
        density = np.where(np.isfinite(configured), configured, density)
    return density


def _is_masked(ds: xr.Dataset) -> np.ndarray:
    """Return whether a contender has sparse weights, (contender,)."""
    return ds["layer_density"].notnull().any(("seed", "step", "layer")).values


def _counts(estimate: xr.Dataset) -> str:
    return counted_range(estimate["num_seeds"].values)


def _table(ds: xr.Dataset, estimates: dict[str, xr.Dataset], name: str, caption: str) -> Block:
    """Return the table of all contenders, the densest first; ratios are those to the largest dense network."""
    masked, density = _is_masked(ds), _density(ds)
    sizes = np.where(masked, -1.0, ds["num_parameters"].values.astype(float))
    dense = int(np.nanargmax(sizes)) if (sizes > 0).any() else None
    units = (
        last_values(ds["active_units"].sum("layer", min_count=1)).median("seed").values
        if "active_units" in ds
        else None
    )
    explored = last_values(ds["explored"]).median("seed").values if "explored" in ds else None
    rows: list[Row] = []
    for place in np.argsort(-density, kind="stable"):
        ratios = [
            float(values[place] / values[dense]) if dense is not None else np.nan
            for values in (estimates[cost]["estimate"].values for cost in ("training FLOPs", "seconds"))
        ]
        metric = estimates["final test metric"]
        low, high = metric["interval"].transpose("contender", "bound").values[place]
        rows.append(
            [
                str(ds["contender"].values[place]),
                float(density[place]),
                float(ds["num_parameters"].values[place]),
                Estimate(float(metric["estimate"].values[place]), float(low), float(high)),
                *ratios,
                float(units[place]) if units is not None else np.nan,
                float(explored[place]) if explored is not None else np.nan,
                float(metric["num_seeds"].values[place]),
            ]
        )
    reference = "no dense network" if dense is None else str(ds["contender"].values[dense])
    columns = [
        "contender",
        "density",
        "parameters",
        "final test metric",
        "FLOPs, ratio",
        "seconds, ratio",
        "active units",
        "explored",
        "n",
    ]
    return table(name, f"{caption} Ratios are those to {reference}, over the whole training.", columns, rows)


def _by_layer(ds: xr.Dataset, name: str, dataset: str) -> Chart | None:
    """Return the chart of the last density of every layer; None where only one layer is sparse."""
    sparse = ds.isel(contender=np.flatnonzero(_is_masked(ds)))
    last = last_values(sparse["layer_density"])
    low, middle, high = quartiles(last, "layer")
    points = [
        IntervalPoint(str(label), str(label), j + 1.0, *(float(part[i, j]) for part in (middle, low, high)))
        for i, label in enumerate(sparse["contender"].values)
        for j in range(last.sizes["layer"])
        if middle[i, j] > 0  # NaN beyond the network's depth
    ]
    if len({point.x for point in points}) < 2:
        return None
    shown = legend_of(ds["contender"].values, {point.series for point in points})
    counts = counted_range(last.notnull().any("layer").sum("seed").values)
    return Chart(
        slug(name, "layers"),
        f"Density by layer, {dataset}",
        f"Median over seeds at the end, with quartiles; n = {counts} seeds. Layer 1 reads the example, the last one is "
        "the read-out.",
        f"Density of each layer on {dataset}: "
        + "; ".join(f"{p.series} layer {p.x:g} {number(p.y)}" for p in points[:16])
        + ".",
        interval_chart(points, shown, ("layer", "density"), ("linear", "log")),
        shown,
        marked=True,
    )


def _over_training(ds: xr.Dataset, variable: str, name: str, dataset: str) -> Chart | None:
    """Return the chart of a variable over training steps; None where it was not recorded."""
    if variable not in ds:
        return None
    sparse = ds.isel(contender=np.flatnonzero(_is_masked(ds)))
    curves = sparse[variable]
    if "layer" in curves.dims:
        curves = curves.sum("layer", min_count=1)
    labels, ends = sparse["contender"].values, quartiles(curves, "step")
    title, axis = OVER_TRAINING[variable]
    steps = ds["step"].values.astype(float)
    lines = [
        thinned(Line(str(label), steps, middle, low, high))
        for label, low, middle, high in zip(labels, *ends, strict=True)
        if np.isfinite(middle).sum() > 1
    ]
    if not lines:
        return None
    shown = legend_of(ds["contender"].values, {line.series for line in lines})
    counts = counted_range(curves.notnull().any("step").sum("seed").values)
    return Chart(
        slug(name, variable),
        f"{title} over training, {dataset}",
        f"Median over seeds with quartiles; n = {counts} seeds.",
        f"{axis} on {dataset}: "
        + "; ".join(f"{line.series} ends at {number(float(line.y[-1]))}" for line in lines[:12])
        + ".",
        lines_chart(lines, shown, ("training steps", axis), share=variable == "explored"),
        shown,
    )
