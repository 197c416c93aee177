"""Costs of many contenders on the evaluations, and up to the budget, that all of them share."""

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
    """Return the costs of contenders, all restricted to one budget.

    The contenders are judged on the steps at which all of them were evaluated. Their budget is that of
    `hornlib.statistics.pairs.budget_of` over all of their runs. If each contender had a budget of its own, a cheap
    contender that never arrives would look cheaper than an expensive contender that arrives.

    Args:
        ds: contenders of one dataset and presentation, from `contenders`.
        references: from `references_of`, of the same contenders.
        settings: targets, and the number of consecutive evaluations that must reach one.
        axes: of `hornlib.statistics.axes.COST_AXES`.
        binding: positions of the contenders whose runs set the budget; None: all contenders.

    Returns:
        Arrays (contender, target, axis, seed). None if the contenders share no evaluation.
    """
    evaluated = ds["samples"].notnull().transpose("contender", "step").values
    trained = evaluated[evaluated.any(1)]
    shared = np.flatnonzero(trained.all(0)) if len(trained) else np.empty(0, int)
    if not len(shared):
        return None
    events = events_on(ds.isel(step=shared), references, settings, axes)
    rows = np.arange(ds.sizes["contender"]) if binding is None else binding
    whole, counts, missed = (
        np.concatenate(
            values[rows], -1
        )  # all runs of all contenders along the last axis: (target, axis, run)
        for values in (events.whole, events.known, events.known & ~events.hit & ~events.diverged)
    )
    return restricted_to(events, events.known, budget_of(whole, counts, missed)[None])
