"""The metric early in training: at fixed steps and after one epoch."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

__all__ = ["EARLY_STEPS", "metric_at"]

EARLY_STEPS = (10, 30, 100, 300)
"""Steps at which every sweep is looked at; one epoch's last step is added."""


def metric_at(metric: xr.DataArray, evaluated: xr.DataArray, steps: Sequence[int]) -> xr.DataArray:
    """Return the metric at the last evaluation at or before each of some steps.

    NaN where there is none, and for steps beyond the end of training.

    Args:
        metric: learning curves, with a dimension `step`.
        evaluated: whether there was an evaluation, with `step` and other dimensions of `metric`.
        steps: training steps.

    Returns:
        With the dimension `early_step` in place of `step`.
    """
    at = xr.DataArray(list(steps), dims="early_step", coords={"early_step": list(steps)})
    place = xr.DataArray(np.arange(metric.sizes["step"]), dims="step", coords={"step": metric["step"]})
    last = place.where(evaluated & (metric["step"] <= at), -1).max("step")
    trained = metric["step"].where(evaluated).max("step") >= at
    found = metric.isel(step=last.clip(min=0)).where((last >= 0) & trained)
    return found.drop_vars("step").transpose(..., "early_step")
