"""The diagonal of the Hessian of any network, from second differences of the loss in double precision."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hornlib.data.loading import Split
from hornlib.importance.ablation.by_vmap import changes_with

__all__ = ["STEP", "by_differences"]

STEP = 1e-4
"""e. The error of a second difference is about e^2 / 12 times the fourth derivative, and 1e-16 L / e^2 by rounding."""


@torch.no_grad()
def by_differences(
    network: nn.Module, split: Split, loss: str, places: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return weight -> h_k = (L(w_k + e) - 2 L(w) + L(w_k - e)) / e^2 of the mean loss, (connections,) float64.

    Forward mode and second derivatives do not pass the recurrences' own adjoints; forward passes alone do. An example
    whose relu is within e of its kink adds the change of slope there, which the Hessian leaves out.

    Args:
        network: in evaluation mode; it is not changed.
        split: the examples.
        loss: key of `hornlib.training.evaluation.LOSSES`.
        places: weight -> places in the flattened weight, (connections,) int64.
    """
    precise = copy.deepcopy(network).double()
    targets = split.targets.double() if split.targets.is_floating_point() else split.targets
    examples = Split(split.inputs.double(), targets)
    curvatures = {}
    for name, among in places.items():
        values = precise.get_parameter(name).detach().flatten()[among]
        above, below = (
            changes_with(precise, examples, loss, name, among, values + step) for step in (STEP, -STEP)
        )
        curvatures[name] = (above + below) / STEP**2
    return curvatures
