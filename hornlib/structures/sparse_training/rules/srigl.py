"""SRigL: RigL with as many inputs for every unit of a layer, and without the units whose inputs matter little."""

import math

import torch
from torch import Tensor

from hornlib.structures.connections.masks import highest, lowest
from hornlib.structures.sparse_training.fan_in import fan_ins, highest_of_units
from hornlib.structures.sparse_training.rules.look import Look, Rewiring
from hornlib.structures.sparse_training.rules.rigl import exchanged

__all__ = ["active_units", "srigl"]


def srigl(look: Look) -> Rewiring:
    """Exchange the smallest weights of a layer for connections that give all its units the same number of inputs.

    For a layer of n connections and u units, k = f(t) n of them are exchanged:

    1. The connections that RigL would have after the update are salient.
    2. Units with fewer than g n / u salient connections lose all inputs (`active_units`).
    3. The weights of the smallest magnitude in the whole layer are dropped, until n - k remain.
    4. The a other units have n / a inputs each, to within 1, so that the total stays exactly n. A unit with more drops
       its smallest weights. A unit with fewer grows where the dense gradient is largest.

    A unit without inputs comes back if its connections are salient at a later update.

    Reference:
        Lasby et al. 2024, Dynamic sparse training with structured sparsity, section 3.
    """
    by_name = {weight.name: weight for weight in look.network}
    masks = {}
    for name, mask in look.masks.items():
        weight, draws = by_name[name], look.draws(name)
        min_salient = 0.0 if weight.role == "output" else look.parameters.min_salient or 0.0
        salient = exchanged(look.weights[name], mask, look.growth[name], look.drop_share, draws)
        magnitudes, places, growth, salient = (
            tensor.view(len(mask), weight.shape[0], -1)
            for tensor in (look.weights[name].abs(), mask, look.growth[name], salient)
        )
        updated = [
            _updated(
                magnitudes[lane],
                places[lane],
                growth[lane],
                salient[lane],
                look.drop_share,
                min_salient,
                draw,
            )
            for lane, draw in enumerate(draws)
        ]
        masks[name] = torch.stack(updated).flatten(1)
    return Rewiring(masks, look.threshold)


def active_units(salient: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """Return the units that keep inputs, (units,) bool: those with enough salient connections.

    At least one connection must be salient. As many units stay as are needed to hold all connections: those with the
    most salient ones.

    Args:
        salient: the salient connections, (units, inputs) bool; as many as the layer has connections.
        share: of the mean number of inputs that must be salient; 0: all units are active.
        draw: decides between units with equally many salient connections.
    """
    counts = salient.sum(1)
    if share == 0:
        return torch.ones_like(counts, dtype=torch.bool)
    connections = int(counts.sum())
    active = counts >= max(1.0, share * connections / len(counts))
    needed = math.ceil(connections / salient.shape[1])
    if int(active.sum()) >= needed:
        return active
    return highest(counts.unsqueeze(0).float(), torch.ones_like(active).unsqueeze(0), [needed], [draw])[0]


def _updated(
    magnitudes: Tensor,
    mask: Tensor,
    growth: Tensor,
    salient: Tensor,
    drop_share: float,
    min_salient: float,
    draw: torch.Generator,
) -> Tensor:
    """Return the mask of one lane after the update; all tensors are (units, inputs)."""
    connections = int(mask.sum())
    active = active_units(salient, min_salient, draw)
    numbers = fan_ins(connections, active, salient.sum(1).float(), draw)
    remaining = mask & active.unsqueeze(1)
    surplus = max(int(remaining.sum()) - (connections - round(drop_share * connections)), 0)
    dropped = lowest(magnitudes.reshape(1, -1), remaining.reshape(1, -1), [surplus], [draw])
    remaining &= ~dropped.view_as(remaining)
    remaining = highest_of_units(magnitudes, remaining, remaining.sum(1).minimum(numbers), draw)
    return remaining | highest_of_units(growth, ~remaining, numbers - remaining.sum(1), draw)
