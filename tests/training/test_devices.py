"""Training on an accelerator against the CPU; skipped, with its reason printed, where there is none."""

import pytest
import torch

from hornlib.data.loading import load
from hornlib.grid.cell import parse_specification
from hornlib.training.chunk import start_chunk
from hornlib.training.devices import resolve_device
from hornlib.training.loop import train_chunk

THERE = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}


@pytest.mark.parametrize("kind", THERE)
@pytest.mark.parametrize(
    ("model", "presentation"),
    [
        ({"name": "cnn", "channels": "4-8"}, "image"),
        (
            {"name": "horn_cnn", "num_nodes": 4, "num_stages": 2, "timesteps": 3, "heterogeneity": 1.0},
            "image",
        ),
        ({"name": "mlp", "hidden_nodes": "16", "dropout": 0.3}, "image"),
        ({"name": "horn", "num_nodes": 8, "heterogeneity": 1.0}, "rows"),
        ({"name": "rnn", "unit": "gru", "num_nodes": 8}, "rows"),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_the_first_steps_are_those_of_the_cpu(kind, model, presentation):
    if not THERE[kind]():
        pytest.skip(f"no {kind} device on this machine")
    cell = parse_specification(
        {
            "data": {"name": "digits", "train_subset": 200, "presentation": presentation},
            "model": model,
            "training": {"steps": 3, "batch_size": 16, "schedule": "constant"},
        }
    )
    chunks = {}
    for device in (torch.device("cpu"), resolve_device(kind)):
        chunks[device.type] = start_chunk(cell, [0, 1, 2], device)
        train_chunk(chunks[device.type], load(cell.data, device))
    for curve in ("training_loss", "validation_loss", "test_loss"):
        torch.testing.assert_close(
            chunks[kind].curves[curve], chunks["cpu"].curves[curve], rtol=1e-3, atol=1e-4
        )


def test_auto_takes_an_accelerator_before_the_cpu():
    expected = next((kind for kind, there in THERE.items() if there()), "cpu")
    assert resolve_device("auto").type == expected
