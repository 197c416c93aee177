"""Activations of hidden nodes, in place, and their elementwise work."""

import math
from collections.abc import Callable
from functools import lru_cache

from torch import Tensor

from hornlib.models.evolved.parameters import EvolvedParameters, NeatParameters, WannParameters

__all__ = ["ACTIVATION_WORK", "EVOLVED_ACTIVATIONS", "activations_of"]

EVOLVED_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda sums: sums,
    "sine": lambda sums: sums.mul_(math.pi).sin_(),
    "gauss": lambda sums: sums.square_().mul_(-0.5).exp_(),
    "tanh": lambda sums: sums.tanh_(),
    "sigmoid": lambda sums: sums.sigmoid_(),
    "inverse": lambda sums: sums.neg_(),
    "absolute": lambda sums: sums.abs_(),
    "relu": lambda sums: sums.relu_(),
    "cosine": lambda sums: sums.mul_(math.pi).cos_(),
    "step": lambda sums: sums.gt_(0),
}
"""Name -> function that changes its argument in place: x, sin(pi x), exp(-x^2 / 2), tanh x, 1 / (1 + exp(-x)), -x, |x|,
max(x, 0), cos(pi x), and 1 where x > 0, else 0 (Gaier and Ha 2019, and their code)."""

ACTIVATION_WORK: dict[str, int] = {
    "linear": 0,
    "sine": 2,
    "gauss": 3,
    "tanh": 1,
    "sigmoid": 1,
    "inverse": 1,
    "absolute": 1,
    "relu": 1,
    "cosine": 2,
    "step": 1,
}
"""Elementwise operations for each number, as `hornlib.models.operations` counts them."""


@lru_cache(maxsize=64)
def activations_of(model: EvolvedParameters) -> tuple[str, ...]:
    """Return the activations that a genome's indices mean.

    Args:
        model: the population's parameters.
    """
    if isinstance(model, NeatParameters):
        return (model.node_activation,)
    is_without = isinstance(model, WannParameters) and model.step_activation == "without"
    return tuple(name for name in EVOLVED_ACTIVATIONS if name != "step" or not is_without)
