"""The shape of a cell: the values that the time of a training step depends on; free of torch."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hornlib.grid.cell import Cell
from hornlib.parameters import ModelParameters
from hornlib.structures.static import StaticParameters

__all__ = ["WAYS", "as_model", "describe_shape", "distinct_shapes", "shape_name"]

WAYS = ("preset", "heterogeneity_draw", "gain", "initial_horizon", "initial_steps")
"""Parameters that set an oscillator's constants, or a layer's first time step. Like the parameters in which lanes may
differ (`per_lane`) they change numbers within the network and no shape, so that the same kernels run."""

Shape = dict[str, dict[str, Any]]

STATIC = StaticParameters().canonical()

MASKED = {"name": "masked"}
"""The structure of a shape with masks: neither density nor rule changes what a step with masks multiplies."""


def describe_shape(cell: Cell) -> Shape:
    """Return a cell's shape, section by section.

    Two cells of one shape run the same kernels on tensors of the same sizes. A field that is not known to be
    without influence counts, so that at worst a shape is measured twice. The model is that of the first training step.
    """
    data, training, task, model = cell.data, cell.training, cell.task(), cell.trained_model()
    without = {*WAYS, *model.per_lane}
    return {
        "data": {
            "input_shape": list(task.input_shape),
            "num_outputs": task.num_outputs,
            "loss": data.loss,
            "augmentation": data.augmentation,
        },
        "model": {key: value for key, value in model.canonical().items() if key not in without},
        # What changes a network between steps has no part in a step; masks have.
        "structure": MASKED if cell.is_masked() else STATIC,
        "training": {
            "batch_size": min(training.batch_size, data.num_train),
            "optimizer": training.optimizer,
            "acceleration": training.acceleration,
            "precision": training.precision,
            "gradient_clip": _used(training.gradient_clip),
            "weight_decay": _used(training.weight_decay),
            "label_smoothing": _used(training.label_smoothing),
        },
    }


def shape_name(cell: Cell) -> str:
    """Return `<model>-<12 hex digits>`, the digits a hash of the shape."""
    text = json.dumps(describe_shape(cell), sort_keys=True, separators=(",", ":"))
    return f"{cell.model.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def distinct_shapes(cells: Iterable[Cell]) -> dict[str, Cell]:
    """Return shape name -> the first cell of that shape, for shapes that structures may make, too.

    The first shape of a cell is that of its first training step, under the cell's own structure.
    """
    shapes: dict[str, Cell] = {}
    for cell in cells:
        models = cell.structure.reachable(cell.model, cell.task())
        changed = (as_model(cell, model) for model in models)
        for changed_cell in (cell, *changed):
            shapes.setdefault(shape_name(changed_cell), changed_cell)
    return shapes


def as_model(cell: Cell, model: ModelParameters) -> Cell:
    """Return the cell with the model that its network has become; its name stays.

    Args:
        cell: the cell before the structure changed its network.
        model: the model after the change.
    """
    return cell if model == cell.trained_model() else replace(cell, model=model, structure=StaticParameters())


def _used(value: float) -> str:
    return "used" if value else "unused"
