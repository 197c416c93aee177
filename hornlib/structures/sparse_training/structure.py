"""Sparse training: chooses connections before the first step, and rewires them by a rule while the network trains."""

import torch
from torch import Tensor

from hornlib.structures.interface import Change, Decision, LaneView, Moment, Tensors
from hornlib.structures.mask_changes import changed_layers, flat, shaped
from hornlib.structures.masks import chosen_at_random, mask_draws
from hornlib.structures.sparse_training.parameters import SparseTrainingParameters
from hornlib.structures.sparse_training.rules import RULES, Look
from hornlib.structures.sparse_training.storage import STORAGES, Choice

__all__ = ["SparseTraining", "scaled_by_fan_in"]


class SparseTraining:
    """Chooses connections and rewires them.

    Args:
        parameters: how many connections, where, and by which rule they are rewired.
    """

    def __init__(self, parameters: SparseTrainingParameters) -> None:
        self.parameters = parameters
        self.storage = STORAGES[parameters.storage]

    def is_due(self, moment: Moment) -> bool:
        """Return whether connections are chosen (before the first step) or rewired (at every update) now."""
        if moment.step == 0:
            return True
        interval = self.parameters.update_interval(moment.steps_per_epoch)
        is_update = interval is not None and moment.step % interval == 0
        return is_update and moment.step < self.parameters.end_of_updates(moment.total_steps)

    def decide(self, view: LaneView) -> Decision:
        """Return the first connections, or the rewired ones, of all lanes."""
        no_flops = [0] * len(view.lanes)
        if view.step == 0:
            return Decision([self._first(view)], no_flops)
        looks = self.parameters.rule in ("rigl", "granet")
        return Decision([self._rewired(view)], no_flops, used_step=looks)

    def _first(self, view: LaneView) -> Change:
        parameters, draws, lanes = self.parameters, mask_draws(view.lanes.seeds, view.step), len(view.lanes)
        weights = parameters.sparse_weights(view.model, view.task)
        counts = parameters.initial_connections(view.model, view.task)
        masks, values = {}, {}
        for weight in weights:
            places = torch.ones((lanes, weight.size), dtype=torch.bool, device=view.lanes.device)
            mask = chosen_at_random(places, [counts[weight.name]] * lanes, draws(weight.name))
            masks[weight.name] = mask = mask.view(lanes, *weight.shape)
            values[weight.name] = view.lanes.parameters[weight.name].detach() * mask
            if parameters.initial_scale == "fan_in":
                values[weight.name] = scaled_by_fan_in(values[weight.name], mask)
        memory = {}
        if parameters.threshold is not None:
            memory["threshold"] = torch.full((lanes,), parameters.threshold, device=view.lanes.device)
        choice = Choice(masks, changed_layers(weights, masks), memory)
        return self.storage.first(view, parameters.trained_model(view.model, view.task), values, choice)

    def _rewired(self, view: LaneView) -> Change:
        model, _ = view.model.masked_form(view.task)
        before = self.storage.masks(view)
        weights = [weight for weight in model.weights(view.task) if weight.name in before]
        rewiring = RULES[self.parameters.rule](self._look(view, before))
        masks = shaped(rewiring.masks, weights)
        dropped = {name: mask & ~masks[name] for name, mask in before.items()}
        grown_before = {
            name: view.memory[f"grown/{name}"] for name in masks if f"grown/{name}" in view.memory
        }
        memory = {f"grown/{name}": mask & ~before[name] for name, mask in masks.items()}
        if "threshold" in view.memory:
            memory["threshold"] = rewiring.threshold
        choice = Choice(masks, changed_layers(weights, dropped, grown_before), memory)
        return self.storage.rewired(view, choice, self.parameters.has_dense_moments)

    def _look(self, view: LaneView, masks: Tensors) -> Look:
        parameters, weights, growth = self.parameters, self.storage.weights(view), self._growth(view)
        size = sum(mask[0].numel() for mask in masks.values())
        threshold = view.memory.get("threshold", torch.zeros(len(view.lanes), device=view.lanes.device))
        return Look(
            weights=flat({name: weights[name] for name in masks}),
            masks=flat(masks),
            growth={name: tensor.flatten(1).abs() for name, tensor in growth.items() if name in masks},
            drop_share=parameters.share_at(view.step, view.total_steps),
            total=round(parameters.density_at(view.step, view.total_steps) * size),
            threshold=threshold,
            threshold_tolerance=parameters.threshold_tolerance or 0.0,
            draws=mask_draws(view.lanes.seeds, view.step),
        )

    def _growth(self, view: LaneView) -> Tensors:
        """Return parameter -> what decides where connections grow, (lanes, ...); empty for rules that draw."""
        if self.parameters.rule in ("rigl", "granet"):
            return view.coming_gradients()
        if self.parameters.rule == "snfs":
            return view.moments["momentum" if "momentum" in view.moments else "first_moment"]
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
