"""The paired t-test of log restricted times, with the error that rounding times up to evaluations adds."""

import numpy as np

__all__ = ["paired_t_p"]


def paired_t_p(differences: np.ndarray, rounding: np.ndarray | float = 0.0) -> np.ndarray:
    """Return the two-sided p-value of t = mean d / sqrt(max(s^2 / n, rounding)), n - 1 degrees of freedom.

    Of the two tests that the protocol allows it was chosen by simulation (benchmarks/interval_coverage.md): it
    errs no more often than it may with ties, misses and divergence, down to the levels that Holm's correction
    asks for, and at seven pairs it finds a difference of 1.5 more often than the sign-flip test, whose p-value
    cannot fall below 2^(1 - n): after Holm's correction of four tests seven pairs could then never reject. What
    is left of the plain t-test's weakness, runs that all fall on the same evaluations, `rounding` mends.

    Args:
        differences: d of log times, (row, pair), at least two pairs.
        rounding: (row,), variance of the mean difference from rounding.

    Returns:
        (row,); 1 where there is neither a difference nor an error.

    Source: Student, The probable error of a mean, Biometrika 6, 1908.
    """
    from scipy.special import stdtr

    num_pairs = differences.shape[1]
    mean = differences.mean(1)
    error = np.sqrt(np.maximum(differences.var(1, ddof=1) / num_pairs, rounding))
    alike = error <= 1e-12
    t = np.abs(mean) / np.where(alike, 1.0, error)
    t[alike] = np.where(np.abs(mean[alike]) <= 1e-12, 0.0, np.inf)
    return 2 * stdtr(num_pairs - 1, -t)
