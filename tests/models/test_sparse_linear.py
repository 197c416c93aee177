"""Sparse layers in lanes: the gradients of connections that do not exist."""

import pytest
import torch
from torch import nn

from hornlib.models.compressed import masked
from hornlib.models.lanes import LaneGroup, make_lanes
from hornlib.models.mlp.parameters import MlpParameters
from hornlib.models.sparse_linear import SparseLinear, linear_layer, with_dense_gradients
from hornlib.parameters import Task

TASK = Task((4, 4), 3)
MODEL = MlpParameters(hidden_nodes=(6, 5), connections=(30, 7, 15))


@pytest.mark.parametrize("lanes", [1, 3])
def test_gradients_of_missing_connections_are_those_of_the_masked_network(lanes):
    group = make_lanes([MODEL] * lanes, TASK, range(lanes), torch.device("cpu"))
    dense_model, counts = MODEL.masked_form(TASK)
    assert counts == {"linears.0.weight": 30, "linears.1.weight": 7}
    dense = make_lanes([dense_model] * lanes, TASK, range(lanes), torch.device("cpu"))
    dense = LaneGroup(dense.network, dense.seeds, masked(group.parameters, group.buffers), dense.buffers)
    inputs = torch.randn(lanes, 8, 4, 4)
    looking = with_dense_gradients(group)
    expected_logits, logits = (part.forward(inputs, training=True).logits for part in (dense, looking))
    torch.testing.assert_close(logits, expected_logits)
    expected = dict(
        zip(
            dense.parameters,
            torch.autograd.grad(expected_logits.square().sum(), list(dense.parameters.values())),
            strict=True,
        )
    )
    gradients = dict(
        zip(
            looking.parameters,
            torch.autograd.grad(logits.square().sum(), list(looking.parameters.values())),
            strict=True,
        )
    )
    for name, gradient in expected.items():
        torch.testing.assert_close(gradients[name], gradient, atol=1e-4, rtol=1e-5)
    assert group.parameters.keys() == {
        name for name in looking.parameters if name not in counts
    }  # the networks themselves have no dense tensor


def test_a_network_of_dense_layers_gets_no_further_parameter():
    group = make_lanes([MlpParameters(hidden_nodes=(6,))], TASK, [0], torch.device("cpu"))
    assert with_dense_gradients(group).parameters.keys() == group.parameters.keys()


def test_under_autocast_a_layer_computes_in_the_type_of_its_values():
    layer = SparseLinear(16, 6, 30, torch.Generator().manual_seed(0))
    inputs = torch.randn(8, 16).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        outputs = layer(inputs)
    assert outputs.dtype == torch.float32
    torch.testing.assert_close(outputs, layer(inputs.float()))


def test_connections_stand_at_distinct_places():
    layer = SparseLinear(16, 6, 95, torch.Generator().manual_seed(0))
    dense = torch.zeros(6, 16)
    rows = torch.repeat_interleave(torch.arange(6), layer.row_starts.diff().long())
    dense[rows, layer.columns.long()] = 1
    assert dense.sum() == 95


@pytest.mark.parametrize("connections", [None, 96])
def test_a_layer_with_all_connections_is_dense(connections):
    assert isinstance(linear_layer(16, 6, connections, torch.Generator()), nn.Linear)
