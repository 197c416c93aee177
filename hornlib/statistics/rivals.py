"""Rivals: which contender of every other arm a contender is compared with."""

import numpy as np
import xarray as xr

from hornlib.statistics.contenders import groups_of

__all__ = ["rivals_of"]


def rivals_of(ds: xr.Dataset) -> xr.DataArray:
    """Return the position of every contender's rival in every other arm; -1 where there is no rival.

    A rival learns the same data in the same presentation and was selected for the same objective. If an arm has several
    such cells, the rival is the cell with the nearest number of parameters. Ties are broken by the nearest forward
    FLOPs, then by the number of equal parameter values, then by the order of the cells. Parameters and FLOPs are those
    of the networks at the end of training.

    Args:
        ds: from `contenders`.

    Returns:
        (contender, rival). The dimension `rival` has the labels of the arms. The coordinate `rival_contender`
        (contender, rival) has the label of the rival itself, "" where there is none.
    """
    arms = list(dict.fromkeys(ds["arm"].values.tolist()))
    positions = np.full((ds.sizes["contender"], len(arms)), -1)
    comparable = (ds[name].values for name in ("dataset", "presentation", "selected_for"))
    for group in groups_of(zip(*comparable, strict=True)):
        group_arms = ds["arm"].values[group]
        for column, arm in enumerate(arms):
            candidates, others = group[group_arms == arm], group[group_arms != arm]
            if len(candidates) and len(others):
                positions[others, column] = candidates[_nearest(ds, others, candidates)]
    labels = np.append(ds["contender"].values, "")[positions].astype(object)
    return xr.DataArray(
        positions,
        dims=("contender", "rival"),
        coords={
            "contender": ds["contender"],
            "rival": ("rival", np.array(arms, object), {"units": "1", "long_name": "arm of the rival"}),
            "rival_contender": (
                ("contender", "rival"),
                labels,
                {"units": "1", "long_name": "label of the rival: the nearest cell of the arm"},
            ),
        },
        attrs={"units": "1", "long_name": "position of the rival among the contenders"},
    )


def _nearest(ds: xr.Dataset, others: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Return, for each of `others`, the position of its rival within `candidates`."""
    if len(candidates) == 1:
        return np.zeros(len(others), int)
    parameters, flops = (
        _distance(ds[name].values[others], ds[name].values[candidates])
        for name in ("num_parameters", "forward_flops")
    )
    num_differing = np.zeros(parameters.shape)
    for values in ds.coords.values():
        if values.dims == ("contender",) and "kind" in values.attrs:
            codes = np.unique(values.values, return_inverse=True)[1]
            num_differing += codes[others][:, None] != codes[candidates][None, :]
    order = np.lexsort((num_differing, flops, parameters), axis=1)
    return order[:, 0]


def _distance(counts: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Return |log ratio| of counts, (count, candidate), rounded so that equal counts tie; infinite for NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.abs(np.log(counts[:, None] / candidates[None, :]))
    return np.where(np.isnan(distance), np.inf, np.round(distance, 9))
