"""Measurement noise: fixed draws, one for each level."""

import torch
from torch import Tensor

from hornlib.data.loaders import Raw
from hornlib.randomness import generator

__all__ = ["with_noise"]


def with_noise(raw: Raw, noise: float, name: str) -> Raw:
    """Return the dataset with noise on the inputs of both parts, before anything is cut off for validation.

    x'_nj = x_nj + noise sqrt(mean_j x_nj^2) e_nj, e_nj ~ N(0, 1), so that ||x'_n - x_n|| / ||x_n|| is noise on average.

    Args:
        raw: clean measurements (examples, features).
        noise: relative standard deviation.
        name: the dataset, part of the generators' names, as part and level are.
    """
    return raw._replace(
        train_inputs=_disturbed(raw.train_inputs, noise, name, "train"),
        test_inputs=_disturbed(raw.test_inputs, noise, name, "test"),
    )


def _disturbed(inputs: Tensor, noise: float, name: str, part: str) -> Tensor:
    draws = torch.randn(inputs.shape, generator=generator("measurement noise", name, part, repr(noise)))
    level = noise * inputs.square().mean(-1, keepdim=True).sqrt()
    return inputs + level * draws
