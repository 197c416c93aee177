"""Diagonals of the Hessian: equal to forward mode over reverse mode, and to double backward passes."""

import pytest
import torch

from hornlib.importance.curvature.by_differences import by_differences
from hornlib.importance.curvature.by_units import by_units
from hornlib.importance.losses import example_losses


def by_forward_over_reverse(trained, split, name):
    """Return the diagonal from one Hessian-vector product for every entry of a weight."""
    weight = trained.network.get_parameter(name)

    def loss_of(entries):
        outputs = torch.func.functional_call(trained.network, {name: entries.view_as(weight)}, split.inputs)
        return example_losses(outputs, split.targets, trained.loss).mean()

    def entry(direction):
        _, product = torch.func.jvp(torch.func.grad(loss_of), (weight.flatten(),), (direction,))
        return product @ direction

    return torch.vmap(entry)(torch.eye(weight.numel()))[trained.connections[name]]


def by_double_backward(trained, split, name):
    """Return the diagonal from one backward pass of the gradient for every connection of a weight."""
    weight = trained.network.get_parameter(name).clone().requires_grad_()
    outputs = torch.func.functional_call(trained.network, {name: weight}, split.inputs)
    mean = example_losses(outputs, split.targets, trained.loss).mean()
    gradient = torch.autograd.grad(mean, weight, create_graph=True)[0].flatten()
    return torch.stack(
        [
            torch.autograd.grad(gradient[place], weight, retain_graph=True)[0].flatten()[place]
            for place in trained.connections[name].tolist()
        ]
    )


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
@pytest.mark.parametrize("normalisation", ["none", "batch", "layer"])
@pytest.mark.parametrize("activation", ["relu", "srelu", "all_relu", "sigmoid", "selu", "silu"])
def test_by_units_is_the_diagonal_of_the_hessian_of_an_mlp(make_network, activation, normalisation, loss):
    trained, split = make_network(
        "mlp",
        density=0.6,
        loss=loss,
        hidden_nodes="4-3",
        activation=activation,
        normalisation=normalisation,
    )
    curvatures = by_units(trained.network, split, loss, trained.connections)
    for name, values in curvatures.items():
        torch.testing.assert_close(values, by_forward_over_reverse(trained, split, name))


def test_by_differences_is_the_diagonal_of_the_hessian_of_a_cnn(make_network):
    trained, split = make_network("cnn", density=0.6, channels="2-3", activation="tanh")
    curvatures = by_differences(trained.network, split, trained.loss, trained.connections)
    for name, values in curvatures.items():
        torch.testing.assert_close(values, by_double_backward(trained, split, name), atol=1e-6, rtol=1e-5)


def test_by_differences_is_the_diagonal_of_the_hessian_of_an_lstm_of_torch(make_network):
    trained, split = make_network("rnn", "rows", unit="lstm", num_nodes=3, readout_norm="none")
    theirs, layer = torch.nn.LSTM(6, 3, batch_first=True), trained.network.layers[0]
    weights = {f"{name}_l0": getattr(layer, name).clone() for name in ("weight_ih", "bias_ih", "bias_hh")}
    readout = trained.network.readout.linear

    def loss_of(recurrent):
        values = {**weights, "weight_hh_l0": recurrent}
        outputs, _ = torch.func.functional_call(theirs, values, split.inputs)
        logits = outputs[:, -1] @ readout.weight.T + readout.bias
        return torch.nn.functional.cross_entropy(logits, split.targets)

    hessian = torch.autograd.functional.hessian(loss_of, layer.weight_hh.clone())
    expected = hessian.reshape(36, 36).diagonal()
    curvatures = by_differences(trained.network, split, trained.loss, trained.connections)
    torch.testing.assert_close(curvatures["layers.0.weight_hh"], expected, atol=1e-6, rtol=1e-5)


def test_of_a_network_in_single_precision_differences_are_taken_in_double_precision(make_network):
    trained, split = make_network("cnn", channels="2", activation="tanh")
    expected = by_differences(trained.network, split, trained.loss, trained.connections)
    single = split._replace(inputs=split.inputs.float())
    curvatures = by_differences(trained.network.float(), single, trained.loss, trained.connections)
    for name, values in curvatures.items():
        torch.testing.assert_close(values, expected[name], atol=1e-4, rtol=1e-3)
