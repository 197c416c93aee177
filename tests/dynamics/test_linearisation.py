"""The linearised network against autograd, and where rest loses its stability."""

import pytest
import torch

from hornlib.dynamics.linearisation import jacobian_at_rest
from hornlib.dynamics.oscillator import Coefficients, Constants, OscillatorState, coefficients, step

INTEGRATORS = ("symplectic_euler", "explicit_euler", "implicit_damping")
ARMS = [(i, on) for i in INTEGRATORS for on in ("velocity", "position")]


def uniform(generator, low, high, *shape):
    return low + (high - low) * torch.rand(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(("integrator", "recurrence_on"), ARMS)
def test_jacobian_is_that_of_the_nonlinear_step_by_autograd(integrator, recurrence_on):
    generator, n, h = torch.Generator().manual_seed(0), 5, 0.7
    weight = uniform(generator, -1, 1, n, n)
    constants = Constants(*(uniform(generator, 0.1, 1, n) for _ in range(3)))
    c = coefficients(constants, h, integrator)

    def advance(flat):
        state = OscillatorState(*flat.split(n))
        force = torch.tanh(weight @ (state.y if recurrence_on == "velocity" else state.x))
        return torch.cat(step(state, force, c, h, integrator))

    expected = torch.autograd.functional.jacobian(advance, torch.zeros(2 * n, dtype=torch.float64))
    torch.testing.assert_close(jacobian_at_rest(weight, c, h, integrator, recurrence_on), expected)


@pytest.mark.parametrize(("factor", "stable"), [(0.99, True), (1.01, False)])
def test_a_real_eigenvalue_destabilises_rest_beyond_two_damping_over_alpha(factor, stable):
    constants = Constants(*(torch.tensor(value, dtype=torch.float64) for value in (0.2244, 0.01, 0.04)))
    weight = torch.diag(torch.tensor([factor * 2 * 0.01 / 0.04, 0.0], dtype=torch.float64))
    scalars = coefficients(constants, 1.0, "symplectic_euler")
    c = Coefficients(*(value.expand(2) for value in scalars))
    jacobian = jacobian_at_rest(weight, c, 1.0, "symplectic_euler", "velocity")
    assert bool(torch.linalg.eigvals(jacobian).abs().max() < 1) == stable
