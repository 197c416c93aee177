"""The oscillator's steps against the exact flow and physics; draws of its constants against their claims."""

import math
from itertools import pairwise

import pytest
import torch
from scipy.linalg import expm

from hornlib.dynamics.oscillator import Constants, OscillatorState, coefficients, draw_constants, step
from hornlib.dynamics.parameters import Oscillator

INTEGRATORS = ("symplectic_euler", "explicit_euler", "implicit_damping")
PUBLIC = Oscillator(omega=2 * math.pi / 28, damping=0.01, alpha=0.04, integration_step=1.0)


def scalar(value):
    return torch.tensor(value, dtype=torch.float64)


def run(oscillator, integrator, timesteps, state=(0.0, 0.0), force=0.0):
    """Return the states of one oscillator under a constant force, in float64."""
    h = oscillator.integration_step
    c = coefficients(Constants(*map(scalar, oscillator[:3])), h, integrator)
    states = [OscillatorState(*map(scalar, state))]
    for _ in range(timesteps):
        states.append(step(states[-1], scalar(force), c, h, integrator))
    return states


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_error_against_the_exact_flow_is_of_first_order(integrator):
    """At a fixed horizon, half the step makes half the error."""
    omega, damping, alpha, force, horizon = 1.3, 0.2, 0.7, 0.6, 4.0
    flow = torch.tensor(
        [[0, 1, 0], [-(omega**2), -2 * damping, alpha * force], [0, 0, 0]], dtype=torch.float64
    )
    exact = torch.tensor(expm(horizon * flow.numpy())) @ torch.tensor([0.5, -0.3, 1.0], dtype=torch.float64)
    errors = []
    for timesteps in (800, 1600, 3200):
        oscillator = Oscillator(omega, damping, alpha, horizon / timesteps)
        x, y = run(oscillator, integrator, timesteps, (0.5, -0.3), force)[-1]
        errors.append(math.hypot(x - exact[0], y - exact[1]))
    orders = [math.log2(coarse / fine) for coarse, fine in pairwise(errors)]
    assert orders == pytest.approx([1, 1], abs=0.02)


def energies(integrator, timesteps=5000):
    undamped = PUBLIC._replace(damping=0.0)
    states = run(undamped, integrator, timesteps, (1.0, 0.0))
    return [float(y**2 + undamped.omega**2 * x**2) / 2 for x, y in states]


def test_undamped_symplectic_energy_stays_within_its_shadow():
    """It oscillates by the factor 1 +- omega h / 2 and does not drift."""
    energy = energies("symplectic_euler")
    assert max(energy) / min(energy) < (1 + PUBLIC.omega / 2) / (1 - PUBLIC.omega / 2) * 1.001
    assert max(energy[-200:]) == pytest.approx(max(energy[:200]), rel=1e-3)


def test_undamped_explicit_energy_grows_by_one_plus_omega_h_squared_a_step():
    energy = energies("explicit_euler", 300)
    growth = [after / before for before, after in pairwise(energy)]
    assert growth == pytest.approx([1 + PUBLIC.omega**2] * 300)


def test_damped_symplectic_amplitude_shrinks_by_the_root_of_one_minus_two_damping_h():
    """x_t y_{t+1} - y_t x_{t+1} is a quadratic form of the amplitude, definite where the oscillator rings."""
    states = run(PUBLIC, "symplectic_euler", 500, (1.0, 0.3))
    squares = [float(now.y * then.x - now.x * then.y) for now, then in pairwise(states)]
    shrinking = [math.sqrt(after / before) for before, after in pairwise(squares)]
    assert shrinking == pytest.approx([math.sqrt(1 - 2 * PUBLIC.damping)] * 499)


def test_reference_displacements_under_a_constant_force():
    states = run(PUBLIC, "symplectic_euler", 28, force=1.0)
    displacements = [float(states[t].x) for t in (1, 2, 4, 8, 14, 28)]
    assert displacements == pytest.approx([0.04, 0.117, 0.363, 1.01, 1.48, 0.198], rel=6e-3)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_rest_under_a_constant_force_is_the_dc_gain(integrator):
    oscillator = Oscillator(omega=0.3, damping=0.2, alpha=0.5, integration_step=0.5)
    assert float(run(oscillator, integrator, 2000, force=1.0)[-1].x) == pytest.approx(oscillator.dc_gain)


def draw(heterogeneity, kind="log_uniform", shape=(2000,), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Constants(*(v.double() for v in draw_constants(PUBLIC, shape, heterogeneity, kind, generator)))


@pytest.mark.parametrize("kind", ["log_uniform", "uniform"])
def test_no_heterogeneity_gives_every_node_the_constants(kind):
    for values, constant in zip(draw(0.0, kind), PUBLIC[:3], strict=True):
        torch.testing.assert_close(values, torch.full_like(values, constant), rtol=1e-7, atol=0)


@pytest.mark.parametrize("heterogeneity", [0.3, 1.0, 2.0])
def test_log_uniform_draw_keeps_damping_ratio_and_dc_gain(heterogeneity):
    omega, damping, alpha = draw(heterogeneity)
    assert torch.allclose(damping / omega, scalar(PUBLIC.damping_ratio), rtol=1e-6)
    assert torch.allclose(alpha / omega**2, scalar(PUBLIC.dc_gain), rtol=1e-6)
    exponents = torch.log2(omega / PUBLIC.omega) / heterogeneity
    assert exponents.abs().max() <= 1 + 1e-6
    assert exponents.mean().abs() < 4 / math.sqrt(3 * 2000)
    assert exponents.var() == pytest.approx(1 / 3, rel=0.1)


def test_uniform_draw_spans_half_to_twice_and_shifts_the_mean_by_a_quarter():
    omega, damping, alpha = draw(1.0, "uniform")
    for factors in (omega / PUBLIC.omega, damping / PUBLIC.damping):
        assert 0.5 - 1e-6 <= factors.min() < 0.51 and 1.99 < factors.max() <= 2 + 1e-6
        assert factors.mean() == pytest.approx(1.25, abs=4 * 1.5 / math.sqrt(12 * 2000))
    assert torch.corrcoef(torch.stack([omega, damping]))[0, 1].abs() < 4 / math.sqrt(2000)
    assert torch.all(alpha == alpha[0])


@pytest.mark.parametrize("kind", ["log_uniform", "uniform"])
def test_one_generator_state_ranks_the_nodes_alike_whatever_the_heterogeneity(kind):
    narrow, wide = (draw(heterogeneity, kind, (50,)) for heterogeneity in (0.25, 2.0))
    for few, many in zip(narrow[:2], wide[:2], strict=True):
        assert torch.equal(few.argsort(), many.argsort())


def test_log_factors_scale_with_heterogeneity():
    narrow, wide = (torch.log2(draw(h, shape=(50,)).omega / PUBLIC.omega) for h in (0.5, 2.0))
    torch.testing.assert_close(wide, 4 * narrow, rtol=1e-4, atol=1e-5)
