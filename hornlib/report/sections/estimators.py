"""How every number was made, what cannot be concluded, and what would change the answer."""

import json

import numpy as np
import xarray as xr

from hornlib.report.blocks import Block, Facts, Heading, Missing, Paragraph, Section, Sentences
from hornlib.report.evidence import Evidence, SweepEvidence
from hornlib.report.sections.by_sweep import by_sweep, no_statistics
from hornlib.report.tables import Row, table
from hornlib.report.wording import sentence, slug

__all__ = ["estimators"]


def estimators(evidence: Evidence) -> Section:
    """Return the section on estimators and limits."""
    section = by_sweep(evidence, "estimators", "Estimators and limits", _limits)
    known = [sweep.statistics for sweep in evidence.sweeps if sweep.statistics is not None]
    if not known:
        return section
    facts = [fact for fact in _estimators(known[0]) if fact[1]]
    how: list[Block] = [Heading("How each number was made", "how")]
    how.append(Facts(facts) if facts else Missing("The statistics do not say how they were made."))
    return Section(section.anchor, section.title, [*section.blocks, *how])


def _limits(sweep: SweepEvidence) -> list[Block]:
    ds = sweep.statistics
    if ds is None:
        return [no_statistics(sweep)]
    limits = [_ended(str(limit)) for limit in json.loads(ds.attrs.get("limits") or "[]")]
    blocks: list[Block] = [Paragraph("What cannot be concluded, and why:"), Sentences(limits)]
    if not limits:
        blocks = [Paragraph("The statistics name no limit.")]
    return [*blocks, *_seeds_needed(sweep, ds)]


def _seeds_needed(sweep: SweepEvidence, ds: xr.Dataset) -> list[Block]:
    """Return how many seeds the subject's pairs would need, at the spread that was measured."""
    if "seeds_needed" not in ds:
        return []
    ds = ds.isel(contender=np.flatnonzero(ds["arm"].values == sweep.subject))
    needed = ds["seeds_needed"].transpose("contender", "rival", "effect").values
    counts, spread = (
        ds[name].transpose("contender", "rival").values for name in ("num_pairs", "log_time_sd")
    )
    labels, rivals = ds["contender"].values, ds["rival_contender"].transpose("contender", "rival").values
    places = [place for place in np.ndindex(spread.shape) if np.isfinite(needed[place]).any()]
    if not places:
        return [Paragraph("How many seeds would settle the question is not known: no spread was measured.")]
    places.sort(key=lambda place: -spread[place])
    rows: list[Row] = [
        [
            str(labels[place[0]]),
            str(rivals[place]),
            float(counts[place]),
            float(spread[place]),
            *needed[place],
        ]
        for place in places
    ]
    effects = [f"for {effect:g}x" for effect in ds["effect"].values]
    columns = ["contender", "rival", "seeds there are", "sd of log time", *effects]
    how = sentence(str(ds["seeds_needed"].attrs.get("estimator", "")))
    caption = f"What would change the answer: seeds needed to see a speed-up of so much. {how}"
    return [table(slug(sweep.name, "seeds-needed"), caption.strip(), columns, rows)]


def _estimators(ds: xr.Dataset) -> list[tuple[str, str]]:
    """Return what each variable is and how it was estimated; an interval's stands with what it bounds."""
    facts = []
    for name, variable in ds.data_vars.items():
        if str(name).endswith("_bound"):
            continue
        words = [str(variable.attrs.get("estimator", "")).strip()]
        if f"{name}_bound" in ds:
            words.append(f"Interval: {ds[f'{name}_bound'].attrs.get('interval', '')}".strip())
        unit = str(variable.attrs.get("units", "1"))
        title = str(variable.attrs.get("long_name", name))
        told = " ".join(map(sentence, words))
        named = unit not in ("1", "") and " " not in unit
        facts.append((f"{title} ({unit})" if named else title, told if words[0] else ""))
    return facts


def _ended(words: str) -> str:
    """Return a sentence with its full stop; it may begin with a dataset's name, which has no capital."""
    return words if words.endswith(".") else f"{words}."
