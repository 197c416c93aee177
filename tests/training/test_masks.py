"""Masks in the training loop: what is masked stays 0, looks leave no trace, and nothing is lost in a resumed run."""

import io
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from random_rewiring import RandomRewiringParameters

from hornlib.data.loading import load
from hornlib.grid.cell import parse_specification
from hornlib.models.flops import gradient_flops, training_step_flops
from hornlib.parameters.training import TrainingParameters
from hornlib.structures.interface import Change, Decision
from hornlib.structures.static import StaticParameters
from hornlib.training.batches import Batches
from hornlib.training.chunk import start_chunk
from hornlib.training.looks import ComingLook, look_at
from hornlib.training.loop import train_chunk, train_step
from hornlib.training.optimizers import make_optimizer
from hornlib.training.restructuring import restructure

CPU = torch.device("cpu")
SGD = {"optimizer": "sgd", "weight_decay": 0.01, "learning_rate": 0.1}
ADAMW = {"optimizer": "adamw", "weight_decay": 0.1, "learning_rate": 0.01}
MODELS = {
    "mlp": {"name": "mlp", "hidden_nodes": "8-6", "dropout": 0.2, "normalisation": "batch"},
    "plain": {"name": "mlp", "hidden_nodes": "8-6", "dropout": 0.2, "readout_norm": "none"},
    "cnn": {"name": "cnn", "channels": "3-4"},
    "lstm": {"name": "rnn", "unit": "lstm", "num_nodes": 5},
}


def cell_of(structure=None, model="mlp", **training):
    cell = parse_specification(
        {
            "data": {
                "name": "digits",
                "train_subset": 100,
                "presentation": "rows" if model == "lstm" else "image",
            },
            "model": MODELS[model],
            "training": {"steps": 12, "batch_size": 25, "schedule": "constant", **training},
        }
    )
    return replace(cell, structure=RandomRewiringParameters(**(structure or {})))


def trained(cell, seeds=(0, 1, 2), after_step=lambda chunk: None):
    chunk = start_chunk(cell, list(seeds), CPU)
    train_chunk(chunk, load(cell.data, CPU), after_step)
    return chunk


def copied(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def assert_masked_weights_and_moments_are_zero(chunk):
    for group in chunk.groups:
        assert group.masks
        for name, mask in group.masks.items():
            assert not group.lanes.parameters[name][~mask].any()
            for moment, tensors in group.optimizer.state.items():
                assert moment == "age" or not group.named(tensors)[name][~mask].any()


@pytest.mark.parametrize("training", [SGD, ADAMW], ids=["sgd", "adamw"])
def test_over_200_steps_masked_weights_and_their_moments_are_exactly_zero(training):
    cell = cell_of({"every": 40}, **{**training, "steps": 200, "gradient_clip": 0.5})
    chunk = trained(cell, after_step=assert_masked_weights_and_moments_are_zero)
    assert {event.kind for event in chunk.events} == {"masked", "rewired"}


@pytest.mark.parametrize("look", ["none", "as_step"])
@pytest.mark.parametrize("training", [SGD, ADAMW], ids=["sgd", "adamw"])
def test_wherever_it_was_interrupted_a_chunk_with_masks_ends_bit_identical(training, look):
    cell, saved = cell_of({"look": look, "first_lanes": 2}, **training), {}
    undisturbed = trained(cell, after_step=lambda chunk: saved.update({chunk.step: copied(chunk.state())}))
    splits = load(cell.data, CPU)
    for step, state in saved.items():
        resumed = start_chunk(cell, [0, 1, 2], CPU)
        resumed.restore_(state, CPU)
        train_chunk(resumed, splits)
        assert str(resumed.events) == str(undisturbed.events), step
        assert torch.equal(resumed.flops, undisturbed.flops), step
        for mine, other in zip(undisturbed.groups, resumed.groups, strict=True):
            assert str(other.state()) == str(mine.state()), step
            for part in ("masks", "memory"):
                for name, tensor in getattr(mine, part).items():
                    assert torch.equal(tensor, getattr(other, part)[name]), (step, name)
            for name, tensor in mine.lanes.parameters.items():
                assert torch.equal(tensor, other.lanes.parameters[name]), (step, name)


# Not "mlp": batch norm of a unit that has lost all its inputs amplifies rounding 300 times.
@pytest.mark.parametrize("model", ["plain", "cnn", "lstm"])
def test_a_lane_with_masks_is_what_its_seed_is_alone(model):
    cell = cell_of({"look": "as_step"}, model, **{**SGD, "learning_rate": 0.01})
    together = trained(cell, [3, 11, 5])
    for row, seed in enumerate([3, 11, 5]):
        alone = trained(cell, [seed])
        assert [event[1:] for event in alone.events if event.kind == "rewired"] == [
            event[1:] for event in together.events if event.row == row and event.kind == "rewired"
        ]
        for name, mask in alone.groups[0].masks.items():
            assert torch.equal(together.groups[0].masks[name][row], mask[0])
        for name, tensor in alone.lanes.parameters.items():
            torch.testing.assert_close(together.lanes.parameters[name][row], tensor[0], rtol=2e-3, atol=2e-4)
        assert together.flops[row] == alone.flops[0]


def test_lanes_that_diverge_leave_with_their_masks_and_the_others_go_on():
    def poison(chunk):
        if chunk.step == 3:
            with torch.no_grad():
                chunk.lanes.parameters["readout.linear.bias"][1] = torch.nan

    cell = cell_of({"every": 4}, **SGD)
    chunk = trained(cell, after_step=poison)
    (group,) = chunk.groups
    assert chunk.diverged_at.nan_to_num(-1).tolist() == [-1, 4, -1]
    assert {len(tensor) for tensor in (*group.masks.values(), *group.memory.values())} == {2}
    undisturbed = trained(cell)
    for name, mask in group.masks.items():
        assert torch.equal(mask, undisturbed.groups[0].masks[name][[0, 2]])
    assert_masked_weights_and_moments_are_zero(chunk)


def test_a_look_that_replaces_no_step_leaves_no_trace():
    looking, blind = (trained(cell_of({"look": look}, **SGD)) for look in ("for_nothing", "none"))
    assert (looking.flops > blind.flops).all()
    for name, tensor in blind.lanes.parameters.items():
        assert torch.equal(tensor, looking.lanes.parameters[name])
    for name, tensor in blind.lanes.buffers.items():
        assert torch.equal(tensor, looking.lanes.buffers[name])
    for name in ("training_loss", "test_loss", "validation_loss"):
        torch.testing.assert_close(blind.curves[name], looking.curves[name], rtol=0, atol=0, equal_nan=True)


def test_a_look_that_replaces_a_step_records_its_loss_and_statistics_and_makes_no_update():
    cell, states = cell_of({"look": "as_step", "every": 8}, **{**SGD, "steps": 10}), {}
    chunk = trained(cell, after_step=lambda chunk: states.update({chunk.step: copied(chunk.state())}))
    (before,), (saved,) = states[8]["groups"], states[9]["groups"]
    by_hand = start_chunk(cell, [0, 1, 2], CPU)
    by_hand.restore_(states[8], CPU)
    (group,) = by_hand.groups
    inputs, targets = Batches(by_hand, load(cell.data, CPU).train).at(8, [0, 1, 2])
    look = look_at(by_hand, group.lanes, inputs, targets, "fp32")
    assert torch.equal(saved["window"][-1], torch.stack([look.clean, look.total]))
    for name, tensor in group.lanes.buffers.items():
        assert torch.equal(saved["buffers"][name], tensor)
    for name, mask in saved["masks"].items():
        stays = mask & before["masks"][name]
        assert torch.equal(saved["parameters"][name][stays], before["parameters"][name][stays])
        grown = mask & ~stays
        assert grown.any() and torch.equal(
            saved["parameters"][name][grown], -0.01 * look.gradients[name][grown]
        )
    for name in ("readout.linear.bias", "linears.0.bias"):
        assert torch.equal(saved["parameters"][name], before["parameters"][name])
    assert torch.isfinite(chunk.curves["training_loss"]).all()


def test_the_loop_counts_the_steps_and_the_looks_of_each_lane_by_its_masks():
    """With 12 steps and a look at step 5 and 10 as step: 10 masked steps, and 2 looks with dense gradients."""
    connections = {}

    def note(chunk):
        connections[chunk.step] = chunk.groups[0].connections

    cell = cell_of({"look": "as_step"}, "plain", **SGD)
    chunk = trained(cell, after_step=note)
    task, rule = cell.task(), cell.training.update_rule
    for lane in range(3):
        expected = 0
        for step in range(12):
            if step in (5, 10):  # at the connections before the change
                expected += gradient_flops(cell.model, task, 25, connections[step][lane], True).total
            else:
                expected += training_step_flops(cell.model, task, 25, rule, connections[step + 1][lane]).total
        assert chunk.flops[lane] == expected
    assert len(set(chunk.flops.tolist())) == 3  # the masks of the lanes differ in their counts


def test_full_masks_train_exactly_as_no_masks():
    def fill(chunk):
        if chunk.step == 1:
            (group,) = chunk.groups
            masks = {
                name: torch.ones_like(tensor, dtype=torch.bool)
                for name, tensor in group.lanes.parameters.items()
                if name.endswith("weight")
            }
            chunk.groups = [replace(group, masks=masks)]

    static = replace(cell_of(None, "plain", **SGD), structure=StaticParameters())
    dense, full = trained(static), trained(static, after_step=fill)
    assert torch.equal(dense.flops, full.flops)
    for name, tensor in dense.lanes.parameters.items():
        assert torch.equal(tensor, full.lanes.parameters[name])


@pytest.mark.parametrize("training", [SGD, ADAMW], ids=["sgd", "adamw"])
def test_with_dense_moments_masked_weights_are_zero_and_their_moments_are_not(training):
    def check(chunk):
        (group,) = chunk.groups
        for name, mask in group.masks.items():
            assert not group.lanes.parameters[name][~mask].any()
            for moment, tensors in group.optimizer.state.items():
                moments = group.named(tensors)[name]
                assert moment == "age" or moments[~mask].count_nonzero() > 0.2 * (~mask).sum()

    cell = cell_of({"dense_part": "moments", "every": 40}, "plain", **{**training, "steps": 30})
    trained(cell, after_step=check)
    plain = cell_of({"every": 40}, "plain", **{**training, "steps": 30})
    dense_gradients = replace(plain, structure=RandomRewiringParameters(every=40, dense_part="gradients"))
    costs = [trained(each, [0]).flops[0] for each in (plain, dense_gradients)]
    assert costs[0] < costs[1]


def test_dense_gradients_are_clipped_by_the_norm_of_the_masked_ones():
    """The first step of plain descent then moves the connections by the rate times the limit, and no less."""
    training = {**SGD, "weight_decay": 0.0, "acceleration": "none", "gradient_clip": 1e-3, "steps": 1}
    moved = {}
    for part in ("nothing", "moments"):
        cell = cell_of({"dense_part": part}, "plain", **training)
        (before,), (after,) = start_chunk(cell, [0, 1, 2], CPU).groups, trained(cell).groups
        moved[part] = {
            name: tensor - before.lanes.parameters[name] * after.masks.get(name, 1)
            for name, tensor in after.lanes.parameters.items()
        }
    squares = [tensor.flatten(1).square().sum(1) for tensor in moved["moments"].values()]
    torch.testing.assert_close(sum(squares).sqrt(), torch.full((3,), 1e-4), rtol=1e-2, atol=0)
    for name, tensor in moved["nothing"].items():
        torch.testing.assert_close(moved["moments"][name], tensor)


def test_a_regrown_weight_s_first_step_with_adamw_is_one_learning_rate():
    """By the count of all updates it would be larger: Adam's correction of its second moment would be missing."""
    states = {}
    training = {"optimizer": "adamw", "learning_rate": 1e-3, "steps": 1000, "batch_size": 100}
    cell = cell_of({"every": 999}, "plain", **training)
    trained(
        cell,
        [0],
        lambda chunk: states.update({chunk.step: copied(chunk.state())}) if chunk.step > 997 else None,
    )
    (before,), (after,) = states[999]["groups"], states[1000]["groups"]
    for position, (name, mask) in enumerate(after["masks"].items()):
        grown = mask & ~before["masks"][name]
        moved = after["parameters"][name][grown].abs()
        moved = moved[moved > 0]
        assert len(moved) and (moved <= 1.01e-3).all() and moved.median() > 0.99e-3
        age = after["optimizer"]["age"][list(after["parameters"]).index(name)]
        assert (age[grown] == 1).all() and (age[mask & ~grown] == 1000).all(), position


def test_the_global_count_would_move_a_regrown_weight_three_learning_rates():
    weight, gradient = [torch.zeros(1, 1)], [torch.ones(1, 1)]
    optimizer = make_optimizer(weight, TrainingParameters(optimizer="adamw"))
    optimizer.update_(weight, gradient, torch.tensor([1.0]), 5000)
    assert float(-weight[0]) == pytest.approx(3.15, abs=0.01)
    optimizer = make_optimizer(weight := [torch.zeros(1, 1)], TrainingParameters(optimizer="adamw"))
    optimizer.state["age"] = [torch.zeros(1, 1)]
    optimizer.update_(weight, gradient, torch.tensor([1.0]), 5000)
    assert float(-weight[0]) == pytest.approx(1.0, abs=0.01)


def test_before_any_update_and_with_sgd_no_ages_are_kept():
    for training, steps in ((ADAMW, 4), (SGD, 8)):
        chunk = trained(cell_of(None, "plain", **{**training, "steps": steps}))
        assert "age" not in chunk.groups[0].optimizer.state


def test_a_change_that_keeps_the_model_copies_no_tensor_that_it_does_not_name():
    places = {}

    def note(chunk):
        (group,) = chunk.groups
        tensors = {**group.lanes.parameters, **group.lanes.buffers}
        places[chunk.step] = {name: tensor.data_ptr() for name, tensor in tensors.items()}

    trained(cell_of(None, "mlp", **SGD), after_step=note)
    assert places[1] == places[12]


def test_a_look_in_bf16_is_computed_in_fp32(monkeypatch):
    looks = []
    original = ComingLook.take

    def take(self):
        looks.append((copied(self._group.lanes.tensors(0).parameters), original(self)))
        return looks[-1][1]

    monkeypatch.setattr(ComingLook, "take", take)
    cell = cell_of({"look": "for_nothing"}, "plain", **{**SGD, "precision": "bf16"})
    trained(cell, [0])
    assert looks
    exact = start_chunk(cell, [0], CPU)
    exact.step = 5
    for name, tensor in looks[0][0].items():
        exact.lanes.parameters[name].data[0] = tensor
    inputs, targets = Batches(exact, load(cell.data, CPU).train).at(5, [0])
    expected, rounded = (look_at(exact, exact.lanes, inputs, targets, kind) for kind in ("fp32", "bf16"))
    for name, gradient in looks[0][1].gradients.items():
        assert torch.equal(gradient, expected.gradients[name])
    name = "linears.0.weight"
    assert not torch.equal(expected.gradients[name], rounded.gradients[name])


def test_a_look_at_step_0_as_the_step_sets_the_first_loss_and_counts_no_update():
    def first(view):
        view.coming_gradients()
        return Decision([], [0] * len(view.lanes), used_step=True)

    cell = replace(cell_of(None, "plain", **ADAMW), structure=StaticParameters())
    splits, chunk = load(cell.data, CPU), start_chunk(cell, [0, 1], CPU)
    before = copied(chunk.lanes.parameters)
    rows = restructure(chunk, SimpleNamespace(decide=first), Batches(chunk, splits.train))
    (group,) = chunk.groups
    assert rows == {0, 1} and torch.isfinite(group.first_loss).all() and len(group.window) == 1
    assert all(torch.equal(before[name], tensor) for name, tensor in chunk.lanes.parameters.items())
    chunk.step = 1
    inputs, targets = Batches(chunk, splits.train).at(1, [0, 1])
    train_step(chunk, group, inputs, targets, 12)
    moved = (chunk.lanes.parameters["linears.0.bias"] - before["linears.0.bias"]).abs()
    # AdamW's first update is one learning rate, beside its decay of at most rate x decay x weight
    assert moved.max() < 1.2 * ADAMW["learning_rate"] and moved.median() > 0.9 * ADAMW["learning_rate"]


def test_ages_count_the_updates_without_the_steps_that_a_look_replaced():
    (group,) = trained(cell_of({"look": "as_step"}, "plain", **ADAMW)).groups  # looks at steps 5 and 10
    ages = group.named(group.optimizer.state["age"])
    assert group.since == 2 and (ages["linears.0.bias"] == 10).all()
    assert set(ages["linears.0.weight"].unique().tolist()) == {1, 5, 10}


def test_lanes_with_masks_and_dense_lanes_train_apart_and_each_as_alone():
    """Seeds 0 and 1 are masked and look, seed 2 is dense: some groups skip a step that others make."""
    cell = cell_of({"look": "as_step", "masked_seeds": 2}, "plain", **{**SGD, "learning_rate": 0.01})
    together = trained(cell, [0, 1, 2])
    assert [group.lanes.seeds for group in together.groups] == [[2], [0, 1]]
    assert [bool(group.masks) for group in together.groups] == [False, True]
    for row, seed in enumerate([0, 1, 2]):
        alone = trained(cell, [seed])
        assert together.flops[row] == alone.flops[0]
        for curve in ("training_loss", "test_loss", "num_parameters"):
            torch.testing.assert_close(
                together.curves[curve][row], alone.curves[curve][0], rtol=1e-3, atol=1e-5
            )
    dense = replace(cell, structure=StaticParameters())
    assert torch.equal(trained(dense, [2]).curves["test_loss"], trained(cell, [2]).curves["test_loss"])


def test_lanes_join_once_they_have_masks_and_a_memory_of_the_same_names():
    cell = replace(cell_of(None, "plain", **SGD), structure=StaticParameters())
    chunk = start_chunk(cell, [0, 1, 2], CPU)
    batches = Batches(chunk, load(cell.data, CPU).train)

    def masking(*seeds):
        def decide(view):
            lanes = [lane for lane, seed in enumerate(view.lanes.seeds) if seed in seeds]
            weight = view.lanes.parameters["linears.0.weight"].detach()[lanes]
            masks = {"linears.0.weight": weight > 0}
            change = Change(lanes, "masked", [[] for _ in lanes], view.model, {}, {}, dict, masks)
            return Decision([change] if lanes else [], [0] * len(view.lanes))

        return SimpleNamespace(decide=decide)

    first = chunk.lanes.parameters["linears.0.weight"].detach().clone()
    for seeds, expected in (((0, 2), [[1], [0, 2]]), ((1,), [[0, 1, 2]])):
        restructure(chunk, masking(*seeds), batches)
        assert [group.lanes.rows for group in chunk.groups] == expected
    assert torch.equal(chunk.groups[0].masks["linears.0.weight"], first > 0)
    assert torch.equal(chunk.groups[0].memory["ever/linears.0.weight"], first > 0)


def test_a_checkpoint_of_an_earlier_hornlib_without_masks_is_resumed():
    cell = replace(cell_of(None, "plain", **ADAMW), structure=StaticParameters())
    states = {}
    undisturbed = trained(cell, after_step=lambda chunk: states.update({chunk.step: copied(chunk.state())}))
    older = states[6]
    older["events"] = [[0, 4, "reset", -1, 0.5]]
    for group in older["groups"]:
        del group["masks"], group["memory"]
    resumed = start_chunk(cell, [0, 1, 2], CPU)
    resumed.restore_(older, CPU)
    train_chunk(resumed, load(cell.data, CPU))
    for name, tensor in undisturbed.lanes.parameters.items():
        assert torch.equal(tensor, resumed.lanes.parameters[name])
