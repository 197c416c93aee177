"""What tuning buys and costs: the expected best of n trials, and time to the target with the tuning in it."""

import numpy as np
import xarray as xr

__all__ = ["expected_best", "time_with_tuning"]


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
