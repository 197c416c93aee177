"""Figures of learned time steps: digits, and published accuracies beside ours."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from time_variable_published import EPOCHS, PUBLISHED, at_epoch, of_cell


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


def draw_published(path: Path, ds: xr.Dataset) -> None:
    """Draw our mean accuracies with the range of one further run, and the published values as dots."""
    datasets = {"mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"}
    styles = {
        "fixed": ("#0072b2", "fixed"),
        "partly_fixed": ("#7f7f7f", "fixed as released: all but the first learned"),
        "learned": ("#d55e00", "learned"),
        "fractional_fixed": ("#009e73", "Fractional-DNN, fixed"),
        "fractional_learned": ("#cc79a7", "Fractional-DNN, learned"),
    }
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    lines = {}
    plain = {"initial_horizon": 1.0, "l1_penalty": 0.0, "horizon_penalty": 0.0, "structure": "static"}
    for panel, (dataset, title) in zip(axes, datasets.items(), strict=True):
        for arm, (colour, words) in styles.items():
            own = of_cell(ds, dataset=dataset, arm=arm, **plain)
            if own is None or not own["final_test_metric"].notnull().any():
                continue
            found = {epoch: at_epoch(own, epoch) for epoch in EPOCHS}
            known = [(epoch, *at) for epoch, at in found.items() if at is not None]
            epochs, mean, _, allowed = (np.array(column) for column in zip(*known, strict=True))
            (lines[words],) = panel.plot(epochs, mean, color=colour)
            panel.fill_between(epochs, mean - allowed, mean + allowed, color=colour, alpha=0.15, linewidth=0)
            if (dataset, arm) in PUBLISHED:
                panel.plot(EPOCHS, PUBLISHED[dataset, arm], "o", color=colour, markersize=4)
        panel.set(xscale="log", xlabel="epoch", title=title, xticks=EPOCHS, xticklabels=EPOCHS)
        panel.minorticks_off()
    axes[0].set_ylabel("test accuracy")
    figure.legend(
        lines.values(), lines.keys(), fontsize=8, frameon=False, loc="outside lower center", ncols=5
    )
    plt.rcParams["svg.hashsalt"] = "hornlib"
    figure.savefig(path, metadata={"Date": None})
