"""The blocks of a section, sweep after sweep, and what a section says where nothing exists yet."""

from collections.abc import Callable

import xarray as xr

from hornlib.report.blocks import Block, Heading, Missing, Section
from hornlib.report.comparisons import headline
from hornlib.report.evidence import ReportEvidence, SweepEvidence
from hornlib.report.wording import slug

__all__ = ["by_headline", "by_sweep", "no_results", "no_statistics"]


def by_sweep(
    evidence: ReportEvidence,
    anchor: str,
    title: str,
    blocks_of: Callable[[SweepEvidence], list[Block]],
    summary: str = "",
) -> Section:
    """Return a section that holds the blocks of every sweep, under its name where there are several.

    Args:
        evidence: everything that the report shows.
        anchor: name of the section in links.
        title: its heading.
        blocks_of: function that gives the blocks of one sweep.
        summary: what the section shows, in one line.
    """
    blocks: list[Block] = []
    for sweep in evidence.sweeps:
        if len(evidence.sweeps) > 1:
            blocks.append(Heading(f"Sweep {sweep.name}", slug(anchor, sweep.name)))
        blocks += blocks_of(sweep)
    return Section(anchor, title, blocks, summary)


def by_headline(
    evidence: ReportEvidence,
    anchor: str,
    title: str,
    blocks_of: Callable[[xr.Dataset, SweepEvidence], list[Block]],
    summary: str = "",
) -> Section:
    """Return a section of every sweep's statistics at the headline's target.

    Args:
        evidence: everything that the report shows.
        anchor: name of the section in links.
        title: its heading.
        blocks_of: function that gives the blocks of one sweep, from its statistics (contender, rival, axis, ..) at the
            headline's target.
        summary: what the section shows, in one line.
    """

    def blocks(sweep: SweepEvidence) -> list[Block]:
        if sweep.statistics is None:
            return [no_statistics(sweep)]
        return blocks_of(headline(sweep.statistics, sweep.settings), sweep)

    return by_sweep(evidence, anchor, title, blocks, summary)


def no_results(sweep: SweepEvidence) -> Missing:
    """Return the note that no run of a sweep is gathered."""
    return Missing(f"No run of the sweep {sweep.name} is gathered.", "snakemake --cores 2")


def no_statistics(sweep: SweepEvidence) -> Missing:
    """Return the note that a sweep has no statistics."""
    return Missing(f"There are no statistics of the sweep {sweep.name}.", "hornlib statistics")
