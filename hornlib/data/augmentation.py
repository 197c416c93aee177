"""Random crops and flips of image batches, on the device of the batch."""

from typing import NamedTuple

import torch
from torch import Tensor

from hornlib.randomness import generator

__all__ = ["PADDING", "Draws", "augmentation_draws", "crop_flip"]

PADDING = 4
"""Pixels added on each side before the crop, as for CIFAR in He et al. (2016), section 4.2."""


class Draws(NamedTuple):
    """Random numbers of one epoch.

    Attributes:
        offsets: row and column of the crop's corner in the padded image, (examples, 2), int64, pixels.
        flips: whether an image is mirrored, (examples,), bool.
    """

    offsets: Tensor
    flips: Tensor


def augmentation_draws(seed: int, epoch: int, num_train: int) -> Draws:
    """Return the draws of one epoch, on the CPU. Entry i belongs to training example i, whatever its batch.

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
    return Draws(offsets, flips)


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
