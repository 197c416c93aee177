"""The base of every structure's parameters; free of torch."""

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

from hornlib.parameters.base import Cost, ModelParameters, Parameters, Task

__all__ = ["Course", "DensePart", "PastEvent", "StructureParameters"]

DensePart = Literal["nothing", "gradients", "moments"]
"""What masked weights have at every step besides the value 0: nothing, gradients, or gradients and moments."""


class Course(NamedTuple):
    """The part of the training that decides whether a structure fits it.

    Attributes:
        epochs: passes over the training set in the whole training.
        steps_per_epoch: training steps of one epoch.
        num_validation: examples of the validation split.
        has_constant_rate: whether the learning rate is the same at every step.
        longest_pause: largest number of training steps between an evaluation and the next.
        batch_size: examples of a full batch; 0: not known.
    """

    epochs: float
    steps_per_epoch: int
    num_validation: int
    has_constant_rate: bool = True
    longest_pause: int = 1
    batch_size: int = 0

    @property
    def total_steps(self) -> int:
        """Training steps of the whole training."""
        return round(self.epochs * self.steps_per_epoch)


class PastEvent(NamedTuple):
    """What a run file says of one event, without its run and step.

    Attributes:
        kind: a key of `hornlib.structures.events.EVENT_KINDS`.
        position: of the layer, from 0 at the input; -1 where no layer is concerned.
        number: how many parts changed, such as units; NaN where the kind says it.
    """

    kind: str
    position: int
    number: float


class StructureParameters(Parameters):
    """Parameters of a structure, which changes a network while it trains.

    A subclass sets `name` (a Literal equal to its key in `hornlib.structures.STRUCTURES`) and the class variable
    `code`: the place of its `hornlib.structures.interface.Structure` as `module:class`. The class is imported only when
    a job trains, and built as `Code(parameters)`. A structure that changes nothing has the code "".
    """

    code: ClassVar[str]

    name: str

    @property
    def dense(self) -> DensePart:
        """What every step computes for masked weights too; the FLOPs count it.

        nothing: gradients are masked before the optimiser sees them. gradients: the same, but the FLOPs count all of
        them. moments: the optimiser sees dense gradients, and the weights are masked after the update. The norm that
        `gradient_clip` limits is that of masked gradients all the same.
        """
        return "nothing"

    @property
    def adds_weights(self) -> bool:
        """Whether weights are added while the network trains; they start at 0 or near it."""
        return False

    def connections(self, model: ModelParameters, task: Task) -> dict[str, int]:
        """Return weight -> number of its connections at the end of the training; weights that stay dense are absent.

        Args:
            model: the model before the first step.
            task: shapes of inputs and outputs.
        """
        return {}

    def mean_connections(self, model: ModelParameters, task: Task, course: Course) -> dict[str, float]:
        """Return weight -> mean number of its connections over all training steps, as `connections` lists them.

        A structure whose number of connections changes while it trains overrides it. Training FLOPs follow from it.

        Args:
            model: the model before the first step.
            task: shapes of inputs and outputs.
            course: length of the training.
        """
        return {name: float(number) for name, number in self.connections(model, task).items()}

    def dense_gradient_share(self, course: Course) -> float:
        """Return the share of the training steps that compute the gradients of masked weights too.

        A structure whose updates look at dense gradients overrides it. Training FLOPs follow from it.

        Args:
            course: length of the training.
        """
        return float(self.dense != "nothing")

    def planned_models(
        self, model: ModelParameters, task: Task, course: Course
    ) -> list[tuple[int, ModelParameters]]:
        """Return the successive models of the training, each with the number of training steps before it, from 0 on.

        Training FLOPs follow from it. A structure that changes shapes by a schedule overrides it. Where the training
        decides, it is an estimate.

        Args:
            model: the model before the first step.
            task: shapes of inputs and outputs.
            course: length of the training.
        """
        return [(0, self.trained_model(model, task))]

    def trained_model(self, model: ModelParameters, task: Task) -> ModelParameters:
        """Return the model of the first training step, which the structure makes before that step.

        Masks keep the model. A structure that stores connections alone makes another one.

        Args:
            model: the model before the first step.
            task: shapes of inputs and outputs.
        """
        return model

    def cost(self, model: ModelParameters, task: Task) -> Cost:
        """Return size and work of one forward pass at the end of the training; each product counts its connections.

        Args:
            model: the model before the first step.
            task: shapes of inputs and outputs.
        """
        total, connections = model.cost(task), self.connections(model, task)
        for weight in model.weights(task) if connections else []:
            removed = weight.size - connections.get(weight.name, weight.size)
            total += Cost(-removed, -2 * weight.uses * removed)
        return total

    def problems(self, model: ModelParameters, task: Task, course: Course) -> list[str]:
        """Return reasons why the structure does not fit, each one sentence in the configuration's words.

        Args:
            model: the model before the first step.
            task: shapes of inputs and outputs.
            course: epochs, steps and validation examples of the training.
        """
        return []

    def match_problems(self) -> list[str]:
        """Return reasons why no arm can be matched to an arm with this structure, each one sentence."""
        return []

    def rival_problems(self) -> list[str]:
        """Return reasons why an arm with this structure cannot be matched to another arm, each one sentence."""
        return []

    def deepest(self, model: ModelParameters, task: Task) -> ModelParameters:
        """Return the deepest and widest model that the structure may make of a model.

        Args:
            model: before the first step.
            task: shapes of inputs and outputs.
        """
        return model

    def reachable(self, model: ModelParameters, task: Task) -> list[ModelParameters]:
        """Return the other models that the structure may make of a model; empty if it changes no shape.

        Their step times are calibrated. A structure that may make very many lists some of them, from the first to the
        last; the step times of models between them are interpolated in forward FLOPs.

        Args:
            model: before the first step.
            task: shapes of inputs and outputs.
        """
        return []

    def replayed(self, model: ModelParameters, events: Sequence[PastEvent]) -> ModelParameters:
        """Return the model after the events of one step.

        Args:
            model: the model before the events.
            events: in the order of the run file.
        """
        return model

    def remarks(self, events: int, runs: int) -> list[str]:
        """Return sentences that a job prints at its end, such as that no event ever happened.

        Args:
            events: number of changes in all runs.
            runs: number of trained runs.
        """
        return []
