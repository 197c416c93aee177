"""Singular vectors: those of torch, signs that rounding does not turn, and random directions."""

import math

import pytest
import torch

from hornlib.structures.growth.singular_vectors import (
    leading_signs,
    orthonormal_rows,
    rank,
    singular_vectors,
)


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(4, 7), (7, 4), (5, 5), (1, 6), (6, 1)])
def test_singular_vectors_are_those_of_a_singular_value_decomposition(shape):
    matrices = gaussian(3, *shape)
    values, left, right = singular_vectors(matrices)
    expected = torch.linalg.svd(matrices, full_matrices=False)
    torch.testing.assert_close(values, expected.S, rtol=1e-10, atol=0)
    torch.testing.assert_close(left.mT @ (values.unsqueeze(2) * right), matrices, rtol=1e-8, atol=1e-8)
    for vectors in (left, right):
        identity = torch.eye(min(shape), dtype=torch.float64).expand(3, -1, -1)
        torch.testing.assert_close(vectors @ vectors.mT, identity, rtol=0, atol=1e-6)


def test_the_rank_of_a_float32_matrix_is_not_that_of_its_rounding():
    factors = gaussian(2, 12, 4), gaussian(2, 4, 30, seed=1)
    rounded = (factors[0] @ factors[1]).float()
    assert torch.linalg.matrix_rank(rounded.double()).min() > 4
    assert rank(singular_vectors(rounded).values, 12, 30) == [4, 4]
    assert rank(torch.zeros(1, 3), 3, 3) == [0]


def test_the_first_large_entry_decides_a_sign_even_if_another_one_is_larger_by_rounding():
    half = 1 / math.sqrt(2)
    vectors = torch.tensor([[[half, -half], [-half, half], [half, -half * (1 + 1e-6)], [0.1, -0.99]]])
    assert leading_signs(vectors).tolist() == [[1, -1, 1, -1]]


@pytest.mark.parametrize("size", [2, 3, 10])
def test_signs_stand_still_under_rounding(size):
    """Vectors of two classes have two entries of the same magnitude: (1, -1) / sqrt 2 and its like."""
    vectors = gaussian(1, 2000, size)
    vectors[:, ::2, 1] = -vectors[:, ::2, 0]
    vectors = vectors / vectors.norm(dim=2, keepdim=True)
    perturbed = vectors * (1 + 1e-7 * gaussian(1, 2000, size, seed=1))
    assert torch.equal(leading_signs(vectors), leading_signs(perturbed))
    assert torch.equal(leading_signs(vectors), -leading_signs(-vectors))


def test_random_directions_are_orthogonal_within_each_block_of_as_many_as_fit():
    rows = orthonormal_rows(7, 3, torch.Generator().manual_seed(0))
    assert rows.shape == (7, 3)
    for block in (rows[:3], rows[3:6], rows[6:]):
        torch.testing.assert_close(block @ block.T, torch.eye(len(block), dtype=torch.float64))
    assert orthonormal_rows(0, 3, torch.Generator()).shape == (0, 3)
