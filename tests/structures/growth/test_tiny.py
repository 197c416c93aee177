"""TINY: the best approximation of what existing weights cannot do."""

import pytest
import torch

from hornlib.models import MODELS
from hornlib.parameters import Task
from hornlib.structures.growth.rules import RULES
from hornlib.structures.growth.rules.tiny import closed_form

TASK = Task((7,), 5)


def mlp_look(look_at_lanes, seeds=(0, 1), **settings):
    model = MODELS["mlp"](hidden_nodes=(3, 6), activation="tanh", readout_norm="none")
    return look_at_lanes(model, TASK, seeds, rule="tiny", batch=40, dtype=torch.float64, **settings)


def bottleneck(look, layer):
    """Return x and u of the first lane from plain torch: what is read, and the step that existing weights cannot do."""
    tensors = look.view.lanes.tensors(0)
    inputs, targets = next(look.view.batches(1))
    values = tensors.parameters
    first = torch.tanh(inputs[0] @ values["linears.0.weight"].T + values["linears.0.bias"])
    second = (first @ values["linears.1.weight"].T + values["linears.1.bias"]).detach().requires_grad_()
    logits = torch.tanh(second) @ values["readout.linear.weight"].T + values["readout.linear.bias"]
    logits.retain_grad()
    torch.nn.functional.cross_entropy(logits, targets[0], reduction="sum").backward()
    x, h, step = (inputs[0], first, -second.grad) if layer == 0 else (first, torch.tanh(second), -logits.grad)
    h = torch.cat([h, torch.ones(40, 1, dtype=torch.float64)], 1).detach()
    return x.detach(), step - h @ torch.linalg.lstsq(h, step).solution


@pytest.mark.parametrize("layer", [0, 1])
def test_what_is_left_is_what_the_best_matrix_of_that_rank_leaves(look_at_lanes, layer):
    """The best map of rank k from x to u, found by least squares and a singular value decomposition of the fit."""
    look = mlp_look(look_at_lanes)
    incoming, outgoing = (side[0] for side in closed_form(look, {layer: 2})[layer])
    x, u = bottleneck(look, layer)
    left = (u - x @ incoming.T @ outgoing).square().sum()
    fit = x @ torch.linalg.lstsq(x, u).solution
    discarded = torch.linalg.svdvals(fit)[2:].square().sum()
    assert float(left) == pytest.approx(float((u - fit).square().sum() + discarded), rel=1e-8)


def test_no_other_units_of_that_number_leave_less(look_at_lanes):
    look = mlp_look(look_at_lanes)
    incoming, outgoing = (side[0] for side in closed_form(look, {0: 2})[0])
    x, u = bottleneck(look, 0)
    left = (u - x @ incoming.T @ outgoing).square().sum()
    draw = torch.Generator().manual_seed(0)
    for _ in range(100):
        other = [
            side + 0.1 * torch.randn(side.shape, generator=draw, dtype=side.dtype)
            for side in (incoming, outgoing)
        ]
        assert (u - x @ other[0].T @ other[1]).square().sum() > left


@pytest.mark.parametrize("case", ["vgg", "flatten"])
def test_a_kernel_of_one_pixel_is_a_matrix_for_every_position(look_at_lanes, case):
    """Units of a convolution lower the loss at some amplitude more than the same units with turned outgoing weights."""
    fields = {"channels": (2, 3), "strides": (1, 2)} | (
        {"output_layer": "flatten"} if case == "flatten" else {}
    )
    look = look_at_lanes(MODELS["vgg"](**fields), Task((2, 6, 6), 4), rule="tiny", batch=30)
    units = RULES["tiny"](look, [0, 1], {0: 2, 1: 1})
    assert all(torch.isfinite(tensor).all() for unit in units.values() for tensor in unit.tensors.values())


def test_the_line_search_takes_an_amplitude_that_lowers_the_loss(look_at_lanes):
    from hornlib.structures.growth.trial import Trial, UnitWeights, zero_weights
    from hornlib.structures.growth.unit_vectors import unit_vectors

    look = mlp_look(look_at_lanes)
    units = RULES["tiny"](look, [0, 1], {0: 2, 1: 2})
    weights = {}
    for layer in (0, 1):
        sides = [axis for _, axis in look.sides(layer, [0, 1])]
        weights[layer] = UnitWeights(*(unit_vectors(units[layer].tensors[axis.name], axis) for axis in sides))
    trial = Trial(look, [0, 1], {0: 2, 1: 2})
    nothing = {layer: zero_weights(look, layer, [0, 1], 2) for layer in (0, 1)}
    assert (trial.losses(weights) < trial.losses(nothing)).all()


def test_units_beyond_the_rank_start_with_outgoing_weights_of_zero(look_at_lanes):
    """The last layer reads 6 numbers, and the first one 3 of the layer before it."""
    look = mlp_look(look_at_lanes)
    units = RULES["tiny"](look, [0, 1], {1: 5})[1].tensors
    assert (units["readout.linear.weight"][:, :, 3:] == 0).all()
    assert (units["linears.1.weight"][:, 3:].norm(dim=2) > 0).all()
