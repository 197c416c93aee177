"""The choice between learned and frozen recurrent weights, which recurrent models share; free of torch."""

from typing import Literal

__all__ = ["RecurrenceTraining", "refuse_nothing_frozen"]

RecurrenceTraining = Literal["learned", "frozen"]
"""learned; or frozen, which keeps the initial values: fixed dynamics that the other weights learn to use."""


def refuse_nothing_frozen(recurrence: str, recurrence_training: RecurrenceTraining) -> None:
    """Refuse to freeze a recurrence that does not exist.

    Args:
        recurrence: none, or the kind of recurrence.
        recurrence_training: learned or frozen.

    Raises:
        ValueError: `recurrence_training: frozen` beside `recurrence: none`.
    """
    if recurrence == "none" and recurrence_training == "frozen":
        raise ValueError("recurrence_training: frozen means nothing to recurrence: none; leave it out")
