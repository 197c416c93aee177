"""The map of the Fractional-DNN's linear test over depth and time step, as a figure."""

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_depth_map"]

_DECADES = 3.0


def draw_depth_map(maps: xr.Dataset) -> "Figure":
    """Return one panel an order: growth over (tau, depth), the border as a line, |y_L| = |y_0| as a thin one.

    Args:
        maps: of `hornlib.stability.depth_map.depth_map`.
    """
    from matplotlib.figure import Figure

    orders = maps["fractional_order"].values
    figure = Figure(figsize=(3.1 * len(orders) + 0.8, 3.4), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(orders), sharey=True))
    for axes, order in zip(panels, orders, strict=True):
        at_order = maps.sel(fractional_order=order)
        growth = at_order["log10_growth"].transpose("depth", "relative_step")
        mesh = axes.pcolormesh(
            at_order["layer_step"],
            at_order["depth"],
            growth.clip(-_DECADES, _DECADES),
            cmap="RdBu_r",
            vmin=-_DECADES,
            vmax=_DECADES,
            shading="nearest",
            rasterized=True,
        )
        axes.contour(
            at_order["layer_step"], at_order["depth"], growth, levels=[0.0], colors="black", linewidths=0.6
        )
        border = at_order["border"].item()
        axes.axvline(border, color="black", linewidth=1.6)
        axes.set(xlabel="tau |lambda|^(1/gamma)", title=f"gamma = {order:g}, border {border:.3g}")
        axes.title.set_fontsize(9)
    panels[0].set_ylabel("depth (layers)")
    figure.colorbar(mesh, ax=list(panels), label="log10 |y_L| / |y_0|", extend="both", shrink=0.9)
    return figure
