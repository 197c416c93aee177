"""Time to target: when each run first reaches a metric; runs that do not reach it are censored."""

import numpy as np
import xarray as xr

from hornlib.errors import ResultsError, nearest
from hornlib.results.calibrated_seconds import best_device
from hornlib.results.variables import RESULTS_VARIABLES

__all__ = ["AXES", "final_cost", "time_to_target"]

AXES = ("step", "samples", "training_flops", "seconds")
"""Measures of time that every run file has."""

CALIBRATED = "calibrated_seconds"
"""Measure of time after `hornlib calibrate`."""

ROUNDING = 1e-9
"""Tolerance of a comparison with the target: an accuracy is a ratio of counts and a level a product, both rounded."""

METRICS = ("validation_metric", "test_metric", "validation_loss", "test_loss", "training_loss")


def time_to_target(
    ds: xr.Dataset,
    target: float | xr.DataArray,
    on: str = "step",
    metric: str = "validation_metric",
    confirm: int = 2,
    baseline: float | xr.DataArray | None = None,
    chance: float | xr.DataArray | None = None,
) -> xr.Dataset:
    """Return when each run reaches the target, and whether it does: the input of censored statistics.

    The time of an event is the right end of its evaluation interval: the first of `confirm` consecutive evaluations
    that all reach the target. A run without an event is censored at the budget, which is its cell's last evaluation. A
    run that diverges is censored there too, whatever it had reached before: it stays at risk to the end and counts as
    a miss. A run that is missing, or has no such metric, has the time NaN.

    Args:
        ds: from `open_results`, with the dimensions `seed` and `step`.
        target: the metric to reach; with `baseline`, the share f of the baseline's gain, so that the level is
            chance + f (A - chance).
        on: step, samples, training_flops, calibrated_seconds (on the device of `best_device`) or
            seconds (uncalibrated: a lane's share of its job's own clock).
        metric: what must reach the target, in the dataset's direction; a loss must fall to it.
        confirm: number of consecutive evaluations that must reach the target.
        baseline: A, the final metric of a baseline, e.g. its median over seeds and cells, by dataset.
        chance: metric at which the gain begins; None takes the dataset's chance level, which a loss does not have.

    Returns:
        `time` (units of `on`), `event` (bool), the `level` and, if `ds` has it, `status`.

    Raises:
        ResultsError: an unknown word, or a target that is not finite.
    """
    _check(ds, on, metric, confirm)
    level = _level(ds, target, metric, baseline, chance)
    values = ds[metric]
    maximise = ds["direction"] == "maximise" if metric.endswith("_metric") else xr.DataArray(False)
    reached = xr.where(maximise, values >= level - ROUNDING, values <= level + ROUNDING)
    evaluated = ds["samples"].notnull()
    diverged = ds["diverged_at_step"].notnull()
    axis = _axis(ds, on, evaluated)
    first = xr.apply_ufunc(
        _first_confirmed,
        reached,
        evaluated,
        axis,
        input_core_dims=[["step"]] * 3,
        kwargs={"confirm": confirm},
    )
    event = first.notnull() & ~diverged
    measured = values.notnull().any("step") | (diverged & evaluated.any("step"))
    time = xr.where(event, first, final_cost(axis, evaluated)).where(measured)
    described = {
        "units": RESULTS_VARIABLES[on].units,
        "long_name": f"{RESULTS_VARIABLES[on].long_name} to the target",
    }
    result = xr.Dataset(
        {
            "time": time.assign_attrs(described),
            "event": event.assign_attrs(units="1", long_name="whether the target was reached"),
            "level": level.assign_attrs(units="1", long_name=f"target {RESULTS_VARIABLES[metric].long_name}"),
        },
        attrs={"on": on, "metric": metric, "confirm": confirm},
    )
    if "status" in ds:
        result["status"] = ds["status"]
    return result.drop_vars("step", errors="ignore")


def _check(ds: xr.Dataset, on: str, metric: str, confirm: int) -> None:
    for word, valid, key in ((on, (*AXES, CALIBRATED), "on"), (metric, METRICS, "metric")):
        if word not in valid:
            raise ResultsError(f"{key}: unknown {word!r}{nearest(word, valid)}; valid: {', '.join(valid)}")
    if confirm < 1:
        raise ResultsError(f"confirm: got {confirm}; it is a number of evaluations, from 1 on")
    needed = {metric, "samples", "diverged_at_step", *({on} - {"step", CALIBRATED})}
    if missing := sorted(needed - set(ds.data_vars)):
        raise ResultsError(f"the dataset lacks {', '.join(missing)}; take it as open_results() gives it")


def _axis(ds: xr.Dataset, on: str, evaluated: xr.DataArray) -> xr.DataArray:
    """Return the measure of time at every evaluation, with a dimension `step`."""
    if on == "step":
        return ds["step"].where(evaluated)
    if on != CALIBRATED:
        return ds[on]
    device = best_device(ds)
    if device is None:
        raise ResultsError(
            "on: the results have no calibrated step times; `hornlib calibrate` measures them, and `hornlib gather` "
            "adds them to results.nc"
        )
    return device[1]


def _level(
    ds: xr.Dataset,
    target: float | xr.DataArray,
    metric: str,
    baseline: float | xr.DataArray | None,
    chance: float | xr.DataArray | None,
) -> xr.DataArray:
    target = xr.DataArray(target)
    if not np.isfinite(target).all():
        raise ResultsError(f"target: got {target.values}; it is a finite number")
    if baseline is None:
        return target
    if chance is None and not metric.endswith("_metric"):
        raise ResultsError(
            f"baseline: {metric} has no chance level; give `chance`, or the target alone, as a level"
        )
    start = ds["chance_level"] if chance is None else xr.DataArray(chance)
    return (start + target * (baseline - start)).drop_attrs()


def _first_confirmed(
    reached: np.ndarray, evaluated: np.ndarray, axis: np.ndarray, confirm: int
) -> np.ndarray:
    """Return x at the first of `confirm` consecutive evaluations that reach the target, or NaN, (...).

    Args:
        reached: whether an evaluation reaches the target, (..., step).
        evaluated: whether the cell was evaluated, (..., step); other steps are skipped.
        axis: x, (..., step).
        confirm: at least 1.
    """
    reached, evaluated, axis = np.broadcast_arrays(reached, evaluated, axis)
    in_a_row = np.zeros(reached.shape[:-1], int)
    first = np.full(reached.shape[:-1], np.nan)
    for index in reversed(range(reached.shape[-1])):
        is_evaluation = evaluated[..., index]
        in_a_row = np.where(is_evaluation, np.where(reached[..., index], in_a_row + 1, 0), in_a_row)
        first = np.where(is_evaluation & (in_a_row >= confirm), axis[..., index], first)
    return first


def final_cost(axis: xr.DataArray, evaluated: xr.DataArray) -> xr.DataArray:
    """Return x at each cell's last evaluation.

    A run that diverged has no x there. It takes the largest x of its cell; where all seeds diverged, the last x of any
    seed is extrapolated in proportion to steps.

    Args:
        axis: x, (..[, seed], step); NaN where there is no evaluation.
        evaluated: whether the cell was evaluated, (.., step).

    Returns:
        (..[, seed]), in the units of x.
    """
    shared = axis.max("seed") if "seed" in axis.dims else axis
    last_step = axis["step"].where(evaluated).max("step")
    last_known_step = axis["step"].where(shared.notnull()).max("step")
    shared = shared.max("step") * (last_step / last_known_step)
    if "seed" not in axis.dims:
        return shared
    at_last_step = axis.where(axis["step"] == last_step).max("step")
    return at_last_step.fillna(shared)
