"""Layer insertion: when, into which lanes and at which position a layer is inserted."""

import math
from collections.abc import Sequence
from typing import cast

import torch

from hornlib.models.layered import LayeredNetwork, with_layer
from hornlib.models.layered_parameters import LayeredParameters
from hornlib.randomness import generator
from hornlib.structures.interface import Change, ChangedLayer, Decision, LaneView, Moment, Tensors
from hornlib.structures.layers.insertion_parameters import LayerInsertionParameters
from hornlib.structures.layers.sensitivity import Sensitivity, neutral_tensors, sensitivity

__all__ = ["LayerInsertion"]


class LayerInsertion:
    """Inserts layers.

    Args:
        parameters: when, where, how often.
    """

    def __init__(self, parameters: LayerInsertionParameters) -> None:
        self.parameters = parameters

    def is_due(self, moment: Moment) -> bool:
        """Return whether an epoch of `insert_at` has just ended; with a plateau, whether there is a new evaluation."""
        if self.parameters.insert_at is None:
            return moment.evaluated
        epoch, rest = divmod(moment.step, moment.steps_per_epoch)
        return rest == 0 and epoch in self.parameters.insert_at

    def decide(self, view: LaneView) -> Decision:
        """Return where each lane gets a layer."""
        due_lanes = [lane for lane in range(len(view.lanes)) if self._may_insert(view, lane)]
        flops = [0] * len(view.lanes)
        if not due_lanes:
            return Decision([], flops)
        scores = None
        if self.parameters.choice in ("largest", "smallest"):
            scores = sensitivity(view, self.parameters)
            flops = [scores.flops if lane in due_lanes else 0 for lane in range(len(view.lanes))]
        lanes_by_position: dict[int, list[tuple[int, float]]] = {}
        for lane in due_lanes:
            choice = self._choice(view, lane, scores)
            if choice is not None:
                position, score = choice
                lanes_by_position.setdefault(position, []).append((lane, score))
        changes = [
            self._change(view, position, *zip(*lanes_and_scores, strict=True))
            for position, lanes_and_scores in lanes_by_position.items()
        ]
        return Decision(changes, flops)

    def _may_insert(self, view: LaneView, lane: int) -> bool:
        if len(view.events[lane]) >= self.parameters.insertions:
            return False
        if self.parameters.trigger != "plateau" or self.parameters.patience is None:
            return True
        last_event = max(view.events[lane], default=0)
        losses = [
            (step, float(loss))
            for step, loss in zip(view.evaluated, view.validation_loss[lane], strict=True)
            if step > last_event
        ]
        steps_per_epoch = view.step / view.epochs
        edge = view.step - self.parameters.patience * steps_per_epoch
        earlier = [loss for step, loss in losses if step <= edge]
        recent = [loss for step, loss in losses if step > edge]
        return bool(earlier) and min(recent) > min(earlier) * (1 - self.parameters.least_improvement)

    def _choice(self, view: LaneView, lane: int, scores: Sensitivity | None) -> tuple[int, float] | None:
        """Return position and score; position -1 for nowhere, None for not now."""
        model, choice = cast(LayeredParameters, view.model), self.parameters.choice
        if choice == "nowhere":
            return -1, math.nan
        if choice == "position" and self.parameters.position is not None:
            return self.parameters.position, math.nan
        if scores is None:
            draws = generator("layer insertion", view.lanes.seeds[lane], view.step)
            return int(torch.randint(len(model.layer_widths()), (), generator=draws)), math.nan
        candidates = scores.virtual[lane]
        position = int(candidates.argmin() if choice == "smallest" else candidates.argmax())
        limit = self.parameters.threshold
        if limit is not None and self.parameters.trigger == "relative_threshold":
            limit *= float(scores.existing[lane].mean())
        if limit is not None and not candidates[position] > limit:
            return None
        return position, float(candidates[position])

    def _change(self, view: LaneView, position: int, lanes: Sequence[int], scores: Sequence[float]) -> Change:
        fresh = self.parameters.optimizer_state == "fresh"
        if position < 0:
            return Change(
                lanes,
                kind="reset",
                layers=[[ChangedLayer(-1, score)] for score in scores],
                model=view.model,
                parameters={},
                buffers={},
                inherit=lambda moments: moments,
                rate_factor=self.parameters.rate_factor,
                fresh_optimizer=fresh,
            )
        network, tensors = cast(LayeredNetwork, view.lanes.network), view.lanes.stacked(lanes)
        neutral = neutral_tensors(view.lanes, position, self.parameters.inner_scale, len(lanes))

        def inherit(moments: Tensors) -> Tensors:
            zeros = {name: torch.zeros_like(tensor) for name, tensor in neutral.items()}
            return with_layer(moments, network, position, zeros, entry="zero")

        return Change(
            lanes,
            kind="inserted",
            layers=[[ChangedLayer(position + 1, score)] for score in scores],
            model=cast(LayeredParameters, view.model).with_layer(position),
            parameters=with_layer(tensors.parameters, network, position, neutral),
            buffers=with_layer(tensors.buffers, network, position, {}),
            inherit=inherit,
            rate_factor=self.parameters.rate_factor,
            fresh_optimizer=fresh,
        )
