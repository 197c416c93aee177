"""Calibrated training time: every step at the calibrated step time of the network's shape at that step.

A structure that may make very many shapes lists some of them for calibration. The step time of a shape between these is
interpolated linearly in forward FLOPs. With 7 of 13 widths measured, that met the step times of the other widths within
6 % (mlp 784-16-16 to 784-64-64, one thread); interpolated in logarithms they were no nearer, and with 2 of 13 measured
convolutional networks they were up to 29 % off, against 16 %.
"""

from collections.abc import Iterator, Sequence
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

__all__ = ["best_device", "calibrated_seconds", "interpolated_steps", "models_over_time"]

BEYOND = 0.1
"""Share of the measured range of FLOPs by which a shape may lie outside of it: widths that the training decides on."""


def calibrated_seconds(run: RunFile, cell: Cell, calibration: Calibration) -> np.ndarray:
    """Return sum over shapes of (number of steps with the shape) x (its step time) at every evaluation, s.

    Work of a structure between steps (gradients for its decision, the change itself) is not included.

    Args:
        run: a run file with its events.
        cell: the cell of the run.
        calibration: of one device.

    Returns:
        (seed, step); NaN from the first step whose network shape has no step time.
    """
    steps, times = run.variables["step"], _StepTimes(cell, calibration)
    seconds = np.zeros((len(run.variables["seed"]), len(steps)))
    for row, seed in zip(seconds, run.variables["seed"].tolist(), strict=True):
        for start, end, model in _pieces(run, cell, seed):
            num_steps = np.clip(steps - start, 0, end - start)
            row += np.where(num_steps > 0, num_steps * times.of(model), 0)
    return seconds


def interpolated_steps(run: RunFile, cell: Cell) -> np.ndarray:
    """Return the number of training steps whose step time is interpolated between calibrated shapes, (seed,).

    Args:
        run: a run file with its events.
        cell: the cell of the run.
    """
    listed, last = _listed(cell), run.variables["step"][-1]
    return np.array(
        [
            sum(
                max(min(end, last) - start, 0)
                for start, end, model in _pieces(run, cell, seed)
                if model not in listed
            )
            for seed in run.variables["seed"].tolist()
        ],
        float,
    )


class _StepTimes:
    """Step times of one cell's shapes on one device: calibrated, or interpolated between calibrated shapes.

    Args:
        cell: its structure lists the shapes that are calibrated.
        calibration: of the device.
    """

    def __init__(self, cell: Cell, calibration: Calibration) -> None:
        self.task, self.listed = cell.task(), _listed(cell)
        self.times: dict[ModelParameters, float] = {}
        for model in self.listed:
            measured = calibration.shapes.get(shape_name(as_model(cell, model)))
            self.times[model] = measured.step_time if measured else np.nan

    def of(self, model: ModelParameters) -> float:
        """Return the time of a training step, s; NaN for a listed shape that was not measured, or far beyond all."""
        if model not in self.times:
            measured = [(self._flops(listed), self.times[listed]) for listed in self.listed]
            self.times[model] = _interpolated(self._flops(model), measured)
        return self.times[model]

    def _flops(self, model: ModelParameters) -> int:
        return model.forward_flops(self.task).total


def _listed(cell: Cell) -> set[ModelParameters]:
    """Return the models of a cell whose shapes are calibrated: the first one, and those that its structure lists."""
    return {cell.trained_model(), *cell.structure.reachable(cell.model, cell.task())}


def _interpolated(flops: int, measured: Sequence[tuple[int, float]]) -> float:
    """Return the step time at some forward FLOPs, linear between neighbours, s.

    Beyond the last neighbours the line goes on for a tenth of the measured range; farther on the result is NaN.

    Args:
        flops: of one forward pass.
        measured: FLOPs and step times, s; NaN where a shape was not measured.
    """
    points = sorted((at, time) for at, time in measured if not np.isnan(time))
    if len(points) < 2:
        return np.nan
    reach = BEYOND * (points[-1][0] - points[0][0])
    if not points[0][0] - reach <= flops <= points[-1][0] + reach:
        return np.nan
    upper = next((index for index, (at, _) in enumerate(points) if index and flops <= at), len(points) - 1)
    (left, low), (right, high) = points[upper - 1 : upper + 1]
    return low if right == left else low + (high - low) * (flops - left) / (right - left)


def _pieces(run: RunFile, cell: Cell, seed: int) -> Iterator[tuple[int, float, ModelParameters]]:
    """Yield the successive networks of a seed, each with the training steps before it and at its end."""
    pieces = list(models_over_time(run, cell, seed))
    ends = [*(float(start) for start, _ in pieces[1:]), np.inf]
    for (start, model), end in zip(pieces, ends, strict=True):
        yield start, end, model


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
