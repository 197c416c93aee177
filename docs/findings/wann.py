"""Networks without weights beside their published accuracies and linear regression, as tables and a figure.

HORNLIB_DATA=<folder> python docs/findings/wann.py docs/findings/wann/results.nc --out docs/findings/wann.md
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
import xarray as xr
from sparse_pairs import Estimate, accuracies, known_sweeps, labels_of, mean, median, of_label, total
from tables import write_below_mark

from hornlib.data import DATASETS
from hornlib.data.loading import load
from hornlib.data.parameters import DataParameters
from hornlib.errors import DataError
from hornlib.statistics.contenders import contenders

TITLES = {"digits": "Digits, 8x8 pixels", "mnist_16": "MNIST, 16x16 pixels"}
"""Sweep -> its heading."""

WANN, MLP = "wann", "small_mlp"

SIZE = "num_parameters_over_steps"

OUTCOMES = {
    "mean_weight_test_metric": "shared weight untuned, mean over six",
    "ensemble_test_metric": "ensemble over the six",
    "test_metric": "shared weight tuned",
    "trained_test_metric": "weights trained by gradient",
}
"""Variable -> what the last network is judged with."""

PUBLISHED = {
    "mean_weight_test_metric": "82.0 ± 18.7",
    "ensemble_test_metric": "91.6",
    "test_metric": "91.9",
    "trained_test_metric": "94.2",
    "linear": "91.6",
}
"""MNIST at 16x16 pixels (Gaier and Ha 2019, table 2): % of the test set. ± is over values of the shared weight."""

PUBLISHED_EVALUATIONS = 960 * 4096 * 6

GOALS = {
    "digits": {"mean_weight_test_metric": 60.0, "test_metric": 80.0},
    "mnist_16": {"mean_weight_test_metric": 75.0, "test_metric": 88.0},
}
"""Sweep -> accuracies that were asked for before the runs, %."""

MOST_CONNECTIONS = {"mnist_16": 3000}
"""Sweep -> largest number of connections that was asked for before the runs; the median over seeds is judged."""

MARKS = (100, 300, 1000, 3000)
"""Generations of the table over time."""


class LinearAnswer(NamedTuple):
    """Least squares on classes as unit vectors: test accuracy, %, and number of weights."""

    accuracy: float
    weights: int


def linear_regression(ds: xr.Dataset) -> LinearAnswer | None:
    """Return the least-squares answer on the same training examples; None where the files of the data are missing.

    Args:
        ds: contenders of a sweep.
    """
    own = of_label(ds, WANN)
    size = own["image_size"].item() if "image_size" in own else np.nan  # absent where no cell has one
    data = DataParameters(
        name=own["dataset"].item().partition(" ")[0],
        image_size=None if np.isnan(size) else int(size),
        validation=own["validation"].item(),
        input_scaling=own["input_scaling"].item(),
    )
    try:
        splits = load(data, "cpu")
    except DataError as error:
        print(f"{error}; linear regression is left out")
        return None
    inputs, test_inputs = (with_one(split.inputs) for split in (splits.train, splits.test))
    classes = DATASETS[data.name].num_outputs
    targets = torch.nn.functional.one_hot(splits.train.targets, classes).double()
    weights = torch.linalg.lstsq(inputs.mT @ inputs, inputs.mT @ targets, driver="gelsd").solution
    right = (test_inputs @ weights).argmax(1) == splits.test.targets
    return LinearAnswer(100 * float(right.double().mean()), weights.numel())


def with_one(inputs: torch.Tensor) -> torch.Tensor:
    """Return examples as rows in double precision, with a constant 1, (examples, inputs + 1)."""
    rows = inputs.flatten(1).double()
    return torch.cat([rows, torch.ones(len(rows), 1, dtype=torch.float64)], 1)


def last(ds: xr.Dataset, variable: str) -> xr.DataArray:
    """Return a variable of the networks without weights at their last evaluation, (seed,); NaN where it is unknown."""
    own = of_label(ds, WANN)
    if variable not in own:
        return xr.full_like(own["test_metric"].isel(step=0, drop=True), np.nan)
    evaluated = np.flatnonzero(own["test_metric"].notnull().any("seed"))
    return own[variable].isel(step=int(evaluated[-1])).reset_coords(drop=True)


def outcome(ds: xr.Dataset, variable: str) -> Estimate:
    """Return the mean accuracy over seeds with its interval, %."""
    return mean(100 * last(ds, variable))


def all_outcomes(ds: xr.Dataset, sweep: str, linear: LinearAnswer | None) -> Iterator[str]:
    """Yield the table of test accuracies of a sweep."""
    is_published = sweep == "mnist_16"
    published = PUBLISHED if is_published else {}
    yield from (
        "Test accuracy of the last best network, %, mean over seeds [95 %]."
        + (" Published: Gaier and Ha 2019, with deskewed images." if is_published else ""),
        "",
        "| judged with | n | here | published | goal |",
        "|---|---:|---:|---:|---:|",
    )
    for variable, words in OUTCOMES.items():
        estimate, goal = outcome(ds, variable), GOALS[sweep].get(variable)
        asked = "-" if goal is None else f"{goal:g}: {'reached' if estimate.value >= goal else 'not reached'}"
        yield f"| {words} | {estimate.number} | {estimate.words()} | {published.get(variable, '-')} | {asked} |"
    if linear is not None:
        weights = f"linear regression, {linear.weights:,} weights"
        yield f"| {weights} | 1 | {linear.accuracy:.2f} | {published.get('linear', '-')} | - |"
    for label in labels_of(ds, MLP):
        estimate, parameters = mean(accuracies(ds, label)), float(of_label(ds, label)["num_parameters"])
        yield f"| mlp of {parameters:,.0f} weights, by gradient | {estimate.number} | {estimate.words()} | - | - |"
    yield ""


def costs(ds: xr.Dataset, sweep: str) -> Iterator[str]:
    """Yield the table of sizes and costs of a sweep."""
    yield from (
        "Medians over seeds. A network is evaluated at six shared weights, and each counts. Training FLOPs count every "
        "evaluation as one of the network by itself.",
        "",
        "| arm | connections | goal | evaluations | training GFLOP | by gradient afterwards | measured seconds |",
        "|---|---:|---:|---:|---:|---:|---:|",
    )
    size = median(last(ds, SIZE))
    published = " (published: 1,849)" if sweep == "mnist_16" else ""
    evaluations, afterwards = (median(last(ds, name)) for name in ("evaluations", "trained_flops"))
    flops, seconds = (median(total(ds, WANN, name)) for name in ("training_flops", "job_seconds"))
    shown = f"{evaluations:,.0f}" + (f" (published: {PUBLISHED_EVALUATIONS:,})" if published else "")
    yield (
        f"| {WANN} | {size:,.0f}{published} | {size_goal(sweep, size)} | {shown} | {flops / 1e9:,.0f} | "
        f"{afterwards / 1e9:,.1f} | {seconds:,.0f} |"
    )
    for label in labels_of(ds, MLP):
        flops, seconds = (median(total(ds, label, name)) for name in ("training_flops", "job_seconds"))
        parameters = float(of_label(ds, label)["num_parameters"])
        yield f"| {label} | {parameters:,.0f} | - | - | {flops / 1e9:,.1f} | - | {seconds:,.0f} |"
    yield ""


def size_goal(sweep: str, size: float) -> str:
    """Return the goal of the number of connections and whether it is reached; '-' where there is none."""
    if sweep not in MOST_CONNECTIONS:
        return "-"
    most = MOST_CONNECTIONS[sweep]
    return f"at most {most:,}: {'reached' if size <= most else 'not reached'}"


def over_generations(ds: xr.Dataset) -> Iterator[str]:
    """Yield the table of accuracy and size over generations."""
    own = of_label(ds, WANN)
    steps = own["step"].values[own["test_metric"].notnull().any("seed").values]
    marks = [int(steps[np.abs(steps - mark).argmin()]) for mark in MARKS if mark <= 1.1 * steps[-1]]
    yield from (
        "Over generations, medians over seeds: test accuracy with the mean over six weights and with the tuned one, %, "
        "and connections.",
        "",
        "| generation | mean over six | tuned | connections |",
        "|---:|---:|---:|---:|",
    )
    for step in dict.fromkeys(marks):
        at = own.sel(step=step)
        untuned, tuned = (100 * median(at[name]) for name in ("mean_weight_test_metric", "test_metric"))
        yield f"| {step:,} | {untuned:.1f} | {tuned:.1f} | {median(connections(ds).sel(step=step)):,.0f} |"
    yield ""


def connections(ds: xr.Dataset) -> xr.DataArray:
    """Return the connections of the best network at every evaluation, (seed, step)."""
    return of_label(ds, WANN)[SIZE]


def sentence(sweeps: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """Yield what the networks without weights reach, whichever way it falls."""
    for sweep, ds in sweeps.items():
        untuned, tuned = outcome(ds, "mean_weight_test_metric"), outcome(ds, "test_metric")
        ensemble, trained = outcome(ds, "ensemble_test_metric"), outcome(ds, "trained_test_metric")
        size = f"{median(last(ds, SIZE)):,.0f} connections"
        yield (
            f"- {TITLES[sweep]}: with one weight for all of their {size}, the networks that evolved reach "
            f"{untuned.words(1)} % in the mean over six untuned weights, {tuned.words(1)} % with the tuned one, "
            f"{ensemble.words(1)} % as an ensemble and {trained.words(1)} % with trained weights (n = {tuned.number})."
        )
    yield ""


def draw(path: Path, sweeps: Mapping[str, xr.Dataset]) -> None:
    """Draw the medians of test accuracies and connections over evaluations."""
    figure, axes = plt.subplots(1, 2, figsize=(9.5, 3.8), layout="constrained")
    colours = {"digits": "#0072b2", "mnist_16": "#d55e00"}
    for sweep, ds in sweeps.items():
        own = of_label(ds, WANN)
        place = np.flatnonzero(own["test_metric"].notnull().any("seed"))
        evaluations = np.nanmedian(own["evaluations"].values[:, place], 0)
        for name, style in (("test_metric", "-"), ("mean_weight_test_metric", "--")):
            accuracy = 100 * np.nanmedian(own[name].values[:, place], 0)
            words = "tuned" if name == "test_metric" else "mean over six"
            axes[0].plot(
                evaluations, accuracy, style, color=colours[sweep], label=f"{TITLES[sweep]}, {words}"
            )
        sizes = np.nanmedian(connections(ds).values[:, place], 0)
        axes[1].plot(evaluations, sizes, color=colours[sweep], label=TITLES[sweep])
    axes[0].set(xlabel="evaluations", ylabel="test accuracy, %, median", xscale="log")
    axes[1].set(xlabel="evaluations", ylabel="connections, median", xscale="log", yscale="log")
    for axis in axes:
        axis.legend(fontsize=8, frameon=False)
    plt.rcParams["svg.hashsalt"] = "hornlib"
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Read the results and write tables and figure; what stands above the mark in the page is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    sweeps = {
        name: contenders(ds)
        for name, ds in known_sweeps([arguments.results], TITLES)
        if (ds["status"] == "complete").any()
    }
    if not sweeps:
        raise SystemExit(f"{arguments.results}: no sweep of config/wann.yaml has a complete run")
    lines = ["## In one sentence", "", *sentence(sweeps)]
    for sweep, ds in sweeps.items():
        linear = linear_regression(ds)
        lines += [
            f"## {TITLES[sweep]}",
            "",
            *all_outcomes(ds, sweep, linear),
            *costs(ds, sweep),
            *over_generations(ds),
        ]
    write_below_mark(arguments.out, "Networks without weights", "docs/findings/wann.py", lines)
    draw(arguments.out.with_suffix(".svg"), sweeps)


if __name__ == "__main__":
    main()
