"""Numbers that charts of contenders share: last values, quartiles over seeds, points with intervals."""

from collections.abc import Iterable

import numpy as np
import xarray as xr

from hornlib.report.blocks import Swatch
from hornlib.report.charts.intervals import IntervalPoint
from hornlib.report.series import series_of, swatches

__all__ = ["interval_points", "last_values", "legend_of", "quartiles"]


def last_values(curves: xr.DataArray) -> xr.DataArray:
    """Return the last value that is not NaN along steps, (contender, ..); NaN where there is none."""
    order = xr.DataArray(np.arange(curves.sizes["step"]), dims="step")
    is_known = curves.notnull().reset_coords(drop=True).drop_vars("step", errors="ignore")
    last = (is_known * order).argmax("step")
    return curves.isel(step=last).drop_vars("step", errors="ignore")


def quartiles(values: xr.DataArray, over: str) -> np.ndarray:
    """Return the quartiles over seeds, (3, contender, over); NaN where no seed has a value.

    Args:
        values: (contender, seed, over).
        over: the dimension that is not reduced.
    """
    is_known = values.notnull().any("seed")
    reduced = values.where(is_known, 0).quantile([0.25, 0.5, 0.75], "seed").where(is_known)
    return reduced.transpose("quantile", "contender", over).values


def interval_points(ds: xr.Dataset, estimate: xr.Dataset, x: np.ndarray) -> list[IntervalPoint]:
    """Return one point for each contender whose estimate and whose x are known.

    Args:
        ds: contenders.
        estimate: `estimate` (contender) and `interval` (contender, bound).
        x: (contender,).
    """
    y, bound = estimate["estimate"].values, estimate["interval"].transpose("contender", "bound").values
    return [
        IntervalPoint(
            str(label), str(series), float(x[i]), float(y[i]), float(bound[i, 0]), float(bound[i, 1])
        )
        for i, (label, series) in enumerate(zip(ds["contender"].values, series_of(ds), strict=True))
        if np.isfinite(y[i]) and np.isfinite(x[i])
    ]


def legend_of(names: Iterable[object], drawn: set[str]) -> list[Swatch]:
    """Return how some series or contenders are drawn, in the colours that they have among all.

    Args:
        names: of all series or contenders on a dataset, so that each looks the same in every chart.
        drawn: those that a chart has.
    """
    return [swatch for swatch in swatches(str(name) for name in names) if swatch.label in drawn]
