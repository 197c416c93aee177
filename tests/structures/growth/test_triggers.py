"""When layers may grow: ranks against numpy, singular values against plain gradients, falls of the loss by example."""

import math

import numpy as np
import pytest
import torch

from hornlib.models import MODELS
from hornlib.parameters import Task
from hornlib.structures.growth.activations import unit_activations
from hornlib.structures.growth.places import PLACES
from hornlib.structures.growth.trial import Trial, zero_weights
from hornlib.structures.growth.triggers import TRIGGERS, has_stopped_falling, mean_gradients
from hornlib.structures.growth.unit_vectors import mean_norms

CASES = {
    "mlp": (MODELS["mlp"](hidden_nodes=(5, 4), activation="tanh", readout_norm="none"), Task((7,), 3)),
    "cnn": (
        MODELS["cnn"](channels=(3, 4), activation="tanh", normalisation="none", readout_norm="none"),
        Task((2, 8, 8), 3),
    ),
    "vgg": (MODELS["vgg"](channels=(3, 2), strides=(1, 2), output_layer="flatten"), Task((2, 8, 8), 3)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("is_shared", [True, False])
def test_activations_are_what_the_next_weights_multiply(look_at_lanes, case, is_shared):
    model, task = CASES[case]
    view = look_at_lanes(model, task).view
    inputs = next(view.batches(1))[0]
    layers = range(len(model.units()))
    given = inputs[0] if is_shared else inputs
    actual = unit_activations(view.lanes, model, task, layers, given, is_shared)
    for layer, of_layer in zip(layers, actual, strict=True):
        assert of_layer.shape[:3] == (2, 6, model.units()[layer])
        for lane in range(2):
            network, tensors = view.lanes.network, view.lanes.tensors(lane)
            (reader,) = (
                axis.name.removesuffix(".weight")
                for axis in model.unit_axes(layer, task)
                if axis.side == "outgoing"
            )
            read = []
            handle = network.get_submodule(reader).register_forward_pre_hook(
                lambda module, arguments, read=read: read.append(arguments[0])
            )
            examples = given if is_shared else given[lane]
            torch.func.functional_call(network, {**tensors.parameters, **tensors.buffers}, (examples,))
            handle.remove()
            torch.testing.assert_close(of_layer[lane].flatten(), read[0].flatten())


def rank_share(matrix, threshold):
    return (np.linalg.svd(matrix, compute_uv=False) > threshold).sum() / len(matrix)


@pytest.mark.parametrize("case", ["mlp", "cnn"])
def test_ranks_of_activations_are_those_of_all_examples_and_positions(look_at_lanes, case):
    model, task = CASES[case]
    look = look_at_lanes(model, task, when="activation_rank", rank_threshold=0.3, batches=2)
    fired = TRIGGERS["activation_rank"](look, [0, 1])
    assert fired.layers == [[], []]  # the first look finds the references
    batches = [
        unit_activations(look.view.lanes, model, task, [0, 1], inputs) for inputs, _ in look.view.batches(2)
    ]
    for layer in (0, 1):
        for lane in range(2):
            columns = [parts[layer][lane].movedim(1, 0).flatten(1) for parts in batches]
            matrix = torch.cat(columns, 1).numpy()
            expected = rank_share(matrix / np.sqrt(matrix.shape[1]), 0.3)
            assert fired.memory[f"rank/{layer}"][lane] == expected
    forward = 2 * 6 * model.forward_flops(task).total
    assert forward < look.flops[0] < 3 * forward


def test_a_layer_may_grow_while_its_rank_is_near_that_of_the_first_network(look_at_lanes):
    model, task = CASES["mlp"]
    look = look_at_lanes(model, task, when="weight_rank", rank_share=0.9, rank_threshold=0.05)
    first = TRIGGERS["weight_rank"](look, [0, 1]).memory
    weight = look.view.lanes.parameters["linears.1.weight"].detach()
    for lane in range(2):
        assert first["rank/1"][lane] == rank_share(weight[lane].numpy(), 0.05)
    look.view.memory.update(first)
    assert TRIGGERS["weight_rank"](look, [0, 1]).layers == [[0, 1], [0, 1]]
    weight[1, 1:] = weight[1, 0]  # one direction for all units of the second lane
    assert TRIGGERS["weight_rank"](look, [0, 1]).layers == [[0, 1], [0]]


def test_the_reference_of_a_convolution_is_the_largest_rank_so_far(look_at_lanes):
    for case, is_convolution in (("mlp", False), ("cnn", True)):
        look = look_at_lanes(*CASES[case], when="weight_rank", rank_threshold=1e-4)
        look.view.memory["rank/0"] = torch.tensor([0.25, 0.25], dtype=torch.float64)
        memory = TRIGGERS["weight_rank"](look, [0]).memory
        assert ("rank/0" in memory) == is_convolution
        assert not is_convolution or memory["rank/0"].tolist() == [1.0, 1.0]


def test_a_layer_may_grow_where_a_new_unit_would_have_a_large_gradient(look_at_lanes):
    model, task = CASES["mlp"]
    ratios = {}
    for ratio in (1e-3, 1e3):
        look = look_at_lanes(model, task, when="singular_value", gradient_ratio=ratio, batches=2)
        ratios[ratio] = TRIGGERS["singular_value"](look, [0, 1]).layers
    assert ratios == {1e-3: [[0, 1], [0, 1]], 1e3: [[], []]}
    look = look_at_lanes(model, task, when="singular_value", batches=2)
    lane, values = 1, look.view.lanes.tensors(1)
    parameters = {name: tensor.detach().requires_grad_() for name, tensor in values.parameters.items()}
    losses = [
        look.view.loss(
            torch.func.functional_call(
                look.view.lanes.network, {**parameters, **values.buffers}, (inputs[lane],)
            )[None],
            targets[lane][None],
        ).sum()
        for inputs, targets in look.view.batches(2)
    ]
    gradient = torch.autograd.grad(sum(losses) / 2, parameters["linears.0.weight"])[0]
    length = parameters["linears.1.weight"].detach().norm(dim=0).mean()
    largest = look.singular_vectors(0).values[lane, 0]
    exact = float(largest * length / gradient.norm(dim=1).mean())
    for factor, fires in ((0.999, True), (1.001, False)):
        look = look_at_lanes(model, task, when="singular_value", gradient_ratio=factor * exact, batches=2)
        assert (0 in TRIGGERS["singular_value"](look, [0, 1]).layers[lane]) == fires


@pytest.mark.parametrize("activation", ["tanh", "gelu", "leaky_relu", "all_relu"])
def test_the_gradient_that_decides_is_that_of_a_new_unit(look_at_lanes, activation):
    """A unit with incoming weights 0 and the first singular vector as outgoing weights, of the mean length."""
    model = MODELS["mlp"](hidden_nodes=(5, 4), activation=activation, readout_norm="none")
    look = look_at_lanes(model, Task((7,), 3), batch=32, dtype=torch.float64)
    trial = Trial(look, [0, 1], {1: 1})
    vectors = look.singular_vectors(1).left[:, :1]
    lengths = mean_norms(*look.sides(1, [0, 1])[1]).view(-1, 1, 1)
    units = zero_weights(look, 1, [0, 1], 1)._replace(outgoing=vectors * lengths)
    received = trial.gradients({1: units})[1].incoming.norm(dim=2)[:, 0]
    (_, into), _ = look.sides(1, [0, 1])
    exact = received / mean_norms(mean_gradients(look)[into.name], into)
    for lane in range(2):
        for factor, fires in ((0.999, True), (1.001, False)):
            ratio = factor * float(exact[lane])
            again = look_at_lanes(
                model,
                Task((7,), 3),
                batch=32,
                dtype=torch.float64,
                when="singular_value",
                gradient_ratio=ratio,
            )
            assert (TRIGGERS["singular_value"](again, [1]).layers[lane] == [1]) == fires


@pytest.mark.parametrize("number", [torch.nan, torch.inf, 1e30])
@pytest.mark.parametrize("when", TRIGGERS)
def test_a_lane_that_has_diverged_lets_no_layer_grow_and_stops_no_other_lane(look_at_lanes, when, number):
    settings = {"when": when, "gradient_ratio": 1e-3} if when == "singular_value" else {"when": when}
    fired = []
    for is_first in (True, False):  # the first look of ranks finds references, the second one decides
        for diverges in (False, True):
            look = look_at_lanes(*CASES["mlp"], **settings)
            look.view = look.view._replace(
                step=50,
                steps_per_epoch=2,
                evaluated=[10, 20, 45, 50],
                validation_loss=torch.tensor([[3.0, 2.0, 4.0, 4.0]] * 2),
            )
            if not is_first:
                look.view.memory.update({f"rank/{layer}": torch.full((2,), 0.1).double() for layer in (0, 1)})
            if diverges:
                look.view.validation_loss[0, -1] = torch.nan
                for tensor in look.view.lanes.parameters.values():
                    tensor.data[0] = number
            fired.append(TRIGGERS[when](look, [0, 1]))
    for healthy, diverged in (fired[:2], fired[2:]):
        assert diverged.layers[1] == healthy.layers[1]
        assert healthy.memory.keys() == diverged.memory.keys()
        for name, shares in healthy.memory.items():
            assert shares[1] == diverged.memory[name][1]
    assert fired[2].layers[1] == [0, 1]
    if when != "schedule" and not math.isfinite(number):
        assert fired[1].layers[0] == fired[3].layers[0] == []


@pytest.mark.parametrize("place", PLACES)
def test_a_lane_that_has_diverged_keeps_no_place_from_choosing(look_at_lanes, place):
    choices = []
    for diverges in (False, True):
        look = look_at_lanes(*CASES["mlp"], place=place)
        if diverges:
            for tensor in look.view.lanes.parameters.values():
                tensor.data[0] = torch.nan
        choices.append([PLACES[place](look, lane, [0, 1]) for lane in range(2)])
    assert choices[0][1] == choices[1][1]
    assert set(choices[1][0]) <= {0, 1} and choices[1][0]


@pytest.mark.parametrize("number", [torch.nan, 1e20])
@pytest.mark.parametrize("when", ["activation_rank", "weight_rank", "singular_value"])
def test_a_training_goes_on_when_a_lane_diverges_right_before_a_look(growth_cell, trained, when, number):
    cell = growth_cell(times=3, when=when, rank_share=0.1 if "rank" in when else None)

    def diverge(chunk):
        if chunk.step in (3, 5):
            for group in chunk.groups:
                if 1 in group.lanes.rows:
                    lane = group.lanes.rows.index(1)
                    for tensor in group.lanes.parameters.values():
                        tensor.data[lane] = number

    chunk, alone = trained(cell, after_step=diverge), trained(cell, (2,))
    assert chunk.step == 12
    assert [event[1:4] for event in chunk.events if event.row == 2] == [event[1:4] for event in alone.events]


@pytest.mark.parametrize(
    ("losses", "since", "until", "expected"),
    [
        ([5.0, 4.0, 3.0, 2.0], 0, 20, False),
        ([5.0, 4.0, 4.0, 4.0], 0, 20, True),
        ([5.0, 4.0, 3.97, 3.97], 0, 20, True),  # less than a hundredth
        ([5.0, 4.0, 4.0, 4.0], 20, 20, False),  # nothing is earlier
        ([5.0, 4.0, 4.0, 4.0], 0, 40, False),  # nothing is recent
        ([5.0, 4.0, 6.0, math.nan], 0, 20, False),  # diverged
    ],
)
def test_a_loss_has_stopped_falling_where_no_recent_one_is_better(losses, since, until, expected):
    actual = has_stopped_falling([10, 20, 30, 40], losses, since, until, least_improvement=0.01)
    assert actual is expected


def test_places_choose_one_layer_or_all(look_at_lanes):
    model, task = CASES["mlp"]
    look = look_at_lanes(model, task, seeds=range(20), place="largest_singular_value")
    assert PLACES["all"](look, 3, [0, 1]) == [0, 1]
    largest = [look.singular_vectors(layer).values[:, 0] for layer in (0, 1)]
    for lane in range(20):
        expected = int(largest[1][lane] > largest[0][lane])
        assert PLACES["largest_singular_value"](look, lane, [0, 1]) == [expected]
        assert PLACES["largest_singular_value"](look, lane, [1]) == [1]
    drawn = [PLACES["random"](look, lane, [0, 1]) for lane in range(20)]
    assert drawn == [PLACES["random"](look, lane, [0, 1]) for lane in range(20)]
    assert 3 < sum(layer for (layer,) in drawn) < 17
    grown_once = look.view._replace(model=model.with_units(0, 6))
    look.view = grown_once
    assert PLACES["round_robin"](look, 0, [0, 1]) == [1] and PLACES["round_robin"](look, 0, [0]) == [0]
