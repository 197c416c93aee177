"""Masks in the training loop: what is masked stays 0, looks leave no trace, and nothing is lost in a resumed run."""

import io
from dataclasses import replace

import pytest
import torch
from random_rewiring import RandomRewiringParameters

from hornlib.data.loading import load
from hornlib.grid.cell import parse_specification
from hornlib.training.batches import Batches
from hornlib.training.chunk import start_chunk
from hornlib.training.looks import look_at
from hornlib.training.loop import train_chunk

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
