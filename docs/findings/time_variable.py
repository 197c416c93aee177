"""Learned time steps on small problems: penalties, pruning and the controls, as tables.

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
from time_variable_cells import accuracy_of, layers_of, of_cell
from time_variable_figure import draw

from hornlib import open_results, time_to_target
from hornlib.models.build import build_network
from hornlib.models.time_variable.parameters import TimeResnetParameters
from hornlib.parameters import Task


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


if __name__ == "__main__":
    main()
