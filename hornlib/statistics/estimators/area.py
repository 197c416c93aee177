"""The area under the learning curve over the logarithm of training steps: one number for a whole run."""

import numpy as np
import xarray as xr

__all__ = ["FIRST_STEP", "area_under_curve"]

FIRST_STEP = 1
"""s0, the first step of the area. Every grid of evaluations starts there."""


def area_under_curve(metric: xr.DataArray, evaluated: xr.DataArray) -> xr.DataArray:
    """Return the mean of the metric over ln s: integral of metric d ln s / ln(S / s0), by the trapezoid rule.

    S is the step of the last evaluation and s0 = 1. Each decade of steps has the same weight, and a constant metric is
    equal to its area. It is NaN if there is no evaluation at s0, a single evaluation, or one without a metric. Diverged
    runs must have chance before (`hornlib.results.divergence.curves_with_chance`).

    Args:
        metric: learning curves, (.., step).
        evaluated: whether there was an evaluation, with `step` and any other dimensions of `metric`.

    Returns:
        (..), in the units of the metric.
    """
    return xr.apply_ufunc(
        _area,
        metric,
        evaluated.astype(bool),
        np.log(metric["step"] / FIRST_STEP),
        input_core_dims=[["step"]] * 3,
        vectorize=True,
    )


def _area(metric: np.ndarray, evaluated: np.ndarray, log_step: np.ndarray) -> float:
    from scipy.integrate import trapezoid

    metric, log_step = metric[evaluated], log_step[evaluated]
    if len(metric) < 2 or log_step[0] != 0:
        return np.nan
    return float(trapezoid(metric, log_step) / log_step[-1])
