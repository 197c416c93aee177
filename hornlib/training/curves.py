"""Evaluations: each writes one column of the curves of every run that still trains."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hornlib.data.loading import Splits
from hornlib.grid.cell import Cell
from hornlib.models.layered_parameters import LayeredParameters
from hornlib.models.time_variable.steps_parameters import LayerStepsParameters
from hornlib.parameters import ModelParameters
from hornlib.results.run_file import samples_seen
from hornlib.training.chunk import Chunk, Group
from hornlib.training.connectivity import connectivity
from hornlib.training.divergence import drop_empty_groups, take_out
from hornlib.training.evaluation import evaluate, evaluated_lanes
from hornlib.training.optimizers import is_weight

__all__ = ["Evaluation", "evaluate_chunk", "num_nonzeros", "summary"]


class Evaluation(NamedTuple):
    """What the loop reports after an evaluation: medians over the lanes that still train.

    Attributes:
        step, total_steps: training steps done, and those of the whole training.
        loss, metric: medians on the validation split; on the test split where there is no validation split.
        lanes: number of lanes that still train.
        samples: training examples seen by one lane.
    """

    step: int
    total_steps: int
    loss: float
    metric: float
    lanes: int
    samples: int


def evaluate_chunk(chunk: Chunk, splits: Splits, column: int) -> None:
    """Write one column of the curves and profiles for the lanes that still train, and remove lanes that diverged.

    Args:
        chunk: changed in place.
        splits: the data on which lanes are evaluated.
        column: index of the evaluation.
    """
    for index, group in enumerate(chunk.groups):
        diverged = _write_curves(chunk, group, splits, column)
        if diverged.any():  # by the last update, which no training loss has seen
            steps = torch.full((len(group.lanes),), chunk.step)
            chunk.groups[index] = take_out(chunk, group, diverged, steps)
    drop_empty_groups(chunk)
    for group in chunk.groups:
        _write_profiles(chunk, group, column)


def _write_curves(chunk: Chunk, group: Group, splits: Splits, column: int) -> Tensor:
    """Write a group's losses, metrics and costs. Return which lanes have diverged, (lanes,) bool."""
    data, rows = chunk.cell.data, group.lanes.rows
    means = (group.sums[:2] / group.sums[2]).double().cpu()
    group.sums = torch.zeros_like(group.sums)
    values: dict[str, Tensor | float] = {
        "training_loss": means[0],
        "training_total_loss": means[1],
        "training_flops": chunk.flops[rows],
        "num_parameters": torch.tensor(group.num_parameters),
        "seconds": chunk.seconds / len(chunk.seeds),
    }
    if chunk.cell.training.optimizer == "beta_lasso":
        values["num_nonzeros"] = num_nonzeros(group.lanes.parameters)
    diverged = torch.zeros(len(rows), dtype=torch.bool)
    lanes = group.evaluated = evaluated_lanes(group.lanes, chunk.cell.training, splits.train)
    if lanes is not group.lanes:
        values["statistics_flops"] = _statistics_flops(chunk, group, splits, column)
    for part, split in (("validation", splits.validation), ("test", splits.test)):
        scores = evaluate(lanes, split, data.loss, data.metric)
        values |= {f"{part}_loss": scores.loss, f"{part}_metric": scores.metric}
        if len(split.targets):
            diverged |= ~torch.isfinite(scores.loss)
    diverged_rows = [row for row, is_diverged in zip(rows, diverged, strict=True) if is_diverged]
    for name, value in values.items():
        _curve(chunk, name)[rows, column] = torch.as_tensor(value, dtype=torch.float64)
        chunk.curves[name][diverged_rows, column] = torch.nan
    return diverged


def num_nonzeros(parameters: Mapping[str, Tensor]) -> Tensor:
    """Return the number of entries of matrices and kernels that are not exactly 0, (lanes,), on the CPU.

    Args:
        parameters: name -> (lanes, ...).
    """
    counts = [tensor.flatten(1).count_nonzero(1) for tensor in parameters.values() if is_weight(tensor)]
    return torch.stack(counts).sum(0).cpu()


def _statistics_flops(chunk: Chunk, group: Group, splits: Splits, column: int) -> Tensor:
    """Return the FLOPs of all forward passes up to now that computed batch norm's statistics, (lanes,)."""
    examples = min(chunk.cell.training.precise_examples, len(splits.train.targets))
    before = _curve(chunk, "statistics_flops")[group.lanes.rows, :column].nan_to_num()
    so_far = before.amax(1) if column else torch.zeros(len(group.lanes), dtype=torch.float64)
    return so_far + examples * group.model.forward_flops(chunk.cell.task()).total


def _write_profiles(chunk: Chunk, group: Group, column: int) -> None:
    """Write time steps of layers where they are learned, widths where they may change, and the connectivity."""
    steps = group.lanes.layer_steps()
    if steps is not None and isinstance(group.model, LayerStepsParameters):
        steps = steps.double().cpu()
        layers_without = group.model.num_layers - steps.shape[1]  # the first layer may have no time step
        by_layer = torch.nn.functional.pad(steps, (layers_without, 0), value=torch.nan)
        _fill(chunk, "layer_step", group, column, by_layer)
        _curve(chunk, "horizon")[group.lanes.rows, column] = steps.sum(1)
    widths = torch.tensor(_widths(chunk, group.model), dtype=torch.float64)
    if len(widths):
        _fill(chunk, "width", group, column, widths.expand(len(group.lanes), -1))
    if len(widths) and isinstance(group.model, LayeredParameters):
        _curve(chunk, "depth")[group.lanes.rows, column] = float(len(widths))
    connections = connectivity(chunk, group)
    if connections is not None:
        _fill(chunk, "layer_density", group, column, connections.density)
        _fill(chunk, "active_units", group, column, connections.active_units)
        _fill(chunk, "gradient_reached", group, column, connections.gradient_reached)
        _curve(chunk, "explored")[group.lanes.rows, column] = connections.explored


def _widths(chunk: Chunk, model: ModelParameters) -> Sequence[int]:
    """Return the widths of the layers that a structure may change; empty where it changes none."""
    if chunk.cell.structure.name == "static":
        return ()
    if isinstance(model, LayeredParameters):
        return model.layer_widths()
    return model.units() if _changes_shapes(chunk.cell) else ()


@lru_cache(maxsize=64)
def _changes_shapes(cell: Cell) -> bool:
    return bool(cell.structure.reachable(cell.trained_model(), cell.task()))


def _curve(chunk: Chunk, name: str) -> Tensor:
    if name not in chunk.curves:
        chunk.curves[name] = torch.full_like(chunk.curves["training_loss"], torch.nan)
    return chunk.curves[name]


def _fill(chunk: Chunk, name: str, group: Group, column: int, values: Tensor) -> None:
    """Write values (lanes, layers) into a profile. The profile is made, or gets more layers, where needed."""
    rows, evaluations = chunk.curves["training_loss"].shape
    layers = values.shape[1]
    profile = chunk.profiles.get(name, torch.empty(rows, evaluations, 0, dtype=torch.float64))
    if profile.shape[2] < layers:
        further = torch.full((rows, evaluations, layers - profile.shape[2]), torch.nan, dtype=torch.float64)
        profile = chunk.profiles[name] = torch.cat([profile, further], 2)
    profile[group.lanes.rows, column, :layers] = values


def summary(chunk: Chunk, column: int, total_steps: int) -> Evaluation:
    """Return the medians over the lanes that still train.

    Args:
        chunk: after the evaluation.
        column: index of the evaluation.
        total_steps: training steps of the whole training.
    """
    rows = chunk.training_rows
    loss = chunk.curves["validation_loss"][rows, column]
    split = "validation" if torch.isfinite(loss).any() else "test"
    return Evaluation(
        chunk.step,
        total_steps,
        float(chunk.curves[f"{split}_loss"][rows, column].median()),
        float(chunk.curves[f"{split}_metric"][rows, column].median()),
        len(rows),
        int(samples_seen(chunk.cell, np.array(chunk.step))),
    )
