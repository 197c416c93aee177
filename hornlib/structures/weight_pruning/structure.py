"""Weight pruning: removes connections before or during training, and sends a lottery ticket back to its start."""

from functools import lru_cache

import torch

from hornlib.structures.connections.mask_changes import changed_layers, flat, shaped
from hornlib.structures.connections.masks import mask_draws, pruned_globally
from hornlib.structures.interface import Change, Decision, LaneView, Moment, Tensors
from hornlib.structures.weight_pruning.parameters import WeightPruningParameters
from hornlib.structures.weight_pruning.rules import SCORES, pruned_in_layers

__all__ = ["WeightPruning"]


class WeightPruning:
    """Removes connections.

    Args:
        parameters: how many, when, and by which score.
    """

    def __init__(self, parameters: WeightPruningParameters) -> None:
        self.parameters = parameters

    def is_due(self, moment: Moment) -> bool:
        """Return whether connections are removed now."""
        return moment.step in _prunings(self.parameters, moment.total_steps, moment.steps_per_epoch)

    def decide(self, view: LaneView) -> Decision:
        """Return the removal of the connections with the lowest scores of all lanes."""
        weights = self.parameters.sparse_weights(view.model, view.task)
        before = {
            weight.name: view.masks[weight.name]
            if weight.name in view.masks
            else torch.ones_like(view.lanes.parameters[weight.name], dtype=torch.bool, requires_grad=False)
            for weight in weights
        }
        masks = shaped(self._pruned(view, flat(before)), weights)
        removed = {name: mask & ~masks[name] for name, mask in before.items()}
        first = view.step == 0
        change = Change(
            range(len(view.lanes)),
            kind="masked" if first else "pruned",
            layers=changed_layers(weights, masks if first else removed),
            model=view.model,
            parameters={},
            buffers={},
            inherit=lambda tensors: {},
            masks=masks,
            memory=view.memory,
        )
        if self.parameters.rule == "lottery":
            change = _remembering(view, change) if first else _rewound(view, change)
        return Decision([change], [0] * len(view.lanes))

    def _pruned(self, view: LaneView, masks: Tensors) -> Tensors:
        parameters, draws = self.parameters, mask_draws(view.lanes.seeds, view.step)
        density = _prunings(parameters, view.total_steps, view.steps_per_epoch)[view.step]
        scores = flat(SCORES[parameters.rule](view, list(masks)))
        if parameters.distribution == "global":
            total = round(density * sum(mask.shape[1] for mask in masks.values()))
            return pruned_globally(scores, masks, total, draws("all"))
        counts = parameters.connections_at(density, view.model, view.task)
        return pruned_in_layers(scores, masks, counts, draws)


@lru_cache(maxsize=64)
def _prunings(
    parameters: WeightPruningParameters, total_steps: int, steps_per_epoch: int
) -> dict[int, float]:
    return parameters.prunings(total_steps, steps_per_epoch)


def _remembering(view: LaneView, change: Change) -> Change:
    """Return the change that remembers the first value of every tensor."""
    tensors = {**view.lanes.parameters, **view.lanes.buffers}
    return change._replace(
        memory={f"first/{name}": tensor.detach().clone() for name, tensor in tensors.items()}
    )


def _rewound(view: LaneView, change: Change) -> Change:
    """Return the change that sets every tensor back to its first value, bit for bit, with a new optimiser."""
    first = {
        name.removeprefix("first/"): tensor
        for name, tensor in view.memory.items()
        if name.startswith("first/")
    }
    return change._replace(
        kind="rewound",
        parameters={name: first[name] for name in view.lanes.parameters},
        buffers={name: first[name] for name in view.lanes.buffers},
        fresh_optimizer=True,
    )
