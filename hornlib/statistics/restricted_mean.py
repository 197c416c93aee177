"""Costs to the targets: when each run reaches each target on each axis of cost.

The costs here describe one arm: they use the evaluations and the budget of that arm alone. A ratio of two arms uses the
evaluations and the budget that both share, see `hornlib.statistics.pairs`.
"""

import warnings
from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.results.divergence import final_with_chance
from hornlib.results.target_times import final_cost, time_to_target
from hornlib.statistics.axes import cost_on

__all__ = ["Events", "References", "baseline_metric", "events_on", "references_of", "restricted_times"]

OF_THE_AXIS = "see the attribute axis_units"

NEEDED_COORDINATES = ("step", "direction", "chance_level")
"""Coordinates that times depend on. All others are dropped, so that xarray has no labels to align."""


class References(NamedTuple):
    """Start and end of the baseline's gain; the level of a target f is start + f (end - start).

    Attributes:
        metric: variable of the results that must reach the level.
        start: (contender,), the chance level, or the baseline's training loss at its first evaluation.
        end: (contender,), the baseline's final metric or training loss; NaN if unknown, or no better than the start.
    """

    metric: str
    start: xr.DataArray
    end: xr.DataArray


class Events(NamedTuple):
    """When runs reach the targets: arrays (contender, target, axis, seed).

    Attributes:
        known: whether the run counts. It counts if it was evaluated and if the target has a level.
        hit: whether the run reached the target. A diverged run never does.
        cost: cost until the target; for a run that missed the target, cost of its whole training.
        whole: cost of the whole training, up to the last evaluation.
        resolution: length of the evaluation interval in which the run reached the target; 0 for a miss.
        diverged: whether the run diverged.
    """

    known: np.ndarray
    hit: np.ndarray
    cost: np.ndarray
    whole: np.ndarray
    resolution: np.ndarray
    diverged: np.ndarray


def baseline_metric(ds: xr.Dataset, baseline: str) -> xr.DataArray:
    """Return A, the median final validation metric over the baseline's runs, (dataset,).

    A diverged run has the chance level. If the baseline was tuned, only the cells that were selected for the final
    metric count.

    Args:
        ds: from `contenders`.
        baseline: label of the baseline's arm.

    Returns:
        NaN where there is no such arm, run or metric.
    """
    final = final_with_chance(ds["final_validation_metric"], ds["diverged_at_step"], ds["chance_level"])
    described = {"units": "1", "long_name": "median final validation metric of the baseline"}
    return _median_of_baseline(ds, final, baseline).assign_attrs(described)


def references_of(ds: xr.Dataset, reference: xr.DataArray, baseline: str) -> dict[str, References]:
    """Return start and end of the baseline's gain for `validation_metric` and, if recorded, for `training_loss`.

    The training loss starts at the baseline's median at the first evaluation and ends at its median at the last.

    Args:
        ds: from `contenders`.
        reference: A, (dataset,); NaN where unknown.
        baseline: label of the baseline's arm.

    Returns:
        Name of the metric -> its references.
    """
    better = _bare(xr.where(ds["direction"] == "maximise", 1.0, -1.0))
    start, end = _bare(ds["chance_level"]), _bare(_by_contender(ds, reference))
    references = {
        "validation_metric": References("validation_metric", start, end.where((end - start) * better > 0))
    }
    if "training_loss" in ds:
        losses = ds["training_loss"].transpose("contender", "seed", "step")
        steps = ds["samples"].notnull()
        first = losses.where(ds["step"] == ds["step"].where(steps).min("step")).max("step")
        last = losses.where(ds["step"] == ds["step"].where(steps).max("step")).max("step")
        start, end = (_by_contender(ds, _median_of_baseline(ds, loss, baseline)) for loss in (first, last))
        references["training_loss"] = References("training_loss", start, end.where(end < start))
    return {
        metric: References(gain.metric, _bare(gain.start), _bare(gain.end))
        for metric, gain in references.items()
    }


def restricted_times(
    ds: xr.Dataset,
    references: dict[str, References],
    events: Events,
    settings: StatisticsSettings,
    axes: tuple[str, ...],
) -> xr.Dataset:
    """Return when each run reaches each target on each axis, and min(time, budget) with the budget of its own arm.

    The level is start + f (end - start), for the validation metric chance + f (A - chance). The budget of an arm is the
    cost of its last evaluation. A run that diverges or misses the target costs the whole budget.

    Args:
        ds: from `contenders`.
        references: from `references_of`.
        events: from `events_on`, of the same contenders.
        settings: targets.
        axes: axes of cost, those of `events`.

    Returns:
        `level` (dataset, target), `budget` (contender, axis), and on (contender, seed, target, axis) `event` (int8),
        `restricted_time` and `resolution`, the length of the evaluation interval in which the target was reached (0
        for a miss). NaN where a run is missing.
    """
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
        warnings.simplefilter("ignore", RuntimeWarning)  # an axis without any measurement is all NaN
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


def events_on(
    ds: xr.Dataset,
    references: dict[str, References],
    settings: StatisticsSettings,
    axes: tuple[str, ...],
) -> Events:
    """Return when every run reaches every target, judged on the evaluations in `ds`.

    Args:
        ds: from `contenders` (contender, seed, step); it may have fewer contenders or steps.
        references: from `references_of`, of the same contenders.
        settings: targets, and the number of consecutive evaluations that must reach one.
        axes: of `hornlib.statistics.axes.COST_AXES`.
    """
    targets = np.array(settings.all_targets())
    target = xr.DataArray(targets, {"target": targets}, "target")
    bare = ds.drop_vars([name for name in ds.coords if name not in NEEDED_COORDINATES])
    shape = (ds.sizes["contender"], len(targets), ds.sizes["seed"])
    diverged = np.broadcast_to(
        bare["diverged_at_step"].notnull().transpose("contender", "seed").values[:, None], shape
    )
    by_axis = []
    for axis in axes:
        reference = references["training_loss" if axis == "training_loss" else "validation_metric"]
        by_axis.append(_on_axis(bare, target, reference, axis, settings.confirm))
    is_known, hit, cost, whole, resolution = (
        np.stack([on_axis[place] for on_axis in by_axis], axis=2) for place in range(5)
    )
    return Events(is_known, hit, cost, whole, resolution, np.repeat(diverged[:, :, None], len(axes), axis=2))


def _on_axis(
    bare: xr.Dataset, target: xr.DataArray, reference: References, axis: str, confirm: int
) -> tuple[np.ndarray, ...]:
    """Return known, hit, cost, whole and resolution of `Events` on one axis, (contender, target, seed) each."""
    on = "samples" if axis == "training_loss" else axis
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        reached = time_to_target(bare, target, on, reference.metric, confirm, reference.end, reference.start)
    cost = cost_on(bare, axis)
    before = cost.where(cost < reached["time"]).max("step").fillna(0.0)
    whole = final_cost(cost, bare["samples"].notnull())
    is_known = reached["time"].notnull() & reference.end.notnull() & whole.notnull()
    hit = reached["event"] & is_known
    resolution = (reached["time"] - before).where(hit, 0.0)
    like = xr.zeros_like(reached["time"])
    return tuple(
        (values + like if values.dtype.kind == "f" else values | (like > 1))
        .transpose("contender", "target", "seed")
        .values
        for values in (is_known, hit, reached["time"], whole, resolution)
    )


def _median_of_baseline(ds: xr.Dataset, runs: xr.DataArray, baseline: str) -> xr.DataArray:
    """Return the median of `runs` (contender, seed) over the baseline's runs, (dataset,); see `baseline_metric`."""
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
    """Return the value of every contender's dataset, (contender,)."""
    return by_dataset.sel(dataset=ds["dataset"].drop_vars("contender")).drop_vars("dataset")


def _bare(values: xr.DataArray) -> xr.DataArray:
    """Return values without coordinates and attributes."""
    return values.drop_vars(list(values.coords)).drop_attrs()
