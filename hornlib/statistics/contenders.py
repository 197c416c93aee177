"""Contenders: the cells of one sweep under readable labels, and which of them is compared with which."""

from collections.abc import Iterable

import numpy as np
import xarray as xr

from hornlib.data.parameters import DataParameters
from hornlib.results.calibrated_seconds import best_device
from hornlib.results.coordinates import coordinate_name
from hornlib.results.opening import axes_of

__all__ = ["SELECTED_FOR", "contenders", "rivals_of", "subject_of"]

SELECTED_FOR = {"": "", "time_to_target": "tuned for speed", "final_metric": "tuned for accuracy"}
"""What a tuned cell's values were selected for -> what its label says."""

OSCILLATORS = ("horn_cnn", "horn", "cnn_horn")

DATA = [coordinate_name("data", name) for name in DataParameters.model_fields if name not in ("name", "root")]


def contenders(ds: xr.Dataset) -> xr.Dataset:
    """Return the cells of a sweep as contenders: (contender, seed, step), loaded.

    A label is the arm; to it are added what tells the arm's cells apart, what a tuned cell was selected for,
    and the dataset where the sweep has several, e.g. `horn timesteps=8 on mnist, tuned for speed`.

    Args:
        ds: from `open_results(path, sweep=...)`.

    Returns:
        The variables of `ds`, with these differences. Coordinates on `contender`: `cell_name`, `arm`,
        `dataset` (with what else of the data varies), `presentation`, `selected_for` ("" where nothing was),
        `num_parameters` (the largest that any run had) and every parameter. `seconds` is
        calibrated, every step at the step time of a lone lane on the device that has measured most
        contenders (the attribute `calibration_device`; with a seed dimension where networks may change),
        NaN without one; a run's share of its job's clock is `job_seconds`.
        `num_parameters` over steps is `num_parameters_over_steps`. A cell without a validation part has its
        test metric in `validation_metric`, and says so in `judged_on`.
    """
    ds = ds.load()
    ds = ds.drop_vars([name for name in ds.coords if str(name).startswith("in_")])
    ds = _judged(ds.rename(num_parameters="num_parameters_over_steps", seconds="job_seconds"))
    num_parameters = ds["num_parameters_over_steps"].max(("step", "seed"))
    words = {name: _text(ds, name) for name in ("selected_for", "presentation")}
    ds = ds.assign_coords(
        {name: ("cell", text, _about(name)) for name, text in words.items()}
        | {
            "cell_name": ("cell", ds["cell"].values, {"units": "1", "long_name": "name of the cell"}),
            "num_parameters": ("cell", num_parameters.values, _about("num_parameters")),
            "forward_flops": ("cell", ds["forward_flops"].values.astype(float), ds["forward_flops"].attrs),
            "dataset": ("cell", _dataset_labels(ds), _about("dataset")),
        }
    )
    labels = _labels(ds)
    ds = _calibrated(ds).drop_vars("cell").rename(cell="contender")
    described = {"units": "1", "long_name": "what is compared"}
    return ds.assign_coords(contender=("contender", labels, described))


def rivals_of(ds: xr.Dataset) -> xr.DataArray:
    """Return the rival of every contender in every other arm, as its position; -1 where it has none.

    A rival learns the same data in the same presentation (a pixel-serial network has less to go by) and was
    selected for the same. Of several cells of an arm it is the nearest in parameters; among equals the
    nearest in forward FLOPs, then the one that shares most parameters' values, then the first.

    Args:
        ds: from `contenders`.

    Returns:
        (contender, rival), where `rival` is the label of the rival's *arm*, with the rival's own label in the
        coordinate `rival_contender` ("" where there is none).
    """
    arms = list(dict.fromkeys(ds["arm"].values.tolist()))
    found = np.full((ds.sizes["contender"], len(arms)), -1)
    alike = (ds[name].values for name in ("dataset", "presentation", "selected_for"))
    for group in _groups(zip(*alike, strict=True)):
        own_arms = ds["arm"].values[group]
        for column, arm in enumerate(arms):
            theirs, ours = group[own_arms == arm], group[own_arms != arm]
            if len(theirs) and len(ours):
                found[ours, column] = theirs[_nearest(ds, ours, theirs)]
    labels = np.append(ds["contender"].values, "")[found].astype(object)
    return xr.DataArray(
        found,
        dims=("contender", "rival"),
        coords={
            "contender": ds["contender"],
            "rival": ("rival", np.array(arms, object), {"units": "1", "long_name": "arm of the rival"}),
            "rival_contender": (
                ("contender", "rival"),
                labels,
                {"units": "1", "long_name": "the rival: the arm's nearest cell"},
            ),
        },
        attrs={"units": "1", "long_name": "position of the rival among the contenders"},
    )


def subject_of(ds: xr.Dataset, subject: str | None) -> str:
    """Return the arm that claims are about: the one named, or the first with oscillators; "" if there is none."""
    arms, models = ds["arm"].values.tolist(), ds["model"].values.tolist()
    if subject is not None:
        return subject if subject in arms else ""
    first = (
        arm for wanted in OSCILLATORS for arm, model in zip(arms, models, strict=True) if model == wanted
    )
    return next(first, "")


def _about(name: str) -> dict[str, str]:
    return {"units": "1", "long_name": name.replace("num_", "number of ").replace("_", " ")}


def _text(ds: xr.Dataset, name: str) -> np.ndarray:
    """Return a coordinate of words; open_results drops it where all cells have none."""
    return ds[name].values if name in ds.coords else np.full(ds.sizes["cell"], "", object)


def _groups(keys: Iterable[object]) -> list[np.ndarray]:
    """Return the positions of equal keys, in the order of their first."""
    found: dict[object, list[int]] = {}
    for index, key in enumerate(keys):
        found.setdefault(key, []).append(index)
    return [np.array(positions) for positions in found.values()]


def _dataset_labels(ds: xr.Dataset) -> np.ndarray:
    """Return the datasets, each with those of its other parameters that vary: another subset is another task."""
    labels = ds["dataset"].values.astype(object)
    known = {name: ds[name].values for name in DATA if name != "presentation" and name in ds.coords}
    for group in _groups(ds["dataset"].values):
        varying = {name: values for name, values in known.items() if len(np.unique(values[group])) > 1}
        for index in group:
            told = [_told(name, values[index]) for name, values in varying.items()]
            labels[index] = " ".join([labels[index], *filter(None, told)])
    return labels


def _labels(ds: xr.Dataset) -> np.ndarray:
    labels = np.empty(ds.sizes["cell"], object)
    arms, datasets, selected = (ds[name].values for name in ("arm", "dataset", "selected_for"))
    several = len(set(datasets)) > 1
    for group in _groups(zip(arms, datasets, selected, strict=True)):
        axes = axes_of(ds.isel(cell=group), str(ds["model"].values[group[0]])) if len(group) > 1 else []
        values = {axis: ds[axis].values for axis in axes}
        for index in group:
            told = [_told(axis, own[index]) for axis, own in values.items()]
            label = " ".join([str(arms[index]), *filter(None, told)])
            label += f" on {datasets[index]}" if several else ""
            word = SELECTED_FOR.get(selected[index], f"selected for {selected[index]}")
            labels[index] = f"{label}, {word}" if word else label
    return _unique(labels, ds["cell"].values)


def _unique(labels: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Add the cell's name to labels that are not unique: an arm may hold cells of several models."""
    for group in _groups(labels):
        if len(group) > 1:
            labels[group] = [f"{labels[index]} ({cells[index]})" for index in group]
    return labels


def _told(name: str, value: object) -> str:
    """Return `name=value`, or nothing for a parameter that the cell has not."""
    if isinstance(value, str):
        return f"{name}={value}" if value else ""
    return "" if np.isnan(value) else f"{name}={value:g}"  # type: ignore[call-overload, str-format]


def _judged(ds: xr.Dataset) -> xr.Dataset:
    """Let a cell without a validation part be judged on the test part: its speed is better known so than not at all."""
    runs = ("seed", "step")
    without = ds["validation_metric"].isnull().all(runs) & ds["test_metric"].notnull().any(runs)
    words = np.where(without, "test", "validation").astype(object)
    described = {"units": "1", "long_name": "part of the data that targets are reached on"}
    return ds.assign(
        {
            f"{prefix}validation_metric": ds[f"{prefix}validation_metric"].where(
                ~without, ds[f"{prefix}test_metric"]
            )
            for prefix in ("", "final_")
        }
    ).assign_coords(judged_on=("cell", words, described))


def _calibrated(ds: xr.Dataset) -> xr.Dataset:
    """Take one device's step times and memory, and make seconds of them."""
    nothing = xr.DataArray(np.full(ds.sizes["cell"], np.nan), dims="cell")
    measured = {name: nothing for name in ("step_time", "peak_memory")}
    device, seconds = "", xr.full_like(ds["samples"], np.nan)
    best = best_device(ds)
    if best is not None:
        place, seconds = best
        device = str(ds["calibration_device"].values[place])
        measured |= {
            name: ds[name].isel(calibration_device=place, drop=True) for name in measured if name in ds
        }
    known = ["calibration_device", "calibrated_seconds", *measured]
    ds = ds.drop_vars(known, errors="ignore").drop_dims("calibration_device", errors="ignore")
    units = {"step_time": "s", "peak_memory": "byte"}
    for name, values in measured.items():
        ds[name] = ("cell", values.values, _about(name) | {"units": units[name]})
    seconds = seconds.transpose("cell", ..., "step")
    described = {"units": "s", "long_name": f"training time of a lone lane on {device or 'no device'}"}
    ds["seconds"] = (seconds.dims, seconds.values, described)
    return ds.assign_attrs(calibration_device=device)


def _nearest(ds: xr.Dataset, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return for each of ours the position, within theirs, of its rival."""
    if len(theirs) == 1:
        return np.zeros(len(ours), int)
    parameters, flops = (
        _distance(ds[name].values[ours], ds[name].values[theirs])
        for name in ("num_parameters", "forward_flops")
    )
    unlike = np.zeros(parameters.shape)
    for values in ds.coords.values():
        if values.dims == ("contender",) and "kind" in values.attrs:
            codes = np.unique(values.values, return_inverse=True)[1]
            unlike += codes[ours][:, None] != codes[theirs][None, :]
    order = np.lexsort((unlike, flops, parameters), axis=1)
    return order[:, 0]


def _distance(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Return |log ratio| of counts, rounded so that equal ones tie; an unknown count is farthest."""
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.abs(np.log(ours[:, None] / theirs[None, :]))
    return np.where(np.isnan(distance), np.inf, np.round(distance, 9))
