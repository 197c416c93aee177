"""The gain under a constant drive, against the recursion, the exact flow and the reference's numbers."""

import math

import pytest

from hornlib.dynamics.gain import (
    constant_drive_gain,
    leaky_step_response,
    read_out,
    reference_gain,
    step_response,
)
from hornlib.dynamics.parameters import Oscillator, OscillatorParameters

PUBLIC = OscillatorParameters(preset="public").oscillator(8)
INTEGRATORS = ("symplectic_euler", "explicit_euler", "implicit_damping")


def recursion(oscillator, integrator, timesteps):
    """Iterate the update rule itself, velocity first."""
    omega, damping, alpha, h = oscillator
    x = y = 0.0
    response = []
    for _ in range(timesteps):
        old = y
        y = y + h * (alpha - omega**2 * x - (0 if integrator == "implicit_damping" else 2 * damping * y))
        if integrator == "implicit_damping":
            y = y / (1 + 2 * h * damping)
        x = x + h * (old if integrator == "explicit_euler" else y)
        response.append(x)
    return response


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize(
    "oscillator",
    [
        PUBLIC,
        Oscillator(0.8, 0.08, 0.64, 1.0),
        Oscillator(0.8, 1.2, 0.64, 0.5),
        Oscillator(0.5, 0.0, 2.0, 1.0),
        Oscillator(0.9, 0.7, 0.3, 1.0),
        Oscillator(math.pi, 0.3, 1.0, 1.0),
    ],
    ids=["public", "underdamped", "overdamped", "undamped", "sign-flipping", "unstable"],
)
def test_the_closed_form_is_the_recursion(oscillator, integrator):
    expected = recursion(oscillator, integrator, 20)
    assert step_response(oscillator, integrator, 20) == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_eigenvalues_that_meet_are_no_exception():
    meeting = Oscillator(omega=2.0, damping=2.0, alpha=1.0, integration_step=0.25)
    assert step_response(meeting, "explicit_euler", 12) == pytest.approx(
        recursion(meeting, "explicit_euler", 12)
    )


def test_the_public_constants_give_the_reference_numbers():
    response = step_response(PUBLIC, "symplectic_euler", 28)
    reference = {1: 0.04, 2: 0.117, 4: 0.363, 8: 1.01, 14: 1.48, 28: 0.198}
    for t, x in reference.items():
        assert response[t - 1] == pytest.approx(x, rel=5e-3)
    assert constant_drive_gain(PUBLIC, "symplectic_euler", 8) == pytest.approx(0.477, abs=5e-4)


def test_one_step_has_gain_h_squared_alpha_and_a_long_drive_the_dc_gain():
    oscillator = Oscillator(omega=0.6, damping=0.3, alpha=0.5, integration_step=0.5)
    for readout in ("mean", "last"):
        assert constant_drive_gain(oscillator, "symplectic_euler", 1, readout) == pytest.approx(0.25 * 0.5)
    last = constant_drive_gain(oscillator, "symplectic_euler", 400, "last")
    assert last == pytest.approx(oscillator.dc_gain, rel=1e-12)


def test_small_steps_follow_the_exact_flow():
    omega, zeta = 1.3, 0.2
    oscillator = Oscillator(omega, zeta * omega, 1.0, integration_step=1e-3)
    time, ringing = 4.0, omega * math.sqrt(1 - zeta**2)
    phase = math.cos(ringing * time) + zeta / math.sqrt(1 - zeta**2) * math.sin(ringing * time)
    exact = (1 - math.exp(-zeta * omega * time) * phase) / omega**2
    assert step_response(oscillator, "symplectic_euler", 4000)[-1] == pytest.approx(exact, rel=2e-3)


def test_the_leaky_response_is_its_recursion_and_read_outs_are_what_they_say():
    x, expected = 0.0, []
    for _ in range(9):
        x = 0.7 * x + 0.3
        expected.append(x)
    response = leaky_step_response(0.3, 9)
    assert response == pytest.approx(expected)
    assert read_out(response, "mean") == pytest.approx(sum(expected) / 9)
    assert read_out(response, "last") == pytest.approx(expected[-1])
    assert read_out(response, "rms") == pytest.approx(math.sqrt(sum(x * x for x in expected) / 9))


def test_over_one_fine_undamped_cycle_the_reference_gain_is_one():
    """The mean of 1 - cos over a cycle."""
    assert reference_gain(2000, "mean", damping_ratio=0.0) == pytest.approx(1, abs=1e-3)
    assert reference_gain(8) == pytest.approx(
        sum(recursion(OscillatorParameters().oscillator(8), "symplectic_euler", 8)) / 8
    )


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("readout", ["mean", "last", "rms"])
def test_a_response_that_no_float_can_hold_is_infinite(integrator, readout):
    oscillator = Oscillator(omega=100.0, damping=0.1, alpha=1e4, integration_step=1.0)
    assert constant_drive_gain(oscillator, integrator, 400, readout) == math.inf
    response = step_response(oscillator, integrator, 20)
    assert response == pytest.approx(recursion(oscillator, integrator, 20), rel=1e-9)
