"""Norms of dL / dy_l along depth: how much of the gradient at the last layer reaches the first."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hornlib.models.build import build_network
from hornlib.models.lanes import LaneGroup
from hornlib.models.mlp.network import Mlp
from hornlib.models.time_variable.network import TimeVariableNetwork
from hornlib.parameters import ModelParameters, Task

__all__ = ["gradient_flow", "layer_gradient_norms", "network_of_lane"]


def gradient_flow(network: nn.Module, inputs: Tensor, targets: Tensor) -> float:
    """Return ||dL / dy_1|| / ||dL / dy_L|| of the mean cross-entropy. Below 1 gradients vanish, above 1 they explode.

    Args:
        network: an `Mlp` or a network with time steps; it is set to evaluation mode.
        inputs: (batch, ...).
        targets: (batch,) classes.
    """

    def loss(logits: Tensor) -> Tensor:
        return nn.functional.cross_entropy(logits, targets)

    norms = layer_gradient_norms(network.eval(), inputs, loss)
    return (norms[0] / norms[-1]).item()


def layer_gradient_norms(network: nn.Module, inputs: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Return ||dL / dy_l||, l = 1 .. L, over batch and nodes: the norms of the adjoint states, (layers,).

    The derivative by y_l includes every path to the loss. In a Fractional-DNN that includes the history of later steps.

    Args:
        network: an `Mlp` or a network with time steps.
        inputs: (batch, ...).
        loss: maps logits (batch, num_outputs) to a scalar.

    Raises:
        TypeError: this kind of network is not supported.
    """
    if isinstance(network, TimeVariableNetwork):
        advances = list(network.advances(inputs))
        hidden, logits = [advance.change for advance in advances], network.read_out(advances[-1].state)
    elif isinstance(network, Mlp):
        hidden, logits = _hidden_of_mlp(network, inputs)
    else:
        raise TypeError(f"the layers of {type(network).__name__} are not known here")
    gradients = torch.autograd.grad(loss(logits), hidden)
    return torch.stack([gradient.norm() for gradient in gradients])


def network_of_lane(lanes: LaneGroup, lane: int, model: ModelParameters, task: Task) -> nn.Module:
    """Return one lane of a group as a separate network.

    Args:
        lanes: the group.
        lane: index in the group.
        model, task: what the network is built from.
    """
    network = build_network(model, task, 0)
    tensors = {**lanes.parameters, **lanes.buffers}
    network.load_state_dict({name: tensor[lane] for name, tensor in tensors.items()})
    return network


def _hidden_of_mlp(network: Mlp, inputs: Tensor) -> tuple[list[Tensor], Tensor]:
    hidden: list[Tensor] = []
    handles = [
        dropout.register_forward_hook(lambda module, given, output: hidden.append(output))
        for dropout in network.dropouts
    ]
    logits = network(inputs)
    for handle in handles:
        handle.remove()
    return hidden, logits
