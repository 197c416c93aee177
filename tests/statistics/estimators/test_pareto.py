"""Fronts: hand cases, and properties against a walk over all pairs."""

import numpy as np
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from hornlib.statistics.estimators.pareto import non_dominated


def front(cost, quality, group=None):
    dims = ("contender",)
    labels = [f"c{index}" for index in range(len(cost))]
    arrays = (
        xr.DataArray(np.array(own), {"contender": labels}, dims)
        for own in (np.array(cost, float), np.array(quality, float), group or ["a"] * len(cost))
    )
    return non_dominated(*arrays).values.tolist()


def test_only_what_nobody_beats_is_on_the_front():
    assert front([1, 2, 3, 3], [0.5, 0.8, 0.7, 0.9]) == [1, 1, 0, 1]


def test_equal_contenders_share_their_place():
    assert front([1, 1, 2, 2], [0.5, 0.5, 0.5, 0.4]) == [1, 1, 0, 0]


def test_at_equal_cost_only_the_best_stays_and_at_equal_quality_only_the_cheapest():
    assert front([1, 1, 2], [0.5, 0.6, 0.6]) == [0, 1, 0]


def test_groups_do_not_compete():
    assert front([1, 2, 1, 2], [0.9, 0.1, 0.1, 0.9], ["a", "a", "b", "b"]) == [1, 0, 1, 1]


def test_the_unknown_is_on_no_front_and_beats_nobody():
    assert front([np.nan, 2, 1], [0.9, 0.5, np.nan]) == [0, 1, 0]
    assert front([np.nan], [0.9]) == [0]


POINTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12)


def beats(one, other):
    return one[0] <= other[0] and one[1] >= other[1] and one != other


@settings(max_examples=40)
@given(POINTS)
def test_it_agrees_with_a_walk_over_all_pairs(points):
    found = front(*zip(*points, strict=True))
    assert found == [int(not any(beats(other, own) for other in points)) for own in points]


@settings(max_examples=40)
@given(POINTS)
def test_somebody_is_on_the_front_and_beats_everybody_who_is_not(points):
    found = front(*zip(*points, strict=True))
    best = [own for own, on in zip(points, found, strict=True) if on]
    assert best
    assert all(any(beats(one, own) for one in best) for own, on in zip(points, found, strict=True) if not on)


@settings(max_examples=40)
@given(POINTS, st.integers(1, 5))
def test_units_of_cost_do_not_matter(points, factor):
    cost, quality = zip(*points, strict=True)
    assert front(cost, quality) == front([factor * own for own in cost], quality)
