"""Performance profiles over datasets, and AlgoPerf's score: how often an arm is nearly as fast as the fastest."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

__all__ = ["LARGEST_RATIO", "algoperf_score", "performance_profile", "time_ratios"]

LARGEST_RATIO = 4.0
"""r_max, the upper end of the integral of AlgoPerf's score."""


def time_ratios(time: xr.DataArray, arm: str = "arm", workload: str = "dataset") -> xr.DataArray:
    """Return r = t / best t of every arm on every workload. A miss is infinite, even if all arms miss.

    Args:
        time: (arm, workload), time to the target; infinite for a miss, NaN if the arm was not run. If an arm was run on
            some workloads only, the other workloads are NaN for all arms. An arm that was run on no workload is NaN.
        arm: dimension of the arms.
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
        at: values of tau, at least 1.
        workload: dimension of the workloads.

    Returns:
        (arm, ratio_grid); NaN if no workload can be compared.

    Reference:
        Dolan and Moré, Mathematical Programming 91 (2002), equation 1.
    """
    tau = xr.DataArray(np.array(at, float), dims="ratio_grid", coords={"ratio_grid": np.array(at, float)})
    number = ratio.count(workload)
    return (ratio <= tau).sum(workload) / number.where(number > 0)


def algoperf_score(ratio: xr.DataArray, workload: str = "dataset") -> xr.DataArray:
    """Return AlgoPerf's score, (arm,): the integral of rho from 1 to r_max, divided by r_max - 1.

    The score is 1 for an arm that is the fastest everywhere. rho is a step function, so that the integral is exactly
    the mean over workloads of max(0, r_max - r) / (r_max - 1).

    Args:
        ratio: from `time_ratios`.
        workload: dimension of the workloads.

    Reference:
        Dahl et al., Benchmarking neural network training algorithms, arXiv 2306.07179, section 4.
    """
    return ((LARGEST_RATIO - ratio).clip(min=0) / (LARGEST_RATIO - 1)).mean(workload)
