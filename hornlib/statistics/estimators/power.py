"""Power of the paired t-test of log costs: the seeds that a ratio needs, and the ratio that given seeds can show.

d is the log ratio of two arms' costs for one seed, and s its standard deviation over n seeds. A comparison is shown if
mean(d) sqrt(n) / s > t(1 - level / 2; n - 1). If the true mean of d is delta, the left side has the noncentral t
distribution with n - 1 degrees of freedom and noncentrality delta sqrt(n) / sd.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import xarray as xr

__all__ = [
    "EFFECTS",
    "POWERS",
    "conjunction_detectable",
    "conjunction_seeds",
    "detectable_log_ratio",
    "log_ratio_sd",
    "sd_scales",
    "seeds_needed",
]

EFFECTS = (1.1, 1.2, 1.5)
"""True ratios of costs for which the seeds needed are computed."""

POWERS = (0.8, 0.9)
"""Powers for which the seeds needed are computed."""

LARGEST = 512
"""Powers are computed up to so many seeds. Beyond, the detectable log ratio falls with 1 / sqrt(n)."""

FAR = 1000.0
"""Beside a larger critical value of t, a standard normal variable is negligible."""

DRAWS = 8192
"""Number of draws for the power of a conjunction. The standard error of a power of .8 is .0044."""


def log_ratio_sd(log_ratio: xr.DataArray, dim: str = "seed") -> xr.DataArray:
    """Return the standard deviation over seeds of paired log ratios, (..); NaN for fewer than two pairs.

    Args:
        log_ratio: (.., dim), log of the contender's cost over its rival's; NaN where a run is missing.
        dim: dimension of the pairs.
    """
    number = log_ratio.count(dim)
    squares = ((log_ratio - log_ratio.mean(dim)) ** 2).sum(dim)
    return (squares / (number - 1).where(number > 1)) ** 0.5


def sd_scales(number: xr.DataArray, alpha: float = 0.05) -> xr.DataArray:
    """Return the factors from a standard deviation, measured on n pairs, to the ends of its interval.

    They are sqrt((n - 1) / chi2(1 - alpha / 2; n - 1)) and sqrt((n - 1) / chi2(alpha / 2; n - 1)), for normal log
    ratios.

    Args:
        number: (..), n.
        alpha: 1 - confidence, two-sided.

    Returns:
        (.., bound) with the bounds low and high; NaN for fewer than two pairs.
    """
    from scipy.special import gammaincinv

    freedom = (number - 1).where(number > 1)
    tail = xr.DataArray([1 - alpha / 2, alpha / 2], {"bound": np.array(["low", "high"], object)}, "bound")
    return (freedom / (2 * xr.apply_ufunc(gammaincinv, freedom / 2, tail))) ** 0.5


def detectable_log_ratio(
    sd: xr.DataArray, number: xr.DataArray, level: xr.DataArray | float, power: float = 0.8
) -> xr.DataArray:
    """Return the true log ratio that the test of `number` pairs shows with this power, (..).

    Args:
        sd: (..), standard deviation of the paired log ratio.
        number: (..), number of pairs of runs.
        level: two-sided level of the comparison's test; alpha / m within a family of m tests.
        power: probability that the test shows it.
    """
    return sd * xr.apply_ufunc(_detectable, number.where(number > 1), level, kwargs={"power": power})


def seeds_needed(
    sd: xr.DataArray,
    effects: Sequence[float] = EFFECTS,
    powers: Sequence[float] = POWERS,
    level: xr.DataArray | float = 0.05,
    min_seeds: int = 2,
) -> xr.DataArray:
    """Return the smallest number of seeds with which a comparison's test shows each true ratio, in its direction.

    Args:
        sd: (..), standard deviation of the paired log ratio; 0 needs no more than `min_seeds`.
        effects: true ratios, other than 1.
        powers: probabilities that the test shows them.
        level: two-sided level of the test; alpha / m within a family of m tests, as in Holm's first step.
        min_seeds: number of pairs below which nothing is concluded.

    Returns:
        (.., effect, power); NaN where the standard deviation is NaN.
    """
    ratio = xr.DataArray(np.array(effects, float), {"effect": list(effects)}, "effect")
    chance = xr.DataArray(np.array(powers, float), {"power": list(powers)}, "power")
    with np.errstate(divide="ignore"):
        return xr.apply_ufunc(
            _fewest, np.abs(np.log(ratio)) / sd, level, chance, kwargs={"min_seeds": min_seeds}
        ).transpose(*sd.dims, "effect", "power")


def conjunction_detectable(
    factor: np.ndarray, number: int, level: float, powers: Sequence[float] = POWERS
) -> np.ndarray:
    """Return the log ratio, common to all comparisons, at which `number` seeds show all of them, (power,).

    A draw has mean log ratios e and standard deviations s over n seeds. It shows all comparisons if the true log ratio
    is at least max_k t(1 - level / 2; n - 1) s_k / sqrt(n) - e_k. The quantiles of this maximum are returned. The draws
    are normal with the given covariance, since comparisons that share the subject's runs are correlated. s^2 is the
    diagonal of a Wishart matrix, from Bartlett's decomposition. The generator is fixed.

    Args:
        factor: F, (comparison, rank), with F F' the covariance of the paired log ratios.
        number: n, at least 2.
        level: two-sided level of each comparison's test.
        powers: probabilities that all comparisons are shown.

    Source: Smith and Hocking, Wishart variate generator, Applied Statistics 21, 1972.
    """
    if len(factor) == 1:
        sd = float(np.linalg.norm(factor))
        return np.array(
            [sd * float(_detectable(np.array(number), np.array(level), power)) for power in powers]
        )
    rank, freedom = factor.shape[1], number - 1
    mean, below = _draws(rank)
    generator = np.random.default_rng([rank, number, *b"power"])
    squares = np.zeros((DRAWS, len(factor)))
    for column in range(min(rank, freedom)):
        part = below[:, :, column].copy()
        part[:, column] = np.sqrt(generator.chisquare(freedom - column, DRAWS))
        squares += (part[:, column:] @ factor[:, column:].T) ** 2
    error = np.sqrt(squares / freedom / number)
    least = (_critical(number, level) * error - mean @ factor.T / np.sqrt(number)).max(1)
    return np.quantile(least, powers)


def conjunction_seeds(
    factor: np.ndarray,
    level: float,
    scales: Sequence[float] = (1.0,),
    effects: Sequence[float] = EFFECTS,
    powers: Sequence[float] = POWERS,
    min_seeds: int = 2,
) -> np.ndarray:
    """Return the smallest number of seeds with which all comparisons are shown, if they have the same true ratio.

    Args:
        factor: F, (comparison, rank), with F F' the covariance of the paired log ratios.
        level: two-sided level of each comparison's test.
        scales: factors of all standard deviations, for the ends of an interval.
        effects: true ratios.
        powers: probabilities that all comparisons are shown.
        min_seeds: number of seeds below which nothing is concluded.

    Returns:
        (scale, effect, power).
    """
    detectable: dict[int, np.ndarray] = {}

    def enough(number: int, place: int, target: float) -> bool:
        if number not in detectable:
            detectable[number] = conjunction_detectable(factor, number, level, powers)
        return bool(detectable[number][place] <= target)

    result = np.full((len(scales), len(effects), len(powers)), np.nan)
    for row, column, place in np.ndindex(result.shape):
        target = abs(np.log(effects[column])) / scales[row]
        if not enough(LARGEST, place, target):
            result[row, column, place] = np.ceil(LARGEST * (detectable[LARGEST][place] / target) ** 2)
            continue
        few, many = min_seeds - 1, max(LARGEST, min_seeds)
        while many - few > 1:
            middle = (few + many) // 2
            few, many = (few, middle) if enough(middle, place, target) else (middle, many)
        result[row, column, place] = many
    return result


def _critical(number: np.ndarray | float, level: np.ndarray | float) -> np.ndarray:
    from scipy.special import stdtrit

    return stdtrit(np.maximum(np.asarray(number, float) - 1, 1), 1 - np.asarray(level) / 2)


def _detectable(number: np.ndarray, level: np.ndarray, power: float) -> np.ndarray:
    """Return delta / sd that is shown with this power: noncentrality at which T exceeds its critical value / sqrt(n).

    For critical values beyond `FAR` the measured deviation alone decides, and scipy's inverse does not terminate.
    """
    from scipy.special import gammaincinv, nctdtrinc

    freedom, critical = np.maximum(number - 1, 1), _critical(number, level)
    shift = nctdtrinc(freedom, 1 - power, np.minimum(critical, FAR))
    far = critical * np.sqrt(2 * gammaincinv(freedom / 2, power) / freedom)
    return np.where(np.isfinite(number), np.where(critical < FAR, shift, far) / np.sqrt(number), np.nan)


def _fewest(distance: np.ndarray, level: np.ndarray, power: np.ndarray, min_seeds: int) -> np.ndarray:
    """Return the smallest n whose detectable delta / sd is at most `distance` (..)."""
    distance, level, power = np.broadcast_arrays(distance, level, power)
    result = np.full(distance.shape, np.nan)
    for one_level in np.unique(level[np.isfinite(level)]):
        for one_power in np.unique(power):
            here = (
                (level == one_level)
                & (power == one_power)
                & np.isfinite(np.where(distance == np.inf, 0, distance))
            )
            table = _table(float(one_level), float(one_power))
            number = np.searchsorted(-table, -distance[here]) + 2.0
            beyond = distance[here] < table[-1]
            number[beyond] = np.ceil(LARGEST * (table[-1] / distance[here][beyond]) ** 2)
            result[here] = np.maximum(number, min_seeds)
    return result


@cache
def _table(level: float, power: float) -> np.ndarray:
    """Return the detectable delta / sd of 2, 3, ..., `LARGEST` seeds, (seeds,), in descending order."""
    number = np.arange(2, LARGEST + 1)
    return _detectable(number, np.array(level), power)


@cache
def _draws(rank: int) -> tuple[np.ndarray, np.ndarray]:
    """Return standard normals for the means, (draw, rank), and for Bartlett's factor below its diagonal."""
    generator = np.random.default_rng([rank, *b"power"])
    mean = generator.standard_normal((DRAWS, rank))
    return mean, np.tril(generator.standard_normal((DRAWS, rank, rank)), -1)
