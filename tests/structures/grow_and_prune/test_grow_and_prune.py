"""Growth with pruning: widths follow the times, an exchange keeps them, and what does not fit together is refused."""

from itertools import pairwise

import pytest
import torch

from hornlib.data.loading import load
from hornlib.grid.refusals import course_of, refusals
from hornlib.models import MODELS
from hornlib.parameters import Task
from hornlib.parameters.structure import Course
from hornlib.structures.grow_and_prune.parameters import GrowAndPruneParameters
from hornlib.structures.interface import make_structure
from hornlib.training.batches import Batches
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk
from hornlib.training.restructuring import restructure, view_of

CPU = torch.device("cpu")
MLP = {"name": "mlp", "hidden_nodes": "8-4", "activation": "relu_one", "readout_norm": "none"}
GROW = {"name": "grow_and_prune", "times": 2, "drop_share": 0.25}
ORDERS = {
    "grow_then_prune": (
        {"start_share": 0.2, "every_share": 0.2, "prune_start": 0.8},
        [(0, (8, 4)), (2, (10, 5)), (5, (12, 6)), (10, (9, 5))],
    ),
    "prune_then_grow": (
        {"start_share": 0.5, "every_share": 0.2, "prune_start": 0.25},
        [(0, (8, 4)), (3, (6, 3)), (6, (8, 4)), (8, (10, 5))],
    ),
    "alternate": (
        {"start_share": 0.2, "every_share": 0.4, "prune_start": 0.4, "prune_end": 0.8, "prunings": 2},
        [(0, (8, 4)), (2, (10, 5)), (5, (8, 4)), (7, (10, 5)), (10, (8, 4))],
    ),
}


@pytest.mark.parametrize(
    ("times", "width"),
    [
        ({"times": 12, "share": 0.0625, "start_share": 0.3, "every_share": 0.05, "prune_start": 0.2}, 64),
        ({"times": 12, "drop_share": 0.5, "prune_start": 0.6, "prune_end": 0.75, "prunings": 2}, 8),
    ],
    ids=["prune_then_grow", "grow_then_prune"],
)
def test_the_smallest_the_largest_and_the_last_network_are_timed(times, width):
    structure = GrowAndPruneParameters(**{"drop_share": 0.9, **times})
    model, task = MODELS["mlp"](hidden_nodes=(width, width), activation="relu_one"), Task((20,), 10)
    shapes = [model, *(shape for _, shape in structure.planned_models(model, task, Course(100, 10, 0)))]
    timed = [model, *structure.reachable(model, task)]
    assert len(set(shapes)) > len(timed) == len(set(timed)) <= 8
    sizes = {shape: shape.forward_flops(task).total for shape in shapes}
    assert {min(sizes, key=sizes.get), max(sizes, key=sizes.get), shapes[-1]} <= set(timed)
    places = sorted(sizes[shape] for shape in timed)
    assert max(after - before for before, after in pairwise(places)) < 0.4 * (places[-1] - places[0])


@pytest.mark.parametrize("order", ORDERS)
def test_widths_of_all_lanes_follow_the_times_and_are_those_that_were_planned(short_cell, order):
    values, expected = ORDERS[order]
    cell = short_cell(MLP, {**GROW, **values})
    assert refusals(cell) == []
    planned = cell.structure.planned_models(cell.model, cell.task(), course_of(cell))
    assert [(step, model.hidden_nodes) for step, model in planned] == expected
    chunk, seen = start_chunk(cell, [0, 1, 2], CPU), {}
    train_chunk(
        chunk,
        load(cell.data, CPU),
        lambda chunk: seen.update({chunk.step: chunk.groups[0].model.hidden_nodes}),
    )
    (group,) = chunk.groups
    assert group.lanes.rows == [0, 1, 2]
    for step in range(1, 13):
        assert seen[step] == [widths for start, widths in expected if start < step or not start][-1], step
    assert torch.isfinite(chunk.curves["test_loss"][:, -1]).all()
    assert cell.structure.cost(cell.model, cell.task()) == group.model.cost(cell.task())
    largest = max((widths for _, widths in expected), key=sum)
    assert cell.structure.deepest(cell.model, cell.task()).hidden_nodes == largest
    kinds = {event.step: event.kind for event in chunk.events}
    signs = {"grown": 1, "narrowed": -1}
    widths = dict(expected)
    for before, step in zip(widths, list(widths)[1:], strict=False):
        assert signs[kinds[step]] == (1 if widths[step] > widths[before] else -1)


@pytest.fixture
def exchanged(short_cell):
    """Return chunks before and after an exchange, and after the removal alone, with moments that are not 0."""

    def make(**structure):
        values = {**GROW, "combination": "exchange", "start_share": 0.0, "every_share": 0.3, **structure}
        cell = short_cell(MLP, values, "adamw", 0.01)
        splits = load(cell.data, CPU)
        chunks = [start_chunk(cell, [4, 5, 6], CPU) for _ in range(3)]
        for chunk in chunks:
            draw = torch.Generator().manual_seed(0)
            for moment, tensors in chunk.groups[0].optimizer.state.items():
                for tensor in tensors if moment != "age" else []:
                    tensor.copy_(torch.rand(tensor.shape, generator=draw))
        before, after, narrow = chunks
        structure = make_structure(cell.structure)
        restructure(after, structure, Batches(after, splits.train))
        restructure(narrow, structure.pruning, Batches(narrow, splits.train))
        return before, after, narrow, splits

    return make


@pytest.mark.parametrize("distribution", ["uniform", "global"])
def test_an_exchange_keeps_the_widths_and_computes_what_the_pruned_network_does(exchanged, distribution):
    before, after, narrow, splits = exchanged(distribution=distribution, drop_share=0.3)
    (group,) = after.groups
    assert group.model == before.groups[0].model
    inputs = splits.test.inputs[:40]
    for part in narrow.groups:
        rows = [group.lanes.rows.index(row) for row in part.lanes.rows]
        torch.testing.assert_close(
            group.lanes.forward(inputs, training=False).logits[rows],
            part.lanes.forward(inputs, training=False).logits,
            rtol=1e-5,
            atol=1e-5,
        )
    assert {event.kind for event in after.events} == {"exchanged"}
    removed = {(event.row, event.position): event.number for event in narrow.events}
    assert {(event.row, event.position): event.number for event in after.events} == removed


def test_units_that_stay_keep_their_moments_and_new_ones_have_none(exchanged):
    before, after, _, _ = exchanged()
    old, new = (chunk.groups[0] for chunk in (before, after))
    name = "linears.0.weight"
    stayed = old.lanes.parameters[name].abs().sum(2).topk(6).indices.sort().values
    for moment in ("first_moment", "second_moment"):
        earlier, later = (group.named(group.optimizer.state[moment])[name] for group in (old, new))
        for lane in range(3):
            assert torch.equal(later[lane, :6], earlier[lane, stayed[lane]])
            assert not later[lane, 6:].any()
    assert not new.lanes.parameters[name][:, 6:].any()  # gradmax: incoming weights 0
    born = new.memory["born/0"]
    assert (born[:, :6] == -1).all() and (born[:, 6:] == 0).all()


def test_a_pruning_narrows_what_is_remembered_of_births(short_cell):
    cell = short_cell(MLP, {**GROW, **ORDERS["alternate"][0]})
    chunk = start_chunk(cell, [0, 1], CPU)
    train_chunk(chunk, load(cell.data, CPU))
    (group,) = chunk.groups
    for layer, units in enumerate(group.model.units()):
        assert group.memory[f"born/{layer}"].shape == (2, units)
        assert set(group.memory[f"born/{layer}"].unique().tolist()) <= {-1, 2, 7}


def test_every_look_of_an_exchange_is_counted_once(exchanged):
    before, after, narrow, _ = exchanged()
    view = view_of(narrow, narrow.groups[0], None)
    growth = after.flops - narrow.flops
    assert (growth > view.gradient_flops(narrow.groups[0].model)).all()
    assert (growth < 3 * view.gradient_flops(before.groups[0].model)).all()


@pytest.mark.parametrize(
    ("model", "structure", "words"),
    [
        ({"name": "time_resnet"}, {}, "grow_and_prune: time_resnet has no layers whose units can be removed"),
        ({"activation": "relu"}, {}, "give activation: relu_one"),
        ({}, {"start_share": 0.5}, "step 6 is a time of growth and of pruning"),
        ({}, {"every_share": 0.9}, "come before the end of training"),
        ({}, {"drop_by": "norm_scale"}, "needs a norm with scales"),
        ({}, {"drop_share": 0.05}, "would remove none"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_refused_before_training(short_cell, model, structure, words):
    given = {} if "name" in model else MLP
    values = {**GROW, "start_share": 0.2, "every_share": 0.2, **structure}
    cell = short_cell({**given, **model}, values)
    assert any(words in refusal for refusal in refusals(cell)), refusals(cell)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"drop_share": 0.5, "final_factor": 2.0}, "needs `times:`"),
        ({**GROW, "final_factor": 2.0}, "final_factor means nothing"),
        ({**GROW, "every_steps": 10}, "give start_share and every_share"),
        ({**GROW, "when": "plateau"}, "schedule"),
        (
            {**GROW, "combination": "exchange", "prunings": 2, "prune_end": 0.9},
            "means nothing to combination: exchange",
        ),
        (
            {**GROW, "combination": "exchange", "place": "random"},
            "place means nothing to combination: exchange",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_that_contradict_each_other_are_refused(values, words):
    with pytest.raises(ValueError, match=words):
        GrowAndPruneParameters(**values)


def test_widths_that_depend_on_the_seed_have_no_size_to_be_matched_to():
    values = {key: value for key, value in GROW.items() if key != "name"} | {"distribution": "global"}
    assert "trained from scratch" in GrowAndPruneParameters(**values).match_problems()[0]
    assert GrowAndPruneParameters(**values, combination="exchange").match_problems() == []
