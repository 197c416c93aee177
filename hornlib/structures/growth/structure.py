"""Growth: adds units to hidden layers while the network trains."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor

from hornlib.structures.growth.amounts import new_units, open_layers
from hornlib.structures.growth.births import with_births
from hornlib.structures.growth.look import GrowthLook
from hornlib.structures.growth.new_units import NewUnits, grown_lanes
from hornlib.structures.growth.parameters import GrowthParameters
from hornlib.structures.growth.places import PLACES
from hornlib.structures.growth.rates import stage_rates
from hornlib.structures.growth.rule_facts import RULE_FACTS
from hornlib.structures.growth.rules import RULES
from hornlib.structures.growth.triggers import TRIGGERS, Fired
from hornlib.structures.interface import Change, ChangedLayer, Decision, LaneView, Moment, Tensors

__all__ = ["Growth", "grow"]

RANKS = ("activation_rank", "weight_rank")
"""Triggers that look at the first network, too."""


class Growth:
    """Adds units.

    Args:
        parameters: when, in which layers, how many, by which rule.
    """

    def __init__(self, parameters: GrowthParameters) -> None:
        self.parameters = parameters

    def is_due(self, moment: Moment) -> bool:
        """Return whether an event or a look of the schedule is due; of a plateau, whether there is a new evaluation."""
        parameters = self.parameters
        if parameters.when == "plateau":
            return moment.evaluated and moment.step >= parameters.first_moment(moment.total_steps)
        if parameters.when in RANKS and moment.step == 0:
            return True
        return moment.step in _moments(parameters, moment.total_steps)

    def decide(self, view: LaneView) -> Decision:
        """Return which lanes grow, and in which layers. Lanes that grow alike are one change.

        Each lane counts the looks that it would take alone.
        """
        parameters = self.parameters
        layers = open_layers(parameters, view.first_model, view.model, view.task)
        lanes = [lane for lane in range(len(view.lanes)) if layers and self._may_grow(view, lane)]
        if not lanes:
            return Decision([], [0] * len(view.lanes))
        look = GrowthLook(view, parameters, lanes)
        fired = TRIGGERS[parameters.when](look, layers)
        growing = {lane: chosen for lane, chosen in zip(lanes, fired.layers, strict=True) if chosen}
        looks, changes = [look, look.part(list(growing))], []
        for numbers, members in self._alike(looks[1], growing).items():
            looks.append(looks[1].part(members))
            change = grow(looks[-1], members, dict(numbers))
            remembered = _remembered(view, fired, lanes, members)
            changes.append(change._replace(memory={**remembered, **change.memory}))
        others = [lane for lane in lanes if lane not in growing]
        if fired.memory and others:
            changes.append(_remember(view, others, _remembered(view, fired, lanes, others)))
        return Decision(changes, [sum(flops) for flops in zip(*(look.flops for look in looks), strict=True)])

    def _may_grow(self, view: LaneView, lane: int) -> bool:
        """Return whether a lane has events left."""
        return self.parameters.times is None or len(set(view.events[lane])) < self.parameters.times

    def _alike(
        self, look: GrowthLook, growing: Mapping[int, list[int]]
    ) -> dict[tuple[tuple[int, int], ...], list[int]]:
        """Return layers with numbers of new units -> the lanes that get them.

        Args:
            look: at the lanes that grow.
            growing: lane -> layers that may grow.
        """
        parameters, view = self.parameters, look.view
        alike: dict[tuple[tuple[int, int], ...], list[int]] = {}
        for lane, layers in growing.items():
            chosen = PLACES[parameters.place](look, lane, layers)
            numbers = new_units(parameters, view.first_model, view.model, chosen, view.task)
            alike.setdefault(tuple(numbers.items()), []).append(lane)
        return alike


def grow(look: GrowthLook, lanes: Sequence[int], numbers: Mapping[int, int]) -> Change:
    """Return the change that adds units by the rule of the structure.

    Args:
        look: at these lanes, or at more.
        lanes: indices in the view of the lanes that grow, ascending.
        numbers: layer -> number of its new units.
    """
    parameters, view = look.parameters, look.view
    units = RULES[parameters.rule](look, lanes, numbers)
    grown = grown_lanes(view, lanes, units)
    memory = with_births(view, lanes, numbers)
    if RULE_FACTS[parameters.rule].adapts_rates:
        memory |= stage_rates(grown.model, view.task, grown.parameters, memory)
    scores = {layer: _scores(look, lanes, layer, units[layer]).tolist() for layer in numbers}
    drawn = {layer: _num_drawn(units[layer], len(lanes)) for layer in numbers}
    return Change(
        lanes,
        kind="grown",
        layers=[
            [
                ChangedLayer(layer, scores[layer][row], number, drawn[layer][row])
                for layer, number in numbers.items()
            ]
            for row in range(len(lanes))
        ],
        model=grown.model,
        parameters=grown.parameters,
        buffers=grown.buffers,
        inherit=grown.inherit,
        memory=memory,
        rate_factor=parameters.rate_factor,
        fresh_optimizer=parameters.optimizer_state == "fresh",
    )


def _scores(look: GrowthLook, lanes: Sequence[int], layer: int, units: NewUnits) -> Tensor:
    """Return the number that is stored with the event of each lane, (lanes,): where it decided, the singular value.

    Args:
        look: at these lanes, or at more.
        lanes: indices in the view of the lanes that grow.
        layer: that grows.
        units: of the layer.
    """
    parameters = look.parameters
    if parameters.when == "singular_value" or parameters.place == "largest_singular_value":
        return look.singular_vectors(layer).values[look.rows(lanes), 0]
    return units.scores


def _num_drawn(units: NewUnits, lanes: int) -> list[float]:
    """Return for each lane how many new units lie beyond the rank of the matrix G; NaN for rules without it.

    Args:
        units: of one layer.
        lanes: number of lanes.
    """
    if units.singular_values is None:
        return [math.nan] * lanes
    return units.singular_values.isnan().sum(1).double().tolist()


def _remembered(view: LaneView, fired: Fired, looked_at: Sequence[int], lanes: Sequence[int]) -> Tensors:
    """Return what the memory of some lanes holds from now on: what it held, and what the trigger adds.

    Args:
        view: the lanes.
        fired: by the trigger.
        looked_at: indices in the view of the lanes that the trigger has looked at.
        lanes: indices in the view of the lanes that are wanted, all of them looked at.
    """
    index = torch.tensor(list(lanes), device=view.lanes.device)
    rows = torch.tensor([list(looked_at).index(lane) for lane in lanes], device=view.lanes.device)
    before = {name: tensor[index] for name, tensor in view.memory.items()}
    return {**before, **{name: tensor[rows] for name, tensor in fired.memory.items()}}


def _remember(view: LaneView, lanes: Sequence[int], memory: Tensors) -> Change:
    """Return the change that changes nothing but the memory. It is no event."""
    return Change(
        lanes,
        kind="grown",
        layers=[[] for _ in lanes],
        model=view.model,
        parameters={},
        buffers={},
        inherit=lambda tensors: {},
        memory=memory,
    )


@lru_cache(maxsize=64)
def _moments(parameters: GrowthParameters, total_steps: int) -> frozenset[int]:
    return frozenset(parameters.moments(total_steps))
