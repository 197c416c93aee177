"""Which parameters matter: main effects, interactions, and their shares of the variance."""

import numpy as np
import xarray as xr

from hornlib.report.blocks import Block, Chart, Missing, Paragraph, Section, Swatch
from hornlib.report.charts.effects import BLUE, SKY, LevelEffect, Share, effects_chart, shares_chart
from hornlib.report.evidence import ReportEvidence, SweepEvidence
from hornlib.report.sections.by_sweep import by_sweep, no_statistics
from hornlib.report.tables import Row, table
from hornlib.report.wording import bounded, number, slug
from hornlib.statistics.influence import AGREEING_DRAWS

__all__ = ["parameters"]

OUTCOMES = {
    "log_time": "log samples to the target",
    "final_metric": "final test metric",
    "log_training_flops": "log training FLOPs to the target",
}
"""Outcome -> its name on an axis."""

READING = (
    "Main effects: mean over all other parameters, less the grand mean; the interval is over seeds, for each effect by "
    "itself; dashed: no effect. Shares: Sobol shares of the variance between cells. The noise between seeds is "
    "subtracted, so that the narrow bar may be longer; brackets hold the middle 95 % of the bootstrap draws. A "
    f"parameter is named as the one that matters most from {AGREEING_DRAWS:.0%} of the draws on, and only where the "
    "cells differ."
)

LEGEND = [Swatch("alone", BLUE, (), "square"), Swatch("with its interactions", SKY, (), "square")]


def parameters(evidence: ReportEvidence) -> Section:
    """Return the section on parameters."""
    summary = "Which parameters of the subject matter, by main effects and shares of the variance."
    return by_sweep(evidence, "parameters", "Parameters", _blocks, summary)


def _blocks(sweep: SweepEvidence) -> list[Block]:
    ds = sweep.statistics
    if ds is None:
        return [no_statistics(sweep)]
    if "main_effect" not in ds:
        subject = sweep.subject or "the subject"
        return [
            Missing(
                f"The sweep {sweep.name} has no grid over numeric parameters of {subject}, so none can be ranked.",
                where="A list makes a grid, e.g. `timesteps: [8, 16]` in the entry of that arm under `model`; see "
                "config/influence.yaml.",
            )
        ]
    places = [
        (str(dataset), str(outcome)) for dataset in ds["dataset"].values for outcome in ds["outcome"].values
    ]
    blocks: list[Block] = []
    for dataset, outcome in places:
        influence = ds.sel(dataset=dataset, outcome=outcome)
        if influence["main_effect"].notnull().any():
            blocks += _of_outcome(influence, dataset, outcome, sweep)
    if blocks:
        blocks.insert(0, Paragraph(READING + _rate(sweep), "note"))
    blocks += _interactions(ds, places, sweep.name)
    return blocks or [
        Missing(
            f"No grid of the sweep {sweep.name} has enough runs to tell effects from noise.",
            where="More seeds help: `seeds:` in the configuration.",
        )
    ]


def _rate(sweep: SweepEvidence) -> str:
    """Return a sentence on the learning rate at which cells are judged."""
    results = sweep.results
    if results is None or "learning_rate" not in results.coords:
        return ""
    rates = np.unique(results["learning_rate"].values[results["arm"].values == sweep.subject])
    if len(rates) > 1:
        return " Each cell is judged at its own best learning rate."
    return " Cells are judged at the one learning rate given."


def _of_outcome(influence: xr.Dataset, dataset: str, outcome: str, sweep: SweepEvidence) -> list[Block]:
    level = str(influence["main_effect"].dims[0])
    bounds = influence["main_effect_bound"].transpose(level, "bound").values
    effects = [
        LevelEffect(str(label), float(estimate), float(low), float(high))
        for label, estimate, (low, high) in zip(
            influence[level].values, influence["main_effect"].values, bounds, strict=True
        )
        if np.isfinite(estimate)
    ]
    words = OUTCOMES.get(outcome, outcome.replace("_", " "))
    cells, seeds = (number(float(influence[name])) for name in ("factorial_cells", "factorial_seeds"))
    n = f"n = {cells} cells x {seeds} seeds"
    difference = _difference(influence, sweep.settings.alpha)
    largest = max(effects, key=lambda effect: abs(effect.estimate))
    chart = Chart(
        slug(sweep.name, dataset, "effects", outcome),
        f"Main effects on {words}, {dataset}",
        f"{difference}{' Natural logarithm.' if outcome.startswith('log_') else ''}{_misses(influence)} {n}.".strip(),
        f"Main effects on {words} on {dataset}. {difference} The largest estimate: {largest.level}, "
        f"{bounded(largest.estimate, largest.low, largest.high)}.",
        effects_chart(effects, f"effect on {words}"),
    )
    return [chart, *_shares(influence, dataset, outcome, sweep, n)]


def _difference(influence: xr.Dataset, alpha: float) -> str:
    """Return a sentence on whether the cells differ at all; "" from statistics without that test."""
    if "difference_p" not in influence:
        return ""
    raw, corrected = (float(influence[name]) for name in ("difference_p", "difference_p_holm"))
    if np.isnan(corrected):
        return "Whether the cells differ at all could not be tested."
    holm = f", {number(corrected)} after Holm's correction over the datasets" if corrected != raw else ""
    verdict = "The cells differ" if corrected <= alpha else "A difference among the cells is not shown"
    return f"{verdict} (F test of any difference, p = {number(raw)}{holm})."


def _misses(influence: xr.Dataset) -> str:
    """Return how runs that miss the target count; "" for an outcome without a target, or where none was counted."""
    share = float(influence["arrived_share"]) if "arrived_share" in influence else np.nan
    if np.isnan(share):
        return ""
    if share == 1:
        return " Every run reaches the target within the budget that all cells share."
    return (
        f" {share:.0%} of the runs reach the target within the budget that all cells share; the others count with this "
        "budget, which draws effects towards none."
    )


def _leader(influence: xr.Dataset, shares: list[Share]) -> str:
    """Return which parameter matters most, or that no parameter stands out."""
    # Statistics without the test of any difference name no leader.
    leader = str(influence["leading_parameter"].item()) if "leading_parameter" in influence else ""

    def share(parameter: str) -> str:
        total = float(influence["total_share"].sel(axis_name=parameter))
        if "total_share_bound" not in influence:
            return f"{total:.0%}"
        low, high = influence["total_share_bound"].sel(axis_name=parameter).values
        return f"{total:.0%} [{low:.0%}, {high:.0%}]"

    largest = max(shares, key=lambda entry: entry.total).parameter
    draws = f"{float(influence['largest_in_draws'].sel(axis_name=leader or largest)):.0%} of bootstrap draws"
    if leader:
        return f"{leader} matters most, with {share(leader)} of the variance, in {draws}."
    if len(shares) == 1:
        return f"{largest} is the only parameter."
    return f"No parameter stands out: {largest} has the largest share, {share(largest)} of the variance, in {draws}."


def _shares(influence: xr.Dataset, dataset: str, outcome: str, sweep: SweepEvidence, n: str) -> list[Block]:
    if "total_share" not in influence:
        return []
    columns = (influence[name].values for name in ("axis_name", "first_order_share", "total_share"))
    shares = [
        Share(str(name), float(alone), float(total))
        for name, alone, total in zip(*columns, strict=True)
        if np.isfinite(total)
    ]
    if not shares:
        return []
    words = OUTCOMES.get(outcome, outcome.replace("_", " "))
    leader = _leader(influence, shares)
    return [
        Chart(
            slug(sweep.name, dataset, "shares", outcome),
            f"Share of the variance of {words}, {dataset}",
            f"{leader} {n}.",
            f"{leader} " + "; ".join(f"{share.parameter}: {share.total:.0%}" for share in shares) + ".",
            shares_chart(shares),
            LEGEND,
            marked=True,
        )
    ]


def _interactions(ds: xr.Dataset, places: list[tuple[str, str]], sweep: str) -> list[Block]:
    if "interaction_share" not in ds:
        return []
    rows: list[Row] = [
        [dataset, OUTCOMES.get(outcome, outcome), str(pair), float(share)]
        for dataset, outcome in places
        for pair, share in zip(
            ds["axis_pair"].values,
            ds["interaction_share"].sel(dataset=dataset, outcome=outcome).values,
            strict=True,
        )
        if np.isfinite(share)
    ]
    rows.sort(key=lambda row: -float(row[-1]))
    caption = (
        "Shares of two-way interactions in the variance between cells. The order of this table is not tested."
    )
    columns = ["dataset", "outcome", "parameters", "share"]
    return [table(slug(sweep, "interactions"), caption, columns, rows)] if rows else []
