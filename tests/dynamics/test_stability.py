"""Predictions of stability against numpy's eigenvalues, closed forms and the public HORN cell's numbers."""

import math

import numpy as np
import pytest

from hornlib.dynamics import stability
from hornlib.dynamics.parameters import Oscillator, OscillatorParameters

INTEGRATORS = ("symplectic_euler", "explicit_euler", "implicit_damping")
PUBLIC = OscillatorParameters(preset="public").oscillator(784)


def update_matrix(omega, damping, h, integrator):
    """The step on (x, y), built from the equations."""
    if integrator == "explicit_euler":
        return np.array([[1, h], [-h * omega**2, 1 - 2 * damping * h]])
    divisor = 1 + 2 * h * damping if integrator == "implicit_damping" else 1
    kept = 1 / divisor if integrator == "implicit_damping" else 1 - 2 * h * damping
    y = np.array([-h * omega**2 / divisor, kept])
    return np.array([np.array([1, 0]) + h * y, y])


def random_cells(integrator, number=4000):
    """Cells over all regimes, with their eigenvalues; those on a boundary (to 1e-6) are left out."""
    random = np.random.default_rng(0)
    for _ in range(number):
        h = 10 ** random.uniform(-2, 1)
        omega, damping = (10 ** random.uniform(-2, 1) / h for _ in range(2))
        eigenvalues = np.linalg.eigvals(update_matrix(omega, damping, h, integrator))
        gap = abs(eigenvalues[0] - eigenvalues[1])
        if abs(abs(eigenvalues).max() - 1) > 1e-6 and gap > 1e-6:
            yield (omega, damping, h, integrator), eigenvalues


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_no_random_cell_contradicts_the_eigenvalues(integrator):
    seen = []
    for cell, eigenvalues in random_cells(integrator):
        dominant = eigenvalues[abs(eigenvalues).argmax()]
        truth = (abs(dominant) < 1, abs(dominant.imag) > 0, dominant.imag == 0 and dominant.real < 0)
        predicted = (
            stability.is_stable(*cell),
            stability.is_oscillatory(*cell),
            stability.is_sign_flipping(*cell),
        )
        assert predicted == truth, cell
        assert stability.spectral_radius(*cell) == pytest.approx(abs(dominant), rel=1e-6), cell
        seen.append(predicted)
    assert len(seen) > 3900
    assert {stable for stable, *_ in seen} == {True, False}
    assert {oscillatory for _, oscillatory, _ in seen} == {True, False}
    assert any(stable and flipping for stable, _, flipping in seen)


def test_modulus_in_the_symplectic_band_does_not_depend_on_omega():
    radii = [stability.spectral_radius(omega, 0.01, 1.0, "symplectic_euler") for omega in (0.05, 0.5, 1.9)]
    assert radii == pytest.approx([math.sqrt(0.98)] * 3, rel=1e-15)


def test_public_cell_forgets_in_99_steps():
    prediction = stability.predict(PUBLIC, "symplectic_euler", 784)
    assert prediction.stable and prediction.oscillatory and not prediction.sign_flipping
    assert prediction.spectral_radius == pytest.approx(0.98995, abs=5e-6)
    assert prediction.time_constant == pytest.approx(99, abs=0.01)
    assert prediction.num_cycles == pytest.approx(28)
    assert prediction.gradient_proxy == pytest.approx(0.98**392)


def test_public_cell_explodes_under_explicit_euler():
    prediction = stability.predict(PUBLIC, "explicit_euler", 784)
    assert not prediction.stable and prediction.time_constant == math.inf
    assert prediction.spectral_radius == pytest.approx(1.0151, abs=5e-5)
    assert prediction.gradient_proxy == pytest.approx(1.2e5, rel=0.05)


def test_gradient_proxy_outside_the_band_is_that_of_the_slowest_mode():
    overdamped = Oscillator(omega=0.1, damping=0.3, alpha=1.0, integration_step=1.0)
    prediction = stability.predict(overdamped, "symplectic_euler", 10)
    slowest = abs(np.linalg.eigvals(update_matrix(0.1, 0.3, 1.0, "symplectic_euler"))).max()
    assert not prediction.oscillatory
    assert prediction.gradient_proxy == pytest.approx(slowest**10)


@pytest.mark.parametrize("frequency", [0.01, 0.2244, 1.0, 1.9])
def test_undamped_symplectic_phase_advances_by_the_warped_angle(frequency):
    eigenvalues = np.linalg.eigvals(update_matrix(frequency, 0.0, 1.0, "symplectic_euler"))
    assert abs(np.angle(eigenvalues)) == pytest.approx([2 * math.asin(frequency / 2)] * 2)


def test_no_force_within_one_drives_the_public_cell_beyond_its_bound():
    """The supremum over forces is the l1 norm of the impulse response: 11.37."""
    matrix, state, total = update_matrix(PUBLIC.omega, PUBLIC.damping, 1.0, "symplectic_euler"), None, 0.0
    state = np.array([PUBLIC.alpha, PUBLIC.alpha])
    for _ in range(4000):
        total += abs(state[0])
        state = matrix @ state
    assert total == pytest.approx(11.37, abs=0.01)
    assert stability.predict(PUBLIC, "symplectic_euler", 4000).bound == pytest.approx(total, rel=1e-9)


def test_undamped_cell_has_infinite_resonance_and_memory():
    prediction = stability.predict(PUBLIC._replace(damping=0.0), "symplectic_euler", 784)
    assert prediction.resonance_gain == prediction.time_constant == math.inf
    assert math.isfinite(prediction.bound)  # within 784 steps
    assert prediction.gradient_proxy == 1 and not prediction.stable


def test_growth_beyond_floats_is_infinite():
    wild = Oscillator(omega=1e3, damping=0.01, alpha=1.0, integration_step=1.0)
    assert stability.predict(wild, "explicit_euler", 784).gradient_proxy == math.inf


@pytest.mark.parametrize("preset", ["public", "unit_gain"])
@pytest.mark.parametrize("heterogeneity", [0.0, 1.0])
def test_presets_draw_no_warning(preset, heterogeneity):
    parameters = OscillatorParameters(preset=preset, heterogeneity=heterogeneity)
    assert stability.warnings(parameters, 28) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"omega": 2.4},
            ["unstable", "omega h = 2.4", "damping h = 0.01", "< 4 (1 - damping h)", "radius 3.5"],
        ),
        ({"omega": 1.5, "heterogeneity": 1.0}, ["unstable", "omega h = 3", "damping h = 0.02"]),
        ({"damping": 1.2}, ["unstable", "violates damping h < 1"]),
        (
            {"integrator": "explicit_euler"},
            ["violates h < 2 damping / omega^2", "factor 1.2e+05 over 784 steps"],
        ),
        ({"integrator": "explicit_euler", "damping": 1.5}, ["sqrt(damping^2 - omega^2)"]),
        ({"integrator": "implicit_damping", "omega": 2.1}, ["unstable", "< 4 (1 + damping h)"]),
        ({"damping": 0.0}, ["undamped"]),
        ({"damping": 0.0, "integrator": "explicit_euler"}, ["unstable", "radius 1.025"]),
        ({"omega": 1.0, "damping": 0.74}, ["sign-flipping", "omega h = 1"]),
    ],
)
def test_trouble_is_named_with_its_numbers(fields, words):
    (warning,) = stability.warnings(OscillatorParameters(preset="public", **fields), 784)
    assert all(word in warning for word in words), warning


def test_every_corner_of_an_independent_draw_is_looked_at():
    """Explicit Euler fails here only where the fastest node meets the least damping."""
    fields = {"omega": 0.2, "damping": 0.05, "integrator": "explicit_euler", "heterogeneity": 1.0}
    together = OscillatorParameters(**fields, heterogeneity_draw="log_uniform")
    independent = OscillatorParameters(**fields, heterogeneity_draw="uniform")
    assert stability.warnings(together, 100) == []
    assert "omega h = 0.4 with damping h = 0.025 " in stability.warnings(independent, 100)[0]
