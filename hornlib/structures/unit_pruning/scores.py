"""Scores of units: the lowest are removed."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from hornlib.models.dropout import has_dropout, set_dropout_keys_
from hornlib.parameters import UnitAxis
from hornlib.randomness import derive_seed, generator
from hornlib.structures.growth.unit_vectors import unit_vectors
from hornlib.structures.interface import LaneView, Tensors
from hornlib.structures.unit_pruning.parameters import UnitPruningFields, scale_names

__all__ = ["SCORES", "UnitScores"]

UnitScores = tuple[list[Tensor], int]
"""The score of every unit, (lanes, units) for each layer, and the FLOPs that they took in each lane."""


def l1_norm(view: LaneView, parameters: UnitPruningFields) -> UnitScores:
    """Return sum |w| over the weights that compute a unit.

    With distribution: global it is divided by the mean of the layer.

    Args:
        view: the lanes.
        parameters: of the structure.

    Reference:
        Li et al. 2017, Pruning filters for efficient ConvNets, section 3.1.
    """
    scores = []
    for layer in range(len(view.model.units())):
        weights = _of_units(view, layer, "incoming", view.lanes.parameters)
        score = _total([weight.abs().sum(2) for weight in weights])
        if parameters.distribution == "global":
            score = score / score.mean(1, keepdim=True)
        scores.append(score)
    return scores, 2 * _num_weights(view, "incoming")


def norm_scale(view: LaneView, parameters: UnitPruningFields) -> UnitScores:
    """Return |scale| of the norm before the activation.

    Args:
        view: the lanes.
        parameters: not used.

    Reference:
        Liu et al. 2017, Learning efficient convolutional networks through network slimming, section 3.
    """
    tensors, task = view.lanes.parameters, view.task
    scores = [
        _total([tensors[name].detach().abs() for name in scale_names(view.model, layer, task)])
        for layer in range(len(view.model.units()))
    ]
    return scores, sum(view.model.units())


def taylor(view: LaneView, parameters: UnitPruningFields) -> UnitScores:
    """Return |sum g v| over the weights v that read a unit: to first order, the change of the loss without it.

    g is the gradient of the mean loss over batches in training mode. Running statistics stay as they are. The sum is
    the derivative by a factor on what the unit passes on. The criterion of the source is the same derivative, with
    one difference: the source takes its absolute value for every example and then the mean over examples, and this
    score takes the absolute value of the mean. Effects on examples that cancel each other do not count here, so that
    the score is smaller, and the order of units may be another one. The same sum over the weights that compute the unit
    is 0 behind a batch norm, which undoes their scale.

    Args:
        view: the lanes.
        parameters: number of batches.

    Reference:
        Molchanov et al. 2017, Pruning convolutional neural networks for resource efficient inference, equation 8,
        without its absolute value for each example.
    """
    lanes = view.lanes.with_buffers({name: tensor.clone() for name, tensor in view.lanes.buffers.items()})
    if has_dropout(lanes.buffers):
        keys = [derive_seed("dropout", seed, view.step) for seed in lanes.seeds]
        set_dropout_keys_(lanes.buffers, torch.tensor(keys, device=lanes.device))
    layers = range(len(view.model.units()))
    names = list(dict.fromkeys(axis.name for layer in layers for axis in _axes(view, layer, "outgoing")))
    weights = [lanes.parameters[name] for name in names]
    products = [torch.zeros_like(weight) for weight in weights]
    num_batches = 0
    for inputs, targets in view.batches(parameters.score_batches):
        loss = view.loss(lanes.forward(inputs, training=True).logits, targets).sum()
        torch._foreach_add_(products, torch.autograd.grad(loss, weights))
        num_batches += 1
    torch._foreach_mul_(products, [weight.detach() / num_batches for weight in weights])
    named = dict(zip(names, products, strict=True))
    scores = [
        _total([product.sum(2) for product in _of_units(view, layer, "outgoing", named)]).abs()
        for layer in layers
    ]
    return scores, num_batches * view.gradient_flops(view.model) + 2 * _num_weights(view, "outgoing")


def at_random(view: LaneView, parameters: UnitPruningFields) -> UnitScores:
    """Return uniform numbers, which depend on seed, step and layer alone.

    Args:
        view: the lanes.
        parameters: not used.
    """
    scores = [
        torch.stack(
            [
                torch.rand(number, generator=generator("unit pruning", seed, view.step, layer))
                for seed in view.lanes.seeds
            ]
        ).to(view.lanes.device)
        for layer, number in enumerate(view.model.units())
    ]
    return scores, 0


SCORES: dict[str, Callable[[LaneView, UnitPruningFields], UnitScores]] = {
    "l1_norm": l1_norm,
    "norm_scale": norm_scale,
    "taylor": taylor,
    "random": at_random,
}
"""`drop_by` -> its function."""


Side = Literal["incoming", "outgoing"]


def _axes(view: LaneView, layer: int, side: Side) -> list[UnitAxis]:
    return [axis for axis in view.model.unit_axes(layer, view.task) if axis.side == side]


def _of_units(view: LaneView, layer: int, side: Side, tensors: Tensors) -> list[Tensor]:
    """Return the entries of each unit in the weights of one side of a layer, (lanes, units, entries) for each weight.

    Args:
        view: the lanes.
        layer: position in `units()`.
        side: of the units.
        tensors: by the names of the weights, (lanes, ...).
    """
    return [unit_vectors(tensors[axis.name].detach(), axis) for axis in _axes(view, layer, side)]


def _total(parts: Sequence[Tensor]) -> Tensor:
    """Return the sum of tensors (lanes, units)."""
    return torch.stack(list(parts)).sum(0)


def _num_weights(view: LaneView, side: Side) -> int:
    """Return how many numbers the weights of one side of all layers have."""
    layers = range(len(view.model.units()))
    names = {axis.name for layer in layers for axis in _axes(view, layer, side)}
    return sum(view.lanes.parameters[name][0].numel() for name in names)
