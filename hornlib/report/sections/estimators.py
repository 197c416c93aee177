"""How every number was made, what cannot be concluded, and what would change the answer."""

import json
from dataclasses import replace

import xarray as xr

from hornlib.report.blocks import Block, Facts, Fold, Missing, Paragraph, Section, Sentences
from hornlib.report.evidence import ReportEvidence, SweepEvidence
from hornlib.report.sections.by_sweep import by_sweep, no_statistics
from hornlib.report.sections.planning import looks, seeds_needed
from hornlib.report.wording import sentence

__all__ = ["estimators"]


def estimators(evidence: ReportEvidence) -> Section:
    """Return the section on estimators and limits."""
    summary = "What cannot be concluded, how many seeds would settle it, and how each number was made."
    section = by_sweep(evidence, "estimators", "Estimators and limits", _limits, summary)
    statistics = [sweep.statistics for sweep in evidence.sweeps if sweep.statistics is not None]
    if not statistics:
        return section
    facts = _estimators(statistics[0])
    how: Block = Facts(facts) if facts else Missing("The statistics do not say how they were made.")
    return replace(section, blocks=[*section.blocks, Fold("How each number was made", "how", [how])])


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
    """Return (names, estimator) of the variables, those with the same estimator together."""
    names: dict[str, list[str]] = {}
    for name, variable in ds.data_vars.items():
        if str(name).endswith("_bound"):
            continue
        words = [str(variable.attrs.get("estimator", "")).strip()]
        if f"{name}_bound" in ds:
            words.append(f"Interval: {ds[f'{name}_bound'].attrs.get('interval', '')}".strip())
        unit = str(variable.attrs.get("units", "1"))
        title = str(variable.attrs.get("long_name", name))
        description = " ".join(map(sentence, words))
        has_unit = unit not in ("1", "") and " " not in unit
        if words[0]:
            names.setdefault(description, []).append(f"{title} ({unit})" if has_unit else title)
    return [("; ".join(titles), description) for description, titles in names.items()]


def _ended(words: str) -> str:
    """Return a sentence with its full stop; it may begin with the name of a dataset, which has no capital."""
    return words if words.endswith(".") else f"{words}."
