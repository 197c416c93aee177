"""The paired t-test against scipy's, and what rounding changes."""

import numpy as np
import pytest
from scipy import stats

from hornlib.statistics.paired_t import paired_t_p


@pytest.mark.parametrize("num_pairs", [2, 7, 15])
def test_without_rounding_it_is_scipys(num_pairs):
    a, b = np.random.default_rng(num_pairs).normal([[[0.4]], [[0.0]]], 1, (2, 6, num_pairs))
    assert paired_t_p(a - b) == pytest.approx(stats.ttest_rel(a, b, axis=1).pvalue)


def test_equal_differences_are_no_certainty_once_rounding_is_counted():
    differences = np.full((1, 7), 0.1)
    assert paired_t_p(differences) == 0
    assert paired_t_p(differences, 0.1**2) == pytest.approx(2 * stats.t.sf(1, 6))


def test_pairs_without_a_difference_give_no_evidence():
    assert paired_t_p(np.zeros((1, 8))) == 1


def test_ties_do_not_break_its_size():
    times = 100 * np.exp(0.05 * np.random.default_rng(0).standard_normal((2, 4000, 7)))
    grid = np.round(10 ** (np.arange(37) / 12))
    index = np.searchsorted(grid, times)
    rounded, length = grid[index], grid[index] - grid[index - 1]
    error = ((length / rounded) ** 2).sum((0, 2)) / 12 / 49
    p = paired_t_p(np.log(rounded[0] / rounded[1]), error)
    assert (p <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)
