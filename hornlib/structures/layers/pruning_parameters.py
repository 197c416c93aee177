"""Parameters of layer pruning by the time step; free of torch."""

from collections.abc import Sequence
from typing import ClassVar, Literal, cast

from pydantic import Field

from hornlib.models import MODELS
from hornlib.models.layered_parameters import LayeredParameters
from hornlib.parameters import ModelParameters, Task
from hornlib.parameters.structure import Course, PastEvent, StructureParameters

__all__ = ["LayerPruningParameters"]


class LayerPruningParameters(StructureParameters):
    """Remove the layer whose share of the time steps, |tau_l| / sum |tau|, is smallest, if it is below a threshold.

    A ResNet's layer without its step is the identity, so that the other layers keep their weights and steps. A layer
    that changes the width stays, whatever its step.

    Source: arXiv 2306.16111 (there once an epoch, threshold 0.01, one layer at most). Its released code looks for
    the smallest |tau| and removes the layer of the smallest tau; here both are the same layer.
    """

    code: ClassVar[str] = "hornlib.structures.layers.pruning:LayerPruning"

    name: Literal["layer_pruning"] = "layer_pruning"
    """Which structure this is."""
    threshold: float = Field(default=0.01, gt=0, lt=1)
    """Share of sum |tau| below which a layer is removed."""
    prune_every: int = Field(default=1, ge=1)
    """Epochs between two decisions."""
    layers_at_once: int = Field(default=1, ge=1)
    """Largest number of layers removed at one decision."""

    def problems(self, model: ModelParameters, task: Task, course: Course) -> list[str]:
        """Return why no layer can be removed: it has no time step, changes the width, or there is no time for it.

        Args:
            model: the networks that are to be changed.
            task: shapes of inputs and outputs.
            course: length of the training.
        """
        if not model.has_removable_layers:
            valid = [name for name, parameters in MODELS.items() if parameters.has_removable_layers]
            return [
                f"layer_pruning: {model.name} has no layers with time steps that can be removed; valid: "
                f"{', '.join(valid)}"
            ]
        removal_problems = cast(LayeredParameters, model).removal_problems()
        problems = [f"layer_pruning: {problem}" for problem in removal_problems]
        if course.epochs <= self.prune_every:
            problems.append(
                f"layer_pruning: prune_every: {self.prune_every}, but training ends after {course.epochs:g} epochs"
            )
        return problems

    def reachable(self, model: ModelParameters, task: Task) -> list[ModelParameters]:
        """Return the models with 1, 2, ... layers fewer.

        Args:
            model: before the first step.
            task: shapes of inputs and outputs.
        """
        models: dict[ModelParameters, None] = {}
        current = [cast(LayeredParameters, model)]
        while current:
            current = list(
                dict.fromkeys(
                    deeper.without_layer(layer) for deeper in current for layer in deeper.removable()
                )
            )
            models |= dict.fromkeys(current)
        return list(models)

    def replayed(self, model: ModelParameters, events: Sequence[PastEvent]) -> ModelParameters:
        """Return the model without the removed layers.

        Args:
            model: before the events.
            events: their positions are counted before any of these removals.
        """
        for event in sorted(events, key=lambda event: -event.position):
            model = cast(LayeredParameters, model).without_layer(event.position)
        return model

    def remarks(self, events: int, runs: int) -> list[str]:
        """Return a remark if no share fell below the threshold.

        Args:
            events: number of changes of all runs.
            runs: number of runs.
        """
        if events:
            return []
        return [
            f"layer_pruning: no share of a time step fell below threshold: {self.threshold:g} in {runs} run(s)"
        ]
