"""Whether the cells of a grid differ at all: the F test of a block design, its distribution found by permutation.

F = n sum_p (m_p - m)^2 / (P - 1) / s^2 over P cells and n seeds, with s^2 the residual variance once the means of cells
and of seeds are taken off. Under the hypothesis that all cells are alike, the cells of a seed can be exchanged; F of
many such exchanges gives the p-value, (1 + number of F* >= F) / (1 + draws).

Where each cell has several learning rates, runs are exchanged with all of theirs, and the best rate is chosen anew in
every draw. Tables of F do not know that the rates were chosen: of simulated grids whose cells are exchangeable they
reject 6 to 18 % at a nominal 5 %, and this test 3 to 8 % (400 grids). Cells that are alike at their best rates and
differ otherwise, in their best rate or their noise, are not exchangeable: this test rejects 0 to 10 % of them, the
tables 6 to 35 % (benchmarks/any_difference.md).

Sources: Fisher, The Design of Experiments, 1935; Pitman, Biometrika 29 (1938), 322-335, for blocks.
"""

import numpy as np

__all__ = ["NUM_DRAWS", "any_difference", "at_chosen_rates"]

NUM_DRAWS = 999
"""Exchanges of cells: the smallest p-value is .001, and one of .05 has a standard error of .007."""

NUMBERS_AT_ONCE = 2_000_000
"""Exchanged runs in memory at once: 16 MB."""

ROUNDING = 1e-9
"""Relative difference of two values of F that counts as none."""


def any_difference(judged: np.ndarray, chosen_by: np.ndarray, seed: int, draws: int = NUM_DRAWS) -> float:
    """Return the p-value of the hypothesis that all cells of a grid are alike.

    Args:
        judged: outcome of the runs, (cell, learning rate, seed); NaN where a run lacks.
        chosen_by: what rates are chosen by, smaller is better, (cell, learning rate, seed).
        seed: of the exchanges.
        draws: number of exchanges.

    Returns:
        NaN for fewer than two cells or seeds, where a cell lacks a seed at all rates, or where all runs are equal.
    """
    num_cells, _, num_seeds = judged.shape
    judged, chosen_by = _without_gaps(judged, chosen_by)
    if num_cells < 2 or num_seeds < 2 or np.isnan(judged).any():
        return np.nan
    observed = _f_statistic(at_chosen_rates(judged, chosen_by))
    if np.isnan(observed):
        return np.nan
    generator = np.random.default_rng([seed, *b"any difference"])
    exceeding, left = 0, draws
    while left:
        number = min(left, max(1, NUMBERS_AT_ONCE // judged.size))
        order = generator.random((number, num_cells, 1, num_seeds)).argsort(1)
        exchanged = (np.take_along_axis(values[None], order, 1) for values in (judged, chosen_by))
        statistics = _f_statistic(at_chosen_rates(*exchanged))
        exceeding += int((statistics >= observed * (1 - ROUNDING)).sum())
        left -= number
    return (1 + exceeding) / (1 + draws)


def at_chosen_rates(judged: np.ndarray, chosen_by: np.ndarray) -> np.ndarray:
    """Return every run at its cell's own best learning rate, as `hornlib.statistics.influence` judges it.

    The mean of the run at the rate that all seeds choose and at the rate that the other half of the seeds chooses.

    Args:
        judged: (.., cell, learning rate, seed).
        chosen_by: of the same shape.

    Returns:
        (.., cell, seed).
    """
    if judged.shape[-2] == 1:
        return judged[..., 0, :]
    second_half = np.arange(judged.shape[-1]) % 2 == 1

    def at_best_of(seeds: np.ndarray) -> np.ndarray:
        best = chosen_by[..., seeds].mean(-1).argmin(-1)
        return np.take_along_axis(judged, best[..., None, None], -2)[..., 0, :]

    all_seeds = np.full(len(second_half), True)
    by_all, by_first, by_second = (at_best_of(seeds) for seeds in (all_seeds, ~second_half, second_half))
    return (by_all + np.where(second_half, by_first, by_second)) / 2


def _without_gaps(judged: np.ndarray, chosen_by: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fill a run that lacks with the worst of its cell and seed, so that its rate does not seem better than it is."""
    lacks = np.isnan(judged) | np.isnan(chosen_by)
    if not lacks.any():
        return judged, chosen_by
    worst = np.where(lacks, -np.inf, chosen_by).argmax(1)[:, None]
    filled = (np.where(lacks, np.take_along_axis(values, worst, 1), values) for values in (judged, chosen_by))
    return next(filled), next(filled)


def _f_statistic(runs: np.ndarray) -> np.ndarray:
    """Return F of runs (.., cell, seed); infinite without noise, NaN where all runs are equal."""
    num_cells, num_seeds = runs.shape[-2:]
    of_cells = runs.mean(-1, keepdims=True)
    mean = of_cells.mean(-2, keepdims=True)
    residuals = runs - of_cells - runs.mean(-2, keepdims=True) + mean
    between = num_seeds * ((of_cells - mean) ** 2).sum((-2, -1)) / (num_cells - 1)
    within = (residuals**2).sum((-2, -1)) / ((num_cells - 1) * (num_seeds - 1))
    nothing = 1e-24 * (runs**2).mean((-2, -1))  # rounding errors are no variance
    between, within = (np.where(part > nothing, part, 0.0) for part in (between, within))
    with np.errstate(divide="ignore", invalid="ignore"):
        return between / within
