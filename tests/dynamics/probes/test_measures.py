"""Measures of states: participation ratio in closed form, the others against numpy."""

import math

import numpy as np
import pytest
import torch

from hornlib.dynamics import gain
from hornlib.dynamics.oscillator import Constants, OscillatorState, coefficients, step
from hornlib.dynamics.parameters import Oscillator
from hornlib.dynamics.probes import measures
from hornlib.dynamics.probes.units import Oscillators


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_isotropic_states_take_part_in_all_n_directions():
    n = 6
    corners = torch.cat([torch.eye(n), -torch.eye(n)]).double()  # covariance 2/n I, exactly
    torch.testing.assert_close(
        measures.participation_ratio(corners.unsqueeze(0)), torch.tensor([6.0]).double()
    )


def test_states_on_a_line_take_part_in_one_direction():
    states = draw(50, 1) * draw(1, 8, seed=1) + draw(1, 8, seed=2)
    torch.testing.assert_close(
        measures.participation_ratio(states.unsqueeze(0)), torch.tensor([1.0]).double()
    )


def test_participation_ratio_is_that_of_the_eigenvalues_of_the_covariance():
    maps = draw(2, 5, 4, 3, 3) * torch.tensor([1.0, 2.0, 0.1, 3.0]).double().view(4, 1, 1)
    for t, actual in enumerate(measures.participation_ratio(maps)):
        samples = maps[t].permute(0, 2, 3, 1).reshape(-1, 4).numpy()
        eigenvalues = np.linalg.eigvalsh(np.cov(samples, rowvar=False))
        assert float(actual) == pytest.approx(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())


def test_states_that_never_vary_have_no_participation_ratio():
    assert measures.participation_ratio(torch.ones(1, 4, 3)).isnan().all()


def test_sums_over_examples_and_units_are_numpy_s():
    x, y = draw(3, 4, 5), draw(3, 4, 5, seed=1)
    omega = draw(5, seed=2).abs() + 0.1
    flat = x.numpy().reshape(3, -1)
    np.testing.assert_allclose(measures.root_mean_square(x), np.sqrt((flat**2).mean(1)))
    np.testing.assert_allclose(measures.magnitude(x), np.abs(flat).mean(1))
    np.testing.assert_allclose(measures.saturation(2 * x), (np.abs(2 * flat) > 2).mean(1))
    expected = (y.numpy() ** 2 + (omega.numpy() * x.numpy()) ** 2).reshape(3, -1).mean(1) / 2
    np.testing.assert_allclose(measures.energy(x, y, omega), expected)
    lengths = np.sqrt((x.numpy() ** 2).sum(-1)).mean(-1)
    np.testing.assert_allclose(measures.gradient_norm(x), lengths)


OSCILLATORS = [(0.2244, 0.01), (0.785, 0.0), (0.785, 0.3), (0.785, 0.7), (0.5, 1.0), (0.4, 1.2), (2.4, 0.01)]
"""omega h and damping ratio; the last one is unstable for two of the integrators."""


def oscillators(omega, damping_ratio, integrator, h=1.0, alpha=0.04):
    omega, damping, alpha, h = (
        torch.tensor([value], dtype=torch.float64) for value in (omega, damping_ratio * omega, alpha, h)
    )
    constants = Constants(omega, damping, alpha)
    return Oscillators(constants, coefficients(constants, h, integrator), h, integrator, None, None, True)


def driven(unit, forces):
    """Return x_1 .. x_T, (T, forces, 1), under forces of shape (T, forces)."""
    state, positions = OscillatorState(*(torch.zeros(forces.shape[1], 1).double() for _ in range(2))), []
    for force in forces:
        state = step(state, force.unsqueeze(1), unit.coefficients, unit.integration_step, unit.integrator)
        positions.append(state.x)
    return torch.stack(positions)


@pytest.mark.parametrize("integrator", ["symplectic_euler", "explicit_euler", "implicit_damping"])
@pytest.mark.parametrize(("omega", "damping_ratio"), OSCILLATORS)
def test_the_worst_force_reaches_the_bound_and_no_force_exceeds_it(omega, damping_ratio, integrator):
    timesteps = 40
    unit = oscillators(omega, damping_ratio, integrator)
    bound = measures.largest_displacement(unit, timesteps)
    impulse = torch.zeros(timesteps, 1, dtype=torch.float64)
    impulse[0] = 1
    worst = driven(unit, impulse).squeeze(-1).flip(0).sign()
    assert float(measures.bound_share(driven(unit, worst), bound)[-1]) == pytest.approx(1)
    constant = torch.ones(timesteps, 1, dtype=torch.float64)
    forces = torch.cat([draw(timesteps, 500).clamp(-1, 1), draw(timesteps, 500, seed=1).sign(), constant], 1)
    assert float(measures.bound_share(driven(unit, forces), bound).max()) <= 1 + 1e-12
    oscillator = Oscillator(omega, damping_ratio * omega, 0.04, 1.0)
    assert float(bound) == pytest.approx(gain.largest_displacement(oscillator, integrator, timesteps))


def test_a_constant_force_drives_an_overdamped_unit_to_its_bound():
    """alpha / omega^2; the bound at light damping, (4 / pi) alpha / (2 damping omega), is a third of it."""
    unit = oscillators(0.2, 2.0, "symplectic_euler")
    share = measures.bound_share(
        driven(unit, torch.ones(400, 1, dtype=torch.float64)), measures.largest_displacement(unit, 400)
    )
    assert float(share[-1]) == pytest.approx(1)


@pytest.mark.parametrize("damping_ratio", [0.02, 0.1, 0.7, 0.99, 1.0, 2.0])
def test_fine_steps_reach_what_the_flow_reaches(damping_ratio):
    """The integral of |impulse response|, omega = 1: coth(pi zeta / (2 sqrt(1 - zeta^2))) below zeta = 1, else 1."""
    ringing = math.sqrt(max(1 - damping_ratio**2, 0))
    expected = 1 / math.tanh(math.pi * damping_ratio / (2 * ringing)) if ringing else 1.0
    oscillator = Oscillator(1.0, damping_ratio, 1.0, 1e-3)
    steps = round(40 / damping_ratio if damping_ratio < 1 else 80 * damping_ratio) * 1000 // 2
    actual = gain.largest_displacement(oscillator, "symplectic_euler", steps)
    assert actual == pytest.approx(expected, rel=2e-3)
