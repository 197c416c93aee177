"""A diverged run counts as chance: its metric is the dataset's chance level from the divergence to the end.

If diverged runs were left out instead, the remaining runs would flatter the arm.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xarray

__all__ = ["curves_with_chance", "final_with_chance"]


def curves_with_chance(
    metric: "xarray.DataArray", diverged_at_step: "xarray.DataArray", chance: "xarray.DataArray"
) -> "xarray.DataArray":
    """Return learning curves in which a diverged run has the chance level from its divergence on.

    Args:
        metric: learning curves with a dimension `step`; NaN after a divergence, and where a run is missing.
        diverged_at_step: training step of each divergence; NaN where a run did not diverge.
        chance: chance level of the dataset, without `step` and `seed`.

    Returns:
        The dimensions of `metric`.
    """
    is_before = ~(metric["step"] >= diverged_at_step)  # also where the step of divergence is NaN
    return metric.where(is_before, chance).transpose(*metric.dims)


def final_with_chance(
    metric: "xarray.DataArray", diverged_at_step: "xarray.DataArray", chance: "xarray.DataArray"
) -> "xarray.DataArray":
    """Return the final metric of every run; a diverged run has the chance level.

    Args:
        metric: final metric of the runs, e.g. (cell, seed); NaN where a run is missing.
        diverged_at_step: training step of each divergence; NaN where a run did not diverge.
        chance: chance level of the dataset, without `seed`.

    Returns:
        The dimensions of `metric`.
    """
    return metric.where(diverged_at_step.isnull(), chance).transpose(*metric.dims)
