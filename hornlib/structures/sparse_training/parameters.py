"""Parameters of sparse training; free of torch."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from hornlib.parameters import ModelParameters, Task, Weight, Widths
from hornlib.parameters.structure import Course, DensePart
from hornlib.structures.connections.distribution import (
    cut_off_problems,
    num_connections,
    weight_problems,
)
from hornlib.structures.connections.parameters import SparseStructureParameters
from hornlib.structures.connections.rule_fields import with_rule_values
from hornlib.structures.connections.schedules import cosine_share, cubic_density, mean_counts
from hornlib.structures.sparse_training.problems import (
    chain_problems,
    restart_problems,
    storage_problems,
    update_problems,
)
from hornlib.structures.sparse_training.rule_values import COMPRESSED_RULES, RULE_VALUES

__all__ = ["SparseTrainingParameters"]


class SparseTrainingParameters(SparseStructureParameters):
    """Train with few connections: masks are drawn before the first step, and a rule may rewire them later.

    A weight is 0 where its mask is False. Each update drops connections and grows others, at most as many, so that the
    total stays exactly as asked (granet: falls as asked). Biases, and scales of norms, are never masked.

    Sources: SET (Mocanu et al. 2018, arXiv 1707.04780), RigL (Evci et al. 2020, 1911.11134), SNFS (Dettmers and
    Zettlemoyer 2019, 1907.04840), DSR (Mostafa and Wang 2019, 1902.05967), GraNet (Liu et al. 2021, 2106.10404), SRigL
    (Lasby et al. 2024, 2305.02299), CHTs (Zhang et al. 2025, 2501.19107).
    """

    code: ClassVar[str] = "hornlib.structures.sparse_training.structure:SparseTraining"

    name: Literal["sparse_training"] = "sparse_training"
    """Which structure this is."""
    density: float = Field(default=0.1, gt=0, le=1)
    """Share of the entries of all sparse weights together that are connections, at the end of the training."""
    distribution: Literal["uniform", "er", "erk", "given"] = "erk"
    """How the connections are distributed over the sparse weights. uniform: each has the same density. er: the density
    is proportional to (n_in + n_out) / (n_in n_out), so that small layers are denser. erk: the same with the size of a
    convolution's kernel, (n_in + n_out + w + h) / (n_in n_out w h). given: it is
    proportional to `proportions`. A density that would exceed 1 is 1, and the others share the rest."""
    proportions: Widths | None = None
    """With distribution: given, numbers to which the densities of the sparse weights are proportional, from the input
    to the output, written 1-11."""
    initial_scale: Literal["dense", "fan_in"] = "dense"
    """Scale of the first weights. dense: they are those of the dense network, as in SET and RigL, which shrinks signals
    at low density. fan_in: the weights of each unit are multiplied by sqrt(dense fan-in / its number of inputs)."""
    storage: Literal["masked", "compressed"] = "masked"
    """masked: weights are dense tensors with zeros, which saves no time. compressed: only connections are stored and
    multiplied. It takes fully connected layers and the rules static, set, rigl, srigl and chts."""
    start: Literal["random", "constant_fan_in", "correlated", "kept", "kept_units"] | None = None
    """Which places the first connections take. random: any. constant_fan_in: all units of a layer have as many inputs,
    chosen at random; their numbers differ by 1 where the layer's number of connections needs it. correlated: places
    between numbers of the examples with the largest correlations; unit u of every layer of an mlp stands for number u
    mod d of d. kept: those of the networks in `training.start_from`, which are fine-tuned. kept_units: any between
    units that are connected in those networks; they get fresh weights, and `density` is a share of these places (RigL+;
    rules static and rigl, in networks of fully connected layers). null: constant_fan_in for srigl, correlated for chts,
    else random."""
    rule: Literal["static", "set", "rigl", "snfs", "dsr", "granet", "srigl", "chts"] = "static"
    """static: the first masks stay. set: drops the smallest positive and the largest negative weights of each layer,
    and grows at random. rigl: drops the smallest weights of each layer, and grows where the dense gradient is largest.
    snfs: as rigl by the dense momentum, and layers with larger momentum get more connections. dsr: drops weights below
    a threshold of all layers, and layers with more surviving weights get more, at random. granet: prunes gradually from
    `initial_density`, and rewires as rigl. srigl: as rigl, but all units of a layer keep as many inputs, and units with
    few salient inputs lose them all. chts: drops by `drop_by` and `cut_off`, and grows by `grow_by`, in an mlp."""
    update_every: int | None = Field(default=None, ge=1)
    """Training steps between two updates. null: the rule's value (rigl 100, dsr 100, srigl 100, granet 1000), or
    `update_every_epochs`."""
    update_every_epochs: int | None = Field(default=None, ge=1)
    """Epochs between two updates. null: the rule's value (set 1, snfs 1, chts 1), or `update_every`."""
    drop_share: float | None = Field(default=None, gt=0, lt=1)
    """Share of the connections of a layer that the first update drops. null: the rule's value (set .3, rigl .3, srigl
    .3, chts .3, snfs .5, granet .5). dsr: share of all connections that its threshold is adapted to drop (.02)."""
    drop_schedule: Literal["constant", "cosine"] | None = None
    """How the share changes over the training. cosine: it falls from `drop_share` to 0 at `update_end`, along half a
    cosine. null: the rule's value (cosine for rigl, srigl, snfs and granet)."""
    update_end: float | None = Field(default=None, gt=0, le=1)
    """Share of the training after which no update takes place. null: the rule's value (rigl and srigl .75, else
    1)."""
    threshold: float | None = Field(default=None, gt=0)
    """The first threshold of dsr: weights of a smaller magnitude are dropped. null: .001."""
    threshold_tolerance: float | None = Field(default=None, gt=0, lt=1)
    """dsr doubles its threshold where it dropped fewer than 1 - this share of what it should drop, and halves it above
    1 + this share. null: .1."""
    initial_density: float | None = Field(default=None, gt=0, le=1)
    """The density before the first step; `density` is that at the end. null: the rule's value (granet .5)."""
    prune_start: float | None = Field(default=None, ge=0, lt=1)
    """Share of the training at which gradual pruning starts. null: the rule's value (granet 0)."""
    prune_end: float | None = Field(default=None, gt=0, le=1)
    """Share of the training at which gradual pruning reaches `density`. null: the rule's value (granet .5)."""
    min_salient: float | None = Field(default=None, ge=0, le=1)
    """srigl: share of a unit's inputs that must be salient. Salient connections are those that rigl would have after
    the update. A unit with a smaller share loses all inputs, and the other units of its layer share them. Units of the
    last layer never lose theirs. 0: no unit does. null: .3."""
    drop_by: Literal["magnitude", "soft_magnitude", "importance", "soft_importance"] | None = None
    """chts: by which score of its connections a layer drops the lowest. magnitude: |w|. importance: |w_ij| / sum over i
    of |w_ij| + |w_ij| / sum over j of |w_ij|. soft: connections that stay are drawn, with probabilities proportional to
    score^e. null: soft_magnitude."""
    first_exponent: float | None = Field(default=None, gt=0)
    """chts: e at the start of the training, for a soft drop. null: 1, or nothing if the drop is not soft."""
    last_exponent: float | None = Field(default=None, gt=0)
    """chts: e at `update_end`; between, it changes linearly. null: 3, or nothing if the drop is not soft."""
    cut_off: Literal["dropped", "kept"] | None = None
    """chts: whether connections that are on no path from an input to an output after the drop are dropped too, so that
    their layer grows as many more. null: dropped."""
    grow_by: Literal["random", "gradient", "soft_gradient", "paths", "soft_paths"] | None = None
    """chts: where connections grow. random: anywhere. gradient: where the dense gradient is largest. paths: between
    units that are joined by many paths of three connections within the layer. soft: places are drawn, with
    probabilities proportional to the score. null: soft_paths."""
    restart_at_epoch: int | None = Field(default=None, ge=1)
    """rigl: epoch after which the training starts a second time, which is RigL+. Units without inputs or outputs are
    gone then. The others get fresh weights and running statistics, new connections of the same distribution, and a new
    optimiser. `update_end` is a share of each of the two trainings. The learning rate, the momentum of the running
    statistics and the order of the examples go on as in one training. null: one training."""
    restart_density: float | None = Field(default=None, gt=0, le=1)
    """Share of the places between the units that are left which the second start connects. null: `density`."""

    @model_validator(mode="before")
    @classmethod
    def _rule_values(cls, values: Any) -> Any:
        filled = with_rule_values(values, RULE_VALUES, default="static")
        if not isinstance(filled, Mapping) or str(filled.get("drop_by", "soft")).startswith("soft"):
            return filled
        for name in ("first_exponent", "last_exponent"):
            if values.get(name) is not None:
                raise ValueError(f"{name} means nothing to drop_by: {filled['drop_by']}; leave it out")
        return {**filled, "first_exponent": None, "last_exponent": None}

    @model_validator(mode="after")
    def _consistent(self) -> "SparseTrainingParameters":
        if (self.proportions is not None) != (self.distribution == "given"):
            raise ValueError("distribution: given needs `proportions:`, and no other distribution takes them")
        if self.storage == "compressed" and self.rule not in COMPRESSED_RULES:
            raise ValueError(
                f"storage: compressed needs as many connections of each layer in every run, and rule: {self.rule} does "
                f"not keep them; valid: {', '.join(COMPRESSED_RULES)}"
            )
        if self.restart_at_epoch is not None and self.storage == "compressed":
            raise ValueError(
                "restart_at_epoch leaves another number of units in every run; give storage: masked"
            )
        if self.restart_density is not None and self.restart_at_epoch is None:
            raise ValueError("restart_density means nothing without restart_at_epoch; leave it out")
        if self.start == "kept_units" and (
            self.storage == "compressed" or self.rule not in ("static", "rigl") or self.restart_at_epoch
        ):
            raise ValueError(
                "start: kept_units takes rule: static or rigl, storage: masked and no restart_at_epoch, because every "
                "run has another number of units"
            )
        if self.start == "kept" and self.rule == "srigl":
            raise ValueError(
                "start: kept has units with different numbers of inputs; rule: srigl needs equal ones"
            )
        if self.initial_density is not None and self.initial_density < self.density:
            raise ValueError(f"initial_density: {self.initial_density:g} is below density: {self.density:g}")
        if self.prune_start is not None and self.prune_end is not None and self.prune_start >= self.prune_end:
            raise ValueError(f"prune_start: {self.prune_start:g} is not before prune_end: {self.prune_end:g}")
        return self

    @property
    def dense(self) -> DensePart:
        """What masked weights have at every step: snfs grows where moments are largest, and other rules look anew."""
        return "moments" if self.rule == "snfs" else "nothing"

    @property
    def adds_weights(self) -> bool:
        """Whether connections are added while the network trains: every rule but static rewires."""
        return self.rule != "static"

    @property
    def grows_by_gradient(self) -> bool:
        """Whether an update looks at the dense gradient of the coming batch, and replaces its training step."""
        return self.rule in ("rigl", "granet", "srigl") or (self.grow_by or "").endswith("gradient")

    def update_interval(self, steps_per_epoch: int) -> int | None:
        """Return the training steps between two updates; None for a rule without updates."""
        if self.update_every_epochs is not None:
            return self.update_every_epochs * steps_per_epoch
        return self.update_every

    def end_of_updates(self, total_steps: int) -> float:
        """Return the step at which updates end; none takes place there or later."""
        return 0.0 if self.update_end is None else self.update_end * total_steps

    def share_at(self, step: int, total_steps: int) -> float:
        """Return the share of a layer's connections that an update drops.

        Args:
            step: training steps done.
            total_steps: training steps of the whole training.
        """
        if self.drop_share is None or step >= self.end_of_updates(total_steps):
            return 0.0
        if self.drop_schedule == "constant":
            return self.drop_share
        return cosine_share(step, self.drop_share, self.end_of_updates(total_steps))

    def exponent_at(self, step: int, total_steps: int) -> float:
        """Return the power of the scores by which connections stay in a soft drop; 1 where there is none.

        Args:
            step: training steps done.
            total_steps: training steps of the whole training.
        """
        if self.first_exponent is None or self.last_exponent is None:
            return 1.0
        progress = min(step / self.end_of_updates(total_steps), 1.0)
        return self.first_exponent + progress * (self.last_exponent - self.first_exponent)

    def density_at(self, step: int, total_steps: int) -> float:
        """Return the share of the entries of all sparse weights that are connections after an update.

        Args:
            step: training steps done.
            total_steps: training steps of the whole training.
        """
        if self.initial_density is None or self.prune_start is None or self.prune_end is None:
            return self.density
        start, end = self.prune_start * total_steps, self.prune_end * total_steps
        return cubic_density(step, self.initial_density, self.density, start, end)

    def connections(self, model: ModelParameters, task: Task) -> dict[str, int]:
        """Return weight -> number of its connections at the end of the training; weights that stay dense are absent.

        snfs, dsr and granet move connections between layers. For them each number is that of the distribution; their
        total is exact. What a second start will leave is not known before the training; all units count.

        Args:
            model: the model before the first step.
            task: shapes of inputs and outputs.
        """
        return self.num_connections(self.sparse_weights(model, task), self.density)

    def num_connections(self, weights: Sequence[Weight], density: float) -> dict[str, int]:
        """Return weight -> number of its connections.

        Args:
            weights: the sparse weights.
            density: share of all their entries.
        """
        return num_connections(weights, density, self.distribution, self.proportions or ())

    def dense_gradient_share(self, course: Course) -> float:
        """Return the share of the training steps that compute dense gradients: the updates that grow by them.

        Args:
            course: length of the training.
        """
        interval = self.update_interval(course.steps_per_epoch)
        if not self.grows_by_gradient or interval is None:
            return super().dense_gradient_share(course)
        # The first masks, before step 0, are no update.
        updates = math.ceil(self.end_of_updates(course.total_steps) / interval) - 1
        return max(updates, 0) / course.total_steps

    def match_problems(self) -> list[str]:
        """Return why no arm can be matched to a network that starts a second time among the units that are left."""
        if self.restart_at_epoch is None and self.start != "kept_units":
            return []
        field = "restart_at_epoch" if self.restart_at_epoch is not None else "start: kept_units"
        return [
            f"structure: sparse_training with {field} leaves another number of connections in every run, so "
            "that it has no one size to be matched to; match to the same arm without a second start"
        ]

    def trained_model(self, model: ModelParameters, task: Task) -> ModelParameters:
        """Return the model of the first training step: storage: compressed makes one that stores connections alone.

        Args:
            model: the model before the first step.
            task: shapes of inputs and outputs.
        """
        if self.storage == "masked":
            return model
        return model.with_connections(self.connections(model, task), task) or model

    def mean_connections(self, model: ModelParameters, task: Task, course: Course) -> dict[str, float]:
        """Return weight -> mean number of its connections over all training steps; granet's fall from update to update.

        Args:
            model: the model before the first step.
            task: shapes of inputs and outputs.
            course: length of the training.
        """
        interval, total = self.update_interval(course.steps_per_epoch), course.total_steps
        if self.initial_density is None or interval is None:
            return super().mean_connections(model, task, course)
        weights = self.sparse_weights(model, task)
        counts = {
            step: self.num_connections(weights, self.density_at(step, total))
            for step in range(0, total, interval)
        }
        return mean_counts(counts, total)

    def initial_connections(self, model: ModelParameters, task: Task) -> dict[str, int]:
        """Return weight -> number of its connections before the first step.

        Args:
            model: the model before the first step.
            task: shapes of inputs and outputs.
        """
        density = self.density if self.initial_density is None else self.initial_density
        return self.num_connections(self.sparse_weights(model, task), density)

    def problems(self, model: ModelParameters, task: Task, course: Course) -> list[str]:
        """Return why the networks cannot be trained sparsely: no such weights, too few connections, or no update.

        Args:
            model: the model before the first step.
            task: shapes of inputs and outputs.
            course: length of the training.
        """
        problems = weight_problems("sparse_training", self.sparse_layers, model, task)
        if problems:
            return problems
        weights = self.sparse_weights(model, task)
        if self.proportions is not None and len(self.proportions) != len(weights):
            names = ", ".join(weight.name for weight in weights)
            return [
                f"sparse_training: proportions: got {len(self.proportions)} numbers for {len(weights)} weights: {names}"
            ]
        counts = self.connections(model, task)
        return [
            *cut_off_problems("sparse_training", self.density, weights, counts),
            *update_problems(self, course),
            *storage_problems(self, model, task),
            *restart_problems(self, course),
            *chain_problems(self, model, task),
        ]

    def remarks(self, events: int, runs: int) -> list[str]:
        """Return a remark if no connection was ever exchanged.

        Args:
            events: number of changes of all runs.
            runs: number of runs.
        """
        return []
