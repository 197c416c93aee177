"""Products of a sparse matrix with a batch that read and write nothing but its connections."""

import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

__all__ = ["Places", "make_places", "sparse_product"]

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
        _, num_inputs = self.shape
        index = torch.arange(self.columns.shape[-1], dtype=torch.int32, device=self.columns.device)
        index = index.expand(self.columns.shape).contiguous()
        rows = torch.searchsorted(self.row_starts[..., 1:].contiguous(), index, right=True)
        return rows * num_inputs + self.columns


def make_places(positions: Tensor, shape: tuple[int, int]) -> Places:
    """Return the places of connections.

    Args:
        positions: row x inputs + column of each connection, (..., connections) int64, in ascending order.
        shape: outputs and inputs.
    """
    num_outputs, num_inputs = shape
    rows, columns = positions // num_inputs, positions % num_inputs
    order = (columns * num_outputs + rows).argsort(-1)
    places = (
        _starts(rows, num_outputs),
        columns,
        _starts(columns.gather(-1, order), num_inputs),
        rows.gather(-1, order),
        order,
    )
    return Places(*(part.int() for part in places))


def _starts(rows: Tensor, num_rows: int) -> Tensor:
    """Return the number of connections before each row, and their total, of ascending rows (..., connections)."""
    edges = torch.arange(num_rows + 1, device=rows.device).expand(*rows.shape[:-1], -1)
    return torch.searchsorted(rows.contiguous(), edges.contiguous())


def sparse_product(inputs: Tensor, values: Tensor, places: Places, zeros: Tensor | None = None) -> Tensor:
    """Return y = W x of every example, (batch, outputs), for a sparse W.

    The function works under `torch.vmap`, where all lanes are one block-diagonal matrix. It is differentiable once.

    Args:
        inputs: x, (batch, inputs).
        values: of the connections of W, (connections,), of the same type.
        places: of the connections.
        zeros: stands for W, (outputs, inputs): its gradient is that of the dense W. It is not read.
    """
    result: Tensor = _SparseProduct.apply(inputs.mT, values, zeros, *places)
    return result.mT


class _SparseProduct(torch.autograd.Function):
    """Y = W X with examples in columns, since each connection then reads and writes whole rows.

    A row of Y is a weighted sum of rows of X, which is what `embedding_bag` computes; it takes half of the time that
    MKL's product of a CSR matrix takes. The gradient of X is the same product with W^T; that of the values is G X^T at
    the connections alone.
    """

    @staticmethod
    def forward(inputs: Tensor, values: Tensor, zeros: Tensor | None, *places: Tensor) -> Tensor:
        """Return Y, (outputs, batch), of X, (inputs, batch); the other arguments as in `sparse_product`."""
        row_starts, columns, *_ = places
        return _weighted_sums(inputs.contiguous(), values, row_starts, columns)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Store the inputs; the output, (outputs, batch), is not needed."""
        read, values, zeros, *places = inputs
        ctx.in_lanes = zeros is not None and zeros.dim() == 3
        ctx.lanes = len(zeros) if ctx.in_lanes else 1
        ctx.save_for_backward(read, values, *places)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of X, (inputs, batch), values and W from that of Y, (outputs, batch)."""
        inputs, values, *tensors = ctx.saved_tensors
        places = Places(*tensors)
        gradient = gradient.contiguous()
        of_inputs, of_values, of_weight = None, None, None
        if ctx.needs_input_grad[0]:
            transposed = values.index_select(0, places.order)
            of_inputs = _weighted_sums(
                gradient, transposed, places.transposed_starts, places.transposed_columns
            )
        if ctx.needs_input_grad[1]:
            zeros = torch.sparse_csr_tensor(
                places.row_starts,
                places.columns,
                torch.zeros_like(values),
                places.shape,
                check_invariants=False,
            )
            of_values = torch.sparse.sampled_addmm(zeros, gradient, inputs.contiguous().mT).values()
        if ctx.needs_input_grad[2]:
            rows, columns = (part.unflatten(0, (ctx.lanes, -1)) for part in (gradient, inputs))
            products = torch.bmm(rows, columns.mT)
            of_weight = products if ctx.in_lanes else products.squeeze(0)
        return of_inputs, of_values, of_weight, *(None,) * len(tensors)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *arguments: Any) -> tuple[Tensor, int]:
        """Lay the matrices of the lanes block-diagonally: rows of lane k are k x outputs, ... of (lanes x outputs)."""
        lanes = info.batch_size
        parts: list[Any] = [
            None if argument is None else _with_lanes(argument, axis, lanes)
            for argument, axis in zip(arguments, in_dims, strict=True)
        ]
        inputs, values, zeros, *places = parts
        blocks = _block_diagonal(Places(*places))
        result = _SparseProduct.apply(inputs.flatten(0, 1), values.flatten(), zeros, *blocks)
        return result.unflatten(0, (lanes, -1)), 0


def _with_lanes(tensor: Tensor, axis: int | None, lanes: int) -> Tensor:
    """Return a tensor with the axis of vmap in front, (lanes, ...)."""
    return tensor.expand(lanes, *tensor.shape) if axis is None else tensor.movedim(axis, 0)


def _weighted_sums(rows: Tensor, values: Tensor, starts: Tensor, columns: Tensor) -> Tensor:
    """Return the product of a CSR matrix and dense rows, (rows of the matrix, batch)."""
    return functional.embedding_bag(
        columns,
        rows.detach(),
        starts,
        mode="sum",
        per_sample_weights=values.detach(),
        include_last_offset=True,
    )


def _block_diagonal(places: Places) -> Places:
    """Return the places of the block-diagonal matrix of all lanes, without a lane axis."""
    num_outputs, num_inputs = places.shape
    lanes, connections = places.columns.shape
    lane = torch.arange(lanes, dtype=torch.int32, device=places.columns.device).unsqueeze(1)

    def starts(of_lanes: Tensor) -> Tensor:
        total = of_lanes.new_full((1,), lanes * connections)
        return torch.cat([(of_lanes[:, :-1] + lane * connections).flatten(), total])

    return Places(
        starts(places.row_starts),
        (places.columns + lane * num_inputs).flatten(),
        starts(places.transposed_starts),
        (places.transposed_columns + lane * num_outputs).flatten(),
        (places.order + lane * connections).flatten(),
    )
