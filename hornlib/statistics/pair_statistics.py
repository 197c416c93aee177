"""The statistics of every unordered pair of contenders: mean log ratios, tests and sensitivity checks."""

from typing import NamedTuple

import numpy as np

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.statistics.arithmetic_means import log_ratio_of_means
from hornlib.statistics.estimators.arrivals import newcombe_p
from hornlib.statistics.estimators.paired_t import PairedT, in_order_sum, paired_t
from hornlib.statistics.pairs import Pairs, Side

__all__ = ["TWO_PARTS", "PairStatistics", "pair_statistics"]

TWO_PARTS = 2
"""Number of tests of a two-part statement: the share of runs that arrived, and the cost of these runs."""


class PairStatistics(NamedTuple):
    """The statistics of every unordered pair: arrays (pair, target, axis), logarithms of the first over the second.

    Attributes:
        differences: log ratio of restricted costs of every pair of runs, (.., seed).
        whole: mean log ratio over all pairs of runs.
        arrived: mean log ratio over the pairs of runs that both arrived.
        num_first, num_second: numbers of runs that arrived.
        two_part: whether some, but not all, runs of an arm diverged.
        p_value: p-value of the single test, or of the two parts together.
        favours: -1 if the first is cheaper, 1 if the second is cheaper, 0 for neither.
        by_share: whether the shares decide a two-part statement; otherwise the costs do.
        log_means: log ratio of arithmetic means.
        log_means_bound: its interval, (.., 2).
        log_expected: log ratio of expected costs.
    """

    differences: np.ndarray
    whole: PairedT
    arrived: PairedT
    num_first: np.ndarray
    num_second: np.ndarray
    two_part: np.ndarray
    p_value: np.ndarray
    favours: np.ndarray
    by_share: np.ndarray
    log_means: np.ndarray
    log_means_bound: np.ndarray
    log_expected: np.ndarray


def pair_statistics(pairs: Pairs, settings: StatisticsSettings) -> PairStatistics:
    """Return the statistics of every unordered pair, which the ratios in both directions share.

    Args:
        pairs: from `hornlib.statistics.pairs.pairs_on`.
        settings: targets, bootstrap draws, alpha.
    """
    first, second = pairs.first, pairs.second
    with np.errstate(divide="ignore", invalid="ignore"):
        differences = np.log(first.restricted) - np.log(second.restricted)
        errors = (first.resolution / first.restricted) ** 2 + (second.resolution / second.restricted) ** 2
    counts = np.isfinite(differences)
    number = counts.sum(-1)
    whole = paired_t(differences, _rounding(errors, counts))
    both = first.arrived & second.arrived
    arrived = paired_t(np.where(both, differences, np.nan), _rounding(errors, both))
    num_first, num_second = first.arrived.sum(-1), second.arrived.sum(-1)
    two_part = _some_diverged(first, number) | _some_diverged(second, number)
    p_parts, favoured_parts, by_share = _two_part_test(whole, arrived, num_first, num_second)
    informative = num_first + num_second > 0
    p_value = np.where(informative, np.where(two_part, p_parts, whole.p_value()), np.nan)
    favours = np.where(two_part, favoured_parts, np.nan_to_num(np.sign(whole.mean)))
    headline = settings.all_targets().index(settings.target)
    at_headline = np.zeros(informative.shape, bool)
    at_headline[:, headline] = True
    log_means, bounds = log_ratio_of_means(
        first.restricted,
        second.restricted,
        first.resolution,
        second.resolution,
        informative,
        settings,
        at_headline,
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = [np.log(np.nansum(side.spent, -1) / side.hit.sum(-1)) for side in (first, second)]
        log_expected = expected[0] - expected[1]
    return PairStatistics(
        differences,
        whole,
        arrived,
        num_first,
        num_second,
        two_part,
        p_value,
        favours,
        by_share,
        log_means,
        bounds,
        log_expected,
    )


def _some_diverged(side: Side, number: np.ndarray) -> np.ndarray:
    """Return whether some, but not all, of `number` runs diverged, (pair, target, axis)."""
    diverged = side.diverged.sum(-1)
    return (diverged > 0) & (diverged < number)


def _two_part_test(
    whole: PairedT, arrived: PairedT, num_first: np.ndarray, num_second: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the p-value of shares and costs together, the side that they favour, and whether the shares decide.

    The part with the smaller p-value decides. If the two parts point in different directions, the restricted costs of
    all runs must agree with the deciding part: they must favour the same side, and their own test must reject, too. An
    arm that is a little faster when it arrives, but sometimes diverges, is so not shown to be cheaper.

    Args:
        whole: mean log ratio over all pairs of runs, in which a divergence costs the budget.
        arrived: mean log ratio over the pairs that both arrived.
        num_first, num_second: numbers of runs that arrived, (pair, target, axis).
    """
    p_share, p_cost = (
        newcombe_p(num_first, num_second, whole.number),
        np.nan_to_num(arrived.p_value(), nan=1.0),
    )
    by_share = p_share < p_cost
    direction = np.where(by_share, np.sign(num_second - num_first), np.sign(np.nan_to_num(arrived.mean)))
    opposed = direction * np.nan_to_num(whole.mean) < 0
    p_value = np.where(opposed, 1.0, np.minimum(1.0, TWO_PARTS * np.fmin(p_share, p_cost)))
    apart = np.sign(num_second - num_first) * np.sign(np.nan_to_num(arrived.mean)) < 0
    p_value = np.where(apart, np.maximum(p_value, np.nan_to_num(whole.p_value(), nan=1.0)), p_value)
    return np.where(whole.number > 0, p_value, np.nan), np.where(opposed, 0.0, direction), by_share


def _rounding(errors: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the variance of a mean log ratio from rounding up to evaluations: (r / T)^2 / 12 for each event.

    Args:
        errors: (r / T)^2 of both runs of every pair, (.., seed).
        counts: whether the pair counts, (.., seed).
    """
    number = counts.sum(-1)
    return in_order_sum(np.where(counts, errors, 0.0)) / 12 / np.maximum(number, 1) ** 2
