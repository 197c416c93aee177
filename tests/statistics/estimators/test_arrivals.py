"""Newcombe's interval of a difference of shares against published values, and the test that it inverts."""

import numpy as np
import pytest
from scipy import stats

from hornlib.statistics.estimators.arrivals import newcombe_interval, newcombe_p


@pytest.mark.parametrize(
    ("first", "second", "number", "expected"),
    [
        (10, 0, 10, (0.6075, 1.0)),  # Newcombe 1998, table II, case (g): 10/10 - 0/10
        (10, 0, 20, None),
        (7, 7, 10, None),
    ],
)
def test_limits(first, second, number, expected):
    low, high = newcombe_interval(np.array(first), np.array(second), np.array(number), 0.05)
    wilson = [stats.binomtest(k, number).proportion_ci(method="wilson") for k in (first, second)]
    p, q = first / number, second / number
    by_hand = (
        p - q - np.hypot(p - wilson[0].low, wilson[1].high - q),
        p - q + np.hypot(wilson[0].high - p, q - wilson[1].low),
    )
    assert (low, high) == pytest.approx(by_hand)
    if expected:
        assert (low, high) == pytest.approx(expected, abs=5e-4)


def test_the_p_value_is_where_the_interval_begins_to_exclude_0():
    first, second = np.meshgrid(np.arange(11), np.arange(11))
    p = newcombe_p(first, second, np.full(first.shape, 10))
    for alpha in (0.2, 0.05, 0.01):
        bound = newcombe_interval(first, second, np.full(first.shape, 10), alpha)
        excluded = (bound[..., 0] > 0) | (bound[..., 1] < 0)
        assert (excluded == (p < alpha)).all()
    assert (p[first == second] == 1).all() and (p == p.T).all()


def test_without_runs_there_is_neither():
    nothing = np.array(0)
    assert np.isnan(newcombe_p(nothing, nothing, nothing))
    assert np.isnan(newcombe_interval(nothing, nothing, nothing, 0.05)).all()
