"""A section's blocks sweep after sweep, and what it says where nothing is there yet."""

from collections.abc import Callable

import xarray as xr

from hornlib.report.blocks import Block, Heading, Missing, Section
from hornlib.report.comparisons import headline
from hornlib.report.evidence import Evidence, SweepEvidence
from hornlib.report.wording import slug

__all__ = ["by_headline", "by_sweep", "no_results", "no_statistics"]


def by_sweep(
    evidence: Evidence, anchor: str, title: str, blocks_of: Callable[[SweepEvidence], list[Block]]
) -> Section:
    """Return a section that holds the blocks of every sweep, under its name where there are several."""
    blocks: list[Block] = []
    for sweep in evidence.sweeps:
        if len(evidence.sweeps) > 1:
            blocks.append(Heading(f"Sweep {sweep.name}", slug(anchor, sweep.name)))
        blocks += blocks_of(sweep)
    return Section(anchor, title, blocks)


def by_headline(
    evidence: Evidence,
    anchor: str,
    title: str,
    blocks_of: Callable[[xr.Dataset, SweepEvidence], list[Block]],
) -> Section:
    """Return a section of every sweep's statistics at the headline's target, or what makes them."""

    def blocks(sweep: SweepEvidence) -> list[Block]:
        if sweep.statistics is None:
            return [no_statistics(sweep)]
        return blocks_of(headline(sweep.statistics, sweep.settings), sweep)

    return by_sweep(evidence, anchor, title, blocks)


def no_results(sweep: SweepEvidence) -> Missing:
    """Return what to say of a sweep that nothing is gathered of."""
    return Missing(f"Nothing is gathered of the sweep {sweep.name}.", "snakemake --cores 2")


def no_statistics(sweep: SweepEvidence) -> Missing:
    """Return what to say of a sweep without statistics."""
    return Missing(f"There are no statistics of the sweep {sweep.name}.", "hornlib statistics")
