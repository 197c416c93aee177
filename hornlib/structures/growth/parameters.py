"""Parameters of the growth of neurons; free of torch."""

from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from hornlib.parameters import Cost, ModelParameters, Task, Widths
from hornlib.parameters.structure import Course, PastEvent, StructureParameters
from hornlib.structures.chosen_shapes import spread_over
from hornlib.structures.connections.rule_fields import with_rule_values
from hornlib.structures.growth.amounts import trajectory, with_changed_units
from hornlib.structures.growth.problems import growth_problems, unknown_end_problems
from hornlib.structures.growth.rule_values import LOOKING_RULES, PLACE_VALUES, RULE_VALUES, WHEN_VALUES

__all__ = ["GrowthParameters"]

BOUNDS = ("times", "final_factor", "final_units", "most_parameters", "most_flops")
"""Fields that say where growth ends."""


class GrowthParameters(StructureParameters):
    """Add units to hidden layers: `when` and in which layers (`place`), how many (`share`), and how (`rule`).

    A unit is a node or a channel. The layers are those of the model's `units()`, counted from 0 at the input. New units
    stand behind the others. The old weights and their moments stay as they are, and the moments of new weights are 0.

    Sources: GradMax (Evci et al. 2022, arXiv 2201.05125), Firefly (Wu et al. 2020, 2102.08574), Net2Net (Chen et al.
    2016, 1511.05641), NeST (Dai et al. 2017, 1711.02017), TINY (Verbockhaven et al. 2024, 2405.19816), variance
    transfer (Yuan et al. 2023, 2306.12700), NORTH (Maile et al. 2022, 2202.08539).
    """

    code: ClassVar[str] = "hornlib.structures.growth.structure:Growth"

    name: Literal["growth"] = "growth"
    """Which structure this is."""
    rule: Literal[
        "gradmax",
        "gradmax_search",
        "gradmax_search_incoming",
        "firefly",
        "uniform",
        "gaussian",
        "zero_outgoing",
        "net2net",
        "nest",
        "tiny",
        "variance_transfer",
    ] = "gradmax"
    """How new units start. gradmax: incoming weights 0, and the orthogonal outgoing weights that give the incoming ones
    the largest gradient. gradmax_search: the same by gradient ascent. gradmax_search_incoming: outgoing weights 0, and
    the incoming ones that give them the largest gradient, by gradient ascent. firefly: gradient descent on the loss
    over the new weights alone. uniform, gaussian: incoming weights 0, outgoing weights drawn at random. zero_outgoing:
    incoming weights drawn at random, outgoing weights 0. net2net: copies of units, which share their outgoing weights.
    nest: connections between pairs of units with the largest bridging gradient. tiny: the closed form that lowers the
    loss most to first order. variance_transfer: weights drawn at random, with variances that keep those of the layer,
    and learning rates by the size of what each event added."""
    scale: float | None = Field(default=None, gt=0)
    """Norm of a new unit's weights, on the side where they are not 0: see `scale_by`. null: .5."""
    scale_by: Literal["mean_norm", "fixed"] | None = None
    """mean_norm: the norm is `scale` times the mean norm of the existing units' weights. fixed: it is `scale`. null:
    mean_norm."""
    search_steps: int | None = Field(default=None, ge=1)
    """Steps of Adam of the rules that search. null: 100."""
    search_rate: float | None = Field(default=None, gt=0)
    """Learning rate of these steps. null: .001."""
    copy_noise: float | None = Field(default=None, ge=0)
    """net2net: standard deviation of the noise on the incoming weights of a copy, relative to that of the layer's
    incoming weights. null: 0."""
    batches: int | None = Field(default=None, ge=1)
    """Number of batches that a look averages over, by the rule, the place or the trigger. null: 1."""
    when: Literal["schedule", "plateau", "activation_rank", "weight_rank", "singular_value"] = "schedule"
    """When units are added. schedule: after a first step, and then at equal distances. plateau: once the validation
    loss has stopped falling. The others look at equal distances, and a layer may grow where it fulfils a condition.
    activation_rank: the rank of its activations, as a share of its units, is at least `rank_share` times that of the
    first network. weight_rank: the same with its incoming weights. singular_value: a new unit with outgoing weights of
    the mean norm of the layer's units would have a gradient of at least `gradient_ratio` times theirs."""
    start_step: int | None = Field(default=None, ge=0)
    """Training steps before the first event, or the first look. null: `start_share`."""
    start_share: float | None = Field(default=None, ge=0, lt=1)
    """The same as a share of the training. null: the trigger's value (schedule .128, else 0), or `start_step`."""
    every_steps: int | None = Field(default=None, ge=1)
    """Training steps from one event, or look, to the next. null: `every_share`."""
    every_share: float | None = Field(default=None, gt=0, lt=1)
    """The same as a share of the training. null: the trigger's value (schedule .032, else .05), or `every_steps`."""
    patience: int | None = Field(default=None, ge=1)
    """plateau: epochs without a fall of the validation loss by `least_improvement`, since the last event at the
    earliest. null: 5."""
    least_improvement: float | None = Field(default=None, ge=0, lt=1)
    """plateau: the smallest relative fall of the validation loss that counts. null: .01."""
    rank_share: float | None = Field(default=None, gt=0)
    """Share of the first network's relative rank that lets a layer grow. null: the trigger's value (activation_rank
    .97, weight_rank .99)."""
    rank_threshold: float | None = Field(default=None, gt=0)
    """Singular values above it count for the rank: of activations divided by the square root of the number of examples,
    or of incoming weights. null: .01."""
    gradient_ratio: float | None = Field(default=None, gt=0)
    """singular_value: least ratio of the gradient norm of a new unit's incoming weights to the mean of the existing
    units'. null: 1."""
    place: Literal["all", "round_robin", "largest_singular_value", "random", "layer"] = "all"
    """Which of the layers that may grow do so at an event. all: each. round_robin: the one that has grown least often.
    largest_singular_value: the one whose best new unit would have the largest gradient. random: any one. layer: the one
    at `position`."""
    position: int | None = Field(default=None, ge=0)
    """place: layer: the layer, counted from 0 at the input. null: 0."""
    share: float = Field(default=0.25, gt=0)
    """Units that an event adds to a layer, as a share of its first number, rounded down, but at least 1. It adds fewer
    where growth ends."""
    times: int | None = Field(default=None, ge=1)
    """Most events of one run. null: as many as the other bound needs."""
    final_factor: float | None = Field(default=None, gt=1)
    """Number of units at the end, as a factor of the first number, rounded."""
    final_units: Widths | None = None
    """Number of units of each layer at the end, written 64-64."""
    most_parameters: int | None = Field(default=None, ge=1)
    """Growth ends at the last unit that leaves the network with no more parameters than these."""
    most_flops: int | None = Field(default=None, ge=1)
    """Growth ends at the last unit that leaves one forward pass of one example with no more FLOPs than these."""
    rate_factor: float = Field(default=1.0, gt=0)
    """Factor on the learning rate, applied at each event."""
    optimizer_state: Literal["carried", "fresh"] = "carried"
    """carried: old weights keep their moments, new weights start with zero moments. fresh: all moments start anew."""

    @model_validator(mode="before")
    @classmethod
    def _values_of_choices(cls, values: Any) -> Any:
        filled = with_rule_values(values, RULE_VALUES, default="gradmax")
        filled = with_rule_values(filled, WHEN_VALUES, default="schedule", field="when")
        filled = with_rule_values(filled, PLACE_VALUES, default="all", field="place")
        if not isinstance(filled, Mapping):
            return filled
        looks = (
            filled.get("rule", "gradmax") in LOOKING_RULES
            or filled.get("when") in ("activation_rank", "singular_value")
            or filled.get("place") == "largest_singular_value"
        )
        if looks and filled.get("batches") is None:
            return {**filled, "batches": 1}
        if not looks and filled.get("batches") is not None:
            raise ValueError("batches means nothing where rule, when and place look at none; leave it out")
        return filled

    @model_validator(mode="after")
    def _consistent(self) -> "GrowthParameters":
        ends = [name for name in BOUNDS if getattr(self, name) is not None]
        if not ends:
            raise ValueError(f"growth needs an end; give one of {', '.join(BOUNDS)}")
        if len(set(ends) - {"times"}) > 1:
            raise ValueError(f"give one end of growth, not {' and '.join(set(ends) - {'times'})}")
        return self

    def moments(self, total_steps: int) -> list[int]:
        """Return the training steps before each event of a schedule, or before each look; none of a plateau.

        Args:
            total_steps: training steps of the whole training.
        """
        start = self.start_step if self.start_step is not None else (self.start_share or 0) * total_steps
        if self.every_steps is None and self.every_share is None:
            return []
        every = self.every_steps or (self.every_share or 0) * total_steps
        most = self.times if self.when == "schedule" else None
        moments = (round(start + number * every) for number in range(most or total_steps))
        return list(dict.fromkeys(takewhile(lambda step: step < total_steps, moments)))

    def first_moment(self, total_steps: int) -> int:
        """Return the number of training steps before which nothing grows.

        Args:
            total_steps: training steps of the whole training.
        """
        if self.start_step is not None:
            return self.start_step
        return round((self.start_share or 0.0) * total_steps)

    def models(self, model: ModelParameters, task: Task) -> tuple[ModelParameters, ...]:
        """Return the model after each event. Where the training decides on the layer, it is the least grown one.

        Args:
            model: the model before the first step.
            task: shapes of inputs and outputs.
        """
        return trajectory(self, self.trained_model(model, task), task)

    def planned_models(
        self, model: ModelParameters, task: Task, course: Course
    ) -> list[tuple[int, ModelParameters]]:
        """Return the models of the training; of a trigger, as if it fired at every look or after every `patience`.

        Args:
            model: the model before the first step.
            task: shapes of inputs and outputs.
            course: length of the training.
        """
        moments = self.moments(course.total_steps)
        if self.patience is not None:
            start, every = self.first_moment(course.total_steps), self.patience * course.steps_per_epoch
            moments = list(range(start + every, course.total_steps, every))
        return [(0, self.trained_model(model, task)), *zip(moments, self.models(model, task), strict=False)]

    def cost(self, model: ModelParameters, task: Task) -> Cost:
        """Return size and work of the network at the end of growth.

        Args:
            model: the model before the first step.
            task: shapes of inputs and outputs.
        """
        return self.deepest(model, task).cost(task)

    def deepest(self, model: ModelParameters, task: Task) -> ModelParameters:
        """Return the model at the end of growth.

        Args:
            model: the model before the first step.
            task: shapes of inputs and outputs.
        """
        return [model, *self.models(model, task)][-1]

    @property
    def adds_weights(self) -> bool:
        """Whether weights are added while the network trains: yes."""
        return True

    def reachable(self, model: ModelParameters, task: Task) -> list[ModelParameters]:
        """Return some of the models, evenly spread over forward FLOPs, the last one among them.

        Args:
            model: the model before the first step.
            task: shapes of inputs and outputs.
        """
        return spread_over(model, self.models(model, task), task)

    def replayed(self, model: ModelParameters, events: Sequence[PastEvent]) -> ModelParameters:
        """Return the model with the added units.

        Args:
            model: before the events.
            events: their numbers are those of added units.
        """
        return with_changed_units(model, events)

    def problems(self, model: ModelParameters, task: Task, course: Course) -> list[str]:
        """Return why the networks cannot grow as asked.

        Args:
            model: the model before the first step.
            task: shapes of inputs and outputs.
            course: length of the training.
        """
        return growth_problems(self, model, task, course)

    def match_problems(self) -> list[str]:
        """Return why no arm can be matched to this one: its last size is not known before the training."""
        return unknown_end_problems(self)

    def rival_problems(self) -> list[str]:
        """Return why this arm cannot be matched to another: its last size is not known before the training."""
        return unknown_end_problems(self)

    def remarks(self, events: int, runs: int) -> list[str]:
        """Return a remark if the trigger never fired.

        Args:
            events: number of changes of all runs.
            runs: number of runs.
        """
        if events:
            return []
        return [f"growth: when: {self.when} never fired in {runs} run(s); no unit was added"]
