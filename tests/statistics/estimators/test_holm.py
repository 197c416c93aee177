"""Holm's correction against its definition."""

import numpy as np
import pytest
from scipy import stats

from hornlib.statistics.estimators.holm import agreeing, holm


def test_a_worked_example():
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])


def test_a_missing_test_does_not_count():
    adjusted = holm(np.array([0.01, np.nan, 0.03]))
    assert np.isnan(adjusted[1]) and adjusted[[0, 2]] == pytest.approx([0.02, 0.03])


def test_it_lies_between_no_correction_and_bonferronis():
    p = np.random.default_rng(0).random(20) ** 3
    adjusted = holm(p)
    assert (adjusted >= p).all() and (adjusted <= np.minimum(20 * p, 1) + 1e-15).all()
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()


def test_false_claims_among_independent_tests_stay_at_alpha():
    p = stats.uniform.rvs(size=(2000, 5), random_state=0)
    false = np.mean([(holm(row) <= 0.05).any() for row in p])
    assert false <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)


def test_families_stand_side_by_side():
    p = np.array([[0.01, 0.5], [0.04, np.nan], [0.03, 0.02]])
    expected = np.array([[0.03, 0.5], [0.06, np.nan], [0.06, 0.04]])
    np.testing.assert_allclose(holm(p), expected)


def test_intervals_agree_with_the_tests_and_change_nowhere_else():
    low, high = np.array([-0.5, -0.1, 0.2, -0.3]), np.array([0.1, 0.4, 0.6, 0.2])
    rejected = np.array([True, True, True, False])
    lows, highs = agreeing(low, high, rejected)
    assert lows.tolist() == [-0.5, 0.0, 0.2, -0.3] and highs.tolist() == [0.0, 0.4, 0.6, 0.2]


@pytest.mark.parametrize("true", [(0.0, 0.0, 0.0), (1.2, 0.0, 0.0), (1.0, 1.0, 1.0), (3.0, 3.0, 0.3)])
def test_the_intervals_of_a_family_hold_all_truths_at_once_as_often_as_they_say(true):
    """Simultaneous but for the ends that stand at 0, which Holm's test bounds."""
    from hornlib.statistics.estimators.paired_t import paired_t

    number = 4000
    draws = np.random.default_rng(4).normal(np.array(true)[:, None, None], 1, (3, number, 8))
    found = paired_t(draws)
    adjusted = holm(found.p_value())
    bonferroni = found.interval(0.05 / 3)
    low, high = agreeing(*bonferroni, adjusted <= 0.05)
    truth = np.array(true)[:, None]
    slack = 3 * np.sqrt(0.05 * 0.95 / number)
    missed = ((bonferroni[0] > truth) | (bonferroni[1] < truth)).any(0)
    assert missed.mean() <= 0.05 + slack
    wrong = ((adjusted <= 0.05) & (truth == 0)).any(0)
    assert wrong.mean() <= 0.05 + slack
    # the ends that were moved miss only where Holm's test has rejected wrongly, or in the wrong direction
    moved_missed = ((low > truth) | (high < truth)).any(0) & ~missed
    assert (moved_missed <= (wrong | (np.sign(found.mean) != np.sign(truth)).any(0))).all()
    assert (((low >= 0) | (high <= 0)) == (adjusted <= 0.05)).all()
