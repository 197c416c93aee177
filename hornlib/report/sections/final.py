"""How good in the end, and early on: final test metrics against rivals, early metrics, and arms over all datasets."""

from collections.abc import Callable, Hashable

import numpy as np
import xarray as xr

from hornlib.report.blocks import Block, Missing, Section
from hornlib.report.comparisons import subjects
from hornlib.report.evidence import ReportEvidence, SweepEvidence
from hornlib.report.sections.by_sweep import by_headline
from hornlib.report.tables import Number, Row, table
from hornlib.report.wording import bounded, counted_range, sentence, slug

__all__ = ["final"]


def final(evidence: ReportEvidence) -> Section:
    """Return the section on metrics at the end of training, and early in training."""
    summary = "Test metrics at the end of training against rivals, and validation metrics early on."
    return by_headline(evidence, "final", "Final and early metrics", _blocks, summary)


def _blocks(ds: xr.Dataset, sweep: SweepEvidence) -> list[Block]:
    blocks = [*_differences(ds, sweep), *_early(ds, sweep), *_arms(ds, sweep)]
    return blocks or [Missing(f"No run of the sweep {sweep.name} has a metric to compare.")]


def _differences(ds: xr.Dataset, sweep: SweepEvidence) -> list[Block]:
    """Return the table of the subject's final metric less each rival's."""
    if "final_difference" not in ds:
        return []
    arms = subjects(ds, sweep.subject, sweep.settings)
    ds = ds.isel(contender=np.flatnonzero(np.isin(ds["arm"].values.astype(str), arms)))
    pairs = ("contender", "rival")
    difference, better = (
        _bounded(ds, name, pairs) for name in ("final_difference", "probability_of_improvement")
    )
    labels, rivals = ds["contender"].values, ds["rival_contender"].transpose(*pairs).values
    words, counts = (ds[name].transpose(*pairs).values for name in ("non_inferior", "num_pairs"))
    rows: list[Row] = [
        [
            str(labels[place[0]]),
            str(rivals[place]),
            difference(place),
            better(place),
            str(words[place]),
            float(counts[place]),
        ]
        for place in np.ndindex(rivals.shape)
        if np.isfinite(difference(place))
    ]
    if not rows:
        return []
    rows.sort(key=lambda row: row[2])
    margin = sweep.settings.margin
    caption = (
        f"Final test metric of {', '.join(arms)} less the rival's, with its interval "
        f"({ds['final_difference_bound'].attrs.get('interval', 'two-sided')}); the probability that a run is "
        f"better than one of the rival's; and whether it is at most {margin:g} worse. Each "
        "comparison is taken alone: intervals and answers are not corrected for their number. n = "
        f"{counted_range([float(row[-1]) for row in rows])} seeds a pair."
    )
    columns = ["contender", "rival", "difference", "P(better)", f"at most {margin:g} worse", "n"]
    return [table(slug(sweep.name, "final-differences"), caption, columns, rows)]


def _early(ds: xr.Dataset, sweep: SweepEvidence) -> list[Block]:
    """Return the table of every contender's metric early in training."""
    if "early_metric_mean" not in ds:
        return []
    value = _bounded(ds, "early_metric", ("contender", "early_step"), "early_metric_mean")
    steps = ds["early_step"].values
    is_measured = ds["early_metric_mean"].notnull().any("early_step").values
    rows: list[Row] = [
        [str(label), *(value((row, column)) for column in range(len(steps)))]
        for row, label in enumerate(ds["contender"].values)
        if is_measured[row]
    ]
    if not rows:
        return []
    how = sentence(str(ds["early_metric_mean"].attrs.get("estimator", "mean over seeds")))
    caption = (
        f"Validation metric at the last evaluation at or before a step. {how} n = "
        f"{counted_range(ds['num_seeds'].values)} seeds a contender."
    )
    columns = ["contender", *(f"step {step:g}" for step in steps)]
    return [table(slug(sweep.name, "early"), caption, columns, rows)]


def _arms(ds: xr.Dataset, sweep: SweepEvidence) -> list[Block]:
    """Return the table of arms over all datasets; AlgoPerf's score only where there is one, else the reason."""
    if "interquartile_mean" not in ds:
        return []
    dims = ds["interquartile_mean"].dims
    middle = _bounded(ds, "interquartile_mean", (str(dims[0]), str(dims[1])))
    scores = ds["algoperf_score"].transpose(*dims).values
    arms, selections = (ds[dim].values for dim in dims)
    has_scores = bool(np.isfinite(scores).any())
    rows: list[Row] = [
        [
            f"{arms[place[0]]} {selections[place[1]]}".strip(),
            middle(place),
            *([float(scores[place])] if has_scores else []),
        ]
        for place in np.ndindex(scores.shape)
        if np.isfinite(middle(place)) or np.isfinite(scores[place])
    ]
    if not rows:
        return []
    rows.sort(key=lambda row: -float(row[1]))
    num_datasets = ds.sizes["dataset"]
    over = "on the one dataset" if num_datasets == 1 else f"over all datasets ({num_datasets})"
    caption = (
        f"Arms {over}. Interquartile mean: "
        f"{ds['interquartile_mean'].attrs.get('estimator', 'of normalised final metrics')}. "
    )
    if has_scores:
        how = ds["algoperf_score"].attrs.get("estimator", "of the performance profile")
        caption += f"AlgoPerf's score, among arms of the same presentation: {how}. "
    caption += _without_score(ds, dims) + f"n = {counted_range(ds['num_seeds'].values)} seeds a contender."
    columns = ["arm", "interquartile mean", *(["AlgoPerf's score"] if has_scores else [])]
    return [table(slug(sweep.name, "arms"), caption, columns, rows)]


def _without_score(ds: xr.Dataset, dims: tuple[Hashable, ...]) -> str:
    """Return which arms have no score of AlgoPerf, and why, as the end of a caption."""
    if "algoperf_reason" not in ds:
        return ""
    reasons = ds["algoperf_reason"].transpose(*dims)
    arms: dict[str, dict[str, None]] = {}
    for arm, row in zip(reasons[dims[0]].values, reasons.values, strict=True):
        for reason in filter(None, row):
            arms.setdefault(str(reason), {})[str(arm)] = None
    words = [f"{', '.join(labels)}: {reason}" for reason, labels in arms.items()]
    return f"No AlgoPerf score for {'; '.join(words)}. " if words else ""


def _bounded(
    ds: xr.Dataset, name: str, dims: tuple[str, str], estimate: str = ""
) -> Callable[[tuple[int, ...]], Number]:
    """Return a function that gives an estimate with its interval at a position."""
    values = ds[estimate or name].transpose(*dims).values
    bounds = ds[f"{name}_bound"].transpose(*dims, "bound").values

    def at(place: tuple[int, ...]) -> Number:
        value, low, high = (float(end) for end in (values[place], *bounds[place]))
        return Number(value, bounded(value, low, high))

    return at
