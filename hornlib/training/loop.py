"""The one training loop: a chunk of lanes from its first step to its last."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hornlib.cell import Cell
from hornlib.data.augmentation import augmentation_draws, crop_flip
from hornlib.data.loading import Split, Splits
from hornlib.data.order import epoch_order
from hornlib.flops import training_step_flops
from hornlib.models.dropout import has_dropout, set_dropout_keys_
from hornlib.randomness import derive_seed
from hornlib.training.evaluation import LOSSES, evaluate, thinned
from hornlib.training.lanes import LaneGroup, make_lanes
from hornlib.training.optimizers import AdamW, Sgd, clip_by_lane_, make_optimizer
from hornlib.training.schedules import rate_factor

__all__ = ["CURVES", "Chunk", "Evaluation", "Lane", "start_chunk", "start_lanes", "train_chunk"]

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

CHECK_STEPS = 50
"""Steps after which losses are read back at the latest; each reading waits for the device."""


class Lane(NamedTuple):
    """One run of a chunk; lanes may differ in their learning rate and in their model's `per_lane` parameters."""

    cell: Cell
    seed: int


class Evaluation(NamedTuple):
    """What the loop reports after an evaluation: medians over the lanes still training."""

    step: int
    total_steps: int
    loss: float
    metric: float
    lanes: int
    samples: int


@dataclass
class Chunk:
    """Lanes in training and all that a resumed process needs to go on exactly.

    Attributes:
        rows: every run of the chunk, diverged ones too: the rows of the curves.
        lanes: those still training.
        optimizer: its state has the lanes' shapes.
        step: steps done.
        curves: name -> (seeds, evaluations) float64, NaN where not (or never) evaluated.
        diverged_at: (seeds,), the first step with an exploded loss, NaN for none.
        first_loss: (lanes,), each lane's loss at its first step.
        window: losses not yet read back, each (2, lanes): clean and total.
        sums: (3, lanes) since the last evaluation: clean losses, total losses, steps.
        seconds: wall time of the training steps so far, evaluations and checkpoints left out.
        flops: training FLOPs of a lane so far.
    """

    rows: list[Lane]
    lanes: LaneGroup
    optimizer: AdamW | Sgd
    step: int
    curves: dict[str, Tensor]
    diverged_at: Tensor
    first_loss: Tensor
    window: list[Tensor]
    sums: Tensor
    seconds: float
    flops: int

    def state(self) -> dict[str, Any]:
        """Return tensors, numbers and lists only, for the checkpoint."""
        return {
            "seeds": self.seeds,
            "lane_rows": self.lanes.rows,
            "parameters": {name: tensor.detach() for name, tensor in self.lanes.parameters.items()},
            "buffers": self.lanes.buffers,
            "optimizer": self.optimizer.state,
            "step": self.step,
            "curves": self.curves,
            "diverged_at": self.diverged_at,
            "first_loss": self.first_loss,
            "window": self.window,
            "sums": self.sums,
            "seconds": self.seconds,
            "flops": self.flops,
        }

    def restore_(self, state: dict[str, Any]) -> None:
        """Take over a state that `state()` returned, on this chunk's device."""
        device = self.sums.device
        self.lanes = self.lanes.keep(state["lane_rows"])
        for own, saved in (
            (self.lanes.parameters, state["parameters"]),
            (self.lanes.buffers, state["buffers"]),
        ):
            for name, tensor in own.items():
                tensor.data.copy_(saved[name])
        self.optimizer.state = {
            name: [tensor.to(device) for tensor in tensors] for name, tensors in state["optimizer"].items()
        }
        self.step, self.curves, self.diverged_at = state["step"], state["curves"], state["diverged_at"]
        self.first_loss, self.sums = state["first_loss"].to(device), state["sums"].to(device)
        self.window = [losses.to(device) for losses in state["window"]]
        self.seconds, self.flops = state["seconds"], state["flops"]

    @property
    def cell(self) -> Cell:
        """What all lanes share: everything but learning rates and `per_lane` parameters."""
        return self.rows[0].cell

    @property
    def seeds(self) -> list[int]:
        """The seed of every row."""
        return [row.seed for row in self.rows]

    def learning_rates(self) -> list[float]:
        """Return the largest learning rate of every lane still training."""
        return [self.rows[row].cell.training.learning_rate for row in self.lanes.rows]


def start_chunk(cell: Cell, seeds: Sequence[int], device: torch.device) -> Chunk:
    """Return the chunk of one cell before its first step."""
    return start_lanes([Lane(cell, seed) for seed in seeds], device)


def start_lanes(rows: Sequence[Lane], device: torch.device) -> Chunk:
    """Return the chunk of these runs before its first step."""
    cell, seeds = rows[0].cell, [row.seed for row in rows]
    lanes = make_lanes([row.cell.model for row in rows], cell.task(), seeds, device)
    evaluations = len(cell.training.evaluation_steps(cell.data.num_train))
    return Chunk(
        rows=list(rows),
        lanes=lanes,
        optimizer=make_optimizer(list(lanes.parameters.values()), cell.training),
        step=0,
        curves={
            name: torch.full((len(seeds), evaluations), torch.nan, dtype=torch.float64) for name in CURVES
        },
        diverged_at=torch.full((len(seeds),), torch.nan, dtype=torch.float64),
        first_loss=torch.full((len(seeds),), torch.nan, device=device),
        window=[],
        sums=torch.zeros((3, len(seeds)), device=device),
        seconds=0.0,
        flops=0,
    )


def train_chunk(
    chunk: Chunk,
    splits: Splits,
    after_step: Callable[[Chunk], None] = lambda chunk: None,
    report: Callable[[Evaluation], None] = lambda evaluation: None,
) -> None:
    """Train the chunk to its last step, from wherever it stands.

    Args:
        chunk: changed in place.
        splits: the data, on the chunk's device.
        after_step: called after each step; it may save `chunk.state()`, or raise to stop there.
        report: called after each evaluation.
    """
    training, data = chunk.cell.training, chunk.cell.data
    total_steps = training.total_steps(data.num_train)
    evaluation_steps = training.evaluation_steps(data.num_train)
    validation, test = (
        thinned(split, training.evaluation_examples) for split in (splits.validation, splits.test)
    )
    batches = _Batches(chunk, splits.train)
    costs = _step_costs(chunk.cell)
    while chunk.step < total_steps and len(chunk.lanes):
        started = time.perf_counter()
        inputs, targets = batches.at(chunk.step)
        train_step(chunk, inputs, targets, total_steps)
        chunk.flops += costs[targets.shape[1]]
        evaluating = chunk.step in evaluation_steps
        if evaluating or len(chunk.window) >= CHECK_STEPS:
            _read_losses(chunk)
        chunk.seconds += time.perf_counter() - started
        if evaluating and len(chunk.lanes):
            last = chunk.step == total_steps
            parts = (splits.validation, splits.test) if last else (validation, test)
            _evaluate(chunk, *parts, evaluation_steps.index(chunk.step))
            if len(chunk.lanes):
                report(_summary(chunk, evaluation_steps.index(chunk.step), total_steps))
        after_step(chunk)


def _step_costs(cell: Cell) -> dict[int, int]:
    """Return the FLOPs of a lane's training step by batch size; counted before the clock of the steps starts."""
    training, num_train = cell.training, cell.data.num_train
    full = min(training.batch_size, num_train)
    last = num_train - full * (training.steps_per_epoch(num_train) - 1)
    return {
        batch_size: training_step_flops(cell.model, cell.task(), batch_size, training.optimizer).total
        for batch_size in {full, last}
    }


def train_step(chunk: Chunk, inputs: Tensor, targets: Tensor, total_steps: int) -> None:
    """Make one update of every lane; losses stay on the device in `chunk.window`.

    Args:
        chunk: changed in place.
        inputs: (lanes, batch, ...).
        targets: (lanes, batch) or (lanes, batch, outputs).
        total_steps: of the whole training, for the schedule.
    """
    cell, lanes, training = chunk.cell, chunk.lanes, chunk.cell.training
    if has_dropout(lanes.buffers):
        keys = [derive_seed("dropout", seed, chunk.step) for seed in lanes.seeds]
        set_dropout_keys_(lanes.buffers, torch.tensor(keys, device=inputs.device))
    lanes.set_momentum(training.running_momentum(chunk.step + 1))
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=training.precision == "bf16"):
        logits, penalty = lanes.forward(inputs, training=True)
    clean = LOSSES[cell.data.loss](logits.float(), targets, training.label_smoothing).mean(1)
    total = clean + penalty
    tensors = list(lanes.parameters.values())
    gradients = list(torch.autograd.grad(total.sum(), tensors))
    with torch.no_grad():
        if training.gradient_clip:
            clip_by_lane_(gradients, training.gradient_clip)
        factor = rate_factor(training, chunk.step, total_steps)
        rates = torch.tensor([rate * factor for rate in chunk.learning_rates()])
        rates = rates.to(inputs.device, non_blocking=True)  # the device need not be waited for at every step
        chunk.optimizer.update_(tensors, gradients, rates, chunk.step + 1)
    if chunk.step == 0:
        chunk.first_loss = total.detach()
    chunk.window.append(torch.stack([clean, total]).detach())
    chunk.step += 1


class _Batches:
    """The batches of every lane; each lane visits the data in its own seed's order."""

    def __init__(self, chunk: Chunk, train: Split) -> None:
        self.chunk, self.train = chunk, train
        self.epoch: int | None = None
        self.seeds: list[int] = []

    def at(self, step: int) -> tuple[Tensor, Tensor]:
        """Return inputs (lanes, batch, ...) and targets of the step, counted from 0."""
        data, training = self.chunk.cell.data, self.chunk.cell.training
        per_epoch = training.steps_per_epoch(data.num_train)
        epoch, batch = divmod(step, per_epoch)
        if (epoch, self.chunk.lanes.seeds) != (self.epoch, self.seeds):
            self.epoch, self.seeds = epoch, self.chunk.lanes.seeds
            self._draw(epoch, data.num_train)
        chosen = slice(batch * training.batch_size, (batch + 1) * training.batch_size)
        index = self.orders[:, chosen]
        inputs, targets = self.train.inputs[index], self.train.targets[index]
        if data.augmentation == "crop_flip":
            lane = torch.arange(len(self.seeds), device=index.device).unsqueeze(1)
            inputs = crop_flip(inputs, self.offsets[lane, index], self.flips[lane, index])
        return inputs, targets

    def _draw(self, epoch: int, num_train: int) -> None:
        device = self.train.targets.device
        self.orders = torch.stack([epoch_order(seed, epoch, num_train) for seed in self.seeds]).to(device)
        if self.chunk.cell.data.augmentation == "crop_flip":
            draws = [augmentation_draws(seed, epoch, num_train) for seed in self.seeds]
            self.offsets = torch.stack([draw.offsets for draw in draws]).to(device)
            self.flips = torch.stack([draw.flips for draw in draws]).to(device)


def _read_losses(chunk: Chunk) -> None:
    """Read the window back, add it to the sums, and take out the lanes that have diverged."""
    if not chunk.window:
        return
    losses = torch.stack(chunk.window)
    limit = chunk.cell.training.divergence_factor * chunk.first_loss.clamp(min=1.0)
    exploded = (~torch.isfinite(losses[:, 1]) | ~(losses[:, 1] <= limit)).cpu()
    first_step = chunk.step - len(chunk.window) + 1
    chunk.window = []
    chunk.sums[:2] += losses.sum(0)
    chunk.sums[2] += len(losses)
    if exploded.any():
        _take_out(chunk, exploded.any(0), first_step + exploded.int().argmax(0))


def _take_out(chunk: Chunk, diverged: Tensor, at: Tensor) -> None:
    """Freeze the lanes that have diverged: note the step, and go on without them.

    Args:
        chunk: changed in place.
        diverged: (lanes,) bool, on the CPU.
        at: (lanes,), the step at which each diverged; read only where it did.
    """
    for lane, row in enumerate(chunk.lanes.rows):
        if diverged[lane]:
            chunk.diverged_at[row] = int(at[lane])
    kept = [lane for lane in range(len(chunk.lanes)) if not diverged[lane]]
    index = torch.tensor(kept, dtype=torch.long, device=chunk.sums.device)
    chunk.lanes = chunk.lanes.keep(kept)
    chunk.optimizer.state = {
        name: [tensor.index_select(0, index) for tensor in tensors]
        for name, tensors in chunk.optimizer.state.items()
    }
    chunk.first_loss, chunk.sums = chunk.first_loss[index], chunk.sums[:, index]


def _evaluate(chunk: Chunk, validation: Split, test: Split, column: int) -> None:
    """Write a column of the curves, for the lanes still training."""
    data, rows = chunk.cell.data, chunk.lanes.rows
    means = (chunk.sums[:2] / chunk.sums[2]).double().cpu()
    chunk.sums = torch.zeros_like(chunk.sums)
    scores = {
        part: evaluate(chunk.lanes, split, data.loss, data.metric)
        for part, split in (("validation", validation), ("test", test))
    }
    exploded = torch.zeros(len(rows), dtype=torch.bool)
    for split, found in ((validation, scores["validation"]), (test, scores["test"])):
        if len(split.targets):
            exploded |= ~torch.isfinite(found.loss)
    column_values = {
        "training_loss": means[0],
        "training_total_loss": means[1],
        "validation_loss": scores["validation"].loss,
        "validation_metric": scores["validation"].metric,
        "test_loss": scores["test"].loss,
        "test_metric": scores["test"].metric,
        "training_flops": float(chunk.flops),
        "num_parameters": float(chunk.lanes.num_parameters),
        "seconds": chunk.seconds / len(chunk.seeds),
    }
    for name, values in column_values.items():
        chunk.curves[name][rows, column] = torch.as_tensor(values, dtype=torch.float64)
        chunk.curves[name][[row for row, bad in zip(rows, exploded, strict=True) if bad], column] = torch.nan
    if exploded.any():  # by the last update, which no training loss has seen
        _take_out(chunk, exploded, torch.full((len(rows),), chunk.step))


def _summary(chunk: Chunk, column: int, total_steps: int) -> Evaluation:
    rows = chunk.lanes.rows
    data, training = chunk.cell.data, chunk.cell.training
    per_epoch = training.steps_per_epoch(data.num_train)
    epochs, rest = divmod(chunk.step, per_epoch)
    samples = epochs * data.num_train + min(rest * training.batch_size, data.num_train)
    loss = chunk.curves["validation_loss"][rows, column]
    split = "validation" if torch.isfinite(loss).any() else "test"
    return Evaluation(
        chunk.step,
        total_steps,
        float(chunk.curves[f"{split}_loss"][rows, column].median()),
        float(chunk.curves[f"{split}_metric"][rows, column].median()),
        len(chunk.lanes),
        samples,
    )
