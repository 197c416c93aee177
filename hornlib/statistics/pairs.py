"""Pairs of contenders: each judged on the evaluations and up to the budget that these two share, and nobody else.

A third arm that is cheaper, shorter, evaluated at fewer steps or diverged changes nothing of a pair's ratio,
interval or test. Only the baseline matters to other arms, since it sets the level of the targets.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.statistics.restricted_mean import Events, References, events_on
from hornlib.statistics.settings import StatisticsSettings

__all__ = ["Pairs", "Side", "pairs_of", "pairs_on"]


class Side(NamedTuple):
    """One contender of every pair, (pair, target, axis, seed); NaN (or False) where the pair lacks a run.

    Attributes:
        restricted: min(cost to the target, budget of the pair); a miss or a divergence costs the budget.
        arrived: whether the run reached the target within the budget.
        diverged: whether it diverged.
        resolution: length of the evaluation interval that an arrival lies in; 0 for a miss.
        hit: whether it reached the target at all, within the arm's own training.
        spent: cost until the target, or of the arm's whole training where it was not reached.
    """

    restricted: np.ndarray
    arrived: np.ndarray
    diverged: np.ndarray
    resolution: np.ndarray
    hit: np.ndarray
    spent: np.ndarray


class Pairs(NamedTuple):
    """Every unordered pair.

    Attributes:
        rows: positions of the two contenders, (2, pair), ascending.
        budget: (pair, target, axis).
        first, second: the two sides.
    """

    rows: np.ndarray
    budget: np.ndarray
    first: Side
    second: Side


def pairs_of(rivals: xr.DataArray) -> np.ndarray:
    """Return the unordered pairs of contenders that are compared, (2, pair), ascending.

    Args:
        rivals: from `rivals_of`.
    """
    first, columns = np.nonzero(rivals.values >= 0)
    second = rivals.values[first, columns]
    return np.unique(np.sort([first, second], axis=0), axis=1)


def pairs_on(
    ds: xr.Dataset,
    references: dict[str, References],
    own: Events,
    rows: np.ndarray,
    settings: StatisticsSettings,
    axes: tuple[str, ...],
) -> Pairs:
    """Return the restricted costs of pairs.

    With E the steps at which both were evaluated, T a run's cost to the target on E and C the cost of its last step
    of E, the budget of a pair is the smallest C among runs that missed the target without diverging, and where no
    run has, the largest C of both: the largest budget at which min(T, budget) is known for every run. (A diverged
    run is known to miss at every budget, so it does not bind.)

    Args:
        ds: from `contenders`.
        references: from `references_of`.
        own: from `events_on`: every contender on its own evaluations.
        rows: from `pairs_of`.
        settings: targets and confirmations.
        axes: of `hornlib.statistics.restricted_mean.COST_AXES`.
    """
    sides = [_events_of_side(ds, references, own, rows, side, settings, axes) for side in (0, 1)]
    known = sides[0].known & sides[1].known
    misses = [known & ~side.hit & ~side.diverged for side in sides]
    binding = np.minimum(*(_smallest(side.whole, missed) for side, missed in zip(sides, misses, strict=True)))
    longest = np.maximum(*(_largest(side.whole, known) for side in sides))
    budget = np.where(np.isfinite(binding), binding, longest)
    budget[~known.any(-1)] = np.nan
    return Pairs(rows, budget, *(_restricted(side, known, budget) for side in sides))


def _restricted(side: Events, known: np.ndarray, budget: np.ndarray) -> Side:
    limit = np.broadcast_to(budget[..., None], known.shape)
    arrived = known & side.hit & (side.cost <= limit)
    return Side(
        restricted=np.where(known, np.where(arrived, side.cost, limit), np.nan),
        arrived=arrived,
        diverged=known & side.diverged,
        resolution=np.where(arrived, side.resolution, 0.0),
        hit=known & side.hit,
        spent=np.where(known, np.where(side.hit, side.cost, side.whole), np.nan),
    )


def _smallest(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the smallest chosen value over the seeds; infinite where none is chosen."""
    return np.where(chosen, values, np.inf).min(-1, initial=np.inf)


def _largest(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    return np.where(chosen, values, -np.inf).max(-1, initial=-np.inf)


def _events_of_side(
    ds: xr.Dataset,
    references: dict[str, References],
    own: Events,
    rows: np.ndarray,
    side: int,
    settings: StatisticsSettings,
    axes: tuple[str, ...],
) -> Events:
    """Return the events of one side of every pair, judged on the evaluations that the pair shares."""
    evaluated = ds["samples"].notnull().transpose("contender", "step").values
    grids, grid_of = np.unique(evaluated, axis=0, return_inverse=True)
    grid_of = grid_of.reshape(-1)
    members = rows[side]
    found = Events(*(values[members] for values in own))
    # A sweep has few grids: contenders are judged anew once on each grid that a pair shares and that is not their own.
    shared: dict[bytes, list[int]] = {}
    for pair, (one, other) in enumerate(grid_of[rows].T.tolist()):
        if one != other:
            shared.setdefault((grids[one] & grids[other]).tobytes(), []).append(pair)
    for mask, pairs in shared.items():
        steps = np.flatnonzero(np.frombuffer(mask, bool))
        contenders, places = np.unique(members[pairs], return_inverse=True)
        chosen = (
            ds.isel(contender=contenders, step=steps) if len(steps) else _without_evaluations(ds, contenders)
        )
        events = events_on(chosen, _references_of_rows(references, contenders), settings, axes)
        for values, new in zip(found, events, strict=True):
            values[pairs] = new[places.reshape(-1)]
    return found


def _references_of_rows(references: dict[str, References], rows: np.ndarray) -> dict[str, References]:
    return {
        name: References(own.metric, own.start.isel(contender=rows), own.end.isel(contender=rows))
        for name, own in references.items()
    }


def _without_evaluations(ds: xr.Dataset, rows: np.ndarray) -> xr.Dataset:
    """Return these contenders as if none had been evaluated: a pair that shares no step has no time."""
    ds = ds.isel(contender=rows)
    return ds.assign({name: ds[name].where(False) for name in ds.data_vars if "step" in ds[name].dims})
