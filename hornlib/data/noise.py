"""Measurement noise: one fixed draw for each level."""

import torch
from torch import Tensor

from hornlib.data.loaders import Raw
from hornlib.randomness import generator

__all__ = ["with_noise"]


def with_noise(raw: Raw, noise: float, name: str) -> Raw:
    """Return the dataset with noise on the inputs of both parts, before the validation split.

    x'_nj = x_nj + noise sqrt(mean_j x_nj^2) e_nj with e_nj ~ N(0, 1). The root mean square of ||x'_n - x_n|| / ||x_n||
    is then `noise`.

    Args:
        raw: clean measurements (examples, features).
        noise: relative standard deviation.
        name: the dataset. The generators' names contain it, the part and the level.
    """
    return raw._replace(
        train_inputs=_noisy(raw.train_inputs, noise, name, "train"),
        test_inputs=_noisy(raw.test_inputs, noise, name, "test"),
    )


def _noisy(inputs: Tensor, noise: float, name: str, part: str) -> Tensor:
    draws = torch.randn(inputs.shape, generator=generator("measurement noise", name, part, repr(noise)))
    level = noise * inputs.square().mean(-1, keepdim=True).sqrt()
    return inputs + level * draws
