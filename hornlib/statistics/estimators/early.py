"""The metric early in training: at fixed steps and after one epoch."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

__all__ = ["EARLY_STEPS", "metric_at"]

EARLY_STEPS = (10, 30, 100, 300)
"""Steps at which the early metric of every sweep is reported, besides the last step of the first epoch."""


def metric_at(metric: xr.DataArray, evaluated: xr.DataArray, steps: Sequence[int]) -> xr.DataArray:
    """Return the metric at the last evaluation that is not after a given step.

    Args:
        metric: learning curves, (.., step).
        evaluated: whether there was an evaluation, with `step` and any other dimensions of `metric`.
        steps: training steps.

    Returns:
        (.., early_step); NaN if there is no such evaluation, or if the training ended before the step.
    """
    at = xr.DataArray(list(steps), dims="early_step", coords={"early_step": list(steps)})
    place = xr.DataArray(np.arange(metric.sizes["step"]), dims="step", coords={"step": metric["step"]})
    last = place.where(evaluated & (metric["step"] <= at), -1).max("step")
    trained = metric["step"].where(evaluated).max("step") >= at
    at_steps = metric.isel(step=last.clip(min=0)).where((last >= 0) & trained)
    return at_steps.drop_vars("step").transpose(..., "early_step")
