"""Time to each target on each axis of cost, restricted to one budget that all who can be compared share."""

import warnings

import numpy as np
import xarray as xr

from hornlib.results.events import AXES, time_to_target
from hornlib.statistics.settings import StatisticsSettings

__all__ = ["UNITS", "baseline_metric", "common_steps", "restricted_times"]

UNITS = {"step": "1", "samples": "1", "training_flops": "FLOP", "seconds": "s"}
"""Of each axis of cost."""

OF_THE_AXIS = "see the attribute axis_units"


def common_steps(ds: xr.Dataset) -> xr.Dataset:
    """Return the contenders with only those evaluations that all of their dataset's contenders have.

    A denser grid would date an arm's events earlier. A contender without any run has no say.
    """
    evaluated: np.ndarray = ds["samples"].notnull().transpose("contender", "step").values
    has_run = np.any(evaluated, axis=1)
    shared = np.zeros_like(evaluated)
    datasets = ds["dataset"].values
    for dataset in dict.fromkeys(datasets):
        own = datasets == dataset
        shared[own] = evaluated[own & has_run].all(0) & has_run[own, None]
    mask = xr.DataArray(shared, dims=("contender", "step"))
    return ds.assign({name: ds[name].where(mask) for name in ds.data_vars if "step" in ds[name].dims})


def baseline_metric(ds: xr.Dataset, baseline: str) -> xr.DataArray:
    """Return A, by dataset: the median final validation metric over the baseline's runs.

    A run that diverged has the chance level. Of a tuned baseline the cells selected for the final metric
    count. NaN where there is no such arm, run or metric.
    """
    diverged = ds["diverged_at_step"].notnull()
    final = ds["final_validation_metric"].fillna(ds["chance_level"].where(diverged))
    values = final.transpose("contender", "seed").values
    datasets = list(dict.fromkeys(ds["dataset"].values.tolist()))
    medians = np.full(len(datasets), np.nan)
    for index, dataset in enumerate(datasets):
        own = (ds["arm"].values == baseline) & (ds["dataset"].values == dataset)
        best = own & (ds["selected_for"].values == "final_metric")
        known = values[best if best.any() else own]
        known = known[np.isfinite(known)]
        medians[index] = np.median(known) if len(known) else np.nan
    described = {"units": "1", "long_name": "median final validation metric of the baseline"}
    return xr.DataArray(medians, {"dataset": np.array(datasets, object)}, "dataset", attrs=described)


def restricted_times(
    ds: xr.Dataset, reference: xr.DataArray, settings: StatisticsSettings, axes: tuple[str, ...] = AXES
) -> xr.Dataset:
    """Return when each run reaches each target on each axis, and its restricted time min(time, budget).

    The level is chance + f (A - chance). The budget of an axis is the smallest, over the contenders that learn
    the same data in the same presentation, of the cost of their last evaluation. A run that diverges or never
    reaches the level costs the whole budget; one that reaches it beyond the budget is a miss too.

    Args:
        ds: from `common_steps(contenders(...))`.
        reference: A by dataset; NaN where unknown, or no better than chance.
        settings: targets and confirmations.
        axes: of `hornlib.results.events.AXES`; seconds are calibrated.

    Returns:
        `level` (dataset, target), `budget` (contender, axis), and on (contender, seed, target, axis) `time`,
        `event` (int8), `restricted_time` and `resolution`, the length of the evaluation interval that an event
        lies in (0 for a miss), with NaN where a run is missing.
    """
    targets = np.array(settings.all_targets())
    target = xr.DataArray(targets, {"target": targets}, "target", attrs={"units": "1"})
    better = np.where(ds["direction"].values == "maximise", 1.0, -1.0)
    by_contender = reference.sel(dataset=ds["dataset"]).drop_vars("dataset")
    learned = (by_contender - ds["chance_level"]) * better > 0
    by_contender = by_contender.where(learned).drop_vars(
        [name for name in ds.coords if name not in ("contender", "seed", "step")], errors="ignore"
    )
    parts = [_on_axis(ds, target, by_contender, axis, settings.confirm) for axis in axes]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an axis that nobody has measured is all NaN
        result = xr.concat(parts, xr.DataArray(list(axes), dims="axis", name="axis"), coords="minimal")
    alike = [
        f"{data}\0{told}" for data, told in zip(ds["dataset"].values, ds["presentation"].values, strict=True)
    ]
    group = xr.DataArray(alike, dims="contender")
    limit = _smallest(result["own_budget"], group).sel(dataset=group).drop_vars("dataset")
    limit = limit.assign_coords(contender=ds["contender"])
    known = result["time"].notnull() & by_contender.notnull() & limit.notnull()
    event = (result["event"] & (result["time"] <= limit)).where(known, False)
    restricted = xr.where(event, result["time"], limit).where(known)
    resolution = result["resolution"].where(event, 0.0).where(known)
    level = _smallest(result["level"].isel(axis=0, drop=True), ds["dataset"])
    dims = ("contender", "seed", "target", "axis")
    return xr.Dataset(
        {
            "level": _described(level, "validation metric to reach"),
            "budget": _described(limit, "cost to which times are restricted", OF_THE_AXIS),
            "time": _described(result["time"].where(known), "cost until the target is reached", OF_THE_AXIS),
            "event": _described(event.astype(np.int8), "whether the target was reached within the budget"),
            "restricted_time": _described(restricted, "cost until the target or the budget", OF_THE_AXIS),
            "resolution": _described(resolution, "length of the evaluation interval", OF_THE_AXIS),
        }
    ).transpose(..., *dims)


def _on_axis(
    ds: xr.Dataset, target: xr.DataArray, reference: xr.DataArray, axis: str, confirm: int
) -> xr.Dataset:
    """Return time, event, level, resolution and each contender's own budget on one axis."""
    bare = ds.drop_vars([name for name in ds.coords if name not in KEPT])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found = time_to_target(bare, target, axis, "validation_metric", confirm, reference)
    cost = (bare["step"] if axis == "step" else bare[axis]).where(bare["samples"].notnull())
    before = cost.where(cost < found["time"]).max("step").fillna(0.0)
    return xr.Dataset(
        {
            "time": found["time"],
            "event": found["event"],
            "level": found["level"],
            "resolution": found["time"] - before,
            "own_budget": _own_budget(cost, bare["samples"].notnull()),
        }
    ).drop_vars(["direction", "chance_level"], errors="ignore")


KEPT = ("contender", "seed", "step", "direction", "chance_level")


def _own_budget(cost: xr.DataArray, evaluated: xr.DataArray) -> xr.DataArray:
    """Return the cost of a contender's last evaluation; where every run diverged, carried on at their rate."""
    over_runs = cost.max("seed") if "seed" in cost.dims else cost
    last = cost["step"].where(evaluated).max("step")
    known = cost["step"].where(over_runs.notnull()).max("step")
    return over_runs.max("step") * last / known


def _smallest(values: xr.DataArray, datasets: xr.DataArray) -> xr.DataArray:
    """Return the smallest known value over the contenders of each dataset."""
    values = values.transpose("contender", ...)
    names = datasets.values.tolist()
    rows = {name: [] for name in names}  # type: dict[str, list[int]]
    for row, name in enumerate(names):
        rows[name].append(row)
    smallest = np.stack([np.fmin.reduce(values.values[own], axis=0) for own in rows.values()])
    others = {name: values[name] for name in values.dims[1:]}
    return xr.DataArray(smallest, {"dataset": np.array(list(rows), object), **others}, ("dataset", *others))


def _described(values: xr.DataArray, long_name: str, units: str = "1") -> xr.DataArray:
    return values.drop_attrs(deep=False).assign_attrs(units=units, long_name=long_name)
