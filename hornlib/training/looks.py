"""A look at a batch: losses and gradients of every lane. A training step is a look and an update."""

from typing import NamedTuple

import torch
from torch import Tensor

from hornlib.models.dropout import has_dropout, set_dropout_keys_
from hornlib.models.flops import gradient_flops
from hornlib.models.lanes import LaneGroup
from hornlib.models.sparse_linear import with_dense_gradients
from hornlib.randomness import derive_seed
from hornlib.structures.interface import Tensors
from hornlib.training.batches import Batches
from hornlib.training.chunk import Chunk, Group
from hornlib.training.evaluation import LOSSES

__all__ = ["BatchLook", "ComingLook", "look_at", "record_look_"]


class BatchLook(NamedTuple):
    """Losses and gradients of every lane over its batch.

    Attributes:
        clean: mean loss without penalty, (lanes,).
        total: mean loss with the penalty of the network, (lanes,).
        gradients: of `total`, parameter -> (lanes, ...).
    """

    clean: Tensor
    total: Tensor
    gradients: Tensors


def look_at(chunk: Chunk, lanes: LaneGroup, inputs: Tensor, targets: Tensor, precision: str) -> BatchLook:
    """Return losses and gradients in training mode, as the coming step of the chunk computes them.

    Args:
        chunk: its `step` decides the dropout masks and the momentum of batch norm's running statistics.
        lanes: the networks. Dropout keys and running statistics are written into their buffers.
        inputs: (lanes, batch, ...).
        targets: (lanes, batch) classes, or (lanes, batch, outputs) numbers.
        precision: bf16 for autocast.
    """
    training = chunk.cell.training
    if has_dropout(lanes.buffers):
        keys = [derive_seed("dropout", seed, chunk.step) for seed in lanes.seeds]
        # Without waiting for the device.
        set_dropout_keys_(lanes.buffers, torch.tensor(keys).to(inputs.device, non_blocking=True))
    lanes.set_momentum(training.running_momentum(chunk.step + 1))
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=precision == "bf16"):
        logits, penalty = lanes.forward(inputs, training=True)
    clean = LOSSES[chunk.cell.data.loss](logits.float(), targets, training.label_smoothing).mean(1)
    total = clean + penalty
    gradients = list(torch.autograd.grad(total.sum(), list(lanes.parameters.values())))
    if inputs.device.type == "cpu":
        # Those of matrices in lanes come transposed. Masks and updates would read them against the order of memory,
        # which takes three times as long.
        gradients = [gradient.contiguous() for gradient in gradients]
    return BatchLook(clean.detach(), total.detach(), dict(zip(lanes.parameters, gradients, strict=True)))


def record_look_(chunk: Chunk, group: Group, look: BatchLook) -> None:
    """Record a look as the training step of a group. The losses stay on the device, in `group.window`.

    Args:
        chunk: chunk of the group. Its `step` is the number of steps before this one.
        group: changed in place.
        look: at the batch of this step.
    """
    group.evaluated = None  # its statistics are those of the old weights
    if chunk.step == 0:
        group.first_loss = look.total
    group.window.append(torch.stack([look.clean, look.total]))


class ComingLook:
    """The look of a group at the batch of the coming step. It is taken when it is first asked for, in fp32.

    The networks stay as they are, because running statistics are written into copies.

    Args:
        chunk: the runs in training.
        group: the group that looks.
        batches: batches of the chunk.
    """

    def __init__(self, chunk: Chunk, group: Group, batches: Batches) -> None:
        self._chunk, self._group, self._batches = chunk, group, batches
        self._look: BatchLook | None = None
        self._lanes = group.lanes
        self._batch_size = 0

    def take(self) -> BatchLook:
        """Return the look."""
        if self._look is None:
            chunk, lanes = self._chunk, self._group.lanes
            inputs, targets = self._batches.at(chunk.step, lanes.rows)
            self._batch_size = targets.shape[1]
            copied = lanes.with_buffers({name: tensor.clone() for name, tensor in lanes.buffers.items()})
            self._lanes = with_dense_gradients(copied)
            self._look = look_at(chunk, self._lanes, inputs, targets, "fp32")
        return self._look

    def gradients(self) -> Tensors:
        """Return the dense gradients, parameter -> (lanes, ...); see `with_dense_gradients` for sparse layers."""
        return dict(self.take().gradients)

    def flops(self) -> list[int]:
        """Return the FLOPs of the look for each lane: all weights have gradients. They are 0 if it was not taken."""
        group = self._group
        if self._look is None:
            return [0] * len(group.lanes)
        task = self._chunk.cell.task()
        model, stored = group.model.masked_form(task)
        return [
            gradient_flops(model, task, self._batch_size, {**stored, **connections}, dense="gradients").total
            for connections in group.connections
        ]

    def replace_step_(self) -> None:
        """Make the look the training step of the group: its loss and its running statistics count.

        The caller adds 1 to `since` of the group, and of those that come out of it, since no update follows.
        """
        record_look_(self._chunk, self._group, self.take())
        self._group.lanes = self._group.lanes.with_buffers(self._lanes.buffers)
