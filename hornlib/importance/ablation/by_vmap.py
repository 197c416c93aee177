"""Exact changes of the loss of any network: many copies of it, each without one connection, run side by side."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hornlib.data.loading import Split
from hornlib.importance.losses import example_losses

__all__ = ["NUMBERS_AT_ONCE", "by_vmap", "losses_with"]

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
    before = example_losses(network(split.inputs), split.targets, loss)
    changes = {}
    for name, among in places.items():
        losses = losses_with(network, split, loss, name, among, torch.zeros(len(among)))
        changes[name] = torch.cat([(part - before).mean(1, dtype=torch.float64) for part in losses])
    return changes


def losses_with(
    network: nn.Module, split: Split, loss: str, name: str, places: Tensor, values: Tensor
) -> list[Tensor]:
    """Return the losses of all examples when single entries of a weight have other values.

    Args:
        network: in evaluation mode; it is not changed.
        split: the examples.
        loss: key of `hornlib.training.evaluation.LOSSES`.
        name: of the weight.
        places: in the flattened weight, (entries,) int64.
        values: what each entry is set to, alone, (entries,).

    Returns:
        Parts (entries of the part, examples), which joined are (entries, examples).
    """
    weight = network.get_parameter(name).detach()

    def losses_of(changed: Tensor) -> Tensor:
        outputs = torch.func.functional_call(network, {name: changed}, split.inputs)
        return example_losses(outputs, split.targets, loss)

    at_once = max(1, NUMBERS_AT_ONCE // split.inputs.numel())
    parts = []
    for among, to in zip(places.split(at_once), values.to(weight.dtype).split(at_once), strict=True):
        copies = weight.flatten().repeat(len(among), 1)
        copies.scatter_(1, among.unsqueeze(1), to.unsqueeze(1))
        parts.append(torch.vmap(losses_of)(copies.view(-1, *weight.shape)))
    return parts
