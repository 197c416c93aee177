"""Calibrated seconds of runs whose networks change their shape: the steps of each shape at its own step time."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from hornlib.grid.cell import Cell
from hornlib.grid.shapes import as_model, shape_name
from hornlib.parameters import ModelParameters
from hornlib.results.calibration import Calibration
from hornlib.results.run_file import RunFile

if TYPE_CHECKING:
    import xarray

__all__ = ["LONG_NAME", "best_device", "calibrated_seconds", "models_over_time"]

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


def best_device(
    ds: "xarray.Dataset", cells: np.ndarray | None = None
) -> tuple[int, "xarray.DataArray"] | None:
    """Return the calibration device on which the seconds of most cells are known, and those seconds; None without one.

    Args:
        ds: from `open_results`.
        cells: positions of the cells that choose the device; None, or none of them known anywhere: all.

    Returns:
        The device's position, and the seconds at every evaluation: (cell, seed, step) where a network may change its
        shape, else (cell, step). Of a cell of which some run has become what was not measured there, nothing is
        known: a run whose clock stops would seem never to have arrived.
    """
    if "step_time" not in ds:
        return None
    found = [_seconds_on(ds, device) for device in range(ds.sizes.get("calibration_device", 0))]
    known = [
        seconds.notnull().any([dim for dim in seconds.dims if dim != "cell"]).values for seconds in found
    ]
    if not found:
        return None
    chosen = [int(of_device.sum()) for of_device in known]
    if cells is not None and any(of_device[cells].any() for of_device in known):
        chosen = [int(of_device[cells].sum()) for of_device in known]
    return max(enumerate(found), key=lambda device: chosen[device[0]])


def _seconds_on(ds: "xarray.Dataset", device: int) -> "xarray.DataArray":
    evaluated = ds["samples"].notnull()
    if "calibrated_seconds" not in ds:
        return (ds["step_time"].isel(calibration_device=device, drop=True) * ds["step"]).where(evaluated)
    seconds = ds["calibrated_seconds"].isel(calibration_device=device, drop=True).where(evaluated)
    trained = ds["status"].isin(("complete", "diverged"))
    unknown = (trained & evaluated & seconds.isnull()).any(("seed", "step"))
    return seconds.where(~unknown)


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
