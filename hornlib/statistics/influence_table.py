"""The influence of parameters in a sweep, laid out in long form: one row a level, a pair of levels, an axis."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.results.opening import axes_of
from hornlib.statistics.contenders import subject_of
from hornlib.statistics.factorial import level_label, on_grid
from hornlib.statistics.influence import Influence, at_best_learning_rate, influence
from hornlib.statistics.settings import StatisticsSettings

__all__ = ["OUTCOMES", "influence_table"]

OUTCOMES = {
    "log_time": "natural logarithm of the restricted time to the headline target in samples",
    "final_metric": "final test metric",
    "log_training_flops": "natural logarithm of the training FLOPs to the headline target, restricted",
}
"""What parameters act upon."""

RATE = "learning_rate"


class _Outcome(NamedTuple):
    """What runs are judged by, and what their learning rate is chosen by (smaller is better), (contender, seed)."""

    judged: xr.DataArray
    chosen_by: xr.DataArray


Rows = dict[str, dict[tuple[str, str, str], float | list[float]]]
"""Variable -> (dataset, outcome, label) -> number, or the two ends of an interval."""


def influence_table(
    ds: xr.Dataset, final: xr.DataArray, times: xr.Dataset, settings: StatisticsSettings
) -> tuple[xr.Dataset, list[str]]:
    """Return effects and shares of the subject's parameters on every dataset, and in sentences what is left out.

    Args:
        ds: from `contenders`.
        final: final test metric of each run, (contender, seed), diverged ones as chance.
        times: from `restricted_times`.
        settings: subject, target, draws.

    Returns:
        On (dataset, outcome): `main_effect` and `main_effect_bound` over `level` (labels `timesteps=8`, with
        coordinates `level_axis`, `level_place`), `interaction` and `interaction_bound` over `level_pair` (`timesteps=8,
        num_nodes=16`), `first_order_share`, `total_share` and `largest_in_draws` over `axis_name`,
        `interaction_share` over `axis_pair`, `noise_share`, `factorial_cells` and `factorial_seeds`; and
        `at_best_learning_rate` (outcome, contender), 1 for the subject's cells at the rate that all seeds choose. Empty
        where the subject has no grid.
    """
    subject = subject_of(ds, settings.subject)
    rows: Rows = {}
    told: list[str] = []
    order: dict[str, tuple[str, int]] = {}
    best = np.zeros((len(OUTCOMES), ds.sizes["contender"]), np.int8)
    outcomes = _outcomes(ds, final, times, settings)
    for dataset in dict.fromkeys(ds["dataset"].values.tolist()):
        own = np.flatnonzero((ds["arm"] == subject) & (ds["dataset"] == dataset) & (ds["selected_for"] == ""))
        axes = _axes(ds.isel(contender=own)) if len(own) > 1 else []
        if not [axis for axis in axes if axis != RATE]:
            continue
        if RATE not in axes:
            told.append(f"{dataset}: learning_rate is no axis of {subject}, so effects are at the one given.")
        for row, runs in enumerate(outcomes.values()):
            best[row, own[_best(ds, runs, own, axes)]] = 1
        for outcome, found in _influences(ds, outcomes, settings, own, axes):
            told += [f"{dataset}, {OUTCOMES[outcome]}: {sentence}." for sentence in found.left_out]
            _add(rows, (dataset, outcome), found, order)
    if not rows:
        return xr.Dataset(), told
    table = _laid_out(rows, order).reindex(dataset=times["dataset"].values)
    labels = {"outcome": list(OUTCOMES), "contender": ds["contender"].values}
    table["at_best_learning_rate"] = xr.DataArray(best, labels, tuple(labels))
    return table, list(dict.fromkeys(told))


def _axes(own: xr.Dataset) -> list[str]:
    """Return the parameters that tell the subject's cells apart, all of which every cell has."""
    names = axes_of(own.rename(contender="cell"), str(own["model"].values[0]))
    return [name for name in names if not np.isin(own[name].values.astype(str), ("nan", "")).any()]


def _best(ds: xr.Dataset, outcome: _Outcome, own: np.ndarray, axes: list[str]) -> np.ndarray:
    """Return which of the subject's cells are at the learning rate that all seeds choose for their point."""
    score = outcome.chosen_by[own].mean("seed").values
    points: dict[tuple[object, ...], list[int]] = {}
    for index, key in enumerate(zip(*(ds[axis].values[own] for axis in axes if axis != RATE), strict=True)):
        points.setdefault(key, []).append(index)
    known = [np.array(cells)[np.isfinite(score[cells])] for cells in points.values()]
    return np.array([cells[score[cells].argmin()] for cells in known if len(cells)], int)


def _influences(
    ds: xr.Dataset,
    outcomes: Mapping[str, _Outcome],
    settings: StatisticsSettings,
    own: np.ndarray,
    axes: list[str],
) -> Iterator[tuple[str, Influence]]:
    coords = {axis: ("contender", ds[axis].values[own]) for axis in axes}
    for name, outcome in outcomes.items():
        judged, chosen_by = (on_grid(runs[own].assign_coords(coords), axes) for runs in outcome)
        if RATE in axes:
            judged = at_best_learning_rate(judged, chosen_by, RATE)
        found = influence(judged, settings.seed, settings.alpha, settings.bootstrap)
        edge = _at_edge(chosen_by) if RATE in axes else 0
        if edge:
            cells = judged.isel(seed=0).size
            found.left_out.append(
                f"{edge} of {cells} cells are best at the smallest or largest {RATE}: widen it"
            )
        yield name, found


def _outcomes(
    ds: xr.Dataset, final: xr.DataArray, times: xr.Dataset, settings: StatisticsSettings
) -> dict[str, _Outcome]:
    """Return outcomes; rates are chosen on validation, by the restricted mean, the last metric, and the cost."""
    bare = ds.reset_coords(drop=True)
    restricted = times["restricted_time"].sel(target=settings.target, drop=True)
    time, cost = (restricted.sel(axis=axis, drop=True) for axis in ("samples", "training_flops"))
    diverged = bare["diverged_at_step"].notnull()
    chance = ds["chance_level"].reset_coords(drop=True)
    sign = xr.where(ds["direction"].reset_coords(drop=True) == "maximise", -1.0, 1.0)
    last = bare["final_validation_metric"].fillna(chance.where(diverged))
    found = (
        _Outcome(xr.apply_ufunc(np.log, time), time),
        _Outcome(final, sign * last),
        _Outcome(xr.apply_ufunc(np.log, cost), cost),
    )
    return {
        name: _Outcome(*(runs.transpose("contender", "seed") for runs in outcome))
        for name, outcome in zip(OUTCOMES, found, strict=True)
    }


def _at_edge(chosen_by: xr.DataArray) -> int:
    """Return how many points are best at either end of the learning rates; two rates are all edge."""
    score = chosen_by.mean("seed")
    best = score.fillna(np.inf).argmin(RATE)
    return int((((best == 0) | (best == chosen_by.sizes[RATE] - 1)) & score.notnull().any(RATE)).sum())


def _add(rows: Rows, key: tuple[str, str], found: Influence, order: dict[str, tuple[str, int]]) -> None:
    """Add to the rows what was found of one dataset and outcome."""

    def put(variable: str, label: str, value: float | list[float]) -> None:
        rows.setdefault(variable, {})[(*key, label)] = value

    put("factorial_cells", "", found.num_points)
    put("factorial_seeds", "", found.num_seeds)
    for subset, effect in found.effects.items():
        name = "main_effect" if len(subset) == 1 else "interaction"
        estimate = effect["estimate"].transpose(*subset)
        interval = effect["interval"].transpose(*subset, "bound")
        for place in np.ndindex(estimate.shape):
            levels = [
                level_label(axis, estimate[axis].values[at]) for axis, at in zip(subset, place, strict=True)
            ]
            if len(subset) == 1:
                order[levels[0]] = subset[0], place[0]
            put(name, ", ".join(levels), float(estimate.values[place]))
            put(f"{name}_bound", ", ".join(levels), interval.values[place].tolist())
    if not found.effects:
        return
    axes = found.shares["axis_name"].values.tolist()
    for name, variable in SHARES.items():
        for axis, value in zip(axes, found.shares[name].values, strict=True):
            put(variable, axis, float(value))
    for pair, value in zip(combinations(axes, 2), found.shares["interaction"].values, strict=True):
        put("interaction_share", " x ".join(pair), float(value))
    put("noise_share", "", float(found.shares["noise"]))


SHARES = {"first_order": "first_order_share", "total": "total_share", "largest_in_draws": "largest_in_draws"}

DIMENSIONS = {
    "main_effect": "level",
    "main_effect_bound": "level",
    "interaction": "level_pair",
    "interaction_bound": "level_pair",
    "interaction_share": "axis_pair",
    **dict.fromkeys(SHARES.values(), "axis_name"),
}
"""The dimension of a variable besides dataset and outcome; the others have none."""


def _laid_out(rows: Rows, order: Mapping[str, tuple[str, int]]) -> xr.Dataset:
    """Return the rows as variables; labels in the order of their first."""
    labels: dict[str, dict[str, None]] = {}
    for variable, values in rows.items():
        for dataset, outcome, label in values:
            for dim, own in (
                ("dataset", dataset),
                ("outcome", outcome),
                (DIMENSIONS.get(variable, ""), label),
            ):
                labels.setdefault(dim, {})[own] = None
    labels.pop("", None)
    found = xr.Dataset(coords={dim: np.array(list(own), object) for dim, own in labels.items()})
    for variable, values in rows.items():
        dims = ["dataset", "outcome", *([DIMENSIONS[variable]] if variable in DIMENSIONS else [])]
        ends = variable.endswith("_bound")
        array = np.full([*(len(labels[dim]) for dim in dims), *([2] if ends else [])], np.nan)
        for key, value in values.items():
            place = tuple(list(labels[dim]).index(own) for dim, own in zip(dims, key, strict=False))
            array[place] = value
        found[variable] = ([*dims, *(["bound"] if ends else [])], array)
    if "level" in labels:
        told = [order[level] for level in labels["level"]]
        found = found.assign_coords(
            level_axis=("level", np.array([axis for axis, _ in told], object)),
            level_place=("level", np.array([place for _, place in told])),
        )
    return found
