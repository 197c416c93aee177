"""Claims about crops and flips, against torchvision one image at a time."""

import pytest
import torch
from torchvision.transforms import functional as reference

from hornlib.data.augmentation import PADDING, Draws, augmentation_draws, crop_flip


def one_at_a_time(inputs, draws):
    """Pad, crop and mirror each image with torchvision."""
    _, _, height, width = inputs.shape
    images = []
    for image, (top, left), flip in zip(inputs, draws.offsets.tolist(), draws.flips.tolist(), strict=True):
        image = reference.crop(reference.pad(image, [PADDING]), top, left, height, width)
        images.append(reference.hflip(image) if flip else image)
    return torch.stack(images)


@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 6, 9), (1, 5, 5)])
def test_crop_flip_is_torchvisions_pad_crop_and_mirror(shape):
    inputs = torch.randn(40, *shape)
    draws = augmentation_draws(seed=1, epoch=2, num_train=40)
    assert torch.equal(crop_flip(inputs, *draws), one_at_a_time(inputs, draws))


def test_every_offset_and_flip_is_right():
    offsets = torch.cartesian_prod(torch.arange(9), torch.arange(9)).repeat(2, 1)
    draws = Draws(offsets, torch.arange(162) < 81)
    inputs = torch.randn(1, 3, 5, 7).expand(162, -1, -1, -1)
    assert torch.equal(crop_flip(inputs, *draws), one_at_a_time(inputs, draws))


def test_the_centre_without_flip_is_the_image():
    inputs = torch.randn(2, 3, 8, 8)
    assert torch.equal(crop_flip(inputs, torch.full((2, 2), PADDING), torch.zeros(2, dtype=bool)), inputs)


def test_lanes_with_draws_of_their_own_equal_the_lanes_alone():
    inputs = torch.randn(3, 10, 3, 8, 8)
    draws = [augmentation_draws(seed, 0, 10) for seed in range(3)]
    together = crop_flip(inputs, *(torch.stack(parts) for parts in zip(*draws, strict=True)))
    assert torch.equal(
        together, torch.stack([crop_flip(lane, *draw) for lane, draw in zip(inputs, draws, strict=True)])
    )


def test_crop_flip_works_under_vmap():
    inputs, draws = torch.randn(2, 6, 3, 8, 8), [augmentation_draws(seed, 0, 6) for seed in range(2)]
    offsets, flips = (torch.stack(parts) for parts in zip(*draws, strict=True))
    assert torch.equal(torch.vmap(crop_flip)(inputs, offsets, flips), crop_flip(inputs, offsets, flips))


def test_draws_are_a_function_of_seed_and_epoch_alone():
    first = augmentation_draws(3, 4, 100)
    torch.manual_seed(0)
    assert all(torch.equal(a, b) for a, b in zip(first, augmentation_draws(3, 4, 100), strict=True))
    for other in (augmentation_draws(3, 5, 100), augmentation_draws(4, 4, 100)):
        assert not torch.equal(first.offsets, other.offsets)


def test_offsets_are_uniform_and_flips_fair():
    draws = augmentation_draws(0, 0, 90_000)
    for counts in (draws.offsets[:, 0].bincount(), draws.offsets[:, 1].bincount()):
        assert len(counts) == 9
        assert (counts - 10_000).abs().max() < 5 * (90_000 * (1 / 9) * (8 / 9)) ** 0.5
    assert abs(draws.flips.double().mean() - 0.5) < 5 * 0.5 / 300
