"""Parameters of the ResNet, DenseNet and Fractional-DNN with learned time steps; free of torch."""

import math
from typing import ClassVar, Literal, Self

from pydantic import Field

from hornlib.models import layer_cost
from hornlib.models.layer_cost import ReadoutBias, ReadoutNorm
from hornlib.models.layered_parameters import LayeredParameters
from hornlib.models.time_variable.steps_parameters import LayerStepsParameters
from hornlib.parameters import Cost, Task

__all__ = [
    "FractionalDnnParameters",
    "TimeDensenetParameters",
    "TimeResnetParameters",
    "TimeVariableParameters",
]


class TimeVariableParameters(LayerStepsParameters):
    """An opening layer that brings the input to its width, layers of that width, and a read-out."""

    presentations: ClassVar[tuple[str, ...]] = ("image", "vector")

    num_nodes: int = Field(default=100, ge=1)
    """Nodes of each layer; channels where it is convolutional."""
    layer_type: Literal["dense", "convolutional"] = "dense"
    """K y: a matrix product with the flattened example, or a 3x3 convolution with zero padding, whose maps are
    averaged over all pixels before the read-out."""
    opening_pool: int = Field(default=1, ge=1)
    """Side of the squares, in pixels, that are averaged after a convolutional opening layer; 1 keeps every pixel."""
    activation: layer_cost.Activation = "relu"
    """The nonlinearity f of every layer."""
    readout_norm: ReadoutNorm = "batch"
    """Normalisation of the features before the last layer; the published networks have none."""
    readout_bias: ReadoutBias = "with"
    """Whether the last layer has a bias; the network of 2306.16111 has none."""

    def width(self) -> int:
        """Nodes of each layer."""
        return self.num_nodes

    def with_width(self, width: int) -> Self:
        """Return the same layers with `width` nodes each."""
        return self.model_copy(update={"num_nodes": width})

    def problems(self, task: Task) -> list[str]:
        """Say when steps are asked for what they cannot do, or the input does not fit the layers."""
        found = self.steps_problems()
        if self.layer_type == "dense" and self.opening_pool > 1:
            found.append("opening_pool means nothing to layer_type: dense; leave it out")
        elif self.layer_type == "convolutional" and len(task.input_shape) != 3:
            found.append(
                "layer_type: convolutional needs images; give presentation: image, or layer_type: dense"
            )
        elif self.layer_type == "convolutional" and self.opening_pool > min(task.input_shape[1:]):
            height, width = task.input_shape[1:]
            found.append(f"opening_pool: {self.opening_pool}, but the image has {height}x{width} pixels")
        return found

    def num_features(self) -> int:
        """Return the nodes, or channels, that are read out."""
        return self.num_nodes

    def num_inputs(self, block: int) -> int:
        """Return the nodes, or channels, that layer `block` = 1, 2, ... takes its input from."""
        return self.num_nodes

    def _block_cost(self, block: int, positions: int) -> Cost:
        """Return layer `block`: by default f(K y + b), its product with tau and its sum with y."""
        nodes = self.num_nodes * positions
        total = self._layer_cost(self.num_inputs(block), positions) + layer_cost.activation(
            self.activation, nodes
        )
        return total + layer_cost.elementwise(2 * nodes)

    def _layer_cost(self, num_inputs: int, positions: int, *, bias: bool = True) -> Cost:
        if self.layer_type == "convolutional":
            return layer_cost.convolution(num_inputs, self.num_nodes, 3, positions, bias=bias)
        return layer_cost.linear(num_inputs, self.num_nodes, bias=bias)

    def cost(self, task: Task) -> Cost:
        """Return the cost of all layers and the read-out; the learned time steps are parameters too."""
        convolutional = self.layer_type == "convolutional"
        channels, height, width = task.input_shape if convolutional else (math.prod(task.input_shape), 1, 1)
        total = Cost(num_parameters=self.num_learned_steps) + self._layer_cost(channels, height * width)
        total += layer_cost.activation(self.activation, self.num_nodes * height * width)
        if self.opening_pool > 1:
            total += layer_cost.elementwise(self.num_nodes * height * width)
        positions = (height // self.opening_pool) * (width // self.opening_pool)
        total += layer_cost.elementwise((self.opening_step == "with") * self.num_nodes * positions)
        for block in range(1, self.num_layers):
            total += self._block_cost(block, positions)
        total += layer_cost.elementwise(convolutional * self.num_features() * positions)
        return total + layer_cost.readout(
            self.num_features(), task.num_outputs, self.readout_norm, self.readout_bias
        )


class TimeResnetParameters(TimeVariableParameters, LayeredParameters):
    """ResNet with a time step a layer: y_{l+1} = y_l + tau_l f(K_l y_l + b_l), and y_1 = tau_0 f(K_0 u + b_0).

    An explicit Euler step of y' = f(K y + b); tau = 1 (`initial_horizon` = the number of steps, `layer_steps:
    fixed`) is the ordinary ResNet. Sources: arXiv 2204.08528 and 2306.16111.
    """

    network: ClassVar[str] = "hornlib.models.time_variable.network:TimeResnet"

    name: Literal["time_resnet"] = "time_resnet"
    block: Literal["one_weight", "two_weight"] = "one_weight"
    """one_weight: y + tau f(K y + b). two_weight: y + tau W f(K y + b), as in the networks of SensLI."""

    def layer_widths(self) -> list[int]:
        """Return the nodes, or channels, of every layer."""
        return [self.num_nodes] * self.num_layers

    def with_layer(self, position: int) -> Self:
        """Return the network with one more layer; its step does not change `initial_horizon`."""
        return self.model_copy(update={"num_layers": self.num_layers + 1})

    def without_layer(self, layer: int) -> Self:
        """Return the network with one layer less; the other steps stay as they are."""
        return self.model_copy(update={"num_layers": self.num_layers - 1})

    def removable(self) -> list[int]:
        """Return the layers behind the opening one, which changes the width, as long as a network remains."""
        first = 1 + (self.layer_steps == "partly_fixed" and self.opening_step == "without")
        remains = self.num_layers > 1 and not self.without_layer(1).steps_problems()
        return list(range(first, self.num_layers)) if remains else []

    def map_size(self, layer: int, task: Task) -> tuple[int, int]:
        """Return height and width of the maps, pooled behind the opening layer, pixels; (1, 1) of dense layers."""
        if self.layer_type == "dense":
            return (1, 1)
        _, height, width = task.input_shape
        return (height, width) if layer == 0 else (height // self.opening_pool, width // self.opening_pool)

    def insertion_problems(self) -> list[str]:
        """A block whose weight is zero adds nothing; its gradient must not be zero too."""
        found = []
        if self.layer_steps == "partly_fixed" and self.opening_step == "without":
            found.append(
                "layer_steps: partly_fixed with opening_step: without: a layer behind the opening one would take over "
                "the step that is fixed"
            )
        if self.layer_steps == "simplex" or self.last_step == "dependent":
            kept = "layer_steps: simplex" if self.layer_steps == "simplex" else "last_step: dependent"
            found.append(f"{kept}: the step of an inserted layer would change those of the others")
        if self.block == "one_weight" and self.activation != "tanh":
            found.append(
                f"activation: {self.activation} of an inserted block with zero weights is not 0 with a gradient; "
                "give tanh, or block: two_weight"
            )
        return found

    def _block_cost(self, block: int, positions: int) -> Cost:
        total = super()._block_cost(block, positions)
        if self.block == "two_weight":
            total += self._layer_cost(self.num_nodes, positions, bias=False)
        return total


class TimeDensenetParameters(TimeVariableParameters):
    """DenseNet with a time step a layer, every layer fed with all before it.

    additive: y_{l+1} = y_l + tau_l f(K_l [y_1; ...; y_l] + b_l).
    concatenating: z_{l+1} = [z_l; tau_l f(K_l z_l + b_l)], z_1 = y_1; all of z_L is read out.

    Both are our reading: 2204.08528 names the DenseNet, but its equations were not at hand. The additive one
    differs from the ResNet in the argument of f alone.
    """

    network: ClassVar[str] = "hornlib.models.time_variable.network:TimeDensenet"

    name: Literal["time_densenet"] = "time_densenet"
    connection: Literal["additive", "concatenating"] = "additive"
    """Whether a layer adds to the state, or appends `num_nodes` new nodes to it."""

    def num_inputs(self, block: int) -> int:
        """Return the nodes of all layers before layer `block`."""
        return block * self.num_nodes

    def num_features(self) -> int:
        """Return the nodes that are read out: of the last state, or of all layers."""
        return self.num_nodes * (self.num_layers if self.connection == "concatenating" else 1)

    def _block_cost(self, block: int, positions: int) -> Cost:
        total = super()._block_cost(block, positions)
        if self.connection == "concatenating":  # nothing is added up
            total += layer_cost.elementwise(-self.num_nodes * positions)
        return total


class FractionalDnnParameters(TimeVariableParameters):
    """Fractional-DNN: the Caputo derivative of order gamma in depth, d^gamma y = f(K y + b), by the explicit L1 scheme.

    y_{j+1} = y_j - sum_{k<j} a_{j,k} (y_{k+1} - y_k) + tau_j^gamma Gamma(2 - gamma) f(K_j y_j + b_j)
    with the a_{j,k} of `hornlib.dynamics.fractional.history_weights`, differentiable in tau; gamma = 1 is the
    ResNet. With a step of its own the opening layer takes y_0 = 0 for the state before it. Powers of tau need
    positive steps. Sources: arXiv 2204.08528, 2004.00719.
    """

    network: ClassVar[str] = "hornlib.models.time_variable.network:FractionalDnn"

    name: Literal["fractional_dnn"] = "fractional_dnn"
    fractional_order: float = Field(default=0.5, gt=0, le=1)
    """gamma, order of the derivative; 1 is the ResNet; 0.5 in the released codes."""
    layer_steps: Literal["projected", "fixed", "softplus", "simplex"] = "projected"
    """projected: after every update tau is put back to at least `least_step`; with a dependent last step the
    others are kept so small that it is at least that too. fixed: it keeps its first value.
    softplus: tau = log(1 + e^r) > 0. simplex: tau = T softmax(r), positive with the sum T = `initial_horizon`."""

    def problems(self, task: Task) -> list[str]:
        """Say when a step could turn negative, too."""
        found = super().problems(task)
        if self.layer_steps == "softplus" and self.last_step == "dependent":
            found.append(
                "last_step: dependent may turn negative with layer_steps: softplus, and a fractional derivative "
                "needs positive steps; give projected or simplex"
            )
        return found

    def _block_cost(self, block: int, positions: int) -> Cost:
        history = block - (self.opening_step == "without")
        total = super()._block_cost(block, positions)
        return total + layer_cost.elementwise(2 * history * self.num_nodes * positions)
