"""The multilayer perceptron: fully connected layers over the flattened example."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from hornlib.models.dropout import CounterDropout
from hornlib.models.layered import NeutralLayer
from hornlib.models.layers import he_normal_, layer_activation
from hornlib.models.mlp.parameters import MlpParameters
from hornlib.models.readout import Readout
from hornlib.models.sparse_linear import linear_layer
from hornlib.parameters import Task

__all__ = ["Mlp"]

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
    "none": nn.Identity,
}
"""Normalisation -> module for so many features."""


class Mlp(nn.Module):
    """u <- dropout(f(norm(W u + b))) for every layer, then the read-out; b may be left out.

    Args:
        parameters: hidden nodes, activation, first weights, normalisation, dropout, read-out.
        task: shape of an example and number of outputs.
        generator: draws the places of connections.
    """

    layer_lists: ClassVar[tuple[str, ...]] = ("linears", "norms", "activations", "dropouts")
    layer_vectors: ClassVar[dict[str, int]] = {}

    def __init__(self, parameters: MlpParameters, task: Task, generator: torch.Generator) -> None:
        super().__init__()
        self.widths = widths = (math.prod(task.input_shape), *parameters.hidden_nodes)
        bias = parameters.bias == "with"
        *hidden, last = parameters.connections or (None,) * len(widths)
        self.linears = nn.ModuleList(
            linear_layer(before, after, connections, generator, bias)
            for (before, after), connections in zip(pairwise(widths), hidden, strict=True)
        )
        self.norms = nn.ModuleList(NORMS[parameters.normalisation](width) for width in widths[1:])
        self.activations = nn.ModuleList(
            layer_activation(parameters.activation, width, layer, parameters.all_relu_slope)
            for layer, width in enumerate(widths[1:])
        )
        self.dropouts = nn.ModuleList(
            CounterDropout(parameters.dropout, layer) for layer in range(len(self.linears))
        )
        self.readout = Readout(
            widths[-1],
            task.num_outputs,
            parameters.readout_norm,
            linear=linear_layer(widths[-1], task.num_outputs, last, generator, bias),
        )
        if parameters.initialisation == "he_normal":
            for num_inputs, layer in zip(widths, (*self.linears, self.readout.linear), strict=True):
                he_normal_(layer, num_inputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (batch, num_outputs) of examples (batch, ...)."""
        features = inputs.flatten(1)
        layers = zip(self.linears, self.norms, self.activations, self.dropouts, strict=True)
        for linear, norm, activation, dropout in layers:
            features = dropout(activation(norm(linear(features))))
        return self.readout(features.contiguous())  # a sparse layer leaves the examples innermost

    def neutral_layer(self, position: int, scale: float) -> NeutralLayer:
        """Return W = I and b = 0, if there is a b: behind a relu this is the identity.

        Args:
            position: of the layer before the new one.
            scale: not used.
        """
        width = self.widths[position + 1]
        name = f"linears.{position + 1}"
        tensors = {f"{name}.weight": torch.eye(width)}
        if self.linears[position].bias is not None:
            tensors[f"{name}.bias"] = torch.zeros(width)
        return NeutralLayer(tensors, f"{name}.weight")
