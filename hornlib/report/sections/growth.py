"""Growth and pruning of units: accuracy over sizes and costs, widths over time, events, gradients of new units."""

import dataclasses

import numpy as np
import xarray as xr

from hornlib.report.blocks import Block, Chart, Paragraph, Section
from hornlib.report.charts.intervals import interval_chart
from hornlib.report.charts.lines import Line, lines_chart, thinned
from hornlib.report.estimates import interval_points, last_values, legend_of, quartiles
from hornlib.report.evidence import ReportEvidence, SweepEvidence
from hornlib.report.sections.by_sweep import by_sweep
from hornlib.report.series import series_of
from hornlib.report.tables import Estimate, Row, table
from hornlib.report.wording import counted_range, number, slug
from hornlib.statistics.contenders import contenders, final_metric
from hornlib.statistics.estimators.student import student_interval

__all__ = ["growth"]

SUMMARY = "Accuracy over sizes and costs of networks whose units come and go, and what became of new units."

READING = (
    "Parameters and forward FLOPs are those of the network at the end. Training FLOPs count every step at its "
    "width, and every look that decides on new or removed units. Seconds are those of training steps alone. The "
    "gradient ratio of an event is the mean gradient norm of its new units over that of the other units of their "
    "layer. A new unit is active if its activation differs between examples at the end. In charts over sizes, points "
    "of equal size stand side by side."
)

SIZES = {
    "num_parameters": ("parameters", "parameters"),
    "forward_flops": ("forward FLOPs", "forward FLOPs of an example"),
    "training_flops": ("training FLOPs", "training FLOPs"),
    "seconds": ("seconds", "calibrated seconds"),
}
"""What the final metric is shown over -> its name in titles, and on the axis."""

MOST_LAYERS = 4
"""Layers up to which each has a chart of its width; of deeper networks the sum is shown."""

EVENT_COLUMNS = [
    *("contender", "layer", "kind", "events", "units", "first step", "last step", "score"),
    *("ratio at once", "active at the end", "drawn", "n"),
]


def growth(evidence: ReportEvidence) -> Section:
    """Return the section on networks whose units come and go, without blocks where no sweep has any."""
    sweeps = [sweep for sweep in evidence.sweeps if _changes_units(sweep)]
    if not sweeps:
        return Section("growth", "Growth", [], SUMMARY)
    return by_sweep(dataclasses.replace(evidence, sweeps=sweeps), "growth", "Growth", _blocks, SUMMARY)


def _changes_units(sweep: SweepEvidence) -> bool:
    ds = sweep.results
    return ds is not None and "event_number" in ds and bool(ds["event_number"].notnull().any())


def _blocks(sweep: SweepEvidence) -> list[Block]:
    assert sweep.results is not None, "a sweep without results has no units that come and go"
    ds = contenders(sweep.results, sweep.settings.baseline)
    blocks: list[Block] = [Paragraph(READING, "note")]
    for dataset in dict.fromkeys(ds["dataset"].values.astype(str)):
        blocks += _of_dataset(ds.isel(contender=np.flatnonzero(ds["dataset"] == dataset)), dataset, sweep)
    return blocks


def _of_dataset(ds: xr.Dataset, dataset: str, sweep: SweepEvidence) -> list[Block]:
    """Return the blocks of the contenders on one dataset."""
    name, alpha = slug(sweep.name, dataset, "growth"), sweep.settings.alpha
    metric = student_interval(final_metric(ds), alpha)
    sizes = {variable: _size(ds, variable) for variable in SIZES}
    words = f"Mean over seeds with its {1 - alpha:.0%} interval by Student's t with n - 2 degrees of freedom"
    blocks: list[Block] = [_table(ds, metric, sizes, f"{name}-table", f"{words}; {dataset}.")]
    blocks += [
        chart
        for variable in SIZES
        if (chart := _over_size(ds, metric, sizes[variable], variable, name, words))
    ]
    blocks += _widths(ds, name, dataset)
    blocks += [chart for chart in (_gradients(ds, name, dataset),) if chart is not None]
    return [*blocks, _events(ds, f"{name}-events", dataset)]


def _size(ds: xr.Dataset, variable: str) -> np.ndarray:
    """Return a size or a cost of each contender, (contender,): the median over runs at the end."""
    values = ds[variable]
    if variable == "seconds":
        values = values.broadcast_like(ds["training_flops"])  # without seeds where no shape changes
    if "step" in values.dims:
        values = last_values(values).median("seed")
    return values.values.astype(float)


def _table(
    ds: xr.Dataset, metric: xr.Dataset, sizes: dict[str, np.ndarray], name: str, caption: str
) -> Block:
    """Return the table of all contenders, the smallest first; ratios are those to the one that ends largest.

    Args:
        ds: contenders on one dataset.
        metric: estimates of the final metric.
        sizes: variable -> (contender,).
        name: of the table.
        caption: what it shows.
    """
    largest, widths = _largest(ds, sizes["num_parameters"]), _last_widths(ds)
    low, high = metric["interval"].transpose("bound", "contender").values
    rows: list[Row] = []
    for place in np.argsort(sizes["num_parameters"], kind="stable"):
        value = float(metric["estimate"].values[place])
        ratios = [float(sizes[cost][place] / sizes[cost][largest]) for cost in ("training_flops", "seconds")]
        rows.append(
            [
                str(ds["contender"].values[place]),
                widths[place],
                float(sizes["num_parameters"][place]),
                float(ds["largest_num_parameters"].values[place]),
                Estimate(value, float(low[place]), float(high[place])),
                float(sizes["forward_flops"][place]),
                *ratios,
                float(metric["num_seeds"].values[place]),
            ]
        )
    columns = [
        *("contender", "widths", "parameters", "largest parameters", "final test metric"),
        *("forward FLOPs", "training FLOPs, ratio", "seconds, ratio", "n"),
    ]
    reference = str(ds["contender"].values[largest])
    return table(name, f"{caption} Ratios are those to {reference}, over the whole training.", columns, rows)


def _largest(ds: xr.Dataset, parameters: np.ndarray) -> int:
    """Return which contender ends with the most parameters; of equals, one whose units never changed.

    Args:
        ds: contenders on one dataset.
        parameters: at the end, (contender,).
    """
    is_fixed = ds["event_number"].isnull().all(("seed", "event")).values
    return max(range(len(parameters)), key=lambda place: (np.nan_to_num(parameters[place]), is_fixed[place]))


def _last_widths(ds: xr.Dataset) -> list[str]:
    """Return the median widths of every contender at the end, written 32-64; '' where no width changes."""
    if "width" not in ds:
        return [""] * ds.sizes["contender"]
    last = last_values(ds["width"]).median("seed").transpose("contender", "layer").values
    return ["-".join(f"{width:g}" for width in widths[np.isfinite(widths)]) for widths in last]


def _over_size(
    ds: xr.Dataset, metric: xr.Dataset, sizes: np.ndarray, variable: str, name: str, words: str
) -> Chart | None:
    """Return the chart of the final metric over a size or a cost; None for fewer than two points.

    Args:
        ds: contenders on one dataset.
        metric: estimates of the final metric.
        sizes: (contender,).
        variable: a key of `SIZES`.
        name: start of the chart's name.
        words: what the points are.
    """
    points = interval_points(ds, metric, sizes)
    if len(points) < 2:
        return None
    title, axis = SIZES[variable]
    legend = legend_of(series_of(ds), {point.series for point in points})
    dataset = str(ds["dataset"].values[0])
    return Chart(
        slug(name, variable),
        f"Final test metric over {title}, {dataset}",
        f"{words}; n = {counted_range(metric['num_seeds'].values)} seeds.",
        f"final test metric over {title} on {dataset}: "
        + "; ".join(f"{p.label} {number(p.y)} at {number(p.x)}" for p in points[:12])
        + ".",
        interval_chart(points, legend, (axis, "final test metric"), ("log", "linear")),
        legend,
        marked=True,
    )


def _widths(ds: xr.Dataset, name: str, dataset: str) -> list[Chart]:
    """Return the charts of the widths over training steps, layer by layer or, of deep networks, of their sum."""
    if "width" not in ds:
        return []
    changing = ds.isel(contender=np.flatnonzero(ds["width"].notnull().any(("seed", "step", "layer"))))
    layers = changing["width"].transpose("contender", "seed", "step", "layer")
    depth = layers.sizes["layer"]
    if depth > MOST_LAYERS:
        curves = {"all layers": layers.sum("layer", min_count=1)}
    else:
        curves = {f"layer {layer + 1}": layers.isel(layer=layer) for layer in range(depth)}
    charts = [_lines(changing, ds, values, words, name, dataset) for words, values in curves.items()]
    return [chart for chart in charts if chart is not None]


def _lines(
    changing: xr.Dataset, ds: xr.Dataset, values: xr.DataArray, words: str, name: str, dataset: str
) -> Chart | None:
    """Return the chart of the number of units over training steps; None where no contender has a line."""
    steps = ds["step"].values.astype(float)
    lines = [
        thinned(Line(str(label), steps, middle, low, high))
        for label, low, middle, high in zip(
            changing["contender"].values, *quartiles(values.reset_coords(drop=True), "step"), strict=True
        )
        if np.isfinite(middle).sum() > 1
    ]
    if not lines:
        return None
    legend = legend_of(ds["contender"].values, {line.series for line in lines})
    return Chart(
        slug(name, "units", words),
        f"Units of {words} over training, {dataset}",
        f"Median over seeds with quartiles; n = {_num_seeds(values)} seeds.",
        f"units of {words} on {dataset}: "
        + "; ".join(f"{line.series} {number(line.y[0])} to {number(line.y[-1])}" for line in lines[:12])
        + ".",
        lines_chart(lines, legend, ("training steps", f"units of {words}"), stepped=True),
        legend,
    )


def _num_seeds(values: xr.DataArray) -> str:
    over = [dim for dim in values.dims if dim not in ("contender", "seed")]
    counts = values.notnull().any(over).sum("seed").values
    return counted_range(counts[counts > 0])


def _gradients(ds: xr.Dataset, name: str, dataset: str) -> Chart | None:
    """Return the chart of the gradient ratio of new units over the steps since their event; None without any."""
    if "event_gradient_ratio" not in ds:
        return None
    ratios = ds["event_gradient_ratio"].transpose("contender", "delay", "seed", "event").values
    delays = ds["delay"].values.astype(float)
    lines = []
    for label, of_delays in zip(ds["contender"].values, ratios, strict=True):
        low, middle, high = np.array(
            [
                np.quantile(part[np.isfinite(part)], (0.25, 0.5, 0.75))
                if np.isfinite(part).any()
                else [np.nan] * 3
                for part in of_delays
            ]
        ).T
        if np.isfinite(middle).any():
            lines.append(thinned(Line(str(label), delays, middle, low, high)))
    if not lines:
        return None
    legend = legend_of(ds["contender"].values, {line.series for line in lines})
    axis = "gradient norm of new units over that of the others"
    return Chart(
        slug(name, "gradient-ratio"),
        f"Gradients of new units, {dataset}",
        f"Median over events and seeds with quartiles; n = {_num_seeds(ds['event_gradient_ratio'])} seeds.",
        f"{axis} on {dataset}: "
        + "; ".join(f"{line.series} {number(line.y[0])} at once" for line in lines[:12])
        + ".",
        lines_chart(
            lines, legend, ("training steps since the event", axis), (1.0, "as the others"), scale="symlog"
        ),
        legend,
    )


def _events(ds: xr.Dataset, name: str, dataset: str) -> Block:
    """Return the table of events by contender, layer and kind."""
    columns = {
        column: ds[f"event_{column}"].transpose("contender", "seed", "event").values
        for column in ("kind", "position", "step", "number", "score", "drawn", "active_share")
        if f"event_{column}" in ds
    }
    unknown = np.full(columns["step"].shape, np.nan)
    ratio = unknown
    if "event_gradient_ratio" in ds:
        ratio = ds["event_gradient_ratio"].isel(delay=0).transpose("contender", "seed", "event").values
    rows: list[Row] = []
    for place, label in enumerate(ds["contender"].values):
        kinds, positions = columns["kind"][place].astype(str), columns["position"][place]
        pairs = sorted(
            {(p, k) for p, k in zip(positions.ravel(), kinds.ravel(), strict=True) if np.isfinite(p)}
        )
        for position, kind in pairs:
            chosen = (positions == position) & (kinds == kind)
            runs, steps = chosen.any(1), columns["step"][place]
            rows.append(
                [
                    str(label),
                    position + 1.0,
                    kind,
                    float(np.median(chosen.sum(1)[runs])),
                    float(np.median(np.where(chosen, columns["number"][place], 0).sum(1)[runs])),
                    float(np.median(np.where(chosen, steps, np.inf).min(1)[runs])),
                    float(np.median(np.where(chosen, steps, -np.inf).max(1)[runs])),
                    _median(columns.get("score", unknown)[place][chosen]),
                    _median(ratio[place][chosen]),
                    _mean(columns.get("active_share", unknown)[place][chosen]),
                    float(np.nansum(columns.get("drawn", unknown)[place][chosen]) / runs.sum()),
                    float(runs.sum()),
                ]
            )
    caption = (
        f"Events, {dataset}: medians over runs of their number, of all units that came or went, and of the first and "
        "last step; medians over events and runs of score and gradient ratio; means of the active share and, of a run, "
        "of units whose direction was drawn. Layer 1 reads the example."
    )
    return table(name, caption, EVENT_COLUMNS, rows)


def _median(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else np.nan


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else np.nan
