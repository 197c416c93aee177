"""The one interface between structures and the training loop."""

import importlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

from torch import Tensor

from hornlib.models.lanes import LaneGroup
from hornlib.parameters import ModelParameters, Task
from hornlib.parameters.structure import StructureParameters

__all__ = [
    "RATE",
    "Change",
    "ChangedLayer",
    "Decision",
    "LaneView",
    "Moment",
    "Structure",
    "Tensors",
    "make_structure",
]

Tensors = dict[str, Tensor]
"""Name within the network -> tensor."""

RATE = "rate/"
"""Start of a name in the memory: every update of a parameter is multiplied by `rate/<parameter>`, (lanes, ...)."""


class Moment(NamedTuple):
    """A place between two training steps.

    Attributes:
        step: number of training steps done.
        total_steps: training steps of the whole training.
        steps_per_epoch: training steps of one epoch.
        evaluated: whether an evaluation has just taken place.
    """

    step: int
    total_steps: int
    steps_per_epoch: int
    evaluated: bool


class LaneView(NamedTuple):
    """What a structure sees, between two training steps, of the lanes that share one shape.

    Attributes:
        step: number of training steps done.
        total_steps: training steps of the whole training.
        steps_per_epoch: training steps of one epoch.
        epochs: number of passes over the training set done; a fraction within a pass.
        lanes: the networks. A structure must not change them.
        model: parameters of these networks.
        first_model: parameters of the networks of the first training step.
        task: shapes of inputs and outputs.
        events: for each lane, the steps after which a structure changed it.
        batches: called with a number of batches (None: an epoch), it yields pairs of inputs (lanes, batch, ...) and
            targets (lanes, batch) or (lanes, batch, num_outputs). No training step uses these batches.
        loss: maps outputs (lanes, batch, num_outputs) and targets to the mean loss of every lane, (lanes,).
        gradient_flops: maps a model to the FLOPs of one lane's forward and backward pass over one such batch, without
            masks. A structure that computes gradients over `batches` reports them in `Decision.flops`.
        evaluated: the evaluation steps so far.
        validation_loss: (lanes, len(evaluated)); NaN without a validation split.
        masks: weight -> (lanes, ...) bool, True where a connection exists; a weight without a mask is dense. Where a
            mask is False, the weight and its moments are 0.
        memory: what earlier changes of the structure left for later ones, name -> (lanes, ...). The loop adds
            `ever/<weight>` for every mask, (lanes, ...) bool: the positions where a connection has ever existed; and
            `reached/<weight>`, (lanes,) bool: whether one of its connections has had a gradient.
        moments: moment of the optimiser -> parameter -> (lanes, ...).
        coming_gradients: returns the gradients of the mean loss, penalty included, over the batch of the coming
            training step, parameter -> (lanes, ...). They are dense: masks do not touch them. The networks stay as
            they are. They are computed once, however often they are asked for, in fp32: bf16 would grow other
            connections. A decision with `used_step` makes this look the training step. The loop counts the FLOPs of
            the look itself: the passes over the connections that exist, and the gradients of all weights.
    """

    step: int
    total_steps: int
    steps_per_epoch: int
    epochs: float
    lanes: LaneGroup
    model: ModelParameters
    first_model: ModelParameters
    task: Task
    events: Sequence[Sequence[int]]
    batches: Callable[[int | None], Iterator[tuple[Tensor, Tensor]]]
    loss: Callable[[Tensor, Tensor], Tensor]
    gradient_flops: Callable[[ModelParameters], int]
    evaluated: Sequence[int]
    validation_loss: Tensor
    masks: Tensors
    memory: Tensors
    moments: Mapping[str, Tensors]
    coming_gradients: Callable[[], Tensors]


class ChangedLayer(NamedTuple):
    """What a change did to one layer of one lane. Each becomes one event of the run file.

    Attributes:
        position: of the layer, from 0 at the input; -1 where no layer is concerned.
        score: the number that decided; NaN where no number did.
        number: how many parts changed, such as connections or units; NaN where the kind of the change says it.
        drawn: how many new units lie beyond the rank of the matrix of a rule by singular vectors, so that their
            directions are drawn; NaN for other changes.
    """

    position: int
    score: float = math.nan
    number: float = math.nan
    drawn: float = math.nan


class Change(NamedTuple):
    """The same change of some lanes: they all become the same model in the same way.

    A change that keeps the model takes a short path: the networks, and all tensors that it does not name, stay.

    Attributes:
        lanes: indices in the view, ascending.
        kind: a key of `hornlib.structures.events.EVENT_KINDS`, stored in the run file.
        layers: for every lane, the layers that are concerned.
        model: parameters of the networks from now on.
        parameters: their trained tensors, (lanes, ...). Missing ones keep their values if the model stays.
        buffers: their fixed and running tensors, (lanes, ...). Missing ones start as in a new network, or keep their
            values if the model stays.
        inherit: maps tensors (lanes, ...) named as in the old networks to tensors named as in the new ones. It is
            applied to each moment of the optimiser, and to the ages of the parameters (the number of their updates, by
            which Adam corrects its bias): tensors that survive keep theirs, new ones get zeros. If the model stays,
            missing ones keep theirs.
        masks: weight -> (lanes, ...) bool, all masks from now on. The loop sets weights and moments to 0 where a mask
            is False; moments stay where `StructureParameters.dense` is moments.
        memory: name -> (lanes, ...), all that the structure wants to see again from now on; copies of what training
            changes in place, such as weights. The loop takes over `ever/<weight>` of every mask and joins the new
            connections to it. A network that stores its connections alone has no masks: there the structure itself
            hands `ever/<weight>` on, as a set of `hornlib.structures.connections.position_sets`.
        rate_factor: factor on the learning rate from now on.
        fresh_optimizer: whether the optimiser's state starts anew.
    """

    lanes: Sequence[int]
    kind: str
    layers: Sequence[Sequence[ChangedLayer]]
    model: ModelParameters
    parameters: Tensors
    buffers: Tensors
    inherit: Callable[[Tensors], Tensors]
    masks: Mapping[str, Tensor] = MappingProxyType({})
    memory: Mapping[str, Tensor] = MappingProxyType({})
    rate_factor: float = 1.0
    fresh_optimizer: bool = False


class Decision(NamedTuple):
    """What a structure decided.

    Attributes:
        changes: disjoint in their lanes.
        flops: for each lane of the view, the FLOPs that computing the decision took, without those of
            `coming_gradients`, which the loop counts.
        used_step: whether the look at the coming batch replaces the training step of all lanes of the view: its loss
            and its batch norm statistics count, and no update follows.
    """

    changes: Sequence[Change]
    flops: Sequence[int]
    used_step: bool = False


class Structure(Protocol):
    """Changes networks between the steps of the training loop. It stores nothing that a resumed process would lack."""

    def is_due(self, moment: Moment) -> bool:
        """Return whether `decide` is called now."""

    def decide(self, view: LaneView) -> Decision:
        """Return the changes: a pure function of the view, so that a resumed run decides the same."""


def make_structure(parameters: StructureParameters) -> Structure | None:
    """Return the structure that `parameters.code` names, or None for one that changes nothing."""
    if not parameters.code:
        return None
    module, _, name = parameters.code.partition(":")
    structure: Structure = getattr(importlib.import_module(module), name)(parameters)
    return structure
