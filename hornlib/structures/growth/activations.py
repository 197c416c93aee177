"""Activations of a layer's units, as the weights behind them read them; of any network that says where units stand."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from hornlib.models.lanes import LaneGroup
from hornlib.parameters import ModelParameters, Task

__all__ = ["unit_activations"]


@torch.no_grad()
def unit_activations(
    lanes: LaneGroup,
    model: ModelParameters,
    task: Task,
    layers: Sequence[int],
    inputs: Tensor,
    is_shared: bool = False,
) -> list[Tensor]:
    """Return the activations of some layers in evaluation mode, each (lanes, batch, units, positions).

    They are what the outgoing weights multiply: behind pooling, and behind the norm of the read-out.

    Args:
        lanes: the networks.
        model: their parameters.
        task: shapes of inputs and outputs.
        layers: positions in `units()`.
        inputs: (lanes, batch, ...); (batch, ...) if all lanes share them.
        is_shared: whether they do.
    """
    network, taken = lanes.network, dict[int, Tensor]()
    numbers = {layer: model.units()[layer] for layer in layers}

    def take(layer: int, module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        features = arguments[0]
        if features.dim() == 2:  # behind a flattening, each unit has a block of features
            taken[layer] = features.unflatten(1, (numbers[layer], -1))
        else:
            taken[layer] = features.flatten(2)

    def call(
        parameters: dict[str, Tensor], buffers: dict[str, Tensor], examples: Tensor
    ) -> tuple[Tensor, ...]:
        torch.func.functional_call(network, {**parameters, **buffers}, (examples,))
        return tuple(taken[layer] for layer in layers)

    handles = []
    for layer in layers:
        (reader,) = (axis.name for axis in model.unit_axes(layer, task) if axis.side == "outgoing")
        module = network.get_submodule(reader.removesuffix(".weight"))
        handles.append(module.register_forward_pre_hook(partial(take, layer)))
    network.eval()
    try:
        axes = (0, 0, None if is_shared else 0)
        return list(torch.vmap(call, in_dims=axes)(lanes.parameters, lanes.buffers, inputs))
    finally:
        for handle in handles:
            handle.remove()
