"""Pairs of contenders: each judged on the evaluations and up to the budget that these two share, and nobody else.

A third arm that is cheaper, shorter, evaluated at fewer steps or diverged changes nothing of a pair's ratio,
interval or test. Only the baseline matters to other arms, since it sets the level of the targets.
"""

from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.statistics.restricted_mean import Events, References, events_on

__all__ = ["Pairs", "Side", "budget_of", "pairs_of", "pairs_on", "restricted_to"]


class Side(NamedTuple):
    """Restricted costs, of one contender of every pair (pair, target, axis, seed); NaN (or False) without a run.

    Attributes:
        restricted: min(cost to the target, budget); a miss or a divergence costs the budget.
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
    missed = [known & ~side.hit & ~side.diverged for side in sides]
    budget = budget_of(
        np.concatenate([side.whole for side in sides], -1),
        np.concatenate([known, known], -1),
        np.concatenate(missed, -1),
    )
    return Pairs(rows, budget, *(restricted_to(side, known, budget) for side in sides))


def budget_of(whole: np.ndarray, known: np.ndarray, missed: np.ndarray) -> np.ndarray:
    """Return the largest budget at which min(cost to the target, budget) is known for every run.

    Args:
        whole: cost of each run's whole training, (.., run).
        known: whether the run counts, (.., run).
        missed: whether it counts, never reached the target and did not diverge, (.., run).

    Returns:
        The smallest whole cost of a missed run; the largest of all known runs where none missed; NaN where no run is
        known, (..).
    """
    binding = np.where(missed, whole, np.inf).min(-1, initial=np.inf)
    longest = np.where(known, whole, -np.inf).max(-1, initial=-np.inf)
    budget = np.where(np.isfinite(binding), binding, longest)
    return np.where(known.any(-1), budget, np.nan)


def restricted_to(events: Events, known: np.ndarray, budget: np.ndarray) -> Side:
    """Return the runs with their costs restricted to a budget.

    Args:
        events: of the runs, (.., seed).
        known: which of them count, (.., seed).
        budget: (..), or what broadcasts to it.
    """
    limit = np.broadcast_to(budget[..., None], known.shape)
    arrived = known & events.hit & (events.cost <= limit)
    return Side(
        restricted=np.where(known, np.where(arrived, events.cost, limit), np.nan),
        arrived=arrived,
        diverged=known & events.diverged,
        resolution=np.where(arrived, events.resolution, 0.0),
        hit=known & events.hit,
        spent=np.where(known, np.where(events.hit, events.cost, events.whole), np.nan),
    )


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
        members_alone = ds.isel(contender=contenders)
        chosen = _at_steps(members_alone, steps) if len(steps) else _without_evaluations(members_alone)
        events = events_on(chosen, _references_of_rows(references, contenders), settings, axes)
        for values, new in zip(found, events, strict=True):
            values[pairs] = new[places.reshape(-1)]
    return found


def _references_of_rows(references: dict[str, References], rows: np.ndarray) -> dict[str, References]:
    return {
        name: References(own.metric, own.start.isel(contender=rows), own.end.isel(contender=rows))
        for name, own in references.items()
    }


def _at_steps(ds: xr.Dataset, steps: np.ndarray) -> xr.Dataset:
    """Return the contenders at some of their evaluations, with the training loss a mean since the last of these.

    A recorded training loss is the mean over the steps since the evaluation before it. Over several such windows the
    mean is weighted by their lengths.
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
    """Return the contenders as if none had been evaluated: a pair that shares no step has no time."""
    return ds.assign({name: ds[name].where(False) for name in ds.data_vars if "step" in ds[name].dims})
