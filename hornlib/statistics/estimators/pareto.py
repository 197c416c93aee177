"""The Pareto front: contenders that no other contender beats in cost and quality."""

import numpy as np
import xarray as xr

__all__ = ["non_dominated"]


def non_dominated(
    cost: xr.DataArray, quality: xr.DataArray, group: xr.DataArray, dim: str = "contender"
) -> xr.DataArray:
    """Return which contenders are on the Pareto front of their group, (dim,) int8: 1 on the front, 0 elsewhere.

    A contender is on the front if no other is at least as cheap and as good, and better in one of the two. Equal
    contenders do not beat each other.

    Args:
        cost: (dim,), smaller is better; a contender with NaN is on no front.
        quality: (dim,), larger is better; a contender with NaN is on no front.
        group: (dim,), e.g. the dataset. Only contenders of the same group are compared.
        dim: dimension of the contenders.
    """
    is_known = cost.notnull() & quality.notnull()
    other = {dim: f"other_{dim}"}
    cheaper, better, same = (
        values.drop_vars(dim, errors="ignore").rename(other) for values in (cost, quality, group)
    )
    no_worse = (cheaper <= cost) & (better >= quality) & (same == group)
    beaten = (no_worse & ((cheaper < cost) | (better > quality))).any(other[dim])
    return (is_known & ~beaten).astype(np.int8)
