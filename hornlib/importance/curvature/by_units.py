"""The exact diagonal of the Hessian of an mlp, from second derivatives by the sums of its units."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from hornlib.data.loading import Split
from hornlib.importance.losses import COLUMN_LOSSES
from hornlib.importance.mlp_layers import MlpLayer, layer_passes, mlp_layers, outputs_from

__all__ = ["by_units"]

UNITS_AT_ONCE = 16
"""Units whose derivatives are computed side by side; more take more memory and no less time."""


def by_units(network: nn.Module, split: Split, loss: str, places: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weight -> h_k = d^2 L / d w_k^2 of the mean loss, (connections,) float64.

    A connection w_ij acts through z_i = sum_j w_ij x_j + b_i alone, which is linear in it. With N examples therefore
    h_ij = 1/N sum_n x_jn^2 d^2 l_n / d z_in^2. The second derivative by one unit's sum is computed for all examples at
    once, by forward mode over reverse mode, since the loss of an example depends on no other example.

    Args:
        network: an `mlp` in evaluation mode; it is not changed.
        split: the examples.
        loss: key of `hornlib.training.evaluation.LOSSES`.
        places: weight -> places in the flattened weight, (connections,) int64.
    """
    layers = mlp_layers(network)
    with torch.no_grad():
        passes = layer_passes(layers, split.inputs)
    curvatures = {}
    for position, (layer, inputs, sums, _) in enumerate(passes):
        if layer.name in places:
            second = _second_derivatives(layers[position:], sums, split.targets, loss)
            all_places = second @ inputs.square().T / len(split.targets)
            curvatures[layer.name] = all_places.flatten()[places[layer.name]].double()
    return {name: curvatures[name] for name in places}


def _second_derivatives(layers: Sequence[MlpLayer], sums: Tensor, targets: Tensor, loss: str) -> Tensor:
    """Return d^2 l_n / d z_in^2, (units, examples).

    Args:
        layers: from the one of the sums on.
        sums: z, (units, examples).
        targets: of the examples.
        loss: key of COLUMN_LOSSES.
    """

    def total_loss(numbers: Tensor) -> Tensor:
        return COLUMN_LOSSES[loss](outputs_from(layers, numbers), targets).sum()

    def of_unit(direction: Tensor) -> Tensor:
        tangent = direction.unsqueeze(1).expand_as(sums)
        derivative = torch.func.jvp(torch.func.grad(total_loss), (sums,), (tangent,))[1]
        return (direction.unsqueeze(1) * derivative).sum(0)

    directions = torch.eye(len(sums), dtype=sums.dtype)
    return torch.vmap(of_unit, chunk_size=UNITS_AT_ONCE)(directions)
