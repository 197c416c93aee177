"""Calibrated training time: every step at the calibrated step time of the network's shape at that step."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from hornlib.grid.cell import Cell
from hornlib.grid.shapes import as_model, shape_name
from hornlib.parameters import ModelParameters
from hornlib.parameters.structure import PastEvent
from hornlib.results.calibration_file import Calibration
from hornlib.results.run_file import RunFile

if TYPE_CHECKING:
    import xarray

__all__ = ["best_device", "calibrated_seconds", "models_over_time"]


def calibrated_seconds(run: RunFile, cell: Cell, calibration: Calibration) -> np.ndarray:
    """Return sum over shapes of (number of steps with the shape) x (its step time) at every evaluation, s.

    Work of a structure between steps (gradients for its decision, the change itself) is not included.

    Args:
        run: a run file with its events.
        cell: the cell of the run.
        calibration: of one device.

    Returns:
        (seed, step); NaN from the first step whose network shape has no calibration.
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
            num_steps = np.clip(steps - start, 0, end - start)
            row += np.where(num_steps > 0, num_steps * times[model], 0)
    return seconds


def best_device(
    ds: "xarray.Dataset", cells: np.ndarray | None = None
) -> tuple[int, "xarray.DataArray"] | None:
    """Return the calibration device that knows the seconds of most cells, and those seconds; None without a device.

    Of several the first by name is taken, which has fused kernels where another has none.

    Args:
        ds: from `open_results`.
        cells: positions of the cells that count; None counts all, and so do cells that no device knows.

    Returns:
        Position of the device, and calibrated seconds at every evaluation: (cell, seed, step) where a network may
        change its shape, else (cell, step). A cell is NaN throughout if one of its runs took a shape that was not
        measured: its clock would stop, and the run would seem never to reach a target.
    """
    num_devices = ds.sizes.get("calibration_device", 0)
    if "step_time" not in ds or not num_devices:
        return None
    seconds = [_seconds_on(ds, device) for device in range(num_devices)]
    is_known = np.stack(
        [values.notnull().any([dim for dim in values.dims if dim != "cell"]).values for values in seconds]
    ).reshape(num_devices, -1)
    if cells is not None and is_known[:, cells].any():
        is_known = is_known[:, cells]
    device = int(is_known.sum(axis=1).argmax())
    return device, seconds[device]


def _seconds_on(ds: "xarray.Dataset", device: int) -> "xarray.DataArray":
    evaluated = ds["samples"].notnull()
    if "calibrated_seconds" not in ds:
        return (ds["step_time"].isel(calibration_device=device, drop=True) * ds["step"]).where(evaluated)
    seconds = ds["calibrated_seconds"].isel(calibration_device=device, drop=True).where(evaluated)
    trained = ds["status"].isin(("complete", "diverged"))
    is_unknown = (trained & evaluated & seconds.isnull()).any(("seed", "step"))
    return seconds.where(~is_unknown)


def models_over_time(run: RunFile, cell: Cell, seed: int) -> Iterator[tuple[int, ModelParameters]]:
    """Yield the successive networks of a seed, each with the number of training steps before it, from 0 on.

    The first is the network of the first training step; events that keep the network are skipped.

    Args:
        run: a run file with its events.
        cell: the cell of the run.
        seed: one of the seeds of the run file.
    """
    events_at_step: dict[int, list[PastEvent]] = {}
    columns = [run.variables.get(f"event_{name}", ()) for name in ("seed", "step", "kind", "position")]
    numbers = run.variables.get("event_number", np.full(len(columns[0]), np.nan))  # hornlib 0.2 wrote none
    for event_seed, step, kind, position, number in zip(*columns, numbers, strict=True):
        if event_seed == seed:
            event = PastEvent(str(kind), int(position), float(number))
            events_at_step.setdefault(int(step), []).append(event)
    model = cell.trained_model()
    yield 0, model
    for step, events in events_at_step.items():
        before, model = model, cell.structure.replayed(model, events)
        if model != before:
            yield step, model
