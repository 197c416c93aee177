"""Layer insertion by sensitivity: the virtual network, its scores, and the layer that becomes real."""

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor

from hornlib.models.build import build_network
from hornlib.models.lanes import LaneGroup, network_tensors
from hornlib.models.layered import LayeredNetwork, with_layer
from hornlib.models.layered_parameters import LayeredParameters
from hornlib.randomness import generator
from hornlib.structures.interface import Change, Found, Tensors, View
from hornlib.structures.layers.insertion.parameters import LayerInsertionParameters
from hornlib.structures.layers.insertion.scores import SCORES

__all__ = ["LayerInsertion", "Sensitivity", "sensitivity"]


class Sensitivity(NamedTuple):
    """Scores of every lane.

    Attributes:
        virtual: (lanes, positions).
        existing: (lanes, layers), of the layers that have such a weight.
        flops: of a lane, what the gradients have cost.
    """

    virtual: Tensor
    existing: Tensor
    flops: int


class LayerInsertion:
    """Inserts layers.

    Args:
        parameters: when, where, how often.
    """

    def __init__(self, parameters: LayerInsertionParameters) -> None:
        self.parameters = parameters

    def is_due(self, step: int, steps_per_epoch: int, evaluated: bool) -> bool:
        """Return whether an epoch of `insert_at` has just ended; for a plateau, whether there is a new evaluation."""
        if self.parameters.insert_at is None:
            return evaluated
        return step % steps_per_epoch == 0 and step // steps_per_epoch in self.parameters.insert_at

    def look(self, view: View) -> Found:
        """Return where each lane gets a layer."""
        due = [lane for lane in range(len(view.lanes)) if self._may_insert(view, lane)]
        flops = [0] * len(view.lanes)
        if not due:
            return Found([], flops)
        found = None
        if self.parameters.choice in ("largest", "smallest"):
            found = sensitivity(view, self.parameters)
            flops = [found.flops if lane in due else 0 for lane in range(len(view.lanes))]
        alike: dict[int, list[tuple[int, float]]] = {}
        for lane in due:
            chosen = self._chosen(view, lane, found)
            if chosen is not None:
                position, score = chosen
                alike.setdefault(position, []).append((lane, score))
        return Found(
            [self._change(view, position, *zip(*own, strict=True)) for position, own in alike.items()], flops
        )

    def _may_insert(self, view: View, lane: int) -> bool:
        if len(view.events[lane]) >= self.parameters.insertions:
            return False
        if self.parameters.trigger != "plateau" or self.parameters.patience is None:
            return True
        since = max(view.events[lane], default=0)
        losses = [
            (step, float(loss))
            for step, loss in zip(view.evaluated, view.validation_loss[lane], strict=True)
            if step > since
        ]
        steps_per_epoch = view.step / view.epochs
        edge = view.step - self.parameters.patience * steps_per_epoch
        before = [loss for step, loss in losses if step <= edge]
        recent = [loss for step, loss in losses if step > edge]
        return bool(before) and min(recent) > min(before) * (1 - self.parameters.least_improvement)

    def _chosen(self, view: View, lane: int, found: Sensitivity | None) -> tuple[int, float] | None:
        """Return position and score; position -1 for nowhere, None for not now."""
        model, choice = cast(LayeredParameters, view.model), self.parameters.choice
        if choice == "nowhere":
            return -1, math.nan
        if choice == "position" and self.parameters.position is not None:
            return self.parameters.position, math.nan
        if found is None:
            draws = generator("layer insertion", view.lanes.seeds[lane], view.step)
            return int(torch.randint(len(model.layer_widths()), (), generator=draws)), math.nan
        scores = found.virtual[lane]
        position = int(scores.argmin() if choice == "smallest" else scores.argmax())
        limit = self.parameters.threshold
        if limit is not None and self.parameters.trigger == "relative_threshold":
            limit *= float(found.existing[lane].mean())
        if limit is not None and not scores[position] > limit:
            return None
        return position, float(scores[position])

    def _change(self, view: View, position: int, lanes: Sequence[int], scores: Sequence[float]) -> Change:
        network, tensors = cast(LayeredNetwork, view.lanes.network), view.lanes.stacked(lanes)
        factor, fresh = self.parameters.rate_factor, self.parameters.optimizer_state == "fresh"
        if position < 0:
            layers = [[(-1, score)] for score in scores]
            own = tensors.parameters, tensors.buffers
            return Change(lanes, "reset", layers, view.model, *own, lambda moments: moments, factor, fresh)
        neutral = _neutral(network, position, self.parameters.inner_scale, view.lanes.device, len(lanes))

        def inherit(moments: Tensors) -> Tensors:
            new = {name: torch.zeros_like(tensor) for name, tensor in neutral.items()}
            return with_layer(moments, network, position, new, entry="zero")

        return Change(
            lanes,
            "inserted",
            [[(position + 1, score)] for score in scores],
            cast(LayeredParameters, view.model).with_layer(position),
            with_layer(tensors.parameters, network, position, neutral),
            with_layer(tensors.buffers, network, position, {}),
            inherit,
            factor,
            fresh,
        )


def sensitivity(view: View, parameters: LayerInsertionParameters) -> Sensitivity:
    """Return the scores of a virtual layer at every position, and of the layers that exist, for every lane.

    All virtual layers are there at once: behind layer l of the network stands its own, as layer 2 l + 1 of the
    virtual network, whose layers 2 l are the existing ones. At the kinks of relu, where the zeros of dead units put a
    virtual layer, autograd's gradient is not the derivative of the loss: see `LayerInsertionParameters`.

    Args:
        view: of the lanes.
        parameters: score and batches.
    """
    network, model = cast(LayeredNetwork, view.lanes.network), cast(LayeredParameters, view.model)
    depth, extended = len(model.layer_widths()), cast(LayeredParameters, view.model)
    scored = network.neutral_layer(0, parameters.inner_scale).scored
    trained = {name: tensor.detach() for name, tensor in view.lanes.parameters.items()}
    fixed = view.lanes.buffers
    for position in reversed(range(depth)):  # from the last, so that positions before it stay what they are
        neutral = _neutral(network, position, parameters.inner_scale, view.lanes.device, len(view.lanes))
        trained = with_layer(trained, network, position, neutral)
        fixed = with_layer(fixed, network, position, {})
        extended = extended.with_layer(position)
    lanes = _group(view, extended, trained, fixed)
    names = [_at_layer(scored, layer) for layer in range(2 * depth)]
    there = [layer for layer, name in enumerate(names) if name in lanes.parameters]
    weights = [lanes.parameters[names[layer]] for layer in there]
    sums, batches = [torch.zeros_like(weight) for weight in weights], 0
    for inputs, targets in view.batches(parameters.score_batches):
        outputs = lanes.forward(inputs, training=True).logits
        gradients = torch.autograd.grad(view.loss(outputs, targets).sum(), weights)
        torch._foreach_add_(sums, gradients)
        batches += 1
    scores = {
        layer: SCORES[parameters.score](total / batches, extended.map_size(layer, view.task))
        for layer, total in zip(there, sums, strict=True)
    }
    return Sensitivity(
        _table([scores[layer] for layer in there if layer % 2]),
        _table([scores[layer] for layer in there if not layer % 2]),
        batches * view.gradient_flops(extended),
    )


def _neutral(
    network: LayeredNetwork, position: int, scale: float, device: torch.device, num_lanes: int
) -> Tensors:
    """Return a neutral layer's tensors, the same for every lane, (lanes, ...)."""
    neutral = network.neutral_layer(position, scale).parameters
    return {name: tensor.to(device).expand(num_lanes, *tensor.shape) for name, tensor in neutral.items()}


def _group(view: View, model: LayeredParameters, trained: Tensors, fixed: Tensors) -> LaneGroup:
    """Return lanes of the virtual network; what is fixed is copied, since training mode writes into it."""
    network = build_network(model, view.task, seed=0).to(view.lanes.device)
    own = {
        name: tensor.expand(len(view.lanes), *tensor.shape)
        for name, tensor in network_tensors(network).buffers.items()
    }
    buffers = {name: tensor.clone() for name, tensor in {**own, **fixed}.items()}
    return LaneGroup(network, view.lanes.seeds, trained, buffers, view.lanes.rows)


def _at_layer(name: str, layer: int) -> str:
    """Return the name of a weight of layer 1 as that of another layer."""
    return name.replace(".1.", f".{layer}.", 1)


def _table(columns: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(columns), 1).cpu() if columns else torch.empty(0, 0, dtype=torch.float64)
