"""Losses of single examples, of one network and in columns of examples; training minimises their mean."""

from collections.abc import Callable

import torch
from torch import Tensor

from hornlib.training.evaluation import LOSSES

__all__ = ["COLUMN_LOSSES", "example_losses"]


def example_losses(outputs: Tensor, targets: Tensor, loss: str) -> Tensor:
    """Return the loss of each example, (examples,), without label smoothing.

    Args:
        outputs: (examples, outputs).
        targets: classes (examples,), or numbers (examples, outputs).
        loss: key of `hornlib.training.evaluation.LOSSES`.
    """
    return LOSSES[loss](outputs.unsqueeze(0), targets.unsqueeze(0)).squeeze(0)


def column_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of each column, log sum_c exp(o_c) - o_t, (..., examples).

    Args:
        outputs: (classes, ..., examples).
        targets: classes, (examples,).
    """
    chosen = outputs.gather(0, targets.expand(1, *outputs.shape[1:]))
    return torch.logsumexp(outputs, 0) - chosen.squeeze(0)


def column_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the squared error of each column, averaged over the outputs, (..., examples).

    Args:
        outputs: (outputs, ..., examples).
        targets: (examples, outputs).
    """
    columns = targets.mT.view(len(outputs), *[1] * (outputs.ndim - 2), -1)
    return (outputs - columns).square().mean(0)


COLUMN_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": column_cross_entropy,
    "mse": column_squared_error,
}
"""The same losses where examples are the last axis, as the incremental form needs them."""
