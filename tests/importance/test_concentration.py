"""How importance is distributed: known values of Gini's coefficient, signs, and the variance between layers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornlib.importance.concentration import between_layers, gini, harmful_share, idle_share


def test_gini_of_equal_of_one_and_of_uniform_numbers():
    assert gini(np.ones(7)) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, -3.0])) == pytest.approx(3 / 4)
    assert gini(np.linspace(0, 1, 10_001)) == pytest.approx(1 / 3, abs=1e-3)
    assert np.isnan(gini(np.zeros(4))) and np.isnan(gini(np.empty(0)))


@given(
    numbers=st.lists(st.floats(-10, 10).filter(lambda number: abs(number) > 1e-3), min_size=1, max_size=30)
)
def test_gini_is_half_the_relative_mean_difference(numbers):
    sizes = np.abs(numbers)
    expected = np.abs(sizes[:, None] - sizes).mean() / (2 * sizes.mean())
    assert gini(np.array(numbers)) == pytest.approx(expected, abs=1e-12)


def test_shares_of_harmful_and_of_idle_connections():
    changes = np.array([-1.0, 0, 0, 0, 2])
    assert harmful_share(changes) == 0.2 and idle_share(changes) == 0.6
    assert np.isnan(harmful_share(np.empty(0))) and np.isnan(idle_share(np.empty(0)))


def test_the_variance_between_layers_is_none_or_all_of_it():
    layers = np.repeat([0, 1], 4)
    assert between_layers(np.array([1.0, 2, 3, 4] * 2), layers) == pytest.approx(0)
    assert between_layers(np.array([1.0] * 4 + [5.0] * 4), layers) == pytest.approx(1)
    assert np.isnan(between_layers(np.ones(8), layers))
