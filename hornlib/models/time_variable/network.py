"""Networks whose layers are time steps: ResNet, DenseNet and Fractional-DNN."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn

from hornlib.dynamics.fractional import force_weights, history_weights
from hornlib.models.layered import NeutralLayer
from hornlib.models.layers import ACTIVATIONS
from hornlib.models.readout import Readout
from hornlib.models.time_variable.parameters import (
    FractionalDnnParameters,
    TimeDensenetParameters,
    TimeResnetParameters,
    TimeVariableParameters,
)
from hornlib.models.time_variable.steps import LayerSteps
from hornlib.parameters import Task

__all__ = [
    "Advance",
    "FractionalDnn",
    "Opening",
    "TimeDensenet",
    "TimeResnet",
    "TimeVariableNetwork",
    "TwoWeights",
    "as_it_is",
]


class Advance(NamedTuple):
    """Results of one layer.

    Attributes:
        state: y_l, or z_l in a concatenating DenseNet; (batch, nodes) or (batch, channels, height, width).
        change: what the layer added or appended; y_1 for the opening layer. The gradient with respect to it is
            dL / dy_l with everything that depends on y_l, a fractional network's later history included.
        argument: K y + b, the argument of the nonlinearity.
    """

    state: Tensor
    change: Tensor
    argument: Tensor


class Opening(NamedTuple):
    """The opening layer before its time step.

    Attributes:
        argument: K_0 u + b_0.
        output: f(argument), pooled.
    """

    argument: Tensor
    output: Tensor


Nudge = Callable[[int, Tensor], Tensor]
"""Maps a layer's number and its change to the change that is used instead."""


def as_it_is(layer: int, change: Tensor) -> Tensor:
    """Return the change unchanged.

    Args:
        layer: not used.
        change: of the layer, (batch, nodes) or (batch, channels, height, width).
    """
    return change


class TimeVariableNetwork(nn.Module, ABC):
    """Base of the family: an opening layer, layers with time steps, and the read-out of the last state.

    `layers.0` is the opening layer. Entry l of tau belongs to layer l, or to layer l + 1 if the opening layer has no
    time step.

    Args:
        parameters: of a member of the family.
        task: shapes of inputs and outputs.
        generator: not used, since nothing but the weights is drawn.
    """

    def __init__(self, parameters: TimeVariableParameters, task: Task, generator: torch.Generator) -> None:
        super().__init__()
        self.is_convolutional = parameters.layer_type == "convolutional"
        self.has_opening_step = parameters.opening_step == "with"
        self.opening_pool = parameters.opening_pool
        self.activation = ACTIVATIONS[parameters.activation]
        num_inputs = task.input_shape[0] if self.is_convolutional else math.prod(task.input_shape)
        blocks = (self._block(parameters, block) for block in range(1, parameters.num_layers))
        self.layers = nn.ModuleList([_layer(parameters, num_inputs), *blocks])
        self.readout = Readout(
            parameters.num_features(), task.num_outputs, parameters.readout_norm, parameters.readout_bias
        )
        # After the weights, so that their draw is the same for all kinds of steps.
        self.steps = LayerSteps(parameters)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (batch, num_outputs) of examples (batch, ...)."""
        for advance in self.advances(inputs):
            last = advance.state
        return self.read_out(last)

    def read_out(self, state: Tensor) -> Tensor:
        """Return the logits (batch, num_outputs) of the last state.

        Args:
            state: (batch, features); or (batch, channels, height, width), which is averaged over pixels.
        """
        return self.readout(state.mean((2, 3)) if self.is_convolutional else state)

    def advances(self, inputs: Tensor, nudge: Nudge = as_it_is) -> Iterator[Advance]:
        """Yield the results of every layer.

        Args:
            inputs: (batch, ...), as for the forward pass.
            nudge: applied to every change before it is added or appended; for probes.
        """
        argument = self.layers[0](inputs if self.is_convolutional else inputs.flatten(1))
        opened = self.activation(argument)
        if self.opening_pool > 1:
            opened = nn.functional.avg_pool2d(opened, self.opening_pool)
        yield from self.propagate(Opening(argument, opened), self.steps(), nudge)

    @abstractmethod
    def propagate(self, opening: Opening, steps: Tensor, nudge: Nudge) -> Iterator[Advance]:
        """Yield the results of every layer.

        Args:
            opening: the opening layer before its time step.
            steps: tau, (num_steps,).
            nudge: applied to every change before it is added or appended.
        """

    def layer_steps(self) -> Tensor:
        """Return the time steps in force, (num_steps,): their sum is the horizon."""
        return self.steps()

    def penalty(self) -> Tensor:
        """Return the penalty of the time steps in the loss, ()."""
        return self.steps.penalty()

    @torch.no_grad()
    def project_(self, parameters: dict[str, Tensor]) -> None:
        """Project the time steps onto their constraints, in place; called after every update.

        Args:
            parameters: name, as in `named_parameters()`, -> tensor with any leading lane axes.
        """
        if "steps.raw" in parameters:
            self.steps.project_(parameters["steps.raw"])

    def _block(self, parameters: TimeVariableParameters, block: int) -> nn.Module:
        return _layer(parameters, parameters.num_inputs(block))

    def _opening_and_blocks(
        self, opened: Tensor, factors: Tensor, nudge: Nudge
    ) -> tuple[Tensor, list[Tensor]]:
        """Return y_1, and the factor of every later layer, a scalar tensor each."""
        scalars = list(factors.unbind())
        first, of_blocks = (scalars[0] * opened, scalars[1:]) if self.has_opening_step else (opened, scalars)
        return nudge(0, first), of_blocks


class TimeResnet(TimeVariableNetwork):
    """y_1 = tau_0 f(K_0 u + b_0), y_{l+1} = y_l + tau_l f(K_l y_l + b_l), or with W f in place of f."""

    layer_lists: ClassVar[tuple[str, ...]] = ("layers",)

    def __init__(self, parameters: TimeResnetParameters, task: Task, generator: torch.Generator) -> None:
        self.has_two_weights = parameters.block == "two_weight"
        super().__init__(parameters, task, generator)

    @property
    def layer_vectors(self) -> dict[str, int]:
        """The tensor of the time steps; a frozen first one is stored elsewhere."""
        return {"steps.raw": (not self.has_opening_step) + self.steps.has_frozen_first}

    def neutral_layer(self, position: int, scale: float) -> NeutralLayer:
        """Return K = 0 and b = 0; in a block with two weights W = 0 and K = `scale` times the identity.

        Args:
            position: of the layer before the new one.
            scale: factor of the identity.
        """
        name, nodes = f"layers.{position + 1}", cast(nn.Linear, self.readout.linear).in_features
        if self.is_convolutional:
            zero = torch.zeros(nodes, nodes, 3, 3)
            identity = nn.init.dirac_(torch.empty_like(zero))
        else:
            zero, identity = torch.zeros(nodes, nodes), torch.eye(nodes)
        if not self.has_two_weights:
            return NeutralLayer(
                {f"{name}.weight": zero, f"{name}.bias": torch.zeros(nodes)}, f"{name}.weight"
            )
        inner = {f"{name}.inner.weight": scale * identity, f"{name}.inner.bias": torch.zeros(nodes)}
        return NeutralLayer({**inner, f"{name}.outer.weight": zero}, f"{name}.outer.weight")

    def propagate(self, opening: Opening, steps: Tensor, nudge: Nudge) -> Iterator[Advance]:
        """Yield explicit Euler steps with tau (num_steps,); see `TimeVariableNetwork.propagate`."""
        state, block_steps = self._opening_and_blocks(opening.output, steps, nudge)
        yield Advance(state, state, opening.argument)
        for number, (layer, step) in enumerate(zip(self.layers[1:], block_steps, strict=True), start=1):
            argument = layer.inner(state) if isinstance(layer, TwoWeights) else layer(state)
            rate = self.activation(argument)
            change = nudge(number, step * (layer.outer(rate) if isinstance(layer, TwoWeights) else rate))
            state = state + change
            yield Advance(state, change, argument)

    def _block(self, parameters: TimeVariableParameters, block: int) -> nn.Module:
        return TwoWeights(parameters) if self.has_two_weights else super()._block(parameters, block)


class TwoWeights(nn.Module):
    """The weights of the change W f(K y + b): `inner` holds K and b, `outer` holds W."""

    def __init__(self, parameters: TimeVariableParameters) -> None:
        super().__init__()
        self.inner = _layer(parameters, parameters.num_nodes)
        self.outer = _layer(parameters, parameters.num_nodes, bias=False)


class TimeDensenet(TimeVariableNetwork):
    """y_{l+1} = y_l + tau_l f(K_l [y_1; ...; y_l] + b_l), or z_{l+1} = [z_l; tau_l f(K_l z_l + b_l)]."""

    def __init__(self, parameters: TimeDensenetParameters, task: Task, generator: torch.Generator) -> None:
        super().__init__(parameters, task, generator)
        self.is_additive = parameters.connection == "additive"

    def propagate(self, opening: Opening, steps: Tensor, nudge: Nudge) -> Iterator[Advance]:
        """Yield y_l, (batch, nodes, ...), if layers add, and z_l, (batch, l nodes, ...), if they append.

        For the arguments see `TimeVariableNetwork.propagate`.
        """
        state, block_steps = self._opening_and_blocks(opening.output, steps, nudge)
        history = state
        yield Advance(state, state, opening.argument)
        for number, (layer, step) in enumerate(zip(self.layers[1:], block_steps, strict=True), start=1):
            argument = layer(history)
            change = nudge(number, step * self.activation(argument))
            state = state + change if self.is_additive else change
            history = torch.cat([history, state], 1)
            yield Advance(state if self.is_additive else history, change, argument)


class FractionalDnn(TimeVariableNetwork):
    """y_{j+1} = y_j - sum_{k<j} a_{j,k} (y_{k+1} - y_k) + tau_j^gamma Gamma(2 - gamma) f(K_j y_j + b_j), y_0 = 0."""

    def __init__(self, parameters: FractionalDnnParameters, task: Task, generator: torch.Generator) -> None:
        super().__init__(parameters, task, generator)
        self.fractional_order = parameters.fractional_order

    def propagate(self, opening: Opening, steps: Tensor, nudge: Nudge) -> Iterator[Advance]:
        """Yield the steps of the explicit L1 scheme, tau (num_steps,); see `TimeVariableNetwork.propagate`."""
        weights = history_weights(steps, self.fractional_order).unbind()
        forces = force_weights(steps, self.fractional_order)
        state, factors = self._opening_and_blocks(opening.output, forces, nudge)
        increments = [state] if self.has_opening_step else []
        yield Advance(state, state, opening.argument)
        for number, (layer, factor) in enumerate(zip(self.layers[1:], factors, strict=True), start=1):
            argument = layer(state)
            increment = factor * self.activation(argument)
            for weight, past in zip(weights[len(increments)].unbind(), increments, strict=False):
                increment = torch.addcmul(increment, weight, past, value=-1)
            increment = nudge(number, increment)
            increments.append(increment)
            state = state + increment
            yield Advance(state, increment, argument)


def _layer(parameters: TimeVariableParameters, num_inputs: int, *, bias: bool = True) -> nn.Module:
    if parameters.layer_type == "convolutional":
        return nn.Conv2d(num_inputs, parameters.num_nodes, 3, padding=1, bias=bias)
    return nn.Linear(num_inputs, parameters.num_nodes, bias=bias)
