"""Random crops, rotations, shifts and flips of image batches, on the device of the batch."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from hornlib.randomness import generator

__all__ = [
    "AUGMENTATIONS",
    "LARGEST_ANGLE",
    "LARGEST_SHIFT",
    "PADDING",
    "Augmentation",
    "AugmentationDraws",
    "crop_flip",
    "crop_flip_draws",
    "rotate_shift_flip",
    "rotate_shift_flip_draws",
]

AugmentationDraws = tuple[Tensor, ...]
"""Random numbers of one epoch, on the CPU. Entry i of each tensor belongs to training example i, whatever its batch."""

PADDING = 4
"""Pixels added on each side before the crop, as for CIFAR in He et al. (2016), section 4.2."""

LARGEST_ANGLE = 10.0
"""Degrees. It is the setting of the released code of SET on CIFAR-10, as is `LARGEST_SHIFT`."""

LARGEST_SHIFT = 0.1
"""Share of height and width."""


def crop_flip_draws(seed: int, epoch: int, num_train: int) -> AugmentationDraws:
    """Return corners of crops (examples, 2), int64, 0 to 8 pixels, and flips (examples,), bool.

    This is a pure function of its arguments, so that a resumed run needs no state of a generator. Offsets are uniform
    on 0, ..., 8; an image is mirrored with probability 1/2.

    Args:
        seed: of the run.
        epoch: number of the epoch, from 0.
        num_train: number of training examples.
    """
    draw = generator("augmentation", seed, epoch)
    offsets = torch.randint(2 * PADDING + 1, (num_train, 2), generator=draw)
    flips = torch.randint(2, (num_train,), generator=draw).bool()
    return offsets, flips


def crop_flip(inputs: Tensor, offsets: Tensor, flips: Tensor) -> Tensor:
    """Return each image padded by 4 zeros, cropped to its old size at its offset, then mirrored if flipped.

    Zero is the mean colour of standardised inputs. One gather processes the whole batch; leading axes (lanes) may have
    different draws.

    Args:
        inputs: images (..., batch, channels, height, width).
        offsets: row and column of the crop's corner in the padded image (..., batch, 2), 0 to 8 pixels.
        flips: whether to mirror left and right (..., batch), bool.

    Returns:
        Images of the shape of `inputs`.

    Source: He, Zhang, Ren, Sun (2016), Deep Residual Learning for Image Recognition, section 4.2.
    """
    *_, channels, height, width = inputs.shape
    padded = torch.nn.functional.pad(inputs, (PADDING,) * 4)
    rows = torch.arange(height, device=inputs.device)
    columns = torch.arange(width, device=inputs.device)
    columns = torch.where(flips.unsqueeze(-1), columns.flip(0), columns) + offsets[..., 1:]
    rows = rows + offsets[..., :1]
    index = (rows.unsqueeze(-1) * padded.shape[-1] + columns.unsqueeze(-2)).flatten(-2)
    index = index.unsqueeze(-2).expand(*index.shape[:-1], channels, height * width)
    return padded.flatten(-2).gather(-1, index).unflatten(-1, (height, width))


def rotate_shift_flip_draws(seed: int, epoch: int, num_train: int) -> AugmentationDraws:
    """Return angles (examples,), degrees, shifts (examples, 2), shares of the sides, and flips (examples,), bool.

    This is a pure function of its arguments, as `crop_flip_draws`. Angles are uniform between -10 and 10, shifts
    between -0.1 and 0.1; an image is mirrored with probability 1/2.

    Args:
        seed: of the run.
        epoch: number of the epoch, from 0.
        num_train: number of training examples.
    """
    draw = generator("augmentation", seed, epoch)
    angles = LARGEST_ANGLE * (2 * torch.rand(num_train, generator=draw) - 1)
    shifts = LARGEST_SHIFT * (2 * torch.rand(num_train, 2, generator=draw) - 1)
    flips = torch.randint(2, (num_train,), generator=draw).bool()
    return angles, shifts, flips


def rotate_shift_flip(inputs: Tensor, angles: Tensor, shifts: Tensor, flips: Tensor) -> Tensor:
    """Return each image shifted, rotated about its centre, then mirrored if flipped.

    The pixel at p = (row, column), counted from the centre, is the bilinear interpolation of the image at R (p + s),
    with R = ((cos a, sin a), (-sin a, cos a)), angle a and shift s. Beyond the border the image continues as the
    nearest pixel.

    Args:
        inputs: images (..., batch, channels, height, width).
        angles: of the rotations (..., batch), degrees.
        shifts: of rows and columns (..., batch, 2), shares of height and width.
        flips: whether to mirror left and right (..., batch), bool.

    Returns:
        Images of the shape of `inputs`.

    Source: the settings of SET's released training on CIFAR-10 (Mocanu et al. 2018), with Keras' order of operations.
    """
    height, width = inputs.shape[-2:]
    angles, shifts, flips = angles.reshape(-1, 1, 1), shifts.reshape(-1, 2), flips.reshape(-1, 1)
    rows = torch.arange(height, device=inputs.device) - (height - 1) / 2
    columns = torch.arange(width, device=inputs.device) - (width - 1) / 2
    columns = torch.where(flips, -columns, columns) + width * shifts[:, 1:]
    rows = (rows + height * shifts[:, :1]).unsqueeze(2)
    columns = columns.unsqueeze(1)
    radians = angles * (math.pi / 180)
    cosine, sine = radians.cos(), radians.sin()
    places = torch.stack(
        [
            (cosine * columns - sine * rows) * (2 / max(1, width - 1)),
            (cosine * rows + sine * columns) * (2 / max(1, height - 1)),
        ],
        -1,
    )
    images = inputs.reshape(-1, *inputs.shape[-3:])
    sampled = torch.nn.functional.grid_sample(
        images, places.to(images.dtype), mode="bilinear", padding_mode="border", align_corners=True
    )
    return sampled.reshape(inputs.shape)


class Augmentation(NamedTuple):
    """A random change of training images.

    Attributes:
        draws: maps seed, epoch and number of training examples to the draws of one epoch.
        augmented: maps images (..., batch, channels, height, width) and their draws (..., batch, ...) to images.
    """

    draws: Callable[[int, int, int], AugmentationDraws]
    augmented: Callable[..., Tensor]


AUGMENTATIONS: dict[str, Augmentation] = {
    "crop_flip": Augmentation(crop_flip_draws, crop_flip),
    "rotate_shift_flip": Augmentation(rotate_shift_flip_draws, rotate_shift_flip),
}
