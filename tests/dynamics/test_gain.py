"""The gain under a constant drive, against exact fractions, the closed form, the exact flow and reference numbers."""

import math
from fractions import Fraction

import numpy as np
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


READOUTS = ("mean", "last", "rms")


def exact_response(oscillator, integrator, timesteps):
    """Iterate the update rule in fractions, which do not round."""
    omega, damping, alpha, h = map(Fraction, oscillator)
    x = y = Fraction(0)
    response = []
    for _ in range(timesteps):
        old = y
        y = y + h * (alpha - omega**2 * x - (0 if integrator == "implicit_damping" else 2 * damping * y))
        if integrator == "implicit_damping":
            y = y / (1 + 2 * h * damping)
        x = x + h * (old if integrator == "explicit_euler" else y)
        response.append(x)
    return response


def exact_gain(oscillator, integrator, timesteps, readout):
    response = exact_response(oscillator, integrator, timesteps)
    if readout == "last":
        return float(response[-1])
    if readout == "rms":
        return math.sqrt(sum(x * x for x in response) / timesteps)
    return float(sum(response) / timesteps)


def closed_form(oscillator, integrator, timesteps):
    """Return (alpha / omega^2) (1 - (M^t)_xx), M the unforced step on (x, y)."""
    omega, damping, _, h = oscillator
    carry, spring = 1 - 2 * h * damping, h * omega**2
    if integrator == "implicit_damping":
        carry, spring = (value / (1 + 2 * h * damping) for value in (1, spring))
    if integrator == "explicit_euler":
        unforced = np.array([[1, h], [-spring, carry]])
    else:
        unforced = np.array([[1 - h * spring, h * carry], [-spring, carry]])
    powers = [np.linalg.matrix_power(unforced, t + 1) for t in range(timesteps)]
    return [oscillator.dc_gain * (1 - power[0, 0]) for power in powers]


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
        Oscillator(2.0, 2.0, 1.0, 0.25),
    ],
    ids=[
        "public",
        "underdamped",
        "overdamped",
        "undamped",
        "sign-flipping",
        "unstable",
        "meeting eigenvalues",
    ],
)
def test_the_response_is_the_closed_form_by_powers_of_the_step(oscillator, integrator):
    expected = closed_form(oscillator, integrator, 20)
    assert step_response(oscillator, integrator, 20) == pytest.approx(expected, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("omega", [1e-6, 1e-5, 1e-4, 1e-2, 1.0])
@pytest.mark.parametrize("damping_ratio", [0.0, 0.1, 1.0, 3.0])
@pytest.mark.parametrize("h", [1e-6, 1.0])
def test_the_gain_has_all_its_digits_however_slow_the_oscillator(
    omega, damping_ratio, h, integrator, readout
):
    oscillator = Oscillator(omega, damping_ratio * omega, 0.04, h)
    actual = constant_drive_gain(oscillator, integrator, 8, readout)
    assert actual == pytest.approx(exact_gain(oscillator, integrator, 8, readout), rel=1e-13, abs=0)


def test_a_nearly_free_mass_moves_by_the_sum_of_its_velocities():
    """The mean over T = 8 of alpha h^2 t (t + 1) / 2 is 15 alpha h^2."""
    gain = constant_drive_gain(Oscillator(1e-6, 1e-7, 0.04, 1.0), "symplectic_euler", 8, "mean")
    assert gain == pytest.approx(0.5999998, abs=5e-8)


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
    assert leaky_step_response(1e-12, 2) == pytest.approx([1e-12, 2e-12], rel=1e-11, abs=0)
    assert response == pytest.approx(expected)
    assert read_out(response, "mean") == pytest.approx(sum(expected) / 9)
    assert read_out(response, "last") == pytest.approx(expected[-1])
    assert read_out(response, "rms") == pytest.approx(math.sqrt(sum(x * x for x in expected) / 9))


def test_over_one_fine_undamped_cycle_the_reference_gain_is_one():
    """The mean of 1 - cos over a cycle."""
    assert reference_gain(2000, "mean", damping_ratio=0.0) == pytest.approx(1, abs=1e-3)
    assert reference_gain(8) == pytest.approx(
        exact_gain(OscillatorParameters().oscillator(8), "symplectic_euler", 8, "mean")
    )


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("readout", READOUTS)
def test_a_response_that_no_float_can_hold_is_infinite(integrator, readout):
    oscillator = Oscillator(omega=100.0, damping=0.1, alpha=1e4, integration_step=1.0)
    assert constant_drive_gain(oscillator, integrator, 400, readout) == math.inf
    exact = [float(x) for x in exact_response(oscillator, integrator, 20)]
    assert step_response(oscillator, integrator, 20) == pytest.approx(exact, rel=1e-9)
