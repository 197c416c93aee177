"""Performance profiles over datasets, and AlgoPerf's score: how often an arm is within a factor of the fastest."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

__all__ = ["LARGEST_RATIO", "algoperf_score", "performance_profile", "time_ratios"]

LARGEST_RATIO = 4.0
"""r_max, where the integral of AlgoPerf's score ends."""


def time_ratios(time: xr.DataArray, arm: str = "arm", workload: str = "dataset") -> xr.DataArray:
    """Return r = t / best t of every arm on every workload; a miss is infinite, even where everybody misses.

    Args:
        time: to the target; infinite where it was missed, NaN where the arm was not run. A workload on which an arm
            was not run, though it was on others, is left out for all; arms that were run on none are NaN.
        arm: dimension of what is compared.
        workload: dimension of the workloads.
    """
    ratio = (time / time.min(arm)).where(np.isfinite(time), np.inf)
    was_run = time.notnull()
    is_comparable = (was_run | ~was_run.any(workload)).all(arm)
    return ratio.where(is_comparable & was_run).transpose(*time.dims)


def performance_profile(ratio: xr.DataArray, at: Sequence[float], workload: str = "dataset") -> xr.DataArray:
    """Return rho(tau), the share of workloads on which an arm's ratio is at most tau.

    Args:
        ratio: from `time_ratios`.
        at: values of tau, from 1 on.
        workload: dimension of the workloads.

    Returns:
        With a last dimension `ratio_grid`; NaN where no workload can be compared.

    Reference:
        Dolan and Moré, Mathematical Programming 91 (2002), equation 1.
    """
    tau = xr.DataArray(np.array(at, float), dims="ratio_grid", coords={"ratio_grid": np.array(at, float)})
    number = ratio.count(workload)
    return (ratio <= tau).sum(workload) / number.where(number > 0)


def algoperf_score(ratio: xr.DataArray, workload: str = "dataset") -> xr.DataArray:
    """Return AlgoPerf's score: integral of rho from 1 to r_max, over r_max - 1; 1 is the fastest everywhere.

    rho is a staircase, so that the integral is exact: the mean over workloads of max(0, r_max - r) / (r_max - 1).

    Args:
        ratio: from `time_ratios`.
        workload: dimension of the workloads.

    Reference:
        Dahl et al., Benchmarking neural network training algorithms, arXiv 2306.07179, section 4.
    """
    return ((LARGEST_RATIO - ratio).clip(min=0) / (LARGEST_RATIO - 1)).mean(workload)
