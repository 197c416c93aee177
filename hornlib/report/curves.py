"""Learning curves as numbers: median and spread over seeds of every cell, by panel and arm."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from hornlib.data.parameters import DataParameters
from hornlib.results.coordinates import coordinate_name
from hornlib.results.opening import axes_of

__all__ = ["Curve", "Panel", "panels"]

DATA = [coordinate_name("data", name) for name in DataParameters.model_fields]


@dataclass(frozen=True)
class Curve:
    """One cell's learning curve.

    Attributes:
        arm: the arm it belongs to.
        axes: what tells it from the arm's other cells in the panel, name -> value.
        x: median over seeds, (evaluations,).
        median, low, high: of the metric over seeds, (evaluations,); low and high are the quartiles.
        num_seeds: runs that it is made of.
        num_diverged: those of them that diverged; they count as chance from there on.
    """

    arm: str
    axes: dict[str, str | float | int]
    x: np.ndarray
    median: np.ndarray
    low: np.ndarray
    high: np.ndarray
    num_seeds: int
    num_diverged: int


@dataclass(frozen=True)
class Panel:
    """What may be compared: the curves of one dataset in one presentation.

    Attributes:
        title: the dataset, and what else of the data varies in the sweep.
        label: split and metric, e.g. "validation accuracy".
        direction: maximise or minimise.
        chance: the metric of a network that knows nothing.
        curves: of all cells that have a run.
        num_missing: runs that are wanted and not there.
    """

    title: str
    label: str
    direction: str
    chance: float
    curves: list[Curve]
    num_missing: int

    def best(self, arm: str) -> Curve:
        """Return the arm's curve with the best last median."""
        own = [curve for curve in self.curves if curve.arm == arm]
        return (max if self.direction == "maximise" else min)(own, key=lambda curve: curve.median[-1])


def panels(ds: xr.Dataset, on: str) -> list[Panel]:
    """Return the panels of a sweep that `select_sweep` gave.

    Args:
        ds: cells, seeds, steps; loaded.
        on: step, samples, training_flops or seconds.
    """
    names = ["dataset"]
    for name in DATA:
        if name in ds.coords and len(_keys(ds, [*names, name])) > len(_keys(ds, names)):
            names.append(name)
    found = []
    for chosen in _keys(ds, names).values():
        own = ds.isel(cell=chosen)
        words = [str(own["dataset"].values[0])]
        words += [_word(name, own[name].values[0].item()) for name in names[1:]]
        found.append(_panel(own, on, ", ".join(word for word in words if word)))
    return found


def _keys(ds: xr.Dataset, names: list[str]) -> dict[tuple[str, ...], list[int]]:
    """Return which cells have which values of the coordinates; as text, since NaN is not equal to itself."""
    found: dict[tuple[str, ...], list[int]] = {}
    for index, key in enumerate(zip(*(ds[name].values.astype(str) for name in names), strict=True)):
        found.setdefault(key, []).append(index)
    return found


def _panel(ds: xr.Dataset, on: str, title: str) -> Panel:
    split = "validation" if ds["validation_metric"].notnull().any() else "test"
    return Panel(
        title=title,
        label=f"{split} {str(ds['metric'].values[0]).replace('_', ' ')}",
        direction=str(ds["direction"].values[0]),
        chance=float(ds["chance_level"][0]),
        curves=list(_curves(ds, f"{split}_metric", on)),
        num_missing=int((ds["status"] == "missing").sum()),
    )


def _curves(ds: xr.Dataset, metric: str, on: str) -> Iterator[Curve]:
    """Yield the curve of every cell that has a run, arm by arm; plain arrays, since cells may be hundreds."""
    dims = ("cell", "seed", "step")
    values = ds[metric].transpose(*dims).values
    x = (ds["step"] if on == "step" else ds[on]).broadcast_like(ds[metric]).transpose(*dims).values
    steps, chance = ds["step"].values, ds["chance_level"].values
    diverged_at = ds["diverged_at_step"].transpose(*dims[:2]).values
    runs = ds["status"].transpose(*dims[:2]).isin(["complete", "diverged"]).values
    evaluated = ds["samples"].notnull().transpose("cell", "step").values
    for arm in dict.fromkeys(ds["arm"].values.tolist()):
        cells = np.flatnonzero(ds["arm"] == arm)
        axes = axes_of(ds.isel(cell=cells), str(ds["model"].values[cells[0]]))
        for cell in cells:
            here = np.ix_(runs[cell], evaluated[cell])
            exploded = diverged_at[cell][runs[cell], None]
            if len(exploded):
                # Once diverged, a run counts as chance: left out, the others would flatter the arm.
                known = np.where(steps[evaluated[cell]] >= exploded, chance[cell], values[cell][here])
                told = {axis: ds[axis].values[cell].item() for axis in axes}
                yield _curve(str(arm), told, x[cell][here], known, int(np.isfinite(exploded).sum()))


def _curve(
    arm: str, axes: dict[str, str | float | int], x: np.ndarray, values: np.ndarray, num_diverged: int
) -> Curve:
    """Return the curve of runs (seed, evaluation), where x and all values are known."""
    known = np.isfinite(x).any(0) & np.isfinite(values).all(0)
    low, median, high = np.quantile(values[:, known], (0.25, 0.5, 0.75), axis=0)
    return Curve(arm, axes, np.nanmedian(x[:, known], axis=0), median, low, high, len(values), num_diverged)


def _word(name: str, value: str | float) -> str:
    if isinstance(value, str):
        return value
    return "" if np.isnan(value) else f"{name.replace('_', ' ')} {value:g}"
