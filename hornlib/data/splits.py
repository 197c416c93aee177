"""Fixed draws of examples by class: validation split and training subset, the same for every seed and arm."""

import torch
from torch import Tensor

from hornlib.randomness import generator

__all__ = ["balanced_order", "split_training", "stratified_order"]


def stratified_order(strata: Tensor, draw: torch.Generator) -> Tensor:
    """Return a random permutation whose every prefix holds each stratum in its share.

    The example of rank r among the n of its stratum stands at (r + 1/2) / n; equal places are shuffled. So a
    stratum's count in a prefix is its share of it to within about one example, and prefixes are nested.

    Args:
        strata: class of each example, int64 (examples,).
        draw: the generator of the shuffle.
    """
    shuffled = torch.randperm(len(strata), generator=draw)
    counts = torch.bincount(strata)[strata[shuffled]]
    places = (_ranks(strata[shuffled]) + 0.5) / counts
    return shuffled[places.argsort(stable=True)]


def balanced_order(strata: Tensor, draw: torch.Generator) -> Tensor:
    """Return a random permutation whose every prefix holds equally many of each stratum, while they last.

    The strata take turns, so that their counts in a prefix differ by at most one; prefixes are nested.

    Args:
        strata: class of each example, int64 (examples,).
        draw: the generator of the shuffle.
    """
    shuffled = torch.randperm(len(strata), generator=draw)
    return shuffled[_ranks(strata[shuffled]).argsort(stable=True)]


def split_training(
    name: str, strata: Tensor, num_validation: int, train_subset: int | None
) -> tuple[Tensor, Tensor]:
    """Return the sorted indices of the training and of the validation part.

    A pure function of its arguments: neither seed nor presentation nor image size enters. The validation part
    is cut off first and does not depend on `train_subset`.

    Args:
        name: the dataset, part of the generators' names.
        strata: class of each training example, int64 (examples,); all zero for a regression.
        num_validation: examples of the validation part.
        train_subset: examples kept for training, None for all that remain.
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
