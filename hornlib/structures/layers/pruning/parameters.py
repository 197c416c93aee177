"""Parameters of pruning by the time step, free of torch."""

from collections.abc import Sequence
from typing import ClassVar, Literal, cast

from pydantic import Field

from hornlib.models.layered_parameters import LayeredParameters
from hornlib.models.time_variable.parameters import TimeResnetParameters
from hornlib.parameters import ModelParameters, Task
from hornlib.parameters.structure import Course, StructureParameters

__all__ = ["LayerPruningParameters"]


class LayerPruningParameters(StructureParameters):
    """Take out the layer whose share of the time steps, |tau_l| / sum |tau|, is smallest, if it is below a threshold.

    What is left of a ResNet's layer without its step is the identity, so that the other layers keep their weights
    and steps. A layer that changes the width stays whatever its step.

    Source: arXiv 2306.16111 (there once an epoch, threshold 0.01, one layer at most). Its released code looks for
    the smallest |tau| and takes out the layer of the smallest tau; here they are the same layer.
    """

    code: ClassVar[str] = "hornlib.structures.layers.pruning.pruning:LayerPruning"

    name: Literal["layer_pruning"] = "layer_pruning"
    threshold: float = Field(default=0.01, gt=0, lt=1)
    """Share of sum |tau| below which a layer is taken out."""
    prune_every: int = Field(default=1, ge=1)
    """Epochs from one look at the steps to the next."""
    layers_at_once: int = Field(default=1, ge=1)
    """Most layers taken out at one look."""

    def problems(self, model: ModelParameters, task: Task, course: Course) -> list[str]:
        """Only layers with a time step that can leave without changing a width can be taken out."""
        if not isinstance(model, TimeResnetParameters):
            return [
                f"layer_pruning: {model.name} has no layers with time steps that can be taken out; valid: time_resnet"
            ]
        found = []
        if model.layer_steps == "simplex" or model.last_step == "dependent":
            kept = "layer_steps: simplex" if model.layer_steps == "simplex" else "last_step: dependent"
            found.append(f"layer_pruning: with {kept} a layer taken out would change the steps of the others")
        if not model.removable():
            found.append(
                f"layer_pruning: num_layers: {model.num_layers} leaves nothing to take out; give more layers"
            )
        if course.epochs <= self.prune_every:
            found.append(
                f"layer_pruning: prune_every: {self.prune_every}, but training ends after {course.epochs:g} epochs"
            )
        return found

    def reachable(self, model: ModelParameters) -> list[ModelParameters]:
        """Return the models with 1, 2, ... layers less."""
        found: dict[ModelParameters, None] = {}
        current = [cast(LayeredParameters, model)]
        while current:
            current = list(
                dict.fromkeys(own.without_layer(layer) for own in current for layer in own.removable())
            )
            found |= dict.fromkeys(current)
        return list(found)

    def replayed(self, model: ModelParameters, events: Sequence[tuple[str, int]]) -> ModelParameters:
        """Return the model without what was taken out; layers are counted as before the moment."""
        for _, layer in sorted(events, key=lambda event: -event[1]):
            model = cast(LayeredParameters, model).without_layer(layer)
        return model

    def remarks(self, events: int, runs: int) -> list[str]:
        """Say that no step fell below the threshold."""
        if events:
            return []
        return [
            f"layer_pruning: no share of a time step fell below threshold: {self.threshold:g} in {runs} run(s)"
        ]
