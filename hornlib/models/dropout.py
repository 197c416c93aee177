"""Dropout whose mask is a pure function of a key: a lane's mask does not depend on the other lanes."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

__all__ = ["CounterDropout", "has_dropout", "keep_mask", "set_dropout_keys_"]

GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # SplitMix64's increment, as a signed integer


def _shift_right(bits: Tensor, count: int) -> Tensor:
    """Shift logically; torch shifts signed integers arithmetically."""
    return (bits >> count).bitwise_and_((1 << (64 - count)) - 1)


def _mix(bits: Tensor) -> Tensor:
    """Return the bits scrambled one to one: SplitMix64's finaliser. Products overflow on purpose."""
    # The products are made in place: a mask of a wide layer is larger than the cache.
    bits = (bits ^ _shift_right(bits, 30)).mul_(0xBF58476D1CE4E5B9 - 2**64)
    bits = bits.bitwise_xor_(_shift_right(bits, 27)).mul_(0x94D049BB133111EB - 2**64)
    return bits.bitwise_xor_(_shift_right(bits, 31))


def keep_mask(key: Tensor, layer: int, shape: torch.Size, p: float) -> Tensor:
    """Return the mask of the elements that are not dropped; each is True with probability 1 - p.

    Element i uses the i-th number of the SplitMix64 stream with the seed mix(mix(key) + layer).

    Args:
        key: int64 scalar, one for each lane and step.
        layer: number of the layer in its network, so that layers of equal width have different masks.
        shape: of the mask.
        p: probability of dropping an element.

    Reference:
        Steele, Lea and Flood, Fast splittable pseudorandom number generators, OOPSLA 2014.
    """
    start = _mix(_mix(key) + layer)
    index = torch.arange(1, shape.numel() + 1, device=key.device)
    bits = _mix(start + GOLDEN * index)
    return (_shift_right(bits, 11) >= round(p * 2**53)).reshape(shape)


class CounterDropout(nn.Module):
    """In training, drop each element with probability p and multiply the others by 1 / (1 - p); else the identity.

    The mask is a function of the buffer `dropout_key`, which the training loop sets before each step
    (`set_dropout_keys_`); it starts at 0. The key is not part of the state dict, since it follows from seed and step.

    Args:
        p: probability of dropping an element, 0 <= p < 1.
        layer: number of this layer in its network, unique there.
    """

    dropout_key: Tensor

    def __init__(self, p: float, layer: int) -> None:
        super().__init__()
        self.p, self.layer = p, layer
        if p > 0:
            self.register_buffer("dropout_key", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs of any shape, such as (batch, features), with elements dropped in training."""
        if not self.training or self.p == 0:
            return inputs
        keep = keep_mask(self.dropout_key, self.layer, inputs.shape, self.p)
        return inputs * (keep.to(inputs.dtype) / (1 - self.p))

    def extra_repr(self) -> str:
        """Show p and the layer's number."""
        return f"p={self.p}, layer={self.layer}"


def has_dropout(buffers: Iterable[str]) -> bool:
    """Return whether a network with buffers of these names has dropout, and so needs keys."""
    return any(_is_key(name) for name in buffers)


def _is_key(name: str) -> bool:
    return name.rpartition(".")[2] == "dropout_key"


def set_dropout_keys_(buffers: dict[str, Tensor], keys: Tensor) -> None:
    """Set the keys of all dropout layers in place; without dropout nothing happens.

    The training loop derives one key for each pair of the lane's seed and the step, for example
    `torch.tensor([derive_seed("dropout", seed, step) for seed in seeds])`.

    Args:
        buffers: buffers by name, (lanes, ...) as of `torch.func.stack_module_state`, or of one network.
        keys: int64, (lanes,); a scalar for the buffers of one network.
    """
    for name, buffer in buffers.items():
        if _is_key(name):
            buffer.copy_(keys)
