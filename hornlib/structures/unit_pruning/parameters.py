"""Parameters of unit pruning; free of torch."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from hornlib.models import MODELS
from hornlib.parameters import Cost, ModelParameters, Task, Widths
from hornlib.parameters.structure import Course, PastEvent, StructureParameters
from hornlib.structures.chosen_shapes import rounded_down, spread_over

__all__ = ["UnitPruningFields", "UnitPruningParameters", "scale_names"]


def scale_names(model: ModelParameters, layer: int, task: Task) -> list[str]:
    """Return the names of the scales of norms that a layer's units have to themselves.

    Args:
        model: the networks.
        layer: position in `units()`.
        task: shapes of inputs and outputs.
    """
    axes = model.unit_axes(layer, task)
    return [axis.name for axis in axes if axis.side == "own" and axis.name.endswith(".weight")]


class UnitPruningFields(StructureParameters):
    """Which units are removed, how many, and when."""

    drop_by: Literal["l1_norm", "norm_scale", "taylor", "random"] = "l1_norm"
    """By which score the lowest units go. l1_norm: sum of |w| over the weights that compute the unit (Li et al. 2017).
    norm_scale: |scale| of the norm before the activation (Liu et al. 2017, network slimming). taylor: |sum of g v| over
    the weights v that read the unit, g the gradient of the loss over `score_batches` (Molchanov et al. 2017). random:
    any."""
    score_batches: int = Field(default=10, ge=1)
    """taylor: number of batches over which gradients are averaged. No training step takes them."""
    distribution: Literal["uniform", "global"] = "uniform"
    """uniform: each layer loses the same share. global: the units of all layers are compared; sums of |w| are divided
    by the mean of their layer, because layers have different numbers of inputs. The widths then depend on the seed. One
    unit of each layer always stays."""
    drop_share: float | None = Field(default=None, gt=0, lt=1)
    """Share of the units that each pruning removes, rounded down. null: `units_left` says it."""
    units_left: Widths | None = None
    """Units of each hidden layer that the one pruning leaves, written 32-64. null: `drop_share` says it."""
    prune_start: float = Field(default=0.5, ge=0, lt=1)
    """Share of the training after which units are first removed. 0: before the first step."""
    prunings: int = Field(default=1, ge=1)
    """How many times units are removed."""
    prune_end: float | None = Field(default=None, gt=0, lt=1)
    """Share of the training after which units are last removed. The prunings between are evenly spaced."""

    @model_validator(mode="after")
    def _pruning_is_consistent(self) -> "UnitPruningFields":
        if (self.drop_share is None) == (self.units_left is None):
            raise ValueError("give `drop_share:` or `units_left:`, one of them")
        if self.units_left is not None and self.distribution == "global":
            raise ValueError("distribution: global chooses the widths itself, and units_left gives them")
        if self.units_left is not None and self.prunings > 1:
            raise ValueError(
                f"units_left is reached by one pruning; prunings: {self.prunings} need drop_share"
            )
        if (self.prunings > 1) != (self.prune_end is not None):
            raise ValueError("prune_end is given where prunings are more than 1, and only there")
        if self.prune_end is not None and self.prune_end <= self.prune_start:
            raise ValueError(f"prune_start: {self.prune_start:g} is not before prune_end: {self.prune_end:g}")
        if (
            self.drop_by != "taylor"
            and self.score_batches != type(self).model_fields["score_batches"].default
        ):
            raise ValueError(f"score_batches means nothing to drop_by: {self.drop_by}; leave it out")
        return self

    def pruning_steps(self, total_steps: int) -> list[int]:
        """Return the training steps after which units are removed.

        Args:
            total_steps: training steps of the whole training.
        """
        end = self.prune_start if self.prune_end is None else self.prune_end
        gap = (end - self.prune_start) / max(self.prunings - 1, 1)
        return [round((self.prune_start + number * gap) * total_steps) for number in range(self.prunings)]

    def num_dropped(self, units: Sequence[int]) -> tuple[int, ...]:
        """Return how many units each layer loses at one pruning, with distribution: uniform.

        Args:
            units: of each layer before it.
        """
        if self.units_left is not None:
            return tuple(before - left for before, left in zip(units, self.units_left, strict=True))
        assert self.drop_share is not None, "the validator asks for one of both"
        return tuple(rounded_down(self.drop_share * number) for number in units)

    def total_dropped(self, units: Sequence[int]) -> int:
        """Return how many units all layers lose together at one pruning, with distribution: global.

        Args:
            units: of each layer before it.
        """
        assert self.drop_share is not None, "global needs a share"
        return rounded_down(self.drop_share * sum(units))

    def narrowed(self, model: ModelParameters) -> ModelParameters:
        """Return the model after one pruning; with distribution: global that of equal shares.

        Args:
            model: before it.
        """
        units = model.units()
        for layer, (number, dropped) in enumerate(zip(units, self.num_dropped(units), strict=True)):
            model = model.with_units(layer, number - dropped)
        return model

    def pruning_problems(self, models: Sequence[ModelParameters], task: Task, course: Course) -> list[str]:
        """Return why units cannot be removed: they have no such score, too few would remain, or it is too late.

        Args:
            models: the networks before each pruning; `units_problems` has nothing against the first one.
            task: shapes of inputs and outputs.
            course: length of the training.
        """
        return [
            *self._number_problems(models),
            *self._score_problems(models[0], task, course),
            *self._time_problems(course),
        ]

    def units_problems(self, model: ModelParameters) -> list[str]:
        """Return why a network has no units to remove, or not those that are asked for.

        Args:
            model: the network before the first pruning.
        """
        units = model.units()
        if not units:
            without = ModelParameters.units
            valid = ", ".join(key for key, parameters in MODELS.items() if parameters.units is not without)
            return [f"{self.name}: {model.name} has no layers whose units can be removed; valid: {valid}"]
        if self.units_left is None:
            return []
        if len(self.units_left) != len(units):
            return [
                f"{self.name}: units_left: {len(self.units_left)} numbers for {len(units)} layers of units"
            ]
        if any(left > number for left, number in zip(self.units_left, units, strict=True)):
            return [
                f"{self.name}: units_left: {_written(self.units_left)}, but the layers have {_written(units)} units"
            ]
        return []

    def _number_problems(self, models: Sequence[ModelParameters]) -> list[str]:
        for number, model in enumerate(models, 1):
            units = model.units()
            is_global = self.distribution == "global"
            dropped = self.total_dropped(units) if is_global else sum(self.num_dropped(units))
            if not dropped:
                return [
                    f"{self.name}: pruning {number} of layers with {_written(units)} units would remove none; give a "
                    "larger drop_share, fewer prunings, or wider layers"
                ]
            if sum(units) - dropped < len(units):
                return [
                    f"{self.name}: drop_share: {self.drop_share:g} of {sum(units)} units leaves fewer than one for "
                    f"each of {len(units)} layers; remove less"
                ]
        return []

    def _score_problems(self, model: ModelParameters, task: Task, course: Course) -> list[str]:
        without = [layer for layer in range(len(model.units())) if not scale_names(model, layer, task)]
        if self.drop_by == "norm_scale" and without:
            return [
                f"{self.name}: drop_by: norm_scale needs a norm with scales before the activation, and layer "
                f"{without[0]} of {model.name} has none; give the model a norm, or another drop_by"
            ]
        if self.drop_by == "taylor" and self.score_batches > course.steps_per_epoch:
            return [
                f"{self.name}: score_batches: {self.score_batches}, but an epoch has {course.steps_per_epoch} batches"
            ]
        return []

    def _time_problems(self, course: Course) -> list[str]:
        steps = self.pruning_steps(course.total_steps)
        if len(set(steps)) < len(steps) or steps[-1] >= course.total_steps:
            return [
                f"{self.name}: prunings: {self.prunings} from prune_start: {self.prune_start:g} do not fit into "
                f"{course.total_steps} training steps; prune less often, or train longer"
            ]
        return []


class UnitPruningParameters(UnitPruningFields):
    """Remove the units with the lowest scores, once or several times, and go on training the others.

    Weights, running statistics and moments of the units that stay are kept, bit for bit.

    Sources: Li et al. 2017 (arXiv 1608.08710), Liu et al. 2017 (1708.06519), Molchanov et al. 2017 (1611.06440).
    """

    code: ClassVar[str] = "hornlib.structures.unit_pruning.structure:UnitPruning"

    name: Literal["unit_pruning"] = "unit_pruning"
    """Which structure this is."""

    def problems(self, model: ModelParameters, task: Task, course: Course) -> list[str]:
        """Return why units cannot be removed.

        Args:
            model: the networks before the first step.
            task: shapes of inputs and outputs.
            course: length of the training.
        """
        return self.units_problems(model) or self.pruning_problems(self._models(model)[:-1], task, course)

    def planned_models(
        self, model: ModelParameters, task: Task, course: Course
    ) -> list[tuple[int, ModelParameters]]:
        """Return the models between the prunings, each with the training steps before it; see the base class.

        Args:
            model: before the first step.
            task: not used.
            course: length of the training.
        """
        steps = [0, *self.pruning_steps(course.total_steps)]
        return list(zip(steps, self._models(model), strict=True))

    def _models(self, model: ModelParameters) -> list[ModelParameters]:
        """Return the model before the first pruning and after each; with distribution: global that of equal shares."""
        models = [model]
        for _ in range(self.prunings):
            models.append(self.narrowed(models[-1]))
        return models

    def cost(self, model: ModelParameters, task: Task) -> Cost:
        """Return size and work at the end; with distribution: global those of equal shares.

        Args:
            model: before the first step.
            task: shapes of inputs and outputs.
        """
        return self._models(model)[-1].cost(task)

    def match_problems(self) -> list[str]:
        """Return why no arm can be matched to widths that depend on the seed."""
        if self.distribution == "uniform":
            return []
        return [
            "structure: unit_pruning with distribution: global leaves other widths in every run, so that it has no one "
            "size to be matched to or to be trained from scratch at; give distribution: uniform, or units_left"
        ]

    def rival_problems(self) -> list[str]:
        """Return why this arm cannot be matched to another: its widths depend on the seed."""
        return self.match_problems()

    def reachable(self, model: ModelParameters, task: Task) -> list[ModelParameters]:
        """Return some of the models after a pruning, evenly spread over forward FLOPs, the last one among them.

        Args:
            model: before the first step.
            task: shapes of inputs and outputs.
        """
        return spread_over(model, self._models(model)[1:], task)

    def replayed(self, model: ModelParameters, events: Sequence[PastEvent]) -> ModelParameters:
        """Return the model without the removed units.

        Args:
            model: before the events.
            events: their positions are those of the layers.
        """
        for event in events:
            model = model.with_units(event.position, model.units()[event.position] - int(event.number))
        return model


def _written(units: Sequence[int]) -> str:
    return "-".join(map(str, units))
