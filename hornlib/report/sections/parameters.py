"""Which parameters matter: main effects, interactions, and their shares of the variance."""

import numpy as np
import xarray as xr

from hornlib.report.blocks import Block, Chart, Missing, Section, Swatch
from hornlib.report.charts.effects import BLUE, SKY, Effect, Share, effects_chart, shares_chart
from hornlib.report.evidence import Evidence, SweepEvidence
from hornlib.report.sections.by_sweep import by_sweep, no_statistics
from hornlib.report.tables import Row, table
from hornlib.report.wording import number, slug

__all__ = ["parameters"]

OUTCOMES = {
    "log_time": "log samples to the target",
    "final_metric": "final test metric",
    "log_training_flops": "log training FLOPs to the target",
}
"""Outcome -> how an axis calls it."""

MISSES = {
    "log_time": " Natural logarithm; a run that misses the target counts with the budget.",
    "log_training_flops": " Natural logarithm; a run that misses the target counts with the budget, the cost of the "
    "cheapest cell's whole training.",
}
"""Outcome -> what must be said of it."""

LEGEND = [Swatch("alone", BLUE, (), "square"), Swatch("with its interactions", SKY, (), "square")]


def parameters(evidence: Evidence) -> Section:
    """Return the section on parameters."""
    return by_sweep(evidence, "parameters", "Parameters", _blocks)


def _blocks(sweep: SweepEvidence) -> list[Block]:
    ds = sweep.statistics
    if ds is None:
        return [no_statistics(sweep)]
    if "main_effect" not in ds:
        subject = sweep.subject or "the subject"
        return [
            Missing(
                f"The sweep {sweep.name} has no grid over numeric parameters of {subject}: none can be ranked."
            )
        ]
    places = [
        (str(dataset), str(outcome)) for dataset in ds["dataset"].values for outcome in ds["outcome"].values
    ]
    blocks: list[Block] = []
    for dataset, outcome in places:
        own = ds.sel(dataset=dataset, outcome=outcome)
        if own["main_effect"].notnull().any():
            blocks += _of_outcome(own, dataset, outcome, sweep)
    blocks += _interactions(ds, places, sweep.name)
    return blocks or [
        Missing(f"No grid of the sweep {sweep.name} has runs enough to tell effects from noise.")
    ]


def _rate(sweep: SweepEvidence) -> str:
    """Return at which learning rate cells are judged."""
    results = sweep.results
    if results is None or "learning_rate" not in results.coords:
        return ""
    rates = np.unique(results["learning_rate"].values[results["arm"].values == sweep.subject])
    return (
        ", each cell at its own best learning rate" if len(rates) > 1 else ", at the one learning rate given"
    )


def _of_outcome(own: xr.Dataset, dataset: str, outcome: str, sweep: SweepEvidence) -> list[Block]:
    level = str(own["main_effect"].dims[0])
    bounds = own["main_effect_bound"].transpose(level, "bound").values
    effects = [
        Effect(str(label), float(estimate), float(low), float(high))
        for label, estimate, (low, high) in zip(
            own[level].values, own["main_effect"].values, bounds, strict=True
        )
        if np.isfinite(estimate)
    ]
    words = OUTCOMES.get(outcome, outcome.replace("_", " "))
    n = f"n = {number(float(own['factorial_cells']))} cells x {number(float(own['factorial_seeds']))} seeds"
    largest = max(effects, key=lambda effect: abs(effect.estimate))
    chart = Chart(
        slug(sweep.name, dataset, "effects", outcome),
        f"Main effects on {words}, {dataset}",
        f"Mean over all other parameters, less the grand mean{_rate(sweep)}; interval over seeds; dashed: no effect."
        f"{MISSES.get(outcome, '')} {n}.",
        f"Main effects on {words} on {dataset}. The largest: {largest.level}, {largest.estimate:.3g}.",
        effects_chart(effects, f"effect on {words}"),
    )
    return [chart, *_shares(own, dataset, outcome, sweep.name, n)]


def _shares(own: xr.Dataset, dataset: str, outcome: str, sweep: str, n: str) -> list[Block]:
    if "total_share" not in own:
        return []
    columns = (
        own[name].values for name in ("axis_name", "first_order_share", "total_share", "largest_in_draws")
    )
    found = [
        (Share(str(name), float(alone), float(total)), float(sure))
        for name, alone, total, sure in zip(*columns, strict=True)
        if np.isfinite(total)
    ]
    if not found:
        return []
    words = OUTCOMES.get(outcome, outcome.replace("_", " "))
    first, sure = max(found, key=lambda each: each[0].total)
    told = f"{first.parameter} matters most, with {first.total:.0%} of the variance, in {sure:.0%} of bootstrap draws."
    return [
        Chart(
            slug(sweep, dataset, "shares", outcome),
            f"Share of the variance of {words}, {dataset}",
            f"{told} Sobol shares of the factorial, noise taken off, so that the narrow bar may be longer; {n}.",
            f"{told} " + "; ".join(f"{share.parameter}: {share.total:.0%}" for share, _ in found) + ".",
            shares_chart([share for share, _ in found]),
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
    caption = "Two-way interactions: their shares of the variance between cells, noise taken off."
    columns = ["dataset", "outcome", "parameters", "share"]
    return [table(slug(sweep, "interactions"), caption, columns, rows)] if rows else []
