"""The figure of the findings on importance: rank correlations of proxies, and the loss without sets of connections."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from importance_pairs import over_runs
from importance_tables import TITLES

from hornlib.results.importance_file import importance_sweeps, sweep_of_importance

__all__ = ["draw"]

COLOURS = {
    "exploration": "#0072b2",
    "topology": "#56b4e9",
    "cnn": "#009e73",
    "lstm": "#e69f00",
    "confirmation": "#d55e00",
}

ORDERS = {
    "exact": "#000000",
    "second_order": "#0072b2",
    "wanda": "#009e73",
    "magnitude": "#d55e00",
    "random": "#767676",
    "largest_magnitude": "#cc79a7",
}


def draw(path: Path, ds: xr.Dataset) -> None:
    """Draw both panels from held-out examples.

    Args:
        path: of the figure; nothing is drawn where no sweep of a panel exists.
        ds: importance.nc.
    """
    sweeps = {name: sweep_of_importance(ds, name) for name in COLOURS if name in importance_sweeps(ds)}
    if not sweeps:
        return
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    proxies = ds["proxy"].values.astype(str)
    for place, (name, sweep) in enumerate(sweeps.items()):
        rho = sweep["pooled_spearman"].sel(split="held_out").mean("cell", skipna=False)
        estimates = [over_runs(rho.sel(proxy=proxy).values) for proxy in proxies]
        heights = np.arange(len(proxies)) + 0.14 * (place - (len(sweeps) - 1) / 2)
        values = np.array([[estimate.value, estimate.low, estimate.high] for estimate in estimates])
        left.errorbar(
            values[:, 0],
            heights,
            xerr=np.nan_to_num(np.abs(values[:, 1:].T - values[:, 0])),
            fmt="o",
            markersize=3.5,
            color=COLOURS[name],
            label=TITLES[name],
        )
    left.set_yticks(np.arange(len(proxies)), [proxy.replace("_", " ") for proxy in proxies])
    left.invert_yaxis()
    left.set(xlabel="rank correlation with importance")
    shown = next(iter(sweeps))  # exploration, where every connection was judged
    sweep = sweeps[shown].sel(split="held_out")
    rise = (sweep["curve_loss"] - sweep["whole_loss"]).mean("cell", skipna=False)
    for order, colour in ORDERS.items():
        curve = rise.sel(removal_order=order).dropna("seed", how="all").mean("seed")
        if np.isfinite(curve).all():
            right.plot(sweep["removed_share"], curve, color=colour, label=order.replace("_", " "))
    right.set(xlabel="share of connections removed from every layer", ylabel="rise of the loss, nats")
    right.set_title(TITLES[shown], fontsize=9)
    for panel in (left, right):
        panel.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
    plt.rcParams["svg.hashsalt"] = "hornlib"
    figure.savefig(path, metadata={"Date": None})
