"""The answer first: one card a claim with its verdict and its intervals, then every comparison in a table."""

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.report.blocks import Block, Card, Cards, Heading, Interval, Missing, Paragraph, Section
from hornlib.report.comparisons import Comparison, claim_comparisons, intervals_words, strongest
from hornlib.report.evidence import Evidence, SweepEvidence
from hornlib.report.sections.by_sweep import by_sweep, no_results, no_statistics
from hornlib.report.sections.provenance import other_statistics
from hornlib.report.tables import Estimate, Row, p_value, table
from hornlib.report.wording import COSTS, counted_range, slug
from hornlib.statistics.phrases import COSTS as SHORT_COSTS

__all__ = ["answer", "intervals"]

SHOWN = 6
"""Intervals on a card; the table below has all."""

MARGIN = 6
"""Per cent of a card's line that stay free on both sides."""


def answer(evidence: Evidence) -> Section:
    """Return the section that says what was found."""
    section = by_sweep(evidence, "answer", "The answer", _blocks)
    if section.blocks:
        if evidence.statistics_match:
            return section
        return Section(
            section.anchor, section.title, [Paragraph(other_statistics(evidence)), *section.blocks]
        )
    missing = Missing("The configuration names no sweep, so there is nothing to answer.")
    return Section(section.anchor, section.title, [missing])


def _blocks(sweep: SweepEvidence) -> list[Block]:
    if sweep.statistics is None:
        return [no_statistics(sweep) if sweep.results is not None else no_results(sweep)]
    ds, settings = sweep.statistics, sweep.settings
    if "claim" not in ds.dims:
        return [Paragraph(str(ds.attrs.get("answer") or "No answer was written."), "lead")]
    pairs = claim_comparisons(ds, sweep.subject, settings)
    claims = [str(claim) for claim in ds["claim"].values]
    blocks: list[Block] = [Cards([_card(ds, claim, _of(pairs, claim), settings) for claim in claims])]
    if ds.sizes["dataset"] > 1:
        heading = Heading("Verdicts by dataset", slug("verdicts", sweep.name))
        blocks += [heading, _verdicts(ds, sweep.name)]
    return [*blocks, *_comparisons(ds, pairs, sweep)]


def _of(pairs: dict[tuple[str, str], list[Comparison]], claim: str) -> list[Comparison]:
    return [pair for (_, name), own in pairs.items() if name == claim for pair in own]


def _card(ds: xr.Dataset, claim: str, pairs: list[Comparison], settings: StatisticsSettings) -> Card:
    own = ds.sel(claim=claim)
    verdict = str(own["overall_verdict"].item()) or "not measured"
    shown = strongest(pairs, SHOWN)
    sentence = str(own["overall_sentence"].item())
    return Card(
        str(own["question"].item()),
        verdict,
        sentence.removeprefix(f"{verdict.capitalize()}: "),  # the card shows the verdict above it
        intervals(shown, several_axes=len(settings.claims[claim].axes) > 1),
        _note(pairs, len(shown), settings) if shown else "",
    )


def intervals(pairs: list[Comparison], several_axes: bool) -> list[Interval]:
    """Return the drawings of pairs on one logarithmic line with 1 in its middle.

    Args:
        pairs: each with a ratio that may be shown.
        several_axes: whether a label names the axis.
    """
    if not pairs:
        return []
    ends = np.log([[pair.ratio, pair.low, pair.high] for pair in pairs])
    ends = np.where(np.isfinite(ends), ends, ends[:, :1])  # no interval, or one that is open: the ratio alone
    limit = max(float(np.abs(ends).max()), np.log(1.25))
    places = 50 + (50 - MARGIN) * ends / limit
    return [
        Interval(
            label=f"{pair.label}, {COSTS[pair.axis]}" if several_axes else pair.label,
            told=pair.told,
            point=round(float(point), 2),
            low=round(float(low), 2),
            high=round(float(high), 2),
            one=50.0,
        )
        for pair, (point, low, high) in zip(pairs, places, strict=True)
    ]


def _note(pairs: list[Comparison], num_shown: int, settings: StatisticsSettings) -> str:
    axes = " or ".join(dict.fromkeys(COSTS[pair.axis] for pair in pairs))
    some = f" {num_shown} of {len(pairs)} comparisons are drawn." if num_shown < len(pairs) else ""
    return (
        f"Ratios of {axes} to target {settings.target:g}, with {intervals_words(settings)}. Left of the dashed line "
        f"(1) the first needs less. n = {counted_range([pair.num_pairs for pair in pairs])} seeds a pair.{some}"
    )


def _verdicts(ds: xr.Dataset, sweep: str) -> Block:
    """Return the table of verdicts: a row a claim, a column a dataset."""
    columns = ["question", "over all", *(str(dataset) for dataset in ds["dataset"].values)]
    words = ds["verdict"].transpose("claim", "dataset").values
    rows: list[Row] = [
        [str(question), str(overall), *map(str, own)]
        for question, overall, own in zip(
            ds["question"].values, ds["overall_verdict"].values, words, strict=True
        )
    ]
    caption = (
        "A claim holds (yes) if all of its comparisons say yes. It is refuted (no) by the most "
        "certain comparison against it, corrected over all of them."
    )
    return table(slug("verdicts", sweep, "table"), caption, columns, rows)


def _comparisons(
    ds: xr.Dataset, pairs: dict[tuple[str, str], list[Comparison]], sweep: SweepEvidence
) -> list[Block]:
    """Return the table of every comparison that a verdict rests on."""
    rows: list[Row] = [
        [
            claim.replace("_", " "),
            dataset,
            pair.pair,
            SHORT_COSTS[pair.axis],
            pair.word,
            Estimate(pair.ratio, pair.low, pair.high) if pair.has_ratio else float("nan"),
            p_value(pair.p_holm),
            pair.num_pairs,
            pair.arrived,
            pair.rival_arrived,
        ]
        for claim in map(str, ds["claim"].values)
        for dataset in map(str, ds["dataset"].values)
        for pair in pairs.get((dataset, claim), ())
    ]
    if not rows:
        return []
    columns = [
        "claim",
        "dataset",
        "pair",
        "cost",
        "needs less",
        "ratio",
        "p, Holm",
        "n",
        "arrived",
        "rival arrived",
    ]
    caption = (
        f"Paired ratios of costs to target {sweep.settings.target:g} with "
        f"{intervals_words(sweep.settings)}. Below 1 the first needs less. Arrived: runs that reached the target. "
        f"n = {counted_range([pair.num_pairs for own in pairs.values() for pair in own])} seeds a pair."
    )
    heading = Heading("What the verdicts rest on", slug("comparisons", sweep.name))
    return [heading, table(slug("comparisons", sweep.name, "table"), caption, columns, rows)]
