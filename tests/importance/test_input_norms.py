"""Norms of what connections multiply: matrices, kernels and recurrences, against plain loops."""

import pytest
import torch

from hornlib.importance.input_norms import input_norms


def test_norms_of_an_mlp_are_those_of_its_activations(make_network):
    trained, split = make_network(
        "mlp", density=0.5, hidden_nodes="6-5", activation="gelu", readout_norm="none"
    )
    network = trained.network
    first = split.inputs.flatten(1)
    second = torch.nn.functional.gelu(network.linears[0](first))
    third = torch.nn.functional.gelu(network.linears[1](second))
    norms = input_norms(trained, split.inputs)
    for (name, places), inputs in zip(trained.connections.items(), (first, second, third), strict=True):
        expected = (inputs**2).mean(0).sqrt()[places % inputs.shape[1]]
        torch.testing.assert_close(norms[name], expected)


def test_norms_of_a_kernel_are_those_of_shifted_maps_with_their_padding(make_network):
    trained, split = make_network("cnn", channels="2-3")
    norms = input_norms(trained, split.inputs)["convolutions.0.weight"].view(2, 1, 3, 3)
    padded = torch.nn.functional.pad(split.inputs, (1, 1, 1, 1))
    for row in range(3):
        for column in range(3):
            seen = padded[:, 0, row : row + 6, column : column + 6]
            expected = (seen**2).sum((1, 2)).mean().sqrt()
            assert norms[1, 0, row, column] == pytest.approx(float(expected))


def test_norms_of_a_recurrence_sum_over_steps_and_its_first_state_is_zero(make_network):
    trained, split = make_network("rnn", "rows", unit="tanh", num_nodes=3, readout_norm="none")
    layer, states = trained.network.layers[0], [torch.zeros(12, 3)]
    for step in range(6):
        drive = split.inputs[:, step] @ layer.weight_ih.T + layer.bias_ih + layer.bias_hh
        states.append(torch.tanh(drive + states[-1] @ layer.weight_hh.T))
    norms = input_norms(trained, split.inputs)
    recurrent = sum(state**2 for state in states[:-1]).mean(0).sqrt()
    torch.testing.assert_close(norms["layers.0.weight_hh"].view(3, 3)[0], recurrent)
    from_outside = (split.inputs**2).sum(1).mean(0).sqrt()
    torch.testing.assert_close(norms["layers.0.weight_ih"].view(3, 6)[2], from_outside)
    torch.testing.assert_close(norms["readout.linear.weight"][:3], (states[-1] ** 2).mean(0).sqrt())
