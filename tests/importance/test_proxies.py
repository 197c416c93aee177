"""Proxies: what they are of numbers written down, and effective weights behind norms."""

import numpy as np
import pytest
import torch

from hornlib.data.loading import Split
from hornlib.importance.agreement import spearman
from hornlib.importance.effective_weights import norm_factors, row_factors
from hornlib.importance.measurement import measure_network
from hornlib.importance.networks import SPLITS
from hornlib.importance.proxies import PROXIES, ProxyInputs

TWO = ProxyInputs(
    value=np.array([3.0, -2.0]),
    layer_deviation=np.array([2.0, 2.0]),
    row_factor=np.array([0.1, 0.5]),
    norm_factor=np.array([4.0, 1.0]),
    gradient=np.array([0.5, 0.25]),
    batch_gradient=np.array([-1.0, 1.0]),
    curvature=np.array([0.2, -0.4]),
    input_norm=np.array([10.0, 20.0]),
)

EXPECTED = {
    "magnitude": [3, 2],
    "standardised_magnitude": [1.5, 1],
    "row_magnitude": [0.3, 1],
    "effective_magnitude": [12, 2],
    "first_order": [1.5, 0.5],
    "signed_first_order": [-1.5, 0.5],
    "optimal_brain_damage": [0.9, -0.8],
    "second_order": [-0.6, -0.3],
    "wanda": [30, 40],
    "effective_wanda": [120, 40],
    "snip": [3, 2],
    "squared_gradient": [0.25, 0.0625],
}


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_is_its_formula(name):
    assert PROXIES[name].score(TWO) == pytest.approx(EXPECTED[name])


def test_only_predictions_of_the_change_itself_are_signed():
    signed = {name for name, proxy in PROXIES.items() if proxy.is_signed}
    assert signed == {"signed_first_order", "optimal_brain_damage", "second_order"}


def test_the_magnitude_of_a_layer_of_equal_weights_is_not_divided_by_zero():
    equal = TWO._replace(layer_deviation=np.zeros(2))
    assert PROXIES["standardised_magnitude"].score(equal) == pytest.approx([3, 2])


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_effective_weights_behind_batch_norm_are_those_of_the_network_with_the_norm_folded_in(
    make_network, name
):
    fields = {"hidden_nodes": "6-5"} if name == "mlp" else {"channels": "3-4"}
    trained, split = make_network(name, normalisation="batch", readout_norm="none", **fields)
    first = "linears.0" if name == "mlp" else "convolutions.0"
    layer, norm = trained.network.get_submodule(first), trained.network.norms[0]
    inputs = split.inputs.flatten(1) if name == "mlp" else split.inputs
    # the norm is affine in an evaluation: its output's derivative by the input is the folded weight
    folded = torch.autograd.functional.jacobian(lambda given: norm(layer(given)).sum(0), inputs[:1])
    effective = trained.values(f"{first}.weight") * norm_factors(trained, split.inputs)[f"{first}.weight"]
    if name == "mlp":
        torch.testing.assert_close(effective.abs(), folded[:, 0].flatten().abs())
    else:  # the output in the middle reads the kernel's whole patch
        seen = folded[:, 2, 2, 0, 0, 1:4, 1:4]
        torch.testing.assert_close(effective.view(3, 3, 3).abs(), seen.abs())
    without = norm_factors(trained, split.inputs)["readout.linear.weight"]
    assert (without == 1).all()


def test_layer_and_group_norm_divide_by_the_mean_deviation_of_examples(make_network):
    trained, split = make_network("mlp", normalisation="layer", hidden_nodes="6-5")
    sums = trained.network.linears[0](split.inputs.flatten(1))
    inverse = (1 / (sums.var(1, correction=0) + 1e-5).sqrt()).mean()
    factors = norm_factors(trained, split.inputs)["linears.0.weight"].view(6, -1)
    torch.testing.assert_close(factors[:, 3], trained.network.norms[0].weight.abs() * inverse)
    trained, split = make_network("cnn", normalisation="group", channels="4-4")  # four groups of one channel
    maps = trained.network.convolutions[0](split.inputs)
    inverse = (1 / (maps.var((2, 3), correction=0) + 1e-5).sqrt()).mean(0)
    factors = norm_factors(trained, split.inputs)["convolutions.0.weight"].view(4, -1)
    torch.testing.assert_close(factors[:, 0], trained.network.norms[0].weight.abs() * inverse)


def test_row_factors_make_every_unit_of_length_one(make_network):
    trained, _ = make_network("mlp", density=0.5, hidden_nodes="6-5")
    trained.network.linears[0].weight.data[2] = 0
    factors = row_factors(trained)["linears.0.weight"]
    scaled = torch.zeros(6 * 36).index_copy(
        0, trained.connections["linears.0.weight"], trained.values("linears.0.weight") * factors
    )
    lengths = scaled.view(6, 36).norm(dim=1)
    torch.testing.assert_close(lengths, torch.tensor([1.0, 1, 0, 1, 1, 1]))


@pytest.mark.parametrize(
    ("name", "presentation", "fields"),
    [
        ("mlp", "image", {"hidden_nodes": "6-5", "activation": "tanh"}),
        ("cnn", "image", {"channels": "3-4", "activation": "tanh"}),
        ("rnn", "rows", {"unit": "lstm", "num_nodes": 4}),
    ],
)
def test_where_weights_are_small_the_second_order_is_the_change(make_network, name, presentation, fields):
    trained, split = make_network(name, presentation, num_examples=30, **fields)
    for weight in trained.connections:
        trained.network.get_parameter(weight).data.mul_(0.1)
    single = Split(split.inputs.float(), split.targets)
    trained = trained._replace(network=trained.network.float())
    layers = measure_network(trained, name, dict.fromkeys(SPLITS, single), single, None)
    for layer in layers:
        predicted = PROXIES["second_order"].score(layer.judged_connections("held_out"))
        assert spearman(predicted, layer.changes["held_out"]) > 0.99


def test_a_sample_is_measured_at_its_places(make_network):
    trained, split = make_network("mlp", density=0.7, hidden_nodes="6-5")
    sets = dict.fromkeys(SPLITS, split)
    whole = measure_network(trained, "mlp", sets, split, None)
    part = measure_network(trained, "mlp", sets, split, 12)
    for few, every in zip(part, whole, strict=True):
        assert len(few.judged) == 12 and not few.is_whole and every.is_whole
        np.testing.assert_allclose(few.changes["training"], every.changes["training"][few.judged])
        unjudged = np.setdiff1d(np.arange(len(few.places)), few.judged)
        assert np.isnan(few.connections["training"].curvature[unjudged]).all()
        np.testing.assert_allclose(
            few.judged_connections("training").curvature,
            every.connections["training"].curvature[few.judged],
            rtol=1e-5,
            atol=1e-9,
        )
