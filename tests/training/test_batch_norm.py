"""Batch norm in evaluations: a network is judged by the function that its weights compute at that moment."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from hornlib.data.loading import load
from hornlib.grid.cell import parse_specification
from hornlib.training.chunk import start_chunk
from hornlib.training.curves import evaluate_chunk
from hornlib.training.evaluation import evaluate, evaluated_lanes, thinned
from hornlib.training.loop import train_chunk

CPU = torch.device("cpu")
DATA = {"name": "digits", "train_subset": 300}
MODELS = [
    {"name": "cnn", "channels": "4-8"},
    {"name": "horn_cnn", "num_nodes": 4, "num_stages": 2, "timesteps": 3},
    {"name": "mlp", "hidden_nodes": "16-16", "normalisation": "batch", "dropout": 0.3},
    {"name": "horn", "num_nodes": 8},
    {"name": "resnet", "channels": "4-8"},
    {"name": "shufflenet_v2", "width_multiplier": 0.1},
]


def name_of(model):
    return model["name"]


def cell_of(model, **training):
    presentation = {"presentation": "rows"} if model["name"] == "horn" else {}
    return parse_specification(
        {
            "data": {**DATA, **presentation},
            "model": model,
            "training": {"steps": 12, "batch_size": 32, "learning_rate": 1e-2, **training},
        }
    )


def jump_(lanes):
    """Move every weight of every lane far, by numbers that differ between lanes."""
    draw = torch.Generator().manual_seed(5)
    for tensor in lanes.parameters.values():
        tensor.data += 0.5 * torch.randn(tensor.shape, generator=draw)


def by_hand(lanes, lane, inputs, evaluated):
    """Return one lane's logits in float64: in every norm the moments of `inputs` at that place, written out."""
    network = copy.deepcopy(lanes.network).double().eval()
    tensors = lanes.tensors(lane)
    state = {**tensors.parameters, **tensors.buffers}
    own = network.state_dict()  # without the keys of dropout, which evaluations do not use
    network.load_state_dict({name: state[name].detach().double() for name in own})
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    moments = {}

    def normalise(norm, given, output):
        values = given[0]
        axes = [axis for axis in range(values.dim()) if axis != 1]
        if norm not in moments:  # the first pass, over `inputs`
            moments[norm] = values.mean(axes, keepdim=True), values.var(axes, keepdim=True, unbiased=False)
        mean, variance = moments[norm]
        result = (values - mean) / (variance + norm.eps).sqrt()
        if norm.affine:
            shape = [-1 if axis == 1 else 1 for axis in range(values.dim())]
            result = result * norm.weight.view(shape) + norm.bias.view(shape)
        return result

    for norm in norms:
        norm.register_forward_hook(normalise)
    with torch.no_grad():
        network(inputs.double())
        return network(evaluated.double())


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_after_a_jump_of_the_weights_an_evaluation_has_the_statistics_of_these_weights(model):
    cell = cell_of(model)
    splits = load(cell.data, CPU)
    chunk = start_chunk(cell, [0, 1, 2], CPU)
    train_chunk(chunk, splits)
    jump_(chunk.lanes)
    judged = evaluated_lanes(chunk.lanes, cell.training, splits.train)
    found = judged.forward(splits.test.inputs, training=False).logits
    inputs = thinned(splits.train, cell.training.precise_examples).inputs
    for lane in range(3):
        expected = by_hand(chunk.lanes, lane, inputs, splits.test.inputs)
        scale = expected.abs().max()
        torch.testing.assert_close(found[lane].double() / scale, expected / scale, rtol=0, atol=5e-4)


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_an_evaluation_depends_on_the_weights_and_not_on_what_was_there_before(model):
    cell = cell_of(model)
    splits = load(cell.data, CPU)
    chunk = start_chunk(cell, [0, 1], CPU)
    train_chunk(chunk, splits)
    scores = evaluate(
        evaluated_lanes(chunk.lanes, cell.training, splits.train), splits.test, "cross_entropy", "accuracy"
    )
    for name, tensor in chunk.lanes.buffers.items():
        if "running" in name:
            tensor.fill_(torch.inf)  # an overflow of long ago
    again = evaluate(
        evaluated_lanes(chunk.lanes, cell.training, splits.train), splits.test, "cross_entropy", "accuracy"
    )
    assert torch.isfinite(again.loss).all()
    assert torch.equal(scores.loss, again.loss) and torch.equal(scores.metric, again.metric)


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_training_is_the_same_to_the_last_bit_under_all_statistics(model):
    trained = {}
    for statistics in ("precise", "recent", "exponential"):
        cell = cell_of(model, batch_norm_statistics=statistics)
        chunk = start_chunk(cell, [3, 4], CPU)
        train_chunk(chunk, load(cell.data, CPU))
        trained[statistics] = chunk
    for other in ("recent", "exponential"):
        for name, tensor in trained["precise"].lanes.parameters.items():
            assert torch.equal(tensor, trained[other].lanes.parameters[name]), name
        assert torch.equal(trained["precise"].curves["training_loss"], trained[other].curves["training_loss"])
        assert torch.equal(trained["precise"].flops, trained[other].flops)
        assert not torch.equal(
            trained["precise"].curves["validation_loss"], trained[other].curves["validation_loss"]
        )


def test_the_lanes_buffers_and_modes_are_left_alone():
    cell = cell_of(MODELS[0])
    chunk, splits = start_chunk(cell, [0, 1], CPU), load(cell.data, CPU)
    before = {name: tensor.clone() for name, tensor in chunk.lanes.buffers.items()}
    chunk.lanes.set_momentum(0.3)
    evaluate_chunk(chunk, splits, 0)
    norms = [module for module in chunk.lanes.network.modules() if hasattr(module, "running_mean")]
    assert norms and all(norm.momentum == 0.3 and not norm.training for norm in norms)
    assert all(torch.equal(before[name], tensor) for name, tensor in chunk.lanes.buffers.items())


def test_a_lane_has_the_statistics_it_would_have_alone():
    cell = cell_of(MODELS[1])
    chunk, splits = start_chunk(cell, list(range(9)), CPU), load(cell.data, CPU)
    together = evaluated_lanes(chunk.lanes, cell.training, splits.train)
    alone = evaluated_lanes(chunk.lanes.keep([7]), cell.training, splits.train)
    for name, tensor in alone.buffers.items():
        torch.testing.assert_close(together.buffers[name][7:8], tensor, rtol=1e-5, atol=1e-6)


def test_networks_without_batch_norm_pay_nothing():
    cell = cell_of({"name": "mlp", "hidden_nodes": "16", "readout_norm": "none"})
    chunk, splits = start_chunk(cell, [0], CPU), load(cell.data, CPU)
    assert evaluated_lanes(chunk.lanes, cell.training, splits.train) is chunk.lanes
    train_chunk(chunk, splits)
    assert "statistics_flops" not in chunk.curves


def test_what_the_statistics_cost_is_counted_apart():
    cell = cell_of(MODELS[0], precise_examples=100)
    chunk = start_chunk(cell, [0, 1], CPU)
    train_chunk(chunk, load(cell.data, CPU))
    evaluations = np.arange(1, len(cell.training.evaluation_steps(cell.data.num_train)) + 1)
    once = 100 * cell.model.forward_flops(cell.task()).total
    np.testing.assert_allclose(chunk.curves["statistics_flops"].numpy(), [once * evaluations] * 2)


@pytest.mark.parametrize("examples", [2, 100, 10**6])
def test_so_many_training_examples_count_or_all_there_are(examples):
    cell = cell_of(MODELS[0], precise_examples=examples)
    splits = load(cell.data, CPU)
    chunk = start_chunk(cell, [0], CPU)
    judged = evaluated_lanes(chunk.lanes, cell.training, splits.train)
    inputs = (
        splits.train.inputs
        if examples > len(splits.train.targets)
        else thinned(splits.train, examples).inputs
    )
    with torch.no_grad():
        drive = chunk.lanes.network.convolutions[0]
        weight = chunk.lanes.parameters["convolutions.0.weight"][0]
        maps = nn.functional.conv2d(inputs, weight, padding=drive.padding)
    mean = judged.buffers["norms.0.running_mean"][0]
    torch.testing.assert_close(mean, maps.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_examples_without_precise_statistics_are_refused():
    with pytest.raises(Exception, match="precise_examples means nothing to batch_norm_statistics: recent"):
        cell_of(MODELS[0], batch_norm_statistics="recent", precise_examples=100)


def test_the_old_name_is_refused_with_the_new_one():
    with pytest.raises(Exception, match="running_average is now called batch_norm_statistics"):
        cell_of(MODELS[0], running_average="recent")
