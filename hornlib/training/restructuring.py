"""Applies the changes that a structure decides, and groups the lanes by shape again."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from hornlib.grid.cell import Cell
from hornlib.models.build import build_network
from hornlib.models.flops import gradient_flops
from hornlib.models.lanes import LaneGroup, network_tensors
from hornlib.parameters import ModelParameters
from hornlib.structures.interface import Change, LaneView, Structure, make_structure
from hornlib.training.batches import Batches
from hornlib.training.chunk import Chunk, EventRecord, Group
from hornlib.training.evaluation import LOSSES
from hornlib.training.looks import ComingLook
from hornlib.training.optimizers import Optimizer, make_optimizer

__all__ = ["restructure", "structure_of", "view_of"]


def structure_of(cell: Cell) -> Structure | None:
    """Return the structure that changes the cell's networks; None for static networks."""
    return make_structure(cell.structure)


def restructure(chunk: Chunk, structure: Structure, batches: Batches) -> set[int]:
    """Show every group to the structure, and apply the changes that it returns.

    Args:
        chunk: changed in place. Its windows must have been read.
        structure: decides the changes.
        batches: batches of the coming step, and further batches.

    Returns:
        The rows whose training step was replaced by the structure's look at its batch.
    """
    groups: list[Group] = []
    events: list[EventRecord] = []
    done: set[int] = set()
    templates = _Templates(chunk)
    for group in chunk.groups:
        rows, look = group.lanes.rows, ComingLook(chunk, group, batches)
        decision = structure.decide(view_of(chunk, group, batches, look))
        if decision.used_step:
            look.replace_step_()
            done.update(rows)
        chunk.flops[rows] += torch.tensor(decision.flops, dtype=torch.int64) + torch.tensor(look.flops())
        changed = {lane for change in decision.changes for lane in change.lanes}
        unchanged = [lane for lane in range(len(group.lanes)) if lane not in changed]
        parts = [group.keep(unchanged) if changed else group] if unchanged else []
        for change in decision.changes:
            for lane, layers in zip(change.lanes, change.layers, strict=True):
                events += [EventRecord(rows[lane], chunk.step, change.kind, *layer) for layer in layers]
            part = group if len(change.lanes) == len(rows) else group.keep(change.lanes)
            parts.append(_changed(chunk, part, change, templates))
        for part in parts if decision.used_step else []:
            part.since += 1  # the optimiser makes no update at this step
        groups += parts
    chunk.events += sorted(events, key=lambda event: event.row)
    chunk.groups = _merged(groups)
    return done


def view_of(chunk: Chunk, group: Group, batches: Batches, look: ComingLook | None = None) -> LaneView:
    """Return what a structure may look at.

    Args:
        chunk: the runs in training.
        group: the group that the structure looks at.
        batches: batches of the chunk.
        look: of the group at the batch of the coming step; None: a new one.
    """
    cell, rows = chunk.cell, group.lanes.rows
    training, num_train = cell.training, cell.data.num_train
    evaluated = [step for step in training.evaluation_steps(num_train) if step <= chunk.step]
    return LaneView(
        step=chunk.step,
        total_steps=training.total_steps(num_train),
        steps_per_epoch=training.steps_per_epoch(num_train),
        epochs=chunk.step / training.steps_per_epoch(num_train),
        lanes=group.lanes,
        model=group.model,
        first_model=cell.trained_model(),
        task=cell.task(),
        events=[[event.step for event in chunk.events if event.row == row] for row in rows],
        batches=lambda number: batches.further(chunk.step, rows, number),
        loss=lambda outputs, targets: LOSSES[cell.data.loss](
            outputs.float(), targets, training.label_smoothing
        ).mean(1),
        gradient_flops=lambda model: (
            gradient_flops(model, cell.task(), min(training.batch_size, num_train)).total
        ),
        evaluated=evaluated,
        validation_loss=chunk.curves["validation_loss"][rows, : len(evaluated)],
        masks=group.masks,
        memory=group.memory,
        moments={
            name: group.named(tensors) for name, tensors in group.optimizer.state.items() if name != "age"
        },
        coming_gradients=(look or ComingLook(chunk, group, batches)).gradients,
    )


class _Templates:
    """Modules of the models that come out of one event. Each is built once."""

    def __init__(self, chunk: Chunk) -> None:
        self.task, self.device = chunk.cell.task(), chunk.groups[0].sums.device
        self.built: dict[ModelParameters, nn.Module] = {}

    def of(self, model: ModelParameters) -> nn.Module:
        """Return the module of a model. Lanes call it with their own tensors."""
        if model not in self.built:
            self.built[model] = build_network(model, self.task, seed=0).to(self.device)
        return self.built[model]


def _changed(chunk: Chunk, group: Group, change: Change, templates: _Templates) -> Group:
    """Return the group with a change applied to all its lanes. Tensors that stay are those of the old group."""
    lanes = (
        _kept_lanes(group, change) if change.model == group.model else _new_lanes(group, change, templates)
    )
    masks = {name: mask.contiguous() for name, mask in change.masks.items()}
    changed = replace(
        group,
        model=change.model,
        lanes=lanes,
        optimizer=_inherited(chunk, group, change, list(lanes.parameters)),
        since=chunk.step if change.fresh_optimizer else group.since,
        rate_factors=group.rate_factors * change.rate_factor,
        evaluated=None,
        masks=masks,
        memory={**change.memory, **_explored(group, masks, chunk.step), **_reached(group)},
        step_flops={},
    )
    _mask_(changed, moments_stay=chunk.cell.structure.dense == "moments")
    return changed


@torch.no_grad()
def _kept_lanes(group: Group, change: Change) -> LaneGroup:
    """Return the lanes of the group, with the tensors that the change names written into their memory."""
    for tensors, values in (
        (group.lanes.parameters, change.parameters),
        (group.lanes.buffers, change.buffers),
    ):
        for name, value in values.items():
            tensors[name].copy_(value)
    return group.lanes


def _new_lanes(group: Group, change: Change, templates: _Templates) -> LaneGroup:
    """Return lanes of the new model. No two of them share memory, because training writes into it."""
    template = templates.of(change.model)
    names = [name for name, _ in template.named_parameters() if name in change.parameters]
    buffers = {
        name: tensor.expand(len(group.lanes), *tensor.shape)
        for name, tensor in network_tensors(template).buffers.items()
    }
    return LaneGroup(
        template,
        group.lanes.seeds,
        _copied({name: change.parameters[name] for name in names}),
        _copied({**buffers, **change.buffers}),
        group.lanes.rows,
    )


def _inherited(chunk: Chunk, group: Group, change: Change, names: Sequence[str]) -> Optimizer:
    """Return the optimiser of the changed group.

    Args:
        chunk: chunk of the group.
        group: before the change.
        change: what becomes of the moments.
        names: parameters after the change.
    """
    optimizer = make_optimizer([], chunk.cell.training)
    state = {name: group.named(tensors) for name, tensors in group.optimizer.state.items()}
    updates = chunk.step - group.since
    if chunk.cell.training.optimizer == "adamw" and updates and "age" not in state:
        state["age"] = {
            name: torch.full_like(tensor, updates, requires_grad=False)
            for name, tensor in group.lanes.parameters.items()
        }
    for moment, tensors in state.items():
        inherited = change.inherit(tensors)
        if change.model == group.model:
            inherited = tensors | inherited
        optimizer.state[moment] = [inherited[name].contiguous() for name in names]
    ages = optimizer.state.get("age", [])
    if change.fresh_optimizer:
        optimizer.state = {
            name: [torch.zeros_like(tensor) for tensor in tensors]
            for name, tensors in optimizer.state.items()
            if name != "age"
        }
    elif ages and torch.stack([(age == updates).all() for age in ages]).all():
        del optimizer.state["age"]  # the count of all updates serves every parameter
    return optimizer


def _explored(group: Group, masks: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
    """Return the positions where a connection has ever existed, by `ever/<weight>`, with those of new masks.

    A weight that was trained without a mask had all connections.

    Args:
        group: before the change.
        masks: after the change.
        step: training steps before the change.
    """
    explored = {}
    for name, mask in masks.items():
        before = torch.ones_like(mask) if step else torch.zeros_like(mask)
        explored[f"ever/{name}"] = group.memory.get(f"ever/{name}", before) | mask
    return explored


def _reached(group: Group) -> dict[str, Tensor]:
    """Return what the loop has noted of gradients; see `note_gradients_`."""
    return {name: tensor for name, tensor in group.memory.items() if name.startswith("reached/")}


@torch.no_grad()
def _mask_(group: Group, moments_stay: bool) -> None:
    """Set weights, and moments that do not stay, to 0 where a connection is missing.

    Args:
        group: changed in place.
        moments_stay: whether the moments of missing connections keep their values.
    """
    for name, mask in group.masks.items():
        group.lanes.parameters[name].mul_(mask)
    if not moments_stay:
        for moment in group.optimizer.state.keys() - {"age"}:
            tensors = group.named(group.optimizer.state[moment])
            for name, mask in group.masks.items():
                tensors[name].mul_(mask)


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies in which no two lanes share memory, because training writes into them."""
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _merged(groups: Sequence[Group]) -> list[Group]:
    """Return one group for all lanes of the same form, with lanes in the order of their rows."""
    alike: dict[Hashable, list[Group]] = {}
    for group in groups:
        names = (group.optimizer.state, group.masks, group.memory)
        form = (group.model, group.since, len(group.window), *(frozenset(part) for part in names))
        alike.setdefault(form, []).append(group)
    return [first.joined(others) if others else first for first, *others in alike.values()]
