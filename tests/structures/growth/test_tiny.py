"""TINY: the best approximation of what existing weights cannot do."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from hornlib.models import MODELS
from hornlib.parameters import Task, UnitAxis
from hornlib.structures.growth.gradient_matrix import Junction
from hornlib.structures.growth.rules import RULES
from hornlib.structures.growth.rules.tiny import closed_form
from hornlib.structures.growth.trial import Trial, UnitWeights, zero_weights
from hornlib.structures.growth.unit_vectors import unit_vectors

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


class SyntheticLook:
    """What the closed form sees of a look whose one pass left random numbers at a junction."""

    lanes = (0,)

    def __init__(self, writer, reader, block, inputs):
        network = nn.ModuleDict({"writer": writer, "reader": reader}).double()
        self.of_units = [
            UnitAxis("writer.weight", 0, "incoming"),
            UnitAxis("reader.weight", 1, "outgoing", block),
        ]
        self.network, self.junction = network, Junction(network, 0, self.of_units)
        draw = torch.Generator().manual_seed(1)
        readings = writer(inputs) if isinstance(reader, nn.Conv2d) else writer(inputs).flatten(1)
        outputs = reader(readings)
        self.junction.inputs, self.junction.readings = inputs[None], torch.tanh(readings).detach()[None]
        self.junction.gradients = torch.randn(outputs.shape, generator=draw, dtype=torch.float64)[None]

    def passes(self, layers):
        yield {0: self.junction}

    def sides(self, layer, lanes):
        return [(self.network.get_parameter(axis.name).detach()[None], axis) for axis in self.of_units]

    def count(self, flops, lanes):
        pass


def uncorrelated(rows, columns):
    """Return numbers whose columns are orthogonal and of the same length, (rows, columns)."""
    draws = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return torch.linalg.qr(draws).Q * 3


def pixel_reader():
    """A kernel of 3x3 pixels before one of a single pixel: every position reads the nine pixels around it."""
    inputs = torch.randn(20, 2, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    look = SyntheticLook(nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 6, 1), 1, inputs)
    columns = functional.unfold(inputs, 3, padding=1)  # (20, 18, positions)
    return look, columns.movedim(2, 1).flatten(0, 1).unsqueeze(1)


def flattened():
    """A kernel of one pixel before a fully connected layer that reads four positions of uncorrelated numbers."""
    inputs = uncorrelated(60, 3 * 4).unflatten(1, (3, 2, 2))
    look = SyntheticLook(nn.Conv2d(3, 2, 1), nn.Linear(2 * 4, 6), 4, inputs)
    return look, inputs.flatten(2).movedim(2, 1)


def patches():
    """A kernel of one pixel before one that reads 2x2 pixels without overlap, whose numbers are uncorrelated."""
    blocks = uncorrelated(30 * 4, 3 * 4).unflatten(0, (30, 2, 2)).unflatten(3, (3, 2, 2))
    inputs = blocks.permute(0, 3, 1, 4, 2, 5).reshape(30, 3, 4, 4)
    look = SyntheticLook(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 5, 2, stride=2), 1, inputs)
    return look, blocks.flatten(0, 2).flatten(2).movedim(2, 1)


@pytest.mark.parametrize("junction", [pixel_reader, flattened, patches])
def test_units_of_convolutions_leave_what_the_best_map_of_that_rank_leaves(junction):
    """Least squares over all that an output reads, (rows, pixels, incoming numbers), and singular values of the fit.

    Where an output reads several pixels, their numbers are uncorrelated, so that pixels share one covariance exactly.
    """
    look, x = junction()
    number, junction = 2, look.junction
    incoming, outgoing = (side[0] for side in closed_form(look, {0: number})[0])
    readings, gradients = junction.readings[0], junction.gradients[0]
    step = -len(gradients) * (gradients if gradients.dim() == 2 else gradients.movedim(1, 3).flatten(0, 2))
    if readings.dim() == 4:
        h = functional.unfold(readings, junction.reader.kernel_size, stride=junction.reader.stride)
        readings = h.movedim(1, 2).flatten(0, 1)
    h = torch.cat([readings, torch.ones(len(readings), 1, dtype=torch.float64)], 1)
    u = step - h @ torch.linalg.lstsq(h, step).solution
    fit = torch.linalg.lstsq(x.flatten(1), u).solution  # (pixels and incoming numbers, outputs)
    as_map = fit.T.unflatten(1, x.shape[1:]).flatten(0, 1)  # (outputs and pixels, incoming numbers)
    scores = as_map @ torch.linalg.qr(x.flatten(0, 1)).R.mT / x.shape[1] ** 0.5
    discarded = torch.linalg.svdvals(scores)[number:].square().sum()
    best = (u - x.flatten(1) @ fit).square().sum() + discarded
    units = torch.einsum("rpi,ki->rpk", x, incoming)
    added = torch.einsum("rpk,kop->ro", units, outgoing.unflatten(1, (-1, x.shape[1])))
    assert float((u - added).square().sum()) == pytest.approx(float(best), rel=1e-8)
    assert best < 0.99 * u.square().sum()


def tried(look, units):
    """Return the weights of new units by layer, and a function from weights to the losses of the lanes."""
    weights = {}
    for layer, of_layer in units.items():
        sides = [axis for _, axis in look.sides(layer, look.lanes)]
        weights[layer] = UnitWeights(*(unit_vectors(of_layer.tensors[axis.name], axis) for axis in sides))
    return weights, Trial(
        look, look.lanes, {layer: len(of.incoming[0]) for layer, of in weights.items()}
    ).losses


@pytest.mark.parametrize("fields", [{}, {"output_layer": "flatten"}], ids=["vgg", "vgg flatten"])
def test_units_of_convolutions_lower_the_loss_more_than_with_turned_outgoing_weights(look_at_lanes, fields):
    model = MODELS["vgg"](channels=(2, 3), strides=(1, 2), **fields)
    look = look_at_lanes(model, Task((2, 6, 6), 4), range(4), rule="tiny", batch=60)
    weights, losses = tried(look, RULES["tiny"](look, look.lanes, {0: 2, 1: 1}))
    nothing = {
        layer: zero_weights(look, layer, look.lanes, len(of.incoming[0])) for layer, of in weights.items()
    }
    fall = losses(nothing) - losses(weights)
    assert (fall > 0).all()
    for turn in (torch.neg, lambda vectors: vectors.flip(2), lambda vectors: vectors.roll(1, 2)):
        turned = {layer: of._replace(outgoing=turn(of.outgoing)) for layer, of in weights.items()}
        assert (losses(nothing) - losses(turned) < 0.7 * fall).all()


def test_the_line_search_takes_an_amplitude_that_lowers_the_loss(look_at_lanes):
    look = mlp_look(look_at_lanes)
    weights, losses = tried(look, RULES["tiny"](look, [0, 1], {0: 2, 1: 2}))
    nothing = {layer: zero_weights(look, layer, [0, 1], 2) for layer in (0, 1)}
    assert (losses(weights) < losses(nothing)).all()


def test_the_line_search_adds_nothing_where_no_amplitude_lowers_the_loss(look_at_lanes):
    """The closed form knows nothing of an activation that is not 0 at 0; the parameters refuse it for this reason."""
    model = MODELS["mlp"](hidden_nodes=(5, 6), activation="sigmoid", readout_norm="none")
    look = look_at_lanes(model, Task((7,), 4), range(20), rule="tiny", batch=100)
    weights, losses = tried(look, RULES["tiny"](look, look.lanes, {0: 2, 1: 2}))
    nothing = {layer: zero_weights(look, layer, look.lanes, 2) for layer in (0, 1)}
    rises = losses(weights) - losses(nothing)
    is_declined = torch.stack([of.outgoing.flatten(1).abs().amax(1) for of in weights.values()]).amax(0) == 0
    assert 3 < is_declined.sum() < 17
    assert (rises[~is_declined] < 0).all() and (rises[is_declined] == 0).all()
    assert all((of.incoming.norm(dim=2) > 0).all() for of in weights.values()), (
        "outgoing weights have gradients"
    )


def test_units_beyond_the_rank_start_with_outgoing_weights_of_zero(look_at_lanes):
    """The last layer reads 6 numbers, and the first one 3 of the layer before it."""
    look = mlp_look(look_at_lanes)
    units = RULES["tiny"](look, [0, 1], {1: 5})[1].tensors
    assert (units["readout.linear.weight"][:, :, 3:] == 0).all()
    assert (units["linears.1.weight"][:, 3:].norm(dim=2) > 0).all()
