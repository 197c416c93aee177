"""Sensitivity of the loss to layers that do not exist: scores of virtual layers at every position."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor

from hornlib.models.build import build_network
from hornlib.models.lanes import LaneGroup, network_tensors
from hornlib.models.layered import LayeredNetwork, with_layer
from hornlib.models.layered_parameters import LayeredParameters
from hornlib.structures.interface import LaneView, Tensors
from hornlib.structures.layers.insertion_parameters import LayerInsertionParameters
from hornlib.structures.layers.scores import SCORES

__all__ = ["Sensitivity", "neutral_tensors", "sensitivity"]


class Sensitivity(NamedTuple):
    """Scores of every lane.

    Attributes:
        virtual: scores of the virtual layers, (lanes, positions).
        existing: scores of the existing layers that have such a weight, (lanes, layers).
        flops: FLOPs that the gradients of one lane took.
    """

    virtual: Tensor
    existing: Tensor
    flops: int


def sensitivity(view: LaneView, parameters: LayerInsertionParameters) -> Sensitivity:
    """Return the scores of a virtual layer at every position, and of the existing layers, for every lane.

    One virtual network holds all virtual layers at once. Behind layer l of the real network, which is its layer 2 l,
    stands a virtual one as layer 2 l + 1. At the kinks of relu, where the zeros of dead units put a virtual layer,
    autograd's gradient is not the derivative of the loss: see `LayerInsertionParameters`.

    Args:
        view: the lanes.
        parameters: which score, over how many batches.
    """
    network, model = cast(LayeredNetwork, view.lanes.network), cast(LayeredParameters, view.model)
    depth, virtual_model = len(model.layer_widths()), model
    scored_weight = network.neutral_layer(0, parameters.inner_scale).scored
    trained = {name: tensor.detach() for name, tensor in view.lanes.parameters.items()}
    fixed = view.lanes.buffers
    for position in reversed(range(depth)):  # from the last one, so that earlier positions stay the same
        neutral = neutral_tensors(view.lanes, position, parameters.inner_scale)
        trained = with_layer(trained, network, position, neutral)
        fixed = with_layer(fixed, network, position, {})
        virtual_model = virtual_model.with_layer(position)
    lanes = _virtual_lanes(view, virtual_model, trained, fixed)
    names = {layer: _at_layer(scored_weight, layer) for layer in range(2 * depth)}
    weights = {layer: lanes.parameters[name] for layer, name in names.items() if name in lanes.parameters}
    sums, num_batches = [torch.zeros_like(weight) for weight in weights.values()], 0
    for inputs, targets in view.batches(parameters.score_batches):
        outputs = lanes.forward(inputs, training=True).logits
        gradients = torch.autograd.grad(view.loss(outputs, targets).sum(), list(weights.values()))
        torch._foreach_add_(sums, gradients)
        num_batches += 1
    scores = {
        layer: SCORES[parameters.score](total / num_batches, virtual_model.map_size(layer, view.task))
        for layer, total in zip(weights, sums, strict=True)
    }
    return Sensitivity(
        virtual=_columns([score for layer, score in scores.items() if layer % 2]),
        existing=_columns([score for layer, score in scores.items() if not layer % 2]),
        flops=num_batches * view.gradient_flops(virtual_model),
    )


def neutral_tensors(lanes: LaneGroup, position: int, scale: float, num_lanes: int | None = None) -> Tensors:
    """Return the tensors of a layer that changes no function, the same for every lane, (lanes, ...).

    Args:
        lanes: whose networks have the other layers.
        position: of the layer before the new one.
        scale: of the identity in its first weight where its second one is zero.
        num_lanes: lanes of the result; None: as many as in `lanes`.
    """
    neutral = cast(LayeredNetwork, lanes.network).neutral_layer(position, scale).parameters
    count = len(lanes) if num_lanes is None else num_lanes
    return {name: tensor.to(lanes.device).expand(count, *tensor.shape) for name, tensor in neutral.items()}


def _virtual_lanes(view: LaneView, model: LayeredParameters, trained: Tensors, fixed: Tensors) -> LaneGroup:
    """Return lanes of the virtual network. Buffers are copied, since training mode writes into them."""
    network = build_network(model, view.task, seed=0).to(view.lanes.device)
    new_buffers = {
        name: tensor.expand(len(view.lanes), *tensor.shape)
        for name, tensor in network_tensors(network).buffers.items()
    }
    buffers = {name: tensor.clone() for name, tensor in {**new_buffers, **fixed}.items()}
    return LaneGroup(network, view.lanes.seeds, trained, buffers, view.lanes.rows)


def _at_layer(name: str, layer: int) -> str:
    """Return the name of a weight of layer 1 as that of another layer."""
    return name.replace(".1.", f".{layer}.", 1)


def _columns(scores: Sequence[Tensor]) -> Tensor:
    """Return scores (lanes,) of several layers as one table, (lanes, layers)."""
    return torch.stack(list(scores), 1).cpu() if scores else torch.empty(0, 0, dtype=torch.float64)
