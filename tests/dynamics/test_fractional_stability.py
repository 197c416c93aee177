"""The border of stability against published constants, the zeta function, and simulations on both sides."""

import math

import numpy as np
import pytest
import torch
from scipy.special import zeta

from hornlib.dynamics.fractional import force_weights, history_weights
from hornlib.dynamics.fractional_stability import (
    dirichlet_eta,
    largest_stable_step,
    linear_test,
    stability_limit,
)

ORDERS = (0.2, 0.5, 0.8, 1.0)


@pytest.mark.parametrize(
    ("s", "value"), [(0.0, 0.5), (1.0, math.log(2)), (2.0, math.pi**2 / 12), (4.0, 7 * math.pi**4 / 720)]
)
def test_eta_has_its_known_values(s, value):
    assert dirichlet_eta(s) == pytest.approx(value, abs=1e-14)


@pytest.mark.parametrize("s", [-0.9, -0.5, -0.2, -0.01, 0.3])
def test_eta_obeys_the_functional_equation_of_zeta(s):
    mirrored = zeta(1 - s) if s < 0 else dirichlet_eta(1 - s) / (1 - 2**s)
    by_reflection = 2**s * math.pi ** (s - 1) * math.sin(math.pi * s / 2) * math.gamma(1 - s) * mirrored
    assert dirichlet_eta(s) == pytest.approx((1 - 2 ** (1 - s)) * by_reflection, rel=1e-12)


def test_the_limit_is_that_of_euler_at_order_one_and_the_published_one_at_a_half():
    assert stability_limit(1.0) == pytest.approx(2.0, abs=1e-14)
    assert stability_limit(0.5) == pytest.approx(1.5204, abs=5e-5)


@pytest.mark.parametrize("gamma", ORDERS)
def test_a_simulation_holds_below_the_border_and_blows_up_above(gamma):
    below, above = abs(linear_test(stability_limit(gamma) * np.array([0.97, 1.03]), gamma, 2000)).T
    assert below.max() <= 1 and below[-1] < 0.5
    assert above[-1] > 1e3


@pytest.mark.parametrize("gamma", ORDERS)
def test_the_border_in_the_step_is_the_border_in_the_strength(gamma):
    step = largest_stable_step(-3.0, gamma)
    assert step**gamma * math.gamma(2 - gamma) * 3.0 == pytest.approx(stability_limit(gamma), rel=1e-12)


@pytest.mark.parametrize("gamma", ORDERS)
def test_the_simulation_is_the_scheme_of_the_network(gamma):
    steps, rate = torch.full((12,), 0.3, dtype=torch.float64), -1.7
    weights, factors = history_weights(steps, gamma), force_weights(steps, gamma)
    states, increments = [1.0], []
    for j in range(12):
        past = sum(weights[j, k].item() * increments[k] for k in range(j))
        increments.append(factors[j].item() * rate * states[-1] - past)
        states.append(states[-1] + increments[-1])
    strength = np.array([0.3**gamma * math.gamma(2 - gamma) * abs(rate)])
    np.testing.assert_allclose(linear_test(strength, gamma, 12)[:, 0], states, rtol=1e-10)


def test_euler_multiplies_by_one_factor_a_step():
    strength = np.array([[0.5, 1.5], [1.9, 2.5]])
    np.testing.assert_allclose(linear_test(strength, 1.0, 9)[-1], (1 - strength) ** 9)
