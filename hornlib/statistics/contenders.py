"""Contenders: the cells of one sweep with readable labels, sizes and calibrated costs."""

from collections.abc import Iterable

import numpy as np
import xarray as xr

from hornlib.data.parameters import DataParameters
from hornlib.parameters.statistics import default_subject
from hornlib.results.calibrated_seconds import best_device
from hornlib.results.coordinates import coordinate_name
from hornlib.results.divergence import final_with_chance
from hornlib.results.opening import axes_of

__all__ = ["SELECTED_FOR", "contenders", "final_metric", "groups_of", "subject_of"]

SELECTED_FOR = {"": "", "time_to_target": "tuned for speed", "final_metric": "tuned for accuracy"}
"""What a tuned cell's values were selected for -> what its label says."""

DATA = [coordinate_name("data", name) for name in DataParameters.model_fields if name not in ("name", "root")]


def contenders(ds: xr.Dataset, baseline: str | None = None) -> xr.Dataset:
    """Return the cells of a sweep as contenders: (contender, seed, step), loaded.

    A label is the arm; to it are added what tells the arm's cells apart, what a tuned cell was selected for,
    and the dataset where the sweep has several, e.g. `horn timesteps=8 on mnist, tuned for speed`.

    Args:
        ds: from `open_results(path, sweep=...)`.
        baseline: label of the arm whose cells choose the device of the seconds: the one that has measured most of them.
            No other arm may choose, since the ratio of two arms must not depend on a third. None: all cells choose.

    Returns:
        The variables of `ds`, with these differences.
        - Coordinates on `contender`: `cell_name`, `arm`, `dataset` (with what else of the data varies),
          `presentation`, `selected_for` ("" where nothing was) and every parameter.
        - `num_parameters` and `forward_flops` are those of the network that training ended with: the median over the
          complete runs (over the diverged ones, at their last evaluation, where no run is complete).
          `largest_num_parameters` is the largest that any run had at an evaluation, `first_forward_flops` the FLOPs
          of the network before the first step. They differ only where a structure changes networks.
        - `num_parameters` over steps is `num_parameters_over_steps`.
        - `seconds` is calibrated, every step at the step time of a lone lane on one device (the attribute
          `calibration_device`; with a seed dimension where networks may change), NaN without one. A run's share of its
          job's clock is `job_seconds`.
        - A cell without a validation part has its test metric in `validation_metric`; `judged_on` says so.
    """
    ds = ds.load()
    ds = ds.drop_vars([name for name in ds.coords if str(name).startswith("in_")])
    ds = ds.rename(num_parameters="num_parameters_over_steps", seconds="job_seconds")
    ds = _with_sizes(_with_judged_metric(ds))
    words = {name: _text(ds, name) for name in ("selected_for", "presentation")}
    ds = ds.assign_coords(
        {name: ("cell", text, _attributes(name)) for name, text in words.items()}
        | {
            "cell_name": ("cell", ds["cell"].values, {"units": "1", "long_name": "name of the cell"}),
            "dataset": ("cell", _dataset_labels(ds), _attributes("dataset")),
        }
    )
    labels = _labels(ds)
    ds = _with_calibrated_costs(ds, baseline).drop_vars("cell").rename(cell="contender")
    attributes = {"units": "1", "long_name": "what is compared"}
    return ds.assign_coords(contender=("contender", labels, attributes))


def subject_of(ds: xr.Dataset, subject: str | None) -> str:
    """Return the arm that claims are about: the one named, or the first with oscillators; "" if there is none."""
    arms, models = ds["arm"].values.tolist(), ds["model"].values.tolist()
    if subject is not None:
        return subject if subject in arms else ""
    first_models: dict[str, str] = {}
    for arm, model in zip(arms, models, strict=True):
        first_models.setdefault(arm, model)
    return default_subject(first_models)


def final_metric(ds: xr.Dataset) -> xr.DataArray:
    """Return the final test metric of each run, (contender, seed); a diverged run counts as chance.

    Args:
        ds: from `contenders`.
    """
    bare = ds.reset_coords(drop=True)
    chance = ds["chance_level"].reset_coords(drop=True)
    final = final_with_chance(bare["final_test_metric"], bare["diverged_at_step"], chance)
    return final.transpose("contender", "seed")


def _with_sizes(ds: xr.Dataset) -> xr.Dataset:
    """Add parameters and forward FLOPs of the networks that training ended with, and the largest and first ones."""
    over_steps = ds["num_parameters_over_steps"]
    first_flops = ds["forward_flops"].reset_coords(drop=True).astype(float)
    last_flops = first_flops
    if "final_forward_flops" in ds:  # results.nc has it where a structure may change networks
        last_flops = _of_ended_runs(ds["final_forward_flops"], ds["status"]).fillna(first_flops)
    sizes = {
        "num_parameters": (
            _of_ended_runs(_at_last_evaluation(over_steps), ds["status"]),
            "trained parameters of the last evaluation, median over complete runs",
        ),
        "largest_num_parameters": (
            over_steps.max(("step", "seed")),
            "largest number of trained parameters that any run had at an evaluation",
        ),
        "forward_flops": (
            last_flops,
            "forward FLOPs of an example by the network that training ended with, median over complete runs",
        ),
        "first_forward_flops": (
            first_flops,
            "forward FLOPs of an example by the network before the first step",
        ),
    }
    replaced = {"forward_flops": ds["forward_flops"].attrs}  # among the cell's parameters, `kind` says so
    coordinates = {}
    for name, (values, long_name) in sizes.items():
        units = "FLOP" if name.endswith("flops") else "1"
        attributes = {**replaced.get(name, {}), "units": units, "long_name": long_name}
        coordinates[name] = ("cell", values.values, attributes)
    return ds.assign_coords(coordinates)


def _at_last_evaluation(curves: xr.DataArray) -> xr.DataArray:
    """Return the last value of every run that is no NaN, (cell, seed)."""
    curves = curves.transpose("cell", "seed", "step")
    is_recorded = curves.notnull().values
    # a run without any value gets the last step, and so NaN
    last = is_recorded.shape[-1] - 1 - is_recorded[..., ::-1].argmax(-1)
    values = np.take_along_axis(curves.values, last[..., None], -1)[..., 0]
    return curves.isel(step=0, drop=True).copy(data=values)


def _of_ended_runs(values: xr.DataArray, status: xr.DataArray) -> xr.DataArray:
    """Return the median over the complete runs of a cell; over the diverged ones where no run is complete."""
    complete = values.where(status == "complete").median("seed")
    return complete.fillna(values.where(status == "diverged").median("seed"))


def _attributes(name: str) -> dict[str, str]:
    return {"units": "1", "long_name": name.replace("num_", "number of ").replace("_", " ")}


def _text(ds: xr.Dataset, name: str) -> np.ndarray:
    """Return a coordinate of words; open_results drops it where all cells have none."""
    return ds[name].values if name in ds.coords else np.full(ds.sizes["cell"], "", object)


def groups_of(keys: Iterable[object]) -> list[np.ndarray]:
    """Return the positions of equal keys, in the order of their first."""
    positions: dict[object, list[int]] = {}
    for index, key in enumerate(keys):
        positions.setdefault(key, []).append(index)
    return [np.array(group) for group in positions.values()]


def _dataset_labels(ds: xr.Dataset) -> np.ndarray:
    """Return the datasets, each with those of its other parameters that vary: another subset is another task."""
    labels = ds["dataset"].values.astype(object)
    parameters = {name: ds[name].values for name in DATA if name != "presentation" and name in ds.coords}
    for group in groups_of(ds["dataset"].values):
        varying = {name: values for name, values in parameters.items() if len(np.unique(values[group])) > 1}
        for index in group:
            assignments = [_assignment(name, values[index]) for name, values in varying.items()]
            labels[index] = " ".join([labels[index], *filter(None, assignments)])
    return labels


def _labels(ds: xr.Dataset) -> np.ndarray:
    labels = np.empty(ds.sizes["cell"], object)
    arms, datasets, selected = (ds[name].values for name in ("arm", "dataset", "selected_for"))
    several = len(set(datasets)) > 1
    for group in groups_of(zip(arms, datasets, selected, strict=True)):
        axes = axes_of(ds.isel(cell=group), str(ds["model"].values[group[0]])) if len(group) > 1 else []
        columns = {axis: ds[axis].values for axis in axes}
        for index in group:
            assignments = [_assignment(axis, column[index]) for axis, column in columns.items()]
            label = " ".join([str(arms[index]), *filter(None, assignments)])
            label += f" on {datasets[index]}" if several else ""
            word = SELECTED_FOR.get(selected[index], f"selected for {selected[index]}")
            labels[index] = f"{label}, {word}" if word else label
    return _unique(labels, ds["cell"].values)


def _unique(labels: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Add the cell's name to labels that are not unique: an arm may hold cells of several models."""
    for group in groups_of(labels):
        if len(group) > 1:
            labels[group] = [f"{labels[index]} ({cells[index]})" for index in group]
    return labels


def _assignment(name: str, value: object) -> str:
    """Return `name=value`, or nothing for a parameter that the cell has not."""
    if isinstance(value, str):
        return f"{name}={value}" if value else ""
    return "" if np.isnan(value) else f"{name}={value:g}"  # type: ignore[call-overload, str-format]


def _with_judged_metric(ds: xr.Dataset) -> xr.Dataset:
    """For cells without a validation part, use the test metric instead; `judged_on` records this."""
    runs = ("seed", "step")
    without = ds["validation_metric"].isnull().all(runs) & ds["test_metric"].notnull().any(runs)
    words = np.where(without, "test", "validation").astype(object)
    attributes = {"units": "1", "long_name": "part of the data that targets are reached on"}
    return ds.assign(
        {
            f"{prefix}validation_metric": ds[f"{prefix}validation_metric"].where(
                ~without, ds[f"{prefix}test_metric"]
            )
            for prefix in ("", "final_")
        }
    ).assign_coords(judged_on=("cell", words, attributes))


def _with_calibrated_costs(ds: xr.Dataset, baseline: str | None) -> xr.Dataset:
    """Take one device's step times and memory, and make seconds of them."""
    nothing = xr.DataArray(np.full(ds.sizes["cell"], np.nan), dims="cell")
    measured = {name: nothing for name in ("step_time", "peak_memory")}
    device, seconds = "", xr.full_like(ds["samples"], np.nan)
    best = best_device(ds, None if baseline is None else np.flatnonzero(ds["arm"].values == baseline))
    if best is not None:
        place, seconds = best
        device = str(ds["calibration_device"].values[place])
        measured |= {
            name: ds[name].isel(calibration_device=place, drop=True) for name in measured if name in ds
        }
    of_devices = ["calibration_device", "calibrated_seconds", *measured]
    ds = ds.drop_vars(of_devices, errors="ignore").drop_dims("calibration_device", errors="ignore")
    units = {"step_time": "s", "peak_memory": "byte"}
    for name, values in measured.items():
        ds[name] = ("cell", values.values, _attributes(name) | {"units": units[name]})
    seconds = seconds.transpose("cell", ..., "step")
    attributes = {"units": "s", "long_name": f"training time of a lone lane on {device or 'no device'}"}
    ds["seconds"] = (seconds.dims, seconds.values, attributes)
    return ds.assign_attrs(calibration_device=device)
