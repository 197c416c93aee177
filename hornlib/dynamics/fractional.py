"""The explicit L1 scheme of a Caputo derivative on a grid that need not be uniform."""

import math

import torch
from torch import Tensor

__all__ = ["force_weights", "history_weights"]


def history_weights(steps: Tensor, fractional_order: float) -> Tensor:
    """Return the weights a_{j,k} with which past increments enter step j; differentiable in tau.

    a_{j,k} = tau_j^gamma / tau_k ((sum_{i=k}^j tau_i)^(1-gamma) - (sum_{i=k+1}^j tau_i)^(1-gamma)) for k < j, else 0.

    On a uniform grid a_{j,k} = (j-k+1)^(1-gamma) - (j-k)^(1-gamma), whatever its tau. At gamma = 1 all are 0.

    Args:
        steps: tau > 0, (num_steps,), unit of time.
        fractional_order: gamma, in (0, 1].

    Returns:
        (num_steps, num_steps), row j, column k.

    Source: the L1 scheme on a non-uniform grid; arXiv 2204.08528.
    """
    num_steps = len(steps)
    # Sums of the steps, not differences of times, which would lose small steps behind large ones.
    spans = steps.expand(num_steps, num_steps).tril().flip(1).cumsum(1).flip(1)
    # The ones keep the gradient of the power finite where a span is 0.
    powers = (spans + torch.ones_like(spans).triu(1)) ** (1 - fractional_order)
    differences = powers[:, :-1] - powers[:, 1:]
    scale = (steps**fractional_order).unsqueeze(1)
    weights = scale / steps[:-1] * differences
    return torch.cat([weights, torch.zeros_like(scale)], 1).tril(-1)


def force_weights(steps: Tensor, fractional_order: float) -> Tensor:
    """Return tau_j^gamma Gamma(2 - gamma), the weight of the force in step j, (num_steps,).

    Args:
        steps: tau > 0, (num_steps,), unit of time.
        fractional_order: gamma, in (0, 1].
    """
    return steps**fractional_order * math.gamma(2 - fractional_order)
