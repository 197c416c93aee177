"""Stability of the explicit L1 scheme for D^gamma y = lambda y; free of torch."""

import math

import numpy as np

__all__ = ["dirichlet_eta", "largest_stable_step", "linear_test", "stability_limit"]

_TERMS = 24
"""Terms of the accelerated series; the error is below 1e-15 for s >= -1."""


def dirichlet_eta(s: float) -> float:
    """Return eta(s) = sum_{n >= 1} (-1)^(n-1) n^-s, continued to s > -1 where the series diverges.

    eta(s) = -1/d_N sum_{k<N} (-1)^k (d_k - d_N) (k + 1)^-s,
    d_k = N sum_{i<=k} (N + i - 1)! 4^i / ((N - i)! (2 i)!).

    Args:
        s: real, above -1.

    Source: Borwein 2000, An efficient algorithm for the Riemann zeta function, algorithm 2.
    """
    number = _TERMS
    parts = [
        number * math.factorial(number + i - 1) * 4**i // (math.factorial(number - i) * math.factorial(2 * i))
        for i in range(number + 1)
    ]
    sums = [sum(parts[: k + 1]) for k in range(number + 1)]
    last = sums[-1]
    return math.fsum((-1) ** k * ((last - sums[k]) / last) * (k + 1) ** -s for k in range(number))


def stability_limit(fractional_order: float) -> float:
    """Return 4 eta(gamma - 1), the limit of tau^gamma Gamma(2 - gamma) |lambda| below which the scheme is stable.

    At the limit y alternates in sign. The weights of the increments, (m + 1)^(1-gamma) - m^(1-gamma), summed with
    alternating signs, give 2 eta(gamma - 1) times the increment -2 y. The limit is 2 at gamma = 1 (Euler's method) and
    1.5204 at gamma = 0.5.

    Args:
        fractional_order: gamma, in (0, 1].
    """
    return 4 * dirichlet_eta(fractional_order - 1)


def largest_stable_step(rate: float, fractional_order: float) -> float:
    """Return the largest stable tau, (4 eta(gamma - 1) / (Gamma(2 - gamma) |lambda|))^(1 / gamma), unit of time.

    Args:
        rate: lambda < 0, 1 / unit of time^gamma.
        fractional_order: gamma, in (0, 1].
    """
    strength = stability_limit(fractional_order) / (math.gamma(2 - fractional_order) * abs(rate))
    return strength ** (1 / fractional_order)


def linear_test(strength: np.ndarray, fractional_order: float, depth: int) -> np.ndarray:
    """Return y_0 .. y_depth of the scheme for D^gamma y = lambda y from y_0 = 1, (depth + 1, ...).

    y_{j+1} = y_j - sum_{k<j} ((j-k+1)^(1-gamma) - (j-k)^(1-gamma)) (y_{k+1} - y_k) - strength y_j.

    Args:
        strength: tau^gamma Gamma(2 - gamma) |lambda| of each test, any shape.
        fractional_order: gamma, in (0, 1].
        depth: steps, one a layer.
    """
    strength = np.asarray(strength, dtype=float)
    powers = np.arange(depth + 1) ** (1 - fractional_order)
    weights = np.diff(powers)[
        ::-1
    ]  # weight of the newest increment last; the last entry is 1, of step j itself
    increments = np.empty((depth, strength.size))
    states = np.empty((depth + 1, strength.size))
    states[0] = 1
    for j in range(depth):
        past = weights[depth - 1 - j : depth - 1] @ increments[:j] if j else 0.0
        increments[j] = -strength.ravel() * states[j] - past
        states[j + 1] = states[j] + increments[j]
    return states.reshape(depth + 1, *strength.shape)
