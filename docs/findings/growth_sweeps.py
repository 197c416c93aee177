"""What the findings on growth share: sweeps that exist, the level of 90 % of a gain, costs to it, tables of arms."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from sparse_pairs import (
    AXES,
    LEAST,
    Estimate,
    accuracies,
    known_sweeps,
    labels_of,
    mean,
    median,
    of_label,
    pair_of,
    paired_ratio,
    total,
)

from hornlib import time_to_target
from hornlib.statistics.contenders import contenders

__all__ = [
    "all_arms",
    "all_pairs",
    "gain_level",
    "gain_ratio",
    "gain_words",
    "restricted_costs",
    "rounded",
    "sweeps_of",
    "verdict_of",
    "widths_of",
]

GAIN = 0.9
"""Share of the large network's gain over chance that is the target."""


def sweeps_of(paths: Sequence[Path], titles: Mapping[str, str]) -> dict[str, xr.Dataset]:
    """Return the sweeps of all results that exist, as contenders; say which files and sweeps are missing.

    Args:
        paths: of results.nc.
        titles: the sweeps that belong to the page, in its order.
    """
    sweeps = {
        name: contenders(ds) for name, ds in known_sweeps(paths, titles) if (ds["status"] == "complete").any()
    }
    missing = [name for name in titles if name not in sweeps]
    if missing:
        print(f"without results: {', '.join(missing)}")
    return {name: sweeps[name] for name in titles if name in sweeps}


def gain_level(ds: xr.Dataset, baseline: str = "large") -> float:
    """Return the validation metric at 90 % of what the baseline gains over chance, in medians; NaN without it.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
        baseline: arm of one cell.
    """
    labels = labels_of(ds, baseline)
    if not labels:
        return np.nan
    run = of_label(ds, labels[0])
    chance, values = float(run["chance_level"]), run["validation_metric"].transpose("seed", "step").values
    last = values[:, np.flatnonzero(np.isfinite(values).any(0))[-1]]
    return chance + GAIN * (median(np.where(run["status"].values == "complete", last, np.nan)) - chance)


def restricted_costs(ds: xr.Dataset, label: str, level: float, axis: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the costs of each run until its validation metric reaches a level, and which runs reach it, (seeds,).

    A run that does not reach it has its whole cost; NaN for a run that is missing.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
        label: of the contender.
        level: of the validation metric.
        axis: one of `sparse_pairs.AXES`.
    """
    contender = ds.isel(contender=np.flatnonzero(ds["contender"].values == label))
    contender = contender.assign(seconds=contender["seconds"].broadcast_like(contender["training_flops"]))
    reached = time_to_target(contender, level, axis)
    return reached["time"].values[0], reached["event"].values[0]


def gain_ratio(ds: xr.Dataset, first: str, second: str, axis: str, baseline: str = "large") -> Estimate:
    """Return the paired ratio of the costs of two arms to 90 % of the baseline's gain.

    A run that does not reach it counts with the smaller one of the two budgets, as in the statistics of a sweep.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
        first, second: arms of one cell each.
        axis: one of `sparse_pairs.AXES`.
        baseline: arm whose gain sets the level.
    """
    pair = [labels_of(ds, arm) for arm in (first, second)]
    level = gain_level(ds, baseline)
    if not (pair[0] and pair[1]) or np.isnan(level):
        return Estimate(np.nan, np.nan, np.nan, 0)
    costs = [restricted_costs(ds, labels[0], level, axis) for labels in pair]
    budget = np.min([median(total(ds, labels[0], axis)) for labels in pair])
    restricted = [np.where(reached, np.minimum(time, budget), budget + 0 * time) for time, reached in costs]
    return paired_ratio(*restricted)


def gain_words(ds: xr.Dataset, first: str, second: str, axis: str, baseline: str = "large") -> str:
    """Return the ratio of `gain_ratio` in words that say how many runs reach the level.

    Args:
        ds, first, second, axis, baseline: as for `gain_ratio`.
    """
    ratio = gain_ratio(ds, first, second, axis, baseline)
    if not np.isfinite(ratio.value):
        return "-"
    level = gain_level(ds, baseline)
    counts, totals = [], []
    for arm in (first, second):
        time, reached = restricted_costs(ds, labels_of(ds, arm)[0], level, axis)
        counts.append(int(reached[np.isfinite(time)].sum()))
        totals.append(int(np.isfinite(time).sum()))
    if not any(counts):
        return "neither reaches it"
    if counts == totals:
        return ratio.words()
    return f"{ratio.words()}; {counts[0]} of {totals[0]} and {counts[1]} of {totals[1]} reach it"


def widths_of(ds: xr.Dataset, label: str) -> str:
    """Return the median widths at the end, written 32-64; '-' where none is recorded.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
        label: of the contender.
    """
    if "width" not in ds:
        return "-"
    widths = of_label(ds, label)["width"].transpose("seed", "step", "layer").values
    has_widths = np.isfinite(widths).any((0, 2))
    if not has_widths.any():
        return "-"
    last = widths[:, np.flatnonzero(has_widths)[-1]]
    return "-".join(f"{median(of_layer):g}" for of_layer in last.T if np.isfinite(of_layer).any())


def all_arms(ds: xr.Dataset, published: Mapping[str, float], baseline: str = "large") -> Iterator[str]:
    """Yield the table of every cell of a sweep with a metric that rises.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
        published: arm -> test accuracy, %.
        baseline: arm whose gain sets the level.
    """
    level = gain_level(ds, baseline)
    device = str(ds.attrs.get("calibration_device", ""))
    timing = (
        f"Calibrated seconds are those of the steps of a lone run on {device}, without the looks of events; between "
        "widths that were timed they are interpolated in forward FLOPs."
        if device
        else "No step was timed."
    )
    yield from (
        f"Examples to: until {100 * level:.2f} % on the {ds['judged_on'].values[0]} part, which is 90 % of the gain of "
        f"{baseline}. Training FLOPs count looks. {timing}",
        "",
        "| arm | widths at the end | parameters | n | last test accuracy, %, mean [95 %] | median | published, % | "
        "training GFLOP | seconds, calibrated | examples to |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    )
    for arm in dict.fromkeys(ds["arm"].values.astype(str)):
        for label in labels_of(ds, arm):
            values = accuracies(ds, label)
            flops, seconds = (median(total(ds, label, name)) for name in ("training_flops", "seconds"))
            examples = np.nan
            if np.isfinite(level):
                times, reached = restricted_costs(ds, label, level, "samples")
                examples = float(np.nanmedian(np.where(reached, times, np.inf)))
            parameters = float(of_label(ds, label)["num_parameters"])
            published_value = f"{published[arm]:.1f}" if arm in published else "-"
            estimate = mean(values)
            yield (
                f"| {label} | {widths_of(ds, label)} | {parameters:,.0f} | {estimate.number} | {estimate.words()} | "
                f"{median(values):.2f} | {published_value} | {rounded(flops / 1e9)} | {rounded(seconds)} | "
                f"{rounded(examples)} |"
            )
    yield ""


def all_pairs(ds: xr.Dataset, pairs: Sequence[tuple[str, str]], baseline: str = "large") -> Iterator[str]:
    """Yield the table of comparisons, over seeds that both arms have.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
        pairs: arms of one cell each.
        baseline: arm whose gain sets the level of costs.
    """
    rows = [(first, second) for first, second in pairs if labels_of(ds, first) and labels_of(ds, second)]
    if not rows:
        return
    yield from (
        f"Pairs over seeds. Ratios are geometric means of costs: to 90 % of the gain of {baseline}, confirmed by the "
        "next evaluation, and to the first evaluation with the validation accuracy that all runs of both arms reach, "
        "half a point below the best of the weakest run. A run that does not reach 90 % counts with the smaller budget "
        "of the two, so that the ratio of an arm with such runs is a bound. Brackets: 95 %, each alone.",
        "",
        "| first | second | n | difference, points | what it shows | examples to 90 %, ratio | FLOPs to 90 %, ratio | "
        "seconds to 90 %, ratio | all reach, % | examples to it, ratio | FLOPs to it, ratio |",
        "|---|---|---:|---:|---|---:|---:|---:|---:|---:|---:|",
    )
    for first, second in rows:
        pair = pair_of(ds, labels_of(ds, first)[0], labels_of(ds, second)[0])
        ratios = " | ".join(gain_words(ds, first, second, axis, baseline) for axis in AXES)
        yield (
            f"| {first} | {second} | {pair.difference.number} | {pair.difference.words()} | {pair.verdict()} | "
            f"{ratios} | {100 * pair.level:.2f} | {pair.ratios['samples'].words()} | "
            f"{pair.ratios['training_flops'].words()} |"
        )
    yield ""


def verdict_of(ratio: Estimate) -> str:
    """Return what a ratio of costs shows, in brackets behind it."""
    if not np.isfinite(ratio.value):
        return "not measured"
    words = f"n = {ratio.number}, 95 % interval {ratio.low:.2f} to {ratio.high:.2f}"
    if ratio.number < LEAST:
        return f"{words}; no verdict below {LEAST} seeds"
    return f"{words}; a difference is not shown" if ratio.low <= 1 <= ratio.high else words


def rounded(value: float) -> str:
    """Return a positive number with three digits; '-' for NaN."""
    if np.isinf(value):
        return "not reached"
    return f"{value:,.3g}" if 0 < value < 1000 else f"{value:,.0f}" if value >= 1000 else "-"
