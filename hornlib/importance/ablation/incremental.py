"""Exact changes of the loss of an mlp: only what a connection reaches is computed again.

Without w_ij the sum of unit i is z_i - w_ij x_j for every example, and the sums of all other units of the layer stay.
The next layer's sums change by the outer product of column i of its matrix and the change of unit i's activation. From
there on the layers above are run. Nothing is approximated.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from hornlib.data.loading import Split
from hornlib.importance.losses import COLUMN_LOSSES
from hornlib.importance.mlp_layers import LayerPass, layer_passes, mlp_layers

__all__ = ["incremental"]

NUMBERS_AT_ONCE = 2**19
"""Numbers of the widest layer above that are computed together, so that they stay in the cache."""


@torch.no_grad()
def incremental(
    network: nn.Module, split: Split, loss: str, places: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return weight -> change of the mean loss without each connection, L(w_k = 0) - L(w), (connections,) float64.

    Args:
        network: an `mlp` in evaluation mode; it is not changed.
        split: the examples.
        loss: key of `hornlib.training.evaluation.LOSSES`.
        places: weight -> places in the flattened weight, (connections,) int64.
    """
    passes = layer_passes(mlp_layers(network), split.inputs)
    positions = {part.layer.name: position for position, part in enumerate(passes)}
    return {
        name: _changes(passes[positions[name] :], among, split.targets, loss)
        for name, among in places.items()
    }


def _changes(passes: Sequence[LayerPass], places: Tensor, targets: Tensor, loss: str) -> Tensor:
    """Return the change of the mean loss without each connection, (connections,) float64.

    Args:
        passes: the layer of the connections, and those above.
        places: of the connections, (connections,) int64.
        targets: of the examples.
        loss: key of COLUMN_LOSSES.
    """
    losses_of = COLUMN_LOSSES[loss]
    before = losses_of(passes[-1].sums, targets)
    widest = max(len(part.sums) for part in passes[1:] or passes)
    at_once = max(1, NUMBERS_AT_ONCE // (widest * len(before)))
    changes = [torch.empty(0, dtype=torch.float64)]
    for start in range(0, len(places), at_once):
        losses = losses_of(_outputs_without(passes, places[start : start + at_once]), targets)
        changes.append(losses.sub_(before).mean(1, dtype=torch.float64))
    return torch.cat(changes)


def _outputs_without(passes: Sequence[LayerPass], places: Tensor) -> Tensor:
    """Return the outputs of the network without each connection, (outputs, connections, examples).

    Args:
        passes: the layer of the connections, and those above.
        places: of the connections, (connections,) int64.
    """
    this, *above = passes
    matrix = this.layer.matrix
    units, sources = places // matrix.shape[1], places % matrix.shape[1]
    values = matrix[units, sources].unsqueeze(1)
    sums = torch.addcmul(
        this.sums[units], values, this.inputs[sources], value=-1
    )  # of the one unit that changes
    if above and this.layer.is_unitwise:
        change = this.layer.activations_(sums, units).sub_(this.activations[units])
        columns = above[0].layer.matrix[:, units].unsqueeze(2)
        start, all_sums = 1, torch.addcmul(above[0].sums.unsqueeze(1), columns, change)
    else:
        start, all_sums = 0, this.sums.unsqueeze(1).repeat(1, len(places), 1)
        all_sums[units, torch.arange(len(places))] = sums
    columns_of_sums = all_sums.flatten(1)
    for lower, upper in pairwise(passes[start:]):
        columns_of_sums = upper.layer.sums(lower.layer.activations_(columns_of_sums))
    return columns_of_sums.unflatten(1, (len(places), -1))
