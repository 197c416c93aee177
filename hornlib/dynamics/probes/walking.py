"""Running a layer through its time steps with all intermediate values recorded, and with nudges for gradients."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hornlib.dynamics.probes.units import States, Step, Unit

__all__ = ["Trace", "feed_forward", "rest", "walk"]


class Trace(NamedTuple):
    """Intermediate values of a layer. A layer without time has one step.

    Attributes:
        unit: the update rule; None for a layer without time.
        drive: the drive of the last step, (batch, *); None for a layer without time.
        steps: results of every step, (batch, *units) each.
    """

    unit: Unit | None
    drive: Tensor | None
    steps: Sequence[Step]

    @property
    def arguments(self) -> Tensor:
        """Arguments of the nonlinearity, (T, batch, *units)."""
        return torch.stack([step.argument for step in self.steps])

    @property
    def activations(self) -> Tensor:
        """Values of the nonlinearity, (T, batch, *units)."""
        return torch.stack([step.activation for step in self.steps])

    @property
    def states(self) -> States:
        """Parts of the state after every step, (T, batch, *units) each."""
        return tuple(map(torch.stack, zip(*(step.state for step in self.steps), strict=True)))

    @property
    def outputs(self) -> list[Tensor]:
        """Output after every step: the first part of the state, (batch, *units) each."""
        return [step.state[0] for step in self.steps]


def walk(unit: Unit, drives: Sequence[Tensor], nudges: States | None) -> Trace:
    """Advance the unit from rest through its drives.

    Args:
        unit: the update rule.
        drives: one for each step, (batch, *) each.
        nudges: for each part of the state a tensor (T, batch, *units) that is added to it step by step: zeros, whose
            gradient is that of the state. None adds nothing.
    """
    state, steps = rest(unit, drives[0]), []
    # Unbound at once: the gradient of an index would allocate the whole tensor at every step.
    nudges_by_step = (
        None if nudges is None else list(zip(*(nudge.unbind(0) for nudge in nudges), strict=True))
    )
    for t, drive in enumerate(drives):
        after = unit.advance(drive, state)
        if nudges_by_step is not None:
            nudged = tuple(part + nudge for part, nudge in zip(after.state, nudges_by_step[t], strict=True))
            after = after._replace(state=nudged)
        state = after.state
        steps.append(after)
    return Trace(unit, drives[-1], steps)


def feed_forward(argument: Tensor, activation: Tensor, nudges: States | None) -> Trace:
    """Return the trace of a layer without time, whose output is its only state.

    Args:
        argument: of the nonlinearity, (batch, *units).
        activation: its value, (batch, *units).
        nudges: zeros (1, batch, *units) that are added to the output, in a tuple of one; None adds nothing.
    """
    state = activation if nudges is None else activation + nudges[0][0]
    return Trace(None, None, [Step(argument, activation, (state,))])


def rest(unit: Unit, drive: Tensor) -> States:
    """Return the state at rest: zeros, (batch, *units) for each part.

    Args:
        unit: the update rule.
        drive: (batch, *); that of a gated unit has several numbers for each node.
    """
    weight = getattr(unit, "weight", None)
    if weight is not None and weight.dim() == 2:
        drive = drive[..., : weight.shape[1]]
    silent = torch.zeros_like(drive)
    return (silent,) * unit.num_parts
