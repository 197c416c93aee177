"""Parameters of weight pruning; free of torch."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from hornlib.parameters import ModelParameters, Task, Value
from hornlib.parameters.structure import Course, DensePart
from hornlib.structures.connections.distribution import (
    cut_off_problems,
    num_connections,
    weight_problems,
)
from hornlib.structures.connections.parameters import SparseStructureParameters
from hornlib.structures.connections.rule_fields import with_rule_values
from hornlib.structures.connections.schedules import cubic_density, last_pruning, mean_counts

__all__ = ["RULE_VALUES", "WeightPruningParameters"]

RULE_VALUES: Mapping[str, Mapping[str, Value]] = {
    "snip": {"density": 0.1, "distribution": "global"},
    "gmp": {
        "density": 0.1,
        "distribution": "uniform",
        "update_every": 100,
        "prune_start": 0.25,
        "prune_end": 0.6,
        "weight_gradients": "masked",
    },
    "lottery": {"distribution": "global", "rounds": 10, "epochs_per_round": 5, "drop_share": 0.2},
}
"""Rule -> its fields and their published values. A field that a rule's row lacks means nothing to the rule.

snip: Lee et al. 2019. gmp: Zhu and Gupta 2017; start, end and interval are those of LeNet-5 in the released code of
Evci et al. 2020 (steps 3000 to 7000 of 11,719). lottery: Frankle and Carbin 2019, a fifth of the weights each round.
"""


class WeightPruningParameters(SparseStructureParameters):
    """Remove connections before or during training; a connection that was removed never comes back.

    Biases, and scales of norms, are never removed.

    Sources: SNIP (Lee et al. 2019, arXiv 1810.02340), gradual magnitude pruning (Zhu and Gupta 2017, 1710.01878), the
    lottery ticket (Frankle and Carbin 2019, 1803.03635).
    """

    code: ClassVar[str] = "hornlib.structures.weight_pruning.structure:WeightPruning"

    name: Literal["weight_pruning"] = "weight_pruning"
    """Which structure this is."""
    rule: Literal["snip", "gmp", "lottery"] = "gmp"
    """snip: before the first step, removes the weights with the smallest |g w|, g the gradient over the first batch.
    gmp: removes the smallest weights little by little while the network trains; the density falls along a cubic curve.
    lottery: trains for `epochs_per_round`, removes the smallest weights, sets the others and the running statistics
    back to their first values, and starts again with a new optimiser; the epochs of all rounds count. The momentum of
    the running statistics and the order of the examples go on as in one training. It needs schedule: constant, since a
    schedule spans all rounds."""
    density: float | None = Field(default=None, gt=0, le=1)
    """Share of the entries of all sparse weights together that remain. null: the rule's value (snip and gmp .1); that
    of lottery follows from its rounds."""
    distribution: Literal["global", "uniform", "er", "erk"] | None = None
    """How the connections that remain are distributed over the sparse weights. global: the weights are compared across
    layers. uniform: each layer has the same density. er, erk: small layers are denser, as in sparse_training. null: the
    rule's value (snip and lottery global, gmp uniform)."""
    update_every: int | None = Field(default=None, ge=1)
    """gmp: training steps between two prunings. null: 100."""
    prune_start: float | None = Field(default=None, ge=0, lt=1)
    """gmp: share of the training at which pruning starts. null: .25."""
    prune_end: float | None = Field(default=None, gt=0, le=1)
    """gmp: share of the training at which pruning reaches `density`. null: .6."""
    weight_gradients: Literal["masked", "dense"] | None = None
    """gmp: which gradients the FLOPs count. masked: those of the connections that remain, as in RigL's formula. dense:
    those of all weights, as most programs compute them. The training is the same. null: masked."""
    rounds: int | None = Field(default=None, ge=1)
    """lottery: number of prunings. null: 10."""
    epochs_per_round: int | None = Field(default=None, ge=1)
    """lottery: epochs before each pruning. The epochs of the training that remain after the last one train the ticket.
    null: 5."""
    drop_share: float | None = Field(default=None, gt=0, lt=1)
    """lottery: share of the remaining connections that each pruning removes. null: .2."""

    @model_validator(mode="before")
    @classmethod
    def _rule_values(cls, values: Any) -> Any:
        return with_rule_values(values, RULE_VALUES, default="gmp")

    @model_validator(mode="after")
    def _consistent(self) -> "WeightPruningParameters":
        if self.prune_start is not None and self.prune_end is not None and self.prune_start >= self.prune_end:
            raise ValueError(f"prune_start: {self.prune_start:g} is not before prune_end: {self.prune_end:g}")
        return self

    @property
    def dense(self) -> DensePart:
        """Whether the FLOPs count the gradients of removed weights."""
        return "gradients" if self.weight_gradients == "dense" else "nothing"

    def final_density(self) -> float:
        """Return the share of the entries of all sparse weights that remain at the end."""
        if self.rounds is not None and self.drop_share is not None:
            return float((1 - self.drop_share) ** self.rounds)
        assert self.density is not None, "every other rule has a density"
        return self.density

    def connections_at(self, density: float, model: ModelParameters, task: Task) -> dict[str, int]:
        """Return weight -> number of its connections at a density.

        With distribution: global only the total is known before the training; the numbers are those of uniform.

        Args:
            density: of all sparse weights together.
            model: the model before the first step.
            task: shapes of inputs and outputs.
        """
        distribution = self.distribution if self.distribution in ("er", "erk") else "uniform"
        return num_connections(self.sparse_weights(model, task), density, distribution)

    def connections(self, model: ModelParameters, task: Task) -> dict[str, int]:
        """Return weight -> number of its connections at the end of the training; weights that stay dense are absent.

        With distribution: global only the total is known before the training; the numbers are those of uniform.

        Args:
            model: the model before the first step.
            task: shapes of inputs and outputs.
        """
        return self.connections_at(self.final_density(), model, task)

    def mean_connections(self, model: ModelParameters, task: Task, course: Course) -> dict[str, float]:
        """Return weight -> mean number of its connections over all training steps, all rounds of lottery included.

        Args:
            model: the model before the first step.
            task: shapes of inputs and outputs.
            course: length of the training.
        """
        densities = {0: 1.0} | self.prunings(course.total_steps, course.steps_per_epoch)
        counts = {step: self.connections_at(density, model, task) for step, density in densities.items()}
        return mean_counts(counts, course.total_steps)

    def prunings(self, total_steps: int, steps_per_epoch: int) -> dict[int, float]:
        """Return training steps done, ascending -> the density that the pruning after them leaves.

        Args:
            total_steps: training steps of the whole training.
            steps_per_epoch: training steps of one epoch.
        """
        final = self.final_density()
        if self.rounds is not None and self.epochs_per_round is not None and self.drop_share is not None:
            steps = self.epochs_per_round * steps_per_epoch
            return {number * steps: (1 - self.drop_share) ** number for number in range(self.rounds + 1)}
        if self.prune_start is None or self.prune_end is None or self.update_every is None:
            return {0: final}
        start, end = self.prune_start * total_steps, self.prune_end * total_steps
        return {
            step: cubic_density(step, 1.0, final, start, end)
            for step in range(0, last_pruning(end, self.update_every) + 1, self.update_every)
            if step > start
        }

    def match_problems(self) -> list[str]:
        """Return why no arm can be matched to a lottery ticket: it has another size in each round."""
        if self.rounds is None:
            return []
        return [
            "structure: weight_pruning with rule: lottery trains a network of another size in each of its rounds, so "
            "that it has no one size to be matched to; match to the dense arm, or give the widths"
        ]

    def problems(self, model: ModelParameters, task: Task, course: Course) -> list[str]:
        """Return why weights cannot be pruned: there are none, too few would remain, or training is too short.

        Args:
            model: the model before the first step.
            task: shapes of inputs and outputs.
            course: length of the training.
        """
        problems = weight_problems("weight_pruning", self.sparse_layers, model, task)
        return problems or [
            *self._cut_off_problems(model, task),
            *self._gradual_problems(course),
            *self._round_problems(course),
        ]

    def _cut_off_problems(self, model: ModelParameters, task: Task) -> list[str]:
        weights, density = self.sparse_weights(model, task), self.final_density()
        if self.distribution != "global":
            return cut_off_problems("weight_pruning", density, weights, self.connections(model, task))
        connections = round(density * sum(weight.size for weight in weights))
        units = sum(weight.shape[0] for weight in weights)
        if connections >= units:
            return []
        return [
            f"weight_pruning: density: {density:g} leaves {connections} connections to {units} units, so that at least "
            f"{units - connections} of them would be cut off; give a higher density, or wider layers"
        ]

    def _gradual_problems(self, course: Course) -> list[str]:
        if self.rule != "gmp" or self.prune_end is None or self.update_every is None:
            return []
        total = course.total_steps
        last = last_pruning(self.prune_end * total, self.update_every)
        if last < total:
            return []
        return [
            f"weight_pruning: prune_end: {self.prune_end:g} and update_every: {self.update_every} put the last pruning "
            f"at step {last}, and training ends at step {total}; density: {self.density:g} would not be reached"
        ]

    def _round_problems(self, course: Course) -> list[str]:
        if self.rounds is None or self.epochs_per_round is None:
            return []
        problems, last = [], self.rounds * self.epochs_per_round
        if last >= course.epochs:
            problems.append(
                f"weight_pruning: rounds: {self.rounds} of {self.epochs_per_round} epochs end after epoch {last}, and "
                f"training ends after {course.epochs:g} epochs, so that the ticket would not be trained; give "
                f"epochs: {last + self.epochs_per_round}"
            )
        if not course.has_constant_rate:
            problems.append(
                "weight_pruning: rule: lottery needs the same learning rates in every round, and a schedule spans all "
                "rounds; give training: {schedule: constant, warmup_steps: 0}"
            )
        return problems
