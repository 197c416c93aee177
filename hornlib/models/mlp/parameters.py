"""Parameters of the multilayer perceptron, with its counts in closed form; free of torch."""

import math
from itertools import pairwise
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from hornlib.models import layer_cost
from hornlib.models.layer_cost import ReadoutNorm
from hornlib.models.layer_weights import linear_weight, readout_weight
from hornlib.models.layered_parameters import LayeredParameters
from hornlib.parameters import Cost, Task, Weight, Widths

__all__ = ["MlpParameters"]


class MlpParameters(LayeredParameters):
    """Fully connected layers over the flattened example, whatever its presentation."""

    network: ClassVar[str] = "hornlib.models.mlp.network:Mlp"
    presentations: ClassVar[tuple[str, ...]] = ("image", "rows", "pixels", "permuted_pixels", "vector")

    name: Literal["mlp"] = "mlp"
    hidden_nodes: Widths = Field(default=(128, 128), min_length=1)
    """Nodes of each hidden layer."""
    activation: layer_cost.LayerActivation = "relu"
    """The nonlinearity of the hidden layers. srelu has four learned numbers per node. all_relu changes the sign of its
    slope below 0 from layer to layer."""
    all_relu_slope: float = Field(default=0.6, gt=0)
    """The slope of all_relu below 0 in every odd hidden layer; minus the slope in every even one."""
    normalisation: Literal["batch", "layer", "none"] = "none"
    """Affine normalisation before each activation."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Probability of dropping a hidden node in training."""
    readout_norm: ReadoutNorm = "batch"
    """Normalisation of the features before the last layer."""

    @model_validator(mode="after")
    def _slope_has_a_use(self) -> Self:
        if "all_relu_slope" in self.model_fields_set and self.activation != "all_relu":
            raise ValueError(f"all_relu_slope means nothing to activation: {self.activation}; leave it out")
        return self

    def width(self) -> int:
        """Nodes of the last hidden layer."""
        return self.hidden_nodes[-1]

    def with_width(self, width: int) -> Self:
        """Return the same layers in the same proportions, the last one `width` nodes wide."""
        return self.model_copy(update={"hidden_nodes": layer_cost.scaled_widths(self.hidden_nodes, width)})

    def layer_widths(self) -> list[int]:
        """Return the nodes of every hidden layer."""
        return list(self.hidden_nodes)

    def with_layer(self, position: int) -> Self:
        """Return the network with one more layer of the same width behind layer `position`."""
        nodes = self.hidden_nodes
        return self.model_copy(
            update={"hidden_nodes": (*nodes[: position + 1], nodes[position], *nodes[position + 1 :])}
        )

    def insertion_problems(self) -> list[str]:
        """Return why no layer can be the identity: that needs a relu before it, no normalisation and no dropout."""
        problems = []
        if self.activation != "relu":
            problems.append(
                f"activation: {self.activation} changes what an inserted identity passes on; give relu"
            )
        if self.normalisation != "none":
            problems.append(
                f"normalisation: {self.normalisation} would change what an inserted layer passes on; give none"
            )
        if self.dropout:
            problems.append("dropout would act on the inserted layer too; leave it out")
        return problems

    def cost(self, task: Task) -> Cost:
        """Return the cost of the hidden layers and the read-out."""
        widths = (math.prod(task.input_shape), *self.hidden_nodes)
        total = layer_cost.readout(widths[-1], task.num_outputs, self.readout_norm)
        for before, after in pairwise(widths):
            total += layer_cost.linear(before, after)
            total += layer_cost.normalisation(self.normalisation, after, 1) + layer_cost.activation(
                self.activation, after
            )
        return total

    def weights(self, task: Task) -> list[Weight]:
        """Return the matrices of the hidden layers and the read-out."""
        widths = (math.prod(task.input_shape), *self.hidden_nodes)
        hidden = [
            linear_weight(f"linears.{layer}.weight", before, after, layer, "hidden" if layer else "input")
            for layer, (before, after) in enumerate(pairwise(widths))
        ]
        return [*hidden, readout_weight(widths[-1], task.num_outputs, len(hidden))]
