"""Learning-rate schedules. Each returns a factor of the peak learning rate."""

import math
from collections.abc import Callable

from hornlib.parameters.training import TrainingParameters

__all__ = ["SCHEDULES", "rate_factor"]


def constant(progress: float) -> float:
    """1 throughout."""
    return 1.0


def cosine(progress: float) -> float:
    """(1 + cos(pi progress)) / 2: from 1 to 0 over training."""
    return 0.5 * (1 + math.cos(math.pi * progress))


def step(progress: float) -> float:
    """1, then 0.1 from half of training on, then 0.01 from three quarters on."""
    return 0.1 ** ((progress >= 0.5) + (progress >= 0.75))


SCHEDULES: dict[str, Callable[[float], float]] = {"constant": constant, "cosine": cosine, "step": step}


def rate_factor(training: TrainingParameters, update: int, total_steps: int) -> float:
    """Return the learning rate of an update as a share of the peak learning rate.

    Args:
        training: `schedule` and `warmup_steps`.
        update: 0 for the first update.
        total_steps: updates of the whole training. The schedule runs over the updates after the warm-up.
    """
    if update < training.warmup_steps:
        return (update + 1) / (training.warmup_steps + 1)
    after = max(1, total_steps - training.warmup_steps)
    return SCHEDULES[training.schedule]((update - training.warmup_steps) / after)
