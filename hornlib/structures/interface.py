"""The one interface between structures and the training loop."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from hornlib.models.lanes import LaneGroup
from hornlib.parameters import ModelParameters, Task
from hornlib.parameters.structure import StructureParameters

__all__ = ["Change", "Decision", "LaneView", "Structure", "Tensors", "make_structure"]

Tensors = dict[str, Tensor]
"""Name within the network -> tensor."""


class LaneView(NamedTuple):
    """What a structure sees, between two training steps, of the lanes that share one shape.

    Attributes:
        step: number of training steps done.
        epochs: number of passes over the training set done; a fraction within a pass.
        lanes: the networks. A structure must not change them.
        model: parameters of these networks.
        task: shapes of inputs and outputs.
        events: for each lane, the steps after which a structure changed it.
        batches: called with a number of batches (None: an epoch), it yields pairs of inputs (lanes, batch, ...) and
            targets (lanes, batch) or (lanes, batch, num_outputs). No training step uses these batches.
        loss: maps outputs (lanes, batch, num_outputs) and targets to the mean loss of every lane, (lanes,).
        gradient_flops: maps a model to the FLOPs of one lane's forward and backward pass over one such batch.
        evaluated: the evaluation steps so far.
        validation_loss: (lanes, len(evaluated)); NaN without a validation split.
    """

    step: int
    epochs: float
    lanes: LaneGroup
    model: ModelParameters
    task: Task
    events: Sequence[Sequence[int]]
    batches: Callable[[int | None], Iterator[tuple[Tensor, Tensor]]]
    loss: Callable[[Tensor, Tensor], Tensor]
    gradient_flops: Callable[[ModelParameters], int]
    evaluated: Sequence[int]
    validation_loss: Tensor


class Change(NamedTuple):
    """The same change of some lanes: they all become the same model in the same way.

    Attributes:
        lanes: indices in the view, ascending.
        kind: one word for what is done (inserted, pruned, ...), stored in the run file.
        layers: for every lane, position (from 0 at the input) and score of every layer that is concerned. The position
            is -1 where no layer is concerned; the score is NaN where no score decided.
        model: parameters of the networks from now on.
        parameters: their trained tensors, (lanes, ...).
        buffers: their fixed and running tensors, (lanes, ...). Missing ones start as in a new network.
        inherit: maps tensors (lanes, ...) named as in the old networks to tensors named as in the new ones. It is
            applied to each moment of the optimiser: tensors that survive keep theirs, new ones get zeros.
        rate_factor: factor on the learning rate from now on.
        fresh_optimizer: whether the optimiser's state starts anew.
    """

    lanes: Sequence[int]
    kind: str
    layers: Sequence[Sequence[tuple[int, float]]]
    model: ModelParameters
    parameters: Tensors
    buffers: Tensors
    inherit: Callable[[Tensors], Tensors]
    rate_factor: float = 1.0
    fresh_optimizer: bool = False


class Decision(NamedTuple):
    """What a structure decided.

    Attributes:
        changes: disjoint in their lanes.
        flops: for each lane of the view, the FLOPs that computing the decision took.
    """

    changes: Sequence[Change]
    flops: Sequence[int]


class Structure(Protocol):
    """Changes networks between the steps of the training loop. It stores nothing that a resumed process would lack."""

    def is_due(self, step: int, steps_per_epoch: int, evaluated: bool) -> bool:
        """Return whether `decide` is called now.

        Args:
            step: number of training steps done.
            steps_per_epoch: training steps of one epoch.
            evaluated: whether an evaluation has just taken place.
        """

    def decide(self, view: LaneView) -> Decision:
        """Return the changes: a pure function of the view, so that a resumed run decides the same."""


def make_structure(parameters: StructureParameters) -> Structure | None:
    """Return the structure that `parameters.code` names, or None for one that changes nothing."""
    if not parameters.code:
        return None
    module, _, name = parameters.code.partition(":")
    structure: Structure = getattr(importlib.import_module(module), name)(parameters)
    return structure
