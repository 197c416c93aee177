"""What tuning brought and cost: the expected best of so many trials, and times to target with all trials in them."""

import numpy as np
import xarray as xr

from hornlib.report.blocks import Block, Chart, Paragraph, Section
from hornlib.report.charts.lines import Line, lines_chart, thinned
from hornlib.report.evidence import Evidence, SweepEvidence
from hornlib.report.sections.by_sweep import by_sweep, no_statistics
from hornlib.report.series import datasets, datasets_of, series_of, swatches
from hornlib.report.tables import Row, table
from hornlib.report.wording import AXES, slug

__all__ = ["tuning"]

SCORES = {"time_to_target": "restricted mean samples", "final_metric": "last validation metric"}
"""What trials are selected for -> what they are judged by."""

EDGE_MARK = "† "
"""Stands before parameters whose chosen value is the smallest or largest tried."""

COUNTS = {
    "tuning_trials": "trials",
    "tuned_parameters": "tuned parameters",
    "tuning_finalists": "finalists",
}
"""Variable of results.nc -> its column."""


def tuning(evidence: Evidence) -> Section:
    """Return the section on tuning."""
    return by_sweep(evidence, "tuning", "Tuning", _blocks)


def _blocks(sweep: SweepEvidence) -> list[Block]:
    ds = sweep.statistics
    if ds is None:
        return [no_statistics(sweep)]
    if "expected_best" not in ds or not ds["expected_best"].notnull().any():
        told = f"The sweep {sweep.name} tunes nothing: its cells are compared as they are given."
        return [Paragraph(told)]
    charts = [_chart(ds, dataset, selected, sweep.name) for dataset in datasets(ds) for selected in SCORES]
    return [*(chart for chart in charts if chart is not None), *_choices(sweep), *_costs(ds, sweep.name)]


def _choices(sweep: SweepEvidence) -> list[Block]:
    """Return the table of each arm's tuning: trials per tuned parameter, chosen values, and values at an edge."""
    found = sweep.results
    if found is None or "chosen" not in found:
        return []
    names = ("arm", "dataset", "selected_for", "chosen")
    words = zip(*(found[name].values.astype(str).tolist() for name in names), strict=True)
    numbers = np.stack([_number(found, name) for name in COUNTS], -1)
    per_parameter = numbers[:, 0] / numbers[:, 1]
    edges = [
        EDGE_MARK + edge.replace(" ", ", ") if edge else "" for edge in found["at_edge"].values.astype(str)
    ]
    rows: list[Row] = [
        [*row, edge, *counts[:2], each, counts[2]]
        for row, edge, counts, each in zip(
            words, edges, numbers.tolist(), per_parameter.tolist(), strict=True
        )
        if row[2]
    ]
    caption = (
        f"What was chosen on validation. {EDGE_MARK}The chosen value is the smallest or largest tried: the best value "
        "may lie beyond, and the arm may do better with a wider range. Arms with fewer trials per tuned parameter are "
        "tuned less thoroughly. Finalists are trials that were trained again with fresh seeds before the choice."
    )
    heads = ["arm", "dataset", "selected for", "chosen", "at the edge", *COUNTS.values()]
    heads.insert(-1, "trials per tuned parameter")
    return [table(slug(sweep.name, "chosen"), caption, heads, rows)] if rows else []


def _number(found: xr.Dataset, name: str) -> np.ndarray:
    """Return a variable on `cell`; NaN where the results are older than the variable."""
    return found[name].values if name in found else np.full(found.sizes["cell"], np.nan)


def _chart(ds: xr.Dataset, dataset: str, selected: str, sweep: str) -> Chart | None:
    """Return the expected best of n trials, one line an arm."""
    names, best = series_of(ds), ds["expected_best"].transpose("contender", "num_trials").values
    own = np.flatnonzero((datasets_of(ds) == dataset) & (ds["selected_for"].values == selected))
    trials, nothing = ds["num_trials"].values.astype(float), np.full(ds.sizes["num_trials"], np.nan)
    lines = [thinned(Line(str(names[i]), trials, best[i], nothing, nothing)) for i in own]
    lines = [line for line in lines if len(line.x)]
    if not lines:
        return None
    legend = swatches(names)
    ends = "; ".join(f"{line.series}: {line.y[-1]:.3g}" for line in lines)
    how = str(ds["expected_best"].attrs.get("estimator", "mean over all draws without replacement"))
    return Chart(
        slug(sweep, dataset, "expected-best", selected),
        f"Expected best of so many trials, {dataset}: {SCORES[selected]}",
        f"{how[:1].upper()}{how[1:]}. n = {int(max(line.x[-1] for line in lines))} trials an arm.",
        f"Expected best {SCORES[selected]} on {dataset} against the number of trials. With all: {ends}.",
        lines_chart(lines, legend, ("trials", SCORES[selected]), scale="linear"),
        [swatch for swatch in legend if any(swatch.label == line.series for line in lines)],
    )


def _costs(ds: xr.Dataset, sweep: str) -> list[Block]:
    """Return the table of what all trials cost, and of times to target with that in them."""
    axes = [axis for axis in ("samples", "training_flops", "seconds") if axis in ds["axis"].values]
    cost, whole = (
        ds[name].sel(axis=axes).transpose("contender", "axis").values
        for name in ("tuning_cost", "time_with_tuning")
    )
    rows: list[Row] = [
        [str(label), *(float(value) for pair in zip(cost[row], whole[row], strict=True) for value in pair)]
        for row, label in enumerate(ds["contender"].values)
        if np.isfinite(cost[row]).any()
    ]
    columns = [
        "contender",
        *(f"{words}, {AXES[axis]}" for axis in axes for words in ("all trials", "with tuning")),
    ]
    caption = (
        "What all trials of an arm took together, and the restricted mean time of one training with it. n = "
        f"{ds.sizes['num_trials']} trials at most."
    )
    return [table(slug(sweep, "tuning-cost"), caption, columns, rows)] if rows else []
