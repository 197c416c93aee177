"""Outcomes that parameters influence: costs to the target and the final metric, and how learning rates are chosen."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.results.divergence import final_with_chance
from hornlib.statistics.common_budget import within_common_budget
from hornlib.statistics.restricted_mean import references_of

__all__ = ["OUTCOMES", "RATE", "Factorial", "Outcome", "best_cells", "outcomes_of"]

OUTCOMES = {
    "log_time": "natural logarithm of the restricted time to the headline target in samples, one budget for all",
    "final_metric": "final test metric",
    "log_training_flops": "natural logarithm of the training FLOPs to the headline target, one budget for all",
}
"""Outcome -> its description. All cells of a dataset have one budget for both costs."""

COSTS = ("samples", "training_flops")
"""Axes of cost of the outcomes."""

RATE = "learning_rate"


class Outcome(NamedTuple):
    """One outcome of runs, all (contender, seed).

    Attributes:
        judged: the outcome.
        chosen_by: score by which the learning rate is chosen; smaller is better.
        arrived: 1 where the run reaches the target within the budget of all, else 0; NaN for an outcome without target.
    """

    judged: xr.DataArray
    chosen_by: xr.DataArray
    arrived: xr.DataArray


class Factorial(NamedTuple):
    """The subject's cells on one dataset: their positions, and the parameters that distinguish them."""

    dataset: str
    members: np.ndarray
    axes: list[str]


def best_cells(ds: xr.Dataset, score: np.ndarray, members: np.ndarray, axes: list[str]) -> np.ndarray:
    """Return the positions, within `members`, of the cells with the smallest score at their point.

    Args:
        ds: from `contenders`.
        score: (member,), smaller is better; NaN where it is unknown.
        members: positions of the cells of one factorial.
        axes: parameters of the factorial; a point has one value of each except the learning rate.
    """
    points: dict[tuple[object, ...], list[int]] = {}
    for index, key in enumerate(
        zip(*(ds[axis].values[members] for axis in axes if axis != RATE), strict=True)
    ):
        points.setdefault(key, []).append(index)
    measured = [np.array(cells)[np.isfinite(score[cells])] for cells in points.values()]
    return np.array([cells[score[cells].argmin()] for cells in measured if len(cells)], int)


def outcomes_of(
    ds: xr.Dataset,
    final: xr.DataArray,
    times: xr.Dataset,
    factorials: Sequence[Factorial],
    settings: StatisticsSettings,
) -> dict[str, Outcome]:
    """Return the outcomes. Rates are chosen on validation: by restricted samples, final metric and restricted FLOPs.

    The cells of a point differ only in the learning rate, so that a rate is chosen by its cost up to its own budget.
    The outcomes have one budget for all cells.

    Args:
        ds: from `contenders`.
        final: from `final_metric`, (contender, seed).
        times: from `restricted_times`.
        factorials: the subject's grids.
        settings: target, baseline.

    Returns:
        Each of `OUTCOMES` -> outcome and score, (contender, seed).
    """
    bare = ds.reset_coords(drop=True)
    restricted = times["restricted_time"].sel(target=settings.target, drop=True)
    time, cost = (restricted.sel(axis=axis, drop=True).transpose("contender", "seed") for axis in COSTS)
    chance = ds["chance_level"].reset_coords(drop=True)
    sign = xr.where(ds["direction"].reset_coords(drop=True) == "maximise", -1.0, 1.0)
    last = final_with_chance(bare["final_validation_metric"], bare["diverged_at_step"], chance)
    outcomes = (
        _log_costs(ds, times, time, "samples", factorials, settings),
        Outcome(final, sign * last, xr.full_like(final, np.nan)),
        _log_costs(ds, times, cost, "training_flops", factorials, settings),
    )
    return {
        name: Outcome(*(runs.transpose("contender", "seed") for runs in outcome))
        for name, outcome in zip(OUTCOMES, outcomes, strict=True)
    }


def _log_costs(
    ds: xr.Dataset,
    times: xr.Dataset,
    chosen_by: xr.DataArray,
    axis: str,
    factorials: Sequence[Factorial],
    settings: StatisticsSettings,
) -> Outcome:
    """Return the logarithm of costs with one budget for each factorial; NaN for contenders of none.

    The budget is set by the runs at the learning rates that all seeds, or either half of them, choose. No other run
    enters an effect, see `at_best_learning_rate`. A miss at any other rate costs the budget, too.
    """
    logarithms, arrived = (xr.full_like(chosen_by, np.nan) for _ in range(2))
    column = settings.all_targets().index(settings.target)
    reference = _reference(ds, times, settings)
    for _, members, axes in factorials:
        cells = ds.isel(contender=members)
        references = references_of(cells, reference, settings.baseline)
        scores = chosen_by[members]
        is_second = xr.DataArray(np.arange(scores.sizes["seed"]) % 2 == 1, dims="seed")
        choosers = (scores, scores.where(~is_second), scores.where(is_second))
        binding = [best_cells(ds, chooser.mean("seed").values, members, axes) for chooser in choosers]
        rows = np.unique(np.concatenate(binding))
        # Without a metric no rate can be chosen, and no cost is known.
        side = within_common_budget(cells, references, settings, (axis,), rows) if len(rows) else None
        if side is not None:
            costs = side.restricted[:, column, 0]
            logarithms.values[members] = np.log(costs)
            arrived.values[members] = np.where(np.isfinite(costs), side.arrived[:, column, 0], np.nan)
    return Outcome(logarithms, chosen_by, arrived)


def _reference(ds: xr.Dataset, times: xr.Dataset, settings: StatisticsSettings) -> xr.DataArray:
    """Return A, (dataset,), from the levels of the targets: level = chance + f (A - chance)."""
    level = times["level"].sel(target=settings.target, drop=True)
    datasets = ds["dataset"].values.tolist()
    chance = ds["chance_level"].values[[datasets.index(name) for name in level["dataset"].values]]
    gain: xr.DataArray = (level - chance) / settings.target
    return gain + chance
