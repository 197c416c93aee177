"""Random choices whose probabilities follow scores."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hornlib.structures.connections.masks import Draws, highest, true_places

__all__ = ["sampled"]


def sampled(
    scores: Tensor, candidates: Tensor, counts: Sequence[int], draws: Draws, exponent: float = 1.0
) -> Tensor:
    """Return candidates drawn one after another without replacement, (lanes, size) bool.

    Each draw takes one of those that are left with a probability proportional to score^exponent. The candidates with
    the largest exponent log(score) + G, G from the standard Gumbel distribution, are distributed so. Scores of 0, and
    those that are not finite, come last, in random order.

    Args:
        scores: (lanes, size), none below 0.
        candidates: which entries may be chosen, (lanes, size) bool; at least as many as `counts`.
        counts: for each lane, how many are chosen.
        draws: one generator for each lane.
        exponent: the larger it is, the surer are the highest scores chosen.

    Reference:
        Kool, van Hoof and Welling 2019, Stochastic beams and where to find them, section 2.3.
    """
    keys = torch.full_like(scores, -torch.inf)
    for lane, draw in enumerate(draws):
        places = true_places(candidates[lane])
        waiting_times = -torch.rand(len(places), generator=draw).to(scores).log()  # exponentially distributed
        keys[lane, places] = exponent * scores[lane, places].log() - waiting_times.log()
    return highest(keys, candidates, counts, draws)
