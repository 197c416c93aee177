"""Parameters of layer insertion by sensitivity; free of torch."""

import re
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal, cast

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from hornlib.models import MODELS
from hornlib.models.layered_parameters import LayeredParameters
from hornlib.parameters import ModelParameters, Task
from hornlib.parameters.structure import Course, PastEvent, StructureParameters

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

    At every admissible position p a virtual layer is added whose weights do not change the network's function. Let G be
    the gradient of the loss with respect to these weights, averaged over batches: it is the Lagrange multiplier of the
    constraint that holds them fixed. The layer with the largest score S_p (a norm of G) is inserted and trained with
    the rest.

    S_p is a slope of the loss where the loss has a derivative: with smooth activations, and away from the kinks of
    relu. A virtual relu layer passes on the zeros of dead units, so that its pre-activations lie on the kink. There the
    gradient takes 0 for the slope of relu, as the public code does, although a step may revive the unit. The slopes of
    the loss along G and against G then differ from S_p and from each other, by a third and more in small networks.

    Source: Sensitivity-Based Layer Insertion for Residual and Feedforward Neural Networks (SensLI), 2023 and 2025.
    """

    code: ClassVar[str] = "hornlib.structures.layers.insertion:LayerInsertion"

    name: Literal["layer_insertion"] = "layer_insertion"
    """Which structure this is."""
    trigger: Literal["epochs", "relative_threshold", "absolute_threshold", "plateau"] = "epochs"
    """When a layer is inserted. epochs: after the epochs of `insert_at`. relative_threshold, absolute_threshold: after
    these epochs, but only if the largest score exceeds `threshold` times the mean score of the existing layers
    (relative), or `threshold` itself (absolute). plateau: once the validation loss has stopped falling."""
    insert_at: Epochs | None = None
    """Epochs after which a layer is inserted or, with a threshold, considered; written 50-100. 0 means before the first
    step."""
    threshold: float | None = Field(default=None, gt=0)
    """Threshold of the trigger: relative_threshold (1 in the source) or absolute_threshold (1e-4 in the source)."""
    insertions: int = Field(default=1, ge=1)
    """Most layers inserted into one network."""
    patience: int | None = Field(default=None, ge=1)
    """With trigger plateau: epochs without a fall of the validation loss by `least_improvement`."""
    least_improvement: float = Field(default=0.01, ge=0, lt=1)
    """With trigger plateau: the smallest relative fall of the validation loss that counts."""
    choice: Literal["largest", "smallest", "random", "position", "nowhere"] = "largest"
    """Where a layer is inserted: at the largest or the smallest score, at random, or at `position`. nowhere is the
    control that changes learning rate and optimiser in the same way and keeps its layers."""
    position: int | None = Field(default=None, ge=0)
    """With choice position: the layer behind which the new one is inserted, counted from 0 at the input."""
    score: Literal["squared_norm", "squared_norm_per_number", "squared_spectral_norm"] = "squared_norm"
    """S_p of the mean gradient G of a virtual weight: ||G||_F^2, ||G||_F^2 / number of entries of G, or the square of
    the largest singular value of G. A convolution's G acts with zero padding on maps of their true size."""
    score_batches: int | None = Field(default=None, ge=1)
    """Number of batches over which gradients are averaged; null: an epoch."""
    inner_scale: float = Field(default=0.8, gt=0)
    """In networks with two weights a block, the inserted block has W = 0 and K = inner_scale times the identity."""
    rate_factor: float = Field(default=1.0, gt=0)
    """Factor on the learning rate, applied at each insertion."""
    optimizer_state: Literal["carried", "fresh"] = "carried"
    """carried: old weights keep their moments, new weights start with zero moments. fresh: all moments start anew."""

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
        """Return why no layer can be inserted: no neutral layer exists, or a position or an epoch does not.

        Args:
            model: the networks that are to be changed.
            task: shapes of inputs and outputs.
            course: length of the training.
        """
        if not model.has_insertable_layers:
            valid = [name for name, parameters in MODELS.items() if parameters.has_insertable_layers]
            return [
                f"layer_insertion: {model.name} has no layers to insert between; valid: {', '.join(valid)}"
            ]
        model = cast(LayeredParameters, model)
        problems = [f"layer_insertion: {problem}" for problem in model.insertion_problems()]
        depth = len(model.layer_widths())
        if self.position is not None and self.position >= depth:
            problems.append(
                f"layer_insertion: position: {self.position} does not exist; a new layer can stand behind layers "
                f"0 to {depth - 1}"
            )
        beyond = [epoch for epoch in self.insert_at or () if epoch >= course.epochs]
        if beyond:
            problems.append(
                f"layer_insertion: insert_at: epoch {beyond[0]}, but training ends after {course.epochs:g} epochs"
            )
        moments = len(self.insert_at or ())
        if self.insert_at and (
            moments < self.insertions or (self.trigger == "epochs" and moments > self.insertions)
        ):
            problems.append(
                f"layer_insertion: insert_at names {moments} epochs, and insertions: {self.insertions}; give as many"
            )
        if self.score_batches is not None and self.score_batches > course.steps_per_epoch:
            problems.append(
                f"layer_insertion: score_batches: {self.score_batches}, but an epoch has {course.steps_per_epoch}; "
                "leave it out"
            )
        if self.trigger == "relative_threshold" and not model.num_comparable_layers():
            problems.append(
                "layer_insertion: trigger: relative_threshold needs a block to compare with; give num_layers: 2"
            )
        if self.trigger == "plateau" and not course.num_validation:
            problems.append(
                "layer_insertion: trigger: plateau looks at the validation loss, and validation: 0 leaves none"
            )
        return problems

    def deepest(self, model: ModelParameters, task: Task) -> ModelParameters:
        """Return the model with all insertions.

        Args:
            model: before the first step.
            task: shapes of inputs and outputs.
        """
        deepest = cast(LayeredParameters, model)
        for _ in range(self.insertions if self.choice != "nowhere" else 0):
            last = len(deepest.layer_widths()) - 1
            deepest = deepest.with_layer(last if self.position is None else self.position)
        return deepest

    @property
    def adds_weights(self) -> bool:
        """Whether weights are added while the network trains: yes."""
        return True

    def reachable(self, model: ModelParameters, task: Task) -> list[ModelParameters]:
        """Return the models with 1, 2, ... more layers at every possible position.

        Args:
            model: before the first step.
            task: shapes of inputs and outputs.
        """
        models: dict[ModelParameters, None] = {}
        current = [cast(LayeredParameters, model)]
        for _ in range(self.insertions if self.choice != "nowhere" else 0):
            current = list(
                dict.fromkeys(
                    shallower.with_layer(position)
                    for shallower in current
                    for position in self._positions(shallower)
                )
            )
            models |= dict.fromkeys(current)
        return list(models)

    def _positions(self, model: LayeredParameters) -> list[int]:
        return [self.position] if self.position is not None else list(range(len(model.layer_widths())))

    def replayed(self, model: ModelParameters, events: Sequence[PastEvent]) -> ModelParameters:
        """Return the model with the inserted layers.

        Args:
            model: before the events.
            events: their position is that of the new layer itself.
        """
        for event in events:
            if event.kind == "inserted":
                model = cast(LayeredParameters, model).with_layer(event.position - 1)
        return model

    def remarks(self, events: int, runs: int) -> list[str]:
        """Return a remark if the trigger never fired.

        Args:
            events: number of changes of all runs.
            runs: number of runs.
        """
        if events:
            return []
        return [
            f"layer_insertion: trigger: {self.trigger} never fired in {runs} run(s); no layer was inserted"
        ]
