"""Singular vectors of the matrices G of several lanes, and signs of vectors that rounding cannot turn."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "SingularVectors",
    "in_float64",
    "leading_signs",
    "orthonormal_rows",
    "rank",
    "singular_vectors",
    "singular_vectors_flops",
]

LARGE_ENTRY = 1 - 1e-3
"""Share of the largest magnitude from which on an entry counts as large; see `leading_signs`."""


class SingularVectors(NamedTuple):
    """Singular values and vectors of matrices, descending; the sign of a pair of vectors is arbitrary.

    Attributes:
        values: (lanes, vectors) float64.
        left: (lanes, vectors, rows) float64.
        right: (lanes, vectors, columns) float64.
    """

    values: Tensor
    left: Tensor
    right: Tensor

    def chosen(self, rows: Sequence[int], number: int) -> "SingularVectors":
        """Return the first vectors of some lanes.

        Args:
            rows: which lanes.
            number: of vectors of each lane; there may be fewer.
        """
        return SingularVectors(*(tensor[list(rows), :number] for tensor in self))


def in_float64(tensor: Tensor) -> Tensor:
    """Return the tensor in float64, on the CPU if its device has no such numbers; 0 where it is not finite.

    Decompositions refuse numbers that are not finite. A lane that is about to diverge must not stop the others.
    """
    tensor = tensor.detach()
    return (tensor.cpu() if tensor.device.type == "mps" else tensor).double().nan_to_num(0, 0, 0)


def singular_vectors(matrices: Tensor) -> SingularVectors:
    """Return as many singular vectors as the smaller side of the matrices has entries.

    They come from the eigenvectors of G G^T or G^T G, whichever is smaller, in float64. That takes a third of the work
    of a singular value decomposition. Singular values below 1e-8 of the largest one are not resolved; those of a matrix
    in float32 drown in its own rounding at 1e-7 already.

    Args:
        matrices: G, (lanes, rows, columns).
    """
    matrices = in_float64(matrices)
    if matrices.shape[1] > matrices.shape[2]:
        values, right, left = singular_vectors(matrices.mT)
        return SingularVectors(values, left, right)
    squares, left = torch.linalg.eigh(matrices @ matrices.mT)
    values, left = squares.clamp(min=0).sqrt().flip(1), left.flip(2).mT
    right = left @ matrices / values.clamp(min=torch.finfo(values.dtype).tiny).unsqueeze(2)
    return SingularVectors(values, left, right)


def singular_vectors_flops(rows: int, columns: int) -> int:
    """Return the FLOPs of `singular_vectors` for one lane: two products, and 9 n^3 for the eigenvectors.

    Args:
        rows: of the matrix.
        columns: of the matrix.

    Reference:
        Golub and Van Loan, Matrix computations, 4th edition, section 8.3.
    """
    small, large = sorted((rows, columns))
    return 4 * small**2 * large + 9 * small**3


def rank(values: Tensor, rows: int, columns: int) -> list[int]:
    """Return how many singular values of every lane are not 0 but for the rounding of a matrix in float32.

    Args:
        values: the largest ones, (lanes, vectors), descending.
        rows: of the matrix.
        columns: of the matrix.
    """
    limit = values[:, :1] * max(rows, columns) * torch.finfo(torch.float32).eps
    return (values > limit).sum(1).tolist()


def leading_signs(vectors: Tensor) -> Tensor:
    """Return the sign of the first large entry of every vector, 1 or -1, (lanes, vectors).

    Of a vector such as (1, -1) / sqrt 2, which belongs to two classes, both entries are the largest but for rounding.
    Therefore all entries within a thousandth of the largest magnitude count as large, and the first of them decides.

    Args:
        vectors: (lanes, vectors, entries).
    """
    magnitudes = vectors.abs()
    large = magnitudes >= LARGE_ENTRY * magnitudes.amax(2, keepdim=True)
    first = large.to(torch.uint8).argmax(2, keepdim=True)
    return torch.where(vectors.gather(2, first).squeeze(2) < 0, -1.0, 1.0).to(vectors.dtype)


def orthonormal_rows(number: int, size: int, draw: torch.Generator) -> Tensor:
    """Return Gaussian directions of length 1 on the CPU, (number, size) float64.

    They are orthogonal to each other, but for each set of `size` vectors alone.

    Args:
        number: of directions.
        size: of each.
        draw: draws them.
    """
    blocks: list[Tensor] = []
    for start in range(0, number, size):
        gaussian = torch.randn(min(size, number - start), size, generator=draw, dtype=torch.float64)
        blocks.append(torch.linalg.qr(gaussian.mT).Q.mT)
    return torch.cat(blocks) if blocks else torch.empty(0, size, dtype=torch.float64)
