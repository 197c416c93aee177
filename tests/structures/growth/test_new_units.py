"""Grown lanes: they have the shapes of the wider model, the old values, and neutral values for the rest."""

import pytest
import torch

from hornlib.models import MODELS
from hornlib.models.build import build_network
from hornlib.models.lanes import network_tensors
from hornlib.parameters import Task
from hornlib.structures.growth.new_units import NewUnits, grown_lanes
from hornlib.structures.growth.trial import zero_weights

IMAGE, VECTOR = Task((2, 6, 5), 4), Task((7,), 4)

MODEL_CASES = {
    "mlp batch norm": ({"hidden_nodes": (5, 4), "normalisation": "batch"}, VECTOR),
    "mlp srelu": ({"hidden_nodes": (5, 4), "activation": "srelu"}, VECTOR),
    "cnn": ({"channels": (3, 4)}, IMAGE),
    "vgg flatten": ({"channels": (3, 4), "strides": (1, 2), "output_layer": "flatten"}, IMAGE),
    "resnet": ({"channels": (3, 4)}, IMAGE),
}


def grown(look_at_lanes, case, numbers):
    fields, task = MODEL_CASES[case]
    look = look_at_lanes(MODELS[case.partition(" ")[0]](**fields), task)
    units = {
        layer: zero_weights(look, layer, [0, 1], number).new_units(look, layer, [0, 1])
        for layer, number in numbers.items()
    }
    return look, units, grown_lanes(look.view, [0, 1], units)


@pytest.mark.parametrize("case", MODEL_CASES)
def test_grown_lanes_have_the_tensors_of_the_wider_model_and_the_old_values(look_at_lanes, case):
    look, _, lanes = grown(look_at_lanes, case, {0: 2, 1: 3})
    before = look.view.model.units()
    assert lanes.model.units() == (before[0] + 2, before[1] + 3, *before[2:])
    expected = network_tensors(build_network(lanes.model, look.view.task, 0))
    for named, wanted in ((lanes.parameters, expected.parameters), (lanes.buffers, expected.buffers)):
        assert {name: tensor.shape[1:] for name, tensor in named.items()} == {
            name: tensor.shape for name, tensor in wanted.items()
        }
    for name, old in (look.view.lanes.parameters | look.view.lanes.buffers).items():
        corner = (lanes.parameters | lanes.buffers)[name][tuple(slice(size) for size in old.shape)]
        if ("linear" not in name and "readout" not in name) or "flatten" not in case:
            assert torch.equal(corner, old)


@pytest.mark.parametrize("case", MODEL_CASES)
def test_moments_of_old_weights_stay_bit_identical_and_those_of_new_weights_are_zero(look_at_lanes, case):
    look, _, lanes = grown(look_at_lanes, case, {0: 2, 1: 3})
    moments = {
        name: torch.randn_like(tensor).abs() + 1 for name, tensor in look.view.lanes.parameters.items()
    }
    inherited = lanes.inherit(moments)
    for name, tensor in lanes.parameters.items():
        assert inherited[name].shape == tensor.shape
        old = inherited[name][inherited[name] != 0]
        assert torch.equal(old, moments[name].flatten()) or torch.equal(
            old.sort()[0], moments[name].flatten().sort()[0]
        )


def test_values_that_no_rule_gives_are_those_of_a_fresh_network_and_biases_are_zero(look_at_lanes):
    look, units, _ = grown(look_at_lanes, "cnn", {0: 2})
    lanes = grown_lanes(look.view, [0, 1], units)
    new = {
        name: tensor[:, 3:]
        for name, tensor in (lanes.parameters | lanes.buffers).items()
        if "norms.0" in name and tensor.dim() > 1
    }
    assert (new["norms.0.weight"] == 1).all()
    assert (new["norms.0.bias"] == 0).all()
    assert (new["norms.0.running_mean"] == 0).all()
    assert (new["norms.0.running_var"] == 1).all()
    look, _, lanes = grown(look_at_lanes, "mlp srelu", {0: 2})
    assert (lanes.parameters["linears.0.bias"][:, 5:] == 0).all()
    slopes = lanes.parameters["activations.0.left_slope"][:, 5:]
    assert (lanes.parameters["activations.0.right_slope"][:, 5:] == 1).all()
    assert (slopes[0] != slopes[1]).all(), "each lane draws its own"


def test_new_units_of_neighbouring_layers_do_not_read_each_other_where_the_rule_does_not_say_it(
    look_at_lanes,
):
    look, _, _ = grown(look_at_lanes, "mlp srelu", {})
    units = {}
    for layer, number in ((0, 2), (1, 3)):
        weights = zero_weights(look, layer, [0, 1], number)
        ones = weights._replace(
            incoming=torch.ones_like(weights.incoming), outgoing=torch.ones_like(weights.outgoing)
        )
        units[layer] = ones.new_units(look, layer, [0, 1])
    lanes = grown_lanes(look.view, [0, 1], units)
    between = lanes.parameters["linears.1.weight"]
    assert (between[:, 4:, :5] == 1).all()
    assert (between[:, :4, 5:] == 1).all()
    assert (between[:, 4:, 5:] == 0).all()


def test_changed_weights_of_existing_units_are_taken_over(look_at_lanes):
    look, units, _ = grown(look_at_lanes, "mlp srelu", {1: 1})
    halved = look.view.lanes.parameters["readout.linear.weight"].detach() / 2
    changed = {1: units[1]._replace(changed={"readout.linear.weight": halved})}
    lanes = grown_lanes(
        look.view,
        [1],
        {
            1: NewUnits(
                {k: v[1:] for k, v in units[1].tensors.items()},
                units[1].scores[1:],
                {k: v[1:] for k, v in changed[1].changed.items()},
            )
        },
    )
    assert torch.equal(lanes.parameters["readout.linear.weight"][0, :, :4], halved[1])
