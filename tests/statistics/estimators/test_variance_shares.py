"""Shares of variance: closed forms of factorials and polynomials, and noise that is subtracted."""

import numpy as np
import pytest
import xarray as xr

from hornlib.statistics.estimators.intervals import resampling_weights
from hornlib.statistics.estimators.variance_shares import variance_shares


def factorial(values, seeds=8, noise=0.0):
    """Return a grid over axes a, b, ... with these true values, and noise of every run."""
    values = np.asarray(values, float)
    luck = noise * np.random.default_rng(0).normal(size=(*values.shape, seeds))
    return xr.DataArray(values[..., None] + luck, dims=(*"abcd"[: values.ndim], "seed"))


def shares_of(grid):
    axes = [axis for axis in grid.dims if axis != "seed"]
    return variance_shares(grid, axes, resampling_weights(100, grid.sizes["seed"], 0))


def polynomial(a, b, ab, c=0.0):
    """Return a x1 + b x2 + ab x1 x2 + c x3 at all combinations of x = -1, 1."""
    x1, x2, x3 = np.meshgrid(*[[-1.0, 1.0]] * 3, indexing="ij")
    return a * x1 + b * x2 + ab * x1 * x2 + c * x3


def test_shares_are_the_squared_coefficients_over_their_sum():
    shares = shares_of(factorial(polynomial(3, 1, 2)))
    np.testing.assert_allclose(shares["first_order"], np.array([9, 1, 0]) / 14, atol=1e-12)
    np.testing.assert_allclose(shares["total"], np.array([13, 5, 0]) / 14, atol=1e-12)
    np.testing.assert_allclose(shares["interaction"], np.array([4, 0, 0]) / 14, atol=1e-12)
    assert shares["noise"].item() == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(shares["largest_in_draws"], [1, 0, 0])


def test_shares_of_many_levels_approach_the_sobol_indices_of_a_polynomial():
    # f = x1 + x2^2 + x1 x2 on [0, 1]^2: f1 = 3/2 x1 - 3/4, f2 = x2^2 + x2/2 - 7/12, f12 = (x1 - 1/2)(x2 - 1/2)
    x = (np.arange(60) + 0.5) / 60
    shares = shares_of(factorial(x[:, None] + x**2 + x[:, None] * x, seeds=5))
    parts = np.array([9 / 48, 4 / 45 + 1 / 48 + 1 / 12, 1 / 144])  # variances of f1, f2, f12
    np.testing.assert_allclose(shares["first_order"], parts[:2] / parts.sum(), rtol=2e-3)
    np.testing.assert_allclose(shares["interaction"], parts[2:] / parts.sum(), rtol=2e-3)


def test_noise_alone_explains_nothing_on_average():
    random = np.random.default_rng(2)
    variances, noises = [], []
    for _ in range(60):
        grid = factorial(np.zeros((2, 3)), seeds=5).copy(data=random.normal(size=(2, 3, 5)))
        shares = shares_of(grid)
        variances.append(float(shares["total"].fillna(0).sum()))
        noises.append(float(shares["noise"]))
    assert np.mean(noises) > 0.85 and np.mean(np.array(variances) == 0) > 0.3


def test_shares_do_not_grow_with_noise():
    values = polynomial(3, 1, 2)
    shares = [shares_of(factorial(values, seeds=200, noise=noise)) for noise in (0.0, 8.0)]
    np.testing.assert_allclose(shares[1]["total"], shares[0]["total"], atol=0.06)
    assert shares[1]["noise"].item() == pytest.approx(64 / (64 + 14), abs=0.03)
