"""Claims about crops, rotations, shifts and flips, against torchvision and scipy one image at a time."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torchvision.transforms import functional as reference

from hornlib.data.augmentation import (
    AUGMENTATIONS,
    LARGEST_ANGLE,
    LARGEST_SHIFT,
    PADDING,
    crop_flip,
    crop_flip_draws,
    rotate_shift_flip,
    rotate_shift_flip_draws,
)


def one_at_a_time(inputs, draws):
    """Pad, crop and mirror each image with torchvision."""
    _, _, height, width = inputs.shape
    images = []
    for image, (top, left), flip in zip(inputs, *(part.tolist() for part in draws), strict=True):
        image = reference.crop(reference.pad(image, [PADDING]), top, left, height, width)
        images.append(reference.hflip(image) if flip else image)
    return torch.stack(images)


@pytest.mark.parametrize("shape", [(3, 32, 32), (3, 6, 9), (1, 5, 5)])
def test_crop_flip_is_torchvisions_pad_crop_and_mirror(shape):
    inputs = torch.randn(40, *shape)
    draws = crop_flip_draws(seed=1, epoch=2, num_train=40)
    assert torch.equal(crop_flip(inputs, *draws), one_at_a_time(inputs, draws))


def test_every_offset_and_flip_is_right():
    offsets = torch.cartesian_prod(torch.arange(9), torch.arange(9)).repeat(2, 1)
    draws = offsets, torch.arange(162) < 81
    inputs = torch.randn(1, 3, 5, 7).expand(162, -1, -1, -1)
    assert torch.equal(crop_flip(inputs, *draws), one_at_a_time(inputs, draws))


def test_the_centre_without_flip_is_the_image():
    inputs = torch.randn(2, 3, 8, 8)
    assert torch.equal(crop_flip(inputs, torch.full((2, 2), PADDING), torch.zeros(2, dtype=bool)), inputs)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_lanes_with_draws_of_their_own_equal_the_lanes_alone(name):
    draw, augmented = AUGMENTATIONS[name]
    inputs = torch.randn(3, 10, 3, 8, 8)
    draws = [draw(seed, 0, 10) for seed in range(3)]
    together = augmented(inputs, *(torch.stack(parts) for parts in zip(*draws, strict=True)))
    alone = [augmented(lane, *parts) for lane, parts in zip(inputs, draws, strict=True)]
    assert torch.equal(together, torch.stack(alone))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_augmentation_works_under_vmap(name):
    draw, augmented = AUGMENTATIONS[name]
    inputs, draws = torch.randn(2, 6, 3, 8, 8), [draw(seed, 0, 6) for seed in range(2)]
    stacked = [torch.stack(parts) for parts in zip(*draws, strict=True)]
    torch.testing.assert_close(torch.vmap(augmented)(inputs, *stacked), augmented(inputs, *stacked))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_draws_are_a_function_of_seed_and_epoch_alone(name):
    draw, _ = AUGMENTATIONS[name]
    first = draw(3, 4, 100)
    torch.manual_seed(0)
    assert all(torch.equal(a, b) for a, b in zip(first, draw(3, 4, 100), strict=True))
    for other in (draw(3, 5, 100), draw(4, 4, 100)):
        assert not torch.equal(first[0], other[0])


def test_offsets_are_uniform_and_flips_fair():
    offsets, flips = crop_flip_draws(0, 0, 90_000)
    for counts in (offsets[:, 0].bincount(), offsets[:, 1].bincount()):
        assert len(counts) == 9
        assert (counts - 10_000).abs().max() < 5 * (90_000 * (1 / 9) * (8 / 9)) ** 0.5
    assert abs(flips.double().mean() - 0.5) < 5 * 0.5 / 300


def changed(inputs, angle=0.0, shift=(0.0, 0.0), flip=False):
    """Give every image the same angle, shift and flip."""
    number = len(inputs)
    angles, shifts = torch.full((number,), angle), torch.tensor([shift]).expand(number, 2)
    return rotate_shift_flip(inputs, angles, shifts, torch.full((number,), flip))


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 6, 9), (2, 1, 5)])
def test_without_angle_shift_and_flip_the_image_stays(shape):
    inputs = torch.randn(4, *shape)
    torch.testing.assert_close(changed(inputs), inputs, atol=1e-5, rtol=0)


def test_a_flip_mirrors_left_and_right():
    inputs = torch.randn(4, 3, 8, 9)
    torch.testing.assert_close(changed(inputs, flip=True), inputs.flip(-1), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("rows", "columns"), [(1, 0), (0, -2), (-1, 1)])
def test_a_shift_by_whole_pixels_moves_them_and_repeats_the_border(rows, columns):
    inputs = torch.randn(2, 3, 10, 20)
    row = (torch.arange(10) + rows).clamp(0, 9)
    column = (torch.arange(20) + columns).clamp(0, 19)
    shifted = changed(inputs, shift=(rows / 10, columns / 20))
    torch.testing.assert_close(shifted, inputs[:, :, row][:, :, :, column], atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(12, 12), (9, 14)])
@pytest.mark.parametrize("angle", [-10.0, 3.7, 45.0, 90.0])
def test_a_rotation_is_scipys_rotation(shape, angle):
    image = torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = ndimage.rotate(image.numpy(), angle, reshape=False, order=1, mode="nearest")
    rotated = rotate_shift_flip(
        image[None, None],
        *(torch.tensor([value]).double() for value in (angle, [0, 0])),
        torch.tensor([False]),
    )
    torch.testing.assert_close(rotated[0, 0], torch.from_numpy(expected), atol=1e-6, rtol=0)


def test_angle_shift_and_flip_together_are_scipys_affine_map():
    image = torch.randn(11, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    angle, shift = 8.0, (0.07, -0.04)
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    rotation, mirror = np.array([[cosine, sine], [-sine, cosine]]), np.diag([1.0, -1.0])
    centre, pixels = np.array([5.0, 3.5]), np.array(shift) * image.shape
    expected = ndimage.affine_transform(
        image.numpy(),
        rotation @ mirror,
        centre + rotation @ (pixels - mirror @ centre),
        order=1,
        mode="nearest",
    )
    changed_image = changed(image[None, None], angle, shift, flip=True)[0, 0]
    torch.testing.assert_close(changed_image, torch.from_numpy(expected), atol=1e-5, rtol=0)


def test_angles_and_shifts_are_uniform_and_flips_fair():
    angles, shifts, flips = rotate_shift_flip_draws(0, 0, 90_000)
    for values, largest in (
        (angles, LARGEST_ANGLE),
        (shifts[:, 0], LARGEST_SHIFT),
        (shifts[:, 1], LARGEST_SHIFT),
    ):
        assert values.abs().max() <= largest
        counts = torch.histc(values.double() / largest, 10, -1, 1)
        assert (counts - 9000).abs().max() < 5 * (90_000 * 0.1 * 0.9) ** 0.5
    assert abs(flips.double().mean() - 0.5) < 5 * 0.5 / 300
