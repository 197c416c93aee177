"""Cost of every run to each target on each axis, on the evaluations and up to the budget of its own arm."""

import warnings
from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.results.divergence import final_with_chance
from hornlib.results.target_times import AXES, final_cost, time_to_target

__all__ = [
    "COST_AXES",
    "UNITS",
    "Events",
    "References",
    "axes_of_cost",
    "baseline_metric",
    "cost_on",
    "events_on",
    "labelled_times",
    "references_of",
    "restricted_times",
]

COST_AXES = (*AXES, "training_loss")
"""Axes of cost. The last is in samples, and its event is that the mean training loss has fallen far enough: it
involves no evaluation, and so no statistics of batch norm. Arms with other dropout or label smoothing have another
loss, and cannot be compared on it."""

UNITS = {"step": "1", "samples": "1", "training_flops": "FLOP", "seconds": "s", "training_loss": "1"}
"""Of each axis of cost."""

OF_THE_AXIS = "see the attribute axis_units"

KEPT = ("step", "direction", "chance_level")
"""Coordinates that times depend on; without labels of contenders and seeds nothing has to be aligned."""


class References(NamedTuple):
    """Where a gain begins and ends, by contender; a target f lies at start + f (end - start).

    Attributes:
        metric: column of the results that must reach the target.
        start: chance level, or the baseline's training loss at its first step.
        end: what the baseline ends at; NaN where it is unknown or no better than the start.
    """

    metric: str
    start: xr.DataArray
    end: xr.DataArray


class Events(NamedTuple):
    """When runs reach the targets, as plain arrays (contender, target, axis, seed).

    Attributes:
        known: whether the run counts: it was evaluated, and there is a level to reach.
        hit: whether it reached the target; never where it diverged.
        cost: until the target, and where it was not reached, of the whole training.
        whole: cost of the whole training, to the last evaluation.
        resolution: length of the evaluation interval that the event lies in; 0 for a miss.
        diverged: whether the run diverged.
    """

    known: np.ndarray
    hit: np.ndarray
    cost: np.ndarray
    whole: np.ndarray
    resolution: np.ndarray
    diverged: np.ndarray


def baseline_metric(ds: xr.Dataset, baseline: str) -> xr.DataArray:
    """Return A, by dataset: the median final validation metric over the baseline's runs.

    A run that diverged has the chance level. Of a tuned baseline the cells selected for the final metric
    count. NaN where there is no such arm, run or metric.
    """
    final = final_with_chance(ds["final_validation_metric"], ds["diverged_at_step"], ds["chance_level"])
    described = {"units": "1", "long_name": "median final validation metric of the baseline"}
    return _median_of_baseline(ds, final, baseline).assign_attrs(described)


def references_of(ds: xr.Dataset, reference: xr.DataArray, baseline: str) -> dict[str, References]:
    """Return the start and the end of the gain for `validation_metric` and, where it was recorded, `training_loss`.

    The training loss starts at the baseline's median at the first evaluation and ends at its median at the last.

    Args:
        ds: from `contenders`.
        reference: A by dataset; NaN where unknown, or no better than chance.
        baseline: label of the baseline's arm.
    """
    better = _bare(xr.where(ds["direction"] == "maximise", 1.0, -1.0))
    start, end = _bare(ds["chance_level"]), _bare(_by_contender(ds, reference))
    found = {
        "validation_metric": References("validation_metric", start, end.where((end - start) * better > 0))
    }
    if "training_loss" in ds:
        losses = ds["training_loss"].transpose("contender", "seed", "step")
        steps = ds["samples"].notnull()
        first = losses.where(ds["step"] == ds["step"].where(steps).min("step")).max("step")
        last = losses.where(ds["step"] == ds["step"].where(steps).max("step")).max("step")
        start, end = (_by_contender(ds, _median_of_baseline(ds, loss, baseline)) for loss in (first, last))
        found["training_loss"] = References("training_loss", start, end.where(end < start))
    return {metric: References(own.metric, _bare(own.start), _bare(own.end)) for metric, own in found.items()}


def restricted_times(
    ds: xr.Dataset,
    reference: xr.DataArray,
    settings: StatisticsSettings,
    axes: tuple[str, ...] | None = None,
) -> xr.Dataset:
    """Return when each run reaches each target on each axis, and min(time, budget) with its own arm's budget.

    The level is start + f (end - start), for the validation metric chance + f (A - chance). A contender's budget is
    the cost of its last evaluation; a run that diverges or never reaches the level costs the whole budget. These
    numbers describe one arm: the ratio of a pair has a budget of its own, see `hornlib.statistics.pairs`.

    Args:
        ds: from `contenders`.
        reference: A by dataset; NaN where unknown, or no better than chance.
        settings: targets, confirmations, baseline.
        axes: of `COST_AXES`; seconds are calibrated. None: all that the results have.

    Returns:
        `level` (dataset, target), `budget` (contender, axis), and on (contender, seed, target, axis) `event`
        (int8), `restricted_time` and `resolution`, the length of the evaluation interval that an event
        lies in (0 for a miss), with NaN where a run is missing.
    """
    axes = axes_of_cost(ds) if axes is None else axes
    references = references_of(ds, reference, settings.baseline)
    return labelled_times(ds, references, events_on(ds, references, settings, axes), settings, axes)


def labelled_times(
    ds: xr.Dataset,
    references: dict[str, References],
    events: Events,
    settings: StatisticsSettings,
    axes: tuple[str, ...],
) -> xr.Dataset:
    """Return what `restricted_times` does, of events that are there already."""
    dims = ("contender", "target", "axis", "seed")
    targets = np.array(settings.all_targets())
    coords = {
        "contender": ds["contender"],
        "target": ("target", targets, {"units": "1"}),
        "axis": list(axes),
        "seed": ds["seed"],
    }

    def labelled(values: np.ndarray, long_name: str, units: str = "1") -> xr.DataArray:
        return xr.DataArray(values, coords, dims, attrs={"units": units, "long_name": long_name}).transpose(
            "contender", "seed", "target", "axis"
        )

    cost = np.where(events.known, events.cost, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an axis that nobody has measured is all NaN
        budget = labelled(np.where(events.known, events.whole, np.nan), "").max(("seed", "target"))
    metric = references["validation_metric"]
    by_contender = metric.start + xr.DataArray(targets, dims="target") * (metric.end - metric.start)
    names = list(dict.fromkeys(ds["dataset"].values.tolist()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        level = [np.nanmin(by_contender.values[ds["dataset"].values == name], axis=0) for name in names]
    return xr.Dataset(
        {
            "level": (
                ("dataset", "target"),
                np.array(level).reshape(len(names), len(targets)),
                {"units": "1", "long_name": "validation metric to reach"},
            ),
            "budget": budget.assign_attrs(
                units=OF_THE_AXIS,
                long_name="cost of the arm's last evaluation, to which its times are restricted",
            ),
            "event": labelled((events.hit & events.known).astype(np.int8), "whether the target was reached"),
            "restricted_time": labelled(cost, "cost until the target or the budget", OF_THE_AXIS),
            "resolution": labelled(
                np.where(events.known, events.resolution, np.nan),
                "length of the evaluation interval",
                OF_THE_AXIS,
            ),
        },
        coords={"dataset": np.array(names, object)},
    )


def axes_of_cost(ds: xr.Dataset) -> tuple[str, ...]:
    """Return the axes of cost that the results can be judged on."""
    return tuple(axis for axis in COST_AXES if axis != "training_loss" or "training_loss" in ds)


def cost_on(ds: xr.Dataset, axis: str) -> xr.DataArray:
    """Return the cost of every evaluation on an axis, (contender[, seed], step); NaN where there is none."""
    name = "samples" if axis == "training_loss" else axis
    return ds[name].where(ds["samples"].notnull())


def events_on(
    ds: xr.Dataset,
    references: dict[str, References],
    settings: StatisticsSettings,
    axes: tuple[str, ...],
) -> Events:
    """Return when every run reaches every target, judged on the evaluations that `ds` holds.

    Args:
        ds: from `contenders`, perhaps with fewer contenders or steps.
        references: from `references_of`, of the same contenders.
        settings: targets, and how many evaluations in a row must reach one.
        axes: of `COST_AXES`.
    """
    targets = np.array(settings.all_targets())
    target = xr.DataArray(targets, {"target": targets}, "target")
    bare = ds.drop_vars([name for name in ds.coords if name not in KEPT])
    shape = (ds.sizes["contender"], len(targets), ds.sizes["seed"])
    diverged = np.broadcast_to(
        bare["diverged_at_step"].notnull().transpose("contender", "seed").values[:, None], shape
    )
    by_axis = []
    for axis in axes:
        judged = references["training_loss" if axis == "training_loss" else "validation_metric"]
        by_axis.append(_on_axis(bare, target, judged, axis, settings.confirm))
    known, hit, cost, whole, resolution = (
        np.stack([on_axis[place] for on_axis in by_axis], axis=2) for place in range(5)
    )
    return Events(known, hit, cost, whole, resolution, np.repeat(diverged[:, :, None], len(axes), axis=2))


def _on_axis(
    bare: xr.Dataset, target: xr.DataArray, reference: References, axis: str, confirm: int
) -> tuple[np.ndarray, ...]:
    """Return known, hit, cost, whole and resolution on one axis, (contender, target, seed) each."""
    on = "samples" if axis == "training_loss" else axis
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found = time_to_target(bare, target, on, reference.metric, confirm, reference.end, reference.start)
    cost = cost_on(bare, axis)
    before = cost.where(cost < found["time"]).max("step").fillna(0.0)
    whole = final_cost(cost, bare["samples"].notnull())
    known = found["time"].notnull() & reference.end.notnull() & whole.notnull()
    hit = found["event"] & known
    resolution = (found["time"] - before).where(hit, 0.0)
    like = xr.zeros_like(found["time"])
    return tuple(
        (values + like if values.dtype.kind == "f" else values | (like > 1))
        .transpose("contender", "target", "seed")
        .values
        for values in (known, hit, found["time"], whole, resolution)
    )


def _median_of_baseline(ds: xr.Dataset, runs: xr.DataArray, baseline: str) -> xr.DataArray:
    """Return the median over the baseline's runs by dataset; of a tuned baseline, of those selected for the end."""
    values = runs.transpose("contender", "seed").values
    datasets = list(dict.fromkeys(ds["dataset"].values.tolist()))
    medians = np.full(len(datasets), np.nan)
    for index, dataset in enumerate(datasets):
        cells = (ds["arm"].values == baseline) & (ds["dataset"].values == dataset)
        best = cells & (ds["selected_for"].values == "final_metric")
        numbers = values[best if best.any() else cells]
        numbers = numbers[np.isfinite(numbers)]
        medians[index] = np.median(numbers) if len(numbers) else np.nan
    return xr.DataArray(medians, {"dataset": np.array(datasets, object)}, "dataset")


def _by_contender(ds: xr.Dataset, by_dataset: xr.DataArray) -> xr.DataArray:
    return by_dataset.sel(dataset=ds["dataset"].drop_vars("contender")).drop_vars("dataset")


def _bare(values: xr.DataArray) -> xr.DataArray:
    """Return values on contender without coordinates and attributes."""
    return values.drop_vars(list(values.coords)).drop_attrs()
