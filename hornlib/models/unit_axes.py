"""Axes of units in the tensors of common layers, which models list layer by layer; free of torch."""

from typing import Literal

from hornlib.models.layer_cost import LayerActivation, Normalisation
from hornlib.parameters import UnitAxis

__all__ = ["activation_axes", "norm_axes"]

BATCH_NORM_STATISTICS = ("running_mean", "running_var")
SRELU_PARAMETERS = ("left", "left_slope", "distance", "right_slope")


def norm_axes(
    name: str, kind: Normalisation | Literal["layer"], affine: bool = True, block: int = 1
) -> list[UnitAxis]:
    """Return the axes of a norm's scales, shifts and running statistics.

    Args:
        name: of the norm in the network.
        kind: which norm.
        affine: whether it has scales and shifts.
        block: entries of each unit.
    """
    if kind == "none":
        return []
    tensors = (*(("weight", "bias") if affine else ()), *(BATCH_NORM_STATISTICS if kind == "batch" else ()))
    return [UnitAxis(f"{name}.{tensor}", 0, "own", block) for tensor in tensors]


def activation_axes(name: str, kind: LayerActivation) -> list[UnitAxis]:
    """Return the axes of the learned numbers of an activation.

    Args:
        name: of the activation in the network.
        kind: which one.
    """
    return [UnitAxis(f"{name}.{tensor}", 0, "own") for tensor in SRELU_PARAMETERS if kind == "srelu"]
