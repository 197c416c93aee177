"""Learned time steps: published accuracies beside ours, penalties, pruning and the controls, as tables.

python docs/findings/time_variable.py results/time_variable/results.nc --out docs/findings/time_variable.md
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from hornlib import open_results, time_to_target
from hornlib.models.build import build_network
from hornlib.models.time_variable.parameters import TimeResnetParameters
from hornlib.parameters import Task

MARK = "<!-- below: made by docs/findings/time_variable.py -->"

EPOCHS = (2, 5, 10, 25, 50, 100, 200)
PUBLISHED = {
    ("mnist", "partly_fixed"): (0.454, 0.718, 0.841, 0.901, 0.922, 0.942, 0.963),
    ("mnist", "learned"): (0.854, 0.937, 0.962, 0.977, 0.981, 0.981, 0.981),
    ("mnist", "fractional_fixed"): (0.29, 0.596, 0.792, 0.897, 0.931, 0.959, 0.971),
    ("mnist", "fractional_learned"): (0.58, 0.897, 0.933, 0.971, 0.977, 0.977, 0.977),
    ("fashion_mnist", "partly_fixed"): (0.50, 0.636, 0.694, 0.800, 0.826, 0.844, 0.864),
    ("fashion_mnist", "learned"): (0.78, 0.833, 0.854, 0.874, 0.877, 0.890, 0.891),
    ("fashion_mnist", "fractional_fixed"): (0.28, 0.574, 0.682, 0.792, 0.831, 0.854, 0.876),
    ("fashion_mnist", "fractional_learned"): (0.61, 0.788, 0.833, 0.863, 0.874, 0.879, 0.885),
}
"""Test accuracy of one run each, read off the figure of 2306.16111's repository to +- .004, T = 1, no penalty. Its
ResNet with "fixed" steps trained all but the first one: the arm `partly_fixed`."""

EXAMPLES = 60_000
"""Of an epoch of either dataset, without a validation part."""

READING = 0.005
"""Added to three standard deviations of a single further run: what the figure could be read to."""


def of_cell(ds: xr.Dataset, **wanted: object) -> xr.Dataset | None:
    """Return the one cell with these values; None where there is none."""
    chosen = np.ones(ds.sizes["cell"], bool)
    for name, value in wanted.items():
        chosen &= ds[name].values == value
    place = np.flatnonzero(chosen)
    return ds.isel(cell=int(place[0])) if len(place) else None


def spread(values: np.ndarray, digits: int = 3) -> str:
    """Write 'median [quartiles]' of the finite values."""
    values = values[np.isfinite(values)]
    if not len(values):
        return "-"
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def published(ds: xr.Dataset) -> Iterator[str]:
    """Yield the table that sets published accuracies beside ours."""
    plain = {"initial_horizon": 1.0, "l1_penalty": 0.0, "horizon_penalty": 0.0, "structure": "static"}
    yield from (
        "## Published accuracies, T = 1",
        "Test accuracy, mean and standard deviation of our seeds (n), and the published value of one run in brackets; "
        "** lies outside mean +- (3 sd sqrt((n + 1) / n) + .005).",
        "",
        "| dataset | arm | n | " + " | ".join(f"epoch {epoch}" for epoch in EPOCHS) + " |",
        "|---|---|---:|" + "---:|" * len(EPOCHS),
    )
    for dataset in dict.fromkeys(ds["dataset"].values):
        for arm in ("fixed", "partly_fixed", "learned", "fractional_fixed", "fractional_learned"):
            own = of_cell(ds, dataset=dataset, arm=arm, **plain)
            if own is None:
                continue
            cells, number = [], int((own["status"] == "complete").sum())
            for place, epoch in enumerate(EPOCHS):
                ended = np.flatnonzero(own["samples"].values == epoch * EXAMPLES)
                if not len(ended):
                    cells.append("")
                    continue
                found = own["test_metric"].values[:, ended[0]]
                found = found[np.isfinite(found)]
                mean, sd = found.mean(), found.std(ddof=1)
                told = PUBLISHED.get((dataset, arm))
                words = f"{mean:.3f} ± {sd:.3f}"
                if told is not None:
                    allowed = 3 * sd * np.sqrt((number + 1) / number) + READING
                    words += f" ({told[place]:.3f}{'' if abs(told[place] - mean) <= allowed else ' **'})"
                cells.append(words)
            yield f"| {dataset} | {arm} | {number} | " + " | ".join(cells) + " |"
    yield ""


def grid(ds: xr.Dataset) -> Iterator[str]:
    """Yield one row for every cell of the published grid."""
    yield from (
        "## Every cell of the grid, at its last epoch",
        "Medians [quartiles] over seeds; the horizon is sum tau, layers are those that are left.",
        "",
        "| dataset | arm | T | l1 | horizon penalty | structure | test accuracy | horizon | layers |",
        "|---|---|---:|---:|---:|---|---:|---:|---:|",
    )
    for row in range(ds.sizes["cell"]):
        own = ds.isel(cell=row)
        layers = own["final_depth"].values if "final_depth" in ds else np.full(1, np.nan)
        depth = spread(layers, 0) if np.isfinite(layers).any() else f"{own['num_layers'].item():.0f}"
        yield (
            f"| {own['dataset'].item()} | {own['arm'].item()} | {own['initial_horizon'].item():g} | "
            f"{own['l1_penalty'].item():g} | {own['horizon_penalty'].item():g} | {own['structure'].item()} | "
            f"{spread(own['final_test_metric'].values)} | {spread(own['final_horizon'].values, 2)} | {depth} |"
        )
    yield ""


def digits(ds: xr.Dataset) -> Iterator[str]:
    """Yield what learned steps do on digits."""
    reached = time_to_target(ds, target=0.9, on="step")
    fixed = _times(reached, ds, "fixed")
    yield from (
        "## Handwritten digits, 4,000 steps of gradient descent, learning rate 0.05",
        f"n = {ds.sizes['seed']} seeds. Steps to 90 % validation accuracy (4,000 for a run that never does), "
        "their "
        "ratio to those of fixed steps with T = 1, final test accuracy, horizon and layers at the end.",
        "",
        "| arm | T at the start | steps to 90 % | ratio to fixed, T = 1 | test accuracy | horizon | "
        "abs(horizon - T) / T | layers |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    )
    for arm in dict.fromkeys(ds["arm"].values):
        own = of_cell(ds, arm=arm)
        if own is None:
            continue
        times, start = _times(reached, ds, arm), own["initial_horizon"].item()
        horizon = own["final_horizon"].values
        layers = own["final_depth"].values if "final_depth" in ds else np.full(1, np.nan)
        depth = spread(layers, 0) if np.isfinite(layers).any() else f"{own['num_layers'].item():.0f}"
        yield (
            f"| {arm} | {start:g} | {spread(times, 0)} | {spread(times / fixed)} | "
            f"{spread(own['final_test_metric'].values)} | "
            f"{spread(horizon, 2)} | {spread(np.abs(horizon - start) / start)} | {depth} |"
        )
    yield ""
    pruned, whole = of_cell(ds, arm="pruned"), of_cell(ds, arm="l1")
    if pruned is not None and whole is not None and "final_depth" in ds:
        difference = 100 * (pruned["final_test_metric"] - whole["final_test_metric"]).values
        depth = int(np.median(pruned["final_depth"].values))
        yield from (
            f"Pruning leaves {spread(pruned['final_depth'].values, 0)} of 6 layers; accuracy less that of the same "
            "training "
            f"without pruning: {spread(difference, 2)} points, paired by seed.",
            forward_times(depth),
            "",
        )


def forward_times(depth: int, repetitions: int = 200) -> str:
    """Return the measured forward time of a network of so many layers over that of six."""
    torch.set_num_threads(1)
    task, inputs = Task((1, 8, 8), 10), torch.randn(100, 1, 8, 8)
    networks = [
        build_network(TimeResnetParameters(num_layers=layers, readout_norm="none"), task, 0).eval()
        for layers in (6, depth)
    ]
    times: list[list[float]] = [[], []]
    with torch.no_grad():
        for _ in range(repetitions):  # in turns, so that whatever else runs meets both
            for own, network in zip(times, networks, strict=True):
                started = time.perf_counter()
                network(inputs)
                own.append(time.perf_counter() - started)
    ratio = np.median(times[1]) / np.median(times[0])
    return (
        f"A forward pass over 100 digits takes {ratio:.2f} times as long with {depth} layers as with 6 (medians of "
        f"{repetitions} in turns)."
    )


def _times(reached: xr.Dataset, ds: xr.Dataset, arm: str) -> np.ndarray:
    place = int(np.flatnonzero(ds["arm"].values == arm)[0])
    return reached["time"].values[place].astype(float)


def main() -> None:
    """Read the results and write the tables; what stands above the mark is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    found = open_results(arguments.results)
    there = {str(name).removeprefix("in_") for name in found.coords if str(name).startswith("in_")}
    lines: list[str] = []
    if "published" in there:
        ds = open_results(arguments.results, sweep="published").load()
        lines += [*published(ds), *grid(ds)]
    if "digits" in there:
        lines += digits(open_results(arguments.results, sweep="digits").load())
    text = arguments.out.read_text() if arguments.out.exists() else f"# Learned time steps\n\n{MARK}\n"
    arguments.out.write_text(text.split(MARK)[0] + MARK + "\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
