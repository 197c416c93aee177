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

__all__ = ["SELECTED_FOR", "contenders", "final_metric", "groups_of", "selection_words", "subject_of"]

SELECTED_FOR = {"": "", "time_to_target": "tuned for speed", "final_metric": "tuned for accuracy"}
"""Objective of a tuned cell -> the words in its label."""

DATA = [coordinate_name("data", name) for name in DataParameters.model_fields if name not in ("name", "root")]


def contenders(ds: xr.Dataset, baseline: str | None = None) -> xr.Dataset:
    """Return the cells of a sweep as contenders, loaded, with the dimensions (contender, seed, step).

    The label of a contender has the arm, the parameters that differ between the cells of that arm, the dataset if the
    sweep has several, and the objective of a tuned cell: `horn timesteps=8 on mnist, tuned for speed`.

    Args:
        ds: from `open_results(path, sweep=...)`.
        baseline: label of the arm whose cells choose the device of the seconds: the device that measured most of them.
            The ratio of two arms must not depend on a third arm, so that no other arm chooses. None: all cells choose.

    Returns:
        The variables of `ds`, with these differences.
        - Coordinates on `contender`: `cell_name`, `arm`, `label` (of results.nc, if it has one), `short_label` (without
          dataset and objective), `dataset` (with its varying parameters), `presentation`, `selected_for` ("" for a cell
          that was not tuned) and every parameter.
        - `num_parameters` and `forward_flops` describe the network at the end of training. They are medians over the
          complete runs, or over the diverged runs if no run is complete. `largest_num_parameters` is the largest
          number at any evaluation of any run. `first_forward_flops` describes the network before the first step,
          with the masks that are planned for the end.
          They differ only if a structure changes the networks.
        - The number of parameters over steps is `num_parameters_over_steps`.
        - `seconds` are calibrated: every step takes the step time of a lone lane on one device, which the attribute
          `calibration_device` names. They have a seed dimension if networks may change. NaN without a calibration. A
          run's share of its job's clock is `job_seconds`. `step_time_kernel` says how recurrences were computed in
          the steps that were timed: fused, loop and why, or none; "" where that is not known.
        - A cell without a validation split has its test metric in `validation_metric`; `judged_on` records this.
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
    return _with_labels(_with_calibrated_costs(ds, baseline))


def subject_of(ds: xr.Dataset, subject: str | None) -> str:
    """Return the arm that claims are about, "" if the sweep has no such arm.

    Args:
        ds: from `contenders`; it reads `arm` and `model` (contender).
        subject: label of the arm in the configuration; None: the first arm with oscillators.
    """
    arms, models = ds["arm"].values.tolist(), ds["model"].values.tolist()
    if subject is not None:
        return subject if subject in arms else ""
    first_models: dict[str, str] = {}
    for arm, model in zip(arms, models, strict=True):
        first_models.setdefault(arm, model)
    return default_subject(first_models)


def selection_words(selected_for: str) -> str:
    """Return the words of a tuned cell's objective, "" for a cell that was not tuned."""
    return SELECTED_FOR.get(selected_for, f"selected for {selected_for}")


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
    """Add parameters and forward FLOPs of the networks at the end of training, the largest and the first ones."""
    over_steps = ds["num_parameters_over_steps"]
    first_flops = ds["forward_flops"].reset_coords(drop=True).astype(float)
    last_flops = first_flops
    if "final_forward_flops" in ds:  # results.nc has it if a structure may change networks
        last_flops = _of_ended_runs(ds["final_forward_flops"], ds["status"]).fillna(first_flops)
    sizes = {
        "num_parameters": (
            _of_ended_runs(_at_last_evaluation(over_steps), ds["status"]),
            "trained parameters at the last evaluation, median over complete runs",
        ),
        "largest_num_parameters": (
            over_steps.max(("step", "seed")),
            "largest number of trained parameters at any evaluation of any run",
        ),
        "forward_flops": (
            last_flops,
            "forward FLOPs per example of the network at the end of training, median over complete runs",
        ),
        "first_forward_flops": (
            first_flops,
            "forward FLOPs per example of the network before the first step",
        ),
    }
    replaced = {"forward_flops": ds["forward_flops"].attrs}  # the attribute `kind` marks a parameter
    coordinates = {}
    for name, (values, long_name) in sizes.items():
        units = "FLOP" if name.endswith("flops") else "1"
        attributes = {**replaced.get(name, {}), "units": units, "long_name": long_name}
        coordinates[name] = ("cell", values.values, attributes)
    return ds.assign_coords(coordinates)


def _at_last_evaluation(curves: xr.DataArray) -> xr.DataArray:
    """Return the last value of every run that is not NaN, (cell, seed)."""
    curves = curves.transpose("cell", "seed", "step")
    is_recorded = curves.notnull().values
    # A run without any value gets the last step, where its value is NaN.
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
    """Return a coordinate of words, (cell,); `open_results` drops a coordinate that is "" in all cells."""
    return ds[name].values if name in ds.coords else np.full(ds.sizes["cell"], "", object)


def groups_of(keys: Iterable[object]) -> list[np.ndarray]:
    """Return the positions of equal keys, one array (member,) for each distinct key, in the order of appearance."""
    positions: dict[object, list[int]] = {}
    for index, key in enumerate(keys):
        positions.setdefault(key, []).append(index)
    return [np.array(group) for group in positions.values()]


def _dataset_labels(ds: xr.Dataset) -> np.ndarray:
    """Return the label of every cell's dataset, with those of its parameters that vary: a subset is another task."""
    labels = ds["dataset"].values.astype(object)
    parameters = {name: ds[name].values for name in DATA if name != "presentation" and name in ds.coords}
    for group in groups_of(ds["dataset"].values):
        varying = {name: values for name, values in parameters.items() if len(np.unique(values[group])) > 1}
        for index in group:
            assignments = [_assignment(name, values[index]) for name, values in varying.items()]
            labels[index] = " ".join([labels[index], *filter(None, assignments)])
    return labels


def _with_labels(ds: xr.Dataset) -> xr.Dataset:
    """Replace `cell` by `contender`, with the label and the short label of every cell."""
    labels, short_labels = np.empty(ds.sizes["cell"], object), np.empty(ds.sizes["cell"], object)
    arms, datasets, selected = (ds[name].values for name in ("arm", "dataset", "selected_for"))
    has_several_datasets = len(set(datasets)) > 1
    for group in groups_of(zip(arms, datasets, selected, strict=True)):
        axes = axes_of(ds.isel(cell=group), str(ds["model"].values[group[0]])) if len(group) > 1 else []
        columns = {axis: ds[axis].values for axis in axes}
        for index in group:
            assignments = [_assignment(axis, column[index]) for axis, column in columns.items()]
            short_labels[index] = " ".join([str(arms[index]), *filter(None, assignments)])
            place = f" on {datasets[index]}" if has_several_datasets else ""
            word = selection_words(selected[index])
            labels[index] = f"{short_labels[index]}{place}" + (f", {word}" if word else "")
    for group in groups_of(labels):
        if len(group) > 1:  # an arm may have cells of several models, which no parameter tells apart
            for names in (labels, short_labels):
                names[group] = [f"{names[index]} ({ds['cell'].values[index]})" for index in group]
    described = {
        "contender": (labels, "label of the contender"),
        "short_label": (short_labels, "label of the contender without dataset and objective"),
    }
    return (
        ds.drop_vars("cell")
        .rename(cell="contender")
        .assign_coords(
            {
                name: ("contender", values, {"units": "1", "long_name": long_name})
                for name, (values, long_name) in described.items()
            }
        )
    )


def _assignment(name: str, value: object) -> str:
    """Return `name=value`, or "" for a parameter that the cell does not have."""
    if isinstance(value, str):
        return f"{name}={value}" if value else ""
    return "" if np.isnan(value) else f"{name}={value:g}"  # type: ignore[call-overload, str-format]


def _with_judged_metric(ds: xr.Dataset) -> xr.Dataset:
    """For cells without a validation split, use the test metric instead; `judged_on` records this."""
    runs = ("seed", "step")
    without = ds["validation_metric"].isnull().all(runs) & ds["test_metric"].notnull().any(runs)
    words = np.where(without, "test", "validation").astype(object)
    attributes = {"units": "1", "long_name": "split of the data that targets are judged on"}
    return ds.assign(
        {
            f"{prefix}validation_metric": ds[f"{prefix}validation_metric"].where(
                ~without, ds[f"{prefix}test_metric"]
            )
            for prefix in ("", "final_")
        }
    ).assign_coords(judged_on=("cell", words, attributes))


def _with_calibrated_costs(ds: xr.Dataset, baseline: str | None) -> xr.Dataset:
    """Add the step times, memory and calibrated seconds of one device, and drop those of all others."""
    nothing, unknown = (
        xr.DataArray(np.full(ds.sizes["cell"], fill), dims="cell") for fill in (np.nan, np.array("", object))
    )
    measured = {"step_time": nothing, "peak_memory": nothing, "step_time_kernel": unknown}
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
    units = {"step_time": "s", "peak_memory": "byte", "step_time_kernel": "1"}
    for name, values in measured.items():
        ds[name] = ("cell", values.values, _attributes(name) | {"units": units[name]})
    seconds = seconds.transpose("cell", ..., "step")
    attributes = {"units": "s", "long_name": f"training time of a lone lane on {device or 'no device'}"}
    ds["seconds"] = (seconds.dims, seconds.values, attributes)
    return ds.assign_attrs(calibration_device=device)
