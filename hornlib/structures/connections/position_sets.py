"""Sets of positions, one bit for each, so that a set of many positions takes little memory.

A set of positions below `size` is a tensor (lanes, size / 8 rounded up) uint8: the lowest bit of the first byte stands
for position 0.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["num_positions", "position_set", "with_positions"]

_NUM_BITS = torch.tensor([byte.bit_count() for byte in range(256)])


def position_set(positions: Tensor, size: int) -> Tensor:
    """Return the set of some positions of every lane, (lanes, bytes) uint8.

    Args:
        positions: (lanes, number) int64, all different within a lane.
        size: all positions are below it.
    """
    none = torch.zeros(len(positions), -(-size // 8), dtype=torch.uint8, device=positions.device)
    return with_positions(none, list(positions))


def with_positions(members: Tensor, positions: Sequence[Tensor]) -> Tensor:
    """Return the union of a set and further positions, (lanes, bytes) uint8.

    Args:
        members: the set.
        positions: of every lane, (number,) int64, all different; they may be in the set.
    """
    size = 8 * members.shape[1]
    shifted = torch.cat([of_lane + lane * size for lane, of_lane in enumerate(positions)])
    place, bit = shifted >> 3, (1 << (shifted & 7)).to(torch.uint8)
    before = members.flatten()
    is_new = (before.index_select(0, place) & bit) == 0
    return before.scatter_add(0, place, bit * is_new).view_as(members)  # unset bits add up to their union


def num_positions(members: Tensor) -> Tensor:
    """Return the number of positions of a set in every lane, (lanes,) int64."""
    return _NUM_BITS.to(members.device)[members.long()].sum(1)
