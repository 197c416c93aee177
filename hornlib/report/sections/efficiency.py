"""How cheap: ratios in FLOPs and in seconds, and the final metric against five costs."""

import numpy as np
import xarray as xr

from hornlib.report.blocks import Block, Chart, Heading, Missing, Paragraph, Section, Swatch
from hornlib.report.charts.pareto import Candidate, pareto_chart
from hornlib.report.evidence import ReportEvidence, SweepEvidence
from hornlib.report.routes import routes_of_seconds
from hornlib.report.sections.by_sweep import by_headline
from hornlib.report.sections.speed import pairs_blocks
from hornlib.report.series import datasets, datasets_of, drawn, series_of, swatches
from hornlib.report.wording import counted_range, number, sentence, slug

__all__ = ["efficiency"]

COSTS = {
    "parameters": "trained parameters of the last evaluation",
    "forward_flops": "FLOPs of a forward pass, last network",
    "training_flops": "FLOPs of the whole training",
    "seconds": "calibrated seconds of the whole training",
    "peak_memory": "bytes of peak memory in training",
}

READING = (
    "A point is a contender, at its mean final test metric over seeds. Line and full colour: the front, whose members "
    "no other contender beats in both."
)

MOST_POINTS = 150
"""Most contenders in a chart: the front, the fastest of each arm, and an even choice of the others."""


def efficiency(evidence: ReportEvidence) -> Section:
    """Return the section on cost."""
    summary = "Ratios of FLOPs and of seconds to the target, and the final metric against five costs."
    return by_headline(evidence, "efficiency", "Efficiency", _blocks, summary)


def _blocks(ds: xr.Dataset, sweep: SweepEvidence) -> list[Block]:
    # The section on speed explains the kinds of ratios.
    blocks = [*pairs_blocks(sweep, "training_flops", is_explained=True), *_routes(sweep)]
    blocks += [
        *pairs_blocks(sweep, "seconds", is_explained=True),
        *_between_steps(sweep),
        *_simulation(sweep),
    ]
    legend = swatches(series_of(ds))
    by_cost = {
        cost: [_pareto(ds, dataset, cost, legend, sweep.name) for dataset in datasets(ds)] for cost in COSTS
    }
    if any(chart is not None for charts in by_cost.values() for chart in charts):
        blocks += [
            Heading("Final metric against costs", slug("costs", sweep.name)),
            Paragraph(READING, "note"),
        ]
    for cost, charts in by_cost.items():
        blocks += [chart for chart in charts if chart is not None] or [_unknown(cost)]
    return blocks


def _routes(sweep: SweepEvidence) -> list[Block]:
    """Return a note on the routes of recurrences in the calibrated seconds; nothing where no device was measured."""
    if sweep.results is None or not sweep.calibration_device:
        return []
    routes = routes_of_seconds(sweep.results, sweep.calibration_device)
    words = f"Seconds are those of {sweep.calibration_device}. Routes of recurrences on it: {routes}."
    return [Paragraph(words, "note")]


def _simulation(sweep: SweepEvidence) -> list[Block]:
    """Return a note on what masks that are simulated by zeros waste; nothing where all computed FLOPs count."""
    ds = sweep.results
    if ds is None or "computed_forward_flops" not in ds:
        return []
    ratios = (ds["computed_forward_flops"] / ds["forward_flops"]).values
    arms = ds["arm"].values.astype(str)
    wasteful = {arm: ratios[(arms == arm) & (ratios > 1)] for arm in dict.fromkeys(arms[ratios > 1])}
    if not wasteful:
        return []
    factors = [
        f"{arm} {' to '.join(dict.fromkeys(number(end) for end in (values.min(), values.max())))}"
        for arm, values in wasteful.items()
    ]
    words = (
        "FLOPs count the connections of masked weights alone, as a kernel that skips zeros would compute them. The "
        "masks of these arms are simulated by zeros, so that their seconds are those of all products. FLOPs of a "
        f"forward pass as it is computed, over those that count: {', '.join(factors)}."
    )
    return [Paragraph(words, "note")]


def _between_steps(sweep: SweepEvidence) -> list[Block]:
    """Return what calibrated seconds leave out; nothing for a sweep whose networks all stay as they are."""
    ds = sweep.results
    if ds is None or "structure" not in ds or (ds["structure"] == "static").all():
        return []
    words = "Seconds leave out what structures do between training steps, such as updates of masks."
    return [Paragraph(words + _interpolated(ds), "note")]


def _interpolated(ds: xr.Dataset) -> str:
    """Return how many steps have no calibrated time of their own; nothing where all have one."""
    if "interpolated_steps" not in ds or not (ds["interpolated_steps"] > 0).any():
        return ""
    steps = ds["step"].where(ds["samples"].notnull()).max("step")
    shares = (ds["interpolated_steps"] / steps).where(ds["interpolated_steps"] > 0)
    return (
        f" In {int(shares.notnull().sum())} runs, {number(100 * float(shares.mean()))} % of the training steps are at "
        "widths between calibrated ones. Their times are interpolated linearly in forward FLOPs."
    )


def _unknown(cost: str) -> Missing:
    command = "hornlib calibrate" if cost in ("seconds", "peak_memory") else "hornlib statistics"
    return Missing(sentence(f"{COSTS[cost]}: no contender has a value and a final metric"), command)


def _pareto(ds: xr.Dataset, dataset: str, cost: str, legend: list[Swatch], sweep: str) -> Chart | None:
    if f"cost_{cost}" not in ds or "final_metric_mean" not in ds:
        return None
    costs, metric = ds[f"cost_{cost}"].values, ds["final_metric_mean"].values
    front = ds[f"pareto_{cost}"].values == 1 if f"pareto_{cost}" in ds else np.zeros(len(costs), bool)
    is_known = (datasets_of(ds) == dataset) & np.isfinite(costs) & (costs > 0) & np.isfinite(metric)
    if not is_known.any():
        return None
    names, labels = series_of(ds), ds["contender"].values.astype(str)
    places = _chosen(ds, dataset, is_known, front)
    candidates = [
        Candidate(labels[i], str(names[i]), float(costs[i]), float(metric[i]), bool(front[i])) for i in places
    ]
    best = [candidate.label for candidate in candidates if candidate.on_front]
    caption = f"n = {counted_range(ds['num_seeds'].values[places])} seeds a contender."
    if len(places) < is_known.sum():
        caption += f" {len(places)} of {is_known.sum()} contenders are drawn, all of the front among them."
    return Chart(
        slug(sweep, dataset, "pareto", cost),
        f"Final metric against {COSTS[cost]}, {dataset}",
        caption,
        f"Final metric against {COSTS[cost]} on {dataset}. On the front: {', '.join(best[:12]) or 'none'}.",
        pareto_chart(candidates, legend, (COSTS[cost], "final test metric")),
        [swatch for swatch in legend if any(swatch.label == candidate.series for candidate in candidates)],
        marked=True,
    )


def _chosen(ds: xr.Dataset, dataset: str, is_known: np.ndarray, front: np.ndarray) -> list[int]:
    """Return the contenders that are drawn, in their order."""
    places = np.flatnonzero(is_known)
    first = {*np.flatnonzero(is_known & front).tolist(), *(i for i in drawn(ds, dataset) if is_known[i])}
    others = [int(i) for i in places if i not in first]
    room = max(0, MOST_POINTS - len(first))
    if len(others) > room:
        others = [others[i] for i in np.linspace(0, len(others) - 1, room).astype(int)] if room else []
    return sorted({*first, *others})
