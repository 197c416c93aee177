"""The paired t-test and its interval against scipy's, and what rounding changes."""

import numpy as np
import pytest
from scipy import stats

from hornlib.statistics.estimators.paired_t import paired_t


@pytest.mark.parametrize("num_pairs", [2, 7, 15])
def test_without_rounding_it_is_scipys(num_pairs):
    a, b = np.random.default_rng(num_pairs).normal([[[0.4]], [[0.0]]], 1, (2, 6, num_pairs))
    assert paired_t(a - b).p_value() == pytest.approx(stats.ttest_rel(a, b, axis=1).pvalue)


def test_the_interval_is_scipys_and_missing_pairs_do_not_count():
    differences = np.random.default_rng(1).normal(0.3, 1, (5, 9))
    low, high = paired_t(differences).interval(0.1)
    expected = [stats.ttest_1samp(row, 0).confidence_interval(0.9) for row in differences]
    assert np.column_stack([low, high]) == pytest.approx(np.array(expected))
    gaps = np.insert(differences, [2, 5], np.nan, axis=1)
    assert paired_t(gaps).interval(0.1)[0] == pytest.approx(low)
    assert paired_t(gaps).p_value() == pytest.approx(paired_t(differences).p_value())


@pytest.mark.parametrize("alpha", [0.05, 0.0123])
def test_the_interval_holds_0_if_and_only_if_the_test_does_not_reject(alpha):
    differences = np.random.default_rng(2).normal(0.7, 1, (500, 7))
    found = paired_t(differences, np.random.default_rng(3).random(500) * 0.2)
    low, high = found.interval(alpha)
    assert ((low > 0) | (high < 0)).tolist() == (found.p_value() < alpha).tolist()


def test_fewer_than_two_pairs_have_no_test():
    found = paired_t(np.array([[0.5, np.nan], [np.nan, np.nan]]))
    assert np.isnan(found.p_value()).all() and np.isnan(found.interval(0.05)).all()
    assert found.mean[0] == 0.5 and np.isnan(found.mean[1])


def test_equal_differences_are_no_certainty_once_rounding_is_counted():
    differences = np.full((1, 7), 0.1)
    assert paired_t(differences).p_value() == 0
    assert paired_t(differences, 0.1**2).p_value() == pytest.approx(2 * stats.t.sf(1, 6))


def test_pairs_without_a_difference_give_no_evidence():
    assert paired_t(np.zeros((1, 8))).p_value() == 1


def test_ties_do_not_break_its_size():
    times = 100 * np.exp(0.05 * np.random.default_rng(0).standard_normal((2, 4000, 7)))
    grid = np.round(10 ** (np.arange(37) / 12))
    index = np.searchsorted(grid, times)
    rounded, length = grid[index], grid[index] - grid[index - 1]
    error = ((length / rounded) ** 2).sum((0, 2)) / 12 / 49
    p = paired_t(np.log(rounded[0] / rounded[1]), error).p_value()
    assert (p <= 0.05).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)
