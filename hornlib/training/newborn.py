"""Gradients of added units, compared with those of their layer, and which of them are active at the end."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hornlib.data.loading import Splits
from hornlib.grid.cell import Cell
from hornlib.structures.events import ADDING_KINDS
from hornlib.structures.growth.activations import unit_activations
from hornlib.structures.growth.births import birth_axis
from hornlib.structures.growth.unit_vectors import unit_vectors
from hornlib.training.chunk import DELAYS, Chunk, EventRecord, Group
from hornlib.training.evaluation import thinned

__all__ = ["newborn_remarks", "note_active_", "note_newborn_"]

MOST_EXAMPLES = 512
"""Examples on which a unit is found active or not."""


def note_newborn_(chunk: Chunk, group: Group, gradients: Mapping[str, Tensor]) -> None:
    """Record, for each event some training steps ago, the gradient norm of its units over that of the others.

    r = mean over new units of (|g_in| + |g_out|) / mean over the other units of their layer of the same, with the
    gradients g_in and g_out of a unit's incoming and outgoing weights. NaN where either are none.

    Args:
        chunk: its `step` is the number of training steps before this one. Its events are changed.
        group: the lanes.
        gradients: of this step, parameter -> (lanes, ...).
    """
    for layer, indices in _events_of(chunk, group).items():
        indices = [index for index in indices if chunk.step - chunk.events[index].step in DELAYS]
        if not indices:
            continue
        axes = group.model.unit_axes(layer, chunk.cell.task())
        norms = [unit_vectors(gradients[axis.name], axis).norm(dim=2) for axis in axes if axis.side != "own"]
        norm = torch.stack(norms).sum(0).double().cpu()
        for index, is_new in _newborn(chunk, group, layer, indices):
            event, of_units = chunk.events[index], norm[group.lanes.rows.index(chunk.events[index].row)]
            ratios = list(event.gradient_ratios)
            ratio = of_units[is_new].mean() / of_units[~is_new].mean()
            ratios[DELAYS.index(chunk.step - event.step)] = float(ratio)
            chunk.events[index] = event._replace(gradient_ratios=tuple(ratios))


def note_active_(chunk: Chunk, splits: Splits) -> None:
    """Record the share of each event's units whose activation differs between examples, in evaluation mode.

    A unit behind a relu that is off for all examples is not active. The examples are those of the validation split, or
    of the test split where there is none; at most 512, evenly spaced. Units that were removed since do not count.

    Args:
        chunk: after its last evaluation. Its events are changed.
        splits: the data.
    """
    split = splits.validation if len(splits.validation.targets) else splits.test
    for group in chunk.groups:
        events = _events_of(chunk, group)
        if not events or not len(group.lanes):
            continue
        lanes, task = group.evaluated or group.lanes, chunk.cell.task()
        inputs = thinned(split, MOST_EXAMPLES).inputs
        activations = unit_activations(lanes, group.model, task, list(events), inputs, is_shared=True)
        for (layer, indices), of_layer in zip(events.items(), activations, strict=True):
            by_unit = of_layer.movedim(2, 1).flatten(2)  # (lanes, units, examples and positions)
            is_active = (by_unit.amax(2) > by_unit.amin(2)).double().cpu()
            for index, is_new in _newborn(chunk, group, layer, indices):
                row = group.lanes.rows.index(chunk.events[index].row)
                share = float(is_active[row][is_new].mean())
                chunk.events[index] = chunk.events[index]._replace(active_share=share)


def newborn_remarks(cell: Cell, events: Sequence[EventRecord], num_runs: int) -> list[str]:
    """Return sentences about units that never had a gradient, and about runs that never grew while others did.

    An event is reported where none of its units had a gradient. A run stores one ratio for an event, the mean over its
    units, so that single units without gradients among others are not seen.

    Args:
        cell: of the runs.
        events: of all runs.
        num_runs: number of trained runs.
    """
    grown = [event for event in events if event.kind in ADDING_KINDS]
    if not grown:
        return []
    structure, remarks = cell.structure.name, []
    starved = [
        event
        for event in grown
        if any(ratio == 0 for ratio in event.gradient_ratios)
        and not any(map(_positive, event.gradient_ratios))
    ]
    if starved:
        runs = len({event.row for event in starved})
        remarks.append(
            f"{structure}: no gradient reached the new units of {len(starved)} event(s) in {runs} run(s), whenever it "
            f"was recorded (after {', '.join(map(str, DELAYS))} steps)"
        )
    never = num_runs - len({event.row for event in grown})
    if never:
        remarks.append(f"{structure}: {never} of {num_runs} run(s) never grew")
    return remarks


def _positive(ratio: float) -> bool:
    return ratio > 0


def _events_of(chunk: Chunk, group: Group) -> dict[int, list[int]]:
    """Return layer -> indices of the events of this group's lanes that added units to it, where births are known."""
    events: dict[int, list[int]] = {}
    rows = set(group.lanes.rows)
    for index, event in enumerate(chunk.events):
        is_remembered = birth_axis(event.position).name in group.memory
        if event.kind in ADDING_KINDS and event.row in rows and is_remembered:
            events.setdefault(event.position, []).append(index)
    return events


def _newborn(chunk: Chunk, group: Group, layer: int, indices: Sequence[int]) -> list[tuple[int, Tensor]]:
    """Return the index of each event with a mask of the units that it added, (units,) bool, on the CPU.

    Args:
        chunk: has the events.
        group: the lanes.
        layer: to which they added units.
        indices: of the events.
    """
    born = group.memory[birth_axis(layer).name].cpu()
    return [
        (index, born[group.lanes.rows.index(chunk.events[index].row)] == chunk.events[index].step)
        for index in indices
    ]
