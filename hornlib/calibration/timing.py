"""Time of a lone lane's training step, measured in blocks of steps on random examples."""

import math
import time
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from hornlib.data.augmentation import AUGMENTATIONS
from hornlib.data.loading import Split
from hornlib.data.order import epoch_order
from hornlib.grid.cell import Cell
from hornlib.randomness import generator
from hornlib.structures.interface import Moment
from hornlib.training.batches import Batches
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_step
from hornlib.training.restructuring import restructure, structure_of

__all__ = ["BLOCK_SECONDS", "TimedLane", "clock_of", "random_examples"]

NUM_EXAMPLES = 4096
"""Number of random examples, or the batch size if that is larger; the time of a step does not depend on values."""

BLOCK_SECONDS = 0.2
"""Intended duration of a block of steps, s."""

FEWEST_STEPS, MOST_STEPS = 2, 200
"""Limits of the number of steps in a block."""

WARM_UP_STEPS = 3


def random_examples(cell: Cell, device: torch.device) -> Split:
    """Return random examples with the shapes of a cell's data, without reading a file.

    Args:
        cell: its dataset gives the shapes and the loss.
        device: device of the examples.
    """
    draws = generator("calibration examples")
    task, number = cell.task(), max(NUM_EXAMPLES, min(cell.training.batch_size, cell.data.num_train))
    inputs = torch.randn(number, *task.input_shape, generator=draws)
    if cell.data.loss == "cross_entropy":
        targets = torch.randint(task.num_outputs, (number,), generator=draws)
    else:
        targets = torch.randn(number, task.num_outputs, generator=draws)
    return Split(inputs.to(device), targets.to(device))


def clock_of(device: torch.device) -> Callable[[], float]:
    """Return the clock that times steps, s: processor time where one CPU thread computes, else the wall clock.

    Other programs on the machine take wall time, and no processor time of this process. The processor time of several
    threads is their sum, which is no duration; and while a GPU computes, the CPU waits.
    """
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.process_time if alone else time.perf_counter


class FirstBatch(Batches):
    """The first random examples, whatever batch a structure asks for before the first step."""

    def at(self, step: int, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return inputs (lanes, batch, ...) and targets (lanes, batch, ...); see `Batches.at`."""
        size = min(self.chunk.cell.training.batch_size, self.chunk.cell.data.num_train)
        inputs, targets = (part[:size] for part in self.train)
        return inputs.expand(len(rows), *inputs.shape), targets.expand(len(rows), *targets.shape)

    def further(self, step: int, rows: Sequence[int], number: int | None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the same examples once; see `Batches.further`."""
        yield self.at(step, rows)


class TimedLane:
    """A lone lane, seed 0, whose training steps are timed: those of the training loop, with the choice of a batch.

    Masks, or a network that stores connections alone, come from the structure's own decision before the first step.
    A structure that decides later, such as gradual pruning, begins with full masks: they take the same time. The time
    of later decisions is not measured.

    Args:
        cell: the cell to train.
        examples: from `random_examples`; the lane is trained on their device.
    """

    def __init__(self, cell: Cell, examples: Split) -> None:
        device = examples.targets.device
        self.cell, self.examples = cell, examples
        self.batch_size = min(cell.training.batch_size, cell.data.num_train)
        self.chunk = start_chunk(cell, [0], device)
        self._choose_connections()
        (self.group,) = self.chunk.groups
        self.order = epoch_order(0, 0, len(examples.targets)).to(device)
        self.augmentation = AUGMENTATIONS.get(cell.data.augmentation)
        if self.augmentation is not None:
            draws = self.augmentation.draws(0, 0, len(examples.targets))
            self.draws = [part.to(device) for part in draws]

    def _choose_connections(self) -> None:
        cell, training, num_train = self.cell, self.cell.training, self.cell.data.num_train
        if not cell.is_masked() and cell.trained_model() == cell.model:
            return
        structure = structure_of(cell)
        assert structure is not None, "only a structure chooses connections"
        start = Moment(0, training.total_steps(num_train), training.steps_per_epoch(num_train), False)
        if structure.is_due(start):
            restructure(self.chunk, structure, FirstBatch(self.chunk, self.examples))
            return
        (group,) = self.chunk.groups
        names = cell.structure.connections(cell.model, cell.task())
        group.masks = {
            name: torch.ones_like(group.lanes.parameters[name], dtype=torch.bool) for name in names
        }

    def steps(self, number: int) -> float:
        """Make this number of training steps, and return the time until the device has finished them, s."""
        clock = clock_of(self.examples.targets.device)
        started = clock()
        for _ in range(number):
            self._step()
        self.group.window[-1].cpu()  # waits for the device
        elapsed = clock() - started
        self.group.window.clear()
        return elapsed

    def block(self) -> tuple[float, int]:
        """Warm up, then time a block of steps; return the mean time of a step, s, and the number of steps."""
        self.steps(WARM_UP_STEPS)
        estimate = self.steps(FEWEST_STEPS) / FEWEST_STEPS
        number = min(max(math.ceil(BLOCK_SECONDS / estimate), FEWEST_STEPS), MOST_STEPS)
        return self.steps(number) / number, number

    def _step(self) -> None:
        last = len(self.order) // self.batch_size
        start = self.chunk.step % last * self.batch_size
        index = self.order[None, start : start + self.batch_size]
        inputs = self.examples.inputs[index]
        if self.augmentation is not None:
            inputs = self.augmentation.augmented(inputs, *(part[index] for part in self.draws))
        train_step(self.chunk, self.group, inputs, self.examples.targets[index], total_steps=1_000_000)
        self.chunk.step += 1
