"""Exact changes of the loss of an mlp: only what a connection reaches is computed again.

Without w_ij the sum of unit i is z_i - w_ij x_j for every example, and the sums of all other units of the layer stay.
The next layer's sums change by the outer product of column i of its matrix and the change of unit i's activation. From
there on the layers above are run, on the examples whose activation changes. Nothing is approximated.

The same function of the same number may round differently in arrays of other shapes. A change is therefore set to 0
where the sums or the activation of the unit stay the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hornlib.data.loading import Split
from hornlib.importance.losses import COLUMN_LOSSES
from hornlib.importance.mlp_layers import LayerPass, layer_passes, mlp_layers

__all__ = ["incremental"]

NUMBERS_AT_ONCE = 2**20
"""Numbers of the widest layer above that are computed together. More do not fit the cache."""


class LayersAbove(NamedTuple):
    """What is run again for some examples.

    Attributes:
        passes: the layer of the connections, and those above.
        targets: of the examples.
        losses: of the examples in the whole network, (examples,).
        loss: key of COLUMN_LOSSES.
    """

    passes: Sequence[LayerPass]
    targets: Tensor
    losses: Tensor
    loss: str

    def at_once(self, num_examples: int) -> int:
        """Return how many connections are judged together."""
        widest = max(len(part.sums) for part in self.passes[1:] or self.passes)
        return max(1, NUMBERS_AT_ONCE // (widest * max(num_examples, 1)))


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
    losses = COLUMN_LOSSES[loss](passes[-1].sums, split.targets)
    positions = {part.layer.name: position for position, part in enumerate(passes)}
    return {
        name: _changes(LayersAbove(passes[positions[name] :], split.targets, losses, loss), among)
        for name, among in places.items()
    }


def _changes(above: LayersAbove, places: Tensor) -> Tensor:
    """Return the change of the mean loss without each connection, (connections,) float64."""
    this = above.passes[0]
    changes = [torch.empty(0, dtype=torch.float64)]
    if len(above.passes) > 1 and this.layer.is_unitwise:
        for unit, sources in _by_unit(places, this.layer.matrix.shape[1]):
            changes += _through_one_unit(above, unit, sources)
    else:
        changes += [
            _through_the_layer(above, part) for part in places.split(above.at_once(len(above.losses)))
        ]
    return torch.cat(changes)


def _by_unit(places: Tensor, num_inputs: int) -> Iterator[tuple[int, Tensor]]:
    """Yield runs of connections of one unit: the unit, and the inputs of its connections, (connections,) int64."""
    units, counts = (places // num_inputs).unique_consecutive(return_counts=True)
    runs = (places % num_inputs).split(counts.tolist())
    yield from zip(units.tolist(), runs, strict=True)


def _through_one_unit(above: LayersAbove, unit: int, sources: Tensor) -> Iterator[Tensor]:
    """Yield parts of the changes of the mean loss without each connection of one unit, (connections,) float64.

    Args:
        above: the layer of the unit and those above; the layer's functions treat every unit alone.
        unit: its row.
        sources: inputs of its connections, (connections,) int64.
    """
    this, following, *_ = above.passes
    values = this.layer.matrix[unit, sources].unsqueeze(1)
    sums = torch.addcmul(this.sums[unit], values, this.inputs[sources], value=-1)
    units, unchanged = torch.full_like(sources, unit), this.sums[unit].repeat(len(sources), 1)
    # Both activations come from arrays of one shape: the stored one may differ from them in its last digit.
    change = this.layer.activations_(sums, units).sub_(this.layer.activations_(unchanged, units))
    column = following.layer.matrix[:, unit].view(-1, 1, 1)
    # Behind a relu, or of an input that is 0, about half of the examples do not change at all.
    examples = ((change != 0).any(0) & column.any()).nonzero().squeeze(1)
    change, before = change[:, examples], following.sums[:, examples].unsqueeze(1)
    targets, losses = above.targets[examples], above.losses[examples]
    for part in change.split(above.at_once(len(examples))):
        outputs = _outputs_above(above.passes[1:], torch.addcmul(before, column, part))
        differences = COLUMN_LOSSES[above.loss](outputs, targets).sub_(losses).masked_fill_(part == 0, 0)
        yield differences.sum(1, dtype=torch.float64) / len(above.losses)


def _through_the_layer(above: LayersAbove, places: Tensor) -> Tensor:
    """Return the change of the mean loss without each connection of a last layer, or of one with layer norm.

    Args:
        above: the layer of the connections and those above.
        places: of the connections, (connections,) int64.
    """
    this = above.passes[0]
    units, sources = places // this.layer.matrix.shape[1], places % this.layer.matrix.shape[1]
    values = this.layer.matrix[units, sources].unsqueeze(1)
    before = this.sums[units]
    after = torch.addcmul(before, values, this.inputs[sources], value=-1)
    sums = this.sums.unsqueeze(1).repeat(1, len(places), 1)
    sums[units, torch.arange(len(places))] = after
    outputs = _outputs_above(above.passes, sums)
    differences = COLUMN_LOSSES[above.loss](outputs, above.targets).sub_(above.losses)
    return differences.masked_fill_(after == before, 0).mean(1, dtype=torch.float64)


def _outputs_above(passes: Sequence[LayerPass], sums: Tensor) -> Tensor:
    """Return the outputs of the network, (outputs, connections, examples).

    Args:
        passes: the layers from the one of the sums on.
        sums: (units, connections, examples), whose values are lost.
    """
    columns = sums.flatten(1)
    for lower, upper in pairwise(passes):
        columns = upper.layer.sums(lower.layer.activations_(columns))
    return columns.unflatten(1, sums.shape[1:])
