"""Update rules of recurrent units as pure steps: oscillators, first-order units, GRU and LSTM.

These are the readable forms, which probes run. While networks are trained, faster equivalents run instead:
`hornlib.dynamics.adjoint.displacements` and the stages of `hornlib.models.horn_cnn` and `hornlib.models.leaky_cnn`, and
`hornlib.models.rnn.adjoint.recurrence` for tanh, GRU and LSTM. tests/models/test_tracing.py holds each pair equal.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from hornlib.dynamics.oscillator import Coefficients, Constants, OscillatorState, step
from hornlib.dynamics.parameters import Integrator

__all__ = ["FirstOrder", "Gru", "Lstm", "Oscillators", "States", "Step", "Unit", "apply_weight"]

States = tuple[Tensor, ...]


class Step(NamedTuple):
    """Results of one step.

    Attributes:
        argument: of the tanh, drive and recurrence together, (batch, *units).
        activation: tanh of the argument, (batch, *units).
        state: the new state, (batch, *units) for each part.
    """

    argument: Tensor
    activation: Tensor
    state: States


class Unit(Protocol):
    """A layer of recurrent units: how a drive changes its state."""

    @property
    def num_parts(self) -> int:
        """Number of tensors of a state, for example 2 for displacement and velocity."""
        ...

    def advance(self, drive: Tensor, state: States) -> Step:
        """Return the results of one step.

        Args:
            drive: projected input with all biases that are constant in time, (batch, *units); several numbers for each
                node of a gated unit.
            state: (batch, *units) for each part.
        """
        ...

    def tangent(self, drive: Tensor, state: States, after: Step, offset: States) -> States:
        """Return the infinitesimal offset of the state after one step, (batch, *units) for each part.

        Args:
            drive, state: as for `advance`.
            after: what `advance` returned for them.
            offset: before the step, (batch, *units) for each part.
        """
        ...

    def weights_of_parts(self) -> tuple[Tensor | float, ...]:
        """Return the factor of each part of the state in its length, a number or broadcast to (*units,).

        The factors make parts with different units comparable.
        """
        ...


class Oscillators(NamedTuple):
    """Driven harmonic oscillators: y' = c y - k x + g tanh(u + W (s z)), x' = x + h y'; W reads the state z.

    Attributes:
        constants: omega, damping and alpha, (*units,) or broadcast to it.
        coefficients: c, k and g of the integrator.
        integration_step: h, units of time.
        integrator: the update rule.
        weight: W as it multiplies s z: (nodes, nodes), or a 3x3 kernel; None without recurrence.
        source_scale: s, factor of the state that W reads, broadcast to (*units,); None for 1.
        reads_velocity: whether z is y; else z is x.
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
        """2: displacement and velocity."""
        return 2

    def advance(self, drive: Tensor, state: States) -> Step:
        """Return the results of one step; see `Unit.advance`. The drive is (batch, *units)."""
        argument = drive if self.weight is None else drive + self._recur(self.weight, state)
        activation = torch.tanh(argument)
        return Step(argument, activation, self._after(state, activation))

    def tangent(self, drive: Tensor, state: States, after: Step, offset: States) -> States:
        """Return the offset after one step, (batch, *units) for each part; see `Unit.tangent`.

        The step is linear outside of the tanh.
        """
        if self.weight is None:
            return self._after(offset, torch.zeros_like(after.activation))
        return self._after(offset, _slope(after) * self._recur(self.weight, offset))

    def _recur(self, weight: Tensor, state: States) -> Tensor:
        source = state[1] if self.reads_velocity else state[0]
        return apply_weight(weight, source if self.source_scale is None else source * self.source_scale)

    def _after(self, state: States, force: Tensor) -> States:
        return tuple(
            step(OscillatorState(*state), force, self.coefficients, self.integration_step, self.integrator)
        )

    def weights_of_parts(self) -> tuple[Tensor | float, ...]:
        """Return omega, broadcast to (*units,), for x and 1 for y.

        The squared length is then twice the energy, which a cycle hardly changes.
        """
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
        """1: the state."""
        return 1

    def advance(self, drive: Tensor, state: States) -> Step:
        """Return the results of one step; see `Unit.advance`. The drive is (batch, *units)."""
        argument = drive if self.weight is None else drive + apply_weight(self.weight, state[0])
        activation = torch.tanh(argument)
        return Step(argument, activation, self._after(state, activation))

    def tangent(self, drive: Tensor, state: States, after: Step, offset: States) -> States:
        """Return the offset after one step, (batch, *units) for each part; see `Unit.tangent`.

        The step is linear outside of the tanh.
        """
        if self.weight is None:
            return self._after(offset, torch.zeros_like(after.activation))
        return self._after(offset, _slope(after) * apply_weight(self.weight, offset[0]))

    def _after(self, state: States, activation: Tensor) -> States:
        return ((1 - self.rate) * state[0] + self.rate * self.gain * activation,)

    def weights_of_parts(self) -> tuple[float, ...]:
        """Return 1 for every part: the plain length."""
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
        """1: the state."""
        return 1

    def advance(self, drive: Tensor, state: States) -> Step:
        """Return the results of one step, with the argument of the candidate c; see `Unit.advance`.

        The drive is (batch, 3 nodes): r, z, c.
        """
        reset, keep, inner = self._gates(drive, state)
        argument = drive.chunk(3, -1)[2] + reset * inner
        candidate = torch.tanh(argument)
        return Step(argument, candidate, (candidate + keep * (state[0] - candidate),))

    def tangent(self, drive: Tensor, state: States, after: Step, offset: States) -> States:
        """Return the offset after one step, (batch, nodes) for each part; see `Unit.tangent`.

        It follows from the product rule.
        """
        reset, keep, inner = self._gates(drive, state)
        of_reset, of_keep, of_inner = F.linear(offset[0], self.weight).chunk(3, -1)
        of_argument = _sigmoid_slope(reset) * of_reset * inner + reset * of_inner
        of_candidate = _slope(after) * of_argument
        of_blend = _sigmoid_slope(keep) * of_keep * (state[0] - after.activation)
        return (of_candidate + of_blend + keep * (offset[0] - of_candidate),)

    def _gates(self, drive: Tensor, state: States) -> tuple[Tensor, Tensor, Tensor]:
        """Return r, z and W_c h + b."""
        reset, keep, inner = F.linear(state[0], self.weight).chunk(3, -1)
        of_reset, of_keep, _ = drive.chunk(3, -1)
        return torch.sigmoid(of_reset + reset), torch.sigmoid(of_keep + keep), inner + self.bias

    def weights_of_parts(self) -> tuple[float, ...]:
        """Return 1 for every part: the plain length."""
        return (1.0,)


class Lstm(NamedTuple):
    """i, f, o through sigma and g through tanh of drive + W h; m' = f m + i g; h' = o tanh(m').

    Attributes:
        weight: (4 nodes, nodes): i, f, g, o.
    """

    weight: Tensor

    @property
    def num_parts(self) -> int:
        """2: output h and memory m."""
        return 2

    def advance(self, drive: Tensor, state: States) -> Step:
        """Return the results of one step, with the argument of the candidate g; see `Unit.advance`.

        The drive is (batch, 4 nodes): i, f, g, o.
        """
        enter, forget, argument, leave = self._gates(drive, state)
        candidate = torch.tanh(argument)
        memory = forget * state[1] + enter * candidate
        return Step(argument, candidate, (leave * torch.tanh(memory), memory))

    def tangent(self, drive: Tensor, state: States, after: Step, offset: States) -> States:
        """Return the offset after one step, (batch, nodes) for each part; see `Unit.tangent`.

        It follows from the product rule.
        """
        enter, forget, _, leave = self._gates(drive, state)
        of_enter, of_forget, of_argument, of_leave = F.linear(offset[0], self.weight).chunk(4, -1)
        of_memory = forget * offset[1] + _sigmoid_slope(forget) * of_forget * state[1]
        of_memory = of_memory + enter * _slope(after) * of_argument
        of_memory = of_memory + _sigmoid_slope(enter) * of_enter * after.activation
        shown = torch.tanh(after.state[1])
        return _sigmoid_slope(leave) * of_leave * shown + leave * (1 - shown.square()) * of_memory, of_memory

    def _gates(self, drive: Tensor, state: States) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return i, f, the argument of g, and o."""
        enter, forget, argument, leave = (drive + F.linear(state[0], self.weight)).chunk(4, -1)
        return torch.sigmoid(enter), torch.sigmoid(forget), argument, torch.sigmoid(leave)

    def weights_of_parts(self) -> tuple[float, ...]:
        """Return 1 for every part: the plain length."""
        return 1.0, 1.0


def apply_weight(weight: Tensor, source: Tensor) -> Tensor:
    """Return the recurrence: a matrix product over nodes, or a 3x3 convolution with zero padding.

    Args:
        weight: (nodes, nodes), (channels, 1, 3, 3) or (channels, channels, 3, 3).
        source: (batch, nodes), or (batch, channels, height, width).

    Returns:
        Of the shape of `source`.
    """
    if weight.dim() == 2:
        return F.linear(source, weight)
    return F.conv2d(source, weight, padding=1, groups=source.shape[-3] // weight.shape[1])


def _slope(after: Step) -> Tensor:
    """Return tanh' = 1 - tanh^2."""
    return 1 - after.activation.square()


def _sigmoid_slope(gate: Tensor) -> Tensor:
    """Return sigma' = sigma (1 - sigma)."""
    return gate * (1 - gate)
