"""The rules of recurrent units, each one pure step of any layer: oscillators, first-order units, GRU and LSTM."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from hornlib.dynamics.oscillator import Coefficients, Constants, State, step
from hornlib.dynamics.parameters import Integrator

__all__ = ["FirstOrder", "Gru", "Lstm", "Oscillators", "Step", "Unit", "apply_weight"]

States = tuple[Tensor, ...]


class Step(NamedTuple):
    """What a step makes.

    Attributes:
        argument: what stands within the tanh, drive and recurrence together, (batch, *units).
        activation: its tanh.
        state: the new state, one tensor (batch, *units) each part.
    """

    argument: Tensor
    activation: Tensor
    state: States


class Unit(Protocol):
    """A layer of recurrent units: what comes after a state under a drive."""

    @property
    def num_parts(self) -> int:
        """Tensors of a state: displacement and velocity, say."""
        ...

    def advance(self, drive: Tensor, state: States) -> Step:
        """Return the next step; the drive holds every bias that is constant in time."""
        ...

    def weights_of_parts(self) -> tuple[Tensor | float, ...]:
        """Return the factor of each part of the state in its length, so that parts of different units add up."""
        ...


class Oscillators(NamedTuple):
    """Driven harmonic oscillators: y' = c y - k x + g tanh(u + W (s z)), x' = x + h y', z the state that W reads.

    Attributes:
        constants: omega, damping and alpha, (*units,) or broadcast to it.
        coefficients: c, k and g of the integrator.
        integration_step: h, units of time.
        integrator: the update rule.
        weight: W as it multiplies s z: (nodes, nodes), or a 3x3 kernel; None without recurrence.
        source_scale: s, a factor of what W reads; None for 1.
        reads_velocity: whether z is y, or x.
    """

    constants: Constants
    coefficients: Coefficients
    integration_step: Tensor
    integrator: Integrator
    weight: Tensor | None
    source_scale: Tensor | None
    reads_velocity: bool

    @property
    def num_parts(self) -> int:
        """Displacement and velocity."""
        return 2

    def advance(self, drive: Tensor, state: States) -> Step:
        """Return the next step."""
        argument = drive
        if self.weight is not None:
            source = state[1] if self.reads_velocity else state[0]
            scaled = source if self.source_scale is None else source * self.source_scale
            argument = drive + apply_weight(self.weight, scaled)
        force = torch.tanh(argument)
        after = step(State(*state), force, self.coefficients, self.integration_step, self.integrator)
        return Step(argument, force, tuple(after))

    def weights_of_parts(self) -> tuple[Tensor | float, ...]:
        """omega x and y: their squares are twice the energy, which a free oscillator hardly changes in a cycle."""
        return self.constants.omega, 1.0


class FirstOrder(NamedTuple):
    """x' = (1 - r) x + r G tanh(u + W x): leaky units, and with r = G = 1 the tanh RNN.

    Attributes:
        rate: r, a scalar.
        gain: G, a scalar.
        weight: W: (nodes, nodes), or a 3x3 kernel; None without recurrence.
    """

    rate: Tensor
    gain: Tensor
    weight: Tensor | None

    @property
    def num_parts(self) -> int:
        """One state."""
        return 1

    def advance(self, drive: Tensor, state: States) -> Step:
        """Return the next step."""
        argument = drive if self.weight is None else drive + apply_weight(self.weight, state[0])
        activation = torch.tanh(argument)
        return Step(argument, activation, ((1 - self.rate) * state[0] + self.rate * self.gain * activation,))

    def weights_of_parts(self) -> tuple[Tensor | float, ...]:
        """Plain length."""
        return (1.0,)


class Gru(NamedTuple):
    """r, z through sigma of drive + W h; c = tanh(drive_c + r (W_c h + b)); h' = c + z (h - c).

    Attributes:
        weight: (3 nodes, nodes): r, z, c.
        bias: b, (nodes,).
    """

    weight: Tensor
    bias: Tensor

    @property
    def num_parts(self) -> int:
        """One state."""
        return 1

    def advance(self, drive: Tensor, state: States) -> Step:
        """Return the next step; the argument is that of the candidate c."""
        (before,) = state
        reset, keep, inner = F.linear(before, self.weight).chunk(3, -1)
        drives = drive.chunk(3, -1)
        argument = drives[2] + torch.sigmoid(drives[0] + reset) * (inner + self.bias)
        candidate = torch.tanh(argument)
        return Step(
            argument, candidate, (candidate + torch.sigmoid(drives[1] + keep) * (before - candidate),)
        )

    def weights_of_parts(self) -> tuple[Tensor | float, ...]:
        """Plain length."""
        return (1.0,)


class Lstm(NamedTuple):
    """i, f, o through sigma and g through tanh of drive + W h; m' = f m + i g; h' = o tanh(m').

    Attributes:
        weight: (4 nodes, nodes): i, f, g, o.
    """

    weight: Tensor

    @property
    def num_parts(self) -> int:
        """Output h and memory m."""
        return 2

    def advance(self, drive: Tensor, state: States) -> Step:
        """Return the next step; the argument is that of the candidate g."""
        output, memory = state
        enter, forget, argument, leave = (drive + F.linear(output, self.weight)).chunk(4, -1)
        candidate = torch.tanh(argument)
        memory = torch.sigmoid(forget) * memory + torch.sigmoid(enter) * candidate
        return Step(argument, candidate, (torch.sigmoid(leave) * torch.tanh(memory), memory))

    def weights_of_parts(self) -> tuple[Tensor | float, ...]:
        """Plain length."""
        return 1.0, 1.0


def apply_weight(weight: Tensor, source: Tensor) -> Tensor:
    """Return the recurrence: a matrix product over nodes, or a 3x3 convolution with zeros around the map.

    Args:
        weight: (nodes, nodes), (channels, 1, 3, 3) or (channels, channels, 3, 3).
        source: (batch, nodes), or (batch, channels, height, width).
    """
    if weight.dim() == 2:
        return F.linear(source, weight)
    return F.conv2d(source, weight, padding=1, groups=source.shape[-3] // weight.shape[1])
