"""Unit pruning: the right units leave, the others stay bit for bit, as torch-pruning says; and what is refused."""

import pytest
import torch

from hornlib.data.loading import load
from hornlib.grid.refusals import refusals
from hornlib.models import MODELS
from hornlib.models.build import build_network
from hornlib.parameters import Task
from hornlib.parameters.structure import Course, PastEvent
from hornlib.structures.interface import make_structure
from hornlib.structures.unit_pruning.parameters import UnitPruningParameters
from hornlib.structures.unit_pruning.scores import taylor
from hornlib.structures.unit_pruning.structure import lowest_of_all
from hornlib.training.batches import Batches
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk
from hornlib.training.restructuring import restructure, view_of

CPU = torch.device("cpu")
MLP = {"name": "mlp", "hidden_nodes": "8-6", "normalisation": "batch"}
CNN = {"name": "cnn", "channels": "4-8"}
SCORES = ("l1_norm", "norm_scale", "taylor", "random")


@pytest.fixture
def pruned(short_cell):
    """Return a function that gives a chunk before and after one look of unit pruning, and its batches."""

    def make(model=MLP, seeds=(0, 1, 2), optimizer="adamw", without_biases=False, **structure):
        values = {"name": "unit_pruning", "drop_share": 0.5, **structure}
        values |= {"score_batches": 2} if values.get("drop_by") == "taylor" else {}
        cell = short_cell(model, values, optimizer, 0.01)
        splits = load(cell.data, CPU)
        chunks = [start_chunk(cell, list(seeds), CPU) for _ in range(2)]
        for chunk in chunks:
            for norm in ("norms.0.weight", "norms.1.weight"):
                if norm in chunk.lanes.parameters:
                    draw = torch.Generator().manual_seed(1)
                    scale = chunk.lanes.parameters[norm]
                    scale.data.copy_(torch.rand(scale.shape[1], generator=draw) * torch.ones_like(scale))
            for name, tensor in chunk.lanes.parameters.items():
                if without_biases and name.endswith("bias"):
                    tensor.data.zero_()
        before, chunk = chunks
        restructure(chunk, make_structure(cell.structure), Batches(chunk, splits.train))
        return before, chunk, splits

    return make


def kept_units(before, after, name):
    """Return the units of a weight that stayed, (lanes, units), by comparing rows."""
    rows, others = (
        before.lanes.parameters[name].flatten(2),
        after.flatten(2)[:, :, : before.lanes.parameters[name][0, 0].numel()],
    )
    return (others.unsqueeze(2) == rows.unsqueeze(1)).all(3).int().argmax(2)


@pytest.mark.parametrize("drop_by", SCORES)
def test_the_lowest_units_leave_and_the_others_stay_bit_for_bit(pruned, drop_by):
    before, chunk, _ = pruned(drop_by=drop_by)
    (group,) = chunk.groups
    assert group.model.hidden_nodes == (4, 3)
    old, new = before.lanes.parameters, group.lanes.parameters
    units = kept_units(before, new["linears.0.weight"], "linears.0.weight")
    assert (units.sort(1).values == units).all() and all(len(set(lane.tolist())) == 4 for lane in units)
    for lane in range(3):
        for name in ("linears.0.weight", "linears.0.bias", "norms.0.weight", "norms.0.bias"):
            assert torch.equal(new[name][lane], old[name][lane, units[lane]])
        for name in ("norms.0.running_mean", "norms.0.running_var"):
            assert torch.equal(group.lanes.buffers[name][lane], before.lanes.buffers[name][lane, units[lane]])
        columns = old["linears.1.weight"][lane][:, units[lane]]
        assert all((row == columns).all(1).any() for row in new["linears.1.weight"][lane])
    scores = {
        "l1_norm": old["linears.0.weight"].abs().sum(2),
        "norm_scale": old["norms.0.weight"].abs(),
    }
    if drop_by in scores:
        assert torch.equal(scores[drop_by].topk(4).indices.sort().values, units)


@pytest.mark.parametrize("model", [MLP, CNN], ids=["mlp", "cnn"])
def test_the_taylor_score_is_the_derivative_of_the_loss_along_the_weights_that_read_a_unit(pruned, model):
    before, chunk, splits = pruned(model, seeds=(3, 4), drop_by="taylor")
    batches = Batches(before, splits.train)
    view = view_of(before, before.groups[0], batches)
    name = "linears.1.weight" if model is MLP else "convolutions.1.weight"
    computing = name.replace("1", "0")
    weight = before.lanes.parameters[name]
    examples = list(view.batches(2))

    def loss(weights):
        buffers = {key: tensor.clone() for key, tensor in before.lanes.buffers.items()}
        lanes = before.lanes.with_buffers(buffers)
        lanes.parameters = {**before.lanes.parameters, name: weights}
        return sum(view.loss(lanes.forward(x, training=True).logits, y) for x, y in examples) / 2

    scores = []
    for unit in range(weight.shape[2]):
        direction = torch.zeros_like(weight)
        direction[:, :, unit] = weight.detach()[:, :, unit]
        _, slope = torch.autograd.functional.jvp(loss, weight.detach(), direction)
        scores.append(slope.abs())
    scores = torch.stack(scores, 1)
    stayed = kept_units(before, chunk.groups[0].lanes.parameters[computing], computing)
    assert torch.equal(scores.topk(stayed.shape[1]).indices.sort().values, stayed)
    lowest = [event.score for event in chunk.events if event.position == 0]
    torch.testing.assert_close(
        torch.tensor(lowest),
        scores.sort(1).values[:, scores.shape[1] - stayed.shape[1] - 1],
        rtol=1e-4,
        atol=1e-7,
    )


def test_a_look_leaves_the_running_statistics_as_they_are_and_is_counted(pruned):
    before, chunk, _ = pruned(drop_by="taylor")
    view = view_of(before, before.groups[0], None)
    assert chunk.flops.tolist() == [2 * view.gradient_flops(view.model) + 2 * (8 * 6 + 6 * 10)] * 3
    before, chunk, _ = pruned(drop_by="random")
    assert chunk.flops.tolist() == [0, 0, 0]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_moments_of_the_units_that_stay_are_bit_identical(short_cell, optimizer):
    cell = short_cell(MLP, {"name": "unit_pruning", "drop_share": 0.5, "prune_start": 0.4}, optimizer, 0.01)
    chunk, splits = start_chunk(cell, [0, 1], CPU), load(cell.data, CPU)
    saved = {}

    def note(chunk):
        (group,) = chunk.groups
        saved[chunk.step] = (
            group.model,
            {key: tensor.clone() for key, tensor in group.lanes.parameters.items()},
            {
                moment: {key: tensor.clone() for key, tensor in group.named(tensors).items()}
                for moment, tensors in group.optimizer.state.items()
            },
        )

    train_chunk(chunk, splits, note)
    step = round(0.4 * 12)
    (_, weights, before), (model, _, _) = saved[step], saved[step + 1]
    assert model.hidden_nodes == (4, 3)
    structure = make_structure(cell.structure)
    again = start_chunk(cell, [0, 1], CPU)
    again.groups[0].lanes.parameters = {k: v.requires_grad_() for k, v in weights.items()}
    for moment, tensors in before.items():
        again.groups[0].optimizer.state[moment] = list(tensors.values())
    again.step = step
    restructure(again, structure, Batches(again, splits.train))
    (group,) = again.groups
    strongest = weights["linears.0.weight"].abs().sum(2).topk(4).indices.sort().values
    for moment, tensors in group.optimizer.state.items():
        after = group.named(tensors)
        for lane in range(2):
            for name in ("linears.0.weight", "linears.0.bias", "norms.0.weight"):
                assert torch.equal(after[name][lane], before[moment][name][lane, strongest[lane]]), (
                    moment,
                    name,
                )


def test_lanes_whose_widths_differ_under_global_scores_go_on_apart_and_each_equals_its_seed_alone(short_cell):
    structure = {"name": "unit_pruning", "drop_share": 0.6, "distribution": "global", "prune_start": 0.5}
    cell = short_cell({**MLP, "hidden_nodes": "9-9-5"}, structure, "sgd", 0.05)
    splits = load(cell.data, CPU)
    together = start_chunk(cell, [0, 1, 2, 3, 4], CPU)
    train_chunk(together, splits)
    widths = {}
    for group in together.groups:
        for row in group.lanes.rows:
            widths[row] = group.model.hidden_nodes
            assert sum(group.model.hidden_nodes) == 23 - 13
    assert len(set(widths.values())) > 1
    for row in (0, 3):
        alone = start_chunk(cell, [row], CPU)
        train_chunk(alone, splits)
        assert alone.groups[0].model.hidden_nodes == widths[row]
        torch.testing.assert_close(
            alone.curves["test_loss"][0],
            together.curves["test_loss"][row],
            rtol=1e-4,
            atol=1e-5,
            equal_nan=True,
        )


def test_global_scores_leave_a_unit_in_every_layer_and_drop_the_lowest_of_the_others():
    scores = [torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[10.0, 20.0]]), torch.tensor([[0.5]])]
    assert lowest_of_all(scores, 2) == [(2, 0, 0)]
    assert lowest_of_all(scores, 3) == [(2, 1, 0)]


def test_several_prunings_leave_the_widths_that_the_share_gives_and_events_replay_to_them(short_cell):
    structure = {
        "name": "unit_pruning",
        "drop_share": 0.25,
        "prune_start": 0.25,
        "prune_end": 0.75,
        "prunings": 3,
    }
    cell = short_cell(MLP, structure)
    chunk = start_chunk(cell, [0], CPU)
    train_chunk(chunk, load(cell.data, CPU))
    assert chunk.groups[0].model.hidden_nodes == (4, 3)  # from 8-6 by 6-5 and 5-4
    assert [(event.step, event.number) for event in chunk.events if event.position == 0] == [
        (3, 2),
        (6, 1),
        (9, 1),
    ]
    model = chunk.cell.model
    for step in (3, 6, 9):
        events = [event for event in chunk.events if event.step == step]
        model = cell.structure.replayed(model, [PastEvent(e.kind, e.position, e.number) for e in events])
    assert model == chunk.groups[0].model


def test_the_model_after_every_pruning_is_known_in_advance_and_costs_what_training_ends_with():
    pruning = UnitPruningParameters(drop_share=0.25, prune_start=0.25, prune_end=0.75, prunings=3)
    model, task = MODELS["mlp"](hidden_nodes=(8, 6)), Task((5,), 3)
    widths = [reached.hidden_nodes for reached in pruning.reachable(model, task)]
    planned = pruning.planned_models(model, task, Course(3, 4, 0))
    assert [(step, narrow.hidden_nodes) for step, narrow in planned] == [
        (0, (8, 6)),
        (3, (6, 5)),
        (6, (5, 4)),
        (9, (4, 3)),
    ]
    assert widths == [(6, 5), (5, 4), (4, 3)]
    assert pruning.cost(model, task) == MODELS["mlp"](hidden_nodes=(4, 3)).cost(task)
    many = UnitPruningParameters(drop_share=0.05, prune_start=0.1, prune_end=0.9, prunings=20)
    wide = MODELS["mlp"](hidden_nodes=(200, 200))
    reached = many.reachable(wide, task)
    assert len(reached) <= 7 and reached[-1].cost(task) == many.cost(wide, task)


IMPORTANCES = {
    "l1_norm": lambda library: library.importance.MagnitudeImportance(
        p=1, group_reduction="first", normalizer=None
    ),
    "norm_scale": lambda library: library.importance.BNScaleImportance(normalizer=None),
    "taylor": lambda library: library.importance.TaylorImportance(
        group_reduction="first", normalizer=None, multivariable=True
    ),
}
"""Score -> the same one in torch-pruning."""


@pytest.mark.parametrize("drop_by", IMPORTANCES)
@pytest.mark.parametrize("model", [MLP, {**CNN, "channels": "6-8"}], ids=["mlp", "cnn"])
def test_torch_pruning_removes_the_same_units_and_leaves_the_same_function(pruned, model, drop_by):
    library = pytest.importorskip("torch_pruning", reason="torch-pruning is not installed")
    model = {**model, "readout_norm": "none"}
    if drop_by == "taylor":
        # without norms and biases the sums over both sides of a unit behind a relu are equal
        model["normalisation"] = "none"
    before, chunk, splits = pruned(model, seeds=(5,), drop_by=drop_by, without_biases=drop_by == "taylor")
    task, lanes = before.cell.task(), before.lanes
    network = build_network(before.cell.model, task, 0)
    network.load_state_dict({**lanes.tensors(0).parameters, **lanes.tensors(0).buffers})
    view = view_of(before, before.groups[0], Batches(before, splits.train))
    network.train()
    for inputs, targets in view.batches(2):
        loss = view.loss(network(inputs[0])[None], targets).sum() / 2
        loss.backward()
    network.load_state_dict({**lanes.tensors(0).parameters, **lanes.tensors(0).buffers})
    network.eval()
    pruner = library.pruner.BasePruner(
        network,
        splits.test.inputs[:2],
        importance=IMPORTANCES[drop_by](library),
        pruning_ratio=0.5,
        ignored_layers=[network.readout.linear],
    )
    for group in list(pruner.step(interactive=True)):  # all scores are those before the pruning
        group.prune()
    examples = splits.test.inputs[:50]
    outputs = chunk.groups[0].lanes.forward(examples, training=False).logits[0]
    torch.testing.assert_close(outputs, network(examples), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "structure", "words"),
    [
        (
            {"name": "time_resnet"},
            {"drop_share": 0.5},
            "unit_pruning: time_resnet has no layers whose units can be removed",
        ),
        ({"normalisation": "none"}, {"drop_share": 0.5, "drop_by": "norm_scale"}, "needs a norm with scales"),
        ({}, {"units_left": "4"}, "units_left: 1 numbers for 2 layers of units"),
        ({}, {"units_left": "4-7"}, "units_left: 4-7, but the layers have 8-6 units"),
        ({}, {"units_left": "8-6"}, "would remove none"),
        ({}, {"drop_share": 0.1}, "would remove none"),
        ({}, {"drop_share": 0.95, "distribution": "global"}, "leaves fewer than one for each of 2 layers"),
        ({}, {"drop_share": 0.5, "prune_start": 0.99}, "do not fit into 12 training steps"),
        ({}, {"drop_share": 0.5, "prunings": 5, "prune_end": 0.9}, "pruning 4 of layers with 1-1 units"),
        ({}, {"drop_share": 0.5, "drop_by": "taylor"}, "score_batches: 10, but an epoch has 4 batches"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_pruned_is_refused_before_training(short_cell, model, structure, words):
    given = {} if "name" in model else MLP
    cell = short_cell({**given, **model}, {"name": "unit_pruning", **structure})
    assert any(words in refusal for refusal in refusals(cell)), refusals(cell)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "give `drop_share:` or `units_left:`"),
        ({"drop_share": 0.5, "units_left": "4-4"}, "give `drop_share:` or `units_left:`"),
        ({"drop_share": 1.0}, "less than 1"),
        ({"units_left": "0-4"}, "0"),
        ({"units_left": "4-4", "distribution": "global"}, "chooses the widths itself"),
        ({"units_left": "4-4", "prunings": 2, "prune_end": 0.9}, "reached by one pruning"),
        ({"drop_share": 0.5, "prunings": 2}, "prune_end is given where"),
        ({"drop_share": 0.5, "prunings": 2, "prune_end": 0.5}, "is not before prune_end"),
        ({"drop_share": 0.5, "score_batches": 3}, "means nothing to drop_by: l1_norm"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_values_that_contradict_each_other_are_refused(values, words):
    with pytest.raises(ValueError, match=words):
        UnitPruningParameters(**values)


def test_widths_that_depend_on_the_seed_have_no_size_to_be_matched_to():
    (problem,) = UnitPruningParameters(drop_share=0.5, distribution="global").match_problems()
    assert "trained from scratch" in problem
    assert UnitPruningParameters(drop_share=0.5).match_problems() == []
    assert UnitPruningParameters(units_left=(4, 4)).match_problems() == []


def test_the_taylor_score_is_no_rounding_behind_a_batch_norm(pruned):
    """The sum of gradient times weight over incoming weights is 0 there, since the norm undoes their scale."""
    before, _, splits = pruned(drop_by="taylor")
    view = view_of(before, before.groups[0], Batches(before, splits.train))
    scores, _ = taylor(view, before.cell.structure)
    assert all((score.amin(1) > 1e-6).all() for score in scores)
