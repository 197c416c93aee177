"""Sizes at the first step against autograd by hand and closed forms."""

import numpy as np
import pytest
from torch.nn import functional as F

from hornlib.data.loading import load
from hornlib.data.order import epoch_order
from hornlib.dynamics.gain import constant_drive_gain
from hornlib.mechanism.contenders import contenders
from hornlib.mechanism.scale import measure, scale_at_start
from hornlib.models.build import build_network

SWEEPS = """
  arms:
    model:
      - {name: horn_cnn, num_nodes: 2, num_stages: 2, timesteps: 3}
      - {name: horn_cnn, arm: no_recurrence, recurrence: none, num_nodes: 2, num_stages: 1, timesteps: 8}
      - {name: cnn, arm: tanh_cnn, channels: 2, activation: tanh}
      - {name: cnn, channels: 2-4, readout_norm: none}
"""


def test_sizes_are_those_of_the_first_training_batch_by_hand(make_grid):
    contender = contenders(make_grid(SWEEPS), "arms")[0]
    cell = contender.cell
    train = load(cell.data, "cpu").train
    chosen = epoch_order(3, 0, len(train.targets))[:32]
    network = build_network(cell.model, cell.task(), 3).train()
    logits = network(train.inputs[chosen])
    F.cross_entropy(logits, train.targets[chosen]).backward()
    found = scale_at_start(contender, 3, "batch")
    assert found.logit_deviation == pytest.approx(np.sqrt(logits.detach().numpy().var(0).mean()))
    squares = {name: float(parameter.grad.square().sum()) for name, parameter in network.named_parameters()}
    assert found.gradient_norm == pytest.approx(sum(squares.values()) ** 0.5)
    readout = squares["readout.linear.weight"] + squares["readout.linear.bias"]
    assert found.by_layer["readout.linear"] == pytest.approx(readout**0.5)
    assert sum(norm**2 for norm in found.by_layer.values()) == pytest.approx(found.gradient_norm**2)


def test_without_recurrence_raw_features_are_those_of_the_tanh_cnn_times_the_gain(make_grid):
    _, without, tanh, _ = contenders(make_grid(SWEEPS), "arms")
    gain = constant_drive_gain(without.cell.model.oscillator(8), "symplectic_euler", 8)
    raw = [scale_at_start(contender, 0, "none") for contender in (without, tanh)]
    assert raw[0].feature_deviation / raw[1].feature_deviation == pytest.approx(gain, rel=1e-4)
    even = [scale_at_start(contender, 0, "batch") for contender in (without, tanh)]
    assert even[0].logit_deviation == pytest.approx(even[1].logit_deviation, rel=1e-3)


def test_a_planted_relation_with_speed_is_found_at_each_cells_own_read_out(trained, study):
    gains = "[0.1, 0.2, 0.4, 0.8, 1.6, 3.2]"
    many = f"  arms:\n    model: {{name: cnn, readout_norm: none, channels: 2-4, activation_gain: {gains}}}\n"

    def reached_at(contender, seed):
        return 400 / contender.cell.model.activation_gain**0.5

    ds = measure(study(trained(many, reached_at, seeds=2), "arms"))
    assert ds["own_readout_norm"].values.tolist() == ["none"] * 6
    logit = ds.sel(quantity="logit_deviation")
    assert logit["relation"].item() < -0.9 and logit["relation_bound"].values[1] < 0
    assert "larger starts go with faster learning" in ds.attrs["sentence"]


def test_without_results_the_spread_alone_is_told(make_grid, study):
    ds = measure(study(make_grid(SWEEPS, seeds=2), "arms"))
    assert ds["logit_deviation"].dims == ("contender", "readout_norm", "seed")
    assert "relation" not in ds
    assert "(n = 2 seeds) with the raw read-out" in ds.attrs["sentence"]
    for name, values in ds.variables.items():
        assert {"units", "long_name"} <= set(values.attrs), name
    assert np.isfinite(ds["layer_gradient_norm"].sel(layer="readout.linear")).all()
