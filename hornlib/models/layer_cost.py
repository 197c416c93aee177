"""Parameters and work of common layers in closed form, to be added up layer by layer; free of torch."""

import math
from typing import Literal

from hornlib.parameters import Cost

__all__ = [
    "ACTIVATION_COSTS",
    "Activation",
    "Initialisation",
    "LayerActivation",
    "Normalisation",
    "ReadoutBias",
    "ReadoutNorm",
    "activation",
    "convolution",
    "elementwise",
    "linear",
    "normalisation",
    "readout",
    "scaled_widths",
]

Activation = Literal["relu", "relu_one", "tanh", "gelu", "softplus", "leaky_relu", "sigmoid", "silu", "selu"]
LayerActivation = Literal[Activation, "srelu", "all_relu"]
"""Also those that have parameters of their own or depend on their layer: `hornlib.models.layers.LAYER_ACTIVATIONS`."""
Normalisation = Literal["batch", "group", "none"]
Initialisation = Literal["uniform", "he_normal"]
ReadoutNorm = Literal["batch", "none"]
ReadoutBias = Literal["with", "without"]


def elementwise(count: int) -> Cost:
    """Return the cost of `count` operations without parameters: a sum of two maps, or a pool over `count` inputs."""
    return Cost(0, 0, count)


def linear(num_inputs: int, num_outputs: int, *, bias: bool = True) -> Cost:
    """Return the cost of W v + b.

    Args:
        num_inputs: entries of v.
        num_outputs: entries of the result.
        bias: whether there is a b.
    """
    return Cost(num_outputs * (num_inputs + bias), 2 * num_inputs * num_outputs, bias * num_outputs)


def convolution(
    num_inputs: int, num_outputs: int, kernel: int, positions: int, *, bias: bool, groups: int = 1
) -> Cost:
    """Return the cost of a convolution; the zeros of its padding are multiplied like any number.

    Args:
        num_inputs, num_outputs: channels.
        kernel: side of the square kernel, pixels.
        positions: pixels of the output.
        bias: whether there is one.
        groups: parts of the channels that are convolved apart.
    """
    weights = num_outputs * (num_inputs // groups) * kernel**2
    return Cost(weights + bias * num_outputs, 2 * weights * positions, bias * num_outputs * positions)


def normalisation(kind: Normalisation | Literal["layer"], channels: int, positions: int) -> Cost:
    """Return the cost of an affine normalisation: 2 a number for batch norm in evaluation mode, 5 for the others.

    Args:
        kind: which one.
        channels: of the map, or features.
        positions: pixels of the map; 1 for features.
    """
    if kind == "none":
        return Cost()
    return Cost(2 * channels, 0, {"batch": 2, "group": 5, "layer": 5}[kind] * channels * positions)


ACTIVATION_COSTS: dict[LayerActivation, tuple[int, int]] = {
    "relu": (0, 1),
    "relu_one": (0, 1),
    "tanh": (0, 1),
    "sigmoid": (0, 1),
    "softplus": (0, 2),  # log1p(exp x)
    "leaky_relu": (0, 2),  # max(x, a x)
    "silu": (0, 2),  # x sigma(x)
    "selu": (0, 3),  # scale, alpha, expm1
    "gelu": (0, 5),  # x (1 + erf(x / sqrt 2)) / 2
    "all_relu": (0, 2),  # as leaky_relu
    "srelu": (4, 8),  # difference, relu, product and sum, in both outer parts
}
"""Activation -> parameters of one unit, and operations on one number."""


def activation(kind: LayerActivation, num_units: int, positions: int = 1) -> Cost:
    """Return the cost of a nonlinearity, from `ACTIVATION_COSTS`.

    Args:
        kind: which one.
        num_units: numbers that it is applied to; channels where each has several positions.
        positions: numbers of one unit.
    """
    parameters, operations = ACTIVATION_COSTS[kind]
    return Cost(parameters * num_units, 0, operations * num_units * positions)


def readout(
    num_features: int, num_outputs: int, readout_norm: ReadoutNorm, readout_bias: ReadoutBias = "with"
) -> Cost:
    """Return the cost of the last layer that all models share, `hornlib.models.readout.Readout`.

    The normalisation has no parameters and takes 2 operations a feature in evaluation mode.

    Args:
        num_features: numbers of an example that reach the read-out.
        num_outputs: classes, or regressed components.
        readout_norm: normalisation of the features.
        readout_bias: whether the last layer has a bias.
    """
    normalised = 2 * num_features if readout_norm == "batch" else 0
    return elementwise(normalised) + linear(num_features, num_outputs, bias=readout_bias == "with")


def scaled_widths(widths: tuple[int, ...], last: int) -> tuple[int, ...]:
    """Return the widths in the same proportions with another last one; each is at least 1.

    Args:
        widths: one for each layer.
        last: the new last width.
    """
    # Not round(): it rounds halves to even numbers, so that two equal differences of widths become unequal.
    return tuple(max(1, math.floor(width * last / widths[-1] + 0.5)) for width in widths)
