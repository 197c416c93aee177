"""Fixed draws of examples by class, the same for every seed and arm: validation split and training subset."""

import torch
from torch import Tensor

from hornlib.randomness import generator

__all__ = ["balanced_order", "split_training", "stratified_order"]


def stratified_order(strata: Tensor, draw: torch.Generator) -> Tensor:
    """Return a random permutation whose every prefix holds each stratum in its share.

    The example of rank r among the n of its stratum gets the place (r + 1/2) / n; equal places are shuffled. In every
    prefix the count of a stratum therefore differs from its share by about one example at most. Prefixes are nested.

    Args:
        strata: class of each example, int64 (examples,).
        draw: the generator of the shuffle.

    Returns:
        (examples,), int64.
    """
    shuffled = torch.randperm(len(strata), generator=draw)
    counts = torch.bincount(strata)[strata[shuffled]]
    places = (_ranks(strata[shuffled]) + 0.5) / counts
    return shuffled[places.argsort(stable=True)]


def balanced_order(strata: Tensor, draw: torch.Generator) -> Tensor:
    """Return a random permutation whose every prefix holds equally many of each stratum, until one is used up.

    The strata take turns, so that their counts in a prefix differ by at most one. Prefixes are nested.

    Args:
        strata: class of each example, int64 (examples,).
        draw: the generator of the shuffle.

    Returns:
        (examples,), int64.
    """
    shuffled = torch.randperm(len(strata), generator=draw)
    return shuffled[_ranks(strata[shuffled]).argsort(stable=True)]


def split_training(
    name: str, strata: Tensor, num_validation: int, train_subset: int | None
) -> tuple[Tensor, Tensor]:
    """Return the sorted indices of the training and of the validation part.

    This is a pure function of its arguments; seed, presentation and image size are none of them. The validation part is
    drawn first and does not depend on `train_subset`.

    Args:
        name: the dataset, part of the generators' names.
        strata: class of each training example, int64 (examples,); all zero for a regression.
        num_validation: number of examples of the validation part.
        train_subset: number of training examples; None for all that remain.

    Returns:
        (train_subset,) or (examples - num_validation,), and (num_validation,), int64.
    """
    order = stratified_order(strata, generator("validation split", name))
    validation, train = order[:num_validation].sort().values, order[num_validation:].sort().values
    if train_subset is not None:
        turns = balanced_order(strata[train], generator("train subset", name))
        train = train[turns[:train_subset]].sort().values
    return train, validation


def _ranks(strata: Tensor) -> Tensor:
    """Return how many earlier entries are of the same stratum, for each entry."""
    grouped = strata.argsort(stable=True)
    counts = torch.bincount(strata)
    starts = counts.cumsum(0) - counts
    ranks = torch.empty_like(grouped)
    ranks[grouped] = torch.arange(len(strata)) - starts[strata[grouped]]
    return ranks
