"""The prunable weights that every model lists: names, shapes, roles, and all products of a training step."""

import subprocess
import sys

import pytest
import torch

from hornlib.models import MODELS
from hornlib.models.build import build_network
from hornlib.models.operations import training_work
from hornlib.parameters import Task

IMAGE, ROWS, VECTOR = Task((3, 8, 10), 4), Task((7, 6), 4), Task((9,), 4)

CASES = {
    "horn": ({"num_nodes": 5, "heterogeneity": 1.0}, ROWS),
    "horn image": ({"num_nodes": 5, "timesteps": 4}, IMAGE),
    "horn position": ({"num_nodes": 5, "recurrence_on": "position"}, ROWS),
    "horn explicit": ({"num_nodes": 5, "integrator": "explicit_euler"}, ROWS),
    "horn explicit position": (
        {
            "num_nodes": 5,
            "integrator": "explicit_euler",
            "recurrence_on": "position",
            "readout": "mean",
        },
        ROWS,
    ),
    "horn without recurrence": ({"num_nodes": 5, "recurrence": "none"}, ROWS),
    "horn_cnn": ({"num_nodes": 3, "recurrence": "none", "timesteps": 3}, IMAGE),
    "leaky_cnn": (
        {"num_nodes": 3, "recurrence": "none", "timesteps": 3, "between": "sequence", "num_stages": 2},
        IMAGE,
    ),
    "cnn_horn": ({"channels": (4, 6), "num_nodes": 5}, IMAGE),
    "cnn_horn patches": ({"channels": (4, 6), "num_nodes": 5, "order": "patches"}, IMAGE),
    "cnn_horn gru": ({"channels": (4,), "num_nodes": 5, "unit": "gru"}, IMAGE),
    "cnn_horn gap_mlp": ({"channels": (4, 6), "num_nodes": 5, "unit": "gap_mlp"}, IMAGE),
    "cnn": ({"channels": (4, 6)}, IMAGE),
    "cnn group norm": ({"channels": (4, 6), "convolutions": (2, 1), "normalisation": "group"}, IMAGE),
    "mlp": ({"hidden_nodes": (8, 6), "dropout": 0.3, "normalisation": "batch"}, IMAGE),
    "mlp without biases": ({"hidden_nodes": (8, 6), "bias": "without"}, IMAGE),
    "mlp vector": ({"hidden_nodes": (8,)}, VECTOR),
    "rnn": ({"num_nodes": 5, "num_layers": 2}, ROWS),
    "rnn gru": ({"num_nodes": 5, "unit": "gru"}, ROWS),
    "rnn lstm": ({"num_nodes": 5, "num_layers": 2, "unit": "lstm", "readout": "mean"}, ROWS),
    "vgg": ({"channels": (4, 6), "strides": (1, 2)}, IMAGE),
    "vgg flatten": ({"channels": (4, 6), "strides": (2, 1), "output_layer": "flatten"}, IMAGE),
    "resnet": ({"channels": (4, 6)}, IMAGE),
    "resnet deep": ({"channels": (4, 6), "blocks_per_stage": 2, "normalisation": "none"}, IMAGE),
    "resnet preactivation": (
        {"channels": (4, 6), "block": "preactivation", "inner_channels": (3, 5), "norms": "trunk"},
        IMAGE,
    ),
    "resnet wide": ({"channels": (4, 6), "widening": 2}, IMAGE),
    "shallow": ({"num_channels": 2}, IMAGE),
    "shallow local": ({"num_channels": 2, "connectivity": "local", "kernel_size": 5}, IMAGE),
    "shallow full": ({"num_channels": 2, "connectivity": "full"}, IMAGE),
    "time_resnet": ({"num_nodes": 6, "num_layers": 3, "horizon_penalty": 0.5}, VECTOR),
    "time_resnet convolutional": (
        {"num_nodes": 3, "num_layers": 3, "layer_type": "convolutional", "opening_pool": 2},
        IMAGE,
    ),
    "time_resnet two weights": (
        {"num_nodes": 6, "num_layers": 3, "block": "two_weight", "readout_bias": "without"},
        VECTOR,
    ),
    "time_densenet": ({"num_nodes": 6, "num_layers": 3}, VECTOR),
    "time_densenet concatenating": (
        {"num_nodes": 3, "num_layers": 3, "layer_type": "convolutional", "connection": "concatenating"},
        IMAGE,
    ),
    "fractional_dnn": ({"num_nodes": 6, "num_layers": 4, "opening_step": "without"}, VECTOR),
}
"""The first word is the name of the model."""

NO_WEIGHTS = {"mobilenet_v3", "shufflenet_v2", "squeezenet", "efficientnet"}
"""Models without a closed form."""


@pytest.fixture(params=CASES)
def model_and_task(request):
    values, task = CASES[request.param]
    return MODELS[request.param.partition(" ")[0]](**values), task


def trained_shapes(model, task):
    network = build_network(model, task, 0)
    return {
        name: tuple(parameter.shape)
        for name, parameter in network.named_parameters()
        if parameter.requires_grad
    }


def test_every_model_of_the_table_has_a_case():
    with_weights = {name for name, model in MODELS.items() if model.trainer == "gradient"} - NO_WEIGHTS
    assert {case.partition(" ")[0] for case in CASES} == with_weights


def test_weights_are_all_matrices_and_kernels_of_the_network(model_and_task):
    model, task = model_and_task
    matrices = {name: shape for name, shape in trained_shapes(model, task).items() if len(shape) > 1}
    weights = model.weights(task)
    assert {weight.name: weight.shape for weight in weights} == matrices
    assert len(weights) == len(matrices)


def test_all_products_of_a_pass_and_of_a_training_step_are_those_of_the_weights(model_and_task):
    model, task = model_and_task
    weights = model.weights(task)
    assert sum(2 * weight.uses * weight.size for weight in weights) == model.cost(task).products
    trained = sum(2 * weight.size * (2 * weight.uses + weight.backward_uses) for weight in weights)
    assert trained == training_work(build_network(model, task, 0), task).example.products


def test_layers_ascend_from_the_input_to_the_output(model_and_task):
    weights = model_and_task[0].weights(model_and_task[1])
    layers = [weight.layer for weight in weights]
    assert layers == sorted(layers)
    assert set(layers) == set(range(len(set(layers))))
    for weight in weights:
        assert (weight.role == "output") == (weight.layer == layers[-1])
        assert (weight.role == "input") == (weight.layer == 0 and weight.role != "recurrent")
        assert (weight.backward_uses == 0) == (weight.role == "input")


@pytest.mark.parametrize("name", sorted(NO_WEIGHTS))
def test_models_without_a_closed_form_list_no_weights(name):
    assert MODELS[name]().weights(IMAGE) == []


@pytest.mark.parametrize("name", ["horn", "horn_cnn", "leaky_cnn"])
def test_frozen_recurrent_weights_are_not_listed(name):
    model = MODELS[name](timesteps=3, recurrence_training="frozen")
    weights = model.weights(IMAGE)
    assert weights
    assert {weight.name for weight in weights} <= trained_shapes(model, IMAGE).keys()
    assert "recurrent" not in {weight.role for weight in weights}


@pytest.mark.parametrize("name", ["horn_cnn", "leaky_cnn"])
def test_recurrent_kernels_of_fields_stay_dense(name):
    model = MODELS[name](num_nodes=3, num_stages=2, timesteps=3)
    shapes = trained_shapes(model, IMAGE)
    listed = {weight.name for weight in model.weights(IMAGE)}
    assert {name for name, shape in shapes.items() if len(shape) > 1} - listed == {
        "stages.0.kernel",
        "stages.1.kernel",
    }


def test_zeros_in_all_weights_leave_nothing_but_the_bias_of_the_readout():
    model, task = MODELS["resnet"](channels=(4, 6)), Task((3, 8, 8), 4)
    network = build_network(model, task, 0).eval()
    with torch.no_grad():
        for weight in model.weights(task):
            network.get_parameter(weight.name).zero_()
    logits = network(torch.randn(3, *task.input_shape))
    torch.testing.assert_close(logits, network.readout.linear.bias.expand(3, -1))


def test_the_weights_are_listed_without_torch():
    code = (
        "import sys; from hornlib.models import MODELS; from hornlib.parameters import Task;"
        "MODELS['resnet']().weights(Task((3, 32, 32), 10)); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
