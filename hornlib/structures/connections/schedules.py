"""How a density or a share changes over training steps; free of torch."""

import math
from collections.abc import Mapping

__all__ = ["cosine_share", "cubic_density", "last_pruning", "mean_counts"]


def cosine_share(step: int, first: float, end: float) -> float:
    """Return a / 2 (1 + cos(pi t / T)): a at the start and 0 from T on.

    Args:
        step: t, training steps done.
        first: a, the share at step 0.
        end: T, training steps.

    Reference:
        Evci et al. 2020, Rigging the Lottery, section 3 (2).
    """
    return 0.0 if step >= end else first / 2 * (1 + math.cos(math.pi * step / end))


def cubic_density(step: int, first: float, last: float, start: float, end: float) -> float:
    """Return d_f + (d_i - d_f) (1 - (t - t_0) / (t_n - t_0))^3: d_i until t_0, d_f from t_n on.

    Args:
        step: t, training steps done.
        first: d_i, the density before pruning.
        last: d_f, the density after it.
        start: t_0, training steps.
        end: t_n, training steps.

    Reference:
        Zhu and Gupta 2017, To prune, or not to prune, equation 1, there for the sparsity 1 - d.
    """
    rest = 1 - min(max((step - start) / (end - start), 0.0), 1.0)
    return last + (first - last) * rest**3


def last_pruning(end: float, interval: int) -> int:
    """Return the step of the update at which the last density is reached: the first one that is not before the end.

    Args:
        end: training steps.
        interval: training steps between two updates.
    """
    return math.ceil(end / interval) * interval


def mean_counts(counts: Mapping[int, Mapping[str, int]], total_steps: int) -> dict[str, float]:
    """Return the means over all training steps of numbers that change from time to time.

    Args:
        counts: training steps done, ascending from 0 -> weight -> number of its connections from then on.
        total_steps: training steps of the whole training.
    """
    starts = [step for step in counts if step < total_steps]
    ends = [*starts[1:], total_steps]
    return {
        name: sum((end - start) * counts[start][name] for start, end in zip(starts, ends, strict=True))
        / total_steps
        for name in counts[0]
    }
