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
"""Number of tests of a two-part statement: the share of runs that arrived, and the cost of these runs."""

RATIO = (
    "paired geometric ratio of restricted costs: exp of the mean over seeds of log(min(T, budget) of the contender / "
    "min(T, budget) of the rival). A run that diverges or never reaches the target costs the budget of the pair"
)
INTERVAL = (
    "t interval of the mean log ratio, which inverts the test. It is simultaneous over the m tests of Holm's family "
    "(level alpha / m). An end at 1 rests on Holm's test"
)
TEST = "two-sided paired t-test of log restricted costs, with at least the variance of rounding up to evaluations"
TWO_PART_TEST = (
    f"{TEST}. If some, but not all, runs of an arm diverged, it is twice the smaller p-value of two tests: Newcombe's "
    "test of the shares of runs that arrived, and the t-test of the log costs of pairs that both arrived. If these two "
    "point in different directions, it is at least the p-value of the restricted costs of all runs, and 1 if these "
    "favour the other arm"
)


class _PairStatistics(NamedTuple):
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


def compare(
    pairs: Pairs,
    rivals: xr.DataArray,
    families: np.ndarray,
    axes: tuple[str, ...],
    settings: StatisticsSettings,
) -> xr.Dataset:
    """Return the ratio of costs of every contender over each of its rivals, with interval and test.

    ratio = exp(mean_i log(R_i / R'_i)) with R_i = min(T_i, budget of the pair), over the seeds i that both have. Below
    1 the contender is cheaper. The ratio is NaN if no run of either arm reaches the target.

    Args:
        pairs: from `pairs_on`.
        rivals: from `rivals_of`.
        families: (contender,), label of the family. Against each rival arm, the contenders of one family are corrected
            together by Holm. The cells of an arm on all datasets are one family, since each is a further chance to
            find a difference.
        axes: axes of cost, those of `pairs`.
        settings: targets, bootstrap draws, alpha.

    Returns:
        On (contender, rival, target, axis):
        `ratio`, `ratio_bound`, `p_value`, `p_holm`. The interval is NaN below five pairs of runs, and if `two_part`.
        `pair_budget`; `arrived`, `rival_arrived`, numbers of runs that reached the target within this budget;
        `arrival_difference`, difference of these shares; `ratio_if_arrived`, ratio over the pairs that both arrived.
        `two_part`: 1 if some, but not all, runs of an arm diverged. Two statements then replace one interval.
        `favours`: 1 if the evidence favours the contender, -1 if it favours the rival, 0 for neither.
        Sensitivity checks: `ratio_of_means`, ratio of the arithmetic means of restricted costs with a bootstrap
        interval, and `ratio_of_expected_cost`, ratio of the cost of all runs over the number of arrivals, each arm up
        to its own budget.
        At the headline target alone: `num_pairs` (contender, rival), the largest number of pairs of runs on any axis;
        `log_ratio` (contender, rival, axis, seed), whose mean is the logarithm of `ratio`; `log_ratio_error`, the
        standard error of this mean.
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
    # Each of the two parts has half the level. The interval of the deciding part agrees with the test.
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


def _comparison(pairs: Pairs, settings: StatisticsSettings) -> _PairStatistics:
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
    return _PairStatistics(
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


def _ordered(computed: PairedT, pair: np.ndarray, sign: np.ndarray) -> PairedT:
    """Return the means of contender over rival, from those of the first over the second contender of a pair."""
    return PairedT(sign * computed.mean[pair], computed.error[pair], computed.number[pair])


def _corrected(
    p_value: np.ndarray, families: np.ndarray, column: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return Holm's p-values and the number of tests of each family, (comparison, target, axis) each.

    A comparison without a p-value counts as a test with p = 1: its runs may come later, and they must not take back an
    earlier conclusion.

    Args:
        p_value: (comparison, target, axis).
        families: family of each comparison's contender.
        column: position of each comparison's rival arm.
    """
    adjusted, size = np.full(p_value.shape, np.nan), np.ones(p_value.shape)
    members: dict[tuple[str, int], list[int]] = {}
    for index, key in enumerate(zip(families.tolist(), column.tolist(), strict=True)):
        members.setdefault(key, []).append(index)
    for rows in members.values():
        is_tested = np.isfinite(p_value[rows])
        adjusted[rows] = np.where(is_tested, holm(np.where(is_tested, p_value[rows], 1.0)), np.nan)
        size[rows] = len(rows)
    return adjusted, size


def _bounds(low: np.ndarray, high: np.ndarray, has_interval: np.ndarray) -> np.ndarray:
    """Return the ends of intervals of ratios from those of their logarithms, (.., 2); NaN without an interval."""
    return np.where(has_interval[..., None], exponential(np.stack([low, high], axis=-1)), np.nan)


def _spread(
    rivals: xr.DataArray,
    contender: np.ndarray,
    column: np.ndarray,
    name: str,
    values: np.ndarray,
    dims: tuple[str, ...] = DIMS,
) -> xr.Variable:
    """Return values (comparison, ..) on the dimensions `dims`, and `bound` if the values have one more dimension."""
    is_integer = values.dtype.kind == "i"
    dense = np.full((*rivals.shape, *values.shape[1:]), 0 if is_integer else np.nan, values.dtype)
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
    "arrival_difference": _about("share of runs that arrived, minus that of the rival"),
    "arrival_difference_bound": _about(
        "share of runs that arrived, minus that of the rival, bounds",
        interval="Newcombe's at level alpha / (2 m), simultaneous with the ratio of pairs that arrived",
    ),
    "ratio_if_arrived": _about("geometric ratio of costs over the pairs of runs that both arrived"),
    "ratio_if_arrived_bound": _about(
        "geometric ratio of costs over the pairs of runs that both arrived, bounds",
        interval="t interval of the mean log ratio at level alpha / (2 m)",
    ),
    "two_part": _about(
        "whether some, but not all, runs of an arm diverged, so that two statements replace one interval"
    ),
    "favours": _about("1 where the evidence favours the contender, -1 the rival, 0 neither"),
    "ratio_of_means": _about("ratio of restricted arithmetic mean costs, a sensitivity check"),
    "ratio_of_means_bound": _about(
        "ratio of restricted arithmetic mean costs, bounds",
        interval="studentised bootstrap of the logarithm over pairs of runs, at the headline target only",
    ),
    "ratio_of_expected_cost": _about(
        "ratio of expected costs: cost of all runs over the number of arrivals, each arm up to its own budget"
    ),
    "log_ratio": _about("log ratio of restricted costs of a pair of runs, at the headline target"),
    "log_ratio_error": _about(
        "standard error of the mean log ratio that the test uses, at the headline target"
    ),
    "num_pairs": _about("pairs of runs with the same seed"),
}
