"""Networks whose layers are time steps: ResNet, DenseNet and Fractional-DNN."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hornlib.dynamics.fractional import force_weights, history_weights
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

__all__ = ["FractionalDnn", "TimeDensenet", "TimeResnet", "TimeVariableNetwork", "TwoWeights"]


class TimeVariableNetwork(nn.Module):
    """What the family shares: an opening layer, layers with time steps, and the read-out of the last state.

    `layers.0` opens. The last tau belongs to the last layer: entry l to layer l, or to layer l + 1 where the
    opening layer has none.

    Args:
        parameters: of a member of the family.
        task: shapes of inputs and outputs.
        generator: unused; no fixed draws.
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
        self.steps = LayerSteps(
            parameters
        )  # after the weights, whose draw is then the same for all kinds of steps

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (batch, num_outputs) of examples (batch, ...)."""
        for state in self.states(inputs):
            features = state
        return self.readout(features.mean((2, 3)) if self.is_convolutional else features)

    def states(self, inputs: Tensor) -> Iterator[Tensor]:
        """Yield the states y_1 .. y_L after each layer, (batch, nodes) or (batch, channels, height, width)."""
        opened = self.activation(self.layers[0](inputs if self.is_convolutional else inputs.flatten(1)))
        if self.opening_pool > 1:
            opened = nn.functional.avg_pool2d(opened, self.opening_pool)
        yield from self.propagate(opened, self.steps())

    def propagate(self, opened: Tensor, steps: Tensor) -> Iterator[Tensor]:
        """Yield the states from f(K_0 u + b_0) and the steps tau on."""
        raise NotImplementedError

    def layer_steps(self) -> Tensor:
        """Return the time steps in force, (num_steps,): their sum is the horizon."""
        return self.steps()

    def penalty(self) -> Tensor:
        """Return what the time steps add to the loss."""
        return self.steps.penalty()

    @torch.no_grad()
    def project_(self, parameters: dict[str, Tensor]) -> None:
        """Put projected time steps back to what they may be, in place; called after every update.

        Args:
            parameters: name, as in `named_parameters()`, -> tensor with any leading lane axes.
        """
        if "steps.raw" in parameters:
            self.steps.project_(parameters["steps.raw"])

    def _block(self, parameters: TimeVariableParameters, block: int) -> nn.Module:
        return _layer(parameters, parameters.num_inputs(block))

    def _opening_and_blocks(self, opened: Tensor, factors: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return y_1, and the factors of the layers after it, each a number."""
        each = list(factors.unbind())
        return (each[0] * opened, each[1:]) if self.has_opening_step else (opened, each)


class TimeResnet(TimeVariableNetwork):
    """y_1 = tau_0 f(K_0 u + b_0), y_{l+1} = y_l + tau_l f(K_l y_l + b_l), or with W f in place of f."""

    def propagate(self, opened: Tensor, steps: Tensor) -> Iterator[Tensor]:
        """Yield the states of explicit Euler steps."""
        state, block_steps = self._opening_and_blocks(opened, steps)
        yield state
        for layer, step in zip(self.layers[1:], block_steps, strict=True):
            rate = layer(state)
            state = state + step * (rate if isinstance(layer, TwoWeights) else self.activation(rate))
            yield state

    def _block(self, parameters: TimeVariableParameters, block: int) -> nn.Module:
        if isinstance(parameters, TimeResnetParameters) and parameters.block == "two_weight":
            return TwoWeights(parameters)
        return super()._block(parameters, block)


class TwoWeights(nn.Module):
    """W f(K y + b), the residual of a block with two weights: K and b are `inner`, W is `outer`."""

    def __init__(self, parameters: TimeVariableParameters) -> None:
        super().__init__()
        self.inner = _layer(parameters, parameters.num_nodes)
        self.outer = _layer(parameters, parameters.num_nodes, bias=False)
        self.activation = ACTIVATIONS[parameters.activation]

    def forward(self, state: Tensor) -> Tensor:
        """Return the residual, in the shape of the state."""
        return self.outer(self.activation(self.inner(state)))


class TimeDensenet(TimeVariableNetwork):
    """y_{l+1} = y_l + tau_l f(K_l [y_1; ...; y_l] + b_l), or z_{l+1} = [z_l; tau_l f(K_l z_l + b_l)]."""

    def __init__(self, parameters: TimeDensenetParameters, task: Task, generator: torch.Generator) -> None:
        super().__init__(parameters, task, generator)
        self.is_additive = parameters.connection == "additive"

    def propagate(self, opened: Tensor, steps: Tensor) -> Iterator[Tensor]:
        """Yield y_l where layers add, z_l where they append."""
        state, block_steps = self._opening_and_blocks(opened, steps)
        every = state
        yield state
        for layer, step in zip(self.layers[1:], block_steps, strict=True):
            change = step * self.activation(layer(every))
            state = state + change if self.is_additive else change
            every = torch.cat([every, state], 1)
            yield state if self.is_additive else every


class FractionalDnn(TimeVariableNetwork):
    """y_{j+1} = y_j - sum_{k<j} a_{j,k} (y_{k+1} - y_k) + tau_j^gamma Gamma(2 - gamma) f(K_j y_j + b_j), y_0 = 0."""

    def __init__(self, parameters: FractionalDnnParameters, task: Task, generator: torch.Generator) -> None:
        super().__init__(parameters, task, generator)
        self.fractional_order = parameters.fractional_order

    def propagate(self, opened: Tensor, steps: Tensor) -> Iterator[Tensor]:
        """Yield the states of the explicit L1 scheme."""
        weights = history_weights(steps, self.fractional_order).unbind()
        state, factors = self._opening_and_blocks(opened, force_weights(steps, self.fractional_order))
        increments = [state] if self.has_opening_step else []
        yield state
        for layer, factor in zip(self.layers[1:], factors, strict=True):
            increment = factor * self.activation(layer(state))
            for weight, past in zip(weights[len(increments)].unbind(), increments, strict=False):
                increment = torch.addcmul(increment, weight, past, value=-1)
            increments.append(increment)
            state = state + increment
            yield state


def _layer(parameters: TimeVariableParameters, num_inputs: int, *, bias: bool = True) -> nn.Module:
    if parameters.layer_type == "convolutional":
        return nn.Conv2d(num_inputs, parameters.num_nodes, 3, padding=1, bias=bias)
    return nn.Linear(num_inputs, parameters.num_nodes, bias=bias)
