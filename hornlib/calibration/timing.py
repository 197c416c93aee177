"""The time of a lone lane's training step, measured block by block on random examples."""

import math
import time

import torch

from hornlib.data.augmentation import augmentation_draws, crop_flip
from hornlib.data.loading import Split
from hornlib.data.order import epoch_order
from hornlib.grid.cell import Cell
from hornlib.randomness import generator
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_step

__all__ = ["BLOCK_SECONDS", "Trial", "random_examples"]

NUM_EXAMPLES = 4096
"""Random examples that batches are drawn from, at least a batch: a step's time does not depend on values."""

BLOCK_SECONDS = 0.2
"""Time that a block of steps should take."""

FEWEST_STEPS, MOST_STEPS = 2, 200
"""Of a block."""

WARM_UP_STEPS = 3


def random_examples(cell: Cell, device: torch.device) -> Split:
    """Return random examples of the shapes that a cell's data have; no file is read."""
    draws = generator("calibration examples")
    task, number = cell.task(), max(NUM_EXAMPLES, min(cell.training.batch_size, cell.data.num_train))
    inputs = torch.randn(number, *task.input_shape, generator=draws)
    if cell.data.loss == "cross_entropy":
        targets = torch.randint(task.num_outputs, (number,), generator=draws)
    else:
        targets = torch.randn(number, task.num_outputs, generator=draws)
    return Split(inputs.to(device), targets.to(device))


class Trial:
    """A lone lane in training, seed 0: what is timed are the loop's own steps, the choice of a batch included.

    Args:
        cell: what is trained.
        examples: from `random_examples`; their device is the trial's.
    """

    def __init__(self, cell: Cell, examples: Split) -> None:
        device = examples.targets.device
        self.cell, self.examples = cell, examples
        self.batch_size = min(cell.training.batch_size, cell.data.num_train)
        self.chunk = start_chunk(cell, [0], device)
        (self.group,) = self.chunk.groups
        self.order = epoch_order(0, 0, len(examples.targets)).to(device)
        self.draws = None
        if cell.data.augmentation == "crop_flip":
            drawn = augmentation_draws(0, 0, len(examples.targets))
            self.draws = drawn.offsets.to(device), drawn.flips.to(device)

    def steps(self, number: int) -> float:
        """Make so many training steps and return the seconds until the device has done them."""
        started = time.perf_counter()
        for _ in range(number):
            self._step()
        self.group.window[-1].cpu()  # waits for the device
        elapsed = time.perf_counter() - started
        self.group.window.clear()
        return elapsed

    def block(self) -> tuple[float, int]:
        """Warm up, then time a block of steps; return the mean time of a step, s, and their number."""
        self.steps(WARM_UP_STEPS)
        estimate = self.steps(FEWEST_STEPS) / FEWEST_STEPS
        number = min(max(math.ceil(BLOCK_SECONDS / estimate), FEWEST_STEPS), MOST_STEPS)
        return self.steps(number) / number, number

    def _step(self) -> None:
        last = len(self.order) // self.batch_size
        start = self.chunk.step % last * self.batch_size
        index = self.order[None, start : start + self.batch_size]
        inputs = self.examples.inputs[index]
        if self.draws is not None:
            offsets, flips = self.draws
            inputs = crop_flip(inputs, offsets[index], flips[index])
        train_step(self.chunk, self.group, inputs, self.examples.targets[index], total_steps=1_000_000)
        self.chunk.step += 1
