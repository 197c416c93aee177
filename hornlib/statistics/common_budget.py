"""Costs of many contenders on the evaluations and up to the one budget that all of them share."""

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.statistics.pairs import Side, budget_of, restricted_to
from hornlib.statistics.restricted_mean import References, events_on

__all__ = ["within_common_budget"]


def within_common_budget(
    ds: xr.Dataset,
    references: dict[str, References],
    settings: StatisticsSettings,
    axes: tuple[str, ...],
    binding: np.ndarray | None = None,
) -> Side | None:
    """Return the costs of contenders, all restricted to one budget: the rule of a pair, over many.

    With E the steps at which all contenders were evaluated, T a run's cost to the target on E and C the cost of its
    last step of E, the budget is the smallest C among runs that missed the target without diverging, and where no run
    has, the largest C. It is the largest budget at which min(T, budget) is known for every run. With a budget for each
    contender instead, a cheap contender that never arrives would look cheaper than an expensive one that does.

    Args:
        ds: contenders that are compared, from `contenders`; of one dataset and presentation.
        references: from `references_of`, of the same contenders.
        settings: targets and confirmations.
        axes: of `hornlib.statistics.restricted_mean.COST_AXES`.
        binding: positions of the contenders whose runs set the budget; None: all of them.

    Returns:
        Arrays (contender, target, axis, seed). None where the contenders share no evaluation.
    """
    evaluated = ds["samples"].notnull().transpose("contender", "step").values
    trained = evaluated[evaluated.any(1)]
    shared = np.flatnonzero(trained.all(0)) if len(trained) else np.empty(0, int)
    if not len(shared):
        return None
    events = events_on(ds.isel(step=shared), references, settings, axes)
    rows = np.arange(ds.sizes["contender"]) if binding is None else binding
    whole, known, missed = (
        np.concatenate(values[rows], -1)  # all runs of all contenders in a row: (target, axis, run)
        for values in (events.whole, events.known, events.known & ~events.hit & ~events.diverged)
    )
    return restricted_to(events, events.known, budget_of(whole, known, missed)[None])
