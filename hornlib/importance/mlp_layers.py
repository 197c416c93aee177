"""The layers of an mlp in evaluation mode, with examples as the last axis: the sums of units are rows.

A row function changes rows of sums or activations, each by itself. With examples innermost, one unit of many changed
networks is one block of memory, and products with the next matrix need no copy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from hornlib.models.layers import AllRelu, Pointwise, SRelu
from hornlib.models.mlp.network import Mlp

__all__ = ["LayerPass", "MlpLayer", "layer_passes", "mlp_layers", "outputs_from"]

ALL = slice(None)

IN_PLACE: dict[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] = {
    torch.relu: torch.relu_,
    torch.tanh: torch.tanh_,
    torch.sigmoid: torch.sigmoid_,
    torch.selu: torch.selu_,
}
"""Activation -> the same in place, which takes a quarter of the time where the numbers fill the cache."""

RowFunction = Callable[[Tensor, Tensor | slice], Tensor]
"""Maps numbers (rows, columns) and the units that the rows belong to, (rows,) int64 or all, to (rows, columns)."""


@dataclass(frozen=True)
class MlpLayer:
    """One matrix of an mlp, and what its sums pass before the next matrix reads them.

    Attributes:
        name: of the weight.
        matrix: W, (units, inputs).
        bias: b, (units, 1).
        functions: norm and activation of a hidden layer; of the last hidden layer also the norm of the read-out.
        overwriting: the same functions, which may write into the rows that they get.
        is_unitwise: whether the functions treat every unit alone. Layer norm does not.
    """

    name: str
    matrix: Tensor
    bias: Tensor
    functions: Sequence[RowFunction]
    overwriting: Sequence[RowFunction]
    is_unitwise: bool

    def sums(self, inputs: Tensor) -> Tensor:
        """Return W x + b, (units, columns), of inputs (inputs, columns)."""
        return torch.addmm(self.bias, self.matrix, inputs)

    def activations(self, sums: Tensor, units: Tensor | slice = ALL) -> Tensor:
        """Return what the next matrix reads, (rows, columns).

        Args:
            sums: (rows, columns).
            units: to which the rows belong. It must be all if the layer is not unitwise.
        """
        for function in self.functions:
            sums = function(sums, units)
        return sums

    def activations_(self, sums: Tensor, units: Tensor | slice = ALL) -> Tensor:
        """Return what `activations` returns, perhaps in the memory of the sums.

        Args:
            sums: (rows, columns), whose values are lost.
            units: to which the rows belong.
        """
        for function in self.overwriting:
            sums = function(sums, units)
        return sums


class LayerPass(NamedTuple):
    """One layer and its numbers for some examples.

    Attributes:
        layer: the layer.
        inputs: x, (inputs, examples).
        sums: W x + b, (units, examples).
        activations: what the next matrix reads, (units, examples); of the last layer the sums.
    """

    layer: MlpLayer
    inputs: Tensor
    sums: Tensor
    activations: Tensor


def mlp_layers(network: nn.Module) -> list[MlpLayer]:
    """Return the layers of an `mlp` from the input to the read-out.

    Args:
        network: in evaluation mode, with dense matrices; batch norm's statistics and dropout are those of evaluations.
    """
    mlp = cast(Mlp, network)
    modules = [
        (f"linears.{place}.weight", linear, [norm, activation])
        for place, (linear, norm, activation) in enumerate(
            zip(mlp.linears, mlp.norms, mlp.activations, strict=True)
        )
    ]
    modules[-1][2].append(mlp.readout.norm)
    return [_layer(*parts) for parts in (*modules, ("readout.linear.weight", mlp.readout.linear, []))]


def layer_passes(layers: Sequence[MlpLayer], inputs: Tensor) -> list[LayerPass]:
    """Return the numbers of every layer for some examples.

    Args:
        layers: from `mlp_layers`.
        inputs: examples, (examples, ...).
    """
    columns = inputs.flatten(1).T.contiguous()
    passes = []
    for layer in layers:
        sums = layer.sums(columns)
        activations = layer.activations(sums)
        passes.append(LayerPass(layer, columns, sums, activations))
        columns = activations
    return passes


def outputs_from(layers: Sequence[MlpLayer], sums: Tensor) -> Tensor:
    """Return the outputs of the network, (outputs, columns).

    Args:
        layers: those from which on the numbers are computed.
        sums: of the first of them, (units, columns).
    """
    for below, above in pairwise(layers):
        sums = above.sums(below.activations(sums))
    return sums


def _layer(name: str, linear: nn.Module, modules: Sequence[nn.Module]) -> MlpLayer:
    assert isinstance(linear, nn.Linear), "connections that are stored alone have no matrix"
    weight = linear.weight.detach()
    bias = weight.new_zeros(len(weight)) if linear.bias is None else linear.bias.detach()
    active = [module for module in modules if not isinstance(module, nn.Identity)]
    functions = [_row_function(module) for module in active]
    return MlpLayer(
        name,
        weight,
        bias.unsqueeze(1),
        functions,
        [_overwriting(module, function) for module, function in zip(active, functions, strict=True)],
        not any(isinstance(module, nn.LayerNorm) for module in active),
    )


def _row_function(module: nn.Module) -> RowFunction:
    """Return a norm or an activation for rows of units."""
    if isinstance(module, nn.BatchNorm1d):
        return _batch_norm(module)
    if isinstance(module, nn.LayerNorm):
        return _layer_norm(module)
    if isinstance(module, SRelu):
        return _s_relu(module)
    assert isinstance(module, Pointwise | AllRelu), f"{type(module).__name__} has no form for rows"
    return lambda rows, units: module(rows)


def _overwriting(module: nn.Module, function: RowFunction) -> RowFunction:
    """Return the function in place, if torch has it in place, else the function."""
    in_place = IN_PLACE.get(module.function) if isinstance(module, Pointwise) else None
    return function if in_place is None else lambda rows, units: in_place(rows)


def _batch_norm(norm: nn.BatchNorm1d) -> RowFunction:
    assert norm.running_mean is not None and norm.running_var is not None, "torch's defaults"
    scale = torch.rsqrt(norm.running_var + norm.eps)
    scale = scale if norm.weight is None else scale * norm.weight.detach()
    shift = -norm.running_mean * scale
    shift = shift if norm.bias is None else shift + norm.bias.detach()
    return lambda rows, units: torch.addcmul(shift[units].unsqueeze(1), rows, scale[units].unsqueeze(1))


def _layer_norm(norm: nn.LayerNorm) -> RowFunction:
    weight, bias = norm.weight.detach().unsqueeze(1), norm.bias.detach().unsqueeze(1)

    def normalised(rows: Tensor, units: Tensor | slice) -> Tensor:
        centred = rows - rows.mean(0)
        scale = torch.rsqrt(centred.square().mean(0) + norm.eps)
        return torch.addcmul(bias, centred * scale, weight)

    return normalised


def _s_relu(activation: SRelu) -> RowFunction:
    """Return `SRelu.forward` with units in front."""
    left, right_gain = activation.left.detach(), activation.right_slope.detach() - 1
    right, left_gain = left + activation.distance.detach().abs(), 1 - activation.left_slope.detach()

    def bent(rows: Tensor, units: Tensor | slice) -> Tensor:
        at_left, at_right, below, above = (
            numbers[units].unsqueeze(1) for numbers in (left, right, left_gain, right_gain)
        )
        bent_above = torch.addcmul(rows, above, torch.relu(rows - at_right))
        return torch.addcmul(bent_above, below, torch.relu(at_left - rows))

    return bent
