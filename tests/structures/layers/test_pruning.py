"""Pruning by the time step: the right layer leaves, the rest stays as it is, and what never happens is said."""

import pytest
import torch

from hornlib.data.loading import load
from hornlib.grid.cell import parse_specification
from hornlib.grid.refusals import refusals
from hornlib.structures.interface import make_structure
from hornlib.structures.layers.pruning_parameters import LayerPruningParameters
from hornlib.training.batches import Batches
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk
from hornlib.training.restructuring import restructure

CPU = torch.device("cpu")
RESNET = {"name": "time_resnet", "num_layers": 5, "num_nodes": 6}


def cell_of(model=None, structure=None, **training):
    return parse_specification(
        {
            "data": {"name": "digits", "train_subset": 100, "validation": 0.2},
            "model": {**RESNET, **(model or {})},
            "structure": {"name": "layer_pruning", **(structure or {})},
            "training": {
                "epochs": 3,
                "batch_size": 25,
                "schedule": "constant",
                "learning_rate": 0.01,
                **training,
            },
        }
    )


def looked(steps, model=None, **structure):
    """Return a chunk of one lane a row of steps, before and after a look at it."""
    cell = cell_of(model, structure)
    chunk = start_chunk(cell, list(range(len(steps))), CPU)
    (group,) = chunk.groups
    held = group.lanes.network.steps.held(torch.tensor(steps))
    for name, tensor in held.items():
        for kept in (group.lanes.parameters, group.lanes.buffers):
            if f"steps.{name}" in kept:
                kept[f"steps.{name}"].data.copy_(tensor)
    before = [
        {name: tensor.clone() for name, tensor in group.lanes.tensors(lane).parameters.items()}
        for lane in range(len(steps))
    ]
    restructure(chunk, make_structure(cell.structure), Batches(chunk, load(cell.data, CPU).train))
    return before, chunk


def steps_of(chunk, row):
    (group,) = [group for group in chunk.groups if row in group.lanes.rows]
    return group.lanes.layer_steps()[group.lanes.rows.index(row)].tolist()


def test_the_layer_of_the_smallest_magnitude_leaves_whatever_its_sign():
    # the released code takes out the smallest signed step here, -0.6, and keeps 1e-4
    before, chunk = looked([[0.5, 0.4, 1e-4, -0.6, 0.2]])
    assert steps_of(chunk, 0) == pytest.approx([0.5, 0.4, -0.6, 0.2])
    assert [(event.kind, event.position) for event in chunk.events] == [("pruned", 2)]
    after = chunk.lanes.tensors(0).parameters
    for new, old in enumerate([0, 1, 3, 4]):
        assert torch.equal(after[f"layers.{new}.weight"], before[0][f"layers.{old}.weight"])
    assert torch.equal(after["readout.linear.weight"], before[0]["readout.linear.weight"])


def test_the_function_is_that_of_the_network_without_the_step():
    steps = torch.tensor([[0.5, 0.4, 1e-9, -0.6, 0.2]])
    cell = cell_of()
    whole = start_chunk(cell, [0], CPU)
    whole.lanes.parameters["steps.raw"].data.copy_(steps)
    inputs = torch.randn(10, 1, 8, 8)
    _, pruned = looked(steps.tolist())
    torch.testing.assert_close(
        pruned.lanes.forward(inputs, training=False).logits,
        whole.lanes.forward(inputs, training=False).logits,
        rtol=1e-5,
        atol=1e-6,
    )


def test_the_opening_layer_stays_and_lanes_of_unequal_depth_train_on_apart():
    _, chunk = looked([[1e-5, 1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1e-5, 1.0], [1.0, 1.0, 1.0, 1.0, 1.0]])
    assert [(event.row, event.position) for event in chunk.events] == [(1, 3)]
    assert {len(group.model.layer_widths()): group.lanes.rows for group in chunk.groups} == {
        5: [0, 2],
        4: [1],
    }
    train_chunk(chunk, load(chunk.cell.data, CPU))
    assert torch.isfinite(chunk.curves["test_loss"][:, -1]).all()
    assert chunk.curves["depth"][:, -1].tolist() == [5, 4, 5]
    profile = chunk.profiles["layer_step"][:, -1]
    assert torch.isnan(profile[1, 4]) and torch.isfinite(profile[[0, 2]]).all()
    assert chunk.flops[1] < chunk.flops[0] == chunk.flops[2]


def test_the_optimiser_of_the_layers_that_stay_goes_on():
    cell = cell_of()
    chunk = start_chunk(cell, [0], CPU)
    (group,) = chunk.groups
    group.lanes.parameters["steps.raw"].data.copy_(torch.tensor([[1.0, 1e-5, 1.0, 1.0, 1.0]]))
    for moment in group.optimizer.state["first_moment"]:
        moment.copy_(torch.rand_like(moment))
    before = dict(zip(group.lanes.parameters, group.optimizer.state["first_moment"], strict=True))
    restructure(chunk, make_structure(cell.structure), Batches(chunk, load(cell.data, CPU).train))
    (group,) = chunk.groups
    after = dict(zip(group.lanes.parameters, group.optimizer.state["first_moment"], strict=True))
    assert torch.equal(after["layers.1.weight"], before["layers.2.weight"])
    kept = before["steps.raw"][:, [0, 2, 3, 4]]
    assert torch.equal(after["steps.raw"], kept)


@pytest.mark.parametrize(("at_once", "left"), [(1, 4), (2, 3), (4, 2)])
def test_several_layers_may_leave_at_once_but_never_the_last(at_once, left):
    small = 1e-6
    _, chunk = looked([[1.0, small, 2 * small, 3 * small, 1.0]], layers_at_once=at_once)
    assert len(steps_of(chunk, 0)) == left
    assert [event.position for event in chunk.events] == [1, 2, 3][: 5 - left]
    _, chunk = looked([[1.0, small, small, small, small]], layers_at_once=8)
    assert len(steps_of(chunk, 0)) == 1


def test_positive_steps_and_a_frozen_first_one_are_pruned_too():
    _, chunk = looked([[0.5, 0.4, 1e-4, 0.6, 0.2]], {"layer_steps": "softplus"})
    assert steps_of(chunk, 0) == pytest.approx([0.5, 0.4, 0.6, 0.2], rel=1e-4)
    _, chunk = looked([[0.2, 0.4, 1e-4, 0.6, 0.2]], {"layer_steps": "partly_fixed"})
    assert steps_of(chunk, 0) == pytest.approx([0.2, 0.4, 0.6, 0.2], rel=1e-4)
    _, chunk = looked([[0.4, 1e-4, 0.6, 0.2]], {"opening_step": "without"})
    assert steps_of(chunk, 0) == pytest.approx([0.4, 0.6, 0.2], rel=1e-4)


def test_penalised_steps_shrink_until_layers_leave_in_training():
    model = {"l1_penalty": 0.5, "initial_horizon": 1.0, "num_layers": 4}
    chunk = start_chunk(
        cell_of(model, {"threshold": 0.1}, epochs=40, learning_rate=0.02, optimizer="sgd"), [0, 1], CPU
    )
    train_chunk(chunk, load(chunk.cell.data, CPU))
    depth = chunk.curves["depth"]
    assert chunk.events and (depth[:, -1] < depth[:, 0]).any()
    assert chunk.profiles["width"].shape == (2, depth.shape[1], 4)


@pytest.mark.parametrize(
    ("model", "structure", "words"),
    [
        ({"name": "mlp", "num_layers": None, "num_nodes": None}, {}, "mlp has no layers with time steps"),
        ({"layer_steps": "simplex"}, {}, "simplex"),
        ({"last_step": "dependent"}, {}, "dependent"),
        ({"num_layers": 1}, {}, "leaves no layer to remove"),
        ({}, {"prune_every": 3}, "training ends after 3 epochs"),
    ],
)
def test_what_cannot_be_pruned_is_refused_before_training(model, structure, words):
    values = {key: value for key, value in {**RESNET, **model}.items() if value is not None}
    cell = parse_specification({**cell_of(structure=structure).specification(), "model": values})
    assert any(words in sentence and sentence.startswith("layer_pruning") for sentence in refusals(cell))


def test_a_threshold_that_never_fired_is_said():
    parameters = LayerPruningParameters()
    assert parameters.remarks(2, 3) == [] and "threshold: 0.01 in 3 run(s)" in parameters.remarks(0, 3)[0]
