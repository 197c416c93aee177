"""Dropout whose mask is a pure function of a key: a lane drops the same nodes whoever its neighbours are."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

__all__ = ["CounterDropout", "has_dropout", "keep_mask", "set_dropout_keys_"]

GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # SplitMix64's increment, as a signed integer


def _shift_right(bits: Tensor, count: int) -> Tensor:
    """Shift logically; torch shifts signed integers arithmetically."""
    return (bits >> count) & ((1 << (64 - count)) - 1)


def _mix(bits: Tensor) -> Tensor:
    """Scramble 64 bits one to one: SplitMix64's finaliser; the products wrap around."""
    bits = (bits ^ _shift_right(bits, 30)) * (0xBF58476D1CE4E5B9 - 2**64)
    bits = (bits ^ _shift_right(bits, 27)) * (0x94D049BB133111EB - 2**64)
    return bits ^ _shift_right(bits, 31)


def keep_mask(key: Tensor, layer: int, shape: torch.Size, p: float) -> Tensor:
    """Return which elements are kept, each with probability 1 - p.

    Element i draws the i-th number of the SplitMix64 stream whose seed is mix(mix(key) + layer).

    Args:
        key: int64 scalar, one a lane and step.
        layer: number of the layer in its network, so that layers of one width differ.
        shape: of the mask.
        p: probability of dropping.

    Reference:
        Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014.
    """
    start = _mix(_mix(key) + layer)
    index = torch.arange(1, shape.numel() + 1, device=key.device)
    bits = _mix(start + GOLDEN * index)
    return (_shift_right(bits, 11) >= round(p * 2**53)).reshape(shape)


class CounterDropout(nn.Module):
    """Drop each element with probability p and scale the rest by 1/(1-p) in training; the identity else.

    The mask follows from the buffer `dropout_key` alone, which the training loop sets anew before each step
    (`set_dropout_keys_`); until then it is 0. The key is no part of the state dict: it follows from seed and
    step.

    Args:
        p: probability of dropping, 0 <= p < 1.
        layer: number of this layer in its network, unique there.
    """

    dropout_key: Tensor

    def __init__(self, p: float, layer: int) -> None:
        super().__init__()
        self.p, self.layer = p, layer
        if p > 0:
            self.register_buffer("dropout_key", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs of any shape, thinned out in training."""
        if not self.training or self.p == 0:
            return inputs
        keep = keep_mask(self.dropout_key, self.layer, inputs.shape, self.p)
        return inputs * (keep.to(inputs.dtype) / (1 - self.p))

    def extra_repr(self) -> str:
        """Show p and the layer's number."""
        return f"p={self.p}, layer={self.layer}"


def has_dropout(buffers: Iterable[str]) -> bool:
    """Return whether a network with buffers of these names drops anything, and so wants keys."""
    return any(_is_key(name) for name in buffers)


def _is_key(name: str) -> bool:
    return name.rpartition(".")[2] == "dropout_key"


def set_dropout_keys_(buffers: dict[str, Tensor], keys: Tensor) -> None:
    """Give every dropout layer its lanes' keys, in place; nothing happens in a network without dropout.

    The loop derives one key for each (seed of the lane, step), e.g.
    `torch.tensor([derive_seed("dropout", seed, step) for seed in seeds])`.

    Args:
        buffers: buffers by name, stacked over lanes as by `torch.func.stack_module_state`.
        keys: int64, (lanes,); a scalar for buffers that are not stacked.
    """
    for name, buffer in buffers.items():
        if _is_key(name):
            buffer.copy_(keys)
