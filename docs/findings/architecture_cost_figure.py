"""The figure of what an architecture costs: test error over training FLOPs, search included."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from architecture_cost_ways import Way, can_be_searched, known_ways
from matplotlib.ticker import EngFormatter, FormatStrFormatter, LogLocator, NullFormatter

from hornlib.statistics.estimators.random_search import outcome_of_chosen

__all__ = ["draw", "search_curve"]

COLOURS = {
    "large": "#000000",
    "small": "#767676",
    "gradmax": "#0072b2",
    "unit_pruning": "#e69f00",
    "weight_pruning": "#d55e00",
    "plain_sgd": "#8c510a",
    "beta_lasso": "#009e73",
    "neat": "#cc79a7",
    "random_search": "#5e3c99",
    "successive_halving": "#56b4e9",
}
"""Way -> its colour; ways that end at a level have no point."""

HOLLOW = {"markersize": 10, "markerfacecolor": "none"}
"""Marker of SGD without momentum, whose point lies upon that of the large network."""


def search_curve(candidates: xr.Dataset) -> tuple[xr.DataArray, xr.DataArray]:
    """Return FLOPs and expected test accuracy, %, of random search over n of the profiles, (seed, num_candidates).

    Args:
        candidates: from `architecture_cost_ways.candidates_of`.
    """
    flops = candidates["training_flops"].max("step").reset_coords(drop=True)
    accuracy = outcome_of_chosen(candidates["final_validation_metric"], candidates["accuracy"], flops)
    return flops.mean("candidate") * accuracy["num_candidates"], accuracy


def draw(path: Path, ways: Mapping[str, Mapping[str, Way]], candidates: Mapping[str, xr.Dataset]) -> None:
    """Draw medians and quartiles over seeds of every way, and random search over 1 to all profiles, a panel a dataset.

    Args:
        path: of the figure; nothing is drawn without a dataset.
        ways: title of a dataset -> its ways.
        candidates: title -> from `architecture_cost_ways.candidates_of`.
    """
    if not ways:
        return
    figure, axes = plt.subplots(
        1, len(ways), figsize=(5.2 * len(ways), 4.4), layout="constrained", squeeze=False
    )
    shown = {}
    for panel, (title, ways_of_title) in zip(axes[0], ways.items(), strict=True):
        if can_be_searched(candidates[title]):
            flops, accuracy = search_curve(candidates[title])
            (line,) = panel.plot(
                flops.median("seed"),
                100 - accuracy.median("seed"),
                ".-",
                color="#b0b0b0",
                linewidth=1,
                markersize=3,
            )
            shown["random search over 1, 2, .. profiles, expected"] = line
        for name, way in known_ways(ways_of_title):
            if not way.spent.notnull().any():
                continue
            cost, error = (
                np.nanquantile(values.values, [0.25, 0.5, 0.75]) for values in (way.spent, 100 - way.accuracy)
            )
            bars = panel.errorbar(
                cost[1],
                error[1],
                [[error[1] - error[0]], [error[2] - error[1]]],
                [[cost[1] - cost[0]], [cost[2] - cost[1]]],
                fmt="s" if name in ("random_search", "successive_halving") else "o",
                color=COLOURS[name],
                **(HOLLOW if name == "plain_sgd" else {}),
            )
            shown[way.words] = bars.lines[0]  # the marker without its bars
        panel.set(xscale="log", xlabel="training FLOPs, search included")
        panel.set(yscale="log", ylabel="last test error, %")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
        panel.yaxis.set_major_formatter(FormatStrFormatter("%g"))
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.set_title(title, fontsize=9)
    figure.legend(
        shown.values(), shown.keys(), fontsize=8, frameon=False, loc="outside lower center", ncols=3
    )
    plt.rcParams["svg.hashsalt"] = "hornlib"
    figure.savefig(path, metadata={"Date": None})
