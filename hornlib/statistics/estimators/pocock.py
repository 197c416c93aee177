"""Pocock's looks: the constant level at which several looks at growing data err together as often as one test."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

__all__ = ["look_level"]

DRAWS, CHUNK = 1_000_000, 100_000
"""Number of simulated sweeps, in all and at once. The standard error of an overall level of .05 is .0002."""

LEAST_SHARE = 0.001
"""If the overall level of one test is smaller, Bonferroni's bound replaces the simulation."""


def look_level(looks: Sequence[int], alpha: float = 0.05, num_tests: int = 1) -> float:
    """Return the two-sided level of every look, for an overall level alpha of a family of tests.

    For one test, the level is the c with P(min over looks of p <= c) = alpha under no difference. p is the p-value of
    the paired t-test of the first n seeds. For m tests the level is m c(alpha / m). Holm's correction divides the level
    of a look by m, m - 1, ..., 1. Since c(x) / x rises with x, each test that is still open has an overall level of at
    most alpha over the number of open tests.

    Four looks after equal numbers of seeds have c(.05) = .0182 if the variance is known. With the t-test, c also
    depends on the numbers of seeds: it is .0182 for looks at 7, 10, 15 and 20, and .0169 for looks at 5, 10, 15 and 20.

    Args:
        looks: number of seeds at each look, rising, at least 2.
        alpha: overall two-sided level.
        num_tests: m, number of tests of Holm's family.

    Returns:
        The level, rounded to three significant digits.

    Source: Pocock, Group sequential methods in the design and analysis of clinical trials, Biometrika 64, 1977. For
    Holm's correction over looks: Ye, Li, Liu and Yao, Statistics in Medicine 32, 2013.
    """
    share, smallest = alpha / num_tests, _smallest_p(tuple(looks))
    # The simulation is too coarse for very small levels. There the levels of all looks add up to alpha.
    level = num_tests * float(np.quantile(smallest, share)) if share >= LEAST_SHARE else alpha / len(looks)
    # The report prints three digits, so that it shows the level that was used.
    return round(level, 2 - math.floor(math.log10(level)))


@cache
def _smallest_p(looks: tuple[int, ...]) -> np.ndarray:
    """Return draws of the smallest p-value over the looks, (DRAWS,), from sums and sums of squares between looks."""
    from scipy.special import stdtr

    generator = np.random.default_rng([*looks, *b"looks"])
    parts = []
    for _ in range(DRAWS // CHUNK):
        total, squares, smallest = np.zeros(CHUNK), np.zeros(CHUNK), np.ones(CHUNK)
        for number, before in zip(looks, (0, *looks), strict=False):
            more = number - before
            part = np.sqrt(more) * generator.standard_normal(CHUNK)
            total += part
            squares += part**2 / more + (generator.chisquare(more - 1, CHUNK) if more > 1 else 0.0)
            variance = (squares - total**2 / number) / (number - 1)
            t = np.abs(total) / np.sqrt(number * variance)
            smallest = np.minimum(smallest, 2 * stdtr(number - 1, -t))
        parts.append(smallest)
    return np.concatenate(parts)
