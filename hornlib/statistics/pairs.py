"""Pairs of contenders: each pair is judged on the evaluations and up to the budget that these two contenders share.

A third arm has no influence on the ratio, the interval or the test of a pair, however cheap, short or coarsely
evaluated it is. The baseline is the only exception, since it sets the level of the targets.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.statistics.restricted_mean import Events, References, events_on

__all__ = ["Pairs", "Side", "budget_of", "pairs_of", "pairs_on", "restricted_to"]


class Side(NamedTuple):
    """Restricted costs of the first, or of the second, contender of every pair: arrays (pair, target, axis, seed).

    A pair of runs that does not count has NaN or False.

    Attributes:
        restricted: min(cost to the target, budget). A run that misses the target or diverges costs the budget.
        arrived: whether the run reached the target within the budget.
        diverged: whether the run diverged.
        resolution: length of the evaluation interval in which the run arrived; 0 for a miss.
        hit: whether the run reached the target within the whole training of its arm.
        spent: cost until the target; for a run that missed the target, cost of its whole training.
    """

    restricted: np.ndarray
    arrived: np.ndarray
    diverged: np.ndarray
    resolution: np.ndarray
    hit: np.ndarray
    spent: np.ndarray


class Pairs(NamedTuple):
    """The restricted costs of every unordered pair of contenders that are compared.

    Attributes:
        rows: (2, pair), positions of the two contenders, ascending.
        budget: (pair, target, axis), cost to which both contenders are restricted.
        first, second: the two contenders' costs.
    """

    rows: np.ndarray
    budget: np.ndarray
    first: Side
    second: Side


def pairs_of(rivals: xr.DataArray) -> np.ndarray:
    """Return the unordered pairs of contenders that are compared, (2, pair), ascending positions.

    Args:
        rivals: from `rivals_of`.
    """
    first, columns = np.nonzero(rivals.values >= 0)
    second = rivals.values[first, columns]
    return np.unique(np.sort([first, second], axis=0), axis=1)


def pairs_on(
    ds: xr.Dataset,
    references: dict[str, References],
    events: Events,
    rows: np.ndarray,
    settings: StatisticsSettings,
    axes: tuple[str, ...],
) -> Pairs:
    """Return the restricted costs of pairs.

    Both contenders of a pair are judged on the steps at which both were evaluated. Their budget is that of `budget_of`
    over all runs of both.

    Args:
        ds: from `contenders` (contender, seed, step).
        references: from `references_of`.
        events: from `events_on` (contender, target, axis, seed), of every contender on all of its own evaluations.
        rows: from `pairs_of`, (2, pair).
        settings: targets, and the number of consecutive evaluations that must reach one.
        axes: of `hornlib.statistics.axes.COST_AXES`.
    """
    sides = [_events_of_side(ds, references, events, rows[side], rows, settings, axes) for side in (0, 1)]
    counts = sides[0].known & sides[1].known
    missed = [counts & ~side.hit & ~side.diverged for side in sides]
    budget = budget_of(
        np.concatenate([side.whole for side in sides], -1),
        np.concatenate([counts, counts], -1),
        np.concatenate(missed, -1),
    )
    return Pairs(rows, budget, *(restricted_to(side, counts, budget) for side in sides))


def budget_of(whole: np.ndarray, counts: np.ndarray, missed: np.ndarray) -> np.ndarray:
    """Return the largest budget at which min(cost to the target, budget) is known for every run.

    It is the smallest whole cost of a run that missed the target without diverging. If there is no such run, it is the
    largest whole cost of any run. A diverged run misses the target at every budget, so that it sets no limit.

    Args:
        whole: cost of each run's whole training on the shared evaluations, (.., run).
        counts: whether the run counts, (.., run).
        missed: whether the run counts, missed the target and did not diverge, (.., run).

    Returns:
        (..); NaN where no run counts.
    """
    smallest_of_missed = np.where(missed, whole, np.inf).min(-1, initial=np.inf)
    largest = np.where(counts, whole, -np.inf).max(-1, initial=-np.inf)
    budget = np.where(np.isfinite(smallest_of_missed), smallest_of_missed, largest)
    return np.where(counts.any(-1), budget, np.nan)


def restricted_to(events: Events, counts: np.ndarray, budget: np.ndarray) -> Side:
    """Return the costs of runs, restricted to a budget.

    Args:
        events: when the runs reach the targets, (.., seed).
        counts: whether the run counts, (.., seed).
        budget: (..), or a shape that broadcasts to it.
    """
    limit = np.broadcast_to(budget[..., None], counts.shape)
    arrived = counts & events.hit & (events.cost <= limit)
    return Side(
        restricted=np.where(counts, np.where(arrived, events.cost, limit), np.nan),
        arrived=arrived,
        diverged=counts & events.diverged,
        resolution=np.where(arrived, events.resolution, 0.0),
        hit=counts & events.hit,
        spent=np.where(counts, np.where(events.hit, events.cost, events.whole), np.nan),
    )


def _events_of_side(
    ds: xr.Dataset,
    references: dict[str, References],
    events: Events,
    members: np.ndarray,
    rows: np.ndarray,
    settings: StatisticsSettings,
    axes: tuple[str, ...],
) -> Events:
    """Return the events of one contender of every pair, judged on the evaluations that the pair shares.

    Args:
        ds: from `contenders`.
        references: from `references_of`.
        events: of every contender on its own evaluations.
        members: (pair,), positions of these contenders.
        rows: (2, pair), positions of both contenders.
        settings: targets and confirmations.
        axes: of cost.
    """
    evaluated = ds["samples"].notnull().transpose("contender", "step").values
    grids, grid_of = np.unique(evaluated, axis=0, return_inverse=True)
    grid_of = grid_of.reshape(-1)
    events_of_side = Events(*(values[members] for values in events))
    # A sweep has few grids of evaluations, so that contenders are judged once again for every grid that a pair shares.
    shared: dict[bytes, list[int]] = {}
    for pair, (one, other) in enumerate(grid_of[rows].T.tolist()):
        if one != other:
            shared.setdefault((grids[one] & grids[other]).tobytes(), []).append(pair)
    for mask, pairs in shared.items():
        steps = np.flatnonzero(np.frombuffer(mask, bool))
        contenders, places = np.unique(members[pairs], return_inverse=True)
        members_alone = ds.isel(contender=contenders)
        chosen = _at_steps(members_alone, steps) if len(steps) else _without_evaluations(members_alone)
        on_shared = events_on(chosen, _references_of_rows(references, contenders), settings, axes)
        for values, new in zip(events_of_side, on_shared, strict=True):
            values[pairs] = new[places.reshape(-1)]
    return events_of_side


def _references_of_rows(references: dict[str, References], rows: np.ndarray) -> dict[str, References]:
    return {
        name: References(gain.metric, gain.start.isel(contender=rows), gain.end.isel(contender=rows))
        for name, gain in references.items()
    }


def _at_steps(ds: xr.Dataset, steps: np.ndarray) -> xr.Dataset:
    """Return the contenders at some of their evaluations; a training loss is the mean since the previous one of these.

    A recorded training loss is the mean over the steps since the previous evaluation. The mean over several such
    windows is weighted by their lengths.
    """
    chosen = ds.isel(step=steps)
    if "training_loss" not in ds:
        return chosen
    axes = ("contender", "seed", "step")
    loss = ds["training_loss"].transpose(*axes).values
    evaluated = np.broadcast_to(
        ds["samples"].notnull().transpose("contender", "step").values[:, None], loss.shape
    )
    step = np.where(evaluated, ds["step"].values, 0).astype(float)
    last = np.maximum.accumulate(step, axis=-1)
    length = np.diff(last, prepend=0.0, axis=-1)
    total = np.cumsum(np.where(evaluated, loss * length, 0.0), axis=-1)[..., steps]
    mean = np.diff(total, prepend=0.0, axis=-1) / np.diff(last[..., steps], prepend=0.0, axis=-1)
    return chosen.assign(training_loss=(axes, mean))


def _without_evaluations(ds: xr.Dataset) -> xr.Dataset:
    """Return the contenders without any evaluation: a pair that shares no evaluation has no times."""
    return ds.assign({name: ds[name].where(False) for name in ds.data_vars if "step" in ds[name].dims})
