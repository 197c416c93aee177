"""Dynamics inside: what probes recorded of the states over time steps, and of the network running on."""

from hornlib.report.blocks import Block, Missing, Section
from hornlib.report.evidence import Evidence

__all__ = ["dynamics"]


def dynamics(evidence: Evidence) -> Section:
    """Return the section on dynamics."""
    blocks: list[Block] = []
    if not evidence.dynamics:
        blocks = [Missing("No probe recorded the states of these networks.", "snakemake --cores 2")]
    return Section("dynamics", "Dynamics", blocks)
