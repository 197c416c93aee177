"""A chunk: the runs that a job trains at once, in groups of equal shape, with all that a resumed process needs."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hornlib.grid.cell import Cell
from hornlib.models import MODELS
from hornlib.models.build import build_network
from hornlib.models.lanes import LaneGroup, chosen_lanes, make_lanes
from hornlib.parameters import ModelParameters
from hornlib.training.optimizers import AdamW, Sgd, make_optimizer

__all__ = ["CURVES", "Chunk", "EventRecord", "Group", "Run", "start_chunk", "start_lanes"]

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


class Run(NamedTuple):
    """One cell with one seed. Runs of one chunk may differ in learning rate and in `per_lane` parameters."""

    cell: Cell
    seed: int


class EventRecord(NamedTuple):
    """What a structure did to one run.

    Attributes:
        row: of the chunk.
        step: after which it was done.
        kind: inserted, pruned, ...
        position: of the layer, from 0 at the input; -1 where no layer changed.
        score: what decided, NaN where nothing did.
    """

    row: int
    step: int
    kind: str
    position: int
    score: float


@dataclass
class Group:
    """Lanes of one shape in training, with their optimiser.

    Attributes:
        model: what the networks are; lanes may differ in its `per_lane` parameters.
        lanes: their networks.
        optimizer: its state has the lanes' shapes.
        since: steps done when the optimiser's state began; its bias corrections count from there.
        rate_factors: (lanes,), what structures have multiplied each learning rate by, on the CPU.
        first_loss: (lanes,), each lane's loss at its first step.
        window: losses not yet read back, each (2, lanes): clean and total.
        sums: (3, lanes) since the last evaluation: clean losses, total losses, steps.
    """

    model: ModelParameters
    lanes: LaneGroup
    optimizer: AdamW | Sgd
    since: int
    rate_factors: Tensor
    first_loss: Tensor
    sums: Tensor
    window: list[Tensor] = field(default_factory=list)

    def map(self, function: Callable[..., Tensor], *others: "Group") -> "Group":
        """Return the group whose every tensor is `function` of this group's tensor and of those of the others.

        Args:
            function: maps one tensor of each group, (lanes, ...), to a tensor (new lanes, ...).
            others: groups of the same model and with the same state of the optimiser.
        """
        groups = (self, *others)

        def mapped(tensors: Iterable[Tensor]) -> Tensor:
            return function(*tensors)

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
        )

    def keep(self, lanes: Sequence[int]) -> "Group":
        """Return the group of these lanes only."""
        return self.map(chosen_lanes(lanes))

    def joined(self, others: Sequence["Group"]) -> "Group":
        """Return one group of the lanes of all groups, in the order of their rows."""
        rows = [row for group in (self, *others) for row in group.lanes.rows]
        return self.map(chosen_lanes(sorted(range(len(rows)), key=rows.__getitem__)), *others)

    def to(self, device: torch.device) -> "Group":
        """Return the group on a device; `rate_factors` stay on the CPU."""
        moved = self.map(lambda tensor: tensor.to(device))
        moved.rate_factors = self.rate_factors
        return moved

    def state(self) -> dict[str, Any]:
        """Return tensors, numbers and lists only, for the checkpoint."""
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
        }


@dataclass
class Chunk:
    """Runs in training and all that a resumed process needs to go on exactly.

    Attributes:
        rows: every run of the chunk, diverged ones too: the rows of the curves.
        groups: the lanes still training, by shape; one group unless a structure has changed some.
        step: steps done.
        curves: name -> (rows, evaluations) float64, NaN where not (or never) evaluated.
        profiles: name -> (rows, evaluations, layers) float64: what networks with layers of their own steps or
            changing shapes have at every evaluation; NaN beyond their depth.
        events: what a structure did.
        diverged_at: (rows,), the first step with an exploded loss, NaN for none.
        seconds: wall time of the training steps so far, evaluations and checkpoints left out.
        flops: (rows,) int64, training FLOPs so far.
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

    def state(self) -> dict[str, Any]:
        """Return tensors, numbers and lists only, for the checkpoint."""
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
        """Take over a state that `state()` returned."""
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
        ).to(device)

    @property
    def cell(self) -> Cell:
        """What all runs share: everything but learning rates and `per_lane` parameters."""
        return self.rows[0].cell

    @property
    def seeds(self) -> list[int]:
        """The seed of every row."""
        return [row.seed for row in self.rows]

    @property
    def lanes(self) -> LaneGroup:
        """The lanes still training of a chunk whose networks are all of one shape."""
        (group,) = self.groups
        return group.lanes

    @property
    def training_rows(self) -> list[int]:
        """The rows that still train, ascending."""
        return sorted(row for group in self.groups for row in group.lanes.rows)

    def learning_rates(self, group: Group) -> Tensor:
        """Return the largest learning rate of every lane of a group, (lanes,) float64, on the CPU."""
        rates = [self.rows[row].cell.training.learning_rate for row in group.lanes.rows]
        return torch.tensor(rates, dtype=torch.float64) * group.rate_factors


def start_chunk(cell: Cell, seeds: Sequence[int], device: torch.device) -> Chunk:
    """Return the chunk of one cell before its first step."""
    return start_lanes([Run(cell, seed) for seed in seeds], device)


def start_lanes(rows: Sequence[Run], device: torch.device) -> Chunk:
    """Return the chunk of these runs before its first step."""
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
