"""Stability border of an oscillator's step, solved for its constants; no torch is loaded."""

import math

from hornlib.dynamics.parameters import Integrator

__all__ = [
    "critical_heterogeneity",
    "largest_stable_omega_h",
    "oscillatory_interval",
    "stable_interval",
    "unstable_share",
]

Interval = tuple[float, float]

NOTHING: Interval = (math.nan, math.nan)


def stable_interval(damping_h: float, integrator: Integrator) -> Interval:
    """Return the open interval of omega h in which the free oscillator decays; NaN if there is none.

    With s = omega h and d = damping h: symplectic_euler 0 < s < 2 sqrt(1 - d) for 0 < d < 1;
    implicit_damping 0 < s < 2 sqrt(1 + d) for 0 < d; explicit_euler 2 sqrt(max(d - 1, 0)) < s < sqrt(2 d)
    for 0 < d < 2. The conditions are those of `hornlib.dynamics.stability.is_stable`, solved for s.

    Args:
        damping_h: damping times the integration step.
        integrator: the update rule.
    """
    d = damping_h
    if integrator == "symplectic_euler":
        return (0.0, 2 * math.sqrt(1 - d)) if 0 < d < 1 else NOTHING
    if integrator == "implicit_damping":
        return (0.0, 2 * math.sqrt(1 + d)) if d > 0 else NOTHING
    return (2 * math.sqrt(max(d - 1, 0.0)), math.sqrt(2 * d)) if 0 < d < 2 else NOTHING


def oscillatory_interval(damping_h: float, integrator: Integrator) -> Interval:
    """Return the open interval of omega h in which the eigenvalues are a complex pair; NaN if there is none.

    With d = damping h: symplectic_euler 1 -+ sqrt(1 - 2 d) for d < 1/2; implicit_damping sqrt(1 + 2 d) -+ 1;
    explicit_euler above d.

    Args:
        damping_h: damping times the integration step.
        integrator: the update rule.
    """
    d = damping_h
    if integrator == "symplectic_euler":
        root = math.sqrt(1 - 2 * d) if d < 0.5 else math.nan
        return 1 - root, 1 + root
    if integrator == "implicit_damping":
        return math.sqrt(1 + 2 * d) - 1, math.sqrt(1 + 2 * d) + 1
    return d, math.inf


def largest_stable_omega_h(damping_ratio: float, integrator: Integrator) -> float:
    """Return the omega h at which an oscillator of this damping ratio leaves the stable region.

    With z = damping / omega and d = z s in the conditions of `stable_interval`: symplectic_euler
    2 (sqrt(1 + z^2) - z); implicit_damping 2 (sqrt(1 + z^2) + z); explicit_euler 2 z for z < 1, else
    2 / (z + sqrt(z^2 - 1)).

    Args:
        damping_ratio: z, damping over omega.
        integrator: the update rule.
    """
    z = damping_ratio
    if integrator == "symplectic_euler":
        return 2 * (math.sqrt(1 + z**2) - z)
    if integrator == "implicit_damping":
        return 2 * (math.sqrt(1 + z**2) + z)
    return 2 * z if z < 1 else 2 / (z + math.sqrt(z**2 - 1))


def critical_heterogeneity(
    timesteps: float, num_cycles: float, damping_ratio: float, integrator: Integrator
) -> float:
    """Return the heterogeneity above which the fastest node that a log-uniform draw allows is unstable.

    omega h is drawn around 2 pi num_cycles / T, within factors from 2^-heterogeneity to 2^heterogeneity. The border is
    therefore log2(s T / (2 pi num_cycles)) with s = `largest_stable_omega_h`. It is negative if the homogeneous
    oscillator is unstable already.

    Args:
        timesteps: T, number of recurrent steps.
        num_cycles: cycles of the homogeneous oscillator within T steps.
        damping_ratio: damping over omega, the same for every node.
        integrator: the update rule.
    """
    limit = largest_stable_omega_h(damping_ratio, integrator)
    if limit == 0:
        return -math.inf
    return math.log2(limit * timesteps / (2 * math.pi * num_cycles))


def unstable_share(heterogeneity: float, critical: float) -> float:
    """Return the expected share of unstable nodes of a log-uniform draw.

    log2 of the factors is uniform on [-heterogeneity, heterogeneity], so the share above `critical` is
    (1 - critical / heterogeneity) / 2, within 0 and 1.

    Args:
        heterogeneity: largest |log2| of the drawn factors.
        critical: from `critical_heterogeneity`.
    """
    if heterogeneity == 0:
        return float(critical <= 0)
    return min(max((1 - critical / heterogeneity) / 2, 0.0), 1.0)
