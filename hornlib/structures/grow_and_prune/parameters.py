"""Parameters of growth with pruning; free of torch."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal

from pydantic import model_validator

from hornlib.parameters import Cost, ModelParameters, Task
from hornlib.parameters.structure import Course, PastEvent, StructureParameters
from hornlib.structures.chosen_shapes import spread_over
from hornlib.structures.growth.amounts import (
    grown,
    least_grown,
    new_units,
    open_layers,
    with_changed_units,
)
from hornlib.structures.growth.parameters import GrowthParameters
from hornlib.structures.unit_pruning.parameters import (
    UnitPruningFields,
    UnitPruningParameters,
)

__all__ = ["GrowAndPruneParameters"]

FINE_STEPS = 10**6
"""Steps of a training whose order of events is that of the shares."""

OTHER_ENDS = ("final_factor", "final_units", "most_parameters", "most_flops")
NO_USE_IN_EXCHANGE = ("units_left", "prune_start", "prunings", "prune_end", "share", "place")


class GrowAndPruneParameters(GrowthParameters, UnitPruningFields):
    """Grow units by a schedule as `growth` does, and remove units as `unit_pruning` does, in one training.

    The times say in which order: growth before pruning, pruning before growth, or both in turn.

    Sources: NeST grows and then prunes (Dai et al. 2017, arXiv 1711.02017). GraNet exchanges connections (Liu et al.
    2021, 2106.10404); here it is units.
    """

    code: ClassVar[str] = "hornlib.structures.grow_and_prune.structure:GrowAndPrune"

    name: Literal["grow_and_prune"] = "grow_and_prune"  # type: ignore[assignment]
    """Which structure this is."""
    combination: Literal["by_times", "exchange"] = "by_times"
    """by_times: units are added at the times of `growth` and removed at those of `unit_pruning`. exchange: at each
    event of growth, `drop_share` of the units are removed and as many are added to each layer, as GraNet does with
    connections."""
    when: Literal["schedule"] = "schedule"
    """When units are added: after a first step, and then at equal distances."""

    @model_validator(mode="after")
    def _fits_together(self) -> "GrowAndPruneParameters":
        fields = type(self).model_fields
        if self.times is None:
            raise ValueError("grow_and_prune needs `times:`, the number of growths")
        unused = [name for name in OTHER_ENDS if getattr(self, name) is not None]
        if unused:
            raise ValueError(f"{unused[0]} means nothing where units are removed, too; leave it out")
        if self.start_step is not None or self.every_steps is not None:
            raise ValueError(
                "pruning takes place at shares of the training; give start_share and every_share"
            )
        if self.combination == "exchange":
            unused = [name for name in NO_USE_IN_EXCHANGE if getattr(self, name) != fields[name].default]
            if unused:
                raise ValueError(f"{unused[0]} means nothing to combination: exchange; leave it out")
        return self

    def growth(self) -> GrowthParameters:
        """Return the parameters of the part that adds units."""
        return GrowthParameters(**self._values_of(GrowthParameters))

    def pruning(self) -> UnitPruningParameters:
        """Return the parameters of the part that removes units."""
        return UnitPruningParameters(**self._values_of(UnitPruningParameters))

    def _values_of(self, part: type[StructureParameters]) -> dict[str, Any]:
        return {name: getattr(self, name) for name in part.model_fields if name != "name"}

    def steps(self, total_steps: int) -> tuple[list[int], list[int]]:
        """Return the training steps after which units are added, and those after which units are removed.

        Args:
            total_steps: training steps of the whole training.
        """
        additions = self.moments(total_steps)
        return additions, additions if self.combination == "exchange" else self.pruning_steps(total_steps)

    def planned_models(
        self, model: ModelParameters, task: Task, course: Course
    ) -> list[tuple[int, ModelParameters]]:
        """Return the models of the training, each with the training steps before it.

        Args:
            model: before the first step.
            task: shapes of inputs and outputs.
            course: length of the training.
        """
        return [(0, model), *_models(self, model, task, course.total_steps)]

    def cost(self, model: ModelParameters, task: Task) -> Cost:
        """Return size and work at the end; with distribution: global those of equal shares.

        Args:
            model: before the first step.
            task: shapes of inputs and outputs.
        """
        return [model, *self._shapes(model, task)][-1].cost(task)

    def deepest(self, model: ModelParameters, task: Task) -> ModelParameters:
        """Return the largest model of the training.

        Args:
            model: before the first step.
            task: shapes of inputs and outputs.
        """
        return max([model, *self._shapes(model, task)], key=lambda shape: shape.num_parameters(task))

    def reachable(self, model: ModelParameters, task: Task) -> list[ModelParameters]:
        """Return some of the models, the smallest, the largest and the last one among them.

        Args:
            model: before the first step.
            task: shapes of inputs and outputs.
        """
        return spread_over(model, self._shapes(model, task), task)

    def _shapes(self, model: ModelParameters, task: Task) -> list[ModelParameters]:
        return [shape for _, shape in _models(self, model, task, FINE_STEPS)]

    def replayed(self, model: ModelParameters, events: Sequence[PastEvent]) -> ModelParameters:
        """Return the model after the events; an exchange keeps it.

        Args:
            model: before the events.
            events: their numbers are those of units.
        """
        return with_changed_units(model, events)

    def problems(self, model: ModelParameters, task: Task, course: Course) -> list[str]:
        """Return why units cannot be added and removed as asked.

        Args:
            model: before the first step.
            task: shapes of inputs and outputs.
            course: length of the training.
        """
        problems = self.units_problems(model)
        if problems:
            return problems
        additions, removals = self.steps(course.total_steps)
        both = sorted(set(additions) & set(removals))
        if self.combination == "by_times" and both:
            problems.append(
                f"grow_and_prune: step {both[0]} is a time of growth and of pruning; give other times, or "
                "combination: exchange"
            )
        planned = self.planned_models(model, task, course)
        before = [[shape for start, shape in planned if start < step or not start][-1] for step in removals]
        pruning = self.pruning_problems(before or [model], task, course)
        return [*self.growth().problems(model, task, course), *problems, *pruning]

    def match_problems(self) -> list[str]:
        """Return why no arm can be matched to widths that depend on the seed."""
        pruning = [] if self.combination == "exchange" else self.pruning().match_problems()
        return [*self.growth().match_problems(), *pruning]

    def rival_problems(self) -> list[str]:
        """Return why this arm cannot be matched to another: its widths depend on the seed."""
        return self.match_problems()

    def remarks(self, events: int, runs: int) -> list[str]:
        """Return nothing, since both happen by a schedule.

        Args:
            events: number of changes of all runs.
            runs: number of runs.
        """
        return []


@lru_cache(maxsize=4096)
def _models(
    parameters: GrowAndPruneParameters, first: ModelParameters, task: Task, total_steps: int
) -> tuple[tuple[int, ModelParameters], ...]:
    """Return the model after each event, with the training steps before it.

    Args:
        parameters: of the structure.
        first: the model of the first training step.
        task: shapes of inputs and outputs.
        total_steps: training steps of the whole training.
    """
    if parameters.combination == "exchange":
        return ()
    growth, pruning = parameters.growth(), parameters.pruning()
    additions, removals = parameters.steps(total_steps)
    models, model = [], first
    for step in sorted({*additions, *removals}):
        if step in removals:
            model = pruning.narrowed(model)
        if step in additions:
            layers = open_layers(growth, first, model, task)
            if layers and growth.place != "all":
                layers = [least_grown(growth, first, model, layers)]
            model = grown(model, new_units(growth, first, model, layers, task))
        models.append((step, model))
    return tuple(models)
