"""Rank correlations against scipy, their parts, and the overlap of the top."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hornlib.importance.agreement import kendall, rank_parts, spearman, top_overlap

NUMBERS = st.integers(-5, 5).map(float)
PAIRS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=10, max_size=60)


@given(pairs=PAIRS)
def test_correlations_are_scipys_with_ties_too(pairs):
    scores, importance = np.array(pairs).T
    constant = np.ptp(scores) == 0 or np.ptp(importance) == 0
    for ours, theirs in ((spearman, stats.spearmanr), (kendall, stats.kendalltau)):
        value = ours(scores, importance)
        if constant:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(theirs(scores, importance).statistic, abs=1e-12)


@given(pairs=PAIRS, split=st.integers(0, 60))
def test_the_parts_of_a_pooled_correlation_add_up_to_it(pairs, split):
    scores, importance = np.array(pairs).T
    layers = (np.arange(len(scores)) >= split).astype(int)
    parts = rank_parts(scores, importance, layers)
    assert parts.within + parts.between == pytest.approx(spearman(scores, importance), abs=1e-12, nan_ok=True)


def test_layers_of_different_scale_give_a_correlation_from_between_them_alone():
    noise = np.random.default_rng(0)
    layers = np.repeat([0, 1], 500)
    scores, importance = (noise.random(1000) + 10 * layers for _ in range(2))
    parts = rank_parts(scores, importance, layers)
    assert parts.between == pytest.approx(0.75, abs=0.01)  # of ranks in two halves
    assert abs(parts.within) < 0.02 and abs(spearman(scores[:500], importance[:500])) < 0.1


def test_there_is_no_correlation_of_few_connections_or_of_numbers_that_are_not_finite():
    few, many = np.arange(9.0), np.arange(10.0)
    assert np.isnan(spearman(few, few)) and np.isnan(top_overlap(few, few))
    assert spearman(many, many) == pytest.approx(1) and kendall(many, many) == pytest.approx(1)
    assert np.isnan(spearman(np.where(many > 8, np.nan, many), many))


def test_the_overlap_is_the_share_of_common_members_of_both_top_tenths():
    importance = np.arange(40.0)  # the top is 36 to 39
    scores = importance.copy()
    assert top_overlap(scores, importance) == 1
    scores[[36, 37]] = -1.0  # 34 and 35 take their places
    assert top_overlap(scores, importance) == pytest.approx(2 / 6)
    assert top_overlap(-importance, importance) == 0
