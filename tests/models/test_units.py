"""Units of hidden layers: a model names every tensor in which they stand, so that they can come and go."""

import pytest
import torch

from hornlib.models import MODELS
from hornlib.models.build import build_network
from hornlib.models.lanes import LaneGroup, make_lanes, network_tensors
from hornlib.models.units import chosen_units, with_new_units, with_zero_units
from hornlib.parameters import Task

IMAGE, VECTOR = Task((3, 6, 7), 4), Task((9,), 4)
LANES, BATCH = 2, 5

CASES = {
    "mlp": ({"hidden_nodes": (4, 3, 5)}, VECTOR),
    "mlp without norms": ({"hidden_nodes": (4, 3), "readout_norm": "none"}, IMAGE),
    "mlp batch norm": ({"hidden_nodes": (4, 3), "normalisation": "batch"}, VECTOR),
    "mlp layer norm": ({"hidden_nodes": (4, 3), "normalisation": "layer"}, VECTOR),
    "mlp without biases": ({"hidden_nodes": (4, 3), "bias": "without"}, VECTOR),
    "mlp srelu": ({"hidden_nodes": (4, 3), "activation": "srelu"}, VECTOR),
    "cnn": ({"channels": (4, 3, 5), "activation": "sigmoid"}, IMAGE),
    "cnn without norms": ({"channels": (4, 3), "normalisation": "none", "readout_norm": "none"}, IMAGE),
    "cnn group norm": ({"channels": (4, 4), "normalisation": "group"}, IMAGE),
    "vgg": ({"channels": (4, 3, 5), "strides": (1, 2, 2)}, IMAGE),
    "vgg batch norm": ({"channels": (4, 3), "strides": (1, 2), "normalisation": "batch"}, IMAGE),
    "vgg flatten": ({"channels": (4, 3), "strides": (2, 1), "output_layer": "flatten"}, IMAGE),
    "resnet": ({"channels": (4, 3)}, IMAGE),
    "resnet inner channels": ({"channels": (4, 3), "inner_channels": (3, 5)}, IMAGE),
    "resnet without norms": ({"channels": (4, 3), "normalisation": "none"}, IMAGE),
    "resnet preactivation": ({"channels": (4, 3), "block": "preactivation"}, IMAGE),
    "resnet trunk": ({"channels": (4, 3), "block": "preactivation", "norms": "trunk"}, IMAGE),
}
"""The first word is the name of the model. Group norms have one channel in each group at 4 and at 8 channels."""

NORMS = {
    "mlp": [{}, {}, {"readout_norm": "batch"}],
    "mlp without norms": [{}, {}],
    "mlp batch norm": [{"normalisation": "batch"}, {"normalisation": "batch", "readout_norm": "batch"}],
    "mlp layer norm": [{"normalisation": "layer"}, {"normalisation": "layer", "readout_norm": "batch"}],
    "cnn without norms": [{}, {}],
    "cnn group norm": [{"normalisation": "group"}, {"normalisation": "group", "readout_norm": "batch"}],
    "vgg batch norm": [{"normalisation": "batch"}, {"normalisation": "batch"}],
    "resnet": [{"normalisation": "batch"}, {"normalisation": "batch"}],
    "resnet trunk": [{}, {}],
}
"""Case -> norms that act on the units of each layer."""


def model_of(case):
    return MODELS[case.partition(" ")[0]](**CASES[case][0])


def layers(*without):
    """Every layer of every case, without cases whose name contains one of these words."""
    cases = [case for case in CASES if not any(word in case for word in without)]
    return pytest.mark.parametrize(
        ("case", "layer"), [(case, layer) for case in cases for layer in range(len(model_of(case).units()))]
    )


every_layer = layers()
every_mode = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])


def lanes_of(model, task):
    """Lanes in double precision whose every number was drawn, so that no two units are alike."""
    lanes = make_lanes([model] * LANES, task, range(LANES), torch.device("cpu"))
    draws = torch.Generator().manual_seed(0)

    def drawn(tensors):
        return {
            name: torch.rand(tensor.shape, generator=draws, dtype=torch.float64) + 0.1
            if tensor.is_floating_point()
            else tensor
            for name, tensor in tensors.items()
        }

    return drawn(lanes.parameters), drawn(lanes.buffers)


def logits_of(model, task, parameters, buffers, training):
    """Logits of lanes with these tensors, which stay as they are."""
    network = build_network(model, task, 0).double()
    lanes = LaneGroup(network, range(LANES), parameters, {name: t.clone() for name, t in buffers.items()})
    draws = torch.Generator().manual_seed(1)
    inputs = torch.randn(LANES, BATCH, *task.input_shape, generator=draws, dtype=torch.float64)
    return lanes.forward(inputs if training else inputs[0], training).logits


def test_every_model_with_units_has_a_case():
    defaults = {"horn": {"timesteps": 3}}
    with_units = {name for name, model in MODELS.items() if model(**defaults.get(name, {})).units()}
    assert {case.partition(" ")[0] for case in CASES} == with_units


@every_layer
def test_the_axes_are_all_that_another_number_of_units_changes(case, layer):
    model, task = model_of(case), CASES[case][1]
    shapes = [
        {
            name: tuple(tensor.shape)
            for tensors in network_tensors(build_network(network, task, 0))
            for name, tensor in tensors.items()
        }
        for network in (model, model.with_units(layer, model.units()[layer] + 2))
    ]
    expected = dict(shapes[0])
    for name, axis, _, block in model.unit_axes(layer, task):
        shape = list(expected[name])
        assert shape[axis] == model.units()[layer] * block
        shape[axis] += 2 * block
        expected[name] = tuple(shape)
    assert shapes[1] == expected


@every_layer
def test_the_axes_name_each_tensor_once_and_their_sides_are_true(case, layer):
    model, task = model_of(case), CASES[case][1]
    axes = model.unit_axes(layer, task)
    assert len({axis.name for axis in axes}) == len(axes)
    matrices = {weight.name: weight.layer for weight in model.weights(task)}
    incoming = [matrices.pop(axis.name) for axis in axes if axis.side == "incoming"]
    outgoing = [matrices.pop(axis.name) for axis in axes if axis.side == "outgoing"]
    assert incoming and outgoing and max(incoming) < min(outgoing)
    assert not any(axis.name in matrices for axis in axes), "the other tensors are no weights"


@every_layer
@every_mode
def test_a_permutation_of_units_changes_nothing(case, layer, training):
    model, task = model_of(case), CASES[case][1]
    parameters, buffers = lanes_of(model, task)
    axes, number = model.unit_axes(layer, task), model.units()[layer]
    order = torch.stack([torch.arange(number).roll(shift) for shift in (1, 2)])
    permuted = [chosen_units(tensors, axes, order) for tensors in (parameters, buffers)]
    torch.testing.assert_close(
        logits_of(model, task, *permuted, training), logits_of(model, task, parameters, buffers, training)
    )


@every_layer
def test_units_that_came_last_and_go_leave_every_bit_as_it_was(case, layer):
    model, task = model_of(case), CASES[case][1]
    axes, number = model.unit_axes(layer, task), model.units()[layer]
    wider = model.with_units(layer, number + 3)
    old_units = torch.arange(number).expand(LANES, -1)
    for old, fresh in zip(lanes_of(model, task), lanes_of(wider, task), strict=True):
        new_units = torch.arange(number, number + 3).expand(LANES, -1)
        new = chosen_units(fresh, axes, new_units)
        widened = with_new_units(old, axes, new)
        assert {name: t.shape for name, t in widened.items()} == {name: t.shape for name, t in fresh.items()}
        narrowed, added = chosen_units(widened, axes, old_units), chosen_units(widened, axes, new_units)
        assert all(torch.equal(narrowed[name], old[name]) for name in old)
        assert all(torch.equal(added[axis.name], new[axis.name]) for axis in axes if axis.name in old)


@layers("layer norm")  # it takes the mean over all units, so that a new one changes the others
@every_mode
def test_new_units_that_nothing_reads_keep_the_function(case, layer, training):
    model, task = model_of(case), CASES[case][1]
    parameters, buffers = lanes_of(model, task)
    axes, number = model.unit_axes(layer, task), model.units()[layer]
    added = 4 if "group norm" in case else 2
    widened = [with_zero_units(tensors, axes, added) for tensors in (parameters, buffers)]
    wider = model.with_units(layer, number + added)
    torch.testing.assert_close(
        logits_of(wider, task, *widened, training), logits_of(model, task, parameters, buffers, training)
    )


@layers("layer norm", "group norm")  # at another number of units, groups have other sizes
@every_mode
def test_without_a_unit_the_network_is_the_one_that_does_not_read_it(case, layer, training):
    model, task = model_of(case), CASES[case][1]
    parameters, buffers = lanes_of(model, task)
    axes, number = model.unit_axes(layer, task), model.units()[layer]
    remaining = torch.stack([torch.arange(number).roll(shift)[1:].sort().values for shift in (0, 1)])
    narrowed = [chosen_units(tensors, axes, remaining) for tensors in (parameters, buffers)]
    unread = dict(parameters)
    (reader,) = [axis for axis in axes if axis.side == "outgoing"]
    weight = unread[reader.name].clone()
    by_unit = weight.unflatten(reader.axis + 1, (number, reader.block)).movedim(reader.axis + 1, 1)
    for lane, units in enumerate(remaining):
        (gone,) = set(range(number)) - set(units.tolist())
        by_unit[lane, gone] = 0
    unread[reader.name] = weight
    torch.testing.assert_close(
        logits_of(model.with_units(layer, number - 1), task, *narrowed, training),
        logits_of(model, task, unread, buffers, training),
    )


@every_layer
def test_another_number_of_units_changes_one_entry_and_can_be_taken_back(case, layer):
    model = model_of(case)
    wider = model.with_units(layer, 9)
    assert wider.units() == tuple(9 if at == layer else n for at, n in enumerate(model.units()))
    assert wider.with_units(layer, model.units()[layer]) == model


@pytest.mark.parametrize("case", NORMS)
def test_norms_that_act_on_units_are_named_by_their_fields(case):
    model = model_of(case)
    assert [model.unit_norms(layer) for layer in range(len(model.units()))] == NORMS[case]


@pytest.mark.parametrize(
    "model",
    [
        MODELS["cnn"](channels=(4, 3), convolutions=(1, 2)),
        MODELS["mlp"](hidden_nodes=(4, 3), connections=(9, 9, 9)),
        MODELS["rnn"](num_nodes=4),
    ],
    ids=["shared width", "connections alone", "recurrent"],
)
def test_a_network_whose_widths_cannot_change_one_by_one_has_no_units(model):
    assert model.units() == ()
    with pytest.raises(ValueError, match="layer 0"):
        model.with_units(0, 5)


@pytest.mark.parametrize("case", ["mlp", "cnn", "vgg", "resnet"])
def test_a_layer_that_does_not_exist_is_refused(case):
    model = model_of(case)
    for layer in (-1, len(model.units())):
        with pytest.raises(ValueError, match=f"layer {layer} "):
            model.with_units(layer, 5)
