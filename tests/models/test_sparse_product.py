"""Sparse products beside dense ones: values, gradients, lanes, repeatability."""

import warnings

import numpy as np
import pytest
import scipy.sparse
import torch

from hornlib.models.sparse_product import Places, make_places, ordered, sparse_product

OUTPUTS, INPUTS, BATCH = 7, 5, 4


def random_places(connections: int, seed: int, shape: tuple[int, int] = (OUTPUTS, INPUTS)) -> Places:
    order = torch.randperm(shape[0] * shape[1], generator=torch.Generator().manual_seed(seed))
    return make_places(order[:connections].sort().values, shape)


def dense(values: torch.Tensor, places: Places) -> torch.Tensor:
    num_outputs, num_inputs = places.shape
    weight = values.new_zeros(num_outputs * num_inputs)
    return weight.index_put((places.positions(),), values).view(places.shape)


def problem(connections: int, seed: int = 0, dtype: torch.dtype = torch.float64):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(BATCH, INPUTS, dtype=dtype, generator=generator, requires_grad=True)
    values = torch.randn(connections, dtype=dtype, generator=generator, requires_grad=True)
    return inputs, values, random_places(connections, seed)


@pytest.mark.parametrize("connections", [1, 12, OUTPUTS * INPUTS])
def test_the_product_and_its_gradients_are_those_of_the_dense_matrix(connections):
    inputs, values, places = problem(connections)
    outputs = sparse_product(inputs, values, places)
    expected = inputs @ dense(values, places).mT
    torch.testing.assert_close(outputs, expected, atol=1e-12, rtol=0)
    weights = torch.randn(BATCH, OUTPUTS, dtype=torch.float64)
    for gradient, reference in zip(
        torch.autograd.grad((outputs * weights).sum(), (inputs, values)),
        torch.autograd.grad((expected * weights).sum(), (inputs, values)),
        strict=True,
    ):
        torch.testing.assert_close(gradient, reference, atol=1e-12, rtol=0)


def test_the_gradients_are_those_of_finite_differences():
    inputs, values, places = problem(12)
    assert torch.autograd.gradcheck(lambda x, w: sparse_product(x, w, places), (inputs, values))


def test_rows_and_columns_without_connections_give_zeros():
    places = make_places(torch.tensor([6, 8]), (OUTPUTS, INPUTS))
    inputs = torch.ones(BATCH, INPUTS, requires_grad=True)
    outputs = sparse_product(inputs, torch.tensor([2.0, 3.0]), places)
    assert outputs.tolist() == [[0, 5, 0, 0, 0, 0, 0]] * BATCH
    outputs.sum().backward()
    assert inputs.grad.tolist() == [[0, 2, 0, 3, 0]] * BATCH


def test_positions_are_those_that_the_places_were_made_from():
    positions = torch.tensor([[0, 3, 4, 11, 34], [5, 6, 7, 8, 9]])
    assert torch.equal(make_places(positions, (OUTPUTS, INPUTS)).positions(), positions)


def test_places_and_those_of_the_transpose_are_those_of_scipy():
    weight = scipy.sparse.random_array((40, 30), density=0.2, format="csr", rng=np.random.default_rng(0))
    rows, columns = weight.nonzero()
    places = make_places(torch.from_numpy(rows * 30 + columns).long().sort().values, (40, 30))
    weight.data = np.arange(weight.nnz)
    transposed = weight.T.tocsr()
    transposed.sort_indices()
    for mine, expected in (
        (places.row_starts, weight.indptr),
        (places.columns, weight.indices),
        (places.transposed_starts, transposed.indptr),
        (places.transposed_columns, transposed.indices),
        (places.order, transposed.data),
    ):
        assert mine.tolist() == expected.tolist()


@pytest.mark.parametrize("shape", [(1,), (100,), (3, 257), (2, 3, 64), (2, 0)])
def test_keys_are_ordered_as_by_a_stable_sort(shape):
    keys = torch.randint(40, shape, generator=torch.Generator().manual_seed(0)) << 40
    values, index = ordered(keys)
    expected = keys.sort(dim=-1, stable=True)
    assert torch.equal(values, expected.values) and torch.equal(index, expected.indices)


@pytest.mark.parametrize("shared_inputs", [False, True])
def test_a_lane_is_its_product_alone_bit_for_bit(shared_inputs):
    problems = [problem(12, seed, torch.float32) for seed in range(5)]
    inputs = problems[0][0] if shared_inputs else torch.stack([inputs for inputs, _, _ in problems])
    values = torch.stack([values for _, values, _ in problems])
    places = Places(*map(torch.stack, zip(*(places for _, _, places in problems), strict=True)))
    outputs = torch.vmap(sparse_product, in_dims=(None if shared_inputs else 0, 0, 0))(inputs, values, places)
    gradients = torch.autograd.grad(outputs.square().sum(), values)[0]
    for lane, (own_inputs, own_values, own_places) in enumerate(problems):
        alone = sparse_product(inputs if shared_inputs else own_inputs, own_values, own_places)
        assert torch.equal(outputs[lane], alone)
        (gradient,) = torch.autograd.grad(alone.square().sum(), own_values)
        assert torch.equal(gradients[lane], gradient)


def test_a_lane_that_is_not_finite_leaves_the_others_alone():
    problems = [problem(12, seed, torch.float32) for seed in range(3)]
    inputs, values = (
        torch.stack(parts) for parts in ([x for x, _, _ in problems], [w for _, w, _ in problems])
    )
    places = Places(*map(torch.stack, zip(*(places for _, _, places in problems), strict=True)))
    with torch.no_grad():
        inputs[1, 0] = torch.nan
        values[1] = torch.inf
    outputs = torch.vmap(sparse_product)(inputs, values, places)
    gradients = torch.autograd.grad(outputs.square().sum(), (inputs, values))
    for tensor in (outputs, *gradients):
        assert tensor[[0, 2]].isfinite().all()
        assert not tensor[1].isfinite().all()


def test_the_number_of_threads_changes_no_bit():
    places, threads = random_places(5000, 1, (300, 784)), torch.get_num_threads()
    inputs, values = torch.randn(64, 784, requires_grad=True), torch.randn(5000, requires_grad=True)
    results = []
    for number in (1, 2):
        torch.set_num_threads(number)
        outputs = sparse_product(inputs, values, places)
        results.append([outputs, *torch.autograd.grad(outputs.square().sum(), (inputs, values))])
    torch.set_num_threads(threads)
    assert all(map(torch.equal, *results))


def test_the_product_is_the_same_bit_for_bit_at_every_call():
    shape, batch = (300, 784), 128
    places = random_places(5000, 1, shape)
    inputs, values = torch.randn(batch, 784, requires_grad=True), torch.randn(5000, requires_grad=True)

    def results() -> list[torch.Tensor]:
        outputs = sparse_product(inputs, values, places)
        return [outputs, *torch.autograd.grad(outputs.square().sum(), (inputs, values))]

    first = results()
    for _ in range(3):
        assert all(map(torch.equal, first, results()))


def test_torch_does_not_warn_of_its_matrices():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        inputs, values, places = problem(12)
        sparse_product(inputs, values, places).sum().backward()
