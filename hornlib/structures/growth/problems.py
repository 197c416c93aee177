"""Why a network cannot grow as asked, in the configuration's words; free of torch."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hornlib.models import MODELS
from hornlib.parameters import ModelParameters, Task
from hornlib.parameters.structure import Course
from hornlib.structures.growth.amounts import last_units, units_an_event
from hornlib.structures.growth.rule_facts import (
    FLAT_AT_ZERO,
    NONZERO_AT_ZERO,
    RULE_FACTS,
    slope_at_zero,
)

if TYPE_CHECKING:
    from hornlib.structures.growth.parameters import GrowthParameters

__all__ = ["growth_problems", "unknown_end_problems"]

OTHER_RULES = ", ".join(
    rule for rule, facts in RULE_FACTS.items() if facts.keeps_function and facts.zero_side != "incoming"
)
"""Rules that keep the function, and whose new units have incoming weights other than 0."""


def growth_problems(
    parameters: "GrowthParameters", model: ModelParameters, task: Task, course: Course
) -> list[str]:
    """Return why a network cannot grow, each one sentence; where it has no layers to grow, nothing else is said.

    Args:
        parameters: of the structure.
        model: the model before the first step.
        task: shapes of inputs and outputs.
        course: length of the training.
    """
    problems = list(_layer_problems(parameters, model)) or [
        *_norm_problems(parameters, model, task),
        *_singular_value_problems(parameters, model),
        *_rule_problems(parameters, model),
        *_end_problems(parameters, model, task),
        *_trigger_problems(parameters, model, task, course),
        *_moment_problems(parameters, model, task, course),
    ]
    return [f"growth: {problem}" for problem in problems]


def unknown_end_problems(parameters: "GrowthParameters") -> list[str]:
    """Return why the last size is not known before the training.

    Args:
        parameters: of the structure.
    """
    ends_by_widths = parameters.final_factor is not None or parameters.final_units is not None
    reason = ""
    if parameters.when != "schedule":
        reason = f"when: {parameters.when}"
    elif parameters.place in ("largest_singular_value", "random") and not ends_by_widths:
        reason = f"place: {parameters.place} without final_factor or final_units"
    if not reason:
        return []
    return [
        f"structure: growth with {reason} ends with another network in every run, so that it has no one size to be "
        "matched by; give the widths"
    ]


def _layer_problems(parameters: "GrowthParameters", model: ModelParameters) -> Iterator[str]:
    """Yield why there is no layer to grow, or not the one that is asked for."""
    units = model.units()
    if not units:
        without = ModelParameters.units
        valid = [name for name, parameters in MODELS.items() if parameters.units is not without]
        yield f"{model.name} has no hidden layers whose number of units can change; valid: {', '.join(valid)}"
        return
    if parameters.position is not None and parameters.position >= len(units):
        yield (
            f"position: {parameters.position} is no layer of {model.name} that can grow; valid: 0 to {len(units) - 1}. "
            "The data give the number of outputs, and channels that a residual sum joins keep their number"
        )
    if parameters.final_units is not None:
        if len(parameters.final_units) != len(units):
            yield f"final_units: got {len(parameters.final_units)} numbers for {len(units)} layers that can grow"
        elif smaller := [
            layer
            for layer, (last, first) in enumerate(zip(parameters.final_units, units, strict=True))
            if last < first
        ]:
            yield (
                f"final_units: {parameters.final_units[smaller[0]]} units of layer {smaller[0]}, but it starts with "
                f"{units[smaller[0]]}"
            )
        elif resting := [
            layer
            for layer, (last, first) in enumerate(zip(parameters.final_units, units, strict=True))
            if last != first and layer not in _growing(parameters, model)
        ]:
            yield (
                f"final_units: {parameters.final_units[resting[0]]} units of layer {resting[0]}, but only layer "
                f"{parameters.position} grows; give {units[resting[0]]}, which the layer has, or another place"
            )


def _growing(parameters: "GrowthParameters", model: ModelParameters) -> list[int]:
    """Return the layers that may grow in the training."""
    return list(range(len(model.units()))) if parameters.position is None else [parameters.position]


def _norm_problems(parameters: "GrowthParameters", model: ModelParameters, task: Task) -> Iterator[str]:
    """Yield which norms would change the function, or the gradient, of a network that grows."""
    for field, kind in _norms(parameters, model):
        layers = [
            layer for layer in _growing(parameters, model) if model.unit_norms(layer).get(field) == kind
        ]
        if kind == "layer":
            yield (
                f"{field}: layer takes the mean over all units of a layer, which new units change; give {field}: none"
            )
        elif RULE_FACTS[parameters.rule].zero_side == "incoming":
            yield (
                f"rule: {parameters.rule} gives new units incoming weights of 0, and {field}: {kind} divides their "
                f"gradients by a variance of 0; give {field}: none, or a rule: {OTHER_RULES}"
            )
        elif kind == "group":
            sizes = {
                layer: {number // math.gcd(8, number) for number in _numbers(parameters, model, layer, task)}
                for layer in layers
            }
            changing = [layer for layer in layers if len(sizes[layer]) > 1]
            if changing:
                yield (
                    f"{field}: group has gcd(8, units) groups, whose size changes while layer {changing[0]} grows, so "
                    f"that the network would be another one; give {field}: none or batch, or numbers of units that are "
                    "1, 3, 5 or 7 times a power of 2 up to 8"
                )
            elif parameters.rule == "net2net" and any(
                size > 1 for of_layer in sizes.values() for size in of_layer
            ):
                yield (
                    f"rule: net2net copies single units, and {field}: group normalises several of them together; give "
                    f"{field}: none or batch, or 1, 2, 4 or 8 units, or a rule: zero_outgoing"
                )


def _singular_value_problems(parameters: "GrowthParameters", model: ModelParameters) -> Iterator[str]:
    """Yield why singular values of the matrix G are not gradients of new units."""
    if parameters.place == "largest_singular_value":
        choice = "place: largest_singular_value"
    elif parameters.when == "singular_value":
        choice = "when: singular_value"
    else:
        return
    for field, kind in _norms(parameters, model):
        yield (
            f"{choice} looks at gradients that do not pass {field}: {kind}, which divides those of new units by their "
            f"deviation; give {field}: none, or another choice"
        )
    if parameters.when == "singular_value" and slope_at_zero(model) == 0:
        activation = getattr(model, "activation", "")
        yield (
            f"when: singular_value never fires, since activation: {activation} has slope 0 at 0; give activation: "
            f"{activation}_one, or another trigger"
        )


def _norms(parameters: "GrowthParameters", model: ModelParameters) -> list[tuple[str, str]]:
    """Return the distinct norms, each a field of the model and its value, of the layers that may grow."""
    norms = [item for layer in _growing(parameters, model) for item in model.unit_norms(layer).items()]
    return list(dict.fromkeys(norms))


def _numbers(parameters: "GrowthParameters", model: ModelParameters, layer: int, task: Task) -> set[int]:
    """Return the numbers of units that a layer may have."""
    models = [model, *parameters.models(model, task)]
    if parameters.most_parameters is None and parameters.most_flops is None and parameters.place == "all":
        return {grown_model.units()[layer] for grown_model in models}
    first, last = model.units()[layer], last_units(parameters, model)[layer]
    an_event = units_an_event(parameters, model)[layer]
    if last == math.inf:
        return set(range(first, models[-1].units()[layer] + an_event + 1))
    return {*range(first, int(last), an_event), int(last)}


def _rule_problems(parameters: "GrowthParameters", model: ModelParameters) -> Iterator[str]:
    """Yield why new units would get no gradient, or change the function."""
    activation = getattr(model, "activation", "")
    if RULE_FACTS[parameters.rule].assumes_zero and activation in NONZERO_AT_ZERO:
        yield (
            f"rule: {parameters.rule} computes its units for an activation that is 0 at 0, and activation: "
            f"{activation} is not; give another activation, or a rule: {OTHER_RULES}"
        )
    if RULE_FACTS[parameters.rule].zero_side != "incoming":
        return
    if activation in FLAT_AT_ZERO:
        yield (
            f"rule: {parameters.rule} gives new units incoming weights of 0, and activation: {activation} has slope "
            f"0 at 0, so that they would never have a gradient; give activation: {activation}_one, or a rule: "
            f"{OTHER_RULES}"
        )
    if activation in NONZERO_AT_ZERO:
        yield (
            f"rule: {parameters.rule} gives new units incoming weights of 0, and activation: {activation} is not 0 at "
            "0, so that they would change the outputs of the network; give another activation, or a rule: "
            f"{OTHER_RULES}"
        )


def _end_problems(parameters: "GrowthParameters", model: ModelParameters, task: Task) -> Iterator[str]:
    """Yield why no unit can be added, or why the asked widths are not reached."""
    models = parameters.models(model, task)
    budgets = {
        "most_parameters": (parameters.most_parameters, model.num_parameters(task), "parameters"),
        "most_flops": (parameters.most_flops, model.forward_flops(task).total, "FLOPs"),
    }
    for field, (budget, first, quantity) in budgets.items():
        if budget is not None and not models:
            yield f"{field}: {budget:,} leaves no room for a unit; the network starts with {first:,} {quantity}"
            return
    if not models:
        yield "the last numbers of units are the first ones, so that nothing grows"
        return
    last = last_units(parameters, model)
    short = [
        layer
        for layer in _growing(parameters, model)
        if last[layer] != math.inf and models[-1].units()[layer] < last[layer]
    ]
    if short and parameters.when == "schedule":
        layer = short[0]
        yield (
            f"times: {parameters.times} events leave layer {layer} with {models[-1].units()[layer]} of "
            f"{last[layer]:.0f} units; leave times out, or give a larger share"
        )


def _trigger_problems(
    parameters: "GrowthParameters", model: ModelParameters, task: Task, course: Course
) -> Iterator[str]:
    """Yield what a trigger, or a look, needs."""
    if parameters.batches is not None and parameters.batches > course.steps_per_epoch:
        yield f"batches: {parameters.batches}, but an epoch has {course.steps_per_epoch}; give fewer"
    if parameters.when == "activation_rank" and course.batch_size:
        yield from _rank_problems(parameters, model, task, course.batch_size)
    if parameters.patience is None:
        return
    if not course.num_validation:
        yield "when: plateau looks at the validation loss; give data.validation"
    steps = parameters.patience * course.steps_per_epoch
    if steps < course.longest_pause:
        yield (
            f"patience: {parameters.patience} epochs are {steps} steps, and up to {course.longest_pause} steps lie "
            "between two evaluations; give training.evaluate_at_epochs, or more patience"
        )
    if steps >= course.total_steps:
        yield (
            f"patience: {parameters.patience} epochs are {steps} steps, and training ends after {course.total_steps}, "
            "so that nothing can grow; give less patience, or train longer"
        )


def _rank_problems(
    parameters: "GrowthParameters", model: ModelParameters, task: Task, batch_size: int
) -> Iterator[str]:
    """Yield which layers have more units than a look has examples, counting each position of a map as an example."""
    batches = parameters.batches or 1
    for layer in _growing(parameters, model):
        columns = batch_size * _positions(model, layer, task)
        most = max(_numbers(parameters, model, layer, task))
        if batches * columns < most:
            yield (
                f"when: activation_rank looks at {batches * columns} examples and positions of layer {layer}, and the "
                f"rank is never larger, while the layer grows to {most} units; give batches: "
                f"{math.ceil(most / columns)}"
            )
            return


def _positions(model: ModelParameters, layer: int, task: Task) -> int:
    """Return how many numbers of one unit the next layer reads; before pooling, where that is a convolution."""
    weights = {weight.name: weight for weight in model.weights(task)}
    axes = {axis.side: axis for axis in model.unit_axes(layer, task) if axis.side != "own"}
    is_matrix = len(weights[axes["outgoing"].name].shape) == 2
    return axes["outgoing"].block if is_matrix else weights[axes["incoming"].name].uses


def _moment_problems(
    parameters: "GrowthParameters", model: ModelParameters, task: Task, course: Course
) -> Iterator[str]:
    """Yield which events come after the end."""
    total = course.total_steps
    if parameters.every_share is not None and parameters.every_share * total < 1:
        yield (
            f"every_share: {parameters.every_share:g} of {total} steps is less than a step; give every_steps: 1 or "
            "more, or train longer"
        )
        return
    start = parameters.first_moment(total)
    if start >= total:
        field = "start_step" if parameters.start_step is not None else "start_share"
        yield (
            f"{field}: {getattr(parameters, field)}, but training ends after {total} steps; give a smaller {field}, "
            "or train longer"
        )
    elif parameters.when == "schedule":
        moments, events = parameters.moments(total), len(parameters.models(model, task))
        if len(moments) < events:
            yield (
                f"{events} events are needed, and only {len(moments)} of them, from step {start} on, come before the "
                f"end of training after {total} steps; give a smaller start_step or start_share, a smaller every_steps "
                "or every_share, a larger share, or train longer"
            )
