"""Scaling of inputs: from the numbers as read to those that a network gets."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["SCALINGS", "moments"]

Change = Callable[[Tensor], Tensor]
"""Changes examples in place and returns them."""


def standardised(train: Tensor, white_level: float) -> Change:
    """Return x' = (x - mean) / std, with mean and std of each channel, or feature, over the training examples.

    Args:
        train: training examples as read, (examples, channels, height, width) or (examples, features).
        white_level: not used; all scalings have the same arguments.
    """
    mean, std = moments(train, (0, *range(2, train.ndim)))
    return lambda examples: examples.sub_(mean).div_(std)


def per_feature(train: Tensor, white_level: float) -> Change:
    """Return x' = (x - mean) / std, with mean and std of each number of an example over the training examples.

    A pixel that is nearly constant gets large values where it is not. Of vectors this is `standardised`.

    Args:
        train: training examples as read, (examples, channels, height, width) or (examples, features).
        white_level: not used.
    """
    mean, std = moments(train, (0,))
    return lambda examples: examples.sub_(mean).div_(std)


def raw(train: Tensor, white_level: float) -> Change:
    """Return x' = x: grey levels between 0 and 1, features as stored.

    Args:
        train, white_level: not used.
    """
    return lambda examples: examples


def unscaled(train: Tensor, white_level: float) -> Change:
    """Return x' = white_level x: the numbers as they stand in the files.

    Args:
        train: training examples as read, (examples, channels, height, width) or (examples, features).
        white_level: grey level of white in the files; of vectors it is not used.
    """
    return lambda examples: examples.mul_(white_level if train.ndim > 2 else 1.0)


SCALINGS: dict[str, Callable[[Tensor, float], Change]] = {
    "standardised": standardised,
    "per_feature": per_feature,
    "raw": raw,
    "unscaled": unscaled,
}
"""`data.input_scaling` -> maps training examples and the white level of the files to the change of any example."""


def moments(examples: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation over some axes, of the shape of one example with these axes of length 1.

    A standard deviation of 0 is replaced by 1.

    Args:
        examples: (examples, channels, height, width) or (examples, features).
        axes: 0, and those over which channels are pooled.
    """
    std, mean = torch.std_mean(examples, dim=axes, correction=0, keepdim=True)
    return mean[0], torch.where(std > 0, std, 1)[0]
