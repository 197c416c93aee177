"""The one interface between structures and the training loop."""

import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from hornlib.models.lanes import LaneGroup
from hornlib.parameters import ModelParameters, Task
from hornlib.parameters.structure import StructureParameters

__all__ = ["Change", "Found", "Structure", "Tensors", "View", "make_structure"]

Tensors = dict[str, Tensor]
"""Name within the network -> tensor."""


class View(NamedTuple):
    """What a structure sees of the lanes of one shape, between two steps.

    Attributes:
        step: steps done.
        epochs: passes over the training set done, a fraction within one.
        lanes: the networks; not to be changed here.
        model: what they are.
        task: shapes of inputs and outputs.
        events: (lanes,), the steps after which each lane was changed.
        batches: yields so many batches (None: an epoch) of inputs (lanes, batch, ...) and targets that no training
            step takes.
        loss: mean loss of every lane, (lanes,), of outputs (lanes, batch, num_outputs) and targets.
        gradient_flops: FLOPs of a lane's forward and backward pass over one such batch, for a model.
        evaluated: steps evaluated so far.
        validation_loss: (lanes, len(evaluated)), NaN without a validation part.
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
    """What becomes of some lanes: they all become the same model, in the same way.

    Attributes:
        lanes: of the view, ascending.
        kind: what is done: inserted, pruned, ...; one word, kept in the run file.
        layers: of every lane, position (from 0 at the input) and score of every layer that is concerned; the position
            is -1 where none is, the score NaN where nothing decided.
        model: what the networks are from now on.
        parameters: their trained tensors, (lanes, ...).
        buffers: their fixed and running tensors; those that are missing start as a new network's.
        inherit: from the old networks' names to the new ones', tensors (lanes, ...), applied to each moment of the
            optimiser: tensors that live on keep theirs, new ones get zeros.
        rate_factor: on the learning rate from now on.
        fresh_optimizer: whether the optimiser's state begins anew.
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


class Found(NamedTuple):
    """What a structure decided: changes, no lane in two of them, and what looking has cost each lane, FLOPs."""

    changes: Sequence[Change]
    flops: Sequence[int]


class Structure(Protocol):
    """Changes networks between the steps of the training loop; holds nothing that a resumed process would miss."""

    def is_due(self, step: int, steps_per_epoch: int, evaluated: bool) -> bool:
        """Return whether lanes are to be looked at after so many steps; `evaluated`: whether they just were."""

    def look(self, view: View) -> Found:
        """Return what becomes of the lanes: a pure function of what is seen, so that a resumed run decides alike."""


def make_structure(parameters: StructureParameters) -> Structure | None:
    """Return the structure, or None for one that changes nothing."""
    if not parameters.code:
        return None
    module, _, name = parameters.code.partition(":")
    structure: Structure = getattr(importlib.import_module(module), name)(parameters)
    return structure
