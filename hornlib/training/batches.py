"""The batches of every run of a chunk; each visits the data in its own seed's order."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from hornlib.data.augmentation import Draws, augmentation_draws, crop_flip
from hornlib.data.loading import Split
from hornlib.data.order import epoch_order
from hornlib.training.chunk import Chunk

__all__ = ["Batches"]


class Batches:
    """Batches of the training steps, and further passes over the data for structures that look at gradients.

    Args:
        chunk: whose runs they are.
        train: the training examples, on the chunk's device.
    """

    def __init__(self, chunk: Chunk, train: Split) -> None:
        self.chunk, self.train = chunk, train
        self.epoch: int | None = None
        self.places: dict[tuple[int, ...], Tensor] = {}

    def at(self, step: int, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return inputs (lanes, batch, ...) and targets of a training step of these rows, counted from 0."""
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
        """Yield so many batches, at most an epoch of them, that are no training step's, for use after `step`.

        The last batch of an epoch is left out if it is smaller than the others, so that a mean over batches is one
        over examples.
        """
        data, training = self.chunk.cell.data, self.chunk.cell.training
        size = min(training.batch_size, data.num_train)
        whole = data.num_train // size
        epoch = -1 - step  # no epoch of the training has this number
        orders, draws = self._stacked(epoch_order, epoch), self._draws(epoch)
        for batch in range(whole if number is None else min(number, whole)):
            yield self._taken(orders[:, batch * size : (batch + 1) * size], draws, rows)

    def _taken(self, index: Tensor, draws: Draws | None, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        lane = self._on_device(rows, index.device).unsqueeze(1)
        index = index if len(rows) == len(index) else index[lane[:, 0]]
        inputs, targets = self.train.inputs[index], self.train.targets[index]
        if draws is not None:
            inputs = crop_flip(inputs, draws.offsets[lane, index], draws.flips[lane, index])
        return inputs, targets

    def _on_device(self, rows: Sequence[int], device: torch.device) -> Tensor:
        """Return the rows as an index, copied to the device once: a copy at every step would be waited for."""
        if tuple(rows) not in self.places:
            self.places[tuple(rows)] = torch.tensor(list(rows), device=device)
        return self.places[tuple(rows)]

    def _draws(self, epoch: int) -> Draws | None:
        if self.chunk.cell.data.augmentation != "crop_flip":
            return None
        num_train, device = self.chunk.cell.data.num_train, self.train.targets.device
        draws = [augmentation_draws(seed, epoch, num_train) for seed in self.chunk.seeds]
        return Draws(*(torch.stack(parts).to(device) for parts in zip(*draws, strict=True)))

    def _stacked(self, draw: Callable[[int, int, int], Tensor], epoch: int) -> Tensor:
        num_train = self.chunk.cell.data.num_train
        return torch.stack([draw(seed, epoch, num_train) for seed in self.chunk.seeds]).to(
            self.train.targets.device
        )
