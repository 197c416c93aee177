"""Parameters and work of common layers in closed form, to be added up layer by layer; free of torch."""

import math
from typing import Literal, NamedTuple

from hornlib.models.readout_parameters import (
    ReadoutBias,
    ReadoutNorm,
    readout_flops,
    readout_num_parameters,
)
from hornlib.parameters import Flops

__all__ = [
    "Activation",
    "Cost",
    "Normalisation",
    "activation",
    "convolution",
    "elementwise",
    "linear",
    "normalisation",
    "readout",
    "scaled_widths",
]

Activation = Literal["relu", "tanh", "gelu", "softplus"]
Normalisation = Literal["batch", "group", "none"]


class Cost(NamedTuple):
    """What one layer adds to a network, for one example in evaluation mode."""

    num_parameters: int = 0
    products: int = 0
    elementwise: int = 0

    def __add__(self, other: "Cost") -> "Cost":  # type: ignore[override]
        return Cost(*(mine + its for mine, its in zip(self, other, strict=True)))

    @property
    def flops(self) -> Flops:
        """The work without the parameters."""
        return Flops(self.products, self.elementwise)


def elementwise(count: int) -> Cost:
    """Return `count` operations without parameters: a sum of two maps, a pool over `count` inputs."""
    return Cost(0, 0, count)


def linear(num_inputs: int, num_outputs: int, *, bias: bool = True) -> Cost:
    """Return W v + b."""
    return Cost(num_outputs * (num_inputs + bias), 2 * num_inputs * num_outputs, bias * num_outputs)


def convolution(
    num_inputs: int, num_outputs: int, kernel: int, positions: int, *, bias: bool, groups: int = 1
) -> Cost:
    """Return a convolution with a square kernel and zero padding, which is multiplied like any number."""
    weights = num_outputs * (num_inputs // groups) * kernel**2
    return Cost(weights + bias * num_outputs, 2 * weights * positions, bias * num_outputs * positions)


def normalisation(kind: Normalisation, channels: int, positions: int) -> Cost:
    """Return an affine normalisation: 2 a number for batch norm (evaluation mode), 5 for group norm."""
    if kind == "none":
        return Cost()
    return Cost(2 * channels, 0, {"batch": 2, "group": 5}[kind] * channels * positions)


def activation(kind: Activation, count: int) -> Cost:
    """Return relu and tanh at 1 a number, softplus at 2, log1p(exp x), gelu at 5: x (1 + erf(x / sqrt 2)) / 2."""
    return elementwise({"relu": 1, "tanh": 1, "softplus": 2, "gelu": 5}[kind] * count)


def readout(
    num_features: int, num_outputs: int, readout_norm: ReadoutNorm, readout_bias: ReadoutBias = "with"
) -> Cost:
    """Return the shared read-out."""
    return Cost(
        readout_num_parameters(num_features, num_outputs, readout_bias),
        *readout_flops(num_features, num_outputs, readout_norm, readout_bias),
    )


def scaled_widths(widths: tuple[int, ...], last: int) -> tuple[int, ...]:
    """Return the widths in their proportions with another last one; at least 1 each."""
    # floor(. + 1/2) and not round(), whose rule of even halves makes two neighbouring widths uneven
    return tuple(max(1, math.floor(width * last / widths[-1] + 0.5)) for width in widths)
