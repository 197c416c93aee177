"""The L1 scheme against its closed forms, its order of convergence, and finite differences."""

import math

import pytest
import torch

from hornlib.dynamics.fractional import force_weights, history_weights

ORDERS = (0.2, 0.5, 0.8)


def by_the_equation(steps, gamma):
    """Return the weights term by term."""
    tau, weights = steps.tolist(), torch.zeros(len(steps), len(steps), dtype=torch.float64)
    for j in range(len(tau)):
        for k in range(j):
            spans = sum(tau[k : j + 1]), sum(tau[k + 1 : j + 1])
            weights[j, k] = tau[j] ** gamma / tau[k] * (spans[0] ** (1 - gamma) - spans[1] ** (1 - gamma))
    return weights


@pytest.mark.parametrize("gamma", ORDERS)
@pytest.mark.parametrize("tau", [1e-3, 0.25, 7.0])
def test_on_a_uniform_grid_the_weights_do_not_depend_on_the_step(gamma, tau):
    actual = history_weights(torch.full((9,), tau, dtype=torch.float64), gamma)
    for j in range(9):
        for k in range(9):
            expected = (j - k + 1) ** (1 - gamma) - (j - k) ** (1 - gamma) if k < j else 0.0
            assert actual[j, k].item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("gamma", ORDERS)
def test_on_any_grid_the_weights_are_those_of_the_equation(gamma):
    steps = torch.rand(8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.01
    torch.testing.assert_close(history_weights(steps, gamma), by_the_equation(steps, gamma))


def test_small_steps_behind_a_large_one_keep_their_digits_in_single_precision():
    steps = torch.tensor([5.0, 1e-4, 1e-4, 2e-4, 1e-4])
    exact = by_the_equation(steps.double(), 0.5)
    torch.testing.assert_close(history_weights(steps, 0.5).double(), exact, rtol=1e-4, atol=1e-7)


def test_order_one_has_no_history_and_the_force_of_euler():
    steps = torch.tensor([0.3, 0.1, 2.0], dtype=torch.float64)
    assert torch.equal(history_weights(steps, 1.0), torch.zeros(3, 3, dtype=torch.float64))
    assert torch.equal(force_weights(steps, 1.0), steps)


def test_a_single_step_has_no_history():
    assert history_weights(torch.ones(1), 0.5).tolist() == [[0.0]]
    assert force_weights(torch.ones(1), 0.5).item() == pytest.approx(math.sqrt(math.pi) / 2)


def l1_derivative(times, values, gamma):
    """Return the Caputo derivative that the scheme assumes at the last time."""
    steps, increments = times.diff(), values.diff()
    past = history_weights(steps, gamma)[-1] @ increments
    return (increments[-1] + past) / force_weights(steps, gamma)[-1]


@pytest.mark.parametrize("gamma", ORDERS)
@pytest.mark.parametrize("grading", [1.0, 2.0])
def test_the_derivative_of_a_parabola_converges_with_order_two_minus_gamma(gamma, grading):
    exact = 2 / math.gamma(3 - gamma)
    counts = torch.tensor([128, 256, 512, 1024])
    errors = []
    for count in counts.tolist():
        times = torch.linspace(0, 1, count + 1, dtype=torch.float64) ** grading
        errors.append(abs(l1_derivative(times, times**2, gamma).item() - exact))
    slopes = -torch.tensor(errors).log().diff() / counts.log().diff()
    assert slopes[-1].item() == pytest.approx(2 - gamma, abs=0.1)


@pytest.mark.parametrize("gamma", [*ORDERS, 1.0])
def test_gradients_with_respect_to_the_steps_hold_against_finite_differences(gamma):
    steps = torch.tensor([0.5, 0.2, 0.9, 0.4], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda tau: history_weights(tau, gamma), (steps,))
    assert torch.autograd.gradcheck(lambda tau: force_weights(tau, gamma), (steps,))
