"""Holm's correction against its definition."""

import numpy as np
import pytest
from scipy import stats

from hornlib.statistics.holm import holm


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
