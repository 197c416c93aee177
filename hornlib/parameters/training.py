"""Parameters of training, and the steps that follow from them; free of torch."""

import math
from typing import Any, Literal

from pydantic import Field, model_validator

from hornlib.parameters.base import Parameters, Widths

__all__ = ["TrainingParameters"]


LEAST_MOMENTUM = 0.1
"""Smallest share of the newest batch in batch norm's running statistics; torch's default."""


class TrainingParameters(Parameters):
    """How a network is trained; one step is one batch."""

    epochs: int = Field(default=20, ge=1)
    """Passes over the training set."""
    steps: int | None = Field(default=None, ge=1)
    """Number of steps; where given, training stops there, whatever `epochs` says."""
    batch_size: int = Field(default=128, ge=1)
    """Examples a step; larger than the training set means full batch."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    """adamw (decoupled weight decay) or sgd with momentum."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Largest learning rate of the schedule."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled for adamw (times the learning rate), added to the gradient for sgd."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """adamw: decay of the first moment."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """adamw: decay of the second moment."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """sgd: momentum."""
    acceleration: Literal["none", "nesterov"] = "nesterov"
    """sgd: Nesterov's look-ahead or plain momentum."""
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    """Learning rate over training: constant, half a cosine to 0, or times 0.1 at 50 % and at 75 %."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the learning rate rises linearly from 0 before the schedule."""
    gradient_clip: float = Field(default=0.0, ge=0)
    """Largest global gradient norm of a lane; 0 clips nothing."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the target spread evenly over the classes; in the training loss only."""
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    """Arithmetic of forward and backward: fp32; tf32 products (CUDA); bf16 autocast. Weights stay fp32."""
    batch_norm_statistics: Literal["precise", "recent", "exponential"] = "precise"
    """Mean and variance that batch norm uses in evaluations; training is the same under all three. precise: those of
    `precise_examples` training examples under the present weights, computed anew at every evaluation (Wu and Johnson,
    Rethinking "Batch" in BatchNorm, arXiv 2105.07576, section 3), so that an evaluation depends on the weights alone.
    The other two are averages over past batches, which older weights have processed: early accuracy then shows the
    lag of the average and not what the weights compute. recent: momentum max(0.1, 9 / (step + 8)); from step 82 on
    the batches are 9 steps old on average. exponential: torch's momentum of 0.1 from mean 0 and variance 1."""
    precise_examples: int = Field(default=512, ge=2)
    """Training examples of the precise statistics, evenly spaced, the same for all seeds; all if there are fewer."""
    evaluate_at_epochs: Widths | None = None
    """Further evaluations at the end of these epochs, written 1-2-5; besides steps round(10^(k/12)) and the last."""
    evaluation_examples: int | None = Field(default=None, ge=1)
    """Most validation, and most test, examples of an evaluation in between; the last evaluation takes all."""
    divergence_factor: float = Field(default=1e3, gt=1)
    """A lane whose training loss is not finite, or above this multiple of its first loss (and of 1), has diverged."""

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, values: Any) -> Any:
        if isinstance(values, dict) and "running_average" in values:
            raise ValueError(
                "running_average is now called batch_norm_statistics; valid: precise (the default), recent, exponential"
            )
        return values

    @model_validator(mode="after")
    def _consistent(self) -> "TrainingParameters":
        foreign = {"adamw": ("momentum", "acceleration"), "sgd": ("beta1", "beta2")}[self.optimizer]
        for key in foreign:
            default = type(self).model_fields[key].default
            if getattr(self, key) != default:
                raise ValueError(
                    f"{key} means nothing to optimizer: {self.optimizer}; leave it out (its default is {default})"
                )
        if self.batch_norm_statistics != "precise" and self.precise_examples != 512:
            raise ValueError(
                f"precise_examples means nothing to batch_norm_statistics: {self.batch_norm_statistics}; leave it out"
            )
        if self.acceleration == "nesterov" and self.optimizer == "sgd" and self.momentum == 0:
            raise ValueError("acceleration: nesterov needs a momentum above 0")
        return self

    @property
    def update_rule(self) -> str:
        """What the optimiser runs, a key of `hornlib.models.flops.UPDATE_FLOPS`: adamw, sgd_nesterov or sgd."""
        if self.optimizer == "sgd" and self.acceleration == "nesterov":
            return "sgd_nesterov"
        return self.optimizer

    def running_momentum(self, step: int) -> float:
        """Return the share of the newest batch in batch norm's running statistics; `step` is 1 for the first.

        Polynomial decay, momentum = (eta + 1) / (step + eta) with eta = 8, until torch's 0.1 is reached at step 82.
        Under `precise` the running statistics are kept in the same way, and no evaluation uses them.

        Reference:
            Shamir and Zhang, Stochastic gradient descent for non-smooth optimization, ICML 2013, section 3.
        """
        if self.batch_norm_statistics == "exponential":
            return LEAST_MOMENTUM
        return max(LEAST_MOMENTUM, 9 / (step + 8))

    def steps_per_epoch(self, num_train: int) -> int:
        """Steps of one pass over `num_train` examples; the last batch may be smaller."""
        return math.ceil(num_train / self.batch_size)

    def total_steps(self, num_train: int) -> int:
        """Steps of the whole training."""
        return self.steps or self.epochs * self.steps_per_epoch(num_train)

    def evaluation_steps(self, num_train: int) -> list[int]:
        """Steps after which the network is evaluated: round(10^(k/12)), the asked-for epochs, the last."""
        last = self.total_steps(num_train)
        logarithmic = {round(10 ** (k / 12)) for k in range(math.floor(12 * math.log10(last)) + 1)}
        epochs = {epoch * self.steps_per_epoch(num_train) for epoch in self.evaluate_at_epochs or ()}
        return sorted(step for step in logarithmic | epochs | {last} if step <= last)
