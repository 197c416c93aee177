"""CHTs: soft choices of what is dropped, and connections grow between units that many short paths join."""

from collections.abc import Callable

import torch
from torch import Tensor

from hornlib.structures.connections.masks import Draws, chosen_at_random, highest, lowest, num_true
from hornlib.structures.sparse_training.restart import allowed_places
from hornlib.structures.sparse_training.rules.link_prediction import path_flops, path_scores
from hornlib.structures.sparse_training.rules.look import Look, Rewiring
from hornlib.structures.sparse_training.rules.sampling import sampled

__all__ = ["chts", "on_paths", "relative_importance"]


def chts(look: Look) -> Rewiring:
    """Drop a share of each layer, then what is cut off, and grow as many connections; each part is a choice.

    1. drop_by: a share of the connections is dropped, those with the lowest |w| or relative importance. The soft forms
       draw the connections that stay, with probabilities proportional to score^e, e rising with the training.
    2. cut_off: connections that are on no path from an input to an output of the network are dropped too.
    3. grow_by: as many connections grow at places that have none now, also where one was just dropped. They grow at
       random, where the dense gradient is largest, or where `path_scores` are highest. The soft forms draw places with
       probabilities proportional to the scores. Where too few scores are above 0, the other places are drawn.

    Reference:
        Zhang et al. 2025, Brain network science modelling of sparse neural networks enables Transformers and LLMs to
        perform as fully connected (arXiv 2501.19107), section 3.1 and appendix F.
    """
    parameters = look.parameters
    assert parameters.drop_by and parameters.grow_by
    draws = {name: look.draws(name) for name in look.masks}
    remaining = {name: _remaining(look, name, draws[name]) for name in look.masks}
    if parameters.cut_off == "dropped":
        remaining = on_paths(look, remaining)
    flops = [0] * len(look.threshold)
    masks = {}
    for name, mask in remaining.items():
        counts = [
            before - after for before, after in zip(num_true(look.masks[name]), num_true(mask), strict=True)
        ]
        if parameters.grow_by == "random":
            masks[name] = mask | chosen_at_random(~mask, counts, draws[name])
            continue
        if parameters.grow_by.endswith("gradient"):
            scores = look.growth[name]
        else:
            layers = mask.view(len(mask), *_shape(look, name))
            scores = torch.stack([path_scores(layer) for layer in layers]).flatten(1)
            flops = [total + path_flops(layer) for total, layer in zip(flops, layers, strict=True)]
        choose: Callable[..., Tensor] = sampled if parameters.grow_by.startswith("soft") else highest
        masks[name] = mask | choose(scores, ~mask, counts, draws[name])
    return Rewiring(masks, look.threshold, flops)


def relative_importance(weights: Tensor) -> Tensor:
    """Return |w_ij| / sum over i of |w_ij| + |w_ij| / sum over j of |w_ij|, (lanes, outputs, inputs).

    Args:
        weights: (lanes, outputs, inputs).

    Reference:
        Zhang et al. 2025 (arXiv 2501.19107), equation 1.
    """
    magnitudes = weights.abs()
    of_outputs, of_inputs = (
        magnitudes.sum(side, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny) for side in (2, 1)
    )
    return magnitudes / of_inputs + magnitudes / of_outputs


def on_paths(look: Look, masks: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the connections that are on a path from an input to an output of the network, (lanes, size) bool.

    Args:
        look: at the network.
        masks: weight -> its connections, (lanes, size) bool; other weights are dense.
    """
    lanes, device = len(look.threshold), look.threshold.device
    chain = [
        masks[weight.name].view(lanes, *weight.shape)
        if weight.name in masks
        else torch.ones((lanes, *weight.shape), dtype=torch.bool, device=device)
        for weight in look.network
    ]
    allowed = dict(zip((weight.name for weight in look.network), allowed_places(chain), strict=True))
    return {name: mask & allowed[name].flatten(1) for name, mask in masks.items()}


def _remaining(look: Look, name: str, draws: Draws) -> Tensor:
    """Return the connections of a weight that are not dropped, (lanes, size) bool."""
    weights, mask, drop = look.weights[name], look.masks[name], look.parameters.drop_by or ""
    scores = weights.abs()
    if drop.endswith("importance"):
        scores = relative_importance(weights.view(len(weights), *_shape(look, name))).flatten(1)
    connections = num_true(mask)
    dropped = [round(look.drop_share * number) for number in connections]
    if not drop.startswith("soft"):
        return mask & ~lowest(scores, mask, dropped, draws)
    staying = [number - surplus for number, surplus in zip(connections, dropped, strict=True)]
    return sampled(scores, mask, staying, draws, look.exponent)


def _shape(look: Look, name: str) -> tuple[int, ...]:
    return next(weight.shape for weight in look.network if weight.name == name)
