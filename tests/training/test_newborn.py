"""Gradients of added units relative to the others, and active units, against loops over single units."""

import math

import pytest
import torch

from hornlib.data.loading import Split, Splits, load
from hornlib.grid.cell import parse_specification
from hornlib.training.batches import Batches
from hornlib.training.chunk import DELAYS, EventRecord, start_chunk
from hornlib.training.newborn import newborn_remarks, note_active_, note_newborn_
from hornlib.training.restructuring import restructure, structure_of

CPU = torch.device("cpu")
MODELS = {
    "mlp": {"name": "mlp", "hidden_nodes": "3-5", "activation": "tanh", "readout_norm": "none"},
    "cnn": {
        "name": "cnn",
        "channels": "2-3",
        "activation": "tanh",
        "normalisation": "none",
        "readout_norm": "none",
    },
}


def grown(model, **structure):
    """Return a chunk of two lanes right after a growth of all layers."""
    values = {"name": "growth", "times": 1, "start_step": 0, "rule": "gaussian", "share": 0.7, **structure}
    cell = parse_specification(
        {
            "data": {"name": "digits", "train_subset": 60, "validation": 0.2},
            "model": MODELS[model],
            "structure": values,
            "training": {"steps": 5, "batch_size": 20},
        }
    )
    chunk, splits = start_chunk(cell, [0, 1], CPU), load(cell.data, CPU)
    restructure(chunk, structure_of(cell), Batches(chunk, splits.train))
    return chunk, splits


@pytest.mark.parametrize("model", MODELS)
def test_ratios_compare_each_new_unit_with_the_others_of_its_layer(model):
    chunk, _ = grown(model)
    (group,) = chunk.groups
    draws = torch.Generator().manual_seed(0)
    gradients = {
        name: torch.randn(tensor.shape, generator=draws) for name, tensor in group.lanes.parameters.items()
    }
    chunk.step = 10
    note_newborn_(chunk, group, gradients)
    assert len(chunk.events) == 4
    for event in chunk.events:
        axes = group.model.unit_axes(event.position, chunk.cell.task())
        into, out = (
            next(gradients[axis.name][event.row] for axis in axes if axis.side == side)
            for side in ("incoming", "outgoing")
        )
        units, new = group.model.units()[event.position], int(event.number)
        norms = [math.sqrt(float(into[unit].square().sum())) for unit in range(units)]
        for unit in range(units):
            norms[unit] += math.sqrt(float(out[:, unit].square().sum()))
        ratio = (sum(norms[-new:]) / new) / (sum(norms[:-new]) / (units - new))
        expected = [ratio if delay == 10 else math.nan for delay in DELAYS]
        assert event.gradient_ratios == pytest.approx(expected, rel=1e-5, nan_ok=True)


def test_ratios_are_recorded_only_some_steps_after_an_event():
    chunk, _ = grown("mlp")
    assert chunk.newborn_steps == set(DELAYS)
    chunk.events.append(chunk.events[0]._replace(step=7))
    assert chunk.newborn_steps == {*DELAYS, 7, 8, 17, 107}


@pytest.mark.parametrize("has_validation", [True, False])
@pytest.mark.parametrize("model", MODELS)
def test_a_unit_that_is_the_same_for_all_examples_is_not_active(model, has_validation):
    chunk, splits = grown(model, place="layer", position=0)
    (group,) = chunk.groups
    first = MODELS[model].get("hidden_nodes", "2-3")
    old, new = int(first.partition("-")[0]), group.model.units()[0] - int(first.partition("-")[0])
    (name,) = (axis.name for axis in group.model.unit_axes(0, chunk.cell.task()) if axis.side == "incoming")
    weight = group.lanes.parameters[name].detach()  # incoming weights of new units are 0
    weight[1, old] = 0.1
    if not has_validation:
        empty = Split(splits.validation.inputs[:0], splits.validation.targets[:0])
        splits = Splits(splits.train, empty, splits.test)
    note_active_(chunk, splits)
    assert [event.active_share for event in chunk.events] == [0.0, 1 / new]


def test_units_without_any_gradient_and_runs_that_never_grew_are_said():
    chunk, _ = grown("mlp")
    event = EventRecord(0, 3, "grown", 0, math.nan, 2.0)
    starved = event._replace(gradient_ratios=(0.0, 0.0, math.nan, math.nan))
    late = event._replace(row=1, gradient_ratios=(0.0, 0.2, math.nan, math.nan))
    unknown = event._replace(row=1)
    remarks = newborn_remarks(chunk.cell, [starved, late, unknown], 2)
    assert len(remarks) == 1
    assert "no gradient reached the new units of 1 event(s) in 1 run(s)" in remarks[0]
    assert newborn_remarks(chunk.cell, [late], 3) == ["growth: 2 of 3 run(s) never grew"]
    assert newborn_remarks(chunk.cell, [], 3) == []  # the structure says that
