"""Exact changes of the loss of any network: many copies of it, each without one connection, run side by side."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hornlib.data.loading import Split
from hornlib.importance.losses import example_losses

__all__ = ["NUMBERS_AT_ONCE", "by_vmap", "changes_with"]

NUMBERS_AT_ONCE = 2**21
"""Numbers of the inputs of all copies that run together. More do not fit the cache."""


@torch.no_grad()
def by_vmap(network: nn.Module, split: Split, loss: str, places: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weight -> change of the mean loss without each connection, L(w_k = 0) - L(w), (connections,) float64.

    Args:
        network: in evaluation mode; it is not changed.
        split: the examples.
        loss: key of `hornlib.training.evaluation.LOSSES`.
        places: weight -> places in the flattened weight, (connections,) int64.
    """
    return {
        name: changes_with(network, split, loss, name, among, torch.zeros(len(among)))
        for name, among in places.items()
    }


def changes_with(
    network: nn.Module, split: Split, loss: str, name: str, places: Tensor, values: Tensor
) -> Tensor:
    """Return the change of the mean loss when a single entry of a weight has another value, (entries,) float64.

    Losses are subtracted example by example, so that a small change is not lost in the rounding of the mean.

    Args:
        network: in evaluation mode; it is not changed.
        split: the examples.
        loss: key of `hornlib.training.evaluation.LOSSES`.
        name: of the weight.
        places: in the flattened weight, (entries,) int64.
        values: what each entry is set to, alone, (entries,).
    """
    weight = network.get_parameter(name).detach()
    before = example_losses(network(split.inputs), split.targets, loss)

    def losses_of(changed: Tensor) -> Tensor:
        outputs = torch.func.functional_call(network, {name: changed}, split.inputs)
        return example_losses(outputs, split.targets, loss)

    at_once = max(1, NUMBERS_AT_ONCE // split.inputs.numel())
    changes = [torch.empty(0, dtype=torch.float64)]
    for start in range(0, len(places), at_once):
        here = slice(start, start + at_once)
        copies = weight.flatten().repeat(len(places[here]), 1)
        copies.scatter_(1, places[here].unsqueeze(1), values[here].to(weight.dtype).unsqueeze(1))
        losses = torch.vmap(losses_of)(copies.view(-1, *weight.shape))
        changes.append((losses - before).mean(1, dtype=torch.float64))
    return torch.cat(changes)
