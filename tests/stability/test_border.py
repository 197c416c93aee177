"""The border of stability in closed form against the eigenvalues of the step, and the share beyond it."""

import math
from typing import get_args

import numpy as np
import pytest

from hornlib.dynamics import stability
from hornlib.dynamics.parameters import Integrator
from hornlib.stability.border import (
    critical_heterogeneity,
    largest_stable_omega_h,
    oscillatory_interval,
    stable_interval,
    unstable_share,
)

INTEGRATORS = get_args(Integrator)


def radius(omega, damping, integrator):
    """The largest modulus of the eigenvalues of the step at h = 1, by numpy."""
    if integrator == "explicit_euler":
        step = np.array([[1, 1], [-(omega**2), 1 - 2 * damping]])
    else:
        divisor = 1 + 2 * damping if integrator == "implicit_damping" else 1
        kept = 1 / divisor if integrator == "implicit_damping" else 1 - 2 * damping
        velocity = np.array([-(omega**2) / divisor, kept])
        step = np.array([np.array([1, 0]) + velocity, velocity])
    return abs(np.linalg.eigvals(step)).max()


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_the_spectral_radius_crosses_one_at_the_ends_of_the_interval(integrator):
    for damping in (0.01, 0.1, 0.5, 0.9, 0.99, 1.2, 1.9):
        low, high = stable_interval(damping, integrator)
        if math.isnan(high):
            assert all(radius(omega, damping, integrator) > 1 - 1e-9 for omega in np.linspace(0.01, 4, 200))
            continue
        assert (
            radius(high * (1 - 1e-6), damping, integrator)
            < 1
            < radius(high * (1 + 1e-6), damping, integrator)
        )
        if low > 0:
            assert (
                radius(low * (1 + 1e-6), damping, integrator)
                < 1
                < radius(low * (1 - 1e-6), damping, integrator)
            )
        inside = np.linspace(low, high, 102)[1:-1]
        assert all(radius(omega, damping, integrator) < 1 for omega in inside)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_the_oscillator_rings_within_the_band_and_nowhere_else(integrator):
    for damping in (0.01, 0.2, 0.49, 0.8, 1.4):
        low, high = oscillatory_interval(damping, integrator)
        for omega in np.linspace(0.013, 4, 150):
            assert stability.is_oscillatory(omega, damping, 1.0, integrator) == (low < omega < high)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("damping_ratio", [0.01, 0.1, 0.7, 1.5, 3.0])
def test_along_a_ray_of_equal_damping_ratio_stability_ends_where_it_is_said_to(integrator, damping_ratio):
    limit = largest_stable_omega_h(damping_ratio, integrator)
    assert radius(limit * (1 - 1e-6), damping_ratio * limit * (1 - 1e-6), integrator) < 1
    assert radius(limit * (1 + 1e-6), damping_ratio * limit * (1 + 1e-6), integrator) > 1


def test_eight_steps_of_one_cycle_bear_a_heterogeneity_of_one_and_four_steps_hardly_any():
    assert critical_heterogeneity(8, 1.0, 0.1, "symplectic_euler") == pytest.approx(1.205, abs=1e-3)
    assert critical_heterogeneity(4, 1.0, 0.1, "symplectic_euler") == pytest.approx(0.205, abs=1e-3)
    assert critical_heterogeneity(3, 1.0, 0.1, "symplectic_euler") < 0
    assert critical_heterogeneity(8, 1.0, 0.0, "explicit_euler") == -math.inf


def test_the_share_of_unstable_nodes_is_that_of_a_large_sample():
    factors = np.random.default_rng(0).uniform(-1, 1, 200_000)
    for heterogeneity, critical in ((1.5, 0.5), (1.5, -0.4), (1.0, 1.2), (0.5, -0.7)):
        sampled = (heterogeneity * factors > critical).mean()
        assert unstable_share(heterogeneity, critical) == pytest.approx(sampled, abs=0.005)
    assert unstable_share(0.0, 0.3) == 0 and unstable_share(0.0, -0.3) == 1
