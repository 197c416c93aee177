"""Measures of states: participation ratio in closed form, the others against numpy."""

import math

import numpy as np
import pytest
import torch

from hornlib.dynamics.oscillator import Constants
from hornlib.dynamics.probes import measures


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_isotropic_states_take_part_in_all_n_directions():
    n = 6
    corners = torch.cat([torch.eye(n), -torch.eye(n)]).double()  # covariance 2/n I, exactly
    torch.testing.assert_close(
        measures.participation_ratio(corners.unsqueeze(0)), torch.tensor([6.0]).double()
    )


def test_states_on_a_line_take_part_in_one_direction():
    states = draw(50, 1) * draw(1, 8, seed=1) + draw(1, 8, seed=2)
    torch.testing.assert_close(
        measures.participation_ratio(states.unsqueeze(0)), torch.tensor([1.0]).double()
    )


def test_participation_ratio_is_that_of_the_eigenvalues_of_the_covariance():
    maps = draw(2, 5, 4, 3, 3) * torch.tensor([1.0, 2.0, 0.1, 3.0]).double().view(4, 1, 1)
    for t, found in enumerate(measures.participation_ratio(maps)):
        samples = maps[t].permute(0, 2, 3, 1).reshape(-1, 4).numpy()
        eigenvalues = np.linalg.eigvalsh(np.cov(samples, rowvar=False))
        assert float(found) == pytest.approx(eigenvalues.sum() ** 2 / (eigenvalues**2).sum())


def test_states_that_never_vary_have_no_participation_ratio():
    assert measures.participation_ratio(torch.ones(1, 4, 3)).isnan().all()


def test_sums_over_examples_and_units_are_numpy_s():
    x, y = draw(3, 4, 5), draw(3, 4, 5, seed=1)
    omega = draw(5, seed=2).abs() + 0.1
    flat = x.numpy().reshape(3, -1)
    np.testing.assert_allclose(measures.root_mean_square(x), np.sqrt((flat**2).mean(1)))
    np.testing.assert_allclose(measures.magnitude(x), np.abs(flat).mean(1))
    np.testing.assert_allclose(measures.saturation(2 * x), (np.abs(2 * flat) > 2).mean(1))
    expected = (y.numpy() ** 2 + (omega.numpy() * x.numpy()) ** 2).reshape(3, -1).mean(1) / 2
    np.testing.assert_allclose(measures.energy(x, y, omega), expected)
    lengths = np.sqrt((x.numpy() ** 2).sum(-1)).mean(-1)
    np.testing.assert_allclose(measures.gradient_norm(x), lengths)


def test_a_resonant_square_wave_comes_near_the_bound_and_not_beyond():
    omega, damping, alpha = (torch.tensor([value], dtype=torch.float64) for value in (0.2244, 0.01, 0.04))
    x = y = torch.zeros(1, dtype=torch.float64)
    states = []
    for _ in range(1000):
        force = torch.where(y >= 0, 1.0, -1.0)  # always with the motion: the worst force
        y = y + alpha * force - omega**2 * x - 2 * damping * y
        x = x + y
        states.append(x)
    shares = measures.bound_share(torch.stack(states).view(-1, 1, 1), Constants(omega, damping, alpha))
    assert 0.9 < float(shares.max()) < 1.1
    assert measures.bound_share(torch.ones(1, 1, 1).double(), Constants(omega, damping, alpha)).item() == (
        pytest.approx(1 / (4 / math.pi * 0.04 / (2 * 0.01 * 0.2244)))
    )
