"""A chunk saved and restored around whatever a structure does ends bit for bit as if nothing had happened."""

import io

import pytest
import torch

from hornlib.data.loading import load
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk

CPU = torch.device("cpu")
STEPS_PER_EPOCH = 4

MLP = {"name": "mlp", "hidden_nodes": "6-6"}
CASES = {
    "insertion": (MLP, {"name": "layer_insertion", "insert_at": 1, "rate_factor": 0.5}, "adamw", 0.01),
    "random": (MLP, {"name": "layer_insertion", "insert_at": 1, "choice": "random"}, "sgd", 0.01),
    "plateau": (
        MLP,
        {"name": "layer_insertion", "trigger": "plateau", "patience": 1, "least_improvement": 0.5},
        "adamw",
        1e-6,
    ),
    "unit pruning": (
        {**MLP, "hidden_nodes": "6-6-6"},
        {"name": "unit_pruning", "drop_share": 0.5, "distribution": "global", "prune_start": 0.4},
        "adamw",
        0.01,
    ),
    "grow and prune": (
        {**MLP, "activation": "relu_one", "readout_norm": "none"},
        {
            "name": "grow_and_prune",
            "times": 2,
            "start_share": 0.1,
            "every_share": 0.5,
            "drop_share": 0.3,
            "drop_by": "taylor",
            "score_batches": 2,
            "prune_start": 0.4,
            "prune_end": 0.8,
            "prunings": 2,
        },
        "adamw",
        0.01,
    ),
    "exchange": (
        {**MLP, "activation": "relu_one", "readout_norm": "none"},
        {
            "name": "grow_and_prune",
            "combination": "exchange",
            "times": 3,
            "start_share": 0.2,
            "every_share": 0.2,
            "drop_share": 0.3,
            "drop_by": "random",
        },
        "adamw",
        0.01,
    ),
    "pruning": (
        {"name": "time_resnet", "num_layers": 5, "num_nodes": 6, "l1_penalty": 0.5},
        {"name": "layer_pruning", "threshold": 0.24},
        "sgd",
        0.05,
    ),
}


def copied(state):
    """Return the state as a checkpoint gives it back."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("name", CASES)
def test_wherever_it_was_interrupted_a_chunk_ends_bit_identical(short_cell, name):
    cell = short_cell(*CASES[name])
    splits, saved = load(cell.data, CPU), {}
    undisturbed = start_chunk(cell, [0, 1, 2], CPU)
    train_chunk(undisturbed, splits, lambda chunk: saved.update({chunk.step: copied(chunk.state())}))
    assert undisturbed.events and len(saved) == 3 * STEPS_PER_EPOCH
    for step, state in saved.items():
        resumed = start_chunk(cell, [0, 1, 2], CPU)
        resumed.restore_(state, CPU)
        train_chunk(resumed, splits)
        # as text, because NaN equals nothing
        assert str(resumed.events) == str(undisturbed.events), step
        assert torch.equal(resumed.flops, undisturbed.flops), step
        for own, other in zip(undisturbed.groups, resumed.groups, strict=True):
            assert own.lanes.seeds == other.lanes.seeds, step
            for key, tensor in own.lanes.parameters.items():
                assert torch.equal(tensor, other.lanes.parameters[key]), (step, key)
        for key, curve in undisturbed.curves.items():
            if key != "seconds":
                assert torch.equal(curve.nan_to_num(-1), resumed.curves[key].nan_to_num(-1)), (step, key)
