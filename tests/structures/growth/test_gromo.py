"""GradMax and TINY of fully connected layers agree with gromo, which is written by the authors of TINY."""

import pytest
import torch

from hornlib.models import MODELS
from hornlib.parameters import Task
from hornlib.structures.growth.rules import RULES
from hornlib.structures.growth.rules.tiny import closed_form

pytest.importorskip("gromo", reason="gromo is not installed")
from gromo.modules.linear_growing_module import LinearGrowingModule

GRADMAX = {
    "use_covariance": False,
    "alpha_zero": True,
    "use_projection": False,
    "ignore_singular_values": True,
}
TINY = {"use_covariance": True, "alpha_zero": False, "use_projection": True, "ignore_singular_values": False}
NUMBER = 3


def published(look, options):
    """Return incoming and outgoing vectors and singular values of gromo for the hidden layer of the first lane."""
    values = look.view.lanes.tensors(0).parameters
    first = LinearGrowingModule(7, 6, post_layer_function=torch.nn.Tanh(), use_bias=False)
    second = LinearGrowingModule(6, 5, previous_module=first, use_bias=False)
    for module, name in ((first, "linears.0.weight"), (second, "readout.linear.weight")):
        module.to(torch.float64)
        module.layer.weight.data = values[name].detach().clone()
    second.init_computation()
    inputs, targets = next(look.view.batches(1))
    logits = second(first(inputs[0]))
    torch.nn.functional.cross_entropy(logits, targets[0], reduction="sum").backward()
    second.update_computation()
    second.compute_optimal_updates(
        compute_delta=False, maximum_added_neurons=NUMBER, dtype=torch.float64, omega_zero=False, **options
    )
    return (
        first.extended_output_layer.weight.detach(),
        second.extended_input_layer.weight.detach().T,
        second.eigenvalues_extension.detach(),
    )


def look_of(look_at_lanes, rule, **settings):
    model = MODELS["mlp"](hidden_nodes=(6,), activation="tanh", readout_norm="none", bias="without")
    return look_at_lanes(model, Task((7,), 5), (0,), rule=rule, batch=50, dtype=torch.float64, **settings)


def test_gradmax_has_the_singular_vectors_of_gromo(look_at_lanes):
    look = look_of(look_at_lanes, "gradmax", scale=1.0, scale_by="fixed")
    units = RULES["gradmax"](look, [0], {0: NUMBER})[0]
    incoming, outgoing, values = published(look, GRADMAX)
    assert (incoming == 0).all()
    torch.testing.assert_close(units.singular_values[0], values, rtol=1e-6, atol=0)
    actual = units.tensors["readout.linear.weight"][0].T
    cosines = torch.cosine_similarity(actual, outgoing, dim=1).abs()
    torch.testing.assert_close(cosines, torch.ones_like(cosines), rtol=0, atol=1e-6)


def test_tiny_has_the_units_of_gromo(look_at_lanes):
    look = look_of(look_at_lanes, "tiny")
    incoming, outgoing = (side[0] for side in closed_form(look, {0: NUMBER})[0])
    expected_incoming, expected_outgoing, _ = published(look, TINY)
    for unit in range(NUMBER):
        actual = torch.outer(outgoing[unit], incoming[unit])
        expected = torch.outer(expected_outgoing[unit], expected_incoming[unit])
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-8)
