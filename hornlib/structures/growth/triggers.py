"""When layers may grow: each trigger returns, for every looked-at lane, the layers that fulfil its condition."""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from hornlib.structures.growth.activations import unit_activations
from hornlib.structures.growth.look import GrowthLook
from hornlib.structures.growth.rule_facts import slope_at_zero
from hornlib.structures.growth.singular_vectors import in_float64
from hornlib.structures.growth.unit_vectors import incoming, mean_norms, unit_vectors
from hornlib.structures.interface import Tensors

__all__ = ["TRIGGERS", "Fired", "has_stopped_falling", "mean_gradients"]


class Fired(NamedTuple):
    """What a trigger says.

    Attributes:
        layers: for each looked-at lane, the layers that may grow.
        memory: what the trigger wants to see again, name -> (looked-at lanes,).
    """

    layers: list[list[int]]
    memory: Mapping[str, Tensor] = MappingProxyType({})


Trigger = Callable[[GrowthLook, Sequence[int]], Fired]
"""(look, layers that can grow) -> which of them may grow in which lane. A trigger that meets numbers in a lane that are
not finite lets no layer of this lane grow, and stops no other lane."""


def schedule(look: GrowthLook, layers: Sequence[int]) -> Fired:
    """Return all layers, since the moment itself is the condition.

    Args:
        look: at the lanes.
        layers: those that can grow.
    """
    return Fired([list(layers) for _ in look.lanes])


def plateau(look: GrowthLook, layers: Sequence[int]) -> Fired:
    """Return all layers of lanes whose validation loss has stopped falling; see `has_stopped_falling`.

    Args:
        look: at the lanes.
        layers: those that can grow.
    """
    view, parameters = look.view, look.parameters
    steps = (parameters.patience or 0) * view.steps_per_epoch
    fired = [
        has_stopped_falling(
            view.evaluated,
            view.validation_loss[lane].tolist(),
            since=max(view.events[lane], default=0),
            until=view.step - steps,
            least_improvement=parameters.least_improvement or 0.0,
        )
        for lane in look.lanes
    ]
    return Fired([list(layers) if has_stopped else [] for has_stopped in fired])


def has_stopped_falling(
    steps: Sequence[int], losses: Sequence[float], since: int, until: int, least_improvement: float
) -> bool:
    """Return whether the best loss after `until` is no better than the best before it, by some share.

    A lane whose last loss is not finite has diverged, and its loss counts as falling.

    Args:
        steps: of the evaluations, ascending.
        losses: of the evaluations.
        since: evaluations count from the one after this step on.
        until: last step of the earlier evaluations.
        least_improvement: smallest relative fall that counts.
    """
    counted = [(step, loss) for step, loss in zip(steps, losses, strict=True) if step > since]
    earlier = [loss for step, loss in counted if step <= until]
    recent = [loss for step, loss in counted if step > until]
    is_known = bool(earlier and recent) and math.isfinite(losses[-1])
    return is_known and min(recent) > min(earlier) * (1 - least_improvement)


def activation_rank(look: GrowthLook, layers: Sequence[int]) -> Fired:
    """Return the layers whose activations have nearly the relative rank of the first network.

    phi = #{singular values of H / sqrt(n) above epsilon} / M, with the activations H of M units on n examples, and each
    position of a map as an example. A layer may grow where phi >= gamma phi_0. phi_0 is that of the first network, and
    of a convolution the largest up to now.

    The trigger differs from the published one in two things. NORTH adds max(0, floor(M (phi - gamma phi_0))) units, so
    that a layer grows only where this number is at least 1; here a layer grows from phi = gamma phi_0 on. The number of
    units is that of `share`, whatever phi is.

    Args:
        look: at the lanes.
        layers: those that can grow.

    Reference:
        Maile et al. 2022, When, where, and how to add new neurons to ANNs, T_act.
    """
    view, lanes = look.view, look.view.lanes.keep(look.lanes)
    sums, num_batches = list[Tensor](), 0
    for inputs, _ in look.batches(look.lanes):
        activations = unit_activations(lanes, view.model, view.task, layers, inputs)
        grams = [_gram(layer.movedim(2, 1).flatten(2)) for layer in activations]
        sums = grams if not sums else [total + gram for total, gram in zip(sums, grams, strict=True)]
        for layer in activations:
            _, examples, units, positions = layer.shape
            look.count(_gram_flops(units, examples * positions), look.lanes)
        look.count(inputs.shape[1] * view.model.forward_flops(view.task).total, look.lanes)
        num_batches += 1
    return _by_rank(look, layers, [total / num_batches for total in sums])


def weight_rank(look: GrowthLook, layers: Sequence[int]) -> Fired:
    """Return the layers whose incoming weights have nearly the relative rank of the first network.

    The condition is that of `activation_rank`, with another phi: the number of singular values of the incoming weights
    (units x incoming numbers) above epsilon, divided by the number of units. It differs from the published trigger in
    the same two things.

    Args:
        look: at the lanes.
        layers: those that can grow.

    Reference:
        Maile et al. 2022, When, where, and how to add new neurons to ANNs, T_weight.
    """
    grams = []
    for layer in layers:
        into, _ = look.sides(layer, look.lanes)
        vectors = unit_vectors(*into)
        grams.append(_gram(vectors) * vectors.shape[2])
        look.count(_gram_flops(*vectors.shape[1:]), look.lanes)
    return _by_rank(look, layers, grams)


def singular_value(look: GrowthLook, layers: Sequence[int]) -> Fired:
    """Return the layers where the best new unit would have a large gradient, compared with those of the existing units.

    |f'(0)| sigma_1 c >= ratio mean_i |dL/dw_i|, with the slope f'(0) of the activation, the largest singular value
    sigma_1 of the matrix G, the mean norm c of the units' outgoing weights, and the gradients of the units' incoming
    weights w_i. The left side is the largest gradient of a new unit with incoming weights 0.

    Args:
        look: at the lanes.
        layers: those that can grow.
    """
    gradients, slope = mean_gradients(look), slope_at_zero(look.view.model)
    look.matrices(layers)  # of all layers at once
    fired: list[list[int]] = [[] for _ in look.lanes]
    for layer in layers:
        (_, into), out = look.sides(layer, look.lanes)
        largest = slope * look.singular_vectors(layer).values[:, 0] * mean_norms(*out)
        existing = mean_norms(gradients[into.name], into)
        is_large = largest >= (look.parameters.gradient_ratio or 0.0) * existing
        for lane, large in zip(fired, is_large.tolist(), strict=True):
            lane += [layer] if large else []
    return Fired(fired)


def mean_gradients(look: GrowthLook) -> Tensors:
    """Return the gradients of the loss by all trained tensors, averaged over the batches, name -> (lanes, ...).

    Args:
        look: at the lanes.
    """
    view, sums, num_batches = look.view, Tensors(), 0
    lanes = view.lanes.keep(look.lanes)
    lanes = lanes.with_buffers(look.own_buffers(lanes.buffers, look.lanes))
    for inputs, targets in look.batches(look.lanes):
        loss = view.loss(lanes.forward(inputs, training=True).logits, targets).sum()
        gradients = torch.autograd.grad(loss, list(lanes.parameters.values()))
        for name, gradient in zip(lanes.parameters, gradients, strict=True):
            sums[name] = sums[name] + gradient if num_batches else gradient
        num_batches += 1
    look.count(num_batches * view.gradient_flops(view.model), look.lanes)
    return {name: total / num_batches for name, total in sums.items()}


TRIGGERS: dict[str, Trigger] = {
    "schedule": schedule,
    "plateau": plateau,
    "activation_rank": activation_rank,
    "weight_rank": weight_rank,
    "singular_value": singular_value,
}
"""Value of `when` -> the trigger."""


def _by_rank(look: GrowthLook, layers: Sequence[int], grams: Sequence[Tensor]) -> Fired:
    """Return the layers whose relative rank is at least `rank_share` times the reference, and the references.

    The first look is at the first network. It finds the references, and no layer may grow.

    Args:
        look: at the lanes.
        layers: those that can grow.
        grams: for each layer, (lanes, units, units), whose eigenvalues are the squares of the singular values.
    """
    view, parameters, device = look.view, look.parameters, look.view.lanes.device
    index = torch.tensor(look.lanes, device=device)
    fired: list[list[int]] = [[] for _ in look.lanes]
    memory = Tensors()
    for layer, gram in zip(layers, grams, strict=True):
        share = _relative_rank(gram, parameters.rank_threshold or 0.0)
        name = f"rank/{layer}"
        if name not in view.memory:
            memory[name] = _remembered(share, device)
            continue
        reference = view.memory[name][index].to(share)
        is_convolution = view.lanes.parameters[incoming(look.axes(layer)).name].dim() > 3
        if is_convolution:
            reference = torch.fmax(reference, share)
            memory[name] = _remembered(reference, device)
        is_full = share >= (parameters.rank_share or 0.0) * reference
        for lane, full in zip(fired, is_full.tolist(), strict=True):
            lane += [layer] if full else []
    return Fired(fired, memory)


def _relative_rank(gram: Tensor, threshold: float) -> Tensor:
    """Return the share of singular values above a threshold, (lanes,) float64; NaN where a lane is not finite.

    Args:
        gram: (lanes, units, units), whose eigenvalues are the squares of the singular values.
        threshold: least singular value that counts.
    """
    share = (torch.linalg.eigvalsh(in_float64(gram)) > threshold**2).double().mean(1)
    return share.where(gram.isfinite().flatten(1).all(1), torch.nan)


def _remembered(shares: Tensor, device: torch.device) -> Tensor:
    """Return shares (lanes,) as the memory of lanes on a device holds them: MPS has no float64."""
    return shares.to(device, torch.float32 if device.type == "mps" else torch.float64)


def _gram(vectors: Tensor) -> Tensor:
    """Return V V^T / n, (lanes, units, units) float64, of vectors V, (lanes, units, n); NaN where V is not finite."""
    numbers = in_float64(vectors)
    is_finite = vectors.isfinite().flatten(1).all(1).to(numbers.device)
    return (numbers @ numbers.mT / vectors.shape[2]).where(is_finite.view(-1, 1, 1), torch.nan)


def _gram_flops(units: int, numbers: int) -> int:
    """Return the FLOPs of a product V V^T and of the eigenvalues of the result, 4/3 units^3 (Golub and Van Loan, 8.3).

    Args:
        units: rows of V.
        numbers: columns of V.
    """
    return 2 * units**2 * numbers + 4 * units**3 // 3
