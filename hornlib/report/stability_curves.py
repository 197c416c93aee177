"""Two figures on stability: outcomes of runs over the predicted growth, and errors of the integrators."""

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COMPLETE", "DIVERGED", "draw_orders", "draw_outcome"]

DIVERGED, COMPLETE = "#D55E00", "#0072B2"
"""Okabe and Ito (2008)."""

INTEGRATOR_STYLES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"))

MODEL_MARKERS = ("o", "s", "^", "D")

LARGEST_FLOAT32 = float(np.log10(np.finfo(np.float32).max))


def draw_outcome(groups: dict[str, xr.Dataset]) -> "Figure":
    """Return the figure of every run's final metric over the predicted growth of its worst node.

    Diverged runs are drawn at the chance level.

    Args:
        groups: groups of stability.nc by name. This figure reads `cells` (cell, seed).
    """
    from matplotlib.figure import Figure

    cells = groups["cells"]
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set(
        xlabel="log10 of the growth of the worst node over the horizon, predicted",
        ylabel="final metric, test",
    )
    axes.spines[["top", "right"]].set_visible(False)
    if "status" not in cells:
        axes.set_title("no run exists yet: `hornlib stability --results results.nc` adds outcomes")
        return figure
    # linear around 0, where one unit is ten decades
    axes.set_xscale("symlog", linthresh=1.0)
    models = sorted(set(cells["model"].values.tolist()))
    for model, marker in zip(models, MODEL_MARKERS * len(models), strict=False):
        members = cells.isel(cell=np.flatnonzero(cells["model"] == model))
        growth, status = members["worst_growth"].values, members["status"].values
        chance = np.broadcast_to(members["chance_level"].values[:, None], growth.shape)
        done, lost = status == "complete", status == "diverged"
        label = f"{model}: complete, n = {int(done.sum())} runs"
        axes.plot(
            growth[done], members["final_metric"].values[done], marker, color=COMPLETE, alpha=0.6, label=label
        )
        label = f"{model}: diverged, n = {int(lost.sum())} runs"
        axes.plot(growth[lost], chance[lost], marker, color=DIVERGED, markerfacecolor="none", label=label)
    axes.axvline(LARGEST_FLOAT32, color="0.5", linestyle="--", linewidth=1)
    place: dict[str, Any] = {
        "xycoords": ("data", "axes fraction"),
        "rotation": 90,
        "va": "top",
        "fontsize": 8,
    }
    axes.annotate("float32 ends", (LARGEST_FLOAT32 * 1.05, 0.98), **place)
    axes.set_xlim(left=-0.1)
    if models:
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return figure


def draw_orders(groups: dict[str, xr.Dataset]) -> "Figure":
    """Return the figure of the error at a fixed duration over the integration step, with each integrator's order.

    Args:
        groups: groups of stability.nc by name. This figure reads `orders` (integrator, integration_step).
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter, NullLocator

    orders = groups["orders"]
    figure = Figure(figsize=(5.4, 4.0), layout="constrained")
    axes = figure.subplots()
    for name, (colour, marker) in zip(orders["integrator"].values, INTEGRATOR_STYLES, strict=False):
        at_integrator = orders.sel(integrator=name)
        low, high = (float(at_integrator["order_bound"].sel(bound=end)) for end in ("low", "high"))
        label = f"{name}: order {float(at_integrator['order']):.3f} [{low:.3f}, {high:.3f}]"
        style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 4, "label": label}
        axes.loglog(orders["integration_step"], at_integrator["integration_error"], **style)
    duration, count = orders.attrs["duration"], orders.attrs["num_oscillators"]
    axes.set(
        xlabel="integration step h",
        ylabel=f"relative error at T h = {duration:g}",
        title=f"Against the exact flow; geometric mean, n = {count} oscillators",
    )
    axes.title.set_fontsize(9)
    steps = orders["integration_step"].values
    axes.set_xticks(steps, [f"{step:.1e}" for step in steps], fontsize=7)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
