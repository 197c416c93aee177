"""Which connections of a network are set to 0 one by one: all, or a sample from every tenth of the magnitudes."""

from collections.abc import Mapping

import torch
from torch import Tensor

from hornlib.importance.networks import TrainedNetwork
from hornlib.randomness import generator

__all__ = ["NUM_STRATA", "sampled_connections", "stratified_sample"]

NUM_STRATA = 10
"""Tenths of the magnitudes, each of which gives as many connections."""


def sampled_connections(trained: TrainedNetwork, sample: int | None) -> dict[str, Tensor]:
    """Return weight -> indices of the chosen connections among all of it, (chosen,) int64, ascending.

    Args:
        trained: the network.
        sample: largest number for each weight; None: all.
    """
    chosen: Mapping[str, Tensor] = {
        name: stratified_sample(
            trained.values(name).abs(), sample, generator("importance", trained.seed, name)
        )
        if sample is not None and len(places) > sample
        else torch.arange(len(places))
        for name, places in trained.connections.items()
    }
    return dict(chosen)


def stratified_sample(magnitudes: Tensor, number: int, draw: torch.Generator) -> Tensor:
    """Return indices of connections, as many from each tenth of the magnitudes, (number,) int64, ascending.

    Every connection is equally likely, up to the rounding of the numbers in a tenth.

    Args:
        magnitudes: |w|, (connections,).
        number: how many are chosen, at most all.
        draw: decides which.
    """
    by_size = magnitudes.argsort(stable=True)
    strata, counts = by_size.tensor_split(NUM_STRATA), _even_counts(number)
    chosen = [
        stratum[torch.randperm(len(stratum), generator=draw)[:count]]
        for stratum, count in zip(strata, counts, strict=True)
    ]
    return torch.cat(chosen).sort().values


def _even_counts(number: int) -> list[int]:
    """Return the number of connections of each stratum: larger by 1 in the first strata, which are larger too."""
    return [number // NUM_STRATA + (stratum < number % NUM_STRATA) for stratum in range(NUM_STRATA)]
