"""The level of a look: published constants, the overall error of the product's test, and its power."""

import numpy as np
import pytest
from scipy import stats

from hornlib.statistics.estimators.holm import holm
from hornlib.statistics.estimators.paired_t import paired_t
from hornlib.statistics.estimators.pocock import look_level

LOOKS = (7, 10, 15, 20)


def decided_at(logs, looks, level):
    """Return the number of seeds at the first look whose test rejects (0: none), by draw, and on which side."""
    first, side = np.zeros(len(logs), int), np.zeros(len(logs))
    for number in looks:
        test = paired_t(logs[:, :number])
        rejected = (test.p_value() <= level) & (first == 0)
        first[rejected], side[rejected] = number, np.sign(test.mean[rejected])
    return first, side


def draws(num_draws, sd=0.25, ratio=1.0, seed=0):
    """Return paired log ratios, (draw, seed); each arm's log cost has the standard deviation."""
    random = np.random.default_rng(seed)
    return random.normal(-np.log(ratio), np.sqrt(2) * sd, (num_draws, LOOKS[-1]))


@pytest.mark.parametrize(("num_looks", "published"), [(2, 0.0294), (3, 0.0221), (4, 0.0182), (5, 0.0158)])
def test_with_many_seeds_it_is_pococks_constant(num_looks, published):
    looks = [1000 * (number + 1) for number in range(num_looks)]
    assert look_level(looks) == pytest.approx(published, abs=0.0004)


def test_one_look_needs_no_correction():
    assert look_level([10]) == pytest.approx(0.05, abs=0.0005)


def test_four_looks_err_together_between_4_9_and_5_2_percent():
    first, _ = decided_at(draws(200_000, seed=1), LOOKS, look_level(LOOKS))
    assert 0.049 <= (first > 0).mean() <= 0.052


@pytest.mark.parametrize(
    ("sd", "power", "mean_seeds", "fixed_10"), [(0.25, 0.99, 9.9, 0.90), (0.35, 0.87, 13.3, 0.65)]
)
def test_power_and_mean_number_of_seeds_at_a_ratio_of_1_5_have_their_known_values(
    sd, power, mean_seeds, fixed_10
):
    logs = draws(20_000, sd, 1.5)
    first, side = decided_at(logs, LOOKS, look_level(LOOKS))
    assert ((first > 0) & (side < 0)).mean() == pytest.approx(power, abs=0.01)
    assert np.where(first > 0, first, LOOKS[-1]).mean() == pytest.approx(mean_seeds, abs=0.2)
    fixed = stats.ttest_1samp(logs[:, :10], 0, axis=1).pvalue <= 0.05
    assert fixed.mean() == pytest.approx(fixed_10, abs=0.025)


@pytest.mark.parametrize("num_tests", [2, 5])
def test_the_level_keeps_the_error_of_a_family_under_holms_correction(num_tests):
    level = look_level(LOOKS, num_tests=num_tests)
    random = np.random.default_rng(num_tests)
    logs = random.normal(0, 1, (num_tests, 60_000, LOOKS[-1]))
    wrong = np.zeros(logs.shape[1], bool)
    for number in LOOKS:
        wrong |= (holm(paired_t(logs[..., :number]).p_value()) <= level).any(0)
    assert 0.045 <= wrong.mean() <= 0.0515


def test_the_level_per_test_falls_faster_than_the_overall_level():
    shares = [look_level(LOOKS, num_tests=number) for number in (1, 2, 3, 10)]
    assert shares == sorted(shares, reverse=True)


def test_it_is_the_same_in_every_call_and_keeps_to_the_first_looks_of_a_longer_plan():
    assert look_level(LOOKS) == look_level(list(LOOKS))
    assert look_level((7, 10)) > look_level((7, 10, 15)) > look_level(LOOKS)
