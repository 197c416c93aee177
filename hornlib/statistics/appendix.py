"""Everything beside the headline: what the appendix of a sweep's report shows, in one Dataset."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from hornlib.data import DATASETS
from hornlib.data.parameters import DataParameters
from hornlib.parameters.statistics import StatisticsSettings
from hornlib.results.divergence import curves_with_chance
from hornlib.statistics.by_arm import by_arm
from hornlib.statistics.contenders import final_metric
from hornlib.statistics.descriptions import described
from hornlib.statistics.estimators.aggregate import probability_of_improvement
from hornlib.statistics.estimators.area import area_under_curve
from hornlib.statistics.estimators.early import EARLY_STEPS, metric_at
from hornlib.statistics.estimators.final import share_of_runs
from hornlib.statistics.estimators.pareto import non_dominated
from hornlib.statistics.estimators.student import student_interval
from hornlib.statistics.estimators.survival import fraction_reached, log_rank
from hornlib.statistics.influence_table import influence_table
from hornlib.statistics.restricted_mean import cost_on
from hornlib.statistics.rivals import rivals_of
from hornlib.statistics.tuning_cost import Tuning, tuning_summary

__all__ = ["appendix"]

NUM_TIME_POINTS = 60
"""Of a curve of the fraction reached, evenly spaced in the logarithm of the cost."""


def appendix(
    ds: xr.Dataset,
    times: xr.Dataset,
    settings: StatisticsSettings,
    tunings: Mapping[str, Tuning] | None = None,
) -> tuple[xr.Dataset, list[str]]:
    """Return every secondary quantity of a sweep, and in sentences what cannot be concluded from them.

    Poor data raise nothing: what cannot be computed is NaN. What limits the core as well is left to
    `hornlib.statistics.limits`.

    Args:
        ds: from `contenders`.
        times: from `restricted_times`.
        settings: targets, margin, alpha, draws.
        tunings: of tuned cells, by the cell's name.
    """
    times = times.reset_coords(drop=True)
    final = final_metric(ds)
    arms, told = by_arm(ds, final, times, settings)
    parameters, more = influence_table(ds, final, times, settings)
    pairs = rivals_of(ds)
    parts = [
        _survival(ds, times, settings),
        _runs(ds, times, final, settings),
        _pairs(ds, times, final, pairs, settings),
        _fronts(ds, final),
        tuning_summary(ds, times, settings.target, tunings or {}),
        arms,
    ]
    # Every part has the same labels along a dimension, so that none is sorted into another order.
    whole = xr.merge([*(part.reset_coords(drop=True) for part in parts), parameters], join="exact")
    told += ["No run has a test metric: final metrics are not compared."] if final.isnull().all() else []
    return described(whole), told + more


def _sign(ds: xr.Dataset) -> xr.DataArray:
    """Return 1 where a larger metric is better, and -1 where a smaller one is."""
    return xr.where(ds["direction"].reset_coords(drop=True) == "maximise", 1.0, -1.0)


def _survival(ds: xr.Dataset, times: xr.Dataset, settings: StatisticsSettings) -> xr.Dataset:
    """Return the fraction reached over time on every axis, for every target."""
    points = _time_points(ds, times)
    at = points.sel(dataset=ds["dataset"].reset_coords(drop=True)).drop_vars("dataset")
    by_target = []
    for target in times["target"].values:
        own = times.sel(target=[target])
        by_axis = [
            fraction_reached(chosen["restricted_time"], chosen["event"], at.sel(axis=[axis]), settings.alpha)
            for axis in times["axis"].values
            for chosen in [own.sel(axis=[axis])]
        ]
        by_target.append(xr.concat(by_axis, "axis"))
    return xr.concat(by_target, "target").assign(time_point=points)


def _time_points(ds: xr.Dataset, times: xr.Dataset) -> xr.DataArray:
    """Return costs from the first evaluation to the largest budget, (dataset, axis, time_index)."""
    datasets = list(dict.fromkeys(ds["dataset"].values.tolist()))
    largest = [
        times["budget"].isel(contender=np.flatnonzero(ds["dataset"] == name)).max("contender")
        for name in datasets
    ]
    budget = xr.concat(largest, xr.DataArray(datasets, dims="dataset", name="dataset")).transpose(
        "dataset", "axis"
    )
    points = np.full((*budget.shape, NUM_TIME_POINTS), np.nan)
    for row, dataset in enumerate(budget["dataset"].values):
        own = ds.isel(contender=np.flatnonzero(ds["dataset"] == dataset))
        for column, axis in enumerate(budget["axis"].values):
            cost = cost_on(own, str(axis))
            first = float(cost.where(cost > 0).min())
            last = float(budget.values[row, column])
            if 0 < first <= last < np.inf:
                points[row, column] = np.geomspace(first, last, NUM_TIME_POINTS)
                points[row, column, -1] = last  # not a rounding error before it: misses end there
    coords = {"dataset": budget["dataset"].values, "axis": budget["axis"].values}
    return xr.DataArray(points, coords, ("dataset", "axis", "time_index"))


def _runs(ds: xr.Dataset, times: xr.Dataset, final: xr.DataArray, settings: StatisticsSettings) -> xr.Dataset:
    """Return what there is once a run, with its mean and interval, and shares of runs."""
    bare = ds.reset_coords(drop=True)
    chance = ds["chance_level"].reset_coords(drop=True)
    curves = curves_with_chance(bare["validation_metric"], bare["diverged_at_step"], chance)
    evaluated = bare["samples"].notnull()
    epoch = _epoch_steps(ds)
    steps = sorted({*EARLY_STEPS, *epoch.values[np.isfinite(epoch.values)].astype(int).tolist()})
    found = xr.Dataset(
        {
            "early_metric": metric_at(curves, evaluated, steps),
            "area": area_under_curve(curves, evaluated),
            "final_metric": final,
            "epoch_step": epoch,
        }
    )
    for name in ("early_metric", "area", "final_metric"):
        interval = student_interval(found[name], settings.alpha)
        found = found.assign({f"{name}_mean": interval["estimate"], f"{name}_bound": interval["interval"]})
    ended = bare["status"].isin(["complete", "diverged"])
    reached = times["event"].where(times["restricted_time"].notnull()).sel(axis="samples", drop=True)
    for name, happened in (
        ("divergence_rate", (bare["status"] == "diverged").where(ended)),
        ("reached_rate", reached),
    ):
        share = share_of_runs(happened, settings.alpha)
        found = found.assign({name: share["estimate"], f"{name}_bound": share["interval"]})
    return found


def _epoch_steps(ds: xr.Dataset) -> xr.DataArray:
    """Return the last step of the first epoch; NaN for a dataset that hornlib does not know."""
    found = np.full(ds.sizes["contender"], np.nan)
    nothing = np.full(len(found), np.nan)
    columns = [
        ds[key].values if key in ds.coords else nothing
        for key in ("validation", "train_subset", "batch_size")
    ]
    for index, (dataset, validation, subset, batch) in enumerate(
        zip(ds["dataset"].values, *columns, strict=True)
    ):
        name = str(dataset).split(" ")[0]
        if name in DATASETS and not np.isnan(batch):
            data: dict[str, str | float] = {"name": name}
            data |= {} if np.isnan(validation) else {"validation": float(validation)}
            data |= {} if np.isnan(subset) else {"train_subset": int(subset)}
            found[index] = np.ceil(DataParameters.model_validate(data).num_train / batch)
    return xr.DataArray(found, {"contender": ds["contender"].values}, "contender")


def _pairs(
    ds: xr.Dataset,
    times: xr.Dataset,
    final: xr.DataArray,
    pairs: xr.DataArray,
    settings: StatisticsSettings,
) -> xr.Dataset:
    """Return what compares a contender with each of its rivals."""
    difference = student_interval(final - _of_rivals(final, pairs), settings.alpha)
    gain: xr.DataArray = final * _sign(ds)
    rival_gain = _of_rivals(gain, pairs)
    better = probability_of_improvement(gain, rival_gain, settings.alpha)
    on_samples = times.sel(axis="samples", drop=True)
    time, event = on_samples["restricted_time"], on_samples["event"] == 1
    rival_time, rival_event = _of_rivals(time, pairs), _of_rivals(event.astype(float), pairs) == 1
    by_target = []
    for target in times["target"].values:  # one at a time: every run of a pair is set against every other
        own, theirs = (
            [runs.sel(target=[target]) for runs in arm] for arm in ((time, event), (rival_time, rival_event))
        )
        by_target.append(log_rank(own[0], own[1], theirs[0], theirs[1]))
    return xr.Dataset(
        {
            "log_rank_p": xr.concat(by_target, "target"),
            "final_difference": difference["estimate"],
            "final_difference_bound": difference["interval"],
            "probability_of_improvement": better["estimate"],
            "probability_of_improvement_bound": better["interval"],
        }
    )


def _of_rivals(runs: xr.DataArray, pairs: xr.DataArray) -> xr.DataArray:
    """Return the runs of each contender's rivals, with the dimension `rival` added; NaN where there is none."""
    places = xr.DataArray(
        pairs.values,
        {"contender": pairs["contender"].values, "rival": pairs["rival"].values},
        ("contender", "rival"),
    )
    own = runs.rename(contender="other").drop_vars("other")
    return own.isel(other=places.clip(min=0)).where(places >= 0)


def _fronts(ds: xr.Dataset, final: xr.DataArray) -> xr.Dataset:
    """Return each contender's costs, and whether it is on the front of final metric against each.

    Parameters and forward FLOPs are those of the network that training ended with.
    """
    bare = ds.reset_coords(drop=True)
    seconds = bare["seconds"].max("step")
    costs = {
        "parameters": ds["num_parameters"].reset_coords(drop=True).astype(float),
        "forward_flops": ds["forward_flops"].reset_coords(drop=True).astype(float),
        "training_flops": bare["training_flops"].max("step").mean("seed"),
        "seconds": seconds.mean("seed") if "seed" in seconds.dims else seconds,
        "peak_memory": bare["peak_memory"],
    }
    quality = final.mean("seed") * _sign(ds)
    dataset = ds["dataset"].reset_coords(drop=True)
    fronts = {f"pareto_{name}": non_dominated(cost, quality, dataset) for name, cost in costs.items()}
    return xr.Dataset({f"cost_{name}": cost for name, cost in costs.items()}).assign(fronts)
