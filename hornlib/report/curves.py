"""Learning curves as numbers: median and quartiles over seeds of every cell, by panel and arm."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from hornlib.data.parameters import DataParameters
from hornlib.results.coordinates import coordinate_name
from hornlib.results.divergence import curves_with_chance
from hornlib.results.opening import axes_of

__all__ = ["DATA", "Curve", "CurvePanel", "cell_labels", "panels"]

DATA = [coordinate_name("data", name) for name in DataParameters.model_fields]
"""Coordinates that say which data a cell is trained on."""


@dataclass(frozen=True)
class Curve:
    """The learning curve of one cell.

    Attributes:
        arm: the arm that the cell belongs to.
        label: readable name of the cell, e.g. "horn timesteps=8".
        x: median over seeds, (evaluations,).
        median, low, high: median and quartiles of the metric over seeds, (evaluations,).
        num_seeds: number of runs.
        num_diverged: number of runs that diverged. They count as chance from that step on.
    """

    arm: str
    label: str
    x: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray
    num_seeds: int
    num_diverged: int


@dataclass(frozen=True)
class CurvePanel:
    """Curves that may be compared: those of one dataset in one presentation.

    Attributes:
        title: the dataset, and what else of the data varies in the sweep.
        label: split and metric, e.g. "validation accuracy".
        direction: maximise or minimise.
        chance: the metric of a network that has learned nothing.
        curves: one for each cell that has a run with known evaluations.
        num_missing: number of planned runs without a run file.
    """

    title: str
    label: str
    direction: str
    chance: float
    curves: list[Curve]
    num_missing: int

    def best_curves(self) -> list[Curve]:
        """Return the curve with the best last median of every arm."""
        best: dict[str, Curve] = {}
        sign = 1 if self.direction == "maximise" else -1
        for curve in self.curves:
            rival = best.setdefault(curve.arm, curve)
            if sign * curve.median[-1] > sign * rival.median[-1]:
                best[curve.arm] = curve
        return list(best.values())


def panels(ds: xr.Dataset, axis: str) -> list[CurvePanel]:
    """Return the panels of a sweep.

    Args:
        ds: the sweep's results as `select_sweep` gives them, loaded: dimensions (cell, seed, step).
        axis: step, samples, training_flops or seconds.
    """
    if "label" not in ds.coords:
        ds = ds.assign_coords(label=("cell", cell_labels(ds)))
    names = ["dataset"]
    for name in DATA:
        if name in ds.coords and len(_groups(ds, [*names, name])) > len(_groups(ds, names)):
            names.append(name)
    result = []
    for cells in _groups(ds, names).values():
        members = ds.isel(cell=cells)
        words = [str(members["dataset"].values[0])]
        words += [_word(name, members[name].values[0].item()) for name in names[1:]]
        result.append(_panel(members, axis, ", ".join(word for word in words if word)))
    return result


def cell_labels(ds: xr.Dataset) -> np.ndarray:
    """Return the readable label of every cell, (cell,): `label` of the results, or the arm and what varies in it."""
    if "label" in ds.coords:
        return ds["label"].values.astype(object)
    labels = ds["arm"].values.astype(object)
    for arm in dict.fromkeys(labels.tolist()):
        places = np.flatnonzero(ds["arm"].values == arm)
        axes = axes_of(ds.isel(cell=places), str(ds["model"].values[places[0]]))
        for place in places:
            values = (f"{axis}={_value(ds[axis].values[place].item())}" for axis in axes)
            labels[place] = " ".join([arm, *values])
    return labels


def _value(value: str | float | int) -> str:
    return value if isinstance(value, str) else "none" if value != value else f"{value:g}"


def _groups(ds: xr.Dataset, names: list[str]) -> dict[tuple[str, ...], list[int]]:
    """Return the cells that share the values of some coordinates; as text, since NaN is not equal to itself."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, key in enumerate(zip(*(ds[name].values.astype(str) for name in names), strict=True)):
        groups.setdefault(key, []).append(index)
    return groups


def _panel(ds: xr.Dataset, axis: str, title: str) -> CurvePanel:
    split = "validation" if ds["validation_metric"].notnull().any() else "test"
    return CurvePanel(
        title=title,
        label=f"{split} {str(ds['metric'].values[0]).replace('_', ' ')}",
        direction=str(ds["direction"].values[0]),
        chance=float(ds["chance_level"][0]),
        curves=[curve for curve in _curves(ds, f"{split}_metric", axis) if len(curve.median)],
        num_missing=int((ds["status"] == "missing").sum()),
    )


def _curves(ds: xr.Dataset, metric: str, axis: str) -> Iterator[Curve]:
    """Yield the curve of every cell that has a run, arm by arm; plain arrays, since cells may be hundreds."""
    dims = ("cell", "seed", "step")
    values = (
        curves_with_chance(ds[metric], ds["diverged_at_step"], ds["chance_level"]).transpose(*dims).values
    )
    x = (ds["step"] if axis == "step" else ds[axis]).broadcast_like(ds[metric]).transpose(*dims).values
    arms, labels = ds["arm"].values.tolist(), ds["label"].values.tolist()
    diverged_at = ds["diverged_at_step"].transpose(*dims[:2]).values
    runs = ds["status"].transpose(*dims[:2]).isin(["complete", "diverged"]).values
    evaluated = ds["samples"].notnull().transpose("cell", "step").values
    for cell in sorted(range(len(arms)), key=lambda cell: arms.index(arms[cell])):
        members = np.ix_(runs[cell], evaluated[cell])
        if runs[cell].any():
            num_diverged = int(np.isfinite(diverged_at[cell][runs[cell]]).sum())
            yield _curve(arms[cell], labels[cell], x[cell][members], values[cell][members], num_diverged)


def _curve(arm: str, label: str, x: np.ndarray, values: np.ndarray, num_diverged: int) -> Curve:
    """Return the curve of runs, (seeds, evaluations), at the evaluations where x and all values are finite."""
    finite = np.isfinite(x).any(0) & np.isfinite(values).all(0)
    low, median, high = np.quantile(values[:, finite], (0.25, 0.5, 0.75), axis=0)
    return Curve(arm, label, np.nanmedian(x[:, finite], axis=0), median, low, high, len(values), num_diverged)


def _word(name: str, value: str | float) -> str:
    if isinstance(value, str):
        return value
    return "" if np.isnan(value) else f"{name.replace('_', ' ')} {value:g}"
