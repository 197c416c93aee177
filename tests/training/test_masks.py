"""Masks in the training loop: what is masked stays 0, looks leave no trace, and nothing is lost in a resumed run."""

import io
from dataclasses import replace

import pytest
import torch
from random_rewiring import RandomRewiringParameters

from hornlib.data.loading import load
from hornlib.grid.cell import parse_specification
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk

CPU = torch.device("cpu")
SGD = {"optimizer": "sgd", "weight_decay": 0.01, "learning_rate": 0.1}
ADAMW = {"optimizer": "adamw", "weight_decay": 0.1, "learning_rate": 0.01}
MODELS = {
    "mlp": {"name": "mlp", "hidden_nodes": "8-6", "dropout": 0.2, "normalisation": "batch"},
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
