"""Layers that several models share: activations by name and the normalisation of feature maps."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hornlib.models.cost import Normalisation

__all__ = ["ACTIVATIONS", "normalisation_2d"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "gelu": nn.functional.gelu,
}


def normalisation_2d(kind: Normalisation, channels: int) -> nn.Module:
    """Return the affine normalisation of maps (batch, channels, height, width), or the identity for "none".

    Group norm takes gcd(8, channels) groups, so that any width has whole ones.
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "group":
        return nn.GroupNorm(math.gcd(8, channels), channels)
    return nn.Identity()
