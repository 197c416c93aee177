"""Exact choices among the entries of a weight: so many of the smallest, of the largest, or at random, in every lane.

Equal scores are told apart by a draw, never by the order in which a kernel happens to find them. A choice is a bool
tensor (lanes, size).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
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
    "num_true",
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


def num_true(mask: Tensor) -> list[int]:
    """Return the number of True entries of every lane of a mask (lanes, ...); on the CPU by numpy, which is faster."""
    if mask.device.type != "cpu":
        return mask.flatten(1).count_nonzero(1).tolist()
    return [int(np.count_nonzero(lane)) for lane in mask.numpy()]


def connections_of(masks: Mapping[str, Tensor]) -> Tensor:
    """Return the number of connections of all weights together, (lanes,) int64, on the CPU.

    Args:
        masks: weight -> (lanes, ...) bool.
    """
    return torch.tensor([num_true(mask) for mask in masks.values()]).sum(0)


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
        row, among = scores[lane], candidates[lane]
        if 2 * num_true(among.unsqueeze(0))[0] > len(row):
            chosen[lane, _lowest_places(row, among, count, draws[lane])] = True
        else:  # with few candidates, look at them alone
            places = _places(among)
            picked = _lowest_places(
                row[places], torch.ones_like(places, dtype=torch.bool), count, draws[lane]
            )
            chosen[lane, places[picked]] = True
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
    surplus = [max(number - total, 0) for number in num_true(candidates)]
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
    rooms = num_true(~before)
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
        chosen[lane, _drawn(candidates[lane], count, draws[lane])] = True
    return chosen


def _lowest_places(scores: Tensor, candidates: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """Return indices of the `count` lowest of the candidates, (count,); all are (size,)."""
    if not count:
        return torch.empty(0, dtype=torch.long, device=scores.device)
    scores = torch.where(candidates & (scores > -torch.inf), scores, torch.inf)
    limit = _order_statistic(scores, count)
    below = _places(scores < limit)
    return torch.cat([below, _drawn(candidates & (scores == limit), count - len(below), draw)])


def _drawn(candidates: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """Return random indices of candidates (size,), (count,) int64 on their device.

    Few out of many are drawn one by one; those that are no candidates, or came before, are drawn again. A permutation
    of all would take tenths of a second for millions.
    """
    available, size = num_true(candidates.unsqueeze(0))[0], len(candidates)
    if 8 * count > available or 2 * available < size:
        places = _places(candidates)
        return places[torch.randperm(available, generator=draw)[:count].to(places.device)]
    drawn = torch.empty(0, dtype=torch.long, device=candidates.device)
    while len(drawn) < count:
        more = torch.randint(size, (count - len(drawn),), generator=draw).to(candidates.device)
        drawn = torch.cat([drawn, more[candidates[more]]]).unique()
    return drawn


def _places(mask: Tensor) -> Tensor:
    """Return the indices of the True entries of a mask (size,); on the CPU by numpy, which is six times faster."""
    if mask.device.type != "cpu":
        return mask.nonzero().squeeze(1)
    return torch.from_numpy(np.flatnonzero(mask.numpy()))


def _order_statistic(scores: Tensor, count: int) -> Tensor:
    """Return the `count`-th lowest of the scores (size,); on the CPU by numpy, which is ten times faster."""
    if scores.device.type != "cpu":
        return scores.kthvalue(count).values
    return torch.from_numpy(np.partition(scores.numpy(), count - 1)[count - 1 : count]).squeeze(0)
