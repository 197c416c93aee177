"""The one training loop: a chunk of runs from its first step to its last."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from hornlib.data.loading import Splits
from hornlib.models.flops import training_step_flops
from hornlib.structures.interface import RATE, Moment
from hornlib.training.batches import Batches
from hornlib.training.chunk import Chunk, Group, Run, start_lanes
from hornlib.training.connectivity import note_gradients_
from hornlib.training.curves import Evaluation, evaluate_chunk, summary
from hornlib.training.divergence import read_losses
from hornlib.training.evaluation import thinned
from hornlib.training.looks import look_at, record_look_
from hornlib.training.newborn import note_active_, note_newborn_
from hornlib.training.optimizers import clip_by_lane_
from hornlib.training.restructuring import restructure, structure_of
from hornlib.training.schedules import rate_factor

__all__ = ["train_chunk", "train_step", "warm_up"]

CHECK_STEPS = 50
"""Largest number of steps between two readings of the losses. Each reading waits for the device."""


def train_chunk(
    chunk: Chunk,
    splits: Splits,
    after_step: Callable[[Chunk], None] = lambda chunk: None,
    report: Callable[[Evaluation], None] = lambda evaluation: None,
) -> None:
    """Train the chunk from its present step to its last one.

    Before each step a structure may change the networks. Runs whose networks then differ in shape continue in separate
    groups. Evaluations, probes and checkpoints after a step see the network before such a change.

    Args:
        chunk: changed in place.
        splits: the data, on the chunk's device.
        after_step: called after each step. It may save `chunk.state()`, or raise to stop the training.
        report: called after each evaluation.
    """
    training, num_train = chunk.cell.training, chunk.cell.data.num_train
    total_steps, per_epoch = training.total_steps(num_train), training.steps_per_epoch(num_train)
    evaluation_steps = training.evaluation_steps(num_train)
    thin = [thinned(split, training.evaluation_examples) for split in (splits.validation, splits.test)]
    in_between = splits._replace(validation=thin[0], test=thin[1])
    batches, structure = Batches(chunk, splits.train), structure_of(chunk.cell)
    _count_flops(chunk)
    while chunk.step < total_steps and chunk.training_rows:
        moment = Moment(chunk.step, total_steps, per_epoch, chunk.step in evaluation_steps)
        done: set[int] = set()
        if structure is not None and structure.is_due(moment):
            started = time.perf_counter()
            read_losses(chunk)
            if chunk.training_rows:
                done = restructure(chunk, structure, batches)
            chunk.seconds += time.perf_counter() - started
            _count_flops(chunk)
        started = time.perf_counter()
        for group in (group for group in chunk.groups if not done.issuperset(group.lanes.rows)):
            inputs, targets = batches.at(chunk.step, group.lanes.rows)
            train_step(chunk, group, inputs, targets, total_steps)
            chunk.flops[group.lanes.rows] += _step_flops(chunk, group, targets.shape[1])
        chunk.step += 1
        evaluating = chunk.step in evaluation_steps
        if evaluating or any(len(group.window) >= CHECK_STEPS for group in chunk.groups):
            read_losses(chunk)
        chunk.seconds += time.perf_counter() - started
        if evaluating and chunk.training_rows:
            column = evaluation_steps.index(chunk.step)
            evaluate_chunk(chunk, splits if chunk.step == total_steps else in_between, column)
            if chunk.step == total_steps:
                note_active_(chunk, splits)
            if chunk.training_rows:
                report(summary(chunk, column, total_steps))
        after_step(chunk)


def train_step(chunk: Chunk, group: Group, inputs: Tensor, targets: Tensor, total_steps: int) -> None:
    """Make one update of every lane of a group. The losses stay on the device, in `group.window`.

    Args:
        chunk: chunk of the group. Its `step` is the number of updates before this one; the caller raises it.
        group: changed in place.
        inputs: (lanes, batch, ...).
        targets: (lanes, batch) classes, or (lanes, batch, outputs) numbers.
        total_steps: updates of the whole training, for the schedule of the learning rate.
    """
    training, lanes = chunk.cell.training, group.lanes
    look = look_at(chunk, lanes, inputs, targets, training.precision)
    has_dense_moments = chunk.cell.structure.dense == "moments"
    with torch.no_grad():
        if not has_dense_moments:
            for name, factor in group.factors.items():
                look.gradients[name].mul_(factor)
        tensors, gradients = list(lanes.parameters.values()), list(look.gradients.values())
        if training.gradient_clip:
            of_connections = gradients
            if has_dense_moments:  # the same limit as for gradients that are masked
                of_connections = [
                    gradient * group.factors.get(name, 1) for name, gradient in look.gradients.items()
                ]
            clip_by_lane_(gradients, training.gradient_clip, of_connections)
        rates = (chunk.learning_rates(group) * rate_factor(training, chunk.step, total_steps)).float()
        rates = rates.to(inputs.device, non_blocking=True)  # without waiting for the device
        rated = [name.removeprefix(RATE) for name in group.memory if name.startswith(RATE)]
        before = {name: lanes.parameters[name].clone() for name in rated}
        group.optimizer.update_(tensors, gradients, rates, chunk.step + 1 - group.since)
        for name, tensor in before.items():
            updated = lanes.parameters[name]
            updated.copy_(torch.lerp(tensor, updated, group.memory[RATE + name]))
        if has_dense_moments:
            for name, factor in group.factors.items():
                lanes.parameters[name].mul_(factor)
        lanes.project_()
        if not group.window:  # once for every reading of the losses
            note_gradients_(group, look.gradients)
        if chunk.step in chunk.newborn_steps:
            note_newborn_(chunk, group, look.gradients)
    record_look_(chunk, group, look)


def warm_up(rows: Sequence[Run], splits: Splits) -> None:
    """Make one step on lanes that are discarded, so that first calls and caches are not timed.

    Args:
        rows: runs of the first chunk.
        splits: the data, on the device of the job.
    """
    device = splits.train.targets.device
    chunk = start_lanes(rows, device)
    batch = torch.arange(min(chunk.cell.training.batch_size, len(splits.train.targets)), device=device)
    index = batch.expand(len(rows), -1)
    (group,) = chunk.groups
    train_step(chunk, group, splits.train.inputs[index], splits.train.targets[index], total_steps=1_000_000)
    group.window.pop().cpu()  # waits for the device


def _step_flops(chunk: Chunk, group: Group, batch_size: int) -> Tensor:
    """Return the FLOPs of one training step of each lane, (lanes,) int64. They are counted once for each group."""
    if batch_size not in group.step_flops:
        cell = chunk.cell
        flops = [
            training_step_flops(
                group.model,
                cell.task(),
                batch_size,
                cell.training.update_rule,
                connections,
                cell.structure.dense,
            ).total
            for connections in group.connections
        ]
        group.step_flops[batch_size] = torch.tensor(flops, dtype=torch.int64)
    return group.step_flops[batch_size]


def _count_flops(chunk: Chunk) -> None:
    """Count the FLOPs of every group before the steps are timed. The counts are cached."""
    for group in chunk.groups:
        _step_flops(chunk, group, min(chunk.cell.training.batch_size, chunk.cell.data.num_train))
