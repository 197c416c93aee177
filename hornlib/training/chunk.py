"""A chunk: the runs that a job trains at once, in groups of equal shape, and everything that a checkpoint holds."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hornlib.grid.cell import Cell
from hornlib.models import MODELS
from hornlib.models.build import build_network
from hornlib.models.lanes import LaneGroup, chosen_lanes, make_lanes
from hornlib.parameters import ModelParameters
from hornlib.structures.events import ADDING_KINDS
from hornlib.training.optimizers import Optimizer, make_optimizer

__all__ = ["CURVES", "DELAYS", "Chunk", "EventRecord", "Group", "Run", "start_chunk", "start_lanes"]

CURVES = (
    "training_loss",
    "training_total_loss",
    "validation_loss",
    "validation_metric",
    "test_loss",
    "test_metric",
    "training_flops",
    "num_parameters",
    "seconds",
)


DELAYS = (0, 1, 10, 100)
"""Training steps after units were added at which their gradients are recorded, 0 for the first step with them."""


class Run(NamedTuple):
    """One cell with one seed. Runs of one chunk may differ in learning rate and in `per_lane` parameters."""

    cell: Cell
    seed: int


class EventRecord(NamedTuple):
    """One change that a structure made to one run.

    Attributes:
        row: index of the run in the chunk.
        step: number of training steps before the change.
        kind: a key of `hornlib.structures.events.EVENT_KINDS`.
        position: index of the layer, 0 at the input; -1 where no layer changed.
        score: the number that decided the change; NaN where no number did.
        number: how many parts of the layer changed; NaN where the kind says it.
        drawn: of new units, how many have a direction that is drawn; see `hornlib.structures.interface.ChangedLayer`.
        gradient_ratios: of new units, one for each of `DELAYS`; see `hornlib.training.newborn`. NaN where the training
            ended before.
        active_share: of new units, the share that is active at the end; see `hornlib.training.newborn`.
    """

    row: int
    step: int
    kind: str
    position: int
    score: float
    number: float = math.nan
    drawn: float = math.nan
    gradient_ratios: tuple[float, ...] = (math.nan,) * len(DELAYS)
    active_share: float = math.nan


@dataclass
class Group:
    """Lanes of one shape in training, with their optimiser.

    Attributes:
        model: model parameters of the networks. Lanes may differ in its `per_lane` parameters.
        lanes: the networks.
        optimizer: its state has the shapes of the lanes' parameters, (lanes, ...).
        since: training steps that the optimiser's state has not seen: those before it began, and those that a look
            of the structure replaced. Its bias corrections count from there.
        rate_factors: (lanes,), product of the factors by which structures changed each learning rate; on the CPU.
        first_loss: (lanes,), loss of each lane at its first step.
        sums: (3, lanes), sums since the last evaluation: losses without penalty, total losses, steps.
        window: losses that have not been read back from the device, each (2, lanes): without penalty, and total.
        evaluated: the networks that were evaluated after the last step; None where that step had no evaluation.
        masks: weight -> (lanes, ...) bool, True where a connection exists; weights without a mask are dense. They never
            change in place: other masks make another group.
        memory: what a structure keeps between its decisions, name -> (lanes, ...).
        step_flops: number of examples -> FLOPs of a training step with them, (lanes,) int64; a cache.
    """

    model: ModelParameters
    lanes: LaneGroup
    optimizer: Optimizer
    since: int
    rate_factors: Tensor
    first_loss: Tensor
    sums: Tensor
    window: list[Tensor] = field(default_factory=list)
    evaluated: LaneGroup | None = None
    masks: dict[str, Tensor] = field(default_factory=dict)
    memory: dict[str, Tensor] = field(default_factory=dict)
    step_flops: dict[int, Tensor] = field(default_factory=dict)

    def map(self, function: Callable[..., Tensor], *others: "Group") -> "Group":
        """Return the group whose every tensor is `function` of this group's tensor and of those of the others.

        Args:
            function: maps one tensor of each group, (lanes, ...), to a tensor (new lanes, ...).
            others: groups of the same model, with the same masked weights, names in the memory and state of the
                optimiser.
        """
        groups = (self, *others)

        def mapped(tensors: Iterable[Tensor]) -> Tensor:
            return function(*tensors)

        def named(tensors: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
            return {name: mapped(group[name] for group in tensors) for name in tensors[0]}

        def lanes_last(tensors: Iterable[Tensor]) -> Tensor:
            return function(*(tensor.mT for tensor in tensors)).mT.contiguous()

        optimizer = make_optimizer([], self.optimizer.training)
        optimizer.state = {
            name: [
                mapped(parts)
                for parts in zip(*(group.optimizer.state[name] for group in groups), strict=True)
            ]
            for name in self.optimizer.state
        }
        return Group(
            model=self.model,
            lanes=self.lanes.map(function, *(group.lanes for group in others)),
            optimizer=optimizer,
            since=self.since,
            rate_factors=mapped(group.rate_factors for group in groups),
            first_loss=mapped(group.first_loss for group in groups),
            sums=lanes_last(group.sums for group in groups),
            window=[lanes_last(parts) for parts in zip(*(group.window for group in groups), strict=True)],
            masks=named([group.masks for group in groups]),
            memory=named([group.memory for group in groups]),
        )

    def keep(self, lanes: Sequence[int]) -> "Group":
        """Return the group of these lanes only."""
        return self.map(chosen_lanes(lanes))

    def joined(self, others: Sequence["Group"]) -> "Group":
        """Return one group of the lanes of all groups, in the order of their rows."""
        rows = [row for group in (self, *others) for row in group.lanes.rows]
        return self.map(chosen_lanes(sorted(range(len(rows)), key=rows.__getitem__)), *others)

    def named(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return tensors in the order of the parameters, such as a moment of the optimiser, by their names."""
        return dict(zip(self.lanes.parameters, tensors, strict=True))

    @cached_property
    def factors(self) -> dict[str, Tensor]:
        """The masks as numbers of the weights' type: their product takes a third of the time of one with bools."""
        return {name: mask.to(self.lanes.parameters[name].dtype) for name, mask in self.masks.items()}

    @cached_property
    def connections(self) -> list[dict[str, int]]:
        """For each lane, masked weight -> number of its connections. They are counted once."""
        counts = {name: mask.flatten(1).sum(1).tolist() for name, mask in self.masks.items()}
        return [
            {name: of_lanes[lane] for name, of_lanes in counts.items()} for lane in range(len(self.lanes))
        ]

    @property
    def num_parameters(self) -> list[int]:
        """For each lane, the trained numbers without those that a mask removes."""
        masked = sum(mask[0].numel() for mask in self.masks.values()) if len(self.lanes) else 0
        return [
            self.lanes.num_parameters - masked + sum(connections.values()) for connections in self.connections
        ]

    def to(self, device: torch.device) -> "Group":
        """Return the group on a device; `rate_factors` stay on the CPU."""
        moved = self.map(lambda tensor: tensor.to(device))
        moved.rate_factors = self.rate_factors
        return moved

    def state(self) -> dict[str, Any]:
        """Return the content for a checkpoint: tensors, numbers, lists and dicts only."""
        return {
            "model": self.model.canonical(),
            "seeds": self.lanes.seeds,
            "rows": self.lanes.rows,
            "parameters": {name: tensor.detach() for name, tensor in self.lanes.parameters.items()},
            "buffers": self.lanes.buffers,
            "optimizer": self.optimizer.state,
            "since": self.since,
            "rate_factors": self.rate_factors,
            "first_loss": self.first_loss,
            "sums": self.sums,
            "window": self.window,
            "masks": self.masks,
            "memory": self.memory,
        }


@dataclass
class Chunk:
    """Runs in training, and everything that a resumed process needs to continue exactly.

    Attributes:
        rows: all runs of the chunk, also those that diverged. The curves have the same rows.
        groups: the lanes that still train, by shape. There is one group unless a structure changed some lanes.
        step: training steps done.
        curves: name -> (rows, evaluations) float64, NaN where a run was not evaluated.
        profiles: name -> (rows, evaluations, layers) float64: widths, and learned time steps, of the layers at every
            evaluation; NaN beyond the depth of a network.
        events: changes that a structure made.
        diverged_at: (rows,), first step at which the loss diverged; NaN where it did not.
        seconds: wall time of all training steps, without evaluations and checkpoints.
        flops: (rows,) int64, FLOPs of all training steps.
    """

    rows: list[Run]
    groups: list[Group]
    step: int
    curves: dict[str, Tensor]
    profiles: dict[str, Tensor]
    events: list[EventRecord]
    diverged_at: Tensor
    seconds: float
    flops: Tensor
    _newborn_steps: tuple[int, frozenset[int]] = (0, frozenset())

    def state(self) -> dict[str, Any]:
        """Return the content for a checkpoint: tensors, numbers, lists and dicts only."""
        return {
            "seeds": self.seeds,
            "groups": [group.state() for group in self.groups],
            "step": self.step,
            "curves": self.curves,
            "profiles": self.profiles,
            "events": [list(event) for event in self.events],
            "diverged_at": self.diverged_at,
            "seconds": self.seconds,
            "flops": self.flops,
        }

    def restore_(self, state: dict[str, Any], device: torch.device) -> None:
        """Replace everything by a state that `state()` returned.

        Args:
            state: from a checkpoint, on the CPU.
            device: where the lanes train.
        """
        self.groups = [self._restored(saved, device) for saved in state["groups"]]
        self.step, self.curves, self.profiles = state["step"], state["curves"], state["profiles"]
        self.events = [EventRecord(*event) for event in state["events"]]
        self.diverged_at, self.seconds, self.flops = state["diverged_at"], state["seconds"], state["flops"]

    def _restored(self, saved: dict[str, Any], device: torch.device) -> Group:
        model = MODELS[saved["model"]["name"]](**saved["model"])
        network = build_network(model, self.cell.task(), seed=0).to(device)
        optimizer = make_optimizer([], self.cell.training)
        optimizer.state = saved["optimizer"]
        return Group(
            model=model,
            lanes=LaneGroup(network, saved["seeds"], saved["parameters"], saved["buffers"], saved["rows"]),
            optimizer=optimizer,
            since=saved["since"],
            rate_factors=saved["rate_factors"],
            first_loss=saved["first_loss"],
            sums=saved["sums"],
            window=saved["window"],
            masks=saved.get("masks", {}),  # checkpoints of hornlib 0.2 have none
            memory=saved.get("memory", {}),
        ).to(device)

    @property
    def cell(self) -> Cell:
        """The cell of the first run. Others differ at most in learning rate and `per_lane` parameters."""
        return self.rows[0].cell

    @property
    def seeds(self) -> list[int]:
        """The seed of every row."""
        return [row.seed for row in self.rows]

    @property
    def lanes(self) -> LaneGroup:
        """The lanes that still train, of a chunk whose networks all have one shape."""
        (group,) = self.groups
        return group.lanes

    @property
    def newborn_steps(self) -> frozenset[int]:
        """The training steps at which gradients of new units are recorded; they are found anew after each event."""
        if self._newborn_steps[0] != len(self.events):
            steps_of_events = {event.step for event in self.events if event.kind in ADDING_KINDS}
            steps = frozenset(step + delay for step in steps_of_events for delay in DELAYS)
            self._newborn_steps = len(self.events), steps
        return self._newborn_steps[1]

    @property
    def training_rows(self) -> list[int]:
        """The rows that still train, ascending."""
        return sorted(row for group in self.groups for row in group.lanes.rows)

    def learning_rates(self, group: Group) -> Tensor:
        """Return the peak learning rate of every lane of a group, (lanes,) float64, on the CPU."""
        rates = [self.rows[row].cell.training.learning_rate for row in group.lanes.rows]
        return torch.tensor(rates, dtype=torch.float64) * group.rate_factors


def start_chunk(cell: Cell, seeds: Sequence[int], device: torch.device) -> Chunk:
    """Return the chunk of one cell before its first step.

    Args:
        cell: what is trained.
        seeds: one lane for each.
        device: where the lanes train.
    """
    return start_lanes([Run(cell, seed) for seed in seeds], device)


def start_lanes(rows: Sequence[Run], device: torch.device) -> Chunk:
    """Return the chunk of these runs before its first step.

    Args:
        rows: runs that differ at most in learning rate and `per_lane` parameters.
        device: where the lanes train.
    """
    cell, seeds, count = rows[0].cell, [row.seed for row in rows], len(rows)
    lanes = make_lanes([row.cell.model for row in rows], cell.task(), seeds, device)
    evaluations = len(cell.training.evaluation_steps(cell.data.num_train))
    group = Group(
        model=cell.model,
        lanes=lanes,
        optimizer=make_optimizer(list(lanes.parameters.values()), cell.training),
        since=0,
        rate_factors=torch.ones(count, dtype=torch.float64),
        first_loss=torch.full((count,), torch.nan, device=device),
        sums=torch.zeros((3, count), device=device),
    )
    return Chunk(
        rows=list(rows),
        groups=[group],
        step=0,
        curves={name: torch.full((count, evaluations), torch.nan, dtype=torch.float64) for name in CURVES},
        profiles={},
        events=[],
        diverged_at=torch.full((count,), torch.nan, dtype=torch.float64),
        seconds=0.0,
        flops=torch.zeros(count, dtype=torch.int64),
    )
