"""Claims about measurement noise: its level, its fixed draws, and that nothing else changes."""

import pytest
import torch

from hornlib.data.loaders import Raw
from hornlib.data.noise import with_noise


@pytest.fixture(scope="module")
def raw():
    """Measurements whose size differs from example to example by a factor of a million."""
    draw = torch.Generator().manual_seed(0)
    sizes = torch.logspace(-3, 3, 400)[:, None]
    inputs = sizes * torch.randn(400, 100, generator=draw)
    return Raw(inputs[:300], inputs[:300, :5], inputs[300:], inputs[300:, :5])


def relative(noisy, clean):
    return (noisy - clean).norm(dim=1) / clean.norm(dim=1)


@pytest.mark.parametrize("noise", [0.01, 0.05])
def test_the_noise_has_its_relative_deviation_in_every_example_of_both_parts(raw, noise):
    noisy = with_noise(raw, noise, "maxwell_inverse")
    for actual, clean in ((noisy.train_inputs, raw.train_inputs), (noisy.test_inputs, raw.test_inputs)):
        share = relative(actual, clean) / noise
        assert (share - 1).abs().max() < 5 / 200**0.5  # five deviations of a root mean square of 100 draws
        assert (share.square().mean() - 1).abs() < 5 * (2 / actual.numel()) ** 0.5


def test_a_level_has_one_draw_and_another_level_another(raw):
    first, again, other = (with_noise(raw, noise, "maxwell_inverse") for noise in (0.01, 0.01, 0.02))
    assert torch.equal(first.train_inputs, again.train_inputs)
    draws = [(noisy.train_inputs - raw.train_inputs)[-100:].flatten() for noisy in (first, other)]
    assert torch.corrcoef(torch.stack(draws))[0, 1].abs() < 0.05


def test_targets_stay(raw):
    noisy = with_noise(raw, 0.05, "maxwell_inverse")
    assert torch.equal(noisy.train_targets, raw.train_targets)
    assert torch.equal(noisy.test_targets, raw.test_targets)
