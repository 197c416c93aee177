"""The figure of learned time steps on digits."""

from pathlib import Path

import matplotlib.pyplot as plt
import xarray as xr
from time_variable_cells import of_cell


def draw(path: Path, ds: xr.Dataset) -> None:
    """Draw accuracy over steps, the horizon over steps, and the layers that pruning leaves."""
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    styles = {
        "fixed": ("#0072b2", "-", "fixed, T = 1"),
        "fixed_unit_steps": ("#0072b2", "--", "fixed, T = 6"),
        "learned": ("#d55e00", "-", "learned, T = 1"),
        "horizon_penalty": ("#009e73", "-", "learned, held to T = 1"),
        "pruned": ("#cc79a7", "-", "learned, L1, pruned"),
    }
    for arm, (colour, line, words) in styles.items():
        own = of_cell(ds, arm=arm)
        if own is None:
            continue
        steps = own["step"].values
        accuracy, horizon = own["validation_metric"].median("seed"), own["horizon"].median("seed")
        axes[0].plot(steps, accuracy, color=colour, linestyle=line, label=words)
        axes[1].plot(steps, horizon, color=colour, linestyle=line)
        if arm == "pruned" and "depth" in own:
            axes[2].plot(steps, own["depth"].mean("seed"), color=colour, linestyle=line)
    axes[0].set(xscale="log", xlabel="training steps", ylabel="validation accuracy")
    axes[1].set(xscale="log", xlabel="training steps", ylabel="sum of the time steps")
    axes[2].set(xscale="log", xlabel="training steps", ylabel="layers left, mean over seeds", ylim=(0, None))
    figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=5)
    plt.rcParams["svg.hashsalt"] = "hornlib"
    figure.savefig(path, metadata={"Date": None})
