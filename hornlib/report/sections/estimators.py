"""How every number was made, what cannot be concluded, and what would change the answer."""

import json

import xarray as xr

from hornlib.report.blocks import Block, Facts, Heading, Missing, Paragraph, Section, Sentences
from hornlib.report.evidence import Evidence, SweepEvidence
from hornlib.report.sections.by_sweep import by_sweep, no_statistics
from hornlib.report.sections.planning import looks, seeds_needed
from hornlib.report.wording import sentence

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
    return [*blocks, *looks(sweep), *seeds_needed(sweep)]


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
