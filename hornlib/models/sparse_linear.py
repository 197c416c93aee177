"""A fully connected layer that stores its connections only."""

import math

import torch
from torch import Tensor, nn

from hornlib.models.lanes import LaneGroup
from hornlib.models.sparse_product import Places, make_places, sparse_product

__all__ = ["SparseLinear", "linear_layer", "with_dense_gradients"]


class SparseLinear(nn.Module):
    """y = W x + b, where W has a given number of connections at random places, and b may be left out.

    The values start as those of a dense layer: uniform in [-1 / sqrt(inputs), 1 / sqrt(inputs)]. The places are
    buffers, which are named as the fields of `Places`.

    Args:
        num_inputs: entries of x.
        num_outputs: entries of y.
        connections: 1 to num_inputs x num_outputs.
        generator: draws the places.
        bias: whether there is a b.
    """

    values: nn.Parameter
    weight: Tensor | None
    bias: nn.Parameter | None

    def __init__(
        self,
        num_inputs: int,
        num_outputs: int,
        connections: int,
        generator: torch.Generator,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.shape = num_outputs, num_inputs
        size = num_inputs * num_outputs
        positions = torch.randperm(size, generator=generator, dtype=torch.int32)[:connections].sort().values
        for field, part in make_places(positions.long(), self.shape)._asdict().items():
            self.register_buffer(field, part)
        bound = 1 / math.sqrt(num_inputs)
        self.register_parameter("weight", None)  # in lanes of `with_dense_gradients` alone
        self.values = nn.Parameter(torch.empty(connections).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(num_outputs).uniform_(-bound, bound)) if bias else None

    def forward(self, inputs: Tensor) -> Tensor:
        """Return y, (batch, outputs), of x, (batch, inputs), in the type of the values whatever `autocast` asks for."""
        places = Places(*(getattr(self, field) for field in Places._fields))
        products = sparse_product(inputs.to(self.values.dtype), self.values, places, self.weight)
        return products if self.bias is None else products + self.bias


def linear_layer(
    num_inputs: int, num_outputs: int, connections: int | None, generator: torch.Generator, bias: bool = True
) -> nn.Module:
    """Return a dense layer, or a sparse one where not every connection exists.

    Args:
        num_inputs: entries of x.
        num_outputs: entries of y.
        connections: number of connections; None: all.
        generator: draws the places of a sparse layer.
        bias: whether there is a b.
    """
    if connections in (None, num_inputs * num_outputs):
        return nn.Linear(num_inputs, num_outputs, bias=bias)
    return SparseLinear(num_inputs, num_outputs, connections, generator, bias)


def with_dense_gradients(lanes: LaneGroup) -> LaneGroup:
    """Return the same networks, whose gradients include those of connections that do not exist.

    Each sparse layer has a further parameter, such as `linears.0.weight`, (lanes, outputs, inputs). It takes no memory
    and changes nothing; its gradient is that of the dense weight. Networks without sparse layers get none.

    Args:
        lanes: share parameters and buffers with the result.
    """
    zero = torch.zeros((), device=lanes.device)
    weights = {
        f"{name}.weight": zero.expand(len(lanes), *module.shape)
        for name, module in lanes.network.named_modules()
        if isinstance(module, SparseLinear)
    }
    return LaneGroup(lanes.network, lanes.seeds, {**lanes.parameters, **weights}, lanes.buffers, lanes.rows)
