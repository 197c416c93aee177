"""Ranks by two objectives agree with their definition, written as plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hornlib.evolution.ranking import crowding_distances, front_numbers, ranked

# few distinct values, so that ties and equal points occur
objectives_of_points = arrays(
    float, st.tuples(st.integers(1, 25), st.just(2)), elements=st.integers(0, 6).map(float)
)


def dominates(first, second):
    return all(a >= b for a, b in zip(first, second, strict=True)) and tuple(first) != tuple(second)


def plain_fronts(objectives):
    left, fronts = set(range(len(objectives))), [None] * len(objectives)
    front = 0
    while left:
        best = {p for p in left if not any(dominates(objectives[q], objectives[p]) for q in left)}
        for point in best:
            fronts[point] = front
        left -= best
        front += 1
    return fronts


@given(objectives_of_points)
def test_fronts_are_what_no_point_dominates_when_earlier_fronts_are_gone(objectives):
    assert front_numbers(objectives).tolist() == plain_fronts(objectives)


def test_crowding_is_the_distance_of_the_neighbours_and_infinite_at_the_ends():
    points = np.array([[0.0, 10.0], [4.0, 0.0], [1.0, 6.0], [2.0, 5.0]])
    # objective 1: order 0, 2, 3, 1 and range 4; objective 2: order 1, 3, 2, 0 and range 10
    expected = [np.inf, np.inf, (2 - 0) / 4 + (10 - 5) / 10, (4 - 1) / 4 + (6 - 0) / 10]
    assert crowding_distances(points) == pytest.approx(expected)
    assert not np.isnan(crowding_distances(np.zeros((4, 2)))).any()  # an objective without range


@given(objectives_of_points)
def test_ranks_go_by_front_and_within_a_front_from_the_least_crowded(objectives):
    order, fronts = ranked(objectives), front_numbers(objectives)
    assert sorted(order.tolist()) == list(range(len(objectives)))
    assert (np.diff(fronts[order]) >= 0).all()
    for front in set(fronts.tolist()):
        members = np.flatnonzero(fronts == front)
        crowding = dict(zip(members.tolist(), crowding_distances(objectives[members]), strict=True))
        in_order = [crowding[point] for point in order.tolist() if point in crowding]
        assert in_order == sorted(in_order, reverse=True)


def test_the_best_in_both_objectives_is_first():
    assert ranked(np.array([[1.0, 2.0], [5.0, 5.0], [0.0, 4.0]]))[0] == 1
