"""The order in which an epoch visits the training examples."""

import torch
from torch import Tensor

from hornlib.randomness import generator

__all__ = ["epoch_order"]


def epoch_order(seed: int, epoch: int, num_train: int) -> Tensor:
    """Return the permutation of the training examples in one epoch, on the CPU.

    A pure function of its arguments, so that every arm sees the same order for the same seed and a resumed
    run needs no generator state.
    """
    return torch.randperm(num_train, generator=generator("order", seed, epoch))
