"""What tuning buys and costs: the expected best of n trials, and time to the target with the tuning in it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import xarray as xr

__all__ = ["Tuning", "expected_best", "time_with_tuning", "tuning_summary"]

PASSED_ON = ("tuning_trials", "tuned_parameters", "tuning_finalists", "at_edge")
"""Variables of results.nc that describe how each contender was tuned."""


class Tuning(Protocol):
    """What is known of the tuning of one cell; `hornlib.tuning.choice.Choice` is one."""

    @property
    def scores(self) -> Sequence[float]:
        """Of every trial: restricted mean samples to the target, or the mean last validation metric."""

    @property
    def cost(self) -> Mapping[str, float]:
        """What all trials used together, by axis of cost."""


def expected_best(scores: xr.DataArray, direction: str, dim: str = "trial") -> xr.DataArray:
    """Return the best score expected of n trials drawn without replacement, for n = 1..N.

    E[max of n] = sum_k x_(k) C(k - 1, n - 1) / C(N, n) over the scores in ascending order.

    Args:
        scores: one a trial; NaN where a trial has none, and beyond the number known the expectation is NaN.
        direction: maximise or minimise.
        dim: dimension of the trials.

    Returns:
        With a last dimension `num_trials` in place of `dim`.

    Reference:
        Tang et al., Showing your work doesn't always work, ACL 2020, equation 5.
    """
    sign = 1 if direction == "maximise" else -1
    found = xr.apply_ufunc(
        _expected_maximum,
        sign * scores,
        input_core_dims=[[dim]],
        output_core_dims=[["num_trials"]],
        vectorize=True,
    )
    return (sign * found).assign_coords(num_trials=np.arange(1, scores.sizes[dim] + 1))


def _expected_maximum(scores: np.ndarray) -> np.ndarray:
    from scipy.special import comb

    known = np.sort(scores[~np.isnan(scores)])
    places, chosen = np.arange(1, len(known) + 1), np.arange(1, len(known) + 1)[:, None]
    expected = np.full(len(scores), np.nan)
    expected[: len(known)] = (comb(places - 1, chosen - 1) / comb(len(known), chosen)) @ known
    return expected


def time_with_tuning(time: xr.DataArray, tuning_cost: xr.DataArray, num_trainings: int = 1) -> xr.DataArray:
    """Return the time to the target of one training, with its share of the tuning: T + C / k.

    Args:
        time: restricted mean time of a training, in the units of its axis.
        tuning_cost: what all trials took together, in the same units.
        num_trainings: k, trainings that share what was found.
    """
    return time + tuning_cost / num_trainings


def tuning_summary(
    ds: xr.Dataset, times: xr.Dataset, target: float, tunings: Mapping[str, Tuning]
) -> xr.Dataset:
    """Return `expected_best` (contender, num_trials), `tuning_cost` and `time_with_tuning` (contender, axis).

    The number of trials, of tuned parameters and of finalists, and what was chosen at an edge, are passed on from
    the results.

    The seconds of tuning are of the jobs' own clocks, which neighbours share, and those of a training are calibrated:
    they are not added.

    Args:
        ds: from `contenders`.
        times: from `restricted_times`.
        target: the headline target.
        tunings: of tuned cells, by the cell's name; without any the Dataset is empty.
    """
    known = [tunings.get(cell) for cell in ds["cell_name"].values.tolist()]
    most = max((len(own.scores) for own in known if own), default=0)
    if not most:
        return xr.Dataset()
    contender, axes = {"contender": ds["contender"].values}, times["axis"].values.tolist()
    scores, cost = np.full((len(known), most), np.nan), np.full((len(known), len(axes)), np.nan)
    for row, own in enumerate(known):
        if own:
            scores[row, : len(own.scores)] = own.scores
            cost[row] = [own.cost.get(axis, np.nan) for axis in axes]
    trials = xr.DataArray(scores, contender, ("contender", "trial"))
    words = ds[["selected_for", "direction"]].reset_coords()
    smaller = (words["selected_for"] == "time_to_target") | (words["direction"] == "minimise")
    best = xr.where(smaller, expected_best(trials, "minimise"), expected_best(trials, "maximise"))
    spent = xr.DataArray(cost, {**contender, "axis": axes}, ("contender", "axis"))
    usual = times["restricted_time"].reset_coords(drop=True).sel(target=target, drop=True).mean("seed")
    whole = time_with_tuning(usual, spent).where(spent["axis"] != "seconds")
    found = {"expected_best": best, "tuning_cost": spent, "time_with_tuning": whole}
    passed_on = {name: ds[name].reset_coords(drop=True) for name in PASSED_ON if name in ds}
    return xr.Dataset(found | passed_on)
