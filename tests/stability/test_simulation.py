"""What a simulation of free oscillators shows: the growth of the eigenvalues, and the predicted signs."""

import math
from typing import get_args

import numpy as np
import pytest
import torch

from hornlib.dynamics.oscillator import Constants, OscillatorState, coefficients, step
from hornlib.dynamics.parameters import Integrator
from hornlib.stability.maps import REGIMES, heterogeneity_map, plane_map, predicted_regime
from hornlib.stability.simulation import agreement, growth_rate, random_cells

INTEGRATORS = get_args(Integrator)


def test_the_measured_growth_of_the_symplectic_band_is_half_ln_of_the_determinant():
    omega, damping = np.array([0.224, 0.8, 1.5]), np.array([0.01, 0.05, 0.2])
    rate = growth_rate(omega, damping, "symplectic_euler")
    np.testing.assert_allclose(rate, np.log(1 - 2 * damping) / 2, atol=2e-3 / 2)


def test_an_unstable_oscillator_grows_by_its_larger_eigenvalue():
    omega, damping = 2.4, 0.01
    trace, determinant = 2 - 2 * damping - omega**2, 1 - 2 * damping
    larger = abs(trace) / 2 + math.sqrt(trace**2 / 4 - determinant)
    (rate,) = growth_rate(np.array([omega]), np.array([damping]), "symplectic_euler", 512)
    assert rate == pytest.approx(math.log(larger), rel=1e-9)


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_no_random_cell_does_other_than_predicted(integrator):
    omega, damping = random_cells(5000)
    found = agreement(
        predicted_regime(omega, damping, integrator) > 0, growth_rate(omega, damping, integrator)
    )
    assert found.num_mismatches == 0
    assert found.num_decided > 0.97 * 5000 and found.num_decided + found.num_undecided == 5000


def test_a_wrong_prediction_is_counted():
    omega, damping = random_cells(2000)
    rate = growth_rate(omega, damping, "symplectic_euler", 1024)
    wrong = (omega < 2) & (damping < 1)  # the border of the undamped oscillator, which no damped one has
    assert agreement(wrong, rate, 1024).num_mismatches > 100


@pytest.mark.slow  # 400,000 oscillators a scheme over 4,096 steps: some minutes
@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_no_cell_of_400000_does_other_than_predicted(integrator):
    omega, damping = random_cells(400_000)
    found = agreement(
        predicted_regime(omega, damping, integrator) > 0, growth_rate(omega, damping, integrator)
    )
    assert found.num_mismatches == 0 and found.num_decided > 0.97 * 400_000


def test_a_stable_cell_is_bounded_whatever_its_weights_and_an_unstable_one_is_not():
    """So that in stable cells failure is saturation or a limit cycle, never NaN."""
    draws = torch.Generator().manual_seed(0)
    n, alpha, h = 16, 0.04, 1.0
    weight = 1e4 * torch.randn(n, n, generator=draws, dtype=torch.float64)
    drive = 1e4 * torch.randn(n, generator=draws, dtype=torch.float64)

    def run(omega, damping, steps):
        constants = Constants(
            *(torch.full((n,), value, dtype=torch.float64) for value in (omega, damping, alpha))
        )
        factors = coefficients(constants, h, "symplectic_euler")
        state, largest = OscillatorState(torch.zeros(n).double(), torch.zeros(n).double()), 0.0
        for _ in range(steps):
            state = step(state, torch.tanh(drive + weight @ state.y), factors, h, "symplectic_euler")
            largest = max(largest, float(state.x.abs().max()))
        return largest

    omega, damping = 0.224, 0.01
    assert run(omega, damping, 5000) < 1.05 * 4 / math.pi * alpha / (2 * damping * omega)
    assert run(2.4, damping, 5000) > 1e300


def test_the_plane_holds_prediction_border_and_simulation_that_agree():
    maps = plane_map(24)
    assert (maps["num_mismatches"] == 0).all()
    assert (maps["num_decided"] + maps["num_undecided"] == 24**2).all()
    inside = (maps["omega_h"] > maps["border"].sel(bound="low")) & (
        maps["omega_h"] < maps["border"].sel(bound="high")
    )
    stable = (maps["regime"] != REGIMES.index("unstable")).transpose(*inside.dims)
    assert (inside == stable).all()
    np.testing.assert_array_equal(maps["spectral_radius"] < 1, maps["regime"] > 0)
    assert all(
        variable.attrs["units"] and variable.attrs["long_name"] for variable in maps.variables.values()
    )


def test_the_share_of_drawn_nodes_that_grow_is_the_expected_one():
    maps = heterogeneity_map(largest_timesteps=8, num_points=9)
    binomial = 5 * np.sqrt(0.25 / maps.attrs["num_drawn"])
    assert abs(maps["unstable_share"] - maps["measured_unstable_share"]).max() < binomial
    assert (maps["measured_unstable_share"].sel(timesteps=2, heterogeneity=slice(0, 0.75)) == 1).all()
    assert (maps["measured_unstable_share"].sel(timesteps=8, heterogeneity=slice(0, 1)) == 0).all()
