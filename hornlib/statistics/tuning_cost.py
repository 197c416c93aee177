"""Cost and benefit of tuning: the expected best of n trials, and the time to the target including the tuning."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import xarray as xr

__all__ = ["Tuning", "expected_best", "time_with_tuning", "tuning_summary"]

PASSED_ON = ("tuning_trials", "tuned_parameters", "tuning_finalists", "at_edge")
"""Variables of results.nc that describe how each contender was tuned."""


class Tuning(Protocol):
    """The tuning of one cell; `hornlib.results.selection_file.Choice` has these attributes."""

    @property
    def scores(self) -> Sequence[float]:
        """Score of every trial: restricted mean samples to the target, or the mean final validation metric."""

    @property
    def cost(self) -> Mapping[str, float]:
        """Axis of cost -> cost of all trials together."""


def expected_best(scores: xr.DataArray, direction: str, dim: str = "trial") -> xr.DataArray:
    """Return the best score expected of n trials drawn without replacement, for n = 1..N.

    E[max of n] = sum_k x_(k) C(k - 1, n - 1) / C(N, n) over the scores in ascending order.

    Args:
        scores: one score for each trial; NaN for a trial without a score.
        direction: maximise or minimise.
        dim: dimension of the trials.

    Returns:
        The last dimension `num_trials` replaces `dim`; NaN beyond the number of scores.

    Reference:
        Tang et al., Showing your work doesn't always work, ACL 2020, equation 5.
    """
    sign = 1 if direction == "maximise" else -1
    expected = xr.apply_ufunc(
        _expected_maximum,
        sign * scores,
        input_core_dims=[[dim]],
        output_core_dims=[["num_trials"]],
        vectorize=True,
    )
    return (sign * expected).assign_coords(num_trials=np.arange(1, scores.sizes[dim] + 1))


def _expected_maximum(scores: np.ndarray) -> np.ndarray:
    from scipy.special import comb

    ascending = np.sort(scores[~np.isnan(scores)])
    places, chosen = np.arange(1, len(ascending) + 1), np.arange(1, len(ascending) + 1)[:, None]
    expected = np.full(len(scores), np.nan)
    expected[: len(ascending)] = (comb(places - 1, chosen - 1) / comb(len(ascending), chosen)) @ ascending
    return expected


def time_with_tuning(time: xr.DataArray, tuning_cost: xr.DataArray, num_trainings: int = 1) -> xr.DataArray:
    """Return the time to the target of one training with its share of the tuning, T + C / k.

    Args:
        time: T, restricted mean time of a training, in the units of its axis, (contender, axis).
        tuning_cost: C, cost of all trials together, in the same units, (contender, axis).
        num_trainings: k, number of trainings that share the tuning.
    """
    return time + tuning_cost / num_trainings


def tuning_summary(
    ds: xr.Dataset, times: xr.Dataset, target: float, tunings: Mapping[str, Tuning]
) -> xr.Dataset:
    """Return `expected_best` (contender, num_trials), `tuning_cost` and `time_with_tuning` (contender, axis).

    The variables in `PASSED_ON` are copied from the results.

    `time_with_tuning` has no seconds. Those of tuning come from the clocks of jobs that share a machine, and those of a
    training are calibrated, so that they cannot be added.

    Args:
        ds: from `contenders`.
        times: from `restricted_times`.
        target: the headline target.
        tunings: name of a tuned cell -> its tuning. Without any tuning the Dataset is empty.
    """
    by_contender = [tunings.get(cell) for cell in ds["cell_name"].values.tolist()]
    num_trials = max((len(tuning.scores) for tuning in by_contender if tuning), default=0)
    if not num_trials:
        return xr.Dataset()
    contender, axes = {"contender": ds["contender"].values}, times["axis"].values.tolist()
    scores = np.full((len(by_contender), num_trials), np.nan)
    cost = np.full((len(by_contender), len(axes)), np.nan)
    for row, tuning in enumerate(by_contender):
        if tuning:
            scores[row, : len(tuning.scores)] = tuning.scores
            cost[row] = [tuning.cost.get(axis, np.nan) for axis in axes]
    trials = xr.DataArray(scores, contender, ("contender", "trial"))
    words = ds[["selected_for", "direction"]].reset_coords()
    smaller = (words["selected_for"] == "time_to_target") | (words["direction"] == "minimise")
    best = xr.where(smaller, expected_best(trials, "minimise"), expected_best(trials, "maximise"))
    spent = xr.DataArray(cost, {**contender, "axis": axes}, ("contender", "axis"))
    usual = times["restricted_time"].reset_coords(drop=True).sel(target=target, drop=True).mean("seed")
    whole = time_with_tuning(usual, spent).where(spent["axis"] != "seconds")
    variables = {"expected_best": best, "tuning_cost": spent, "time_with_tuning": whole}
    passed_on = {name: ds[name].reset_coords(drop=True) for name in PASSED_ON if name in ds}
    return xr.Dataset(variables | passed_on)
