"""How many units an event adds, where growth ends, and the models between the first and the last; free of torch."""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from hornlib.parameters import ModelParameters, Task
from hornlib.parameters.structure import PastEvent
from hornlib.structures.chosen_shapes import rounded_down

if TYPE_CHECKING:
    from hornlib.structures.growth.parameters import GrowthParameters

__all__ = [
    "events_of_layers",
    "grown",
    "last_units",
    "least_grown",
    "new_units",
    "open_layers",
    "trajectory",
    "units_an_event",
    "with_changed_units",
]


def units_an_event(parameters: "GrowthParameters", first: ModelParameters) -> list[int]:
    """Return how many units an event adds to each layer, max(1, floor(share x first number)).

    Args:
        parameters: of the structure.
        first: the model of the first training step.
    """
    return [max(1, rounded_down(parameters.share * number)) for number in first.units()]


def last_units(parameters: "GrowthParameters", first: ModelParameters) -> list[float]:
    """Return the number of units of each layer at which its growth ends; infinity where another bound ends it.

    Args:
        parameters: of the structure.
        first: the model of the first training step.
    """
    if parameters.final_units is not None:
        return list(parameters.final_units)
    if parameters.final_factor is not None:
        return [math.floor(parameters.final_factor * number + 0.5) for number in first.units()]
    return [math.inf] * len(first.units())


def new_units(
    parameters: "GrowthParameters",
    first: ModelParameters,
    model: ModelParameters,
    layers: Iterable[int],
    task: Task,
) -> dict[int, int]:
    """Return layer -> number of its new units, if these layers grow now; layers whose growth has ended are left out.

    Of a budget, the first layer takes what it needs, then the next.

    Args:
        parameters: of the structure.
        first: the model of the first training step.
        model: the present model.
        layers: those that are to grow, in order.
        task: shapes of inputs and outputs.
    """
    numbers: dict[int, int] = {}
    an_event, last = units_an_event(parameters, first), last_units(parameters, first)
    for layer in layers:
        units = model.units()[layer]
        wanted = int(min(an_event[layer], last[layer] - units))
        number = next(
            (
                number
                for number in range(wanted, 0, -1)
                if _fits(parameters, model.with_units(layer, units + number), task)
            ),
            0,
        )
        if number:
            numbers[layer] = number
            model = model.with_units(layer, units + number)
    return numbers


def open_layers(
    parameters: "GrowthParameters", first: ModelParameters, model: ModelParameters, task: Task
) -> list[int]:
    """Return the layers that can grow now.

    Args:
        parameters: of the structure.
        first: the model of the first training step.
        model: the present model.
        task: shapes of inputs and outputs.
    """
    layers = range(len(model.units())) if parameters.position is None else [parameters.position]
    return [layer for layer in layers if new_units(parameters, first, model, [layer], task)]


def grown(model: ModelParameters, numbers: Mapping[int, int]) -> ModelParameters:
    """Return the model with further units.

    Args:
        model: as it is.
        numbers: layer -> number of its new units.
    """
    for layer, number in numbers.items():
        model = model.with_units(layer, model.units()[layer] + number)
    return model


def with_changed_units(model: ModelParameters, events: Sequence[PastEvent]) -> ModelParameters:
    """Return the model after layers have grown or were narrowed.

    Args:
        model: before the events.
        events: of any kind; those of other kinds change nothing here.
    """
    signs = {"grown": 1, "narrowed": -1}
    for event in events:
        if event.kind in signs:
            model = grown(model, {event.position: signs[event.kind] * int(event.number)})
    return model


def events_of_layers(
    parameters: "GrowthParameters", first: ModelParameters, model: ModelParameters
) -> list[int]:
    """Return how often each layer has grown, by its number of units.

    Args:
        parameters: of the structure.
        first: the model of the first training step.
        model: the present model.
    """
    return [
        math.ceil((units - units_first) / an_event)
        for units, units_first, an_event in zip(
            model.units(), first.units(), units_an_event(parameters, first), strict=True
        )
    ]


def least_grown(
    parameters: "GrowthParameters", first: ModelParameters, model: ModelParameters, layers: Sequence[int]
) -> int:
    """Return the layer that has grown least often, the first of equals.

    Args:
        parameters: of the structure.
        first: the model of the first training step.
        model: the present model.
        layers: those that may grow, at least one.
    """
    events = events_of_layers(parameters, first, model)
    return min(layers, key=lambda layer: (events[layer], layer))


@lru_cache(maxsize=4096)
def trajectory(
    parameters: "GrowthParameters", first: ModelParameters, task: Task
) -> tuple[ModelParameters, ...]:
    """Return the model after each event. Where the training decides on the layer, it is the least grown one.

    Args:
        parameters: of the structure.
        first: the model of the first training step.
        task: shapes of inputs and outputs.
    """
    models: list[ModelParameters] = []
    model = first
    while parameters.times is None or len(models) < parameters.times:
        layers = open_layers(parameters, first, model, task)
        if not layers:
            break
        if parameters.place != "all":
            layers = [least_grown(parameters, first, model, layers)]
        model = grown(model, new_units(parameters, first, model, layers, task))
        models.append(model)
    return tuple(models)


def _fits(parameters: "GrowthParameters", model: ModelParameters, task: Task) -> bool:
    """Return whether a model keeps to the budget."""
    if parameters.most_parameters is not None:
        return model.num_parameters(task) <= parameters.most_parameters
    if parameters.most_flops is not None:
        return model.forward_flops(task).total <= parameters.most_flops
    return True
