"""Axes of units in the tensors of common layers, which models list layer by layer; free of torch."""

from typing import Literal

from hornlib.models.layer_cost import LayerActivation, Normalisation
from hornlib.parameters import UnitAxis

__all__ = ["activation_axes", "bias_axes", "norm_axes", "norms_in_use", "with_number"]

BATCH_NORM_STATISTICS = ("running_mean", "running_var")
SRELU_PARAMETERS = ("left", "left_slope", "distance", "right_slope")


def bias_axes(name: str, has_bias: bool) -> list[UnitAxis]:
    """Return the axis of a layer's biases, if it has some.

    Args:
        name: of the layer in the network.
        has_bias: whether it has biases.
    """
    return [UnitAxis(f"{name}.bias", 0, "own")] if has_bias else []


def norm_axes(name: str, kind: Normalisation | Literal["layer"], affine: bool = True) -> list[UnitAxis]:
    """Return the axes of a norm's scales, shifts and running statistics.

    Args:
        name: of the norm in the network.
        kind: which norm.
        affine: whether it has scales and shifts.
    """
    if kind == "none":
        return []
    tensors = (*(("weight", "bias") if affine else ()), *(BATCH_NORM_STATISTICS if kind == "batch" else ()))
    return [UnitAxis(f"{name}.{tensor}", 0, "own") for tensor in tensors]


def activation_axes(name: str, kind: LayerActivation) -> list[UnitAxis]:
    """Return the axes of the learned numbers of an activation.

    Args:
        name: of the activation in the network.
        kind: which one.
    """
    return [UnitAxis(f"{name}.{tensor}", 0, "own") for tensor in SRELU_PARAMETERS if kind == "srelu"]


def norms_in_use(**norms: str) -> dict[str, str]:
    """Return field -> kind of those norms that are not "none", as `ModelParameters.unit_norms` does."""
    return {field: kind for field, kind in norms.items() if kind != "none"}


def with_number(units: tuple[int, ...], layer: int, number: int) -> tuple[int, ...]:
    """Return the numbers of units with another one in one layer.

    Args:
        units: of every layer.
        layer: position of the layer.
        number: of its units.

    Raises:
        ValueError: there is no such layer.
    """
    if not 0 <= layer < len(units):
        raise ValueError(f"layer {layer} has no units that can change; there are {len(units)} such layers")
    return (*units[:layer], number, *units[layer + 1 :])
