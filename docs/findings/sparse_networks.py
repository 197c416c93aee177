"""Sparse networks beside dense ones and published numbers: accuracies, FLOPs and seconds, as tables and a figure.

python docs/findings/sparse_networks.py docs/findings/sparse_networks/*.nc --out docs/findings/sparse.md
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from sparse_figure import draw
from sparse_pairs import (
    AXES,
    Pair,
    accuracies,
    best,
    common_level,
    costs_to,
    known_sweeps,
    labels_of,
    mean,
    median,
    of_label,
    pair_of,
    total,
)
from sparse_published import CURVES, PUBLISHED, SOURCES
from sparse_sentence import sentence
from tables import write_below_mark

from hornlib.statistics.contenders import contenders

TITLES = {
    "mnist_density_10": "LeNet-300-100 on MNIST, density .1",
    "mnist_density_2": "LeNet-300-100 on MNIST, density .02",
    "mnist_other_rules": "LeNet-300-100 on MNIST, density .02, other rules",
    "mnist_lottery": "The lottery ticket on MNIST",
    "itop": "Explored connections and accuracy, density .05",
    "mnist_tuned": "LeNet-300-100 on MNIST, density .1, tuned learning rates",
    "mnist_long": "LeNet-300-100 on MNIST, 200 epochs",
    "cifar_set": "SET on CIFAR-10, 4000-1000-4000 nodes",
    "cifar_set_dense": "The dense network of the same recipe",
    "cifar_cnn": "A convolutional network on CIFAR-10, density .1",
    "horn": "Sparse coupling of oscillators, digits by rows",
    "fashion": "Ultra-sparse on Fashion-MNIST, 1568-1568-1568 nodes, density .01",
    "fashion_dense": "The dense network on Fashion-MNIST",
    "cifar10": "Ultra-sparse on CIFAR-10, 3072-3072-3072 nodes, density .01",
    "cifar10_dense": "The dense network on CIFAR-10",
    "wrn_22_2": "WRN-22-2 on CIFAR-10",
}
"""Sweep -> its heading."""

PAIRS = (
    *(
        ("rigl", rival)
        for rival in (
            *("dense", "small_dense", "static", "random_growth", "set"),
            *("gmp", "snfs", "snip", "dsr", "granet"),
        )
    ),
    ("set", "static"),
    ("rewired", "dense"),
    ("rewired", "static"),
    ("static", "dense"),
    ("lottery", "dense"),
)
"""Arms that are compared, where a sweep has both."""

CURVE_EPOCHS = (1, 5, 10, 20, 30)


class Contents(NamedTuple):
    """What all files of results hold.

    Attributes:
        sweeps: name -> contenders.
        untrained: sweep without runs -> calibrated seconds of the step of its first cell.
    """

    sweeps: dict[str, xr.Dataset]
    untrained: dict[str, float]


def contents_of(paths: Sequence[Path]) -> Contents:
    """Return the known sweeps of all files in the order of `TITLES`, and name files that do not exist."""
    contents = Contents({}, {})
    for name, ds in known_sweeps(paths, TITLES):
        if (ds["status"] == "complete").any():
            contents.sweeps[name] = contenders(ds)
        elif "step_time" in ds:
            contents.untrained[name] = float(ds["step_time"].values[0].max())
    return contents._replace(
        sweeps={name: contents.sweeps[name] for name in TITLES if name in contents.sweeps}
    )


def all_arms(ds: xr.Dataset, sweep: str) -> Iterator[str]:
    """Yield the table of every cell of a sweep."""
    labels = [label for arm in dict.fromkeys(ds["arm"].values.astype(str)) for label in labels_of(ds, arm)]
    places = [int(np.flatnonzero(ds["contender"].values == label)[0]) for label in labels]
    level, published = common_level(ds, labels), PUBLISHED.get(sweep, {})
    device = str(ds.attrs.get("calibration_device", ""))
    timing = (
        f"Calibrated seconds are those of a lone run on {device}, without updates of masks; "
        if device
        else ""
    )
    yield from (
        f"Examples to: until {100 * level:.2f} % on the {ds['judged_on'].values[0]} part, which is half a point below "
        f"the best of the weakest run. {timing}measured seconds are a run's share of its job.",
        "",
        "| arm | parameters | n | last test accuracy, %, median | mean [95 %] | best, %, median | published, % | "
        "training GFLOP | seconds, calibrated | measured | examples to |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    )
    for label, place in zip(labels, places, strict=True):
        values = accuracies(ds, label)
        estimate = mean(values)
        arm = str(ds["arm"].values[place])
        published_value = published.get(label, published.get(arm, np.nan))
        flops, calibrated, measured = (
            median(total(ds, label, name)) for name in ("training_flops", "seconds", "job_seconds")
        )
        examples = median(costs_to(ds, label, level, "samples"))
        shown = f"{published_value:.2f}" if np.isfinite(published_value) else "-"
        yield (
            f"| {label} | {ds['num_parameters'].values[place]:,.0f} | {estimate.number} | {median(values):.2f} | "
            f"{estimate.words()} | {median(best(ds, label)):.2f} | {shown} | {flops / 1e9:,.3g} | "
            f"{rounded(calibrated)} | {rounded(measured)} | {rounded(examples)} |"
        )
    yield ""
    if sweep in SOURCES:
        yield from (f"Published: {SOURCES[sweep]}", "")


def rounded(value: float) -> str:
    """Return a positive number with three digits; '-' for NaN."""
    return f"{value:,.3g}" if value > 0 and value < 1000 else f"{value:,.0f}" if value >= 1000 else "-"


def pairs_of(ds: xr.Dataset) -> list[Pair]:
    """Return the comparisons of a sweep; cells of equal density are paired where an arm has several."""
    pairs = []
    for first, second in PAIRS:
        one, other = labels_of(ds, first), labels_of(ds, second)
        for label in one:
            same = [rival for rival in other if rival.removeprefix(second) == label.removeprefix(first)]
            rivals = same or (other if len(other) == 1 else [])
            pairs += [pair_of(ds, label, rival) for rival in rivals]
    return pairs


def all_pairs(ds: xr.Dataset) -> Iterator[str]:
    """Yield the table of comparisons."""
    pairs = pairs_of(ds)
    if not pairs:
        return
    yield from (
        "Pairs over seeds. Ratios are geometric means of the costs until both arms have the same accuracy on the "
        f"{ds['judged_on'].values[0]} part: half a point below the best of the weakest run of both. Brackets: 95 %, "
        "each alone.",
        "",
        "| first | second | n | difference, points | what it shows | level, % | examples, ratio | FLOPs, ratio | "
        "seconds, ratio |",
        "|---|---|---:|---:|---|---:|---:|---:|---:|",
    )
    for pair in pairs:
        ratios = " | ".join(pair.ratios[axis].words() for axis in AXES)
        yield (
            f"| {pair.first} | {pair.second} | {pair.difference.number} | {pair.difference.words()} | "
            f"{pair.verdict()} | {100 * pair.level:.2f} | {ratios} |"
        )
    yield ""


def explored(ds: xr.Dataset) -> Iterator[str]:
    """Yield the table of explored connections over the interval between updates."""
    yield from (
        "R_s: share of positions that ever held a connection.",
        "",
        "| arm | training steps between updates | n | R_s at the end, median | last test accuracy, %, mean [95 %] |",
        "|---|---:|---:|---:|---:|",
    )
    for arm in ("set", "rigl"):
        for label in labels_of(ds, arm):
            own = of_label(ds, label)
            estimate, share = mean(accuracies(ds, label)), median(own["explored"].max("step"))
            interval = own["update_every"].item()
            yield f"| {arm} | {interval:g} | {estimate.number} | {share:.3f} | {estimate.words()} |"
    yield ""


def units(ds: xr.Dataset) -> Iterator[str]:
    """Yield the table of active units of every layer at the end."""
    yield from (
        "Active units at the end, median, from the first hidden layer to the read-out; RigL's appendix B ends with 408 "
        "inputs, 100 and 69 hidden units.",
        "",
        "| arm | n | active units |",
        "|---|---:|---|",
    )
    for label in labels_of(ds, "rigl"):
        own = of_label(ds, label)
        last = own["active_units"].isel(step=int(np.flatnonzero(own["samples"].notnull())[-1]))
        numbers = "-".join(f"{median(last.isel(layer=layer)):.0f}" for layer in range(last.sizes["layer"]))
        yield f"| {label} | {int((own['status'] == 'complete').sum())} | {numbers} |"
    yield ""


def curves(sweeps: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """Yield the table of the released curves of SET on CIFAR-10 and of these runs."""
    yield from (
        "Test accuracy, %, by epoch: median here, published (one run).",
        "",
        "| arm | n | " + " | ".join(f"epoch {epoch}" for epoch in CURVE_EPOCHS) + " |",
        "|---|---:|" + "---:|" * len(CURVE_EPOCHS),
    )
    for name in ("cifar_set", "cifar_set_dense"):
        ds = sweeps.get(name)
        for label in [] if ds is None else [label for arm in CURVES for label in labels_of(ds, arm)]:
            own = of_label(ds, label)
            epoch = own["samples"].values / own["samples"].max().item() * own["epochs"].item()
            entries = []
            for published in CURVE_EPOCHS:
                place = np.flatnonzero(np.isclose(epoch, published, atol=0.01))
                here = f"{100 * median(own['test_metric'].values[:, place[0]]):.1f}" if len(place) else "-"
                entries.append(f"{here}, {CURVES[label][published]:.1f}")
            number = int((own["status"] == "complete").sum())
            yield f"| {label} | {number} | {' | '.join(entries)} |"
    yield ""


def lines(contents: Contents) -> Iterator[str]:
    """Yield the lines of the page."""
    sweeps = contents.sweeps
    yield from ("## In one sentence", "", *sentence(sweeps, contents.untrained))
    for name, ds in sweeps.items():
        yield from (f"## {TITLES[name]}", "", *all_arms(ds, name))
        if name == "itop":
            yield from explored(ds)
        if name == "mnist_long":
            yield from units(ds)
        if name == "cifar_set":
            yield from curves(sweeps)
        yield from all_pairs(ds)


def main() -> None:
    """Read the results and write tables and figure; what stands above the mark in the page is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    contents = contents_of(arguments.results)
    write_below_mark(arguments.out, "Sparse training", "docs/findings/sparse_networks.py", lines(contents))
    draw(arguments.out.with_suffix(".svg"), contents.sweeps)


if __name__ == "__main__":
    main()
