"""Exact choices among the entries of a weight: so many of the smallest, of the largest, or at random, in every lane.

Equal scores are told apart by a draw, never by the order in which a kernel happens to find them. A choice is a bool
tensor (lanes, size).
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from hornlib.randomness import generator

__all__ = [
    "Draws",
    "chosen_at_random",
    "connections_of",
    "grown_at_random",
    "highest",
    "lowest",
    "mask_draws",
    "pruned_globally",
]

Draws = Sequence[torch.Generator]
"""One generator for each lane."""


def mask_draws(seeds: Sequence[int], step: int) -> Callable[[str], Draws]:
    """Return a function that maps the name of a weight to the draws of every lane for this weight at this step.

    Args:
        seeds: of the lanes.
        step: training steps done.
    """
    return lambda weight: [generator("mask", seed, weight, step) for seed in seeds]


def connections_of(masks: Mapping[str, Tensor]) -> Tensor:
    """Return the number of connections of all weights together, (lanes,) int64.

    Args:
        masks: weight -> (lanes, ...) bool.
    """
    return torch.stack([mask.flatten(1).sum(1) for mask in masks.values()]).sum(0)


def lowest(scores: Tensor, candidates: Tensor, counts: Sequence[int], draws: Draws) -> Tensor:
    """Return the candidates with the lowest scores, exactly as many as asked in every lane, (lanes, size) bool.

    Scores that are not finite count as the largest ones: a run that has diverged still gets its number.

    Args:
        scores: (lanes, size).
        candidates: which entries may be chosen, (lanes, size) bool; at least as many as `counts`.
        counts: for each lane, how many are chosen.
        draws: for each lane, decides between equal scores.
    """
    chosen = torch.zeros_like(candidates)
    for lane, count in enumerate(counts):
        places = candidates[lane].nonzero().squeeze(1)
        if 0 < count < len(places):
            places = places[_lowest_places(scores[lane, places], count, draws[lane])]
        chosen[lane, places] = count > 0
    return chosen


def highest(scores: Tensor, candidates: Tensor, counts: Sequence[int], draws: Draws) -> Tensor:
    """Return the candidates with the highest scores, (lanes, size) bool; see `lowest`.

    Args:
        scores: (lanes, size). Those that are not finite count as the lowest.
        candidates: which entries may be chosen, (lanes, size) bool; at least as many as `counts`.
        counts: for each lane, how many are chosen.
        draws: for each lane, decides between equal scores.
    """
    return lowest(-scores, candidates, counts, draws)


def pruned_globally(
    scores: Mapping[str, Tensor], masks: Mapping[str, Tensor], total: int, draws: Draws
) -> dict[str, Tensor]:
    """Return the connections without those of the lowest scores, compared across all weights, (lanes, size) bool.

    Args:
        scores: weight -> (lanes, size).
        masks: weight -> connections before, (lanes, size) bool.
        total: number of connections that remain in all weights together, if there are more.
        draws: for each lane, decides between equal scores.
    """
    candidates = torch.cat(list(masks.values()), 1)
    surplus = (candidates.sum(1) - total).clamp(min=0).tolist()
    removed = lowest(torch.cat([scores[name] for name in masks], 1), candidates, surplus, draws)
    remaining = (candidates & ~removed).split([mask.shape[1] for mask in masks.values()], 1)
    return dict(zip(masks, remaining, strict=True))


def grown_at_random(before: Tensor, remaining: Tensor, counts: Sequence[int], draws: Draws) -> Tensor:
    """Return the remaining connections and as many random ones as asked, (lanes, size) bool.

    They grow where no connection was. Only where there are too few such places do dropped connections come back.

    Args:
        before: connections before the update, (lanes, size) bool.
        remaining: those of them that were not dropped, (lanes, size) bool.
        counts: for each lane, how many grow; at most the places that are not `remaining`.
        draws: for each lane.
    """
    rooms = (~before).sum(1).tolist()
    fresh = [min(count, room) for count, room in zip(counts, rooms, strict=True)]
    returning = [count - first for count, first in zip(counts, fresh, strict=True)]
    grown = remaining | chosen_at_random(~before, fresh, draws)
    return grown | chosen_at_random(before & ~remaining, returning, draws) if any(returning) else grown


def chosen_at_random(candidates: Tensor, counts: Sequence[int], draws: Draws) -> Tensor:
    """Return candidates chosen uniformly at random without repetition, (lanes, size) bool.

    Args:
        candidates: which entries may be chosen, (lanes, size) bool; at least as many as `counts`.
        counts: for each lane, how many are chosen.
        draws: for each lane.
    """
    chosen = torch.zeros_like(candidates)
    for lane, count in enumerate(counts):
        if count:
            places = candidates[lane].nonzero().squeeze(1)
            chosen[lane, places[_distinct(count, len(places), draws[lane]).to(places.device)]] = True
    return chosen


def _lowest_places(scores: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """Return indices of the `count` lowest of the scores (candidates,); 0 < count < candidates."""
    scores = torch.where(scores.isfinite(), scores, torch.inf)
    limit = scores.kthvalue(count).values
    below, equal = (scores < limit).nonzero().squeeze(1), (scores == limit).nonzero().squeeze(1)
    missing = count - len(below)
    if missing < len(equal):
        equal = equal[_distinct(missing, len(equal), draw).to(equal.device)]
    return torch.cat([below, equal])


def _distinct(count: int, size: int, draw: torch.Generator) -> Tensor:
    """Return distinct random integers below `size`, (count,) int64 on the CPU.

    Few out of many are drawn one by one, and those that came before are drawn again: a permutation of all would take
    tenths of a second for millions.
    """
    if 8 * count > size:
        return torch.randperm(size, generator=draw)[:count]
    integers = torch.randint(size, (count,), generator=draw).unique()
    while len(integers) < count:
        more = torch.randint(size, (count - len(integers),), generator=draw)
        integers = torch.cat([integers, more]).unique()
    return integers
