"""The influence of parameters in a sweep as variables of statistics.nc: by level, by pair of levels, by axis."""

from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.results.opening import axes_of
from hornlib.statistics.contenders import subject_of
from hornlib.statistics.estimators.factorial import full_factorial, level_label, on_grid
from hornlib.statistics.estimators.holm import holm
from hornlib.statistics.influence import (
    Influence,
    Rates,
    at_best_learning_rate,
    influence,
    leading_parameter,
)
from hornlib.statistics.influence_outcomes import OUTCOMES, RATE, Factorial, Outcome, best_cells, outcomes_of

__all__ = ["influence_table"]


Entries = dict[str, dict[tuple[str, str, str], float | list[float]]]
"""Variable -> (dataset, outcome, label) -> number, or the two ends of an interval."""


def influence_table(
    ds: xr.Dataset, final: xr.DataArray, times: xr.Dataset, settings: StatisticsSettings
) -> tuple[xr.Dataset, list[str]]:
    """Return the influence of the subject's parameters on every dataset, and sentences that name what is left out.

    Args:
        ds: from `contenders`.
        final: from `final_metric`, (contender, seed).
        times: from `restricted_times`.
        settings: subject, target, alpha, bootstrap draws.

    Returns:
        On (dataset, outcome): `main_effect` and `main_effect_bound` (.., level) with labels `timesteps=8` and the
        coordinates `level_axis` and `level_place`; `interaction` and `interaction_bound` (.., level_pair) with labels
        `timesteps=8, num_nodes=16`; `first_order_share`, `total_share`, `total_share_bound` and `largest_in_draws`
        (.., axis_name); `interaction_share` (.., axis_pair); `noise_share`, `factorial_cells` and `factorial_seeds`;
        `arrived_share`, the share of the runs that reach the target within the budget of all, at the rates that effects
        have: the mean of those at the rate that all seeds choose and at the one that the other half chooses;
        `difference_p` of the hypothesis that all cells are equal, and `difference_p_holm`, corrected over the datasets;
        `leading_parameter`, the parameter with the largest influence, "" if none can be named. On (outcome, contender):
        `at_best_learning_rate`, 1 for the subject's cells at the rate that all seeds choose. The Dataset is empty if
        the subject has no grid.
    """
    subject = subject_of(ds, settings.subject)
    sentences: list[str] = []
    influences: dict[tuple[str, str], Influence] = {}
    arrived: dict[tuple[str, str], float] = {}
    best = np.zeros((len(OUTCOMES), ds.sizes["contender"]), np.int8)
    factorials = list(_factorials(ds, subject))
    outcomes = outcomes_of(ds, final, times, factorials, settings)
    for dataset, members, axes in factorials:
        if RATE not in axes:
            sentences.append(
                f"{dataset}: learning_rate is no axis of {subject}, so that all effects are at its single value."
            )
        for row, runs in enumerate(outcomes.values()):
            score = runs.chosen_by[members].mean("seed").values
            best[row, members[best_cells(ds, score, members, axes)]] = 1
        for outcome, result, share in _influences(ds, outcomes, settings, members, axes):
            sentences += [f"{dataset}, {OUTCOMES[outcome]}: {sentence}." for sentence in result.left_out]
            influences[dataset, outcome] = result
            arrived[dataset, outcome] = share
    if not influences:
        return xr.Dataset(), sentences
    entries: Entries = {}
    order: dict[str, tuple[str, int]] = {}
    for key, result in influences.items():
        _add(entries, key, result, order)
        entries.setdefault("arrived_share", {})[(*key, "")] = arrived[key]
    table = _with_leaders(_laid_out(entries, order), influences, settings.alpha)
    table = table.reindex(dataset=times["dataset"].values)
    table["leading_parameter"] = table["leading_parameter"].where(table["leading_parameter"].notnull(), "")
    labels = {"outcome": list(OUTCOMES), "contender": ds["contender"].values}
    table["at_best_learning_rate"] = xr.DataArray(best, labels, tuple(labels))
    return table, list(dict.fromkeys(sentences))


def _with_leaders(
    table: xr.Dataset, influences: Mapping[tuple[str, str], Influence], alpha: float
) -> xr.Dataset:
    """Add the corrected p-values and the leading parameters."""
    p_holm = table["difference_p"].copy(
        data=holm(table["difference_p"].transpose("dataset", "outcome").values)
    )
    leaders = xr.full_like(p_holm, "", object)
    for (dataset, outcome), result in influences.items():
        at = {"dataset": dataset, "outcome": outcome}
        leaders.loc[at] = leading_parameter(result.shares, float(p_holm.sel(at)), alpha)
    return table.assign(difference_p_holm=p_holm, leading_parameter=leaders)


def _factorials(ds: xr.Dataset, subject: str) -> Iterator[Factorial]:
    """Yield the grids of the subject that have an axis besides the learning rate."""
    for dataset in dict.fromkeys(ds["dataset"].values.tolist()):
        is_member = (ds["arm"] == subject) & (ds["dataset"] == dataset) & (ds["selected_for"] == "")
        members = np.flatnonzero(is_member)
        axes = _axes(ds.isel(contender=members)) if len(members) > 1 else []
        if [axis for axis in axes if axis != RATE]:
            yield Factorial(dataset, members, axes)


def _axes(cells: xr.Dataset) -> list[str]:
    """Return the parameters that distinguish the subject's cells and that all of these cells have."""
    names = axes_of(cells.rename(contender="cell"), str(cells["model"].values[0]))
    return [name for name in names if not np.isin(cells[name].values.astype(str), ("nan", "")).any()]


def _influences(
    ds: xr.Dataset,
    outcomes: Mapping[str, Outcome],
    settings: StatisticsSettings,
    members: np.ndarray,
    axes: list[str],
) -> Iterator[tuple[str, Influence, float]]:
    """Yield every outcome's name, its influence, and which share of its runs arrive at the rates that effects have."""
    coords = {axis: ("contender", ds[axis].values[members]) for axis in axes}

    def by_axes(values: xr.DataArray) -> xr.DataArray:
        return on_grid(values[members].assign_coords(coords), axes)

    for name, outcome in outcomes.items():
        runs = Rates(by_axes(outcome.judged), by_axes(outcome.chosen_by))
        arrived = by_axes(outcome.arrived)
        if RATE not in axes:
            result = influence(runs.judged, settings.seed, settings.alpha, settings.bootstrap)
            yield name, result, _mean_over(full_factorial(runs.judged)[0], arrived)
            continue
        judged = at_best_learning_rate(*runs, RATE)
        arrived = at_best_learning_rate(arrived, runs.chosen_by, RATE)
        result = influence(judged, settings.seed, settings.alpha, settings.bootstrap, runs, RATE)
        num_at_edge = _num_at_edge(runs.chosen_by)
        if num_at_edge:
            num_cells = judged.isel(seed=0).size
            result.left_out.append(
                f"{num_at_edge} of {num_cells} cells are best at the smallest or largest {RATE}: widen its range"
            )
        yield name, result, _mean_over(full_factorial(judged)[0], arrived)


def _mean_over(design: xr.DataArray, values: xr.DataArray) -> float:
    """Return the mean of values over the cells and seeds of the design."""
    return float(xr.align(design, values, join="left")[1].mean())


def _num_at_edge(chosen_by: xr.DataArray) -> int:
    """Return the number of points that are best at the smallest or largest learning rate."""
    score = chosen_by.mean("seed")
    best = score.fillna(np.inf).argmin(RATE)
    return int((((best == 0) | (best == chosen_by.sizes[RATE] - 1)) & score.notnull().any(RATE)).sum())


def _add(
    entries: Entries, key: tuple[str, str], result: Influence, order: dict[str, tuple[str, int]]
) -> None:
    """Add the influence of parameters on one dataset and outcome to the entries."""

    def put(variable: str, label: str, value: float | list[float]) -> None:
        entries.setdefault(variable, {})[(*key, label)] = value

    put("factorial_cells", "", result.num_points)
    put("factorial_seeds", "", result.num_seeds)
    put("difference_p", "", result.p_difference)
    for subset, effect in result.effects.items():
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
    if not result.effects:
        return
    axes = result.shares["axis_name"].values.tolist()
    for name, variable in SHARES.items():
        for axis, value in zip(axes, result.shares[name].transpose("axis_name", ...).values, strict=True):
            put(variable, axis, value.tolist())
    for pair, value in zip(combinations(axes, 2), result.shares["interaction"].values, strict=True):
        put("interaction_share", " x ".join(pair), float(value))
    put("noise_share", "", float(result.shares["noise"]))


SHARES = {
    "first_order": "first_order_share",
    "total": "total_share",
    "total_bound": "total_share_bound",
    "largest_in_draws": "largest_in_draws",
}

DIMENSIONS = {
    "main_effect": "level",
    "main_effect_bound": "level",
    "interaction": "level_pair",
    "interaction_bound": "level_pair",
    "interaction_share": "axis_pair",
    **dict.fromkeys(SHARES.values(), "axis_name"),
}
"""Variable -> its dimension besides dataset and outcome; other variables have no further dimension."""


def _laid_out(entries: Entries, order: Mapping[str, tuple[str, int]]) -> xr.Dataset:
    """Return the entries as variables of a Dataset; labels stand in the order of first appearance."""
    labels: dict[str, dict[str, None]] = {}
    for variable, values in entries.items():
        for dataset, outcome, label in values:
            for dim, coordinate in (
                ("dataset", dataset),
                ("outcome", outcome),
                (DIMENSIONS.get(variable, ""), label),
            ):
                labels.setdefault(dim, {})[coordinate] = None
    labels.pop("", None)
    table = xr.Dataset(coords={dim: np.array(list(words), object) for dim, words in labels.items()})
    for variable, values in entries.items():
        dims = ["dataset", "outcome", *([DIMENSIONS[variable]] if variable in DIMENSIONS else [])]
        has_ends = variable.endswith("_bound")
        array = np.full([*(len(labels[dim]) for dim in dims), *([2] if has_ends else [])], np.nan)
        for key, value in values.items():
            place = tuple(list(labels[dim]).index(word) for dim, word in zip(dims, key, strict=False))
            array[place] = value
        table[variable] = ([*dims, *(["bound"] if has_ends else [])], array)
    if "level" in labels:
        places = [order[level] for level in labels["level"]]
        table = table.assign_coords(
            level_axis=("level", np.array([axis for axis, _ in places], object)),
            level_place=("level", np.array([place for _, place in places])),
        )
    return table
