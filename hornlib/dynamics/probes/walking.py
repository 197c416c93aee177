"""Walking a layer through its time steps with everything seen, and nudged where a gradient is wanted."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hornlib.dynamics.probes.units import States, Unit

__all__ = ["Trace", "feed_forward", "rest", "walk"]


class Trace(NamedTuple):
    """What happened in a layer; T is 1 in a layer without time.

    Attributes:
        unit: its rule; None in a layer without time.
        drive: the drive of the last step, (batch, *); None in a layer without time.
        arguments: what stands within the nonlinearity, (T, batch, *units).
        activations: what comes out of it, (T, batch, *units).
        states: parts of the state after every step, (T, batch, *units) each.
    """

    unit: Unit | None
    drive: Tensor | None
    arguments: Tensor
    activations: Tensor
    states: States


def walk(unit: Unit, drives: Sequence[Tensor], nudges: States | None) -> Trace:
    """Advance the unit from rest through its drives.

    Args:
        unit: the rule.
        drives: one a step, (batch, *) each.
        nudges: numbers added to each part of the state after each step, (T, batch, *units) each: zeros, whose
            gradient is that of the state. None adds nothing.
    """
    state, found = None, []
    for t, drive in enumerate(drives):
        after = unit.advance(drive, rest(unit, drive) if state is None else state)
        if nudges is not None:
            nudged = tuple(part + nudge[t] for part, nudge in zip(after.state, nudges, strict=True))
            after = after._replace(state=nudged)
        state = after.state
        found.append(after)
    parts = zip(*(after.state for after in found), strict=True)
    return Trace(
        unit,
        drives[-1],
        torch.stack([after.argument for after in found]),
        torch.stack([after.activation for after in found]),
        tuple(torch.stack(part) for part in parts),
    )


def feed_forward(argument: Tensor, activation: Tensor, nudges: States | None) -> Trace:
    """Return the trace of a layer without time: what it hands on is its only state."""
    state = activation if nudges is None else activation + nudges[0][0]
    return Trace(None, None, argument.unsqueeze(0), activation.unsqueeze(0), (state.unsqueeze(0),))


def rest(unit: Unit, drive: Tensor) -> States:
    """Return the state at rest, zeros; a gated unit's drive has several numbers a node."""
    weight = getattr(unit, "weight", None)
    if weight is not None and weight.dim() == 2:
        drive = drive[..., : weight.shape[1]]
    silent = torch.zeros_like(drive)
    return (silent,) * unit.num_parts
