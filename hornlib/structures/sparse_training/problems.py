"""Why a network cannot be trained sparsely as asked, in the configuration's words; free of torch."""

from typing import TYPE_CHECKING

from hornlib.models import MODELS
from hornlib.parameters import ModelParameters, Task
from hornlib.parameters.structure import Course
from hornlib.structures.connections.distribution import is_chain
from hornlib.structures.connections.schedules import last_pruning

if TYPE_CHECKING:
    from hornlib.structures.sparse_training.parameters import SparseTrainingParameters

__all__ = ["chain_problems", "restart_problems", "storage_problems", "update_problems"]


def update_problems(parameters: "SparseTrainingParameters", course: Course) -> list[str]:
    """Return why no update takes place, or why gradual pruning would not end.

    Args:
        parameters: how the network is to be trained.
        course: length of the training.
    """
    interval = parameters.update_interval(course.steps_per_epoch)
    if interval is None:
        return []
    total, field = course.total_steps, "update_every"
    if parameters.update_every_epochs is not None:
        field = "update_every_epochs"
    given = f"sparse_training: {field}: {getattr(parameters, field)}"
    for length in _lengths(parameters, course):
        if interval >= parameters.end_of_updates(length):
            return [
                f"{given} puts the first update at step {interval}, and update_end: {parameters.update_end:g} of "
                f"{length} steps ends updates at step {parameters.end_of_updates(length):g}; update more often, or "
                "train longer"
            ]
    if interval == 1 and parameters.grows_by_gradient:
        return [
            f"{given} leaves no training step between updates, because an update by gradient takes the place of a "
            "training step; update less often"
        ]
    if parameters.prune_end is None:
        return []
    last = last_pruning(parameters.prune_end * total, interval)
    if last < parameters.end_of_updates(total):
        return []
    return [
        f"sparse_training: prune_end: {parameters.prune_end:g} puts the last pruning at step {last}, and update_end: "
        f"{parameters.update_end:g} of {total} steps ends updates at step {parameters.end_of_updates(total):g}; "
        f"density: {parameters.density:g} would not be reached"
    ]


def _lengths(parameters: "SparseTrainingParameters", course: Course) -> list[int]:
    """Return the number of training steps of each training: of two, if the network starts a second time."""
    if parameters.restart_at_epoch is None or parameters.restart_at_epoch >= course.epochs:
        return [course.total_steps]
    first = parameters.restart_at_epoch * course.steps_per_epoch
    return [first, course.total_steps - first]


def storage_problems(parameters: "SparseTrainingParameters", model: ModelParameters, task: Task) -> list[str]:
    """Return why connections alone cannot be stored.

    Args:
        parameters: how the network is to be trained.
        model: the model before the first step.
        task: shapes of inputs and outputs.
    """
    if parameters.storage == "masked":
        return []
    compressed = model.with_connections(parameters.connections(model, task), task)
    if compressed is None:
        return [
            "sparse_training: storage: compressed takes fully connected layers only, and "
            f"{model.name} has others; valid: storage: masked, or {_chains()}"
        ]
    if not compressed.masked_form(task)[1]:
        return [
            f"sparse_training: storage: compressed at density: {parameters.density:g} would store every weight; give "
            "storage: masked"
        ]
    return []


def restart_problems(parameters: "SparseTrainingParameters", course: Course) -> list[str]:
    """Return why there is no second start: it comes too late.

    Args:
        parameters: how the network is to be trained.
        course: length of the training.
    """
    if parameters.restart_at_epoch is None:
        return []
    if parameters.restart_at_epoch >= course.epochs:
        return [
            f"sparse_training: restart_at_epoch: {parameters.restart_at_epoch}, but training ends after "
            f"{course.epochs:g} epochs"
        ]
    return []


def chain_problems(parameters: "SparseTrainingParameters", model: ModelParameters, task: Task) -> list[str]:
    """Return a sentence for each choice that takes fully connected layers only, where a model has others.

    Args:
        parameters: how the network is to be trained.
        model: the model before the first step.
        task: shapes of inputs and outputs.
    """
    if is_chain(model.weights(task)):
        return []
    choices = {
        "restart_at_epoch": parameters.restart_at_epoch is not None,
        "rule: chts": parameters.rule == "chts",
        "start: correlated": parameters.start == "correlated",
        "start: kept_units": parameters.start == "kept_units",
    }
    return [
        f"sparse_training: {choice} takes fully connected layers only, and {model.name} has others; valid: {_chains()}"
        for choice, is_made in choices.items()
        if is_made
    ]


def _chains() -> str:
    """Return the names of the models of fully connected layers: those that can store connections alone."""
    connects = ModelParameters.with_connections
    return ", ".join(name for name, model in MODELS.items() if model.with_connections is not connects)
