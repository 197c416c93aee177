"""Sparse training: chooses connections before the first step, and rewires them by a rule while the network trains."""

import torch
from torch import Tensor

from hornlib.parameters import Weight
from hornlib.structures.interface import Change, Decision, LaneView, Moment, Tensors
from hornlib.structures.mask_changes import changed_layers, flat, shaped
from hornlib.structures.masks import chosen_at_random, mask_draws
from hornlib.structures.sparse_training.parameters import SparseTrainingParameters
from hornlib.structures.sparse_training.rules import RULES, Look

__all__ = ["SparseTraining", "scaled_by_fan_in"]


class SparseTraining:
    """Masks connections and rewires them.

    Args:
        parameters: how many connections, where, and by which rule they are rewired.
    """

    def __init__(self, parameters: SparseTrainingParameters) -> None:
        self.parameters = parameters

    def is_due(self, moment: Moment) -> bool:
        """Return whether connections are chosen (before the first step) or rewired (at every update) now."""
        if moment.step == 0:
            return True
        interval = self.parameters.update_interval(moment.steps_per_epoch)
        is_update = interval is not None and moment.step % interval == 0
        return is_update and moment.step < self.parameters.end_of_updates(moment.total_steps)

    def decide(self, view: LaneView) -> Decision:
        """Return the first connections, or the rewired ones, of all lanes."""
        weights = self.parameters.sparse_weights(view.model, view.task)
        if view.step == 0:
            return Decision([self._first(view, weights)], [0] * len(view.lanes))
        looks = self.parameters.rule in ("rigl", "granet")
        return Decision([self._rewired(view, weights)], [0] * len(view.lanes), used_step=looks)

    def _first(self, view: LaneView, weights: list[Weight]) -> Change:
        counts = self.parameters.initial_connections(view.model, view.task)
        draws, lanes = mask_draws(view.lanes.seeds, view.step), len(view.lanes)
        masks, parameters = {}, {}
        for weight in weights:
            places = torch.ones((lanes, weight.size), dtype=torch.bool, device=view.lanes.device)
            mask = chosen_at_random(places, [counts[weight.name]] * lanes, draws(weight.name))
            masks[weight.name] = mask.view(lanes, *weight.shape)
            values = view.lanes.parameters[weight.name].detach() * masks[weight.name]
            if self.parameters.initial_scale == "fan_in":
                values = scaled_by_fan_in(values, masks[weight.name])
            parameters[weight.name] = values
        return Change(
            range(lanes),
            kind="masked",
            layers=changed_layers(weights, masks),
            model=view.model,
            parameters=parameters,
            buffers={},
            inherit=lambda moments: {},
            masks=masks,
            memory=self._first_threshold(view),
        )

    def _first_threshold(self, view: LaneView) -> Tensors:
        if self.parameters.threshold is None:
            return {}
        return {
            "threshold": torch.full((len(view.lanes),), self.parameters.threshold, device=view.lanes.device)
        }

    def _rewired(self, view: LaneView, weights: list[Weight]) -> Change:
        before = {weight.name: view.masks[weight.name] for weight in weights}
        rewiring = RULES[self.parameters.rule](self._look(view, weights))
        masks = shaped(rewiring.masks, weights)
        grown = {name: mask & ~before[name] for name, mask in masks.items()}
        dropped = {name: mask & ~masks[name] for name, mask in before.items()}
        memory = {f"grown/{name}": mask for name, mask in grown.items()}
        if "threshold" in view.memory:
            memory["threshold"] = rewiring.threshold
        grown_before = {
            name: view.memory[f"grown/{name}"] for name in masks if f"grown/{name}" in view.memory
        }

        def inherit(tensors: Tensors) -> Tensors:
            return {name: tensors[name] * (before[name] & mask) for name, mask in masks.items()}

        return Change(
            range(len(view.lanes)),
            kind="rewired",
            layers=changed_layers(weights, dropped, grown_before),
            model=view.model,
            parameters={},
            buffers={},
            inherit=(lambda tensors: {}) if self.parameters.has_dense_moments else inherit,
            masks=masks,
            memory=memory,
        )

    def _look(self, view: LaneView, weights: list[Weight]) -> Look:
        parameters, names = self.parameters, [weight.name for weight in weights]
        lanes = len(view.lanes)
        return Look(
            weights=flat({name: view.lanes.parameters[name].detach() for name in names}),
            masks=flat({name: view.masks[name] for name in names}),
            growth={name: tensor.abs() for name, tensor in flat(self._growth(view, names)).items()},
            drop_share=parameters.share_at(view.step, view.total_steps),
            total=parameters.total_at(view.step, view.total_steps, weights),
            threshold=view.memory.get("threshold", torch.zeros(lanes, device=view.lanes.device)),
            threshold_tolerance=parameters.threshold_tolerance or 0.0,
            draws=mask_draws(view.lanes.seeds, view.step),
        )

    def _growth(self, view: LaneView, names: list[str]) -> Tensors:
        """Return weight -> what decides where connections grow, (lanes, ...); empty for rules that draw."""
        if self.parameters.rule in ("rigl", "granet"):
            gradients = view.coming_gradients()
            return {name: gradients[name] for name in names}
        if self.parameters.rule == "snfs":
            moments = view.moments.get("momentum", view.moments.get("first_moment"))
            assert moments is not None, "both optimisers have a first moment"
            return {name: moments[name] for name in names}
        return {}


def scaled_by_fan_in(weights: Tensor, mask: Tensor) -> Tensor:
    """Return the weights of each unit times sqrt(dense fan-in / number of its inputs).

    The variance of a unit's input is then that of the dense network.

    Args:
        weights: (lanes, outputs, ...), 0 where there is no connection.
        mask: where connections are, (lanes, outputs, ...) bool.
    """
    inputs = mask.flatten(2).sum(2)
    factors = (mask[0, 0].numel() / inputs.clamp(min=1)).sqrt()
    return weights * factors.view(*factors.shape, *[1] * (weights.dim() - 2))
