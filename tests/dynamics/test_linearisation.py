"""The linearised network against autograd; the criterion for equal oscillators against the full Jacobian."""

import pytest
import torch

from hornlib.dynamics.linearisation import jacobian_at_rest, rest_is_stable
from hornlib.dynamics.oscillator import Coefficients, Constants, State, coefficients, step

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
        state = State(*flat.split(n))
        force = torch.tanh(weight @ (state.y if recurrence_on == "velocity" else state.x))
        return torch.cat(step(state, force, c, h, integrator))

    expected = torch.autograd.functional.jacobian(advance, torch.zeros(2 * n, dtype=torch.float64))
    torch.testing.assert_close(jacobian_at_rest(weight, c, h, integrator, recurrence_on), expected)


@pytest.mark.parametrize(("integrator", "recurrence_on"), ARMS)
def test_criterion_for_equal_oscillators_agrees_with_the_eigenvalues(integrator, recurrence_on):
    generator, n, seen = torch.Generator().manual_seed(1), 6, []
    for _ in range(400):
        h = float(uniform(generator, 0.2, 1, ()))
        omega = uniform(generator, 0.1, 1.5, ())
        damping, alpha = (uniform(generator, 0.01, 1.0, ()) for _ in range(2))
        weight = (
            uniform(generator, 0, 1.5, ())
            * torch.randn(n, n, generator=generator, dtype=torch.float64)
            / n**0.5
        )
        scalars = coefficients(Constants(omega, damping, alpha), h, integrator)
        vectors = Coefficients(*(value.expand(n) for value in scalars))
        jacobian = jacobian_at_rest(weight, vectors, h, integrator, recurrence_on)
        radius = torch.linalg.eigvals(jacobian).abs().max()
        if abs(radius - 1) > 1e-9:
            stable = bool(rest_is_stable(weight, scalars, h, integrator, recurrence_on))
            assert stable == bool(radius < 1)
            seen.append(stable)
    assert 20 < sum(seen) < len(seen) - 20


@pytest.mark.parametrize(("factor", "stable"), [(0.99, True), (1.01, False)])
def test_a_real_eigenvalue_destabilises_rest_beyond_two_damping_over_alpha(factor, stable):
    constants = Constants(*(torch.tensor(value, dtype=torch.float64) for value in (0.2244, 0.01, 0.04)))
    weight = torch.diag(torch.tensor([factor * 2 * 0.01 / 0.04, 0.0], dtype=torch.float64))
    c = coefficients(constants, 1.0, "symplectic_euler")
    assert bool(rest_is_stable(weight, c, 1.0, "symplectic_euler", "velocity")) == stable
