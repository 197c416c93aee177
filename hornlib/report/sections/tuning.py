"""Tuning: the chosen values, the expected best of so many trials, and times to target that include all trials."""

import numpy as np
import xarray as xr

from hornlib.report.blocks import Block, Chart, Missing, Section
from hornlib.report.charts.lines import Line, lines_chart, thinned
from hornlib.report.evidence import ReportEvidence, SweepEvidence
from hornlib.report.sections.by_sweep import by_sweep, no_statistics
from hornlib.report.series import datasets, datasets_of, series_of, swatches
from hornlib.report.tables import Row, table
from hornlib.report.wording import AXES, slug

__all__ = ["tuning"]

SCORES = {"time_to_target": "restricted mean samples", "final_metric": "last validation metric"}
"""Objective of the choice -> the score that ranks the trials."""

EDGE_MARK = "† "
"""Mark before parameters whose chosen value is the smallest or largest tried."""

COUNTS = {
    "tuning_trials": "trials",
    "tuned_parameters": "tuned parameters",
    "tuning_finalists": "finalists",
}
"""Variable of results.nc -> its column."""


def tuning(evidence: ReportEvidence) -> Section:
    """Return the section on tuning."""
    return by_sweep(
        evidence, "tuning", "Tuning", _blocks, "Which values were chosen, and what the trials cost."
    )


def _blocks(sweep: SweepEvidence) -> list[Block]:
    ds = sweep.statistics
    if ds is None:
        return [no_statistics(sweep)]
    if "expected_best" not in ds or not ds["expected_best"].notnull().any():
        return [
            Missing(
                f"The sweep {sweep.name} tunes no parameter: its cells are compared as the configuration gives them.",
                where="`{tune: {low: 1e-3, high: 1e-1, scale: log}}` in place of a value asks for tuning; see "
                "config/horn.yaml.",
            )
        ]
    charts = [_chart(ds, dataset, selected, sweep.name) for dataset in datasets(ds) for selected in SCORES]
    return [*(chart for chart in charts if chart is not None), *_choices(sweep), *_costs(ds, sweep.name)]


def _choices(sweep: SweepEvidence) -> list[Block]:
    """Return the table of each arm's tuning: trials per tuned parameter, chosen values, and values at an edge."""
    ds = sweep.results
    if ds is None or "chosen" not in ds:
        return []
    names = ("arm", "dataset", "selected_for", "chosen")
    words = zip(*(ds[name].values.astype(str).tolist() for name in names), strict=True)
    numbers = np.stack([_number(ds, name) for name in COUNTS], -1)
    per_parameter = numbers[:, 0] / numbers[:, 1]
    edges = [EDGE_MARK + edge.replace(" ", ", ") if edge else "" for edge in ds["at_edge"].values.astype(str)]
    rows: list[Row] = [
        [*row, edge, *counts[:2], trials_per_parameter, counts[2]]
        for row, edge, counts, trials_per_parameter in zip(
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


def _number(ds: xr.Dataset, name: str) -> np.ndarray:
    """Return a variable on `cell`; NaN where the results are older than the variable."""
    return ds[name].values if name in ds else np.full(ds.sizes["cell"], np.nan)


def _chart(ds: xr.Dataset, dataset: str, selected: str, sweep: str) -> Chart | None:
    """Return the expected best of n trials, one line an arm."""
    names, best = series_of(ds), ds["expected_best"].transpose("contender", "num_trials").values
    places = np.flatnonzero((datasets_of(ds) == dataset) & (ds["selected_for"].values == selected))
    trials, no_band = ds["num_trials"].values.astype(float), np.full(ds.sizes["num_trials"], np.nan)
    lines = [thinned(Line(str(names[i]), trials, best[i], no_band, no_band)) for i in places]
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
    """Return the table of what all trials cost, and of times to target that include that cost."""
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
