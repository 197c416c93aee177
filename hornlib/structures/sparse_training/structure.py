"""Sparse training: chooses connections before the first step, and rewires them by a rule while the network trains."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hornlib.models.compressed import positions_of, values_of
from hornlib.structures.connections.mask_changes import changed_layers, flat, shaped
from hornlib.structures.connections.masks import mask_draws
from hornlib.structures.interface import Change, Decision, LaneView, Moment, Tensors
from hornlib.structures.sparse_training.parameters import SparseTrainingParameters
from hornlib.structures.sparse_training.restart import allowed_places, fresh_tensors, masks_within
from hornlib.structures.sparse_training.rules import EXCHANGES, RULES, Look
from hornlib.structures.sparse_training.rules.exchange import StoredConnections
from hornlib.structures.sparse_training.starts import first_masks
from hornlib.structures.sparse_training.storage import (
    STORAGES,
    Connections,
    exchanged_connections,
)

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
        step, total_steps = self._phase(moment.step, moment.total_steps, moment.steps_per_epoch)
        if step == 0:
            return True
        interval = self.parameters.update_interval(moment.steps_per_epoch)
        is_update = interval is not None and step % interval == 0
        return is_update and step < self.parameters.end_of_updates(total_steps)

    def _phase(self, step: int, total_steps: int, steps_per_epoch: int) -> tuple[int, int]:
        """Return the steps done and all steps of the present training: of two, if it starts a second time.

        Args:
            step: training steps done.
            total_steps: training steps of the whole training.
            steps_per_epoch: training steps of one epoch.
        """
        if self.parameters.restart_at_epoch is None:
            return step, total_steps
        start = self.parameters.restart_at_epoch * steps_per_epoch
        return (step, start) if step < start else (step - start, total_steps - start)

    def decide(self, view: LaneView) -> Decision:
        """Return the first connections, or the rewired ones, of all lanes."""
        no_flops = [0] * len(view.lanes)
        if view.step == 0:
            return self._first(view)
        if self._phase(view.step, view.total_steps, view.steps_per_epoch)[0] == 0:
            return Decision([self._restarted(view)], no_flops)
        change, flops = self._rewired(view)
        return Decision([change], flops or no_flops, used_step=self.parameters.grows_by_gradient)

    def _first(self, view: LaneView) -> Decision:
        parameters, lanes = self.parameters, len(view.lanes)
        if parameters.start == "kept_units":
            return Decision([self._restarted(view)], [0] * lanes)
        weights = parameters.sparse_weights(view.model, view.task)
        counts = parameters.initial_connections(view.model, view.task)
        masks, flops = first_masks(parameters.start or "random", view, weights, counts)
        values = {name: view.lanes.parameters[name].detach() * mask for name, mask in masks.items()}
        if parameters.initial_scale == "fan_in":
            values = {name: scaled_by_fan_in(value, masks[name]) for name, value in values.items()}
        memory = {}
        if parameters.threshold is not None:
            memory["threshold"] = torch.full((lanes,), parameters.threshold, device=view.lanes.device)
        choice = Connections(masks, changed_layers(weights, masks), memory)
        model = parameters.trained_model(view.model, view.task)
        return Decision([self.storage.first(view, model, values, choice)], [flops] * lanes)

    def _restarted(self, view: LaneView) -> Change:
        parameters, (values, buffers) = self.parameters, fresh_tensors(view)
        weights, sparse = view.model.weights(view.task), parameters.sparse_weights(view.model, view.task)
        lanes, draws = len(view.lanes), mask_draws(view.lanes.seeds, view.step)
        full = {
            weight.name: torch.ones((lanes, *weight.shape), dtype=torch.bool, device=view.lanes.device)
            for weight in weights
        }
        before = list((full | view.masks).values())
        allowed = dict(zip(full, allowed_places(before), strict=True))
        density = parameters.restart_density or parameters.density
        masks = allowed | masks_within(
            sparse,
            allowed,
            lambda weights: parameters.num_connections(weights, density),
            {weight.name: draws(weight.name) for weight in sparse},
        )
        for weight in weights:  # scaled as in a network of the units that are left
            name = weight.name
            inputs = allowed[name] if parameters.initial_scale == "dense" else masks[name]
            values[name] = scaled_by_fan_in(values[name], inputs) * masks[name]
        return Change(
            range(lanes),
            kind="restarted",
            layers=changed_layers(weights, masks),
            model=view.model,
            parameters=values,
            buffers=buffers,
            inherit=lambda tensors: {},
            masks=masks,
            memory={f"allowed/{name}": places for name, places in allowed.items()},
            fresh_optimizer=True,
        )

    def _rewired(self, view: LaneView) -> tuple[Change, Sequence[int]]:
        """Return the rewiring, and the FLOPs of each lane; none if the rule multiplies nothing."""
        if self.parameters.storage == "compressed" and self.parameters.rule in EXCHANGES:
            return self._exchanged(view), []
        model, _ = view.model.masked_form(view.task)
        stored = self.storage.masks(view)
        weights = [
            weight for weight in self.parameters.sparse_weights(model, view.task) if weight.name in stored
        ]
        before = {weight.name: stored[weight.name] for weight in weights}
        rewiring = RULES[self.parameters.rule](self._look(view, before))
        masks = shaped(rewiring.masks, weights)
        dropped = {name: mask & ~masks[name] for name, mask in before.items()}
        grown_before = {
            name: view.memory[f"grown/{name}"] for name in masks if f"grown/{name}" in view.memory
        }
        memory = {f"grown/{name}": mask & ~before[name] for name, mask in masks.items()}
        memory |= {name: tensor for name, tensor in view.memory.items() if name.startswith("allowed/")}
        if "threshold" in view.memory:
            memory["threshold"] = rewiring.threshold
        choice = Connections(stored | masks, changed_layers(weights, dropped, grown_before), memory)
        return self.storage.rewired(view, choice, self.parameters.dense == "moments"), rewiring.flops

    def _exchanged(self, view: LaneView) -> Change:
        """Return the rewiring of stored connections by a rule that looks at connections alone."""
        rule, growth = EXCHANGES[self.parameters.rule], flat(self._growth(view))
        share = self.parameters.share_at(*self._phase(view.step, view.total_steps, view.steps_per_epoch))
        draws, positions = mask_draws(view.lanes.seeds, view.step), positions_of(view.lanes.buffers)
        model, _ = view.model.masked_form(view.task)
        weights = [
            weight for weight in self.parameters.sparse_weights(model, view.task) if weight.name in positions
        ]
        exchanges = {}
        for weight in weights:
            name = weight.name
            values = view.lanes.parameters[values_of(name)].detach()
            scores = growth.get(name, [None] * len(view.lanes))
            exchanges[name] = [
                rule(StoredConnections(value, places, weight.size, score), share, draw)
                for value, places, score, draw in zip(
                    values, positions[name], scores, draws(name), strict=True
                )
            ]
        dropped = {
            name: torch.stack([exchange.dropped for exchange in of_lanes])
            for name, of_lanes in exchanges.items()
        }
        grown_before = {
            name: view.memory[f"grown/{name}"] for name in exchanges if f"grown/{name}" in view.memory
        }
        layers = changed_layers(weights, dropped, grown_before)
        return exchanged_connections(view, positions, exchanges)._replace(layers=layers)

    def _look(self, view: LaneView, masks: Tensors) -> Look:
        parameters, weights, growth = self.parameters, self.storage.weights(view), self._growth(view)
        size = sum(mask[0].numel() for mask in masks.values())
        threshold = view.memory.get("threshold", torch.zeros(len(view.lanes), device=view.lanes.device))
        return Look(
            parameters=parameters,
            network=view.model.masked_form(view.task)[0].weights(view.task),
            weights=flat({name: weights[name] for name in masks}),
            masks=flat(masks),
            growth=flat({name: tensor for name, tensor in growth.items() if name in masks}),
            drop_share=parameters.share_at(*self._phase(view.step, view.total_steps, view.steps_per_epoch)),
            total=round(parameters.density_at(view.step, view.total_steps) * size),
            threshold=threshold,
            exponent=parameters.exponent_at(view.step, view.total_steps),
            draws=mask_draws(view.lanes.seeds, view.step),
        )

    def _growth(self, view: LaneView) -> Tensors:
        """Return parameter -> what decides where connections grow, (lanes, ...); empty for rules that draw.

        Places between units that a second start has left out have the lowest score.
        """
        scores: Tensors = {}
        if self.parameters.grows_by_gradient:
            scores = view.coming_gradients()
        elif self.parameters.rule == "snfs":
            scores = view.moments["momentum" if "momentum" in view.moments else "first_moment"]
        magnitudes = {name: tensor.abs() for name, tensor in scores.items()}
        for name in magnitudes:
            if f"allowed/{name}" in view.memory:
                magnitudes[name] = magnitudes[name].where(view.memory[f"allowed/{name}"], -torch.inf)
        return magnitudes


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
