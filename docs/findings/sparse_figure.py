"""The figure of the findings on sparse training: median test error over training FLOPs."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter
from sparse_pairs import labels_of, of_label

__all__ = ["draw"]

PANELS = {
    "mnist_density_10": "MNIST, density .1",
    "mnist_density_2": "MNIST, density .02",
    "cifar_set": "SET on CIFAR-10",
    "cifar_cnn": "CNN on CIFAR-10, density .1",
    "fashion": "Fashion-MNIST, density .01",
    "horn": "HORN on digits by rows",
}
"""Sweep -> title of its panel."""

COLOURS = {
    "dense": "#000000",
    "small_dense": "#767676",
    "static": "#0072b2",
    "set": "#e69f00",
    "random_growth": "#56b4e9",
    "rigl": "#d55e00",
    "gmp": "#009e73",
    "snfs": "#cc79a7",
    "rewired": "#d55e00",
    "rewired_at_random": "#e69f00",
}


def draw(path: Path, sweeps: Mapping[str, xr.Dataset]) -> None:
    """Draw the median test error over training FLOPs, one panel a sweep; both axes are logarithmic.

    Args:
        path: of the figure; nothing is drawn where no sweep of a panel exists.
        sweeps: name -> contenders.
    """
    drawn = [name for name in PANELS if name in sweeps]
    if not drawn:
        return
    columns = min(3, len(drawn))
    rows = -(-len(drawn) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(4 * columns, 3.4 * rows), layout="constrained", squeeze=False
    )
    shown = {}
    for panel, name in zip(axes.flat, drawn, strict=False):
        ds = sweeps[name]
        for arm, colour in COLOURS.items():
            for label in labels_of(ds, arm):
                own = of_label(ds, label)
                known = np.flatnonzero(own["samples"].notnull())
                flops, metric = (
                    np.nanmedian(own[variable].values[:, known], 0)
                    for variable in ("training_flops", "test_metric")
                )
                (shown[arm],) = panel.plot(flops / 1e9, 100 - 100 * metric, color=colour)
        panel.set(xscale="log", yscale="log", xlabel="training GFLOP", ylabel="test error, %")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
        panel.yaxis.set_major_formatter(ScalarFormatter())
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.set_title(PANELS[name], fontsize=9)
    for panel in list(axes.flat)[len(drawn) :]:
        panel.set_visible(False)
    figure.legend(
        shown.values(), shown.keys(), fontsize=8, frameon=False, loc="outside lower center", ncols=6
    )
    plt.rcParams["svg.hashsalt"] = "hornlib"
    figure.savefig(path, metadata={"Date": None})
