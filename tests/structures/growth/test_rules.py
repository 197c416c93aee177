"""Rules of growth: what every rule promises, and what each one computes."""

import pytest
import torch

from hornlib.models import MODELS
from hornlib.models.build import build_network
from hornlib.models.lanes import LaneGroup
from hornlib.models.layer_cost import ACTIVATION_COSTS
from hornlib.models.layers import layer_activation
from hornlib.parameters import Task
from hornlib.structures.growth.new_units import grown_lanes
from hornlib.structures.growth.rule_facts import (
    FLAT_AT_ZERO,
    NONZERO_AT_ZERO,
    RULE_FACTS,
    slope_at_zero,
)
from hornlib.structures.growth.rule_values import LOOKING_RULES, RULE_VALUES
from hornlib.structures.growth.rules import RULES
from hornlib.structures.growth.unit_vectors import unit_vectors

IMAGE, VECTOR = Task((2, 8, 8), 4), Task((7,), 4)

PLAIN_CASES = {
    "mlp": ({"hidden_nodes": (5, 6), "activation": "relu_one", "readout_norm": "none"}, VECTOR),
    "cnn": ({"channels": (3, 4), "activation": "tanh", "normalisation": "none", "readout_norm": "none"}, IMAGE),
    "vgg": ({"channels": (3, 4, 5), "strides": (1, 2, 2)}, IMAGE),
    "vgg flatten": ({"channels": (3, 4), "strides": (2, 1), "output_layer": "flatten"}, IMAGE),
    "resnet": ({"channels": (3, 4), "activation": "relu_one", "block": "preactivation", "norms": "trunk",
                "inner_channels": (4, 6)}, IMAGE),
}  # fmt: skip
"""Models in which no norm acts on the units. The first word is the name of the model."""

NORMED_CASES = {
    "mlp batch norm": ({"hidden_nodes": (5, 6), "normalisation": "batch"}, VECTOR),
    "cnn relu": ({"channels": (3, 4)}, IMAGE),
    "cnn group norm": ({"channels": (4, 2), "normalisation": "group"}, IMAGE),
    "resnet batch norm": ({"channels": (3, 4)}, IMAGE),
}
"""Models with a norm behind the units, and with a read-out norm; group norms keep one channel in each group."""

NUMBERS = {0: 4, 1: 2}
"""New units of each layer: the group norms of 4 and 2 channels become those of 8 and 4."""

FAST = {"search_steps": 3}
"""Settings of rules that search."""

every_rule = pytest.mark.parametrize("rule", RULES)


def look_of(look_at_lanes, case, rule, *arguments, **settings):
    fields, task = (PLAIN_CASES | NORMED_CASES)[case] if isinstance(case, str) else case
    name = case.partition(" ")[0] if isinstance(case, str) else "mlp"
    if "search_steps" in RULE_VALUES[rule]:
        settings = FAST | settings
    return look_at_lanes(MODELS[name](**fields), task, *arguments, rule=rule, **settings)


def grown(look, numbers=NUMBERS, lanes=None):
    """Return the new units of a rule, and the lanes that have them."""
    lanes = look.lanes if lanes is None else lanes
    units = RULES[look.parameters.rule](look, lanes, numbers)
    tensors = grown_lanes(look.view, lanes, units)
    dtype = next(iter(tensors.parameters.values())).dtype
    network = build_network(tensors.model, look.view.task, 0).to(dtype)
    seeds = [look.view.lanes.seeds[lane] for lane in lanes]
    return units, LaneGroup(network, seeds, tensors.parameters, tensors.buffers)


def vectors_of(look, units, layer):
    """Return the incoming and the outgoing vectors of new units, (lanes, units, entries) each."""
    axes = {axis.side: axis for axis in look.axes(layer)}
    return [
        unit_vectors(units[layer].tensors[axes[side].name], axes[side]) for side in ("incoming", "outgoing")
    ]


def received(look, lanes, layer, number):
    """Return the gradients of new units' incoming and outgoing vectors over the first batch."""
    inputs, targets = next(look.view.batches(1))
    loss = look.view.loss(lanes.forward(inputs, training=True).logits, targets).sum()
    axes = {axis.side: axis for axis in look.axes(layer)}
    tensors = [lanes.parameters[axes[side].name] for side in ("incoming", "outgoing")]
    gradients = torch.autograd.grad(loss, tensors)
    return [
        unit_vectors(gradient, axes[side])[:, -number:]
        for gradient, side in zip(gradients, ("incoming", "outgoing"), strict=True)
    ]


def test_every_rule_has_facts_and_values():
    assert RULES.keys() == RULE_FACTS.keys() == RULE_VALUES.keys()


@pytest.mark.parametrize("activation", ACTIVATION_COSTS)
def test_what_is_said_of_activations_at_zero_holds(activation):
    zero = torch.zeros(3, requires_grad=True)
    value = layer_activation(activation, 3, 0, 0.6)(zero)
    (slope,) = torch.autograd.grad(value.sum(), zero)
    assert (value != 0).all() == (activation in NONZERO_AT_ZERO)
    assert (slope == 0).all() == (activation in FLAT_AT_ZERO)
    model = MODELS["mlp"](hidden_nodes=(3,), activation=activation)
    torch.testing.assert_close(slope.abs(), torch.full((3,), slope_at_zero(model)))


def keeps_function(case, rule):
    return RULE_FACTS[rule].keeps_function and (
        case in PLAIN_CASES or RULE_FACTS[rule].zero_side != "incoming"
    )


@pytest.mark.parametrize(
    ("case", "rule"),
    [(case, rule) for case in PLAIN_CASES | NORMED_CASES for rule in RULES if keeps_function(case, rule)],
)
def test_growth_keeps_the_function_in_both_modes(look_at_lanes, case, rule):
    look = look_of(look_at_lanes, case, rule)
    with torch.no_grad():
        for name, buffer in look.view.lanes.buffers.items():  # as in the middle of a training
            if "running" in name:
                buffer.add_(torch.rand(buffer.shape, generator=torch.Generator().manual_seed(0)))
    _, lanes = grown(look)
    inputs, _ = next(look.view.batches(1))
    for training, batch in ((False, inputs[0]), (True, inputs)):
        before = look.view.lanes.forward(batch, training).logits
        assert (lanes.forward(batch, training).logits - before).abs().max() <= 1e-5


@pytest.mark.parametrize("rule", [rule for rule, facts in RULE_FACTS.items() if not facts.keeps_function])
def test_rules_that_promise_nothing_change_the_function(look_at_lanes, rule):
    look = look_of(look_at_lanes, "mlp", rule)
    _, lanes = grown(look)
    inputs, _ = next(look.view.batches(1))
    before = look.view.lanes.forward(inputs, training=True).logits
    assert (lanes.forward(inputs, training=True).logits - before).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("rule", "activation"),
    [("gradmax", activation) for activation in ACTIVATION_COSTS if activation not in FLAT_AT_ZERO]
    + [("zero_outgoing", activation) for activation in ACTIVATION_COSTS]
    + [(rule, "tanh") for rule in RULES]
    + [(rule, "relu") for rule, facts in RULE_FACTS.items() if facts.zero_side != "incoming"],
)
def test_new_units_receive_gradients_whatever_the_activation(look_at_lanes, rule, activation):
    """Also units beyond the rank: 4 classes leave 3 singular values behind the last layer, which gets 6 units.

    Behind a relu, a unit with random incoming weights may be silent for all examples, as in any fresh network.
    """
    fields = {"hidden_nodes": (5, 6), "activation": activation, "readout_norm": "none"}
    look = look_of(look_at_lanes, (fields, VECTOR), rule, batch=64)
    numbers = {0: 2, 1: 6}
    _, lanes = grown(look, numbers)
    receives = []
    for layer, number in numbers.items():
        norms = [gradient.norm(dim=2) for gradient in received(look, lanes, layer, number)]
        receives.append((torch.stack(norms).amax(0) > 1e-6).flatten())
    may_be_silent = activation in ("relu", "relu_one") and RULE_FACTS[rule].zero_side != "incoming"
    assert torch.cat(receives).float().mean() >= (0.5 if may_be_silent else 1)


@every_rule
@pytest.mark.parametrize("case", ["mlp", "vgg flatten"])
def test_new_units_of_a_lane_are_those_it_has_alone(look_at_lanes, case, rule):
    together = look_of(look_at_lanes, case, rule, (3, 4, 5))
    alone = look_of(look_at_lanes, case, rule, (4,))
    units, expected = grown(together, lanes=[1, 2])[0], grown(alone)[0]
    for layer in NUMBERS:
        for name, tensor in expected[layer].tensors.items():
            torch.testing.assert_close(units[layer].tensors[name][0], tensor[0], rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(
            units[layer].scores[0], expected[layer].scores[0], equal_nan=True, rtol=1e-4, atol=0
        )
    assert together.flops[0] == 0 or together.lanes == [0, 1, 2]
    assert (alone.flops[0] > 0) == (rule in LOOKING_RULES)


@every_rule
def test_a_lane_that_has_diverged_stops_no_other(look_at_lanes, rule):
    look, healthy = (look_of(look_at_lanes, "mlp", rule) for _ in range(2))
    for tensor in look.view.lanes.parameters.values():
        tensor.data[0] = torch.nan
    units, expected = grown(look)[0], grown(healthy)[0]
    for layer in NUMBERS:
        for name, tensor in expected[layer].tensors.items():
            torch.testing.assert_close(units[layer].tensors[name][1], tensor[1], rtol=1e-3, atol=1e-5)


@every_rule
def test_a_rule_decides_the_same_twice(look_at_lanes, rule):
    first, second = (grown(look_of(look_at_lanes, "mlp", rule))[0] for _ in range(2))
    for layer in NUMBERS:
        for name, tensor in first[layer].tensors.items():
            assert torch.equal(tensor, second[layer].tensors[name])


@pytest.mark.parametrize("scale_by", ["mean_norm", "fixed"])
@pytest.mark.parametrize(
    "rule",
    [
        "gradmax",
        "gradmax_search",
        "gradmax_search_incoming",
        "firefly",
        "uniform",
        "gaussian",
        "zero_outgoing",
    ],
)
def test_new_vectors_have_the_length_that_is_asked_for(look_at_lanes, rule, scale_by):
    look = look_of(look_at_lanes, "vgg", rule, scale=0.7, scale_by=scale_by)
    units, _ = grown(look)
    for layer in NUMBERS:
        for side, vectors in zip(("incoming", "outgoing"), vectors_of(look, units, layer), strict=True):
            axis = next(axis for axis in look.axes(layer) if axis.side == side)
            existing = unit_vectors(look.view.lanes.parameters[axis.name].detach(), axis).norm(dim=2).mean(1)
            length = 0.7 * (existing if scale_by == "mean_norm" else torch.ones(2))
            if side == RULE_FACTS[rule].zero_side:
                length = torch.zeros(2)
            torch.testing.assert_close(vectors.norm(dim=2), length.unsqueeze(1).expand(vectors.shape[:2]))


class TestGradMax:
    MLP = ({"hidden_nodes": (9, 8), "activation": "relu_one", "readout_norm": "none"}, VECTOR)

    def gradient_norms(self, look, outgoing):
        """Return the norm of all incoming gradients of units with these outgoing vectors, (...)."""
        return (outgoing @ look.matrices([0])[0][0]).flatten(-2).norm(dim=-1)

    @pytest.mark.parametrize("case", ["mlp", "vgg", "vgg flatten", "resnet"])
    def test_the_gradient_norm_is_the_length_times_the_root_of_the_sum_of_squares_of_singular_values(
        self, look_at_lanes, case
    ):
        look = look_of(look_at_lanes, case, "gradmax")
        units, lanes = grown(look, {0: 3})
        incoming, _ = received(look, lanes, 0, 3)
        length = vectors_of(look, units, 0)[1].norm(dim=2)[:, 0]
        expected = length * units[0].singular_values.square().sum(1).sqrt()
        torch.testing.assert_close(incoming.flatten(1).norm(dim=1), expected.float(), rtol=1e-4, atol=0)
        expected = torch.linalg.svdvals(look.matrices([0])[0].double())[:, :3]
        torch.testing.assert_close(units[0].singular_values, expected, rtol=1e-6, atol=0)
        torch.testing.assert_close(units[0].scores, expected[:, 0], rtol=1e-6, atol=0)

    def test_no_random_orthonormal_vectors_get_a_larger_gradient(self, look_at_lanes):
        look = look_of(look_at_lanes, self.MLP, "gradmax", (0,), scale=1.0, scale_by="fixed")
        units, _ = grown(look, {0: 3})
        best = self.gradient_norms(look, vectors_of(look, units, 0)[1][0])
        draws = torch.randn(1000, 8, 3, generator=torch.Generator().manual_seed(0))
        random = torch.linalg.qr(draws).Q.mT
        assert (self.gradient_norms(look, random) < best).all()

    def test_units_beyond_the_rank_are_told_and_receive_gradients(self, look_at_lanes):
        """Behind cross-entropy of 4 classes, 3 directions receive gradients; the fourth one never does."""
        look = look_of(look_at_lanes, self.MLP, "gradmax", batch=64)
        units, lanes = grown(look, {1: 7})
        assert units[1].singular_values.isnan().tolist() == [[False] * 3 + [True] * 4] * 2
        directions = torch.nn.functional.normalize(vectors_of(look, units, 1)[1][0], dim=1)
        for block in (directions[:3], directions[3:]):
            torch.testing.assert_close(block @ block.T, torch.eye(len(block)), rtol=0, atol=1e-5)
        assert (received(look, lanes, 1, 7)[0].norm(dim=2) > 1e-4).all()

    def test_a_layer_without_gradients_gets_random_units(self, look_at_lanes):
        look = look_of(look_at_lanes, self.MLP, "gradmax")
        look.view.lanes.parameters["readout.linear.weight"].data.zero_()
        units, _ = grown(look, {0: 2})
        assert units[0].singular_values.isnan().all()
        assert (units[0].scores == 0).all()

    @pytest.mark.parametrize("activation", ["relu_one", "tanh", "gelu"])
    @pytest.mark.parametrize("num_classes", [2, 4])
    def test_signs_stand_still_under_rounding(self, look_at_lanes, activation, num_classes):
        fields = {"hidden_nodes": (6,), "activation": activation, "readout_norm": "none"}
        case = (fields, Task((7,), num_classes))
        looks = [look_of(look_at_lanes, case, "gradmax", range(20), batch=32) for _ in range(2)]
        draw = torch.Generator().manual_seed(0)
        for tensor in looks[1].view.lanes.parameters.values():
            tensor.data *= 1 + 1e-7 * torch.randn(tensor.shape, generator=draw)
        first, second = (vectors_of(look, grown(look, {0: 1})[0], 0)[1] for look in looks)
        assert (torch.cosine_similarity(first, second, dim=2) > 0.99).all()

    def test_the_sign_is_that_of_the_half_space_with_more_gradient(self, look_at_lanes):
        """After a step, the unit with the other sign has the smaller gradient along the singular vector."""
        look = look_of(look_at_lanes, self.MLP, "gradmax", range(8), batch=32)
        _, lanes = grown(look, {0: 1})
        weight, reader = lanes.parameters["linears.0.weight"], lanes.parameters["linears.1.weight"]
        outgoing = reader[:, :, 9:].detach().clone()
        slopes = []
        for sign in (1, -1):
            weight.data[:, 9:] = 0
            reader.data[:, :, 9:] = sign * outgoing
            (gradient, _) = received(look, lanes, 0, 1)
            direction = gradient / gradient.norm(dim=2, keepdim=True)
            weight.data[:, 9:] = -1e-4 * direction
            slopes.append((received(look, lanes, 0, 1)[0] * direction).sum((1, 2)))
        assert (slopes[0] >= slopes[1]).all()
        assert (slopes[0] > 1.05 * slopes[1]).any()


def test_uniform_directions_are_much_alike_and_gaussian_ones_are_not(look_at_lanes):
    case = ({"hidden_nodes": (3, 200), "activation": "tanh", "readout_norm": "none"}, VECTOR)
    cosines = {}
    for rule in ("uniform", "gaussian"):
        look = look_of(look_at_lanes, case, rule)
        directions = torch.nn.functional.normalize(vectors_of(look, grown(look, {0: 20})[0], 0)[1][0], dim=1)
        cosines[rule] = float((directions @ directions.T)[~torch.eye(20, dtype=torch.bool)].mean())
    assert cosines["uniform"] == pytest.approx(0.75, abs=0.02)
    assert cosines["gaussian"] == pytest.approx(0, abs=0.02)


def test_searched_outgoing_weights_give_the_incoming_ones_a_larger_gradient(look_at_lanes):
    settings = {"scale": 1.0, "scale_by": "fixed", "search_rate": 0.01}
    norms = []
    for steps in (1, 30):
        look = look_of(look_at_lanes, "mlp", "gradmax_search", search_steps=steps, **settings)
        outgoing = vectors_of(look, grown(look, {0: 3})[0], 0)[1]
        norms.append((outgoing @ look.matrices([0])[0]).flatten(1).norm(dim=1))
    assert (norms[1] > 1.05 * norms[0]).all()
    assert (norms[1] < 3**0.5 * look.singular_vectors(0).values[:, 0]).all()


@pytest.mark.parametrize("case", ["mlp", "cnn relu", "mlp batch norm"])
def test_searched_incoming_weights_give_the_outgoing_ones_a_larger_gradient(look_at_lanes, case):
    norms = []
    for steps in (1, 20):
        look = look_of(
            look_at_lanes, case, "gradmax_search_incoming", search_steps=steps, search_rate=0.05, batch=32
        )
        _, lanes = grown(look, {0: 2, 1: 2})
        norms.append([received(look, lanes, layer, 2)[1].flatten(1).norm(dim=1) for layer in (0, 1)])
    first, last = (torch.cat(of_layers) for of_layers in norms)
    assert (last > 1.05 * first).all()


def test_firefly_lowers_the_loss_over_the_new_weights_alone(look_at_lanes):
    losses = []
    for steps in (1, 20):
        look = look_of(look_at_lanes, "mlp", "firefly", search_steps=steps, search_rate=0.02)
        before = {name: tensor.detach().clone() for name, tensor in look.view.lanes.parameters.items()}
        _, lanes = grown(look)
        inputs, targets = next(look.view.batches(1))
        losses.append(look.view.loss(lanes.forward(inputs, training=True).logits, targets))
        for name, tensor in before.items():
            assert torch.equal(lanes.parameters[name][tuple(slice(size) for size in tensor.shape)], tensor)
    assert (losses[1] < losses[0]).all()


class TestNet2Net:
    def test_new_units_are_copies_whose_outgoing_weights_are_shared(self, look_at_lanes):
        look = look_of(look_at_lanes, "mlp batch norm", "net2net")
        units, lanes = grown(look, {0: 4})
        old, new = look.view.lanes.parameters["linears.0.weight"], units[0].tensors["linears.0.weight"]
        sources = (new.unsqueeze(2) == old.unsqueeze(1)).all(3).int().argmax(2)
        assert torch.equal(new, old.gather(1, sources.unsqueeze(2).expand_as(new)))
        reader, before = lanes.parameters["linears.1.weight"], look.view.lanes.parameters["linears.1.weight"]
        for lane in range(2):
            sums = reader[lane, :, :5].clone().index_add(1, sources[lane], reader[lane, :, 5:])
            torch.testing.assert_close(sums, before[lane])

    def test_copies_have_different_gradients_and_so_part(self, look_at_lanes):
        look = look_of(look_at_lanes, "mlp", "net2net", (0,))
        _, lanes = grown(look, {0: 6})
        inputs, targets = next(look.view.batches(1))
        loss = look.view.loss(lanes.forward(inputs, training=True).logits, targets).sum()
        weight = lanes.parameters["linears.0.weight"]
        (gradient,) = torch.autograd.grad(loss, weight)
        same = torch.cdist(weight[0], weight[0]) == 0
        pairs = (same & ~torch.eye(11, dtype=torch.bool)).nonzero().tolist()
        assert pairs
        for first, second in pairs:
            difference = (gradient[0, first] - gradient[0, second]).norm()
            assert difference > 1e-3 * gradient[0, first].norm() or gradient[0, first].norm() == 0

    def test_noise_on_copies_is_relative_to_the_layer(self, look_at_lanes):
        exact, noisy = (
            grown(look_of(look_at_lanes, "mlp", "net2net", copy_noise=noise), {0: 200})[0][0]
            for noise in (0.0, 0.1)
        )
        name = "linears.0.weight"
        weight = look_of(look_at_lanes, "mlp", "net2net").view.lanes.parameters[name]
        noise = (noisy.tensors[name] - exact.tensors[name]).flatten(1).std(1)
        torch.testing.assert_close(noise, 0.1 * weight.detach().flatten(1).std(1), rtol=0.1, atol=0)


def test_nest_bridges_the_pairs_of_the_largest_gradients(look_at_lanes):
    look = look_of(look_at_lanes, "mlp", "nest", (0,), scale=1.0, scale_by="fixed")
    units, _ = grown(look, {0: 3})
    matrix = look.matrices([0])[0][0]  # 6 outgoing numbers, 7 incoming ones; a tenth of the pairs are five
    pairs = sorted(((float(abs(matrix[i, j])), i, j) for i in range(6) for j in range(7)), reverse=True)[:5]
    incoming, outgoing = (vectors[0] for vectors in vectors_of(look, units, 0))
    assert {int(j) for j in incoming.abs().sum(0).nonzero()} <= {j for _, _, j in pairs}
    assert {int(i) for i in outgoing.abs().sum(0).nonzero()} <= {i for _, i, _ in pairs}
    for vectors in (incoming, outgoing):
        for vector in vectors:
            assert float(vector[vector != 0].abs().mean()) == pytest.approx(1)


def test_a_bridge_over_one_pair_is_a_step_against_its_gradient(look_at_lanes):
    case = ({"hidden_nodes": (4, 1), "activation": "tanh", "readout_norm": "none"}, Task((7,), 4))
    look = look_of(look_at_lanes, case, "nest")  # 7 pairs, of which a tenth is one
    units, _ = grown(look, {0: 2})
    matrix = look.matrices([0])[0]
    incoming, outgoing = vectors_of(look, units, 0)
    products = outgoing.mT @ incoming
    place = matrix.abs().flatten(1).argmax(1)
    for lane in range(2):
        assert products[lane].flatten().nonzero().tolist() == [[int(place[lane])]]
        assert products[lane].flatten()[place[lane]] * matrix[lane].flatten()[place[lane]] < 0


class TestVarianceTransfer:
    def test_pairs_cancel_and_an_odd_unit_has_outgoing_weights_of_zero(self, look_at_lanes):
        look = look_of(look_at_lanes, "vgg", "variance_transfer")
        units, _ = grown(look, {0: 5})
        incoming, outgoing = vectors_of(look, units, 0)
        assert torch.equal(incoming[:, :2], incoming[:, 3:])
        assert torch.equal(outgoing[:, :2], -outgoing[:, 3:])
        assert (outgoing[:, 2] == 0).all()

    @pytest.mark.parametrize(("layer", "power"), [(0, 0.5), (1, 1.0)])
    def test_weights_have_the_variance_of_a_fresh_network_of_the_new_width(self, look_at_lanes, layer, power):
        case = ({"hidden_nodes": (100, 100), "activation": "tanh", "readout_norm": "none"}, Task((50,), 40))
        look = look_of(look_at_lanes, case, "variance_transfer", (0,))
        units, lanes = grown(look, {layer: 100})
        incoming, outgoing = vectors_of(look, units, layer)
        assert float(incoming.std()) == pytest.approx((100 if layer else 50) ** -0.5, rel=0.05)
        assert float(outgoing.std()) == pytest.approx(200**-power, rel=0.05)
        name = "linears.1.weight" if layer == 0 else "readout.linear.weight"
        old = look.view.lanes.parameters[name]
        torch.testing.assert_close(lanes.parameters[name][:, :, :100], old * 0.5**power)
