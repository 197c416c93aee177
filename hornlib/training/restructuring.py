"""Applies the changes that a structure decides, and groups the lanes by shape again."""

from collections.abc import Mapping, Sequence

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
from hornlib.training.optimizers import make_optimizer

__all__ = ["restructure", "structure_of", "view_of"]


def structure_of(cell: Cell) -> Structure | None:
    """Return the structure that changes the cell's networks; None for static networks."""
    return make_structure(cell.structure)


def restructure(chunk: Chunk, structure: Structure, batches: Batches) -> None:
    """Show every group to the structure, and apply the changes that it returns.

    Args:
        chunk: changed in place. Its windows must have been read.
        structure: decides the changes.
        batches: further batches, for structures that look at gradients.
    """
    groups: list[Group] = []
    events: list[EventRecord] = []
    templates = _Templates(chunk)
    for group in chunk.groups:
        decision = structure.decide(view_of(chunk, group, batches))
        chunk.flops[group.lanes.rows] += torch.tensor(decision.flops, dtype=torch.int64)
        changed = {lane for change in decision.changes for lane in change.lanes}
        unchanged = [lane for lane in range(len(group.lanes)) if lane not in changed]
        if unchanged:
            groups.append(group.keep(unchanged) if changed else group)
        for change in decision.changes:
            for lane, layers in zip(change.lanes, change.layers, strict=True):
                row = group.lanes.rows[lane]
                events += [
                    EventRecord(row, chunk.step, change.kind, position, score) for position, score in layers
                ]
            groups.append(_changed(chunk, group.keep(change.lanes), change, templates))
    chunk.events += sorted(events, key=lambda event: event.row)
    chunk.groups = _merged(groups)


def view_of(chunk: Chunk, group: Group, batches: Batches) -> LaneView:
    """Return what a structure may look at.

    Args:
        chunk: the runs in training.
        group: the group that the structure looks at.
        batches: further batches of the chunk.
    """
    cell, rows = chunk.cell, group.lanes.rows
    training, num_train = cell.training, cell.data.num_train
    evaluated = [step for step in training.evaluation_steps(num_train) if step <= chunk.step]
    return LaneView(
        step=chunk.step,
        epochs=chunk.step / training.steps_per_epoch(num_train),
        lanes=group.lanes,
        model=group.model,
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
    """Return the group with a change applied to all its lanes."""
    template = templates.of(change.model)
    parameters = {
        name: change.parameters[name] for name, _ in template.named_parameters() if name in change.parameters
    }
    fresh = make_optimizer([], chunk.cell.training)
    names = list(group.lanes.parameters)
    for moment in group.optimizer.state.keys() - {"age"}:
        inherited = change.inherit(dict(zip(names, group.optimizer.state[moment], strict=True)))
        fresh.state[moment] = [
            torch.zeros_like(tensor) if change.fresh_optimizer else inherited[name].contiguous()
            for name, tensor in parameters.items()
        ]
    ages = _ages(chunk.step - group.since, names, group, change)
    carried = chunk.cell.training.optimizer == "adamw" and not change.fresh_optimizer
    if carried and torch.stack([(age == 0).any() for age in ages.values()]).any():
        fresh.state["age"] = [ages[name].contiguous() for name in parameters]
    template_buffers = {
        name: tensor.expand(len(group.lanes), *tensor.shape)
        for name, tensor in network_tensors(template).buffers.items()
    }
    lanes = LaneGroup(
        template,
        group.lanes.seeds,
        _copied(parameters),
        _copied({**template_buffers, **change.buffers}),
        group.lanes.rows,
    )
    return Group(
        model=change.model,
        lanes=lanes,
        optimizer=fresh,
        since=chunk.step if change.fresh_optimizer else group.since,
        rate_factors=group.rate_factors * change.rate_factor,
        first_loss=group.first_loss,
        sums=group.sums,
    )


def _ages(updates: int, names: Sequence[str], group: Group, change: Change) -> dict[str, Tensor]:
    """Return the number of updates of every scalar parameter (0 for new ones). Adam's bias correction uses it."""
    ages = group.optimizer.state.get(
        "age", [torch.full_like(tensor, updates) for tensor in group.lanes.parameters.values()]
    )
    return change.inherit({name: age.detach() for name, age in zip(names, ages, strict=True)})


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies in which no two lanes share memory, because training writes into them."""
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def _merged(groups: Sequence[Group]) -> list[Group]:
    """Return one group for each model and kind of optimiser state, with lanes in the order of their rows."""
    alike: dict[tuple[object, int, bool], list[Group]] = {}
    for group in groups:
        alike.setdefault((group.model, group.since, "age" in group.optimizer.state), []).append(group)
    return [first.joined(others) if others else first for first, *others in alike.values()]
