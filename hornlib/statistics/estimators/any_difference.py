"""The test of any difference between the cells of a grid: an F test of a block design, by permutation.

F = n sum_p (m_p - m)^2 / (P - 1) / s^2 over P cells and n seeds. m_p is the mean of a cell, m the grand mean, and s^2
the variance of the residuals after the means of cells and seeds are subtracted. If all cells are equal, the cells of a
seed can be exchanged. The p-value is (1 + number of F* >= F) / (1 + draws), where F* comes from a random exchange.

If each cell has several learning rates, a run is exchanged together with all of its rates, and the best rate is chosen
again in every draw. The F distribution ignores this choice. Of simulated grids with exchangeable cells, it rejects 6 to
18 % at a nominal 5 %, and this test rejects 3 to 8 % (400 grids). Cells that are equal at their best rates but differ
in these rates or in their noise are not exchangeable. This test rejects 0 to 10 % of such grids, and the F distribution
6 to 35 % (benchmarks/any_difference.md).

Sources: Fisher, The Design of Experiments, 1935; Pitman, Biometrika 29 (1938), 322-335, for blocks.
"""

import numpy as np

__all__ = ["NUM_DRAWS", "any_difference", "at_chosen_rates"]

NUM_DRAWS = 999
"""Number of random exchanges: the smallest p-value is .001, and a p-value of .05 has a standard error of .007."""

NUMBERS_AT_ONCE = 2_000_000
"""Number of exchanged runs in memory at once: 16 MB."""

ROUNDING = 1e-9
"""Two values of F are equal if their relative difference is smaller."""


def any_difference(judged: np.ndarray, chosen_by: np.ndarray, seed: int, draws: int = NUM_DRAWS) -> float:
    """Return the p-value of the hypothesis that all cells of a grid are equal.

    Args:
        judged: outcome of the runs, (cell, learning rate, seed); NaN where a run is missing.
        chosen_by: score by which a rate is chosen, (cell, learning rate, seed); smaller is better.
        seed: seed of the exchanges.
        draws: number of exchanges.

    Returns:
        NaN for fewer than two cells or seeds, if a cell has no run of a seed at any rate, or if all runs are equal.
    """
    num_cells, _, num_seeds = judged.shape
    judged, chosen_by = _without_gaps(judged, chosen_by)
    if num_cells < 2 or num_seeds < 2 or np.isnan(judged).any():
        return np.nan
    observed = _f_statistic(at_chosen_rates(judged, chosen_by))
    if np.isnan(observed):
        return np.nan
    generator = np.random.default_rng([seed, *b"any difference"])
    exceeding, remaining = 0, draws
    while remaining:
        number = min(remaining, max(1, NUMBERS_AT_ONCE // judged.size))
        order = generator.random((number, num_cells, 1, num_seeds)).argsort(1)
        exchanged = (np.take_along_axis(values[None], order, 1) for values in (judged, chosen_by))
        statistics = _f_statistic(at_chosen_rates(*exchanged))
        exceeding += int((statistics >= observed * (1 - ROUNDING)).sum())
        remaining -= number
    return (1 + exceeding) / (1 + draws)


def at_chosen_rates(judged: np.ndarray, chosen_by: np.ndarray) -> np.ndarray:
    """Return every run at the best learning rate of its cell, (.., cell, seed).

    It is the mean of the run at the rate that all seeds choose and of the run at the rate that the other half of the
    seeds chooses, see `hornlib.statistics.influence.at_best_learning_rate`.

    Args:
        judged: outcome of the runs, (.., cell, learning rate, seed).
        chosen_by: score by which a rate is chosen, of the same shape; smaller is better.
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
    """Replace a missing run by the worst rate of its cell and seed, so that its rate does not seem too good."""
    is_missing = np.isnan(judged) | np.isnan(chosen_by)
    if not is_missing.any():
        return judged, chosen_by
    worst = np.where(is_missing, -np.inf, chosen_by).argmax(1)[:, None]
    filled = (
        np.where(is_missing, np.take_along_axis(values, worst, 1), values) for values in (judged, chosen_by)
    )
    return next(filled), next(filled)


def _f_statistic(runs: np.ndarray) -> np.ndarray:
    """Return F of runs (.., cell, seed); infinite without noise, NaN where all runs are equal."""
    num_cells, num_seeds = runs.shape[-2:]
    of_cells = runs.mean(-1, keepdims=True)
    mean = of_cells.mean(-2, keepdims=True)
    residuals = runs - of_cells - runs.mean(-2, keepdims=True) + mean
    between = num_seeds * ((of_cells - mean) ** 2).sum((-2, -1)) / (num_cells - 1)
    within = (residuals**2).sum((-2, -1)) / ((num_cells - 1) * (num_seeds - 1))
    smallest = 1e-24 * (runs**2).mean((-2, -1))  # a smaller sum of squares is a rounding error
    between, within = (np.where(part > smallest, part, 0.0) for part in (between, within))
    with np.errstate(divide="ignore", invalid="ignore"):
        return between / within
