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
from tables import EDGE_NOTE, edge_mark, final, opened, spread, write_below_mark
from time_variable_figures import draw, draw_published
from time_variable_published import EPOCHS, EXAMPLES, PUBLISHED, PUBLISHED_AS, at_epoch, of_cell

from hornlib import open_results, time_to_target
from hornlib.models.build import build_network
from hornlib.models.time_variable.parameters import TimeResnetParameters
from hornlib.parameters import Task


def published(ds: xr.Dataset) -> Iterator[str]:
    """Yield the table that sets published accuracies beside ours."""
    plain = {"initial_horizon": 1.0, "l1_penalty": 0.0, "horizon_penalty": 0.0, "structure": "static"}
    last = int(ds["samples"].max() / EXAMPLES)
    yield from (
        f"## Published accuracies, T = 1, to epoch {last}",
        "Test accuracy, mean and standard deviation of our seeds (n), and the published value of one run in brackets; "
        "** lies outside mean +- (3 sd sqrt((n + 1) / n) + .005).",
        "",
        "| dataset | arm | n | " + " | ".join(f"epoch {epoch}" for epoch in EPOCHS) + " |",
        "|---|---|---:|" + "---:|" * len(EPOCHS),
    )
    for dataset in dict.fromkeys(ds["dataset"].values):
        for arm in ("fixed", "partly_fixed", "learned", "fractional_fixed", "fractional_learned"):
            own = of_cell(ds, dataset=dataset, arm=arm, **plain)
            if own is None or not own["final_test_metric"].notnull().any():
                continue
            cells, number = [], int((own["status"] == "complete").sum())
            for place, epoch in enumerate(EPOCHS):
                at = at_epoch(own, epoch)
                if at is None:
                    cells.append("")
                    continue
                mean, sd, allowed = at
                told = PUBLISHED.get((dataset, PUBLISHED_AS.get(arm, arm)))
                words = f"{mean:.3f} ± {sd:.3f}"
                if told is not None:
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
    for row in np.flatnonzero(ds["final_test_metric"].notnull().any("seed")):
        own = ds.isel(cell=row)
        yield (
            f"| {own['dataset'].item()} | {own['arm'].item()} | {own['initial_horizon'].item():g} | "
            f"{own['l1_penalty'].item():g} | {own['horizon_penalty'].item():g} | {own['structure'].item()} | "
            f"{spread(accuracy_of(own))} | {spread(own['final_horizon'].values, 2)} | {layers_of(own)} |"
        )
    untrained = int((~ds["final_test_metric"].notnull().any("seed")).sum())
    yield from ("", f"{untrained} further cells were not trained here." if untrained else "", "")


def digits(ds: xr.Dataset) -> Iterator[str]:
    """Yield what learned steps do on digits."""
    reached = {
        axis: time_to_target(ds, target=0.9, on=axis)["time"]
        for axis in ("step", "training_flops", "seconds")
    }
    fixed = _of_arm(reached["step"], ds, "fixed")
    yield from (
        "## Handwritten digits, 4,000 steps of gradient descent, learning rate 0.05",
        f"n = {ds.sizes['seed']} seeds; medians [quartiles]. Steps to 90 % validation accuracy (4,000 for a run that "
        "never does; evaluations are 21 % apart, so that equal means within 21 %), their ratio to those of fixed steps "
        "with T = 1, paired by seed, final test accuracy, horizon and layers at the end.",
        "",
        "| arm | T at the start | steps to 90 % | ratio to fixed, T = 1 | test accuracy | horizon | "
        "abs(horizon - T) / T | layers |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    )
    for arm in dict.fromkeys(ds["arm"].values):
        own = of_cell(ds, arm=arm)
        if own is None:
            continue
        times, start = _of_arm(reached["step"], ds, arm), own["initial_horizon"].item()
        horizon = own["final_horizon"].values
        yield (
            f"| {arm} | {start:g} | {spread(times, 0)} | {spread(times / fixed)} | "
            f"{spread(accuracy_of(own))} | "
            f"{spread(horizon, 2)} | {spread(np.abs(horizon - start) / start)} | {layers_of(own)} |"
        )
    yield from ("", *pruning(ds, reached))


def accuracy_of(own: xr.Dataset) -> np.ndarray:
    """Return the test accuracy of every seed at the end; chance of a run that diverged."""
    return final(own, "test_metric", diverged=own["chance_level"].item())


def layers_of(own: xr.Dataset) -> str:
    """Write how many layers a cell's networks have at the end."""
    layers = own["final_depth"].values if "final_depth" in own else np.full(1, np.nan)
    return spread(layers, 0) if np.isfinite(layers).any() else f"{own['num_layers'].item():.0f}"


def pruning(ds: xr.Dataset, reached: dict[str, xr.DataArray]) -> Iterator[str]:
    """Yield what pruning leaves, and what training to equal accuracy has cost with and without it."""
    pruned, whole = of_cell(ds, arm="pruned"), of_cell(ds, arm="l1")
    if pruned is None or whole is None:
        return
    difference = 100 * (accuracy_of(pruned) - accuracy_of(whole))
    depth = int(np.quantile(pruned["final_depth"].values, 0.5, method="nearest"))
    yield from (
        f"Pruning leaves {spread(pruned['final_depth'].values, 0)} of 6 layers; accuracy less that of the same "
        f"training without pruning: {spread(difference, 2)} points, paired by seed.",
        forward_times(depth),
        "",
        "### What training costs, to 90 % validation accuracy and in all",
        f"Seconds are calibrated on {ds.attrs['device']}, of a lone run: every step at the time of a network of as "
        "many layers. `pruned` looks at its steps once an epoch, which costs no FLOPs.",
        "",
        "| arm | MFLOP to 90 % | seconds to 90 % | GFLOP in all | seconds in all |",
        "|---|---:|---:|---:|---:|",
    )
    for arm in ("fixed", "fixed_unit_steps", "learned", "l1", "pruned", "three_layers"):
        place = int(np.flatnonzero(ds["arm"].values == arm)[0])
        flops, seconds = (_of_arm(reached[axis], ds, arm) for axis in ("training_flops", "seconds"))
        last = ds.isel(cell=place, step=-1)
        yield (
            f"| {arm} | {spread(flops / 1e6, 0)} | {spread(seconds, 2)} | "
            f"{spread(last['training_flops'].values / 1e9, 1)} | {spread(last['seconds'].values, 2)} |"
        )
    yield ""


def tuned(ds: xr.Dataset) -> Iterator[str]:
    """Yield the arms at learning rates of their own."""
    reached = time_to_target(ds, target=0.9, on="step")["time"]
    yield from (
        "## Digits, every arm at a learning rate of its own",
        "16 trials of one parameter, the learning rate, between 0.005 and 5 with two seeds each, chosen on validation "
        f"data; then n = {ds.sizes['seed']} fresh seeds, medians [quartiles]. {EDGE_NOTE}",
        "",
        "| arm | chosen for | learning rate | steps to 90 % | ratio to fixed, T = 1 | test accuracy |",
        "|---|---|---:|---:|---:|---:|",
    )
    for objective, words in (("time_to_target", "speed"), ("final_metric", "accuracy")):
        chosen = [place for place, own in enumerate(ds["selected_for"].values) if own == objective]
        fixed = next(place for place in chosen if ds["arm"].values[place] == "fixed")
        for place in chosen:
            own, times = ds.isel(cell=place), reached.values[place].astype(float)
            yield (
                f"| {own['arm'].item()} | {words} | "
                f"{own['learning_rate'].item():.3g}{edge_mark(own, 'learning_rate')} | {spread(times, 0)} | "
                f"{spread(times / reached.values[fixed])} | {spread(accuracy_of(own))} |"
            )
    yield ""


def regressions(ds: xr.Dataset) -> Iterator[str]:
    """Yield the errors of the two regressions."""
    yield from (
        "## Regressions: peaks and sine",
        f"n = {ds.sizes['seed']} seeds, 2,000 examples, 300 epochs of AdamW in batches of 500, tanh, four layers of 32 "
        "nodes; errors of the test part, targets standardised, medians [quartiles].",
        "",
        "| dataset | arm | mean squared error | relative L2 | horizon |",
        "|---|---|---:|---:|---:|",
    )
    for place in np.argsort(ds["dataset"].values, kind="stable"):
        own = ds.isel(cell=place)
        errors = (
            f"{spread(final(own, 'test_loss'), 5)} | {spread(final(own, 'test_metric', diverged=1.0), 4)}"
        )
        yield (
            f"| {own['dataset'].item()} | {own['arm'].item()} | {errors} | {spread(own['final_horizon'].values, 2)} |"
        )
    yield ""


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


def _of_arm(values: xr.DataArray, ds: xr.Dataset, arm: str) -> np.ndarray:
    place = int(np.flatnonzero(ds["arm"].values == arm)[0])
    return values.values[place].astype(float)


def main() -> None:
    """Read the results and write the tables; what stands above the mark is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    found = open_results(arguments.results)
    there = {str(name).removeprefix("in_") for name in found.coords if str(name).startswith("in_")}
    lines: list[str] = []
    for sweep, tables in (
        ("published", (published, grid)),
        ("published_long", (published,)),
        ("digits", (digits,)),
        ("digits_tuned", (tuned,)),
        ("regressions", (regressions,)),
    ):
        if sweep in there:
            ds = opened(arguments.results, sweep)
            lines += [line for table in tables for line in table(ds)]
    write_below_mark(arguments.out, "Learned time steps", "docs/findings/time_variable.py", lines)
    if "digits" in there:
        draw(arguments.out.with_suffix(".svg"), opened(arguments.results, "digits"))
    for sweep in (sweep for sweep in ("published", "published_long") if sweep in there):
        ds = opened(arguments.results, sweep)
        if ds["final_test_metric"].notnull().any():  # the longer one last, over the shorter
            draw_published(arguments.out.with_name(f"{arguments.out.stem}_published.svg"), ds)


if __name__ == "__main__":
    main()
