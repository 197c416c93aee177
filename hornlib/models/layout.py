"""Memory layout of feature maps, the same for a network alone and in lanes."""

from typing import Any

import torch
from torch import Tensor

__all__ = ["channels_last"]


def channels_last(maps: Tensor) -> Tensor:
    """Return the same maps (batch, channels, height, width) in channels-last memory on a CPU; elsewhere the identity.

    Depthwise convolutions are two to ten times as fast in this layout; elementwise work and convolutions preserve it.
    Under `torch.vmap` the lanes are folded into the channels, as vmap's convolutions need them. With channels innermost
    but lanes outermost every convolution would copy its input.
    """
    return _ChannelsLast.apply(maps) if maps.device.type == "cpu" else maps


class _ChannelsLast(torch.autograd.Function):
    @staticmethod
    def forward(maps: Tensor) -> Tensor:
        """Return the maps (batch, channels, height, width) with the channels innermost in memory."""
        return maps.contiguous(memory_format=torch.channels_last)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Store nothing: the backward pass reads no maps (batch, channels, height, width)."""

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the gradient, (batch, channels, height, width), in the same layout."""
        return gradient.contiguous(memory_format=torch.channels_last)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int], maps: Tensor) -> tuple[Tensor, int]:
        """Return maps (batch, lanes, channels, height, width), laid out as (batch, lanes x channels, ...)."""
        folded = maps.movedim(in_dims[0], 1).flatten(1, 2)
        return channels_last(folded).unflatten(1, (info.batch_size, -1)), 1
