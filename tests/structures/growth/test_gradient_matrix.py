"""The matrix G: two routes to it agree, looks leave no trace, and a lane's matrix is its own."""

import pytest
import torch
from torch import nn

from hornlib.models import MODELS
from hornlib.models.units import with_new_units
from hornlib.parameters import ModelParameters, Task, UnitAxis
from hornlib.structures.growth.gradient_matrix import Junction
from hornlib.structures.growth.trial import virtual_matrix

IMAGE, VECTOR = Task((2, 9, 8), 4), Task((7,), 4)

MODEL_CASES = {
    "mlp": ({"hidden_nodes": (5, 3, 4), "activation": "tanh", "readout_norm": "none"}, VECTOR),
    "mlp without biases": ({"hidden_nodes": (5,), "activation": "relu_one", "readout_norm": "none", "bias": "without"},
                           VECTOR),
    "cnn pooled": ({"channels": (3, 4, 2), "activation": "relu_one", "normalisation": "none", "readout_norm": "none"},
                   IMAGE),
    "cnn gain": ({"channels": (3, 4), "activation": "tanh", "activation_gain": 1.5, "normalisation": "none",
                  "readout_norm": "none"}, IMAGE),
    "vgg strides 1-1-1": ({"channels": (3, 4, 2), "strides": (1, 1, 1)}, IMAGE),
    "vgg strides 1-2-2": ({"channels": (3, 4, 2), "strides": (1, 2, 2)}, IMAGE),
    "vgg strides 2-1-2": ({"channels": (3, 4, 2), "strides": (2, 1, 2)}, IMAGE),
    "vgg flatten": ({"channels": (3, 4), "strides": (1, 2), "output_layer": "flatten"}, IMAGE),
    "resnet": ({"channels": (3, 4), "activation": "tanh", "normalisation": "none"}, IMAGE),
    "resnet trunk": ({"channels": (3, 4), "activation": "relu_one", "block": "preactivation", "norms": "trunk",
                      "inner_channels": (2, 5)}, IMAGE),
}  # fmt: skip
"""The first word is the name of the model. All activations have slope 1 at 0."""

every_case = pytest.mark.parametrize("case", MODEL_CASES)


def model_and_task(case):
    fields, task = MODEL_CASES[case]
    return MODELS[case.partition(" ")[0]](**fields), task


def relative_error(actual, expected):
    return float((actual - expected).norm() / expected.norm())


def test_every_model_with_units_has_a_case():
    with_units = {name for name, model in MODELS.items() if model.units is not ModelParameters.units}
    assert {case.partition(" ")[0] for case in MODEL_CASES} == with_units


@every_case
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 3e-6)])
def test_the_matrix_is_the_gradient_of_virtual_units(look_at_lanes, case, dtype, tolerance):
    model, task = model_and_task(case)
    look = look_at_lanes(model, task, batches=2, dtype=dtype)
    matrices = look.matrices(range(len(model.units())))
    for layer, matrix in matrices.items():
        assert relative_error(matrix, virtual_matrix(look, layer)) <= tolerance


class TwoConvolutions(nn.Module):
    def __init__(self, kernels, strides, paddings):
        super().__init__()
        self.first = nn.Conv2d(2, 1, kernels[0], strides[0], paddings[0], bias=False, dtype=torch.float64)
        self.second = nn.Conv2d(1, 3, kernels[1], strides[1], paddings[1], bias=False, dtype=torch.float64)


AXES = [UnitAxis("first.weight", 0, "incoming"), UnitAxis("second.weight", 1, "outgoing")]


@pytest.mark.parametrize("paddings", [(0, 0), (1, 1), (0, 2), (2, 1)])
@pytest.mark.parametrize("strides", [(1, 1), (2, 1), (2, 2), (1, 2)])
@pytest.mark.parametrize("kernels", [(1, 1), (1, 3), (3, 1), (3, 3), (3, 5), (5, 3), (5, 5)])
def test_the_matrix_is_the_linear_map_of_autograd_at_every_kernel_stride_and_padding(
    kernels, strides, paddings
):
    """Row i is the gradient of the incoming kernel of a linear unit whose outgoing kernel is basis vector i."""
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(3, 2, 15, 14, generator=draw, dtype=torch.float64)
    network = TwoConvolutions(kernels, strides, paddings)
    outputs = network.second(network.first(inputs))
    gradients = torch.randn(outputs.shape, generator=draw, dtype=torch.float64)
    junction = Junction(network, 0, AXES)
    matrix = junction.matrix(junction.maps(inputs), gradients)
    rows = []
    for index in range(network.second.weight.numel()):
        with torch.no_grad():
            network.second.weight.zero_().view(-1)[index] = 1
        loss = (network.second(network.first(inputs)) * gradients).sum()
        (row,) = torch.autograd.grad(loss, network.first.weight)
        rows.append(row.flatten())
    assert relative_error(matrix, torch.stack(rows)) <= 1e-12


@every_case
def test_the_matrix_takes_fewer_flops_than_virtual_units(look_at_lanes, case):
    model, task = model_and_task(case)
    for layer in range(len(model.units())):
        unfolding, virtual = look_at_lanes(model, task), look_at_lanes(model, task)
        unfolding.matrices([layer])
        virtual_matrix(virtual, layer)
        assert 0 < unfolding.flops[0] < virtual.flops[0]


def test_the_matrix_of_several_batches_is_their_mean(look_at_lanes):
    model, task = model_and_task("mlp")
    look = look_at_lanes(model, task, batches=2, dtype=torch.float64)
    batches = list(look.view.batches(2))
    of_each = []
    for batch in batches:
        alone = look_at_lanes(model, task, batches=1, dtype=torch.float64)
        alone.view = alone.view._replace(batches=lambda number, batch=batch: iter([batch]))
        of_each.append(alone.matrices([1])[1])
    torch.testing.assert_close(look.matrices([1])[1], sum(of_each) / 2, rtol=1e-12, atol=0)
    assert look.flops[0] > 1.9 * alone.flops[0]


def test_a_look_leaves_no_trace_in_networks_and_running_statistics(look_at_lanes):
    model, task = model_and_task("resnet trunk")
    look = look_at_lanes(model, task, batches=2)
    lanes = look.view.lanes
    before = {name: tensor.clone() for name, tensor in (lanes.parameters | lanes.buffers).items()}
    look.matrices([0, 1])
    virtual_matrix(look, 0)
    after = lanes.parameters | lanes.buffers
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in lanes.network.modules())


@pytest.mark.parametrize("case", ["mlp", "cnn pooled", "vgg flatten", "resnet trunk"])
def test_the_matrix_of_a_lane_is_the_one_it_has_alone(look_at_lanes, case):
    model, task = model_and_task(case)
    together = look_at_lanes(model, task, (3, 4, 5)).matrices([0])[0]
    some = look_at_lanes(model, task, (3, 4, 5), lanes=[1, 2]).matrices([0])[0]
    alone = look_at_lanes(model, task, (4,)).matrices([0])[0]
    torch.testing.assert_close(together[1], alone[0], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(some[0], alone[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("case", "places"), [("mlp", 1), ("vgg strides 1-2-2", 5 * 4), ("cnn pooled", 4 * 4)]
)
def test_a_matrix_costs_a_pass_and_a_product_for_every_place_of_the_reader(look_at_lanes, case, places):
    model, task = model_and_task(case)
    look = look_at_lanes(model, task, batches=2, batch=6)
    matrix = look.matrices([0])[0]
    products = 2 * matrix[0].numel() * 6 * places
    assert look.flops == [2 * (look.view.gradient_flops(model) + products)] * 2


def test_work_is_that_of_the_looked_at_lanes(look_at_lanes):
    model, task = model_and_task("mlp")
    look = look_at_lanes(model, task, (3, 4, 5), lanes=[1])
    look.singular_vectors(0)
    assert look.flops[1] > 0
    assert look.flops[0] == look.flops[2] == 0
    spent = look.flops[1]
    look.singular_vectors(0)
    look.matrices([0])
    assert look.flops[1] == spent, "what was computed once is not computed again"


def test_dropout_masks_of_a_look_follow_from_the_step_and_not_from_the_last_training_step(look_at_lanes):
    model = MODELS["mlp"](hidden_nodes=(5, 4), activation="tanh", readout_norm="none", dropout=0.5)
    matrices = []
    for key in (1, 2):
        look = look_at_lanes(model, VECTOR)
        for name, buffer in look.view.lanes.buffers.items():
            if name.endswith("dropout_key"):
                buffer.fill_(key)
        matrices.append(look.matrices([0])[0])
    assert torch.equal(*matrices)
    assert not torch.equal(
        matrices[0], look_at_lanes(model.model_copy(update={"dropout": 0.0}), VECTOR).matrices([0])[0]
    )


def test_units_with_small_incoming_weights_receive_the_gradient_that_the_matrix_says(look_at_lanes):
    """The matrix is that of real units of a convolution that leads to a flattening: an oracle without the trial."""
    model, task = model_and_task("vgg flatten")
    look = look_at_lanes(model, task, (2,), dtype=torch.float64)
    axes = model.unit_axes(1, task)
    inputs, targets = next(look.view.batches(1))
    lanes = look.view.lanes
    wider = model.with_units(1, 5)
    network = wider.network
    module, _, name = network.partition(":")
    network = getattr(__import__(module, fromlist=[name]), name)(wider, task, None).double()
    outgoing = torch.randn(1, 4, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    values = with_new_units(
        {key: tensor.detach() for key, tensor in lanes.parameters.items()},
        axes,
        {
            "convolutions.1.weight": torch.zeros(1, 1, 3, 3, 3, dtype=torch.float64),
            "readout.linear.weight": outgoing,
        },
    )
    network.load_state_dict({key: tensor[0] for key, tensor in values.items()})
    nn.functional.cross_entropy(network(inputs[0]), targets[0]).backward()
    received = network.convolutions[1].weight.grad[4].flatten()
    torch.testing.assert_close(
        outgoing.flatten() @ look.matrices([1])[1][0], received, rtol=1e-10, atol=1e-14
    )
