"""Parameters of the ResNet, DenseNet and Fractional-DNN with learned time steps; free of torch."""

import math
from typing import ClassVar, Literal, Self

from pydantic import Field

from hornlib.models import layer_cost
from hornlib.models.layer_cost import ReadoutBias, ReadoutNorm
from hornlib.models.layer_weights import convolution_weight, linear_weight, readout_weight
from hornlib.models.layered_parameters import LayeredParameters
from hornlib.models.time_variable.steps_parameters import LayerStepsParameters
from hornlib.parameters import Cost, Task, Weight

__all__ = [
    "FractionalDnnParameters",
    "TimeDensenetParameters",
    "TimeResnetParameters",
    "TimeVariableParameters",
]


class TimeVariableParameters(LayerStepsParameters):
    """An opening layer that maps the input to the width of the network, layers of this width, and a read-out."""

    presentations: ClassVar[tuple[str, ...]] = ("image", "vector")

    num_nodes: int = Field(default=100, ge=1)
    """Nodes of each layer; channels if it is convolutional."""
    layer_type: Literal["dense", "convolutional"] = "dense"
    """dense: K y is a matrix product with the flattened example. convolutional: K y is a 3x3 convolution with zero
    padding, and maps are averaged over all pixels before the read-out."""
    opening_pool: int = Field(default=1, ge=1)
    """Side of the square pools after a convolutional opening layer, pixels; 1 keeps every pixel."""
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
        """Return problems of the time steps, and of an input that does not fit the layers."""
        problems = self.steps_problems()
        if self.layer_type == "dense" and self.opening_pool > 1:
            problems.append("opening_pool means nothing to layer_type: dense; leave it out")
        elif self.layer_type == "convolutional" and len(task.input_shape) != 3:
            problems.append(
                "layer_type: convolutional needs images; give presentation: image, or layer_type: dense"
            )
        elif self.layer_type == "convolutional" and self.opening_pool > min(task.input_shape[1:]):
            height, width = task.input_shape[1:]
            problems.append(f"opening_pool: {self.opening_pool}, but the image has {height}x{width} pixels")
        return problems

    def num_features(self) -> int:
        """Return the number of features that the read-out gets: nodes, or channels."""
        return self.num_nodes

    def num_inputs(self, block: int) -> int:
        """Return the number of inputs, nodes or channels, of layer `block` = 1, 2, ..."""
        return self.num_nodes

    def _block_cost(self, block: int, positions: int) -> Cost:
        """Return the cost of layer `block`: by default f(K y + b), the product with tau and the sum with y."""
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

    def weights(self, task: Task) -> list[Weight]:
        """Return the matrices, or kernels, of all layers and of the read-out; biases and time steps stay dense."""
        convolutional, pool = self.layer_type == "convolutional", self.opening_pool
        num_inputs = task.input_shape[0] if convolutional else math.prod(task.input_shape)
        height, width = task.input_shape[1:] if convolutional else (1, 1)
        weights = [self._layer_weight("layers.0.weight", num_inputs, height * width, 0)]
        for block in range(1, self.num_layers):
            positions = (height // pool) * (width // pool)
            for name in self._block_weights():
                weights.append(
                    self._layer_weight(
                        f"layers.{block}.{name}", self.num_inputs(block), positions, len(weights)
                    )
                )
        return [*weights, readout_weight(self.num_features(), task.num_outputs, len(weights))]

    def _block_weights(self) -> tuple[str, ...]:
        """Return the names of the weights of a layer behind the opening one."""
        return ("weight",)

    def _layer_weight(self, name: str, num_inputs: int, positions: int, layer: int) -> Weight:
        if self.layer_type == "convolutional":
            return convolution_weight(name, num_inputs, self.num_nodes, 3, positions, layer)
        return linear_weight(name, num_inputs, self.num_nodes, layer, "hidden" if layer else "input")


class TimeResnetParameters(TimeVariableParameters, LayeredParameters):
    """ResNet with a time step in each layer: y_{l+1} = y_l + tau_l f(K_l y_l + b_l), and y_1 = tau_0 f(K_0 u + b_0).

    Each layer is an explicit Euler step of y' = f(K y + b). tau = 1 gives the ordinary ResNet: set `initial_horizon` to
    the number of steps, and `layer_steps: fixed`. Sources: arXiv 2204.08528 and 2306.16111.
    """

    network: ClassVar[str] = "hornlib.models.time_variable.network:TimeResnet"
    has_removable_layers: ClassVar[bool] = True

    name: Literal["time_resnet"] = "time_resnet"
    block: Literal["one_weight", "two_weight"] = "one_weight"
    """one_weight: y + tau f(K y + b). two_weight: y + tau W f(K y + b), as in the networks of SensLI."""

    def layer_widths(self) -> list[int]:
        """Return the nodes, or channels, of every layer."""
        return [self.num_nodes] * self.num_layers

    def with_layer(self, position: int) -> Self:
        """Return the network with one more layer; `initial_horizon` stays the same."""
        return self.model_copy(update={"num_layers": self.num_layers + 1})

    def without_layer(self, layer: int) -> Self:
        """Return the network with one layer fewer; the other time steps stay the same."""
        return self.model_copy(update={"num_layers": self.num_layers - 1})

    def num_comparable_layers(self) -> int:
        """Return the number of layers; an opening layer has no second weight."""
        return self.num_layers - (self.block == "two_weight")

    def removal_problems(self) -> list[str]:
        """Return why no layer can be removed: the other steps would change, or no network would remain."""
        problems = []
        if self.layer_steps == "simplex" or self.last_step == "dependent":
            setting = "layer_steps: simplex" if self.layer_steps == "simplex" else "last_step: dependent"
            problems.append(f"with {setting} a removed layer would change the steps of the others")
        if not self.removable():
            problems.append(f"num_layers: {self.num_layers} leaves no layer to remove; give more layers")
        return problems

    def removable(self) -> list[int]:
        """Return the layers behind the opening one, which changes the width; none if no network would remain."""
        first = 1 + (self.layer_steps == "partly_fixed" and self.opening_step == "without")
        remains = self.num_layers > 1 and not self.without_layer(1).steps_problems()
        return list(range(first, self.num_layers)) if remains else []

    def map_size(self, layer: int, task: Task) -> tuple[int, int]:
        """Return height and width of a layer's maps, pixels; (1, 1) for dense layers.

        Args:
            layer: number of the layer; maps are pooled behind layer 0.
            task: shape of the input.
        """
        if self.layer_type == "dense":
            return (1, 1)
        _, height, width = task.input_shape
        return (height, width) if layer == 0 else (height // self.opening_pool, width // self.opening_pool)

    def insertion_problems(self) -> list[str]:
        """Return why no block with zero weights can be inserted: it must add nothing and have a gradient."""
        problems = []
        if self.layer_steps == "partly_fixed" and self.opening_step == "without":
            problems.append(
                "layer_steps: partly_fixed with opening_step: without: a layer behind the opening one would take over "
                "the step that is fixed"
            )
        if self.layer_steps == "simplex" or self.last_step == "dependent":
            setting = "layer_steps: simplex" if self.layer_steps == "simplex" else "last_step: dependent"
            problems.append(f"{setting}: the step of an inserted layer would change those of the others")
        if self.block == "one_weight" and self.activation != "tanh":
            problems.append(
                f"activation: {self.activation} of an inserted block with zero weights is not 0 with a gradient; "
                "give tanh, or block: two_weight"
            )
        return problems

    def _block_cost(self, block: int, positions: int) -> Cost:
        total = super()._block_cost(block, positions)
        if self.block == "two_weight":
            total += self._layer_cost(self.num_nodes, positions, bias=False)
        return total

    def _block_weights(self) -> tuple[str, ...]:
        return ("inner.weight", "outer.weight") if self.block == "two_weight" else ("weight",)


class TimeDensenetParameters(TimeVariableParameters):
    """DenseNet with a time step in each layer; the input of a layer is the output of all layers before it.

    additive: y_{l+1} = y_l + tau_l f(K_l [y_1; ...; y_l] + b_l).
    concatenating: z_{l+1} = [z_l; tau_l f(K_l z_l + b_l)], z_1 = y_1; the read-out gets all of z_L.

    Both are our reading: 2204.08528 names the DenseNet, but we did not have its equations. The additive one differs
    from the ResNet only in the argument of f.
    """

    network: ClassVar[str] = "hornlib.models.time_variable.network:TimeDensenet"

    name: Literal["time_densenet"] = "time_densenet"
    connection: Literal["additive", "concatenating"] = "additive"
    """Whether a layer adds to the state, or appends `num_nodes` new nodes to it."""

    def num_inputs(self, block: int) -> int:
        """Return the nodes of all layers before layer `block`."""
        return block * self.num_nodes

    def num_features(self) -> int:
        """Return the number of nodes that the read-out gets: those of the last state, or of all layers."""
        return self.num_nodes * (self.num_layers if self.connection == "concatenating" else 1)

    def _block_cost(self, block: int, positions: int) -> Cost:
        total = super()._block_cost(block, positions)
        if self.connection == "concatenating":  # there is no sum
            total += layer_cost.elementwise(-self.num_nodes * positions)
        return total


class FractionalDnnParameters(TimeVariableParameters):
    """Fractional-DNN: the Caputo derivative of order gamma in depth, d^gamma y = f(K y + b), by the explicit L1 scheme.

    y_{j+1} = y_j - sum_{k<j} a_{j,k} (y_{k+1} - y_k) + tau_j^gamma Gamma(2 - gamma) f(K_j y_j + b_j)
    with the a_{j,k} of `hornlib.dynamics.fractional.history_weights`, differentiable in tau; gamma = 1 is the ResNet.
    If the opening layer has a time step, the state before it is y_0 = 0. Powers of tau need positive steps. Sources:
    arXiv 2204.08528, 2004.00719.
    """

    network: ClassVar[str] = "hornlib.models.time_variable.network:FractionalDnn"

    name: Literal["fractional_dnn"] = "fractional_dnn"
    fractional_order: float = Field(default=0.5, gt=0, le=1)
    """gamma, order of the derivative; 1 is the ResNet. The released codes have 0.5."""
    layer_steps: Literal["projected", "fixed", "softplus", "simplex"] = "projected"
    """projected: after every update tau is projected to at least `least_step`; with a dependent last step the others
    are limited such that the last one is at least that too. fixed: tau keeps its first value. softplus:
    tau = log(1 + e^r) > 0. simplex: tau = T softmax(r), positive with the sum T = `initial_horizon`."""

    def problems(self, task: Task) -> list[str]:
        """Return problems of the base class, and of a time step that could become negative."""
        problems = super().problems(task)
        if self.layer_steps == "softplus" and self.last_step == "dependent":
            problems.append(
                "last_step: dependent may turn negative with layer_steps: softplus, and a fractional derivative "
                "needs positive steps; give projected or simplex"
            )
        return problems

    def _block_cost(self, block: int, positions: int) -> Cost:
        history = block - (self.opening_step == "without")
        total = super()._block_cost(block, positions)
        return total + layer_cost.elementwise(2 * history * self.num_nodes * positions)
