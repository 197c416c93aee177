"""How importance is distributed: known values of Gini's coefficient, signs, and the variance between layers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornlib.importance.concentration import (
    between_layers,
    gini,
    harmful_share,
    idle_share,
    mean_change,
    mean_size,
)
from hornlib.importance.measurement import LayerMeasurement
from hornlib.importance.networks import SPLITS
from hornlib.importance.summary import distribution_statistics


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


@given(
    rows=st.lists(
        st.tuples(st.integers(-5, 5), st.integers(0, 2), st.integers(1, 4)), min_size=1, max_size=20
    )
)
def test_integer_weights_are_repeated_numbers(rows):
    changes, layers, weights = np.array(rows).T
    repeated, layers_repeated = np.repeat(changes, weights), np.repeat(layers, weights)
    for measure in (gini, mean_change, mean_size, harmful_share, idle_share):
        np.testing.assert_allclose(measure(changes, weights), measure(repeated), atol=1e-12)
    np.testing.assert_allclose(
        between_layers(changes, layers, weights), between_layers(repeated, layers_repeated), atol=1e-12
    )


def test_the_variance_between_layers_is_that_of_the_ranks_of_scipy():
    from scipy.stats import rankdata

    draw = np.random.default_rng(0)
    changes, layers = draw.integers(-9, 9, 200), draw.integers(0, 3, 200)
    ranks = rankdata(np.abs(changes))
    means = np.array([ranks[layers == layer].mean() for layer in layers])
    assert between_layers(changes, layers) == pytest.approx(means.var() / ranks.var())
    assert np.isnan(between_layers(np.where(layers > 1, np.nan, changes), layers))


def layer_of(changes, judged, num_connections):
    """Return what is measured of a layer with the same changes on all examples."""
    return LayerMeasurement(
        "weight", np.arange(num_connections), np.asarray(judged), {}, dict.fromkeys(SPLITS, np.array(changes))
    )


def test_over_all_layers_a_judged_connection_stands_for_its_part_of_the_layer():
    sampled = layer_of([4.0, 0.0, -2.0], [1, 5, 7], 9)
    small = layer_of([1.0, -1.0], [0, 1], 2)
    pooled = distribution_statistics([sampled, small])
    everything = np.array([4.0, 0, -2] * 3 + [1, -1])
    measures = {"mean_importance": mean_size, "harmful_share": harmful_share, "idle_share": idle_share}
    for name, measure in {**measures, "gini": gini}.items():
        np.testing.assert_allclose(pooled[f"pooled_{name}"], measure(everything))
    np.testing.assert_allclose(
        pooled["between_layers"], between_layers(everything, np.repeat([0, 1], [9, 2]))
    )
    np.testing.assert_allclose(pooled["gini"][:, 0], gini(np.array([4.0, 0, -2])))
