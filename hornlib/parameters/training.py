"""Parameters of training, and the numbers of steps that follow from them. This module does not import torch."""

import math
import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from hornlib.parameters.base import Parameters, Widths

__all__ = ["TrainingParameters"]


_START = re.compile(r"[a-z][a-z0-9_]{0,63}\.[^/\\]{1,64}|[a-z0-9_]+-[a-z0-9_]+(-[a-z0-9_]+)?-[0-9a-f]{12}")

LEAST_MOMENTUM = 0.1
"""Smallest weight of the newest batch in the running statistics of batch norm. It is the default of torch."""


FOREIGN: dict[str, tuple[str, ...]] = {
    "adamw": ("momentum", "acceleration", "l1", "threshold_factor"),
    "sgd": ("beta1", "beta2", "l1", "threshold_factor"),
    "beta_lasso": ("beta1", "beta2", "weight_decay"),
}
"""Optimiser -> fields that mean nothing to it."""


class TrainingParameters(Parameters):
    """Training of a network. One step is one update on one batch."""

    epochs: int = Field(default=20, ge=1)
    """Number of passes over the training set."""
    steps: int | None = Field(default=None, ge=1)
    """Number of training steps. If it is given, `epochs` has no effect."""
    batch_size: int = Field(default=128, ge=1)
    """Number of examples in a batch. If it exceeds the training set, every batch is the whole training set."""
    optimizer: Literal["adamw", "sgd", "beta_lasso"] = "adamw"
    """Optimiser. adamw: AdamW. sgd: stochastic gradient descent with momentum. beta_lasso: stochastic gradient descent
    without momentum and with an L1 term, which sets small weights to exactly 0 after every step (Neyshabur 2020)."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak learning rate of the schedule."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Coefficient of weight decay. adamw decouples it from the gradient and multiplies it by the learning rate. sgd
    adds it, times the weights, to the gradient."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay rate of the first moment. Only adamw uses it."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay rate of the second moment. Only adamw uses it."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Momentum coefficient. Only sgd uses it."""
    acceleration: Literal["none", "nesterov"] = "nesterov"
    """Kind of momentum: Nesterov's, or plain momentum with none. Only sgd uses it."""
    l1: float = Field(default=0.0, ge=0)
    """Coefficient lambda of the L1 term: each step moves a weight by the learning rate times lambda towards 0. Only
    beta_lasso uses it, and needs it. Biases, and scales of norms, have no L1 term."""
    threshold_factor: float = Field(default=50.0, ge=0)
    """Factor beta of the threshold: weights of at most beta lambda are 0 after each step, whatever the learning rate.
    1 is close to the LASSO; 50 is the published choice (Neyshabur 2020). Only beta_lasso uses it."""
    schedule: Literal["constant", "cosine", "step", "linear", "milestones"] = "cosine"
    """Schedule of the learning rate after the warm-up. constant keeps the peak. cosine falls to 0 along half a cosine.
    step multiplies the rate by 0.1 at 50 % of the steps that follow the warm-up, and again at 75 %. linear falls along
    a line to `end_factor` times the peak. milestones multiplies the rate by `milestone_factor` after each epoch of
    `milestones`."""
    end_factor: float = Field(default=0.0, ge=0, le=1)
    """Learning rate at the end of the training, as a factor of the peak. Only schedule: linear uses it."""
    milestones: Widths | None = None
    """Epochs after which the learning rate falls, written 77-154-230. Only schedule: milestones uses them."""
    milestone_factor: float = Field(default=0.1, gt=0, le=1)
    """Factor on the learning rate after each of the `milestones`."""
    warmup_steps: int = Field(default=0, ge=0)
    """Number of first steps over which the learning rate rises linearly. The schedule starts after them."""
    gradient_clip: float = Field(default=0.0, ge=0)
    """Upper limit of the gradient norm over all weights of a run. A larger gradient is scaled down. 0 disables it."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the target that is spread evenly over all classes. It applies to the training loss only."""
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    """Arithmetic of the forward and backward passes. fp32 is single precision. tf32 uses TensorFloat-32 in matrix
    products and convolutions, and needs CUDA. bf16 is autocast to bfloat16. Weights are fp32 in all cases."""
    batch_norm_statistics: Literal["precise", "recent", "exponential"] = "precise"
    """Mean and variance that batch norm uses in evaluations. Training does not depend on this choice. precise computes
    them at every evaluation from `precise_examples` training examples under the current weights (Wu and Johnson,
    Rethinking "Batch" in BatchNorm, arXiv 2105.07576, section 3). An evaluation then depends on the weights alone. The
    other two are running averages over past batches, which older weights have processed. They lag behind the weights,
    so that early accuracy shows this lag. recent has the momentum max(0.1, 9 / (step + 8)). From step 82 on, the
    batches are 9 steps old on average. exponential has torch's momentum of 0.1 and starts at mean 0 and variance 1."""
    precise_examples: int = Field(default=512, ge=2)
    """Number of training examples for the precise statistics. They are evenly spaced in the training split and the same
    for all seeds. A smaller training split is used whole."""
    evaluate_at_epochs: Widths | None = None
    """Epochs after which the network is evaluated in addition, written 1-2-5. It is always evaluated after the steps
    round(10^(k/12)) and after the last step."""
    evaluation_examples: int | None = Field(default=None, ge=1)
    """Largest number of validation examples, and of test examples, in an evaluation before the last. The last
    evaluation uses all examples. null: every evaluation does."""
    start_from: str | None = None
    """Networks whose weights are the first weights, instead of a fresh draw: those that another arm ended with, written
    `<sweep>.<arm>`, or the name of its cell. Each seed starts from the run of the same seed, with its masks and running
    statistics and a new optimiser. An arm with several cells gives one cell for each on the same data with the same
    model. It needs keep_weights: last. Training FLOPs count on from those of the run that it starts from; steps,
    examples and seconds start at 0. null: fresh weights."""
    divergence_factor: float = Field(default=1e3, gt=1)
    """A run has diverged if its training loss is not finite. It has also diverged if that loss exceeds this factor
    times the first loss, or this factor if the first loss is below 1."""

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, values: Any) -> Any:
        if isinstance(values, dict) and "running_average" in values:
            raise ValueError(
                "running_average is now called batch_norm_statistics; valid: precise (the default), recent, exponential"
            )
        return values

    @model_validator(mode="before")
    @classmethod
    def _without_momentum(cls, values: Any) -> Any:
        """Fill in the momentum that beta_lasso has, which is none."""
        if isinstance(values, dict) and values.get("optimizer") == "beta_lasso":
            return {"momentum": 0.0, "acceleration": "none", **values}
        return values

    @field_validator("start_from")
    @classmethod
    def _names_an_arm_or_a_cell(cls, start: str | None) -> str | None:
        if start is not None and not _START.fullmatch(start):
            raise ValueError("valid: <sweep>.<arm>, such as dense.mlp, or the name of a cell")
        return start

    @model_validator(mode="after")
    def _consistent(self) -> "TrainingParameters":
        for key in FOREIGN[self.optimizer]:
            default = type(self).model_fields[key].default
            if getattr(self, key) != default:
                raise ValueError(
                    f"{key} means nothing to optimizer: {self.optimizer}; leave it out (its default is {default})"
                )
        for problem in (*self._beta_lasso_problems(), *self._schedule_problems()):
            raise ValueError(problem)
        if self.batch_norm_statistics != "precise" and self.precise_examples != 512:
            raise ValueError(
                f"precise_examples means nothing to batch_norm_statistics: {self.batch_norm_statistics}; leave it out"
            )
        if self.acceleration == "nesterov" and self.optimizer == "sgd" and self.momentum == 0:
            raise ValueError("acceleration: nesterov needs a momentum above 0")
        return self

    def _beta_lasso_problems(self) -> list[str]:
        """Return why the fields of beta_lasso do not fit, each one sentence."""
        if self.optimizer != "beta_lasso":
            return []
        problems = []
        if self.momentum:
            problems.append(
                f"optimizer: beta_lasso has no momentum, got momentum: {self.momentum:g}; give 0, or leave it out"
            )
        if self.acceleration != "none":
            problems.append(
                f"optimizer: beta_lasso has no momentum, got acceleration: {self.acceleration}; give none, or leave it "
                "out"
            )
        if self.l1 == 0:
            problems.append("optimizer: beta_lasso needs `l1:`, the coefficient of its L1 term, above 0")
        return problems

    def _schedule_problems(self) -> list[str]:
        """Return why the fields of the schedule do not fit, each one sentence."""
        uses = {"end_factor": "linear", "milestones": "milestones", "milestone_factor": "milestones"}
        problems = [
            f"{key} means nothing to schedule: {self.schedule}; leave it out, or give its default: "
            f"{'null' if default is None else default}"
            for key, schedule in uses.items()
            if self.schedule != schedule
            and getattr(self, key) != (default := type(self).model_fields[key].default)
        ]
        if self.schedule != "milestones" or problems:
            return problems
        epochs = self.milestones or ()
        if not epochs:
            problems.append("schedule: milestones needs `milestones:`, the epochs after which the rate falls")
        elif list(epochs) != sorted(set(epochs)):
            problems.append(f"milestones: {'-'.join(map(str, epochs))} are not ascending")
        elif self.steps is not None:
            problems.append("milestones are epochs; give `epochs:` instead of `steps:`")
        elif epochs[-1] >= self.epochs:
            problems.append(f"milestones: {epochs[-1]} is not before the last of {self.epochs} epochs")
        return problems

    @property
    def update_rule(self) -> str:
        """The update rule, a key of `hornlib.models.flops.UPDATE_FLOPS`: adamw, sgd_nesterov, sgd or beta_lasso."""
        if self.optimizer == "sgd" and self.acceleration == "nesterov":
            return "sgd_nesterov"
        return self.optimizer

    def running_momentum(self, step: int) -> float:
        """Return the weight of the newest batch in the running statistics of batch norm.

        With `recent` it decays polynomially, momentum = (eta + 1) / (step + eta) with eta = 8. It stays at torch's 0.1
        from step 82 on. With `precise` the running statistics are updated in the same way, but no evaluation uses them.

        Args:
            step: number of the training step, 1 for the first.

        Reference:
            Shamir and Zhang, Stochastic gradient descent for non-smooth optimization, ICML 2013, section 3.
        """
        if self.batch_norm_statistics == "exponential":
            return LEAST_MOMENTUM
        return max(LEAST_MOMENTUM, 9 / (step + 8))

    def steps_per_epoch(self, num_train: int) -> int:
        """Return the number of steps of one pass over `num_train` examples. The last batch may be smaller."""
        return math.ceil(num_train / self.batch_size)

    def total_steps(self, num_train: int) -> int:
        """Return the number of steps of the whole training, with `num_train` training examples."""
        return self.steps or self.epochs * self.steps_per_epoch(num_train)

    def evaluation_steps(self, num_train: int) -> list[int]:
        """Return the steps after which the network is evaluated, ascending.

        These are the steps round(10^(k/12)), the ends of the epochs `evaluate_at_epochs`, and the last step.

        Args:
            num_train: number of training examples.
        """
        last = self.total_steps(num_train)
        logarithmic = {round(10 ** (k / 12)) for k in range(math.floor(12 * math.log10(last)) + 1)}
        epochs = {epoch * self.steps_per_epoch(num_train) for epoch in self.evaluate_at_epochs or ()}
        return sorted(step for step in logarithmic | epochs | {last} if step <= last)
