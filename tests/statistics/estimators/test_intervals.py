"""Intervals of ratios of means: equivariance, known limits, and coverage."""

import numpy as np
import pytest
from scipy import stats

from hornlib.statistics.estimators.intervals import (
    by_pattern,
    log_ratio_interval,
    mean_interval,
    resampling_weights,
)


def pairs(num_rows, num_pairs, sd=0.3, seed=0):
    """Return two arrays of lognormal times."""
    return np.exp(sd * np.random.default_rng(seed).standard_normal((2, num_rows, num_pairs)))


def test_draws_are_resamples_and_the_same_at_every_call():
    weights = resampling_weights(1000, 6, seed=3)
    assert np.allclose(weights.sum(1), 1) and np.allclose(weights * 6 % 1, 0)
    assert (weights == resampling_weights(1000, 6, seed=3)).all()
    assert (weights != resampling_weights(1000, 6, seed=4)).any()


def test_the_interval_of_a_ratio_matches_a_plain_loop_over_draws():
    (a,), (b,) = pairs(1, 8)
    weights = resampling_weights(2000, 8, seed=0)

    def studied(x, y):
        residuals = x / x.mean() - y / y.mean()
        return np.log(x.mean() / y.mean()), np.sqrt((residuals**2).sum() / (len(x) * (len(x) - 1)))

    theta, error = studied(a, b)
    t = []
    for draw in np.rint(weights * 8).astype(int):
        estimate, own = studied(np.repeat(a, draw), np.repeat(b, draw))
        if own > 1e-12:
            t.append((estimate - theta) / own)
        else:
            t.append(np.sign(estimate - theta) * np.inf if abs(estimate - theta) > 1e-12 else 0.0)
    half = error * max(np.sort(np.abs(t))[int(np.ceil(0.95 * 2001)) - 1], stats.t.ppf(0.975, 7))
    expected = theta - half, theta + half
    assert log_ratio_interval(a[None], b[None], weights, 0.05)[0] == pytest.approx(expected, rel=1e-9)


def test_the_interval_of_a_mean_matches_a_plain_loop_over_draws():
    (values,), _ = pairs(1, 6)
    weights = resampling_weights(2000, 6, seed=0)
    t = []
    for draw in np.rint(weights * 6).astype(int):
        own = np.repeat(values, draw)
        error = own.std(ddof=1) / np.sqrt(6)
        t.append(abs(own.mean() - values.mean()) / error if error > 1e-12 else np.inf)
    least = stats.t.ppf(0.975, 5)
    half = stats.sem(values) * max(np.sort(t)[int(np.ceil(0.95 * 2001)) - 1], least)
    assert mean_interval(values[None], weights, 0.05)[0] == pytest.approx(
        (values.mean() - half, values.mean() + half)
    )
    assert (mean_interval(np.ones((1, 6)), weights, 0.05) == 1).all()


def test_swapping_the_arms_turns_the_interval_around():
    a, b = pairs(5, 9)
    weights = resampling_weights(1000, 9, 0)
    there, back = log_ratio_interval(a, b, weights, 0.05), log_ratio_interval(b, a, weights, 0.05)
    assert np.allclose(there, -back[:, ::-1])


def test_units_cancel():
    a, b = pairs(5, 9)
    weights = resampling_weights(1000, 9, 0)
    plain = log_ratio_interval(a, b, weights, 0.05)
    assert np.allclose(plain, log_ratio_interval(1e9 * a, 1e9 * b, weights, 0.05))


def test_with_many_pairs_the_intervals_are_the_normal_ones():
    a, b = pairs(1, 2000)
    weights = resampling_weights(4000, 2000, 0)
    half = stats.norm.ppf(0.975)
    residuals = a / a.mean() - b / b.mean()
    width = 2 * half * residuals.std(ddof=1) / np.sqrt(2000)
    assert np.diff(log_ratio_interval(a, b, weights, 0.05)) == pytest.approx(width, rel=0.05)
    width = 2 * half * (a / a.mean()).std(ddof=1) / np.sqrt(2000)
    assert np.diff(log_ratio_interval(a, np.ones_like(a), weights, 0.05)) == pytest.approx(width, rel=0.05)
    assert np.diff(mean_interval(a / a.mean(), weights, 0.05)) == pytest.approx(width, rel=0.05)


def test_runs_that_all_fall_on_one_evaluation_still_leave_its_length_open():
    a, b = np.full((1, 8), 22.0), np.full((1, 8), 26.0)
    weights = resampling_weights(1000, 8, 0)
    assert np.ptp(log_ratio_interval(a, b, weights, 0.05)) == 0
    half = stats.t.ppf(0.975, 7) * np.sqrt(1e-3)
    found = log_ratio_interval(a, b, weights, 0.05, rounding=1e-3)[0] - np.log(22 / 26)
    assert found == pytest.approx((-half, half))


def test_rows_that_are_multiples_of_each_other_share_their_width():
    a, b = pairs(2, 9)
    weights = resampling_weights(1000, 9, 0)
    alone = log_ratio_interval(a[:1], b[:1], weights, 0.05)
    together = log_ratio_interval(np.vstack([a, 7 * a]), np.vstack([b, 3 * b]), weights, 0.05)
    assert together[[0]] == pytest.approx(alone)
    assert together[2] == pytest.approx(alone[0] + np.log(7 / 3))


def test_rows_are_grouped_by_what_is_known():
    known = np.array([[1, 1, 0], [1, 1, 1], [1, 1, 0]], bool)
    assert [(rows.tolist(), columns.tolist()) for rows, columns in by_pattern(known)] == [
        ([0, 2], [0, 1]),
        ([1], [0, 1, 2]),
    ]


@pytest.mark.parametrize("num_pairs", [5, 10])
def test_the_interval_of_a_ratio_covers(num_pairs):
    a, b = pairs(1000, num_pairs, sd=0.5)
    weights = resampling_weights(1000, num_pairs, 0)
    low, high = log_ratio_interval(a, b, weights, 0.05).T
    assert ((low <= 0) & (high >= 0)).mean() >= 0.93
