"""Parts that several models share: activations by name, normalisation of maps, frozen weights."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hornlib.models.layer_cost import Normalisation

__all__ = ["ACTIVATIONS", "freeze_", "normalisation_2d"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "gelu": nn.functional.gelu,
    "softplus": nn.functional.softplus,
}


def normalisation_2d(kind: Normalisation, channels: int) -> nn.Module:
    """Return the affine normalisation of maps (batch, channels, height, width), or the identity for "none".

    Group norm has gcd(8, channels) groups, so that all groups are of equal size.

    Args:
        kind: batch, group or none.
        channels: of the maps.
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        return nn.GroupNorm(math.gcd(8, channels), channels)
    return nn.Identity()


def freeze_(module: nn.Module) -> None:
    """Turn the module's own parameters into buffers, which keep their values and do not count as trained numbers."""
    for name, parameter in list(module.named_parameters(recurse=False)):
        delattr(module, name)
        module.register_buffer(name, parameter.detach())
