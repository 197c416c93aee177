"""How many lanes to train at once: the fastest by a timed trial, never slower than one by one."""

import time
from collections.abc import Sequence

import torch

from hornlib.data.loading import Splits
from hornlib.training.chunk import Chunk, Lane, start_lanes
from hornlib.training.loop import train_step

__all__ = ["chunk_width", "fastest_width", "is_out_of_memory", "seconds_a_lane_step", "warm_up"]

GAIN = 0.95
"""A width is taken only if its time falls below this share of the best so far: a trial is noisy."""

GIVE_UP = 1.5
"""Wider chunks are not tried once one was slower than the best by this factor."""

PATIENCE = 2.0
"""Seconds of trial steps at one width, at most (but two steps are always timed)."""


def chunk_width(lanes: int | str, rows: Sequence[Lane], splits: Splits) -> int:
    """Return the number of lanes trained at once: as asked for, or by trial for `auto`."""
    if isinstance(lanes, int):
        return min(lanes, len(rows))
    return fastest_width(rows, splits)


def fastest_width(rows: Sequence[Lane], splits: Splits) -> int:
    """Return the width with the least time a lane and step, among 1, 2, 4, ... and all runs."""
    widths = sorted({1, len(rows), *(2**k for k in range(1, len(rows).bit_length()) if 2**k < len(rows))})
    best, least = 1, float("inf")
    for width in widths:
        try:
            seconds = seconds_a_lane_step(rows[:width], splits)
        except RuntimeError as error:
            if width == 1 or not is_out_of_memory(error):
                raise
            break
        if seconds < least * GAIN:
            best, least = width, seconds
        elif seconds > least * GIVE_UP:
            break
    return best


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether torch ran out of memory; on a CPU it raises a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def seconds_a_lane_step(rows: Sequence[Lane], splits: Splits, repetitions: int = 5) -> float:
    """Return the shortest time of a training step on real batches, seconds, divided by the number of lanes."""
    chunk, inputs, targets = _trial(rows, splits)
    times: list[float] = []
    while len(times) < 2 or (len(times) <= repetitions and sum(times) < PATIENCE):
        times.append(_timed_step(chunk, inputs, targets))
    return min(times[1:]) / len(rows)  # the first step warms caches up


def warm_up(rows: Sequence[Lane], splits: Splits) -> None:
    """Make one step on lanes that are thrown away, so that no run's clock pays for first calls and caches."""
    _timed_step(*_trial(rows, splits))


def _trial(rows: Sequence[Lane], splits: Splits) -> tuple[Chunk, torch.Tensor, torch.Tensor]:
    device = splits.train.targets.device
    chunk = start_lanes(rows, device)
    batch = torch.arange(min(chunk.cell.training.batch_size, len(splits.train.targets)), device=device)
    index = batch.expand(len(rows), -1)
    return chunk, splits.train.inputs[index], splits.train.targets[index]


def _timed_step(chunk: Chunk, inputs: torch.Tensor, targets: torch.Tensor) -> float:
    started = time.perf_counter()
    (group,) = chunk.groups
    train_step(chunk, group, inputs, targets, total_steps=1_000_000)
    chunk.step += 1
    group.window.pop().cpu()  # waits for the device
    return time.perf_counter() - started
