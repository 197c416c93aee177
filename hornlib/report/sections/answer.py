"""The answer first: a paragraph, and one card a claim with its verdict and the intervals that it rests on."""

import re

import numpy as np
import xarray as xr

from hornlib.report.blocks import Block, Card, Cards, Heading, Interval, Missing, Paragraph, Section
from hornlib.report.comparisons import AXES_OF, QUESTIONS, Comparison, about, comparisons, headline, strongest
from hornlib.report.evidence import Evidence, SweepEvidence
from hornlib.report.sections.by_sweep import by_sweep, no_results, no_statistics
from hornlib.report.tables import Row, table
from hornlib.report.wording import AXES, counted_range, slug
from hornlib.statistics.verdicts import judged_selection

__all__ = ["answer"]

SHOWN = 6
"""Intervals on a card; the forest plot below has the others."""

LEAD = 400
"""Letters of an answer that comes first; of a longer one its questions do, each with the sentence after it."""

SENTENCE = 220
"""Letters of a verdict's sentence that a card has room for; a longer one stands in the answer in full."""

QUESTION = re.compile(r"(?<=\.) (?=[^.?:;]+\?)")

MARGIN = 6
"""Per cent of a card's line that stay free on both sides."""


def answer(evidence: Evidence) -> Section:
    """Return the section that says what was found."""
    section = by_sweep(evidence, "answer", "The answer", _blocks)
    if section.blocks:
        return section
    missing = Missing("The configuration names no sweep, so there is nothing to answer.")
    return Section(section.anchor, section.title, [missing])


def _blocks(sweep: SweepEvidence) -> list[Block]:
    if sweep.statistics is None:
        return [no_statistics(sweep) if sweep.results is not None else no_results(sweep)]
    ds = sweep.statistics
    told = str(ds.attrs.get("answer") or "No answer was written.")
    parts = [told] if len(told) <= LEAD else QUESTION.split(told)
    lead = " ".join(map(_shortened, parts)) if len(parts) > 1 else told
    blocks: list[Block] = [Paragraph(lead, "lead")]
    if "claim" not in ds.dims:
        return [*blocks, Missing("The statistics hold no verdicts.", "hornlib statistics")]
    claims = [claim for claim in QUESTIONS if claim in ds["claim"].values]
    blocks.append(Cards([_card(sweep, claim) for claim in claims]))
    if lead != told:
        blocks += [Heading("The answer in full", slug("in-full", sweep.name)), *map(Paragraph, parts)]
    if "verdict" in ds and ds.sizes["dataset"] > 1:
        blocks += [Heading("By dataset", slug("verdicts", sweep.name)), _by_dataset(ds, sweep.name)]
    return blocks


def _shortened(part: str) -> str:
    """Return a question with the sentence that follows it; all of a part that asks nothing."""
    found = re.match(r"[^?]*\? .*?\.(?= |$)", part)
    return found[0] if found else part


def _card(sweep: SweepEvidence, claim: str) -> Card:
    ds, settings = sweep.statistics, sweep.settings
    assert ds is not None
    at_target = headline(ds, settings)
    judged = judged_selection(ds["selected_for"].values.astype(str)) if "selected_for" in ds else ""
    if "selected_for" in ds:  # a verdict is about these cells alone
        at_target = at_target.isel(contender=np.flatnonzero(at_target["selected_for"].values == judged))
    found = [
        pair
        for axis in AXES_OF[claim]
        for pair in about(claim, comparisons(at_target, axis), sweep.subject, settings)
    ]
    shown = strongest(found, SHOWN)
    words = str(ds["overall_sentence"].sel(claim=claim).item())
    return Card(
        QUESTIONS[claim],
        str(ds["overall_verdict"].sel(claim=claim).item()) or "not measured",
        words if len(words) <= SENTENCE else "",
        intervals(shown, several_axes=len(AXES_OF[claim]) > 1),
        _note(found, len(shown), settings.target) if found else "",
    )


def intervals(pairs: list[Comparison], several_axes: bool) -> list[Interval]:
    """Return the drawings of pairs on one logarithmic line with 1 in its middle."""
    if not pairs:
        return []
    ends = np.log([[pair.ratio, pair.low, pair.high] for pair in pairs])
    ends = np.where(np.isfinite(ends), ends, ends[:, :1])  # no interval, or one that is open: the ratio alone
    limit = max(float(np.abs(ends).max()), np.log(1.25))
    places = 50 + (50 - MARGIN) * ends / limit
    return [
        Interval(
            label=f"{pair.label}, {AXES[pair.axis]}" if several_axes else pair.label,
            told=pair.told,
            point=round(float(point), 2),
            low=round(float(low), 2),
            high=round(float(high), 2),
            one=50.0,
        )
        for pair, (point, low, high) in zip(pairs, places, strict=True)
    ]


def _note(found: list[Comparison], num_shown: int, target: float) -> str:
    axes = " or ".join(dict.fromkeys(AXES[pair.axis] for pair in found))
    some = (
        f" The {num_shown} furthest from 1 of {len(found)} pairs are drawn." if num_shown < len(found) else ""
    )
    return (
        f"Ratio of restricted mean {axes} to target {target:g}, with its interval; left of the dashed line (1) "
        f"the first is faster. n = {counted_range([pair.num_pairs for pair in found])} seeds a pair.{some}"
    )


def _by_dataset(ds: xr.Dataset, sweep: str) -> Block:
    columns = ["dataset", "claim", "verdict", "sentence"]
    rows: list[Row] = [
        [
            str(dataset),
            QUESTIONS.get(str(claim), str(claim)),
            *(
                str(ds[name].sel(dataset=dataset, claim=claim).item())
                for name in ("verdict", "verdict_sentence")
            ),
        ]
        for dataset in ds["dataset"].values
        for claim in ds["claim"].values
    ]
    return table(slug("verdicts", sweep, "table"), "Verdicts by dataset.", columns, rows)
