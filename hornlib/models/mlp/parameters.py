"""Parameters of the multilayer perceptron, with its counts in closed form; free of torch."""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from hornlib.models import layer_cost
from hornlib.models.layer_cost import ReadoutNorm
from hornlib.models.layer_weights import linear_weight, readout_weight
from hornlib.models.layered_parameters import LayeredParameters
from hornlib.models.unit_axes import activation_axes, bias_axes, norm_axes, norms_in_use, with_number
from hornlib.parameters import Cost, Task, UnitAxis, Weight, Widths

__all__ = ["MlpParameters"]


class MlpParameters(LayeredParameters):
    """Fully connected layers over the flattened example, whatever its presentation."""

    network: ClassVar[str] = "hornlib.models.mlp.network:Mlp"
    presentations: ClassVar[tuple[str, ...]] = ("image", "rows", "pixels", "permuted_pixels", "vector")

    name: Literal["mlp"] = "mlp"
    hidden_nodes: Widths = Field(default=(128, 128), min_length=1)
    """Nodes of each hidden layer."""
    activation: layer_cost.LayerActivation = "relu"
    """The nonlinearity of the hidden layers. relu_one is relu with slope 1 at 0. srelu has four learned numbers per
    node. all_relu changes the sign of its slope below 0 from layer to layer."""
    all_relu_slope: float = Field(default=0.6, gt=0)
    """The slope of all_relu below 0 in every odd hidden layer; minus the slope in every even one."""
    bias: layer_cost.ReadoutBias = "with"
    """without omits the biases of all layers and of the read-out."""
    initialisation: layer_cost.Initialisation = "uniform"
    """First weights and biases of a layer of n inputs. uniform: both within 1 / sqrt(n), the default of torch.
    he_normal: weights of variance 2 / n, which keeps the size of signals behind relus (He et al. 2015, Delving deep
    into rectifiers, equation 10); biases are 0."""
    normalisation: Literal["batch", "layer", "none"] = "none"
    """Affine normalisation before each activation."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Probability of dropping a hidden node in training."""
    readout_norm: ReadoutNorm = "batch"
    """Normalisation of the features before the last layer."""
    connections: Widths | None = None
    """Connections of the weights of the hidden layers and of the last layer; null: all. Connections are at random
    places that stay. Weights without all connections are stored and multiplied at their connections alone."""

    @model_validator(mode="after")
    def _slope_has_a_use(self) -> Self:
        default = type(self).model_fields["all_relu_slope"].default
        if self.all_relu_slope != default and self.activation != "all_relu":
            raise ValueError(f"all_relu_slope means nothing to activation: {self.activation}; leave it out")
        return self

    def width(self) -> int:
        """Nodes of the last hidden layer."""
        return self.hidden_nodes[-1]

    def with_width(self, width: int) -> Self:
        """Return the same layers in the same proportions and densities, the last one `width` nodes wide."""
        nodes, connections = layer_cost.scaled_widths(self.hidden_nodes, width), self.connections
        if connections is not None:
            sizes = zip(pairwise((1, *self.hidden_nodes, 1)), pairwise((1, *nodes, 1)), strict=True)
            connections = tuple(
                max(1, count * math.prod(after) // math.prod(before))
                for count, (before, after) in zip(connections, sizes, strict=True)
            )
        return self.model_copy(update={"hidden_nodes": nodes, "connections": connections})

    def with_connections(self, connections: Mapping[str, int], task: Task) -> Self:
        """Return the network that stores only so many connections of its weights.

        Args:
            connections: weight -> number of its connections; other weights stay dense.
            task: shapes of inputs and outputs.
        """
        counts = tuple(connections.get(weight.name, weight.size) for weight in self.weights(task))
        return self.model_copy(update={"connections": counts})

    def masked_form(self, task: Task) -> tuple[Self, dict[str, int]]:
        """Return the network with dense weights, and weight -> number of its connections.

        Args:
            task: shapes of inputs and outputs.
        """
        dense = self.model_copy(update={"connections": None})
        counts = self.connections or self._sizes(task)
        weights = zip(dense.weights(task), counts, strict=True)
        return dense, {weight.name: count for weight, count in weights if count < weight.size}

    def layer_widths(self) -> list[int]:
        """Return the nodes of every hidden layer."""
        return list(self.hidden_nodes)

    def with_layer(self, position: int) -> Self:
        """Return the network with one more layer of the same width behind layer `position`."""
        nodes = self.hidden_nodes
        return self.model_copy(
            update={"hidden_nodes": (*nodes[: position + 1], nodes[position], *nodes[position + 1 :])}
        )

    def units(self) -> tuple[int, ...]:
        """Return the nodes of every hidden layer; none where connections are stored alone."""
        return () if self.connections else self.hidden_nodes

    def with_units(self, layer: int, number: int) -> Self:
        """Return the network with another number of nodes in one hidden layer.

        Args:
            layer: position of the hidden layer.
            number: of its nodes.
        """
        return self.model_copy(update={"hidden_nodes": with_number(self.units(), layer, number)})

    def unit_axes(self, layer: int, task: Task) -> list[UnitAxis]:
        """Return the axes of a layer's nodes: its own tensors, and the weights of the next layer or the read-out.

        Args:
            layer: position of the hidden layer.
            task: shapes of inputs and outputs.
        """
        is_last = layer == len(self.hidden_nodes) - 1
        reader = "readout.linear" if is_last else f"linears.{layer + 1}"
        return [
            UnitAxis(f"linears.{layer}.weight", 0, "incoming"),
            *bias_axes(f"linears.{layer}", self.bias == "with"),
            *norm_axes(f"norms.{layer}", self.normalisation),
            *activation_axes(f"activations.{layer}", self.activation),
            *(norm_axes("readout.norm", self.readout_norm, affine=False) if is_last else []),
            UnitAxis(f"{reader}.weight", 1, "outgoing"),
        ]

    def unit_norms(self, layer: int) -> dict[str, str]:
        """Return the norm before the activation and, of the last hidden layer, that of the read-out.

        Args:
            layer: position of the hidden layer.
        """
        is_last = layer == len(self.hidden_nodes) - 1
        return norms_in_use(
            normalisation=self.normalisation, readout_norm=self.readout_norm if is_last else "none"
        )

    def insertion_problems(self) -> list[str]:
        """Return why no layer can be the identity: that needs a relu before it, no normalisation and no dropout."""
        problems = []
        if self.activation not in ("relu", "relu_one"):
            problems.append(
                f"activation: {self.activation} changes what an inserted identity passes on; give relu"
            )
        if self.normalisation != "none":
            problems.append(
                f"normalisation: {self.normalisation} would change what an inserted layer passes on; give none"
            )
        if self.dropout:
            problems.append("dropout would act on the inserted layer too; leave it out")
        if self.connections is not None:
            problems.append("connections: an inserted identity is a dense layer; leave connections out")
        return problems

    def problems(self, task: Task) -> list[str]:
        """Return why the connections do not fit the weights: their number, or more than a weight has entries."""
        if self.connections is None:
            return []
        sizes = self._sizes(task)
        if len(self.connections) != len(sizes):
            return [
                f"connections: {len(self.connections)} numbers for {len(self.hidden_nodes)} hidden layers and the last "
                f"layer; give {len(sizes)}"
            ]
        return [
            f"connections: {count} in layer {layer}, whose weight has {size} entries; give at most as many"
            for layer, (count, size) in enumerate(zip(self.connections, sizes, strict=True))
            if count > size
        ]

    def cost(self, task: Task) -> Cost:
        """Return the cost of the hidden layers and the read-out; a product counts its connections."""
        widths = (math.prod(task.input_shape), *self.hidden_nodes)
        total = layer_cost.readout(widths[-1], task.num_outputs, self.readout_norm, self.bias)
        for before, after in pairwise(widths):
            total += layer_cost.linear(before, after, bias=self.bias == "with")
            total += layer_cost.normalisation(self.normalisation, after, 1) + layer_cost.activation(
                self.activation, after
            )
        removed = sum(self._sizes(task)) - sum(self.connections) if self.connections else 0
        return total + Cost(-removed, -2 * removed)

    def weights(self, task: Task) -> list[Weight]:
        """Return the matrices of the hidden layers and the read-out; without those that have connections only."""
        widths = (math.prod(task.input_shape), *self.hidden_nodes)
        hidden = [
            linear_weight(f"linears.{layer}.weight", before, after, layer, "hidden" if layer else "input")
            for layer, (before, after) in enumerate(pairwise(widths))
        ]
        weights = [*hidden, readout_weight(widths[-1], task.num_outputs, len(hidden))]
        counts = self.connections or self._sizes(task)
        return [weight for weight, count in zip(weights, counts, strict=True) if count == weight.size]

    def _sizes(self, task: Task) -> list[int]:
        """Return the number of entries of each weight."""
        widths = (math.prod(task.input_shape), *self.hidden_nodes, task.num_outputs)
        return [before * after for before, after in pairwise(widths)]
