"""The first page: what was compared, one card a claim with its verdict, and one row of numbers for each arm."""

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.report.blocks import (
    Block,
    Card,
    Cards,
    Fold,
    Heading,
    Interval,
    Missing,
    PageTable,
    Paragraph,
    Section,
)
from hornlib.report.comparisons import Comparison, claim_comparisons, intervals_words, strongest
from hornlib.report.evidence import ReportEvidence, SweepEvidence
from hornlib.report.sections.by_sweep import by_sweep, no_results, no_statistics
from hornlib.report.sections.compared import arm_table, compared
from hornlib.report.sections.provenance import other_statistics
from hornlib.report.tables import Estimate, Row, p_value, table
from hornlib.report.wording import COSTS, counted_range, slug
from hornlib.statistics.phrases import COSTS as SHORT_COSTS

__all__ = ["answer", "intervals"]

SHOWN = 6
"""Intervals on a card; the table has all."""

MARGIN = 6
"""Per cent of a card's line that stay free on both sides."""


def answer(evidence: ReportEvidence) -> Section:
    """Return the section that answers the questions of the sweeps."""
    blocks = by_sweep(evidence, "answer", "The answer", _blocks).blocks
    if not blocks:
        blocks = [Missing("The configuration names no sweep, so there is nothing to answer.")]
    elif not evidence.statistics_match:
        blocks = [Paragraph(other_statistics(evidence)), *blocks]
    return Section("answer", "The answer", blocks, is_open=True)


def _blocks(sweep: SweepEvidence) -> list[Block]:
    if sweep.statistics is None:
        note = no_statistics(sweep) if sweep.results is not None else no_results(sweep)
        return [*compared(sweep), note]
    ds, settings = sweep.statistics, sweep.settings
    facts, summary = compared(sweep), arm_table(sweep)
    if facts:
        facts = [Heading("What was compared", slug("compared", sweep.name)), *facts]
    if "claim" not in ds.dims:
        lead = Paragraph(str(ds.attrs.get("answer") or "No answer was written."), "lead")
        return [lead, *facts, *summary]
    pairs = claim_comparisons(ds, sweep.subject, settings)
    cards = _cards(ds, pairs, settings)
    blocks: list[Block] = [Cards(cards)]
    if any(card.intervals for card in cards):
        blocks.append(Paragraph(_reading(pairs, settings), "note"))
    blocks += [*facts, *summary]
    if ds.sizes["dataset"] > 1:
        blocks += [Heading("Verdicts by dataset", slug("verdicts", sweep.name)), _verdicts(ds, sweep.name)]
    comparisons = _comparisons(ds, pairs, sweep)
    if comparisons is not None:
        title = "All comparisons that the verdicts rest on"
        blocks.append(Fold(title, slug("comparisons", sweep.name), [comparisons]))
    return blocks


def _cards(
    ds: xr.Dataset, pairs: dict[tuple[str, str], list[Comparison]], settings: StatisticsSettings
) -> list[Card]:
    """Return one card for each claim. A sentence or a comparison that an earlier card has is not repeated."""
    sentences: dict[str, str] = {}
    drawn: set[tuple[str, str, str]] = set()
    cards = []
    for claim in map(str, ds["claim"].values):
        claim_pairs = [pair for (_, name), items in pairs.items() if name == claim for pair in items]
        shown = strongest([pair for pair in claim_pairs if pair.key not in drawn], SHOWN)
        drawn.update(pair.key for pair in shown)
        at_claim = ds.sel(claim=claim)
        question = str(at_claim["question"].item())
        verdict = str(at_claim["overall_verdict"].item()) or "not measured"
        sentence = str(at_claim["overall_sentence"].item()).removeprefix(f"{verdict.capitalize()}: ")
        if sentence in sentences:
            sentence = f"The comparison that decides “{sentences[sentence]}” decides this question too."
        else:
            sentences[sentence] = question
        several_axes = len(settings.claims[claim].axes) > 1
        note = _note(claim_pairs, shown)
        cards.append(Card(question, verdict, sentence, intervals(shown, several_axes), note))
    return cards


def _note(pairs: list[Comparison], shown: list[Comparison]) -> str:
    num_ratios = sum(pair.has_ratio for pair in pairs)
    if not shown or len(shown) == num_ratios:
        return ""
    return f"{len(shown)} of {num_ratios} ratios are drawn here."


def _reading(pairs: dict[tuple[str, str], list[Comparison]], settings: StatisticsSettings) -> str:
    """Return how the intervals on the cards are read."""
    all_pairs = [pair for items in pairs.values() for pair in items]
    counts = counted_range([pair.num_pairs for pair in all_pairs])
    return (
        f"On the cards: ratios of the cost to reach {100 * settings.target:g} % of the baseline's gain, with "
        f"{intervals_words(settings)}. Left of the dashed line, at 1, the first of a pair needs less. "
        f"n = {counts} seeds a pair. The table of all comparisons has those that are not drawn."
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
    ends = np.where(np.isfinite(ends), ends, ends[:, :1])  # without a finite interval, the ratio alone
    limit = max(float(np.abs(ends).max()), np.log(1.25))
    places = 50 + (50 - MARGIN) * ends / limit
    return [
        Interval(
            label=f"{pair.label}, {COSTS[pair.axis]}" if several_axes else pair.label,
            words=pair.words,
            point=round(float(point), 2),
            low=round(float(low), 2),
            high=round(float(high), 2),
            one=50.0,
        )
        for pair, (point, low, high) in zip(pairs, places, strict=True)
    ]


def _verdicts(ds: xr.Dataset, sweep: str) -> PageTable:
    """Return the table of verdicts: a row a claim, a column a dataset."""
    columns = ["question", "over all", *(str(dataset) for dataset in ds["dataset"].values)]
    verdicts = ds["verdict"].transpose("claim", "dataset").values
    rows: list[Row] = [
        [str(question), str(overall), *map(str, by_dataset)]
        for question, overall, by_dataset in zip(
            ds["question"].values, ds["overall_verdict"].values, verdicts, strict=True
        )
    ]
    caption = (
        "A claim holds (yes) if all of its comparisons say yes. It is refuted (no) by the most "
        "certain comparison against it, corrected over all of them."
    )
    return table(slug("verdicts", sweep, "table"), caption, columns, rows)


def _comparisons(
    ds: xr.Dataset, pairs: dict[tuple[str, str], list[Comparison]], sweep: SweepEvidence
) -> PageTable | None:
    """Return the table of every comparison that a verdict rests on; None without any."""
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
        return None
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
    counts = counted_range([pair.num_pairs for items in pairs.values() for pair in items])
    caption = (
        f"Ratios as on the cards. Arrived: number of runs that reached the target. n = {counts} seeds a pair."
    )
    return table(slug("comparisons", sweep.name, "table"), caption, columns, rows)
