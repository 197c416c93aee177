"""Memory layout of feature maps, and work on single channels, the same for a network alone and in lanes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["channels_last", "channelwise", "is_in_lanes"]


def channels_last(maps: Tensor) -> Tensor:
    """Return the same maps (batch, channels, height, width) in channels-last memory on a CPU; elsewhere the identity.

    Depthwise convolutions are two to ten times as fast in this layout; elementwise work and convolutions preserve it.
    Under `torch.vmap` the lanes are folded into the channels, as vmap's convolutions need them. With channels innermost
    but lanes outermost every convolution would copy its input.
    """
    return _ChannelsLast.apply(maps) if maps.device.type == "cpu" else maps


def channelwise(function: Callable[..., Tensor], maps: Tensor, *vectors: Tensor) -> Tensor:
    """Return `function(maps, *vectors)`; under `torch.vmap` it is called once, with the lanes folded into the channels.

    vmap's own rules for pooling and batch norm copy maps or pass over them several times.

    Args:
        function: works on every channel alone.
        maps: (batch, channels, height, width).
        vectors: (channels,) each. A batched one that the function changes in place is changed.
    """
    return _Channelwise.apply(function, maps, *vectors) if is_in_lanes(maps) else function(maps, *vectors)


def is_in_lanes(tensor: Tensor) -> bool:
    """Return whether a tensor has an axis of lanes that the innermost `torch.vmap` hides."""
    answer: bool = torch._C._functorch.is_batchedtensor(tensor)
    return answer


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


class _Channelwise(torch.autograd.Function):
    """The rule of `channelwise` under vmap. Autograd sees what the rule calls, so there is no backward pass here."""

    @staticmethod
    def forward(function: Callable[..., Tensor], maps: Tensor, *vectors: Tensor) -> Tensor:
        """Return the function of maps (batch, channels, height, width) and vectors (channels,)."""
        return function(maps, *vectors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Store nothing of maps (batch, channels, height, width)."""

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple[int | None, ...],
        function: Callable[..., Tensor],
        maps: Tensor,
        *vectors: Tensor,
    ) -> tuple[Tensor, int]:
        """Return maps (batch, lanes, channels, height, width) of the function of (batch, lanes x channels, ...)."""
        _, of_maps, *of_vectors = in_dims
        assert of_maps is not None, "channelwise calls it for maps in lanes alone"
        lanes = info.batch_size
        folded = maps.movedim(of_maps, 1).flatten(1, 2)
        # Views, since a change of a copy in place would be lost.
        joined = [
            vector.repeat(lanes) if axis is None else vector.movedim(axis, 0).view(-1)
            for vector, axis in zip(vectors, of_vectors, strict=True)
        ]
        return channelwise(function, folded, *joined).unflatten(1, (lanes, -1)), 1
