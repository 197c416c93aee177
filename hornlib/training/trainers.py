"""The table of trainers: how the runs of a chunk begin, train, and leave their networks."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from hornlib.data.loading import Splits
from hornlib.training.chunk import Chunk, Run, start_lanes
from hornlib.training.evolving import evolve_chunk, evolved_states, start_populations
from hornlib.training.kept_weights import RunState, run_states
from hornlib.training.loop import train_chunk, warm_up

__all__ = ["TRAINERS", "Trainer"]


class Trainer(NamedTuple):
    """One way to train.

    Attributes:
        start: returns the chunk of some runs before its first step, from the runs and the device.
        warm_up: makes what the first step of a process would have to make, so that it is not timed.
        train: trains a chunk to its last step, from the chunk, the data, and what is called after a step and after an
            evaluation.
        states: returns the networks that a chunk ended with, from the chunk and the data.
    """

    start: Callable[[Sequence[Run], torch.device], Chunk]
    warm_up: Callable[[Sequence[Run], Splits], None]
    train: Callable[..., None]
    states: Callable[[Any, Splits], list[RunState]]


TRAINERS: dict[str, Trainer] = {
    "gradient": Trainer(start_lanes, warm_up, train_chunk, run_states),
    "evolution": Trainer(start_populations, lambda rows, splits: None, evolve_chunk, evolved_states),
}
"""Name, as in `ModelParameters.trainer` -> trainer."""
