"""The headline estimator: the paired geometric ratio of restricted costs, with the interval that inverts its test."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.statistics.arithmetic_means import exponential, log_ratio_of_means
from hornlib.statistics.estimators.arrivals import newcombe_interval, newcombe_p
from hornlib.statistics.estimators.holm import agreeing, holm
from hornlib.statistics.estimators.intervals import FEWEST
from hornlib.statistics.estimators.paired_t import PairedT, in_order_sum, paired_t
from hornlib.statistics.estimators.student import BOUNDS
from hornlib.statistics.pairs import Pairs, Side

__all__ = ["compare"]

DIMS = ("contender", "rival", "target", "axis")

TWO_PARTS = 2
"""Tests of a two-part statement: the share of runs that arrived, and the cost of those that did."""

RATIO = (
    "paired geometric ratio of restricted costs: exp of the mean over seeds of log(min(T, budget) of the contender / "
    "min(T, budget) of the rival); a run that diverges or never reaches the target costs the budget of the pair"
)
INTERVAL = (
    "t interval of the mean log ratio, which inverts the test; simultaneous over the tests of Holm's family "
    "(level alpha / m; an end at 1 rests on Holm's test)"
)
TEST = "two-sided paired t-test of log restricted costs, with at least the variance of rounding up to evaluations"
TWO_PART_TEST = (
    f"{TEST}; where some runs of an arm diverged, twice the smaller p-value of two tests: of the shares of runs that "
    "arrived (Newcombe), and of the log costs of pairs that both arrived (t); where the two point apart, at least that "
    "of the restricted costs of all runs, and 1 where these favour the other arm"
)


class _Comparison(NamedTuple):
    """What is computed once for an unordered pair, (pair, target, axis); logarithms of first over second.

    Attributes:
        differences: of every pair of runs, restricted, (.., seed).
        whole: of all pairs of runs, restricted.
        arrived: of the pairs of runs that both arrived.
        num_first, num_second: arrivals among the pairs of runs.
        two_part: whether some, but not all, runs of an arm diverged.
        p_value: of the one test, or of the two parts.
        favours: -1 where the first is cheaper, 1 where the second is, 0 for neither.
        by_share: whether the p-value of a two-part statement is that of the shares, else of the costs.
        log_means: log ratio of arithmetic means, and its interval (.., 2).
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


def compare(
    pairs: Pairs,
    rivals: xr.DataArray,
    families: np.ndarray,
    axes: tuple[str, ...],
    settings: StatisticsSettings,
) -> xr.Dataset:
    """Return the ratio of every contender to each of its rivals, with interval and test.

    ratio = exp(mean_i log(R_i / R'_i)) with R_i = min(T_i, budget of the pair) over the seeds i that both have; below
    1 the contender is cheaper. NaN where neither arm reaches the target in any seed.

    Args:
        pairs: from `pairs_on`.
        rivals: from `rivals_of`.
        families: label of each contender; those of one label are one family of Holm's correction against each rival
            arm. An arm's cells on all datasets are one: each is a further chance to find a difference.
        axes: of cost, those of `pairs`.
        settings: targets, draws, alpha.

    Returns:
        On (contender, rival, target, axis):
        `ratio`, `ratio_bound`, `p_value`, `p_holm`; intervals are NaN below five pairs of runs, and where `two_part`.
        `pair_budget`, `arrived`, `rival_arrived` (runs that reached the target within it), `arrival_difference`
        and its bound (difference of the shares), `ratio_if_arrived` and its bound (of pairs that both arrived).
        `two_part`: 1 where some, but not all, runs of an arm diverged; there two statements stand for one interval.
        `favours`: 1 where the evidence favours the contender, -1 the rival, 0 neither.
        As sensitivity: `ratio_of_means` of restricted costs, with a bootstrap interval of this pair alone, and
        `ratio_of_expected_cost`, each arm's cost of all runs over its arrivals, up to its own budget.
        At the headline's target: `num_pairs` (contender, rival), the pairs known, in samples where they are, and
        `log_ratio` (contender, rival, axis, seed), the logarithm whose mean `ratio` is, with the error of that mean.
    """
    computed = _comparison(pairs, settings)
    contender, column = np.nonzero(rivals.values >= 0)
    rival = rivals.values[contender, column]
    place = {pair: index for index, pair in enumerate(map(tuple, pairs.rows.T.tolist()))}
    ordered = np.sort([contender, rival], axis=0).T.tolist()
    pair = np.array([place[one, other] for one, other in ordered], int)
    sign = np.where(contender < rival, 1.0, -1.0)[:, None, None]
    p_value = computed.p_value[pair]
    p_holm, family_size = _corrected(p_value, families[contender], column)
    enough = computed.whole.number[pair] >= FEWEST
    rejected = p_holm <= settings.alpha
    low, high = _ordered(computed.whole, pair, sign).interval(settings.alpha / family_size)
    low, high = agreeing(low, high, rejected)
    whole_interval = enough & ~computed.two_part[pair]
    arrivals, rival_arrivals = computed.num_first[pair], computed.num_second[pair]
    arrivals, rival_arrivals = (
        np.where(sign > 0, arrivals, rival_arrivals),
        np.where(sign > 0, rival_arrivals, arrivals),
    )
    number = computed.whole.number[pair]
    # The two parts: each at half the level, and the one that decides agrees with the test.
    in_parts = settings.alpha / (TWO_PARTS * family_size)
    decides, by_share = rejected & computed.two_part[pair], computed.by_share[pair]
    if_arrived = _ordered(computed.arrived, pair, sign)
    low_if_arrived, high_if_arrived = agreeing(*if_arrived.interval(in_parts), decides & ~by_share)
    share = newcombe_interval(arrivals, rival_arrivals, number, in_parts)
    share = np.stack(agreeing(share[..., 0], share[..., 1], decides & by_share), axis=-1)
    means = computed.log_means_bound[pair]
    means = np.where(sign[..., None] > 0, means, -means[..., ::-1])
    informative = arrivals + rival_arrivals > 0
    values = {
        "ratio": np.where(informative, np.exp(sign * computed.whole.mean[pair]), np.nan),
        "ratio_bound": _bounds(low, high, whole_interval & informative),
        "p_value": p_value,
        "p_holm": p_holm,
        "pair_budget": pairs.budget[pair],
        "arrived": np.where(number > 0, arrivals, np.nan),
        "rival_arrived": np.where(number > 0, rival_arrivals, np.nan),
        "arrival_difference": (arrivals - rival_arrivals) / np.where(number > 0, number, np.nan),
        "arrival_difference_bound": share,
        "ratio_if_arrived": np.exp(if_arrived.mean),
        "ratio_if_arrived_bound": _bounds(low_if_arrived, high_if_arrived, if_arrived.number >= FEWEST),
        "two_part": computed.two_part[pair].astype(np.int8),
        "favours": np.where(informative, -sign * computed.favours[pair], 0).astype(np.int8),
        "ratio_of_means": np.exp(sign * computed.log_means[pair]),
        "ratio_of_means_bound": exponential(means),
        "ratio_of_expected_cost": np.exp(sign * computed.log_expected[pair]),
    }
    coords = {
        **{name: rivals[name] for name in ("contender", "rival")},
        "target": ("target", np.array(settings.all_targets()), {"units": "1"}),
        "axis": list(axes),
        "bound": np.array(BOUNDS, object),
    }
    result = xr.Dataset(
        {name: _spread(rivals, contender, column, name, numbers) for name, numbers in values.items()}, coords
    )
    headline = settings.all_targets().index(settings.target)
    result["num_pairs"] = _spread(
        rivals, contender, column, "num_pairs", number[:, headline].max(1, initial=0)
    )
    by_axis = ("contender", "rival", "axis")
    logs = np.where(informative[:, headline, :, None], sign * computed.differences[pair, headline], np.nan)
    result["log_ratio"] = _spread(rivals, contender, column, "log_ratio", logs, (*by_axis, "seed"))
    error = computed.whole.error[pair, headline]
    result["log_ratio_error"] = _spread(rivals, contender, column, "log_ratio_error", error, by_axis)
    return result.assign_coords(rival_contender=rivals["rival_contender"])


def _comparison(pairs: Pairs, settings: StatisticsSettings) -> _Comparison:
    first, second = pairs.first, pairs.second
    with np.errstate(divide="ignore", invalid="ignore"):
        differences = np.log(first.restricted) - np.log(second.restricted)
        errors = (first.resolution / first.restricted) ** 2 + (second.resolution / second.restricted) ** 2
    known = np.isfinite(differences)
    number = known.sum(-1)
    whole = paired_t(differences, _rounding(errors, known))
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
    return _Comparison(
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
    diverged = side.diverged.sum(-1)
    return (diverged > 0) & (diverged < number)


def _two_part_test(
    whole: PairedT, arrived: PairedT, num_first: np.ndarray, num_second: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the p-value of shares and costs together, which side they favour, and whether the shares decide.

    The part with the smaller p-value decides. Where the two parts point apart, the restricted costs of all runs, in
    which a divergence costs the budget, must point where that part does, and their own test must reject, too: an arm
    that is a little faster where it arrives, and sometimes diverges, is not shown to be cheaper.
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


def _rounding(errors: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the variance of a mean log cost if each event lies anywhere in its interval: (r / T)^2 / 12 each."""
    number = known.sum(-1)
    return in_order_sum(np.where(known, errors, 0.0)) / 12 / np.maximum(number, 1) ** 2


def _ordered(computed: PairedT, pair: np.ndarray, sign: np.ndarray) -> PairedT:
    return PairedT(sign * computed.mean[pair], computed.error[pair], computed.number[pair])


def _corrected(
    p_value: np.ndarray, families: np.ndarray, column: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return Holm's p-values and the number of tests of each family, both (comparison, target, axis).

    A comparison of the family that has no p-value yet counts with p = 1: its runs may come later, and must not take
    back what was concluded before.
    """
    adjusted, size = np.full(p_value.shape, np.nan), np.ones(p_value.shape)
    members: dict[tuple[str, int], list[int]] = {}
    for index, key in enumerate(zip(families.tolist(), column.tolist(), strict=True)):
        members.setdefault(key, []).append(index)
    for rows in members.values():
        known = np.isfinite(p_value[rows])
        adjusted[rows] = np.where(known, holm(np.where(known, p_value[rows], 1.0)), np.nan)
        size[rows] = len(rows)
    return adjusted, size


def _bounds(low: np.ndarray, high: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Return the two ends of intervals of ratios, (..., 2), NaN where none is given."""
    return np.where(given[..., None], exponential(np.stack([low, high], axis=-1)), np.nan)


def _spread(
    rivals: xr.DataArray,
    contender: np.ndarray,
    column: np.ndarray,
    name: str,
    values: np.ndarray,
    dims: tuple[str, ...] = DIMS,
) -> xr.Variable:
    """Lay values of comparisons out on `dims`, with a last dimension `bound` where there is one more."""
    whole = values.dtype.kind == "i"
    dense = np.full((*rivals.shape, *values.shape[1:]), 0 if whole else np.nan, values.dtype)
    dense[contender, column] = values
    dims = dims[: dense.ndim] + ("bound",) * (dense.ndim > len(dims))
    return xr.Variable(dims, dense, ABOUT[name])


def _about(long_name: str, **more: str) -> dict[str, str]:
    return {"units": "1", "long_name": long_name, **more}


ABOUT = {
    "ratio": _about("ratio of costs to the target", estimator=RATIO),
    "ratio_bound": _about("ratio of costs to the target, bounds", estimator=RATIO, interval=INTERVAL),
    "p_value": _about("p-value", estimator=TWO_PART_TEST),
    "p_holm": _about("p-value after Holm's correction over datasets and cells", estimator=TWO_PART_TEST),
    "pair_budget": {
        "units": "see the attribute axis_units",
        "long_name": "cost to which both arms of the pair are restricted",
    },
    "arrived": _about("paired runs of the contender that reached the target within the budget"),
    "rival_arrived": _about("paired runs of the rival that reached the target within the budget"),
    "arrival_difference": _about("share of runs that arrived, less that of the rival"),
    "arrival_difference_bound": _about(
        "share of runs that arrived, less that of the rival, bounds",
        interval="Newcombe's, at level alpha / (2 m): simultaneous with the ratio of pairs that arrived",
    ),
    "ratio_if_arrived": _about("geometric ratio of costs over the pairs of runs that both arrived"),
    "ratio_if_arrived_bound": _about(
        "geometric ratio of costs over the pairs of runs that both arrived, bounds",
        interval="t interval of the mean log ratio at level alpha / (2 m)",
    ),
    "two_part": _about(
        "whether some, but not all, runs of an arm diverged: two statements stand for one interval"
    ),
    "favours": _about("1 where the evidence favours the contender, -1 the rival, 0 neither"),
    "ratio_of_means": _about("ratio of restricted arithmetic mean costs, a sensitivity check"),
    "ratio_of_means_bound": _about(
        "ratio of restricted arithmetic mean costs, bounds",
        interval="studentised bootstrap over pairs on the logarithm, of this pair alone; headline target only",
    ),
    "ratio_of_expected_cost": _about(
        "ratio of expected costs, each the cost of all runs over the number that arrived, up to each arm's own budget"
    ),
    "log_ratio": _about("log ratio of restricted costs of a pair of runs, at the headline target"),
    "log_ratio_error": _about(
        "standard error of the mean log ratio that the test uses, at the headline target"
    ),
    "num_pairs": _about("pairs of runs with the same seed"),
}
