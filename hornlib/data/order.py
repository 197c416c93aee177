"""The order in which an epoch visits the training examples."""

import torch
from torch import Tensor

from hornlib.randomness import generator

__all__ = ["epoch_order"]


def epoch_order(seed: int, epoch: int, num_train: int) -> Tensor:
    """Return the permutation of the training examples in one epoch, (num_train,), int64, on the CPU.

    This is a pure function of its arguments, so that every arm has the same order for the same seed, and a resumed run
    needs no state of a generator.

    Args:
        seed: of the run.
        epoch: number of the epoch, from 0.
        num_train: number of training examples.
    """
    return torch.randperm(num_train, generator=generator("order", seed, epoch))
