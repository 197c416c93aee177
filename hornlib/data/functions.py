"""Datasets given by formulas: two spirals to classify, and functions to learn, one of them a network's."""

import math
from pathlib import Path

import torch
from torch import Tensor

from hornlib.data.loaders import Raw
from hornlib.data.splits import stratified_order
from hornlib.randomness import generator

__all__ = ["peaks", "peaks_of", "sine", "spirals", "teacher_student"]

NUM_TEST = 1_000
NUM_EXAMPLES = 11_000
HALF_WIDTH = 3.0
"""Inputs of the functions are uniform on [-3, 3]; unit of the input."""


def spirals(root: Path, download: bool) -> Raw:
    """Return the points of two spirals; a fixed stratified quarter of them is the test part. No file is read.

    x_i = s r_i (cos phi_i, sin phi_i), r_i = 1/2 + i / 300, phi_i = 2 pi i / 300, i = 0, ..., 299,

    s = -1 for class 0 and s = 1 for class 1. Each spiral has one turn, and one is the other mirrored at the origin.

    Args:
        root: not used.
        download: not used.

    Source: github.com/mathemml/SensLI, `gen_spiral_dataset` with N = 300, r0 = 0.5, circles = 1; Herberg et al.,
    arXiv:2311.15995. There every call draws another quarter for the test.
    """
    turn = torch.arange(300, dtype=torch.float64) / 300
    angle, radius = 2 * math.pi * turn, 0.5 + turn
    arm = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
    inputs = torch.cat([-arm, arm]).float()
    targets = torch.arange(2).repeat_interleave(300)
    order = stratified_order(targets, generator("test split", "spirals"))
    test, train = order[:150].sort().values, order[150:].sort().values
    return Raw(inputs[train], targets[train], inputs[test], targets[test])


def peaks(root: Path, download: bool) -> Raw:
    """Return values of MATLAB's `peaks` at uniform points of [-3, 3] x [-3, 3]. No file is read.

    Args:
        root: not used.
        download: not used.

    Source: the task of github.com/Center-for-Math-AI/Fractional_DNNs (Antil and Verma 2023), with a fixed draw.
    """
    inputs = _uniform("peaks", 2)
    return _parts(inputs, peaks_of(inputs[:, 0], inputs[:, 1]))


def peaks_of(x: Tensor, y: Tensor) -> Tensor:
    """Return MATLAB's two-dimensional example function.

    3 (1-x)^2 e^{-x^2-(y+1)^2} - 10 (x/5 - x^3 - y^5) e^{-x^2-y^2} - 1/3 e^{-(x+1)^2-y^2}

    Args:
        x, y: coordinates, of any one shape, which the result has too.
    """
    hill = 3 * (1 - x).square() * torch.exp(-x.square() - (y + 1).square())
    ring = 10 * (x / 5 - x.pow(3) - y.pow(5)) * torch.exp(-x.square() - y.square())
    return hill - ring - torch.exp(-(x + 1).square() - y.square()) / 3


def sine(root: Path, download: bool) -> Raw:
    """Return sin(x) at uniform points of [-3, 3]. No file is read.

    Args:
        root: not used.
        download: not used.

    Source: the task of github.com/Center-for-Math-AI/Fractional_DNNs (Antil and Verma 2023), with a fixed draw.
    """
    inputs = _uniform("sine", 1)
    return _parts(inputs, inputs[:, 0].sin())


def teacher_student(root: Path, download: bool) -> Raw:
    """Return the outputs of a fixed random network at standard normal points. No file is read.

    y = V max(W x, 0), with x of 10 numbers, W and V of 10 x 10 numbers, uniform in [-1, 1].

    Args:
        root: not used.
        download: not used.

    Source: the task of the notebook that accompanies GradMax (Evci et al. 2022), with one fixed teacher; its points
        serve for training alone, and the test part here has as many further ones.
    """
    weights = generator("examples", "teacher_student", "teacher")
    points = generator("examples", "teacher_student", "points")
    first, second = (2 * torch.rand(10, 10, generator=weights, dtype=torch.float64) - 1 for _ in range(2))
    inputs = torch.randn(2_000, 10, generator=points, dtype=torch.float64)
    targets = (inputs @ first.T).clamp(min=0) @ second.T
    x, y = inputs.float(), targets.float()
    return Raw(x[:1_000], y[:1_000], x[1_000:], y[1_000:])


def _uniform(name: str, num_features: int) -> Tensor:
    draw = torch.rand(NUM_EXAMPLES, num_features, generator=generator("examples", name), dtype=torch.float64)
    return HALF_WIDTH * (2 * draw - 1)


def _parts(inputs: Tensor, targets: Tensor) -> Raw:
    x, y = inputs.float(), targets.float().unsqueeze(1)
    return Raw(x[:-NUM_TEST], y[:-NUM_TEST], x[-NUM_TEST:], y[-NUM_TEST:])
