"""The paired t-test of log costs and the interval that it inverts, for many pairs of arms at once."""

from typing import NamedTuple

import numpy as np

__all__ = ["PairedT", "in_order_sum", "paired_t"]

ZERO = 1e-12
"""What rounding of sums leaves of an error or of a difference that is 0."""


class PairedT(NamedTuple):
    """A mean difference and its error, one a row.

    Attributes:
        mean: over the pairs; NaN without any.
        error: its standard error; NaN for fewer than two pairs.
        number: pairs.
    """

    mean: np.ndarray
    error: np.ndarray
    number: np.ndarray

    def p_value(self) -> np.ndarray:
        """Return the two-sided p-value of t = mean / error with n - 1 degrees of freedom.

        1 where there is neither a difference nor an error, 0 where there is a difference without an error.
        """
        from scipy.special import stdtr

        exact = self.error <= ZERO
        t = np.abs(self.mean) / np.where(exact, 1.0, self.error)
        t = np.where(exact, np.where(np.abs(self.mean) <= ZERO, 0.0, np.inf), t)
        with np.errstate(invalid="ignore"):
            return np.where(self.number > 1, 2 * stdtr(np.maximum(self.number - 1, 1), -t), np.nan)

    def interval(self, alpha: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
        """Return mean -+ t(1 - alpha/2; n - 1) error: it holds 0 if and only if the p-value is above alpha."""
        from scipy.special import stdtrit

        quantile = stdtrit(np.maximum(self.number - 1, 1), 1 - np.asarray(alpha) / 2)
        half = np.where(self.number > 1, quantile * self.error, np.nan)
        return self.mean - half, self.mean + half


def in_order_sum(values: np.ndarray) -> np.ndarray:
    """Return the sum along the last axis, one after the other, so that zeros between the terms change no digit.

    A pair whose arms lack the seeds of a third arm has zeros there, and must have the same sum as without them.
    """
    return np.add.accumulate(values, axis=-1)[..., -1] if values.shape[-1] else np.zeros(values.shape[:-1])


def paired_t(differences: np.ndarray, rounding: np.ndarray | float = 0.0) -> PairedT:
    """Return the mean difference d over pairs with the error sqrt(max(s^2 / n, rounding)).

    Of the two tests that the protocol allows, this one was chosen by simulation (benchmarks/interval_coverage.md): it
    errs no more often than it may with ties and misses, down to the levels that Holm's correction asks for, and at
    seven pairs it finds a difference of 1.5 more often than the sign-flip test, whose p-value cannot fall below
    2^(1 - n): after Holm's correction of four tests seven pairs could then never reject. What is left of the plain
    t-test's weakness, runs that all fall on the same evaluations, `rounding` mends.

    Args:
        differences: of log costs, (..., pair); NaN where the pair is not known.
        rounding: (...), variance of the mean difference from rounding costs up to evaluations.

    Source: Student, The probable error of a mean, Biometrika 6, 1908.
    """
    known = np.isfinite(differences)
    number = known.sum(-1)
    values = np.where(known, differences, 0.0)
    mean = in_order_sum(values) / np.where(number > 0, number, np.nan)
    squares = in_order_sum(np.where(known, (values - mean[..., None]) ** 2, 0.0))
    variance = squares / np.where(number > 1, (number - 1) * number, np.nan)
    return PairedT(mean, np.sqrt(np.maximum(variance, rounding)), number)
