"""Parameters of layer insertion by sensitivity, free of torch."""

import re
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, cast

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from hornlib.models.layered_parameters import LayeredParameters
from hornlib.models.time_variable.parameters import TimeResnetParameters
from hornlib.parameters import ModelParameters, Task
from hornlib.parameters.structure import Course, StructureParameters

__all__ = ["LayerInsertionParameters"]


def _parse_epochs(value: object) -> object:
    """Read `0-450-900` (and a lone integer) as a tuple; leave anything else to pydantic."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    if isinstance(value, str):
        if not re.fullmatch(r"[0-9]+(-[0-9]+)*", value):
            raise ValueError("a list of epochs is written 50-100-150")
        return tuple(int(part) for part in value.split("-"))
    return value


Epochs = Annotated[
    tuple[Annotated[int, Field(ge=0)], ...],
    BeforeValidator(_parse_epochs),
    PlainSerializer(lambda epochs: "-".join(map(str, epochs)), return_type=str),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": "^[0-9]+(-[0-9]+)*$"}, {"type": "integer", "minimum": 0}]}
    ),
]


class LayerInsertionParameters(StructureParameters):
    """SensLI: insert the layer that the loss is most sensitive to.

    At every admissible position p a virtual layer is added whose weights leave the network's function as it is. The
    gradient of the loss with respect to them, averaged over batches, is the Lagrange multiplier of the constraint
    that holds them there; the layer with the largest score S_p is inserted, freed, and trained with the rest.

    S_p is a slope of the loss where the loss has a derivative: with smooth activations, and away from the kinks of
    relu. A virtual relu layer hands on the zeros of dead units, so that its pre-activations lie on the kink. There the
    gradient takes 0 for the slope of relu, as the public code does, while a step may revive the unit: the slopes of
    the loss along G and against it then differ from S_p and from each other, by a third and more in small networks.

    Source: Sensitivity-Based Layer Insertion for Residual and Feedforward Neural Networks (SensLI), 2023 and 2025.
    """

    code: ClassVar[str] = "hornlib.structures.layers.insertion.insertion:LayerInsertion"

    name: Literal["layer_insertion"] = "layer_insertion"
    trigger: Literal["epochs", "relative_threshold", "absolute_threshold", "plateau"] = "epochs"
    """When: after the epochs of `insert_at`; there, but only if the largest score exceeds `threshold` times the mean
    score of the layers that exist (relative) or `threshold` itself (absolute); or once the validation loss has
    stopped falling (plateau)."""
    insert_at: Epochs | None = None
    """Epochs after which a layer is inserted or, with a threshold, tried, written 50-100; 0: before the first step."""
    threshold: float | None = Field(default=None, gt=0)
    """Of the relative (1 in the source) or absolute (1e-4 in the source) trigger."""
    insertions: int = Field(default=1, ge=1)
    """Most layers inserted into one network."""
    patience: int | None = Field(default=None, ge=1)
    """plateau: epochs over which the validation loss has not fallen by `least_improvement`."""
    least_improvement: float = Field(default=0.01, ge=0, lt=1)
    """plateau: share of the validation loss that counts as falling."""
    choice: Literal["largest", "smallest", "random", "position", "nowhere"] = "largest"
    """Where: at the largest or the smallest score, at random, at `position`; or nowhere, the control that resets
    learning rate and optimiser and keeps its layers."""
    position: int | None = Field(default=None, ge=0)
    """choice position: the layer behind which the new one stands, from 0 at the input."""
    score: Literal["squared_norm", "squared_norm_per_number", "squared_spectral_norm"] = "squared_norm"
    """S_p of the mean gradient G of a virtual weight: ||G||_F^2, ||G||_F^2 / number of its entries, or the largest
    singular value squared of G as a matrix, or as the convolution with zero padding on maps of their true size."""
    score_batches: int | None = Field(default=None, ge=1)
    """Batches over which gradients are averaged; None: an epoch."""
    inner_scale: float = Field(default=0.8, gt=0)
    """Blocks with two weights: the inserted one has W = 0 and K = inner_scale times the identity."""
    rate_factor: float = Field(default=1.0, gt=0)
    """On the learning rate from each insertion on."""
    optimizer_state: Literal["carried", "fresh"] = "carried"
    """carried: the old weights keep their moments, new ones start at zero; fresh: all start anew."""

    @model_validator(mode="after")
    def _consistent(self) -> "LayerInsertionParameters":
        thresholds = ("relative_threshold", "absolute_threshold")
        needs = {
            "insert_at": self.trigger != "plateau",
            "threshold": self.trigger in thresholds,
            "patience": self.trigger == "plateau",
            "position": self.choice == "position",
        }
        for key, needed in needs.items():
            setting = f"choice: {self.choice}" if key == "position" else f"trigger: {self.trigger}"
            if needed and getattr(self, key) is None:
                raise ValueError(f"{setting} needs `{key}:`")
            if not needed and getattr(self, key) is not None:
                raise ValueError(f"{key} means nothing to {setting}; leave it out")
        epochs = self.insert_at or ()
        if list(epochs) != sorted(set(epochs)):
            raise ValueError("insert_at: epochs ascend, each once")
        if self.trigger in thresholds and self.choice != "largest":
            raise ValueError(
                f"trigger: {self.trigger} looks at the largest score; choice: {self.choice} does not"
            )
        return self

    def problems(self, model: ModelParameters, task: Task, course: Course) -> list[str]:
        """The model must have layers, a copy of which can change nothing; positions and epochs must exist."""
        if not isinstance(model, LayeredParameters):
            return [
                f"layer_insertion: {model.name} has no layers to insert between; valid: mlp, cnn, time_resnet"
            ]
        found = [f"layer_insertion: {problem}" for problem in model.insertion_problems()]
        depth = len(model.layer_widths())
        if self.position is not None and self.position >= depth:
            found.append(
                f"layer_insertion: position: {self.position} does not exist; a new layer can stand behind layers "
                f"0 to {depth - 1}"
            )
        beyond = [epoch for epoch in self.insert_at or () if epoch >= course.epochs]
        if beyond:
            found.append(
                f"layer_insertion: insert_at: epoch {beyond[0]}, but training ends after {course.epochs:g} epochs"
            )
        moments = len(self.insert_at or ())
        if self.insert_at and (
            moments < self.insertions or (self.trigger == "epochs" and moments > self.insertions)
        ):
            found.append(
                f"layer_insertion: insert_at names {moments} epochs, and insertions: {self.insertions}; give as many"
            )
        if self.score_batches is not None and self.score_batches > course.steps_per_epoch:
            found.append(
                f"layer_insertion: score_batches: {self.score_batches}, but an epoch has {course.steps_per_epoch}; "
                "leave it out"
            )
        nothing_there = isinstance(model, TimeResnetParameters) and model.block == "two_weight" and depth == 1
        if self.trigger == "relative_threshold" and nothing_there:
            found.append(
                "layer_insertion: trigger: relative_threshold needs a block to compare with; give num_layers: 2"
            )
        if self.trigger == "plateau" and not course.num_validation:
            found.append(
                "layer_insertion: trigger: plateau looks at the validation loss, and validation: 0 leaves none"
            )
        return found

    def deepest(self, model: ModelParameters) -> ModelParameters:
        """Return the model with all insertions."""
        deepest = cast(LayeredParameters, model)
        for _ in range(self.insertions if self.choice != "nowhere" else 0):
            last = len(deepest.layer_widths()) - 1
            deepest = deepest.with_layer(last if self.position is None else self.position)
        return deepest

    def reachable(self, model: ModelParameters) -> list[ModelParameters]:
        """Return the models with 1, 2, ... layers more, wherever those may stand."""
        found: dict[ModelParameters, None] = {}
        current = [cast(LayeredParameters, model)]
        for _ in range(self.insertions if self.choice != "nowhere" else 0):
            current = list(
                dict.fromkeys(
                    own.with_layer(position) for own in current for position in self._positions(own)
                )
            )
            found |= dict.fromkeys(current)
        return list(found)

    def _positions(self, model: LayeredParameters) -> list[int]:
        return [self.position] if self.position is not None else list(range(len(model.layer_widths())))

    def replayed(self, model: ModelParameters, events: Sequence[tuple[str, int]]) -> ModelParameters:
        """Return the model with what was inserted; the run file names the new layer's own place."""
        for kind, place in events:
            if kind == "inserted":
                model = cast(LayeredParameters, model).with_layer(place - 1)
        return model

    def remarks(self, events: int, runs: int) -> list[str]:
        """Say that the trigger never fired."""
        if events:
            return []
        return [
            f"layer_insertion: trigger: {self.trigger} never fired in {runs} run(s); no layer was inserted"
        ]
