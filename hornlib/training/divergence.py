"""Runs whose loss diverges: they are noticed when losses are read back, frozen, and removed from their group."""

import torch
from torch import Tensor

from hornlib.training.chunk import Chunk, Group

__all__ = ["drop_empty_groups", "read_losses", "take_out"]


def read_losses(chunk: Chunk) -> None:
    """Read the losses back from the device, add them to the sums, and remove the lanes that diverged."""
    for place, group in enumerate(chunk.groups):
        if group.window:
            chunk.groups[place] = _read(chunk, group)
    drop_empty_groups(chunk)


def take_out(chunk: Chunk, group: Group, diverged: Tensor, at: Tensor) -> Group:
    """Record the step at which lanes diverged, and return the group without these lanes.

    Args:
        chunk: its `diverged_at` is changed.
        group: the group with all lanes.
        diverged: (lanes,) bool, on the CPU.
        at: (lanes,), step at which each lane diverged; its other entries are not read.
    """
    for lane, row in enumerate(group.lanes.rows):
        if diverged[lane]:
            chunk.diverged_at[row] = int(at[lane])
    return group.keep([lane for lane in range(len(group.lanes)) if not diverged[lane]])


def _read(chunk: Chunk, group: Group) -> Group:
    losses = torch.stack(group.window)
    limit = chunk.cell.training.divergence_factor * group.first_loss.clamp(min=1.0)
    exploded = (~torch.isfinite(losses[:, 1]) | ~(losses[:, 1] <= limit)).cpu()
    first_step = chunk.step - len(group.window) + 1
    group.window = []
    group.sums[:2] += losses.sum(0)
    group.sums[2] += len(losses)
    if not exploded.any():
        return group
    return take_out(chunk, group, exploded.any(0), first_step + exploded.int().argmax(0))


def drop_empty_groups(chunk: Chunk) -> None:
    """Remove the groups whose lanes have all diverged. One group without lanes stays if all have."""
    chunk.groups = [group for group in chunk.groups if len(group.lanes)] or chunk.groups[:1]
