"""Exact choices among the entries of a weight: so many of the smallest, of the largest, or at random, in every lane.

Equal scores are told apart by a draw, never by the order in which a kernel happens to find them. A choice is a bool
tensor (lanes, size).
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from hornlib.randomness import generator

__all__ = [
    "Draws",
    "chosen_at_random",
    "connections_of",
    "drawn_places",
    "grown_at_random",
    "highest",
    "highest_places",
    "lowest",
    "lowest_places",
    "mask_draws",
    "num_true",
    "pruned_globally",
    "random_ranks",
    "true_places",
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
    return highest(-scores, candidates, counts, draws)


def highest(scores: Tensor, candidates: Tensor, counts: Sequence[int], draws: Draws) -> Tensor:
    """Return the candidates with the highest scores, (lanes, size) bool; see `lowest`.

    Args:
        scores: (lanes, size). Those that are not finite count as the lowest.
        candidates: which entries may be chosen, (lanes, size) bool; at least as many as `counts`.
        counts: for each lane, how many are chosen.
        draws: for each lane, decides between equal scores.
    """
    chosen = torch.zeros_like(candidates)
    for lane, count in enumerate(counts):
        row, among = scores[lane], candidates[lane]
        if 2 * num_true(among.unsqueeze(0))[0] > len(row):
            chosen[lane, highest_places(row, count, draws[lane], among)] = True
        else:  # with few candidates, look at them alone
            places = true_places(among)
            chosen[lane, places[highest_places(row[places], count, draws[lane])]] = True
    return chosen


def lowest_places(scores: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """Return the indices of the lowest scores, (count,) int64; those that are not finite count as the largest.

    Args:
        scores: (size,).
        count: how many are chosen.
        draw: decides between equal scores.
    """
    return highest_places(-scores, count, draw)


def highest_places(scores: Tensor, count: int, draw: torch.Generator, among: Tensor | None = None) -> Tensor:
    """Return the indices of the highest scores, (count,) int64; those that are not finite count as the lowest.

    Args:
        scores: (size,).
        count: how many are chosen.
        draw: decides between equal scores.
        among: which entries may be chosen, (size,) bool; None: all.
    """
    if not count:
        return torch.empty(0, dtype=torch.long, device=scores.device)
    near = _near_the_top(scores, count, among)
    if near is not None:
        return near.index_select(0, highest_places(scores.index_select(0, near), count, draw))
    finite = scores < torch.inf  # a NaN is not below
    ranked = torch.where(finite if among is None else finite & among, scores, -torch.inf)
    limit = _order_statistic(ranked, count)
    reaching = ranked >= limit
    places = true_places(reaching if among is None else reaching.logical_and_(among))
    if len(places) == count:
        return places
    is_above = ranked[places] > limit
    above, ties = places[true_places(is_above)], places[true_places(~is_above)]
    return torch.cat([above, ties[random_ranks(len(ties), count - len(above), draw).to(ties.device)]])


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
    grown = remaining.clone()
    for lane, count in enumerate(counts):
        taken, dropped = true_places(before[lane]), true_places(before[lane] & ~remaining[lane])
        grown[lane, drawn_places(taken, dropped, before.shape[1], count, draws[lane])] = True
    return grown


def drawn_places(taken: Tensor, dropped: Tensor, size: int, count: int, draw: torch.Generator) -> Tensor:
    """Return random places without repetition, (count,) int64: free ones, and dropped ones if too few are free.

    Every set of as many free places is equally likely. The memory that this takes grows with `taken` and `count` alone.

    Args:
        taken: places that are not free, ascending.
        dropped: those of them that may be chosen again.
        size: number of all places.
        count: how many are chosen.
        draw: where the random numbers come from.
    """
    num_free = size - len(taken)
    fresh = min(count, num_free)
    ranks = random_ranks(num_free, fresh, draw).numpy()
    # The free place of rank r stands behind as many taken ones as have at most r free places before them.
    free_before = taken.cpu().numpy() - np.arange(len(taken))
    free = ranks + np.searchsorted(
        free_before, ranks, side="right"
    )  # by numpy, which takes two thirds of the time
    places = torch.from_numpy(free).to(taken.device)
    if fresh == count:
        return places
    return torch.cat([places, dropped[random_ranks(len(dropped), count - fresh, draw).to(taken.device)]])


def chosen_at_random(candidates: Tensor, counts: Sequence[int], draws: Draws) -> Tensor:
    """Return candidates chosen uniformly at random without repetition, (lanes, size) bool.

    Args:
        candidates: which entries may be chosen, (lanes, size) bool; at least as many as `counts`.
        counts: for each lane, how many are chosen.
        draws: for each lane.
    """
    chosen = torch.zeros_like(candidates)
    for lane, count in enumerate(counts):
        places = true_places(candidates[lane])
        chosen[lane, places[random_ranks(len(places), count, draws[lane]).to(places.device)]] = True
    return chosen


def random_ranks(available: int, count: int, draw: torch.Generator) -> Tensor:
    """Return distinct random whole numbers below `available`, (count,) int64 on the CPU.

    Few out of many are drawn one by one; those that came before are drawn again. A permutation of all would take tenths
    of a second for millions.

    Args:
        available: how many numbers there are.
        count: how many are drawn; at most as many.
        draw: where the random numbers come from.
    """
    if 8 * count > available:
        return torch.randperm(available, generator=draw)[:count]
    drawn = np.empty(0, np.int64)
    while len(drawn) < count:
        more = torch.randint(available, (count - len(drawn),), generator=draw).numpy()
        drawn = np.sort(np.concatenate([drawn, more]))
        drawn = drawn[np.diff(drawn, prepend=-1) > 0]
    return torch.from_numpy(drawn)


def true_places(mask: Tensor) -> Tensor:
    """Return the indices of the True entries of a mask (size,); on the CPU by numpy, which is six times faster."""
    if mask.device.type != "cpu":
        return mask.nonzero().squeeze(1)
    return torch.from_numpy(np.flatnonzero(mask.numpy()))


def _near_the_top(scores: Tensor, count: int, among: Tensor | None) -> Tensor | None:
    """Return the places of few scores that hold the highest ones and all equal to the last of them.

    A score that a sample shows to be a little below the limit divides the scores; None where that would not pay, or
    where fewer than `count` finite ones, or half of all, are above it. The arguments are those of `highest_places`.
    """
    stride = len(scores) >> 14
    expected = count / max(stride, 1)  # of the sample, above the limit
    rank = math.ceil(expected + 5 * math.sqrt(expected) + 5)
    sample = scores[:: max(stride, 1)]
    if stride < 4 or 4 * rank > len(sample):
        return None
    if among is not None:
        sample = torch.where(among[::stride], sample, -torch.inf)
    bound = _order_statistic(torch.where(sample < torch.inf, sample, -torch.inf), rank)
    near = true_places(_at_least(scores, bound))
    near = near if among is None else near.index_select(0, true_places(among.index_select(0, near)))
    is_enough = int((scores.index_select(0, near) < torch.inf).sum()) >= count
    return near if is_enough and 2 * len(near) < len(scores) else None


def _at_least(scores: Tensor, bound: Tensor) -> Tensor:
    """Return whether scores reach a bound, (size,) bool; on the CPU by numpy, which is five times faster."""
    if scores.device.type != "cpu":
        return scores >= bound
    return torch.from_numpy(scores.numpy() >= bound.numpy())


def _order_statistic(scores: Tensor, count: int) -> Tensor:
    """Return the `count`-th highest of the scores (size,); on the CPU by numpy, which is ten times faster."""
    place = len(scores) - count
    if scores.device.type != "cpu":
        return scores.kthvalue(place + 1).values
    return torch.from_numpy(np.partition(scores.numpy(), place)[place : place + 1]).squeeze(0)
