"""Which of the many shapes that a structure may make are timed; and shares of units as whole numbers. Free of torch."""

import math
from collections.abc import Sequence

from hornlib.parameters import ModelParameters, Task

__all__ = ["rounded_down", "spread_over"]

MOST_SHAPES = 7
"""Shapes whose step times are calibrated, the first one among them; one more if the last one is between two others."""

ROUNDING = 1e-9
"""Added before rounding down: .29 x 100 is 28.999999999999996."""


def rounded_down(number: float) -> int:
    """Return the largest whole number that is not above a product of a share and a number of units."""
    return math.floor(number + ROUNDING)


def spread_over(
    first: ModelParameters, models: Sequence[ModelParameters], task: Task
) -> list[ModelParameters]:
    """Return at most seven of the models: the smallest, the largest, the last, and others evenly spread between them.

    The spread is that of forward FLOPs. The first model has been timed already, and counts where it is the smallest or
    the largest one. All models are returned if there are six or fewer.

    Args:
        first: the model before these.
        models: in their order; the first one may return among them.
        task: shapes of inputs and outputs.
    """
    shapes = [first, *dict.fromkeys(model for model in models if model != first)]
    if len(shapes) <= MOST_SHAPES:
        return shapes[1:]
    flops = [model.forward_flops(task).total for model in shapes]
    low, high, parts = min(flops), max(flops), MOST_SHAPES - 1
    chosen = {shapes.index(models[-1])}
    for part in range(parts + 1):
        target = low + (high - low) * part / parts
        chosen.add(min(range(len(shapes)), key=lambda index: (abs(flops[index] - target), -index)))
    return [shapes[index] for index in sorted(chosen - {0})]
