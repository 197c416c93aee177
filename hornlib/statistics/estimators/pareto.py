"""Which contenders nobody beats in both cost and quality."""

import numpy as np
import xarray as xr

__all__ = ["non_dominated"]


def non_dominated(
    cost: xr.DataArray, quality: xr.DataArray, group: xr.DataArray, dim: str = "contender"
) -> xr.DataArray:
    """Return which contenders lie on the front of their group: none is as cheap and as good, and better in one.

    Equal contenders do not beat each other: both are on the front, or neither.

    Args:
        cost: smaller is better; NaN is on no front.
        quality: larger is better; NaN is on no front.
        group: only contenders with the same value are compared, e.g. their dataset.
        dim: dimension of the contenders.

    Returns:
        int8, 1 on the front and 0 elsewhere.
    """
    is_known = cost.notnull() & quality.notnull()
    other = {dim: f"other_{dim}"}
    cheaper, better, same = (
        values.drop_vars(dim, errors="ignore").rename(other) for values in (cost, quality, group)
    )
    no_worse = (cheaper <= cost) & (better >= quality) & (same == group)
    beaten = (no_worse & ((cheaper < cost) | (better > quality))).any(other[dim])
    return (is_known & ~beaten).astype(np.int8)
