"""The recurrence's strength: the symbol and closed forms against dense matrices and autograd's Jacobian."""

import math

import pytest
import torch

from hornlib.dynamics.oscillator import Constants, coefficients
from hornlib.dynamics.probes import recurrence
from hornlib.dynamics.probes.convolution import channel_matrices, convolution_matrix, symbol
from hornlib.dynamics.probes.recurrence import strength
from hornlib.dynamics.probes.units import FirstOrder, Gru, Oscillators


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def oscillators(weight, shape, integrator="symplectic_euler", reads_velocity=True, scale=None):
    constants = Constants(*(0.1 + 0.3 * draw(*shape, seed=k).abs() for k in range(3)))
    h = torch.tensor(0.7, dtype=torch.float64)
    return Oscillators(
        constants, coefficients(constants, h, integrator), h, integrator, weight, scale, reads_velocity
    )


def radius_by_autograd(unit, shape):
    """Return the spectral radius of the step's Jacobian at rest, without drive."""
    size = math.prod(shape)
    drive = torch.zeros(1, *shape, dtype=torch.float64)

    def advance(flat):
        state = tuple(part.view(1, *shape) for part in flat.split(size))
        return torch.cat([part.flatten() for part in unit.advance(drive, state).state])

    rest = torch.zeros(unit.num_parts * size, dtype=torch.float64)
    return torch.linalg.eigvals(torch.autograd.functional.jacobian(advance, rest)).abs().max()


MAP = (3, 4, 2)
CASES = {
    "dense": (draw(6, 6), (6,), None),
    "depthwise, a constant a channel": (draw(3, 1, 3, 3), MAP, None),
    "depthwise, a constant a unit": (draw(3, 1, 3, 3), MAP, 1 + draw(*MAP, seed=5).abs()),
    "full": (draw(3, 3, 3, 3), MAP, None),
    "alone": (None, (6,), None),
}


@pytest.mark.parametrize("reads_velocity", [True, False])
@pytest.mark.parametrize("integrator", ["symplectic_euler", "explicit_euler", "implicit_damping"])
@pytest.mark.parametrize("name", CASES)
def test_the_spectral_radius_is_that_of_the_jacobian_by_autograd(name, integrator, reads_velocity):
    weight, shape, scale = CASES[name]
    of_constants = (shape[0], 1, 1) if len(shape) == 3 and scale is None else shape
    unit = oscillators(weight, of_constants, integrator, reads_velocity, scale)
    torch.testing.assert_close(strength(unit, shape).spectral_radius, radius_by_autograd(unit, shape))


@pytest.mark.parametrize("name", ["dense", "depthwise, a constant a channel", "full", "alone"])
def test_first_order_units_likewise(name):
    weight, shape, _ = CASES[name]
    unit = FirstOrder(torch.tensor(0.3).double(), torch.tensor(1.4).double(), weight)
    actual = strength(unit, shape)
    torch.testing.assert_close(actual.spectral_radius, radius_by_autograd(unit, shape))
    if name == "dense":
        torch.testing.assert_close(actual.abscissa_ratio, 1.4 * torch.linalg.eigvals(weight).real.max())


def test_of_equal_oscillators_the_ratio_is_that_of_the_abscissa_to_two_damping_over_alpha():
    n, damping, alpha = 8, 0.01, 0.04
    hidden = draw(n, n)
    constants = Constants(*(torch.full((n,), value).double() for value in (0.2244, damping, alpha)))
    h = torch.tensor(1.0).double()
    unit = Oscillators(
        constants,
        coefficients(constants, h, "symplectic_euler"),
        h,
        "symplectic_euler",
        hidden / n**0.5,
        None,
        True,
    )
    expected = torch.linalg.eigvals(hidden).real.max() / (2 * damping * n**0.5 / alpha)
    torch.testing.assert_close(strength(unit, (n,)).abscissa_ratio, expected)


def test_rest_is_lost_where_the_ratio_of_a_real_mode_passes_one():
    for factor, stable in ((0.99, True), (1.01, False)):
        unit = oscillators(None, (1,))
        weight = (factor * 2 * unit.constants.damping / unit.constants.alpha).view(1, 1)
        actual = strength(unit._replace(weight=weight), (1,))
        assert float(actual.abscissa_ratio) == pytest.approx(factor)
        assert bool(actual.spectral_radius < 1) == stable


def test_matrices_of_a_convolution_do_what_the_convolution_does():
    maps = draw(2, 3, 4, 5)
    for kernel in (draw(3, 1, 3, 3), draw(3, 3, 3, 3)):
        expected = torch.nn.functional.conv2d(maps, kernel, padding=1, groups=3 // kernel.shape[1])
        whole = maps.flatten(1) @ convolution_matrix(kernel, 3, 4, 5).mT
        torch.testing.assert_close(whole.view_as(maps), expected)
    kernel = draw(3, 1, 3, 3)
    blocks = channel_matrices(kernel, 4, 5)
    assert torch.equal(torch.block_diag(*blocks), convolution_matrix(kernel, 3, 4, 5))


def test_the_symbol_is_the_spectrum_of_the_dense_matrix_on_a_map_with_periodic_edges():
    kernel, size = draw(2, 1, 3, 3), 24  # the symbol's grid of angles
    impulse = torch.zeros(1, 2, size, size).double()
    impulse[..., 0, 0] = 1
    padded = torch.nn.functional.pad(impulse, (1, 1, 1, 1), mode="circular")
    response = torch.nn.functional.conv2d(padded, kernel, groups=2)[0]
    expected = torch.fft.fft2(response)[:, : size // 2 + 1].flatten(1)
    torch.testing.assert_close(symbol(kernel), expected)


def test_the_symbol_bounds_the_abscissa_of_a_map_with_zeros_around_and_comes_near_it():
    for seed in range(5):
        kernel = draw(1, 1, 3, 3, seed=seed)
        symmetric = (kernel + kernel.flip((-2, -1))) / 2  # a normal operator: eigenvalues fill the range
        for kind, least in ((kernel, -math.inf), (symmetric, 0.9)):
            bound = symbol(kind).real.max()
            own = torch.linalg.eigvals(channel_matrices(kind, 12, 12)).real.max()
            assert own <= bound + 1e-3 * bound.abs()  # the grid of angles may miss the very top
            assert own >= least * bound


def test_large_maps_take_the_symbol_and_what_is_too_large_is_nan(monkeypatch):
    kernel = 0.1 * draw(2, 1, 3, 3)
    unit = oscillators(kernel, (2, 1, 1))
    exact = strength(unit, (2, 6, 6))
    monkeypatch.setattr(recurrence, "DENSE_PIXELS", 4)
    bound = strength(unit, (2, 6, 6))
    assert exact.abscissa_ratio <= bound.abscissa_ratio * 1.001
    monkeypatch.setattr(recurrence, "MOST_UNITS", 4)
    too_large = strength(oscillators(draw(6, 6), (6,)), (6,))
    assert too_large.abscissa_ratio.isnan() and too_large.spectral_radius.isnan()


def test_gated_units_and_broken_weights_are_nan():
    assert strength(Gru(draw(9, 3), draw(3)), (3,)).spectral_radius.isnan()
    broken = strength(oscillators(torch.full((3, 3), math.inf).double(), (3,)), (3,))
    assert broken.abscissa_ratio.isnan() and broken.spectral_radius.isnan()
