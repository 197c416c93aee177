"""Products of a sparse matrix with a batch that read and write nothing but its connections."""

import inspect
import math
import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

__all__ = ["Places", "make_places", "ordered", "sparse_product"]

IntArray = np.ndarray[tuple[int, ...], np.dtype[Any]]

with warnings.catch_warnings():  # torch says once in each process that its CSR matrices are new
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
    torch.sparse_csr_tensor([0, 0], [], torch.empty(0), (1, 1), check_invariants=False)


class Places(NamedTuple):
    """Where the connections of a matrix W, (outputs, inputs), stand: those of W in CSR form, and those of W^T.

    Connections are in the order of their rows, and within a row in that of their columns. All tensors are int32; in
    lanes each has a leading lane axis, and all lanes have the same number of connections.

    Attributes:
        row_starts: number of connections before each row, and their total, (outputs + 1,).
        columns: input of each connection, (connections,).
        transposed_starts: number of connections before each column, and their total, (inputs + 1,).
        transposed_columns: output of each connection of W^T, (connections,).
        order: index in W of each connection of W^T, (connections,).
    """

    row_starts: Tensor
    columns: Tensor
    transposed_starts: Tensor
    transposed_columns: Tensor
    order: Tensor

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs."""
        return self.row_starts.shape[-1] - 1, self.transposed_starts.shape[-1] - 1

    def positions(self) -> Tensor:
        """Return row x inputs + column of each connection, (..., connections) int64, in ascending order."""
        num_outputs, num_inputs = self.shape
        *lanes, _ = self.columns.shape
        first = torch.arange(num_outputs, device=self.columns.device) * num_inputs
        numbers = self.row_starts.diff().flatten().long()
        rows = first.repeat(math.prod(lanes)).repeat_interleave(numbers, output_size=self.columns.numel())
        return rows.view_as(self.columns) + self.columns


def make_places(positions: Tensor, shape: tuple[int, int]) -> Places:
    """Return the places of connections.

    Args:
        positions: row x inputs + column of each connection, (..., connections) int64, in ascending order.
        shape: outputs and inputs.
    """
    lanes = [_lane_places(lane, shape) for lane in positions.cpu().reshape(-1, positions.shape[-1]).numpy()]
    stacked = (torch.from_numpy(np.stack(parts)) for parts in zip(*lanes, strict=True))
    return Places(*(part.view(*positions.shape[:-1], -1).to(positions.device) for part in stacked))


def _lane_places(positions: IntArray, shape: tuple[int, int]) -> tuple[IntArray, ...]:
    """Return the fields of `Places` of one lane; scipy sorts the connections by their columns."""
    import scipy.sparse  # not at the start of every job, most of which have no connections to store

    num_outputs, num_inputs = shape
    first = np.arange(num_outputs + 1) * num_inputs  # position of the first column of each row
    row_starts = np.searchsorted(positions, first)
    columns = positions - first[:-1].repeat(np.diff(row_starts))
    index = np.arange(len(positions), dtype=np.int32)
    rows = scipy.sparse.csr_array((index, columns.astype(np.int32), row_starts.astype(np.int32)), shape)
    by_column = rows.tocsc()
    return rows.indptr, rows.indices, by_column.indptr, by_column.indices, by_column.data


def ordered(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return keys in ascending order, and the index of each before, both (..., number) int64; equal ones stay in order.

    On the CPU numpy sorts keys with their indices in the lowest bits, which takes a third of the time of torch's sort.

    Args:
        keys: (..., number) int64, from 0; their product with the number is below 2^62.
    """
    if keys.device.type != "cpu":
        values, index = keys.sort(dim=-1, stable=True)
        return values, index
    bits = keys.shape[-1].bit_length()
    packed = torch.from_numpy(np.sort((keys << bits | torch.arange(keys.shape[-1])).numpy(), -1))
    return packed >> bits, packed & ((1 << bits) - 1)


def sparse_product(inputs: Tensor, values: Tensor, places: Places, zeros: Tensor | None = None) -> Tensor:
    """Return y = W x of every example, (batch, outputs), for a sparse W.

    The function works under `torch.vmap`, where all lanes are one block-diagonal matrix. It is differentiable once.

    Args:
        inputs: x, (batch, inputs).
        values: of the connections of W, (connections,), of the same type.
        places: of the connections.
        zeros: stands for W, (outputs, inputs): its gradient is that of the dense W. It is not read.
    """
    result: Tensor = _SparseProduct.apply(inputs.mT.contiguous(), values, zeros, *places)
    return result.mT


class _SparseProduct(torch.autograd.Function):
    """Y = W X with examples in columns, since each connection then reads and writes whole rows.

    A row of Y is a weighted sum of rows of X, which is what `embedding_bag` computes; it takes half of the time that
    MKL's product of a CSR matrix takes. The gradient of X is the same product with W^T; that of the values is G X^T at
    the connections alone. All tensors may have a leading lane axis.
    """

    @staticmethod
    def forward(inputs: Tensor, values: Tensor, zeros: Tensor | None, *places: Tensor) -> Tensor:
        """Return Y, (outputs, batch), of X, (inputs, batch); the other arguments as in `sparse_product`."""
        row_starts, columns, *_ = places
        return _weighted_sums(inputs, values, row_starts, columns)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Store the inputs; the output, (outputs, batch), is not needed."""
        read, values, _, *places = inputs
        ctx.save_for_backward(read, values, *places)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of X, (inputs, batch), values and W from that of Y, (outputs, batch)."""
        inputs, values, *tensors = ctx.saved_tensors
        places, gradient = Places(*tensors), gradient.contiguous()
        of_inputs, of_values, of_weight = None, None, None
        if ctx.needs_input_grad[0]:
            order = _in_blocks(places.order, values.shape[-1])
            transposed = values.flatten().index_select(0, order).view_as(values)
            of_inputs = _weighted_sums(
                gradient, transposed, places.transposed_starts, places.transposed_columns
            )
        if ctx.needs_input_grad[1]:
            of_values = _products_at_connections(gradient, inputs, places).view_as(values)
        if ctx.needs_input_grad[2]:
            of_weight = gradient @ inputs.mT
        return of_inputs, of_values, of_weight, *(None,) * len(tensors)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> tuple[Tensor, int]:
        """Move the axis of vmap to the front, where it is that of the lanes: (lanes, ...)."""
        moved = (
            argument
            if argument is None
            else argument.expand(info.batch_size, *argument.shape)
            if axis is None
            else argument.movedim(axis, 0)
            for argument, axis in zip(arguments, in_dims, strict=True)
        )
        return _SparseProduct.apply(*moved), 0


# torch asks for the signature at every call, which takes a twentieth of the step of a small network.
_SparseProduct.forward.__dict__["__signature__"] = inspect.signature(_SparseProduct.forward)


def _weighted_sums(rows: Tensor, values: Tensor, starts: Tensor, columns: Tensor) -> Tensor:
    """Return the product of CSR matrices and dense rows, ([lanes,] rows of the matrix, batch)."""
    sums = functional.embedding_bag(
        _in_blocks(columns, rows.shape[-2]),
        rows.detach().flatten(0, -2),
        _starts_in_blocks(starts, columns.shape[-1]),
        mode="sum",
        per_sample_weights=values.detach().flatten(),
        include_last_offset=True,
    )
    return sums.view(*rows.shape[:-2], -1, rows.shape[-1])


def _products_at_connections(gradient: Tensor, inputs: Tensor, places: Places) -> Tensor:
    """Return G X^T at the connections, lane after lane, of G, ([lanes,] outputs, batch), and X."""
    columns = _in_blocks(places.columns, inputs.shape[-2])
    starts = _starts_in_blocks(places.row_starts, places.columns.shape[-1])
    rows, flat = gradient.flatten(0, -2), inputs.flatten(0, -2)
    products = torch.sparse_csr_tensor(
        starts, columns, flat.new_zeros(len(columns)), (len(rows), len(flat)), check_invariants=False
    )
    torch.sparse.sampled_addmm(products, rows, flat.mT, out=products)  # in place: the indices are not copied
    return products.values()


def _starts_in_blocks(starts: Tensor, connections: int) -> Tensor:
    """Return starts ([lanes,] rows + 1) as those of the block-diagonal matrix of all lanes, (lanes x rows + 1,).

    Args:
        starts: number of connections before each row, and their total.
        connections: their total.
    """
    if starts.dim() == 1:
        return starts
    blocks = _in_blocks(starts[:, :-1], connections)
    return torch.cat([blocks, blocks.new_full((1,), len(starts) * connections)])


def _in_blocks(index: Tensor, size: int) -> Tensor:
    """Return indices ([lanes,] n) as those of the block-diagonal matrix of all lanes: `size` more for each lane."""
    if index.dim() == 1:
        return index
    lanes = torch.arange(0, len(index) * size, size, dtype=index.dtype, device=index.device)
    return (index + lanes.unsqueeze(1)).flatten()
