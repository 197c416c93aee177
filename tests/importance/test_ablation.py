"""Exact changes of the loss: every algorithm equals the plain loop, and closed forms where there are some."""

import sys
from typing import get_args

import pytest
import torch

from hornlib.importance.ablation import ABLATIONS, ablation_of
from hornlib.importance.ablation.by_vmap import by_vmap
from hornlib.importance.ablation.incremental import incremental
from hornlib.importance.curvature import curvature_of
from hornlib.importance.networks import gradients
from hornlib.models.layer_cost import LayerActivation

LEAST = {"hidden_nodes": "6-5"}

NETWORKS = [
    *(("mlp", "image", {**LEAST, "activation": kind}) for kind in get_args(LayerActivation)),
    *(
        ("mlp", "image", {**LEAST, "activation": "gelu", "normalisation": norm, "readout_norm": last})
        for norm in ("batch", "layer", "none")
        for last in ("batch", "none")
    ),
    ("mlp", "image", {"hidden_nodes": "7", "bias": "without"}),
    ("mlp", "vector", {"hidden_nodes": "4-4-4", "activation": "srelu", "normalisation": "batch"}),
    *(("cnn", "image", {"channels": "3-4", "normalisation": norm}) for norm in ("batch", "group", "none")),
    *(("rnn", "rows", {"unit": unit, "num_nodes": 3, "num_layers": 2}) for unit in ("lstm", "gru", "tanh")),
]


def named(case):
    return " ".join([case[0], *map(str, case[2].values())]) if isinstance(case, tuple) else str(case)


@pytest.mark.parametrize("density", [1.0, 0.4])
@pytest.mark.parametrize("case", NETWORKS, ids=named)
def test_every_algorithm_equals_the_plain_loop(make_network, loop, case, density):
    name, presentation, fields = case
    trained, split = make_network(name, presentation, density, **fields)
    asked = trained.network, split, trained.loss, trained.connections
    expected = loop(*asked)
    for algorithm in dict.fromkeys((by_vmap, ablation_of(name))):
        changes = algorithm(*asked)
        assert list(changes) == list(expected)
        for weight, values in changes.items():
            torch.testing.assert_close(values, expected[weight], atol=1e-12, rtol=0)


def test_single_precision_equals_the_loop_in_double_precision_within_a_millionth(make_network, loop):
    trained, split = make_network("mlp", **LEAST)
    asked = split, trained.loss, trained.connections
    expected = loop(trained.network, *asked)
    single = trained.network.float()
    split = split._replace(inputs=split.inputs.float())
    for algorithm in (by_vmap, incremental):
        changes = algorithm(single, split, trained.loss, trained.connections)
        for weight, values in changes.items():
            torch.testing.assert_close(values, expected[weight], atol=1e-6, rtol=0)


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("kind", get_args(LayerActivation))
def test_in_single_precision_what_is_without_effect_changes_exactly_nothing(make_network, kind, norm):
    fields = {**LEAST, "activation": kind, "normalisation": norm, "readout_norm": "none"}
    trained, split = make_network("mlp", num_examples=101, **fields)
    network, inputs = trained.network.float(), split.inputs.float()
    first, second, last = (network.get_parameter(name).data for name in trained.connections)
    inputs[:, :, 2] = 0  # 12 to 17 of 36
    first[1, 7] = second[2, 3] = last[3, 1] = 0
    second[:, 4] = 0  # no unit reads unit 4
    changes = incremental(network, split._replace(inputs=inputs), trained.loss, trained.connections)
    below, middle, top = (
        change.view(-1, units) for change, units in zip(changes.values(), (36, 6, 5), strict=True)
    )
    idle = torch.zeros_like(below, dtype=torch.bool)
    idle[:, 12:18] = idle[1, 7] = True
    idle[4] |= norm != "layer"  # unit 4 belongs to the mean and the deviation of layer norm
    assert (below[idle] == 0).all() and (below[~idle] != 0).double().mean() > 0.8
    assert (middle[:, 4] == 0).all() and middle[2, 3] == top[3, 1] == 0


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("kind", ["relu", "relu_one", "tanh", "sigmoid", "selu", "gelu"])
def test_in_single_precision_a_unit_that_is_constant_changes_exactly_nothing(make_network, kind, norm):
    fields = {**LEAST, "activation": kind, "normalisation": norm, "readout_norm": "none"}
    trained, split = make_network("mlp", num_examples=101, **fields)
    network, inputs = trained.network.float(), split.inputs.float()
    network.linears[0].weight.data[2, 0], inputs[:, 0, 0, 0] = -2000, 1  # alone holds unit 2 far below 0
    split = split._replace(inputs=inputs)
    changes = incremental(network, split, trained.loss, trained.connections)["linears.0.weight"].view(6, 36)
    assert changes[2, 0] != 0 and (changes[2, 1:] == 0).all()
    assert (changes[[0, 1, 3, 4, 5]] != 0).double().mean() > 0.8


def test_a_weight_without_connections_gives_nothing(make_network):
    trained, split = make_network("mlp", **LEAST)
    nothing = torch.empty(0, dtype=torch.long)
    for algorithm in (by_vmap, incremental):
        changes = algorithm(trained.network, split, trained.loss, {"linears.0.weight": nothing})
        assert changes["linears.0.weight"].shape == (0,)


@pytest.mark.parametrize("algorithm", [by_vmap, incremental])
def test_many_connections_are_judged_in_parts(make_network, loop, algorithm, monkeypatch):
    trained, split = make_network("mlp", **LEAST)
    asked = trained.network, split, trained.loss, trained.connections
    expected = loop(*asked)
    monkeypatch.setattr(sys.modules[algorithm.__module__], "NUMBERS_AT_ONCE", 1)
    for weight, values in algorithm(*asked).items():
        torch.testing.assert_close(values, expected[weight], atol=1e-12, rtol=0)


def test_the_network_is_not_changed(make_network):
    trained, split = make_network("mlp", **LEAST, activation="selu", normalisation="batch")
    before = {name: tensor.clone() for name, tensor in trained.network.state_dict().items()}
    for algorithm in (by_vmap, incremental):
        algorithm(trained.network, split, trained.loss, trained.connections)
    assert all(torch.equal(before[name], tensor) for name, tensor in trained.network.state_dict().items())


def test_of_a_linear_regression_the_second_order_is_exact(make_network):
    # one hidden layer whose activation is the identity where all its sums are positive: the loss is quadratic
    trained, split = make_network("mlp", "vector", loss="mse", hidden_nodes="4", readout_norm="none")
    with torch.no_grad():
        trained.network.linears[0].bias.fill_(100.0)
    asked = trained.network, split, trained.loss, trained.connections
    changes, curvatures = ablation_of("mlp")(*asked), curvature_of("mlp")(*asked)
    slopes = gradients(trained, split)
    for name, change in changes.items():
        values = trained.values(name)
        expected = -slopes[name] * values + 0.5 * curvatures[name] * values**2
        torch.testing.assert_close(change, expected, rtol=1e-9, atol=1e-9)


def test_of_the_last_layer_a_connection_without_input_changes_nothing(make_network):
    trained, split = make_network("mlp", **LEAST, readout_norm="none", normalisation="none")
    with torch.no_grad():
        trained.network.linears[1].bias[2] = -1e6  # a relu that never opens
    changes = incremental(trained.network, split, trained.loss, trained.connections)
    assert (changes["readout.linear.weight"].view(4, 5)[:, 2] == 0).all()
    assert (changes["linears.1.weight"].view(5, 6)[2] == 0).all()


def test_rows_before_batch_norm_may_be_rescaled_without_a_change_of_importance(make_network):
    trained, split = make_network("mlp", **LEAST, normalisation="batch")
    asked = trained.network, split, trained.loss, trained.connections
    before, values = incremental(*asked), trained.values("linears.0.weight")
    norm, factor = trained.network.norms[0], 5.0
    with torch.no_grad():  # the sums of unit 1 are five times as large, as are mean and deviation
        trained.network.linears[0].weight[1] *= factor
        trained.network.linears[0].bias[1] *= factor
        norm.running_mean[1] *= factor
        norm.running_var[1] = (norm.running_var[1] + norm.eps) * factor**2 - norm.eps
    for name, change in incremental(*asked).items():
        torch.testing.assert_close(change, before[name], atol=1e-12, rtol=0)
    assert (trained.values("linears.0.weight") / values).view(6, -1)[1] == pytest.approx(factor)


def test_every_model_with_an_algorithm_is_one_whose_importance_is_offered():
    from hornlib.grid.importance import MODELS_WITH_IMPORTANCE

    assert set(ABLATIONS) == set(MODELS_WITH_IMPORTANCE)
