"""Batches of every run of a chunk. Each run visits the data in the order of its own seed."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from hornlib.data.augmentation import AUGMENTATIONS, AugmentationDraws
from hornlib.data.loading import Split
from hornlib.data.order import epoch_order
from hornlib.training.chunk import Chunk

__all__ = ["Batches"]


class Batches:
    """Batches of the training steps, and further batches for structures that look at gradients.

    Args:
        chunk: the runs.
        train: the training examples, on the chunk's device.
    """

    def __init__(self, chunk: Chunk, train: Split) -> None:
        self.chunk, self.train = chunk, train
        self.epoch: int | None = None
        self.places: dict[tuple[int, ...], Tensor] = {}

    def at(self, step: int, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return inputs (lanes, batch, ...) and targets (lanes, batch, ...) of a training step.

        Args:
            step: index of the step, 0 for the first.
            rows: rows of the chunk that are wanted, one lane for each.
        """
        training, num_train = self.chunk.cell.training, self.chunk.cell.data.num_train
        if training.batch_size >= num_train and self.chunk.cell.data.augmentation == "none":
            inputs, targets = self.train  # the mean over all examples has no order
            return inputs.expand(len(rows), *inputs.shape), targets.expand(len(rows), *targets.shape)
        epoch, batch = divmod(step, training.steps_per_epoch(num_train))
        if epoch != self.epoch:
            self.epoch = epoch
            self.orders = self._stacked(epoch_order, epoch)
            self.draws = self._draws(epoch)
        chosen = slice(batch * training.batch_size, (batch + 1) * training.batch_size)
        return self._taken(self.orders[:, chosen], self.draws, rows)

    def further(self, step: int, rows: Sequence[int], number: int | None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield inputs (lanes, batch, ...) and targets of batches that belong to no training step.

        The last batch of an epoch is skipped if it is smaller than the others, so that a mean over batches is a mean
        over examples.

        Args:
            step: training steps done. Each step has different batches.
            rows: rows of the chunk that are wanted, one lane for each.
            number: number of batches; None, or more than an epoch has: one epoch.
        """
        data, training = self.chunk.cell.data, self.chunk.cell.training
        size = min(training.batch_size, data.num_train)
        whole = data.num_train // size
        epoch = -1 - step  # a number that no epoch of the training has
        orders, draws = self._stacked(epoch_order, epoch), self._draws(epoch)
        for batch in range(whole if number is None else min(number, whole)):
            yield self._taken(orders[:, batch * size : (batch + 1) * size], draws, rows)

    def _taken(
        self, index: Tensor, draws: AugmentationDraws | None, rows: Sequence[int]
    ) -> tuple[Tensor, Tensor]:
        lane = self._on_device(rows, index.device).unsqueeze(1)
        index = index if len(rows) == len(index) else index[lane[:, 0]]
        # whole rows are copied, in half of the time of `inputs[index]`
        inputs, targets = (
            examples.index_select(0, index.flatten()).unflatten(0, index.shape) for examples in self.train
        )
        if draws is not None:
            augmentation = AUGMENTATIONS[self.chunk.cell.data.augmentation]
            inputs = augmentation.augmented(inputs, *(part[lane, index] for part in draws))
        return inputs, targets

    def _on_device(self, rows: Sequence[int], device: torch.device) -> Tensor:
        """Return the rows as an index on the device, which is cached."""
        if tuple(rows) not in self.places:
            self.places[tuple(rows)] = torch.tensor(list(rows)).to(device, non_blocking=True)
        return self.places[tuple(rows)]

    def _draws(self, epoch: int) -> AugmentationDraws | None:
        data, device = self.chunk.cell.data, self.train.targets.device
        if data.augmentation == "none":
            return None
        draw = AUGMENTATIONS[data.augmentation].draws
        draws = [draw(seed, epoch, data.num_train) for seed in self.chunk.seeds]
        return tuple(torch.stack(parts).to(device, non_blocking=True) for parts in zip(*draws, strict=True))

    def _stacked(self, draw: Callable[[int, int, int], Tensor], epoch: int) -> Tensor:
        num_train = self.chunk.cell.data.num_train
        orders = torch.stack([draw(seed, epoch, num_train) for seed in self.chunk.seeds])
        return orders.to(self.train.targets.device, non_blocking=True)
