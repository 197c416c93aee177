"""Learning-rate schedules. Each returns a factor of the peak learning rate."""

import math
from collections.abc import Callable

from hornlib.parameters.training import TrainingParameters

__all__ = ["SCHEDULES", "rate_factor"]


def constant(training: TrainingParameters, progress: float, epoch: float) -> float:
    """1 throughout."""
    return 1.0


def cosine(training: TrainingParameters, progress: float, epoch: float) -> float:
    """(1 + cos(pi progress)) / 2: from 1 to 0 over training."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def step(training: TrainingParameters, progress: float, epoch: float) -> float:
    """1, then 0.1 from half of training on, then 0.01 from three quarters on."""
    return 0.1 ** ((progress >= 0.5) + (progress >= 0.75))


def linear(training: TrainingParameters, progress: float, epoch: float) -> float:
    """1 + (end_factor - 1) progress: from 1 to `end_factor` over training, as torch.optim.lr_scheduler.LinearLR."""
    return 1 + (training.end_factor - 1) * progress


def milestones(training: TrainingParameters, progress: float, epoch: float) -> float:
    """`milestone_factor` to the power of the milestones reached, as torch.optim.lr_scheduler.MultiStepLR."""
    return training.milestone_factor ** sum(epoch >= milestone for milestone in training.milestones or ())


SCHEDULES: dict[str, Callable[[TrainingParameters, float, float], float]] = {
    "constant": constant,
    "cosine": cosine,
    "step": step,
    "linear": linear,
    "milestones": milestones,
}
"""Name -> factor, given the share of the updates after the warm-up that are done, and the epochs done with it."""


def rate_factor(training: TrainingParameters, update: int, total_steps: int) -> float:
    """Return the learning rate of an update as a share of the peak learning rate.

    Args:
        training: `schedule` with its fields, `warmup_steps` and `epochs`.
        update: 0 for the first update.
        total_steps: updates of the whole training. The schedule runs over the updates after the warm-up.
    """
    if update < training.warmup_steps:
        return (update + 1) / (training.warmup_steps + 1)
    progress = (update - training.warmup_steps) / max(1, total_steps - training.warmup_steps)
    return SCHEDULES[training.schedule](training, progress, update * training.epochs / total_steps)
