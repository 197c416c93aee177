"""The headline estimator: the paired geometric ratio of restricted costs, with the interval that inverts its test."""

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.statistics.arithmetic_means import exponential
from hornlib.statistics.estimators.arrivals import newcombe_interval
from hornlib.statistics.estimators.holm import agreeing, holm
from hornlib.statistics.estimators.intervals import FEWEST
from hornlib.statistics.estimators.paired_t import PairedT
from hornlib.statistics.estimators.student import BOUNDS
from hornlib.statistics.pair_statistics import TWO_PARTS, pair_statistics
from hornlib.statistics.pairs import Pairs

__all__ = ["compare"]

DIMS = ("contender", "rival", "target", "axis")

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
    computed = pair_statistics(pairs, settings)
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
