"""Walking a layer through its time steps with everything seen, and nudged where a gradient is wanted."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hornlib.dynamics.probes.units import States, Step, Unit

__all__ = ["Trace", "feed_forward", "rest", "walk"]


class Trace(NamedTuple):
    """What happened in a layer; a layer without time has one step.

    Attributes:
        unit: its rule; None in a layer without time.
        drive: the drive of the last step, (batch, *); None in a layer without time.
        steps: what every step made, (batch, *units) each.
    """

    unit: Unit | None
    drive: Tensor | None
    steps: Sequence[Step]

    @property
    def arguments(self) -> Tensor:
        """What stands within the nonlinearity, (T, batch, *units)."""
        return torch.stack([step.argument for step in self.steps])

    @property
    def activations(self) -> Tensor:
        """What comes out of it, (T, batch, *units)."""
        return torch.stack([step.activation for step in self.steps])

    @property
    def states(self) -> States:
        """Parts of the state after every step, (T, batch, *units) each."""
        return tuple(map(torch.stack, zip(*(step.state for step in self.steps), strict=True)))

    @property
    def outputs(self) -> list[Tensor]:
        """What the layer shows after every step, the first part of its state, (batch, *units) each."""
        return [step.state[0] for step in self.steps]


def walk(unit: Unit, drives: Sequence[Tensor], nudges: States | None) -> Trace:
    """Advance the unit from rest through its drives.

    Args:
        unit: the rule.
        drives: one a step, (batch, *) each.
        nudges: numbers added to each part of the state after each step, (T, batch, *units) each: zeros, whose
            gradient is that of the state. None adds nothing.
    """
    state, steps = rest(unit, drives[0]), []
    # unbound at once: the gradient of an index would fill the whole again at every step
    each = None if nudges is None else list(zip(*(nudge.unbind(0) for nudge in nudges), strict=True))
    for t, drive in enumerate(drives):
        after = unit.advance(drive, state)
        if each is not None:
            nudged = tuple(part + nudge for part, nudge in zip(after.state, each[t], strict=True))
            after = after._replace(state=nudged)
        state = after.state
        steps.append(after)
    return Trace(unit, drives[-1], steps)


def feed_forward(argument: Tensor, activation: Tensor, nudges: States | None) -> Trace:
    """Return the trace of a layer without time: what it hands on is its only state."""
    state = activation if nudges is None else activation + nudges[0][0]
    return Trace(None, None, [Step(argument, activation, (state,))])


def rest(unit: Unit, drive: Tensor) -> States:
    """Return the state at rest, zeros; a gated unit's drive has several numbers a node."""
    weight = getattr(unit, "weight", None)
    if weight is not None and weight.dim() == 2:
        drive = drive[..., : weight.shape[1]]
    silent = torch.zeros_like(drive)
    return (silent,) * unit.num_parts
