"""Effects against scipy and closed forms, their intervals' coverage, and the words for them."""

import math

import numpy as np
import pytest
from scipy import stats

from hornlib.mechanism.effects import (
    Effect,
    paired_difference,
    paired_ratio,
    rank_correlation,
    said,
    said_by_verdict,
    time_ratio,
)


def test_a_paired_ratio_is_the_geometric_mean_and_inverts_with_its_bounds():
    rng = np.random.default_rng(0)
    first, second = rng.lognormal(size=8), rng.lognormal(size=8)
    found, inverse = paired_ratio(first, second), paired_ratio(second, first)
    assert found.estimate == pytest.approx(stats.gmean(first) / stats.gmean(second))
    assert (1 / found.high, 1 / found.low) == pytest.approx(inverse[1:3])
    assert found.num == 8


def test_pairs_with_a_gap_are_left_out():
    gaps = np.array([1.0, np.nan, 3.0, 5.0])
    assert paired_difference(gaps, np.array([0.0, 1.0, np.nan, 1.0])).num == 2
    assert time_ratio(gaps, np.ones(4))[3] == 3
    nothing = paired_difference(np.full(3, np.nan), np.ones(3))
    assert nothing.num == 0 and math.isnan(nothing.estimate)


def test_a_time_ratio_is_that_of_restricted_means():
    rng = np.random.default_rng(1)
    first, second = rng.lognormal(3, 0.3, 9), rng.lognormal(3.2, 0.3, 9)
    found = time_ratio(first, second)
    assert found.estimate == pytest.approx(first.mean() / second.mean())
    assert found.low < found.estimate < found.high and found.num == 9
    assert math.isnan(time_ratio(first[:4], second[:4]).low)


def test_runs_that_fall_on_the_same_evaluations_are_not_without_error():
    first, second, lengths = np.full(8, 50.0), np.full(8, 40.0), np.full(8, 10.0)
    found = time_ratio(first, second, (lengths, lengths))
    assert found.low < 1.25 < found.high
    finer = time_ratio(first, second, (lengths / 10, lengths / 10))
    assert found.low < finer.low < 1.25 < finer.high < found.high


def test_a_rank_correlation_is_scipys_and_needs_four_points_that_differ():
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=12), rng.normal(size=12)
    found = rank_correlation(first, second)
    assert found.estimate == pytest.approx(stats.spearmanr(first, second).statistic)
    assert -1 < found.low < found.estimate < found.high < 1
    assert math.isnan(rank_correlation(first[:3], second[:3]).estimate)
    assert math.isnan(rank_correlation(first, np.ones(12)).estimate)
    order = np.arange(6.0)
    perfect = rank_correlation(order, order)
    assert perfect.estimate == pytest.approx(1) and 0 < perfect.low <= 1


@pytest.mark.parametrize(("num", "correlation"), [(8, 0.0), (8, 0.7), (20, 0.5)])
def test_the_interval_of_a_rank_correlation_covers_93_percent(num, correlation):
    rng = np.random.default_rng(3)
    truth = 6 / math.pi * math.asin(correlation / 2)  # of two normal variables
    covered = 0
    for _ in range(1500):
        first = rng.normal(size=num)
        second = correlation * first + math.sqrt(1 - correlation**2) * rng.normal(size=num)
        found = rank_correlation(first, second)
        covered += found.low <= truth <= found.high
    assert covered / 1500 >= 0.93


def test_words_follow_the_interval_and_few_seeds_say_nothing():
    words = ("smaller", "larger")
    assert Effect(0.5, 0.4, 0.6, 9).verdict(1, *words) == "smaller"
    assert Effect(2, 1.5, 3, 9).verdict(1, *words) == "larger"
    assert Effect(1, 0.8, 1.2, 9).verdict(1, *words) == "not distinguished from 1"
    assert "not enough data (n = 6" in Effect(0.5, 0.4, 0.6, 6).verdict(1, *words)
    assert not Effect(0.5, 0.4, 0.6, 6).differs(1) and Effect(0.5, 0.4, 0.6, 7).differs(1)
    assert said(Effect(0.5, 0.4, 0.6, 9)) == "0.5 [0.4, 0.6] (n = 9 seeds)"
    several = {"a": Effect(0.5, 0.4, 0.6, 9), "b": Effect(1, 0.8, 1.2, 8), "c": Effect(0.7, 0.6, 0.9, 9)}
    assert said_by_verdict(several, 1, *words) == (
        "n = 8 to 9 seeds; smaller: a 0.5 [0.4, 0.6], c 0.7 [0.6, 0.9]; not distinguished from 1: b 1 [0.8, 1.2]"
    )
    assert said(Effect(math.nan, math.nan, math.nan, 0), "cells") == "not known (n = 0 cells)"
