"""Lanes that differ in learning rate and oscillator constants train as each would alone."""

import pytest
import torch

from hornlib.data.loading import load
from hornlib.grid.cell import parse_specification
from hornlib.models import MODELS
from hornlib.training.chunk import Run, start_lanes
from hornlib.training.loop import train_chunk

CPU = torch.device("cpu")
VALUES = {
    "omega": (0.3, 0.9),
    "num_cycles": (0.5, 1.0),
    "damping": (0.01, 0.1),
    "damping_ratio": (0.05, 0.3),
    "alpha": (0.1, 1.0),
    "dc_gain": (0.5, 2.0),
    "integration_step": (0.5, 1.0),
    "heterogeneity": (0.0, 0.5),
    "recurrence_gain": (0.5, 1.5),
    "leak_rate": (0.2, 0.7),
    "constant_drive_gain": (0.5, 1.5),
    "horizon_penalty": (0.0, 20.0),
    "l1_penalty": (0.0, 0.5),
    "l2_penalty": (0.0, 0.5),
}
SMALL = {
    "horn": {"num_nodes": 6, "timesteps": 4},
    "horn_cnn": {"num_nodes": 2, "num_stages": 2, "timesteps": 4},
    "leaky_cnn": {"num_nodes": 2, "num_stages": 2, "timesteps": 4},
    "cnn_horn": {"channels": "2-4", "num_nodes": 6},
    **{key: {"num_layers": 3, "num_nodes": 6} for key in ("time_resnet", "time_densenet", "fractional_dnn")},
}


def cell_of(model, rate=1e-2, **parameters):
    return parse_specification(
        {
            "data": {"name": "digits", "train_subset": 64},
            "model": {"name": model, **SMALL.get(model, {}), **parameters},
            # sgd: adamw divides a gradient that is zero but for rounding by its own size
            "training": {"steps": 3, "batch_size": 16, "optimizer": "sgd", "learning_rate": rate},
        }
    )


def curves(rows):
    chunk = start_lanes(rows, CPU)
    train_chunk(chunk, load(rows[0].cell.data, "cpu"))
    return chunk.curves


@pytest.mark.parametrize(
    ("model", "key"), [(name, key) for name, parameters in MODELS.items() for key in parameters.per_lane]
)
def test_lanes_of_different_constants_are_what_each_is_alone(model, key):
    others = {"preset": "public"} if key == "integration_step" else {}  # unit_gain is free of units of time
    rows = [Run(cell_of(model, **others, **{key: value}), 3) for value in VALUES[key]]
    together = curves(rows)
    for row, lane in enumerate(rows):
        alone = curves([lane])
        for name in ("training_loss", "validation_loss", "training_flops"):
            torch.testing.assert_close(together[name][row], alone[name][0], rtol=2e-4, atol=1e-5)
    assert not torch.allclose(together["validation_loss"][0], together["validation_loss"][1], rtol=1e-6), key


def test_a_lane_with_another_learning_rate_is_what_it_is_alone_though_a_neighbour_diverges():
    rows = [Run(cell_of("mlp", rate), seed) for rate in (1e-3, 1e-1, 1e6) for seed in (0, 1)]
    together = curves(rows)
    for row, lane in enumerate(rows[:4]):
        torch.testing.assert_close(
            together["validation_loss"][row], curves([lane])["validation_loss"][0], rtol=1e-4, atol=1e-6
        )


def test_the_same_seed_sees_the_same_batches_whatever_the_learning_rate():
    rows = [Run(cell_of("mlp", rate), 5) for rate in (1e-9, 2e-9)]
    losses = curves(rows)["training_loss"]  # of the same initial network on the same first batch
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-6)
