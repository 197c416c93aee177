"""Running on: exponents of linear cells and of known chaotic maps, coherence in closed form, spectra as scipy's."""

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy import signal

from hornlib.dynamics.oscillator import Constants, coefficients
from hornlib.dynamics.probes.running_on import dominant_frequency, phase_coherence, power_spectrum, run_on
from hornlib.dynamics.probes.units import FirstOrder, Oscillators, Step
from hornlib.dynamics.stability import spectral_radius


def full(value, n=2):
    return torch.full((n,), value, dtype=torch.float64)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("integrator", ["symplectic_euler", "explicit_euler", "implicit_damping"])
@pytest.mark.parametrize("damping", [0.02, 0.1, 0.9])
def test_the_exponent_of_the_linear_cell_is_the_logarithm_of_its_spectral_radius(integrator, damping):
    h = torch.tensor(1.0, dtype=torch.float64)
    constants = Constants(full(0.4), full(damping), full(1.0))
    unit = Oscillators(constants, coefficients(constants, h, integrator), h, integrator, None, None, True)
    start = (draw(3, 2), draw(3, 2, seed=1))
    actual = run_on(unit, draw(3, 2, seed=2), start, (draw(3, 2, seed=3), draw(3, 2, seed=4)), 4000)
    rho = spectral_radius(0.4, damping, 1.0, integrator)
    assert float(actual.exponent) == pytest.approx(math.log(rho), abs=1e-3)


class Henon(NamedTuple):
    """x' = 1 - 1.4 x^2 + y, y' = 0.3 x: exponent 0.4192 (Sprott 2003, table A)."""

    num_parts = 2

    def advance(self, drive, state):
        x, y = state
        return Step(x, x, (1 - 1.4 * x**2 + y, 0.3 * x))

    def tangent(self, drive, state, after, offset):
        return -2.8 * state[0] * offset[0] + offset[1], 0.3 * offset[0]

    def weights_of_parts(self):
        return 1.0, 1.0


class Logistic(NamedTuple):
    """x' = 4 x (1 - x): exponent ln 2."""

    num_parts = 1

    def advance(self, drive, state):
        (x,) = state
        return Step(x, x, (4 * x * (1 - x),))

    def tangent(self, drive, state, after, offset):
        return (4 * (1 - 2 * state[0]) * offset[0],)

    def weights_of_parts(self):
        return (1.0,)


@pytest.mark.parametrize(
    ("unit", "start", "expected"),
    [(Henon(), (0.1, 0.1), 0.4192), (Logistic(), (0.3,), math.log(2))],
    ids=["henon", "logistic"],
)
def test_exponents_of_chaotic_maps_are_the_known_ones(unit, start, expected):
    state = tuple(
        value + 0.01 * torch.rand(20, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        for value in start
    )
    actual = run_on(unit, torch.zeros(20, 1), state, tuple(torch.ones_like(part) for part in state), 4000)
    assert float(actual.exponent) == pytest.approx(expected, abs=0.01)


def test_a_unit_that_forgets_everything_has_the_exponent_minus_infinity():
    unit = FirstOrder(torch.ones(()).double(), torch.ones(()).double(), None)
    actual = run_on(unit, draw(3, 4), (draw(3, 4),), (draw(3, 4),), 16)
    assert float(actual.exponent) == -math.inf


def test_states_run_on_from_where_they_were_under_the_same_drive():
    unit = FirstOrder(torch.tensor(0.25).double(), torch.ones(()).double(), 0.5 * torch.eye(4).double())
    drive, start = draw(3, 4), draw(3, 4, seed=1)
    actual = run_on(unit, drive, (start,), (draw(3, 4, seed=2),), 20)
    state = start
    for t in range(20):
        state = 0.75 * state + 0.25 * torch.tanh(drive + 0.5 * state)
        torch.testing.assert_close(actual.states[0][t], state)


def test_units_in_phase_are_coherent_and_units_spread_over_the_circle_are_not():
    time = torch.arange(64, dtype=torch.float64).view(64, 1, 1) * (2 * math.pi / 16)
    omega = torch.full((8,), 0.3, dtype=torch.float64)

    def wave(phases, amplitude):
        angle = time + phases
        return amplitude * torch.cos(angle) + 5.0, -omega * amplitude * torch.sin(angle)

    amplitude = 1 + torch.arange(8, dtype=torch.float64)
    together = phase_coherence(*wave(torch.full((8,), 0.7).double(), amplitude), omega)
    torch.testing.assert_close(together, torch.ones(64).double())
    spread = torch.arange(8, dtype=torch.float64) * (2 * math.pi / 8)
    assert float(phase_coherence(*wave(spread, amplitude), omega).max()) < 1e-12


def test_coherence_is_kuramoto_s_order_parameter_and_leaves_silent_units_out():
    x, y, omega = draw(10, 2, 6), draw(10, 2, 6, seed=1), draw(6, seed=2).abs() + 0.1
    phases = np.angle((x - x.mean(0)).numpy() + 1j * (y / omega).numpy())
    expected = np.abs(np.exp(1j * phases).mean(-1)).mean(-1)
    np.testing.assert_allclose(phase_coherence(x, y, omega), expected)
    silent = torch.zeros(10, 2, 3).double()
    more = phase_coherence(
        torch.cat([x, silent], 2), torch.cat([y, silent], 2), torch.cat([omega, omega[:3]])
    )
    np.testing.assert_allclose(more, expected)


@pytest.mark.parametrize("length", [32, 33])
def test_power_is_scipy_s_periodogram(length):
    series = draw(length, 2, 3) + 4
    _, expected = signal.periodogram(
        series.numpy(), window="hann", detrend="constant", scaling="spectrum", axis=0
    )
    # scipy leaves the (zero) power at frequency 0 as it is after the window; so do we
    np.testing.assert_allclose(power_spectrum(series), expected.mean((1, 2)), rtol=1e-10, atol=1e-14)


def test_a_sine_has_half_its_squared_amplitude_at_its_frequency():
    time = torch.arange(32, dtype=torch.float64)
    power = power_spectrum((3 * torch.sin(2 * math.pi * 4 * time / 32)).view(32, 1, 1))
    assert float(power[4]) == pytest.approx(4.5)
    assert float(dominant_frequency(power, 32)) == 4 / 32
    assert dominant_frequency(torch.zeros(17), 32).isnan()
