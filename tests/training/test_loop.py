"""The training loop: lanes are independent, divergence is contained, an interrupted run ends as if undisturbed."""

import pytest
import torch

from hornlib.cell import parse_specification
from hornlib.data.loading import load
from hornlib.training.evaluation import evaluate
from hornlib.training.loop import _Batches, start_chunk, train_chunk, train_step

CPU = torch.device("cpu")
DATA = {"name": "digits", "train_subset": 200}
MODELS = [
    {"name": "cnn", "channels": "4-8"},
    {"name": "cnn", "channels": "4-8", "normalisation": "group"},
    {"name": "horn_cnn", "num_nodes": 4, "num_stages": 2, "timesteps": 3, "heterogeneity": 1.0},
    {"name": "leaky_cnn", "num_nodes": 4, "num_stages": 2, "timesteps": 3},
    {"name": "mlp", "hidden_nodes": "16-16", "dropout": 0.3},
    {"name": "horn", "num_nodes": 8, "heterogeneity": 1.0},
    {"name": "rnn", "unit": "gru", "num_nodes": 8},
    {"name": "rnn", "unit": "lstm", "num_nodes": 8},
]


def cell_of(model, data=None, **training):
    presentation = "rows" if model["name"] in ("horn", "rnn") else "image"
    return parse_specification(
        {
            "data": {**DATA, "presentation": presentation, **(data or {})},
            "model": model,
            "training": {
                "steps": 5,
                "batch_size": 16,
                "learning_rate": 0.01,
                "schedule": "constant",
                **training,
            },
        }
    )


def trained(cell, seeds, after_step=lambda chunk: None):
    chunk = start_chunk(cell, seeds, CPU)
    train_chunk(chunk, load(cell.data, CPU), after_step)
    return chunk


@pytest.mark.parametrize("model", MODELS, ids=lambda model: "-".join(map(str, model.values())))
def test_a_lane_is_what_its_seed_is_alone(model):
    cell = cell_of(model)
    together = trained(cell, [3, 11, 5])
    for lane, seed in enumerate(together.seeds):
        alone = trained(cell, [seed])
        for name, tensor in alone.lanes.parameters.items():
            torch.testing.assert_close(together.lanes.parameters[name][lane], tensor[0], rtol=2e-3, atol=2e-4)
        for curve in ("training_loss", "validation_loss", "test_loss"):
            torch.testing.assert_close(
                together.curves[curve][lane, :3], alone.curves[curve][0, :3], rtol=1e-4, atol=1e-5
            )


@pytest.mark.parametrize("model", [MODELS[0], MODELS[2], MODELS[4]], ids=lambda model: model["name"])
def test_a_chunk_restored_in_mid_epoch_ends_bit_identical(model):
    cell = cell_of(model, steps=20)
    saved = {}

    def save(chunk):
        if chunk.step == 9:  # within an epoch of 13 steps and between two evaluations
            saved.update(torch.load(_serialised(chunk.state()), weights_only=True))

    undisturbed = trained(cell, [0, 1], save)
    resumed = start_chunk(cell, [0, 1], CPU)
    resumed.restore_(saved)
    assert resumed.step == 9
    train_chunk(resumed, load(cell.data, CPU))
    for name, curve in undisturbed.curves.items():
        if name != "seconds":
            assert torch.equal(curve.nan_to_num(-1), resumed.curves[name].nan_to_num(-1)), name
    for name, tensor in undisturbed.lanes.parameters.items():
        assert torch.equal(tensor, resumed.lanes.parameters[name]), name


def _serialised(state):
    import io

    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return buffer


def test_an_exploding_lane_is_frozen_and_marked_and_the_others_go_on_unharmed():
    cell = cell_of(MODELS[0], steps=8)
    undisturbed = trained(cell, [0, 1, 2])
    chunk = start_chunk(cell, [0, 1, 2], CPU)

    def poison(chunk):
        if chunk.step == 2:
            with torch.no_grad():
                next(iter(chunk.lanes.parameters.values()))[1] = torch.nan

    train_chunk(chunk, load(cell.data, CPU), poison)
    assert chunk.lanes.seeds == [0, 2]
    assert chunk.diverged_at.nan_to_num(-1).tolist() == [-1, 3, -1]
    curve = chunk.curves["validation_loss"]
    assert torch.isfinite(curve[[0, 2]]).all() and torch.isnan(curve[1, 2:]).all()
    torch.testing.assert_close(
        curve[[0, 2]], undisturbed.curves["validation_loss"][[0, 2]], rtol=1e-3, atol=1e-4
    )


def test_a_learning_rate_that_explodes_every_lane_ends_the_chunk_early():
    cell = cell_of(
        {"name": "mlp", "hidden_nodes": "8", "readout_norm": "none"},
        optimizer="sgd",
        learning_rate=1e12,
        steps=500,
    )
    chunk = trained(cell, [0, 1])
    assert torch.isfinite(chunk.diverged_at).all() and len(chunk.lanes) == 0
    assert torch.isnan(chunk.curves["test_metric"][:, -1]).all()
    assert chunk.step < 500


def test_every_seed_visits_each_example_once_an_epoch_in_its_own_order():
    cell = cell_of(MODELS[0], steps=13)
    splits = load(cell.data, CPU)
    chunk = start_chunk(cell, [0, 1], CPU)
    batches = _Batches(chunk, splits.train)
    inputs = torch.cat([batches.at(step)[0] for step in range(13)], dim=1)
    assert inputs.shape[:2] == (2, 200)
    expected = splits.train.inputs.flatten(1).sort(0).values
    for lane in range(2):
        torch.testing.assert_close(inputs[lane].flatten(1).sort(0).values, expected)
    assert not torch.equal(inputs[0], inputs[1])


def test_training_learns():
    cell = cell_of({"name": "cnn", "channels": "8-16"}, steps=60, batch_size=32)
    chunk = trained(cell, [0, 1])
    assert (chunk.curves["test_metric"][:, -1] > 0.6).all()
    assert (chunk.curves["training_loss"][:, -1] < chunk.curves["training_loss"][:, 0]).all()


def test_evaluation_leaves_no_trace_in_the_network():
    cell = cell_of(MODELS[0])
    chunk = start_chunk(cell, [0, 1], CPU)
    before = {name: tensor.clone() for name, tensor in chunk.lanes.buffers.items()}
    evaluate(chunk.lanes, load(cell.data, CPU).test, "cross_entropy", "accuracy")
    assert all(torch.equal(before[name], tensor) for name, tensor in chunk.lanes.buffers.items())


@pytest.mark.parametrize("average", ["recent", "exponential"])
def test_running_statistics_are_the_weighted_mean_of_the_batches_seen(average):
    cell = cell_of(MODELS[0], steps=4, running_average=average)
    chunk = start_chunk(cell, [0, 1], CPU)
    features, expected, found = [], torch.zeros(2, 8), []
    normalised = type(chunk.lanes._template.network.readout.norm)

    def record(module, inputs):
        features.append(inputs[0])

    # the mean of each training batch, seen at the read-out by a copy of the networks run lane by lane
    splits = load(cell.data, CPU)
    batches = _Batches(chunk, splits.train)
    for step in range(4):
        inputs, _ = batches.at(step)
        batch_means = []
        for lane in range(2):
            alone = chunk.lanes.keep([lane])
            norms = [m for m in alone._template.modules() if isinstance(m, normalised)]
            handle = norms[0].register_forward_pre_hook(record)
            alone.forward(inputs[lane : lane + 1], training=True)
            handle.remove()
            batch_means.append(features.pop().detach().mean(0))
        momentum = {"recent": 9 / (step + 9), "exponential": 0.1}[average]
        expected = (1 - momentum) * expected + momentum * torch.stack(batch_means)
        train_step(chunk, inputs, splits.train.targets[batches.orders[:, 16 * step : 16 * step + 16]], 4)
        found = chunk.lanes.buffers["network.readout.norm.running_mean"]
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_a_penalty_of_the_network_is_trained_on_and_kept_apart(monkeypatch):
    from hornlib.models.mlp.network import Mlp

    monkeypatch.setattr(
        Mlp, "penalty", lambda self: 0.1 * sum(p.square().sum() for p in self.parameters()), raising=False
    )
    chunk = trained(cell_of({"name": "mlp", "hidden_nodes": "8"}), [0, 1])
    clean, total = chunk.curves["training_loss"], chunk.curves["training_total_loss"]
    assert (total > clean + 0.01).all()


@pytest.mark.parametrize("precision", ["bf16", "tf32"])
def test_lower_precisions_train_and_keep_fp32_weights(precision):
    chunk = trained(cell_of(MODELS[0], precision=precision), [0, 1])
    assert all(tensor.dtype == torch.float32 for tensor in chunk.lanes.parameters.values())
    assert torch.isfinite(chunk.curves["test_loss"][:, -1]).all()
