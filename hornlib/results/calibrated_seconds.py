"""Calibrated seconds of runs whose networks change their shape: the steps of each shape at its own step time."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from hornlib.calibration.shapes import as_model, shape_name
from hornlib.cell import Cell
from hornlib.parameters import ModelParameters
from hornlib.results.calibration import Calibration
from hornlib.results.run_file import RunFile

if TYPE_CHECKING:
    import xarray

__all__ = ["LONG_NAME", "calibrated_seconds", "models_over_time", "seconds_on"]

LONG_NAME = (
    "training time of a lone lane so far, every step at the calibrated time of the shape it was made as"
)


def calibrated_seconds(run: RunFile, cell: Cell, calibration: Calibration) -> np.ndarray:
    """Return sum over shapes s of (steps made as s) x (step time of s) at every evaluation, (seed, step), s.

    Steps alone: what a structure does between them (the gradients of a look, the change itself) is not in it; NaN
    from where on a shape was not measured.

    Args:
        run: with its events.
        cell: what it was trained from.
        calibration: of the device.
    """
    steps = run.variables["step"]
    seconds = np.zeros((len(run.variables["seed"]), len(steps)))
    times: dict[ModelParameters, float] = {}
    for row, seed in zip(seconds, run.variables["seed"].tolist(), strict=True):
        pieces = list(models_over_time(run, cell, seed))
        ends = [start for start, _ in pieces[1:]] + [np.inf]
        for (start, model), end in zip(pieces, ends, strict=True):
            if model not in times:
                measured = calibration.shapes.get(shape_name(as_model(cell, model)))
                times[model] = measured.step_time if measured else np.nan
            made = np.clip(steps - start, 0, end - start)
            row += np.where(made > 0, made * times[model], 0)
    return seconds


def seconds_on(ds: "xarray.Dataset", device: int) -> "xarray.DataArray":
    """Return the calibrated seconds of results.nc at every evaluation, s.

    Args:
        ds: with `step_time`; `calibrated_seconds` is there where a network may change its shape.
        device: which calibration device, by its position.

    Returns:
        (cell, seed, step) where a network may change its shape, else (cell, step).
    """
    if "calibrated_seconds" in ds:
        seconds = ds["calibrated_seconds"].isel(calibration_device=device, drop=True)
    else:
        seconds = ds["step_time"].isel(calibration_device=device, drop=True) * ds["step"]
    return seconds.where(ds["samples"].notnull())


def models_over_time(run: RunFile, cell: Cell, seed: int) -> Iterator[tuple[int, ModelParameters]]:
    """Yield what the network of a seed was, each with the steps done before it became that, from 0 on.

    Args:
        run: with its events.
        cell: what it was trained from.
        seed: one of the run's.
    """
    moments: dict[int, list[tuple[str, int]]] = {}
    columns = [run.variables.get(f"event_{name}", ()) for name in ("seed", "step", "kind", "position")]
    for own, step, kind, position in zip(*columns, strict=True):
        if own == seed:
            moments.setdefault(int(step), []).append((str(kind), int(position)))
    model = cell.model
    yield 0, model
    for step, events in moments.items():
        model = cell.structure.replayed(model, events)
        yield step, model
