"""The appendix: all secondary quantities of a sweep in one Dataset."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from hornlib.data import DATASETS
from hornlib.data.parameters import DataParameters
from hornlib.parameters.statistics import StatisticsSettings
from hornlib.results.divergence import curves_with_chance
from hornlib.statistics.axes import cost_on
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
from hornlib.statistics.rivals import rivals_of
from hornlib.statistics.tuning_cost import Tuning, tuning_summary

__all__ = ["appendix"]

NUM_TIME_POINTS = 60
"""Number of points of a curve of the fraction reached, evenly spaced in the logarithm of the cost."""


def appendix(
    ds: xr.Dataset,
    times: xr.Dataset,
    settings: StatisticsSettings,
    tunings: Mapping[str, Tuning] | None = None,
) -> tuple[xr.Dataset, list[str]]:
    """Return every secondary quantity of a sweep, and sentences that name what cannot be computed.

    Poor data raise no error: a quantity that cannot be computed is NaN. `hornlib.statistics.limits` names everything
    that limits the core as well.

    Args:
        ds: from `contenders` (contender, seed, step).
        times: the variables of `restricted_times` (contender, seed, target, axis).
        settings: targets, alpha, bootstrap draws.
        tunings: name of a tuned cell -> its tuning.

    Returns:
        The variables of `hornlib.statistics.descriptions.ABOUT`, and the sentences.
    """
    times = times.reset_coords(drop=True)
    final = final_metric(ds)
    arms, sentences = by_arm(ds, final, times, settings)
    parameters, more_sentences = influence_table(ds, final, times, settings)
    pairs = rivals_of(ds)
    parts = [
        _survival(ds, times, settings),
        _runs(ds, times, final, settings),
        _pairs(ds, times, final, pairs, settings),
        _fronts(ds, final),
        tuning_summary(ds, times, settings.target, tunings or {}),
        arms,
    ]
    # All parts have the same labels along a dimension, so that xarray sorts none of them.
    whole = xr.merge([*(part.reset_coords(drop=True) for part in parts), parameters], join="exact")
    if final.isnull().all():
        sentences.append("No run has a test metric, so that final metrics are not compared.")
    return described(whole), sentences + more_sentences


def _sign(ds: xr.Dataset) -> xr.DataArray:
    """Return 1 if a larger metric is better, and -1 if a smaller metric is better, (contender,)."""
    return xr.where(ds["direction"].reset_coords(drop=True) == "maximise", 1.0, -1.0)


def _survival(ds: xr.Dataset, times: xr.Dataset, settings: StatisticsSettings) -> xr.Dataset:
    """Return the fraction reached over time, for every axis and target."""
    points = _time_points(ds, times)
    at = points.sel(dataset=ds["dataset"].reset_coords(drop=True)).drop_vars("dataset")
    by_target = []
    for target in times["target"].values:
        by_axis = []
        for axis in times["axis"].values:
            chosen = times.sel(target=[target], axis=[axis])
            time, event = chosen["restricted_time"], chosen["event"]
            by_axis.append(fraction_reached(time, event, at.sel(axis=[axis]), settings.alpha))
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
        members = ds.isel(contender=np.flatnonzero(ds["dataset"] == dataset))
        for column, axis in enumerate(budget["axis"].values):
            cost = cost_on(members, str(axis))
            first = float(cost.where(cost > 0).min())
            last = float(budget.values[row, column])
            if 0 < first <= last < np.inf:
                points[row, column] = np.geomspace(first, last, NUM_TIME_POINTS)
                points[row, column, -1] = last  # exact, because misses end there
    coords = {"dataset": budget["dataset"].values, "axis": budget["axis"].values}
    return xr.DataArray(points, coords, ("dataset", "axis", "time_index"))


def _runs(ds: xr.Dataset, times: xr.Dataset, final: xr.DataArray, settings: StatisticsSettings) -> xr.Dataset:
    """Return the quantities of every run with their means and intervals, and shares of runs."""
    bare = ds.reset_coords(drop=True)
    chance = ds["chance_level"].reset_coords(drop=True)
    curves = curves_with_chance(bare["validation_metric"], bare["diverged_at_step"], chance)
    evaluated = bare["samples"].notnull()
    epoch = _epoch_steps(ds)
    steps = sorted({*EARLY_STEPS, *epoch.values[np.isfinite(epoch.values)].astype(int).tolist()})
    runs = xr.Dataset(
        {
            "early_metric": metric_at(curves, evaluated, steps),
            "area": area_under_curve(curves, evaluated),
            "final_metric": final,
            "epoch_step": epoch,
        }
    )
    for name in ("early_metric", "area", "final_metric"):
        interval = student_interval(runs[name], settings.alpha)
        runs = runs.assign({f"{name}_mean": interval["estimate"], f"{name}_bound": interval["interval"]})
    ended = bare["status"].isin(["complete", "diverged"])
    reached = times["event"].where(times["restricted_time"].notnull()).sel(axis="samples", drop=True)
    for name, happened in (
        ("divergence_rate", (bare["status"] == "diverged").where(ended)),
        ("reached_rate", reached),
    ):
        share = share_of_runs(happened, settings.alpha)
        runs = runs.assign({name: share["estimate"], f"{name}_bound": share["interval"]})
    return runs


def _epoch_steps(ds: xr.Dataset) -> xr.DataArray:
    """Return the last step of the first epoch, (contender,); NaN for a dataset that is not one of hornlib's."""
    steps = np.full(ds.sizes["contender"], np.nan)
    nothing = np.full(len(steps), np.nan)
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
            steps[index] = np.ceil(DataParameters.model_validate(data).num_train / batch)
    return xr.DataArray(steps, {"contender": ds["contender"].values}, "contender")


def _pairs(
    ds: xr.Dataset,
    times: xr.Dataset,
    final: xr.DataArray,
    pairs: xr.DataArray,
    settings: StatisticsSettings,
) -> xr.Dataset:
    """Return the comparisons of every contender with each of its rivals."""
    difference = student_interval(final - _of_rivals(final, pairs), settings.alpha)
    gain: xr.DataArray = final * _sign(ds)
    rival_gain = _of_rivals(gain, pairs)
    better = probability_of_improvement(gain, rival_gain, settings.alpha)
    on_samples = times.sel(axis="samples", drop=True)
    time, event = on_samples["restricted_time"], on_samples["event"] == 1
    rival_time, rival_event = _of_rivals(time, pairs), _of_rivals(event.astype(float), pairs) == 1
    by_target = []
    for target in times["target"].values:  # one at a time, since memory holds all pairs of runs
        at = {"target": [target]}
        p_value = log_rank(time.sel(at), event.sel(at), rival_time.sel(at), rival_event.sel(at))
        by_target.append(p_value)
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
    """Return the runs of each contender's rivals, (contender, rival, ..); NaN where there is no rival."""
    places = xr.DataArray(
        pairs.values,
        {"contender": pairs["contender"].values, "rival": pairs["rival"].values},
        ("contender", "rival"),
    )
    others = runs.rename(contender="other").drop_vars("other")
    return others.isel(other=places.clip(min=0)).where(places >= 0)


def _fronts(ds: xr.Dataset, final: xr.DataArray) -> xr.Dataset:
    """Return each contender's costs, and whether it is on the Pareto front of final metric against each cost.

    Parameters and forward FLOPs are those of the network at the end of training.
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
