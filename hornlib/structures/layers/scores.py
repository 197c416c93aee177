"""Scores of virtual layers: norms of the gradients of their weights."""

from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse.linalg import ArpackError, LinearOperator, svds
from torch import Tensor

__all__ = ["SCORES", "spectral_norm", "squared_norm", "squared_norm_per_number", "squared_spectral_norm"]

COMPLETE = 1e-10
"""A direction whose new part is smaller than this share of its length is a rounding error."""


def squared_norm(gradients: Tensor, map_size: tuple[int, int]) -> Tensor:
    """Return ||G||_F^2 of every lane.

    Args:
        gradients: G, (lanes, *weight).
        map_size: not used.

    Returns:
        (lanes,), float64.
    """
    return gradients.double().square().flatten(1).sum(1)


def squared_norm_per_number(gradients: Tensor, map_size: tuple[int, int]) -> Tensor:
    """Return ||G||_F^2 / number of entries of G, for every lane.

    Args:
        gradients: G, (lanes, *weight).
        map_size: not used.

    Returns:
        (lanes,), float64.
    """
    return squared_norm(gradients, map_size) / gradients[0].numel()


def squared_spectral_norm(gradients: Tensor, map_size: tuple[int, int]) -> Tensor:
    """Return the square of the largest singular value of G, for every lane.

    Args:
        gradients: G, (lanes, *weight).
        map_size: height and width of the maps that a convolution acts on, pixels; without meaning for a matrix.

    Returns:
        (lanes,), float64.
    """
    return torch.tensor(
        [spectral_norm(gradient, map_size) ** 2 for gradient in gradients], dtype=torch.float64
    )


def spectral_norm(weight: Tensor, map_size: tuple[int, int]) -> float:
    """Return the largest singular value of a matrix, or of a convolution as it acts on maps.

    A convolution with zero padding is a linear map from (channels, height, width) to itself; its largest singular
    value is found by Lanczos iterations with the convolution and its transpose, without the dense matrix.

    Args:
        weight: (outputs, inputs), or (outputs, inputs, k, k) with odd k, padded by k // 2 zeros.
        map_size: height and width of the maps that a convolution acts on, pixels; without meaning for a matrix.
    """
    weight = weight.detach().double().cpu()
    if weight.dim() == 2:
        return float(torch.linalg.matrix_norm(weight, ord=2))
    if not weight.any():
        return 0.0
    num_outputs, num_inputs, kernel, _ = weight.shape
    pixels, padding = map_size[0] * map_size[1], kernel // 2

    def forward(maps: np.ndarray) -> np.ndarray:
        shaped = torch.from_numpy(np.ascontiguousarray(maps)).view(1, num_inputs, *map_size)
        return torch.nn.functional.conv2d(shaped, weight, padding=padding).flatten().numpy()

    def transposed(maps: np.ndarray) -> np.ndarray:
        shaped = torch.from_numpy(np.ascontiguousarray(maps)).view(1, num_outputs, *map_size)
        return torch.nn.functional.conv_transpose2d(shaped, weight, padding=padding).flatten().numpy()

    shape = (num_outputs * pixels, num_inputs * pixels)
    operator = LinearOperator(shape, matvec=forward, rmatvec=transposed, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(min(shape))
    if min(shape) >= 3:  # svds needs a space of three dimensions
        try:
            return float(svds(operator, k=1, v0=start, return_singular_vectors=False, tol=1e-8)[0])
        except (
            ArpackError
        ):  # with few distinct singular values the start and its images span too small a space
            pass
    return _norm_on_krylov_space(operator if shape[1] <= shape[0] else operator.T, start)


def _norm_on_krylov_space(operator: LinearOperator, start: np.ndarray) -> float:
    """Return the largest singular value of A on the span of s, A^T A s, (A^T A)^2 s, ...

    For a random s this is the largest singular value of A. The span has as many dimensions as A has distinct singular
    values.

    Args:
        operator: A, (outputs, inputs).
        start: s, (inputs,).
    """
    basis = start[None] / np.linalg.norm(start)
    scale = 0.0
    for _ in range(len(start) - 1):
        direction = operator.rmatvec(operator.matvec(basis[-1]))
        scale = max(scale, float(np.linalg.norm(direction)))
        for _ in range(2):  # one pass leaves rounding errors of the size of what is subtracted
            direction = direction - (basis @ direction) @ basis
        length = float(np.linalg.norm(direction))
        if length <= COMPLETE * scale:
            break
        basis = np.vstack([basis, direction / length])
    return float(np.linalg.norm(operator.matmat(basis.T), ord=2))


SCORES: dict[str, Callable[[Tensor, tuple[int, int]], Tensor]] = {
    "squared_norm": squared_norm,
    "squared_norm_per_number": squared_norm_per_number,
    "squared_spectral_norm": squared_spectral_norm,
}
