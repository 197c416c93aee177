"""Optimisers over lanes: the update rules of torch.optim, with one learning rate for each lane."""

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from hornlib.parameters.training import TrainingParameters

__all__ = [
    "OPTIMIZERS",
    "AdamW",
    "BetaLasso",
    "Optimizer",
    "Sgd",
    "clip_by_lane_",
    "is_weight",
    "make_optimizer",
]

EPSILON = 1e-8
"""Added to the denominator of adamw; the default of torch."""


class Optimizer(Protocol):
    """An update rule on stacked tensors (lanes, ...). Its state consists of tensors of the same shapes."""

    training: TrainingParameters
    state: dict[str, list[Tensor]]

    def update_(self, tensors: list[Tensor], gradients: list[Tensor], rates: Tensor, step: int) -> None:
        """Update the tensors in place.

        Args:
            tensors: parameters, each (lanes, ...).
            gradients: of the same shapes.
            rates: (lanes,), the learning rate of every lane at this step.
            step: 1 for the first update.
        """


class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2), as torch.optim.AdamW.

    m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2;
    w <- w (1 - rate decay) - rate (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + 1e-8).

    t is the number of updates. Where the state has `age`, each scalar parameter has its own t.

    Args:
        tensors: parameters, (lanes, ...) each; the moments start as zeros of their shapes.
        training: b1, b2 and decay.
    """

    def __init__(self, tensors: list[Tensor], training: TrainingParameters) -> None:
        self.training = training
        self.state = {"first_moment": _zeros(tensors), "second_moment": _zeros(tensors)}

    def update_(self, tensors: list[Tensor], gradients: list[Tensor], rates: Tensor, step: int) -> None:
        """Update the tensors, (lanes, ...) each, in place; see `Optimizer.update_`."""
        beta1, beta2 = self.training.beta1, self.training.beta2
        first, second = self.state["first_moment"], self.state["second_moment"]
        torch._foreach_lerp_(first, gradients, 1 - beta1)
        torch._foreach_mul_(second, beta2)
        torch._foreach_addcmul_(second, gradients, gradients, 1 - beta2)
        denominator = torch._foreach_sqrt(second)
        if "age" in self.state:  # parameters that a structure added have had fewer updates than the others
            torch._foreach_add_(self.state["age"], 1)
            roots = [_correction(beta2, age).sqrt_() for age in self.state["age"]]
            torch._foreach_div_(denominator, roots)
            torch._foreach_add_(denominator, EPSILON)
            updates = torch._foreach_div(first, denominator)
            torch._foreach_div_(updates, [_correction(beta1, age) for age in self.state["age"]])
        else:
            torch._foreach_div_(denominator, (1 - beta2**step) ** 0.5)
            torch._foreach_add_(denominator, EPSILON)
            updates = torch._foreach_div(first, denominator)
            torch._foreach_mul_(updates, 1 / (1 - beta1**step))
        if self.training.weight_decay:
            torch._foreach_add_(updates, tensors, alpha=self.training.weight_decay)
        torch._foreach_mul_(updates, _by_lane(rates, tensors))
        torch._foreach_sub_(tensors, updates)


class Sgd:
    """Stochastic gradient descent with momentum, as torch.optim.SGD.

    g <- g + decay w;  b <- momentum b + g (b = g at the first step);
    w <- w - rate (g + momentum b) with Nesterov's look-ahead, else w - rate b.

    Args:
        tensors: parameters, (lanes, ...) each; b starts as zeros of their shapes.
        training: momentum, decay, and whether the look-ahead is used.
    """

    def __init__(self, tensors: list[Tensor], training: TrainingParameters) -> None:
        self.training = training
        self.state = {"momentum": _zeros(tensors)}

    def update_(self, tensors: list[Tensor], gradients: list[Tensor], rates: Tensor, step: int) -> None:
        """Update the tensors, (lanes, ...) each, in place; see `Optimizer.update_`."""
        momentum, buffers = self.training.momentum, self.state["momentum"]
        if self.training.weight_decay:
            gradients = list(torch._foreach_add(gradients, tensors, alpha=self.training.weight_decay))
        torch._foreach_mul_(buffers, momentum)  # zeros at the first step, so b = g there
        torch._foreach_add_(buffers, gradients)
        if self.training.acceleration == "nesterov":
            updates = torch._foreach_add(gradients, buffers, alpha=momentum)
        else:
            updates = torch._foreach_mul(buffers, 1.0)
        torch._foreach_mul_(updates, _by_lane(rates, tensors))
        torch._foreach_sub_(tensors, updates)


class BetaLasso:
    """Stochastic gradient descent with an L1 term, which sets small weights to exactly 0.

    w <- w - rate (g + lambda sign(w));  then w <- 0 where |w| <= beta lambda.

    The threshold does not depend on the rate. A weight of 0 has a gradient like any other, and returns by a step of
    more than beta lambda; training therefore costs as much as that of a dense network. Only weights are treated so,
    see `is_weight`. Biases, and scales and shifts of norms, take plain steps, since a scale of 0 would remove its unit;
    public re-implementations treat all parameters alike, and zero where |w| < beta lambda.

    Args:
        tensors: not used, since there is no state.
        training: lambda (`l1`) and beta (`threshold_factor`).

    Reference:
        Neyshabur, Towards learning convolutions from scratch, NeurIPS 2020, arXiv 2007.13657, algorithm 1.
    """

    def __init__(self, tensors: list[Tensor], training: TrainingParameters) -> None:
        self.training = training
        self.state: dict[str, list[Tensor]] = {}

    def update_(self, tensors: list[Tensor], gradients: list[Tensor], rates: Tensor, step: int) -> None:
        """Update the tensors, (lanes, ...) each, in place; see `Optimizer.update_`."""
        l1, threshold = self.training.l1, self.training.threshold_factor * self.training.l1
        directions = [
            torch.add(gradient, tensor.sign(), alpha=l1) if is_weight(tensor) else gradient
            for tensor, gradient in zip(tensors, gradients, strict=True)
        ]
        torch._foreach_sub_(tensors, torch._foreach_mul(directions, _by_lane(rates, tensors)))
        for tensor in filter(is_weight, tensors):
            tensor.copy_(torch.nn.functional.hardshrink(tensor, threshold))


OPTIMIZERS: dict[str, Callable[[list[Tensor], TrainingParameters], Optimizer]] = {
    "adamw": AdamW,
    "sgd": Sgd,
    "beta_lasso": BetaLasso,
}


def is_weight(tensor: Tensor) -> bool:
    """Return whether a stacked parameter (lanes, ...) is a weight: a matrix or a kernel.

    Biases, scales and shifts of norms, and learned numbers of units have one axis beside that of the lanes.
    """
    return tensor.dim() > 2


def make_optimizer(tensors: list[Tensor], training: TrainingParameters) -> Optimizer:
    """Return the optimiser that `training` names, with a new state.

    Args:
        tensors: parameters, each (lanes, ...); empty where the state is set afterwards.
        training: name and settings of the optimiser.
    """
    return OPTIMIZERS[training.optimizer](tensors, training)


def clip_by_lane_(gradients: list[Tensor], largest: float, measured: list[Tensor] | None = None) -> None:
    """Scale the gradients of each lane in place, so that the global norm of the measured ones is at most `largest`.

    The rule is that of torch.nn.utils.clip_grad_norm_ for each lane: g <- g min(1, largest / (norm + 1e-6)).

    Args:
        gradients: each (lanes, ...); changed in place.
        largest: upper limit of the norm over all measured gradients of a lane.
        measured: each (lanes, ...); None: all gradients.
    """
    measured = gradients if measured is None else measured
    squares = torch.stack([gradient.flatten(1).square().sum(1) for gradient in measured])
    factors = (largest / (squares.sum(0).sqrt() + 1e-6)).clamp(max=1.0)
    torch._foreach_mul_(gradients, _by_lane(factors, gradients))


def _correction(beta: float, age: Tensor) -> Tensor:
    """Return 1 - beta^age, the share of the weights of a moving average that its `age` values have.

    Args:
        beta: decay rate.
        age: number of values, at least 1.
    """
    if beta == 0:
        return torch.ones_like(age)
    return (age * math.log(beta)).expm1_().neg_()  # twice as fast as a power, and exact for beta near 1


def _zeros(tensors: list[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(tensor, requires_grad=False) for tensor in tensors]


def _by_lane(values: Tensor, tensors: list[Tensor]) -> list[Tensor]:
    return [values.view(-1, *[1] * (tensor.dim() - 1)) for tensor in tensors]
