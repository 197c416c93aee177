"""Which parameters matter: main effects, interactions, and their shares of the variance."""

from hornlib.report.blocks import Block, Missing, Section
from hornlib.report.evidence import Evidence, SweepEvidence
from hornlib.report.sections.by_sweep import by_sweep, no_statistics

__all__ = ["parameters"]


def parameters(evidence: Evidence) -> Section:
    """Return the section on parameters."""
    return by_sweep(evidence, "parameters", "Parameters", _blocks)


def _blocks(sweep: SweepEvidence) -> list[Block]:
    if sweep.statistics is None:
        return [no_statistics(sweep)]
    return [Missing(f"The sweep {sweep.name} is no grid over numeric parameters, so none can be told to matter.")]
