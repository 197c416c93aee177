"""A 3x3 convolution as a linear operator: its matrix on a map, and its symbol on an unbounded field."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["channel_matrices", "convolution_matrix", "symbol"]

_ANGLES = 24


def convolution_matrix(kernel: Tensor, channels: int, height: int, width: int) -> Tensor:
    """Return the matrix of the zero-padded convolution over all units of a map, row-major in (channel, pixel).

    Args:
        kernel: (channels, 1, 3, 3) or (channels, channels, 3, 3).
        channels: of the map.
        height: rows of the map.
        width: columns of the map.

    Returns:
        (units, units), units = channels height width.
    """
    num_units = channels * height * width
    impulses = torch.eye(num_units, dtype=kernel.dtype, device=kernel.device)
    maps = impulses.view(num_units, channels, height, width)
    return F.conv2d(maps, kernel, padding=1, groups=channels // kernel.shape[1]).flatten(1).mT


def channel_matrices(kernel: Tensor, height: int, width: int) -> Tensor:
    """Return the matrices of a depthwise convolution with zero padding, (channels, pixels, pixels).

    Args:
        kernel: (channels, 1, 3, 3).
        height: rows of the map.
        width: columns of the map.
    """
    pixels, channels = height * width, kernel.shape[0]
    impulses = torch.eye(pixels, dtype=kernel.dtype, device=kernel.device).view(pixels, 1, height, width)
    answers = F.conv2d(impulses.expand(-1, channels, -1, -1), kernel, padding=1, groups=channels)
    return answers.flatten(2).permute(1, 2, 0)


def symbol(kernel: Tensor) -> Tensor:
    """Return a depthwise kernel's multipliers of plane waves, sum_d k_d exp(i (d_1 a + d_2 b)), on a grid of angles.

    They are the spectrum of the convolution on an unbounded field, where it is a normal operator. The convolution on a
    map with zero padding is a compression of that operator. Its eigenvalues therefore lie within the convex hull of the
    multipliers, whose largest real part bounds the map's spectral abscissa from above.

    Args:
        kernel: (channels, 1, 3, 3).

    Returns:
        complex, (channels, angles), with a in [0, pi] and b in [0, 2 pi); the other half is complex conjugate.
    """
    first = torch.linspace(0, math.pi, _ANGLES // 2 + 1, dtype=kernel.dtype, device=kernel.device)
    second = torch.arange(_ANGLES, dtype=kernel.dtype, device=kernel.device) * (2 * math.pi / _ANGLES)
    offsets = torch.arange(-1, 2, dtype=kernel.dtype, device=kernel.device)
    one = first[:, None, None, None] * offsets[:, None]
    angles = (one + second[:, None, None] * offsets).flatten(0, 1).flatten(1)
    flat = kernel.flatten(1)
    return torch.complex(flat @ torch.cos(angles).mT, flat @ torch.sin(angles).mT)
