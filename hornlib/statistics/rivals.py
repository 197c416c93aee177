"""Rivals: which contender of every other arm a contender is compared with."""

import numpy as np
import xarray as xr

from hornlib.statistics.contenders import groups_of

__all__ = ["rivals_of"]


def rivals_of(ds: xr.Dataset) -> xr.DataArray:
    """Return the rival of every contender in every other arm, as its position; -1 where it has none.

    A rival learns the same data in the same presentation (a pixel-serial network has less to go by) and was
    selected for the same. Of several cells of an arm it is the nearest in parameters; among equals the
    nearest in forward FLOPs, then the one that shares most parameters' values, then the first. Parameters and FLOPs
    are those of the networks that training ended with.

    Args:
        ds: from `contenders`.

    Returns:
        (contender, rival), where `rival` is the label of the rival's *arm*, with the rival's own label in the
        coordinate `rival_contender` ("" where there is none).
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
                {"units": "1", "long_name": "the rival: the arm's nearest cell"},
            ),
        },
        attrs={"units": "1", "long_name": "position of the rival among the contenders"},
    )


def _nearest(ds: xr.Dataset, others: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Return for each of the others the position, within the candidates, of its rival."""
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
    """Return |log ratio| of counts, rounded so that equal ones tie; an unknown count is farthest."""
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.abs(np.log(counts[:, None] / candidates[None, :]))
    return np.where(np.isnan(distance), np.inf, np.round(distance, 9))
