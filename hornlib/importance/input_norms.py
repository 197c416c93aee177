"""Norms of what each connection multiplies: the inputs of matrices, of kernels and of recurrent layers."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hornlib.importance.module_inputs import inputs_of_modules
from hornlib.importance.networks import TrainedNetwork
from hornlib.models.rnn.network import RecurrentLayer

__all__ = ["input_norms"]


@torch.no_grad()
def input_norms(trained: TrainedNetwork, inputs: Tensor) -> dict[str, Tensor]:
    """Return weight -> ||x_k|| of the input that each connection multiplies, (connections,).

    ||x_k||^2 is the mean over examples of the sum of x_k^2 over all uses of the connection for one example: positions
    of a kernel, time steps of a recurrence, one of a matrix.

    Args:
        trained: the network.
        inputs: of the examples, (examples, ...).
    """
    owners = {name: trained.network.get_submodule(name.rpartition(".")[0]) for name in trained.connections}
    seen = inputs_of_modules(trained.network, list(owners.values()), inputs)
    norms = {}
    for name, module in owners.items():
        squares = NORMS[type(module)](module, name.rpartition(".")[2], seen[module])  # (inputs of one unit,)
        norms[name] = squares.sqrt()[trained.connections[name] % len(squares)]
    return norms


def _of_matrix(module: nn.Module, parameter: str, inputs: Tensor) -> Tensor:
    return inputs.square().mean(0)


def _of_kernel(module: nn.Module, parameter: str, inputs: Tensor) -> Tensor:
    assert isinstance(module, nn.Conv2d) and isinstance(module.padding, tuple), (
        "a convolution of numbers of pixels"
    )
    patches = nn.functional.unfold(
        inputs, module.kernel_size, module.dilation, module.padding, module.stride
    )  # (examples, inputs of one unit, positions)
    return patches.square().sum(2).mean(0)


def _of_recurrence(module: nn.Module, parameter: str, inputs: Tensor) -> Tensor:
    assert isinstance(module, RecurrentLayer)
    states = module(inputs)[:-1] if parameter == "weight_hh" else inputs  # (timesteps, examples, features)
    return states.square().sum(0).mean(0)


NORMS: dict[type[nn.Module], Callable[[nn.Module, str, Tensor], Tensor]] = {
    nn.Linear: _of_matrix,
    nn.Conv2d: _of_kernel,
    RecurrentLayer: _of_recurrence,
}
"""Module -> maps it, the name of its weight and its inputs to ||x||^2 of each input of a unit, (inputs,)."""
