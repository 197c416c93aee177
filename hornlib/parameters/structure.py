"""The base of every structure's parameters; free of torch."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from hornlib.parameters.base import ModelParameters, Parameters, Task

__all__ = ["Course", "StructureParameters"]


class Course(NamedTuple):
    """What a structure has to know of the training.

    Attributes:
        epochs: passes over the training set of the whole training.
        steps_per_epoch: training steps of one.
        num_validation: examples of the validation part.
    """

    epochs: float
    steps_per_epoch: int
    num_validation: int


class StructureParameters(Parameters):
    """Parameters of what changes a network while it trains.

    A subclass sets `name` (a Literal equal to its key in `hornlib.structures.STRUCTURES`) and the class variable
    `code`: where its `hornlib.structures.interface.Structure` stands, as `module:class`, imported only when a job
    trains, and built as `Code(parameters)`; "" for one that changes nothing.
    """

    code: ClassVar[str]

    name: str

    def problems(self, model: ModelParameters, task: Task, course: Course) -> list[str]:
        """Return reasons why the structure does not fit, each one sentence in the configuration's words.

        Args:
            model: whose networks are to be changed.
            task: shapes of inputs and outputs.
            course: of the training.
        """
        return []

    def deepest(self, model: ModelParameters) -> ModelParameters:
        """Return the model with the most layers that the structure may make of one."""
        return model

    def reachable(self, model: ModelParameters) -> list[ModelParameters]:
        """Return every other model that the structure may make of one; empty if it changes no shape."""
        return []

    def replayed(self, model: ModelParameters, events: Sequence[tuple[str, int]]) -> ModelParameters:
        """Return what a model became by the events of one moment.

        Args:
            model: before them.
            events: kind and position of each, in the order of the run file.
        """
        return model

    def remarks(self, events: int, runs: int) -> list[str]:
        """Return what a job says at its end about what never happened.

        Args:
            events: changes of all runs.
            runs: trained.
        """
        return []
