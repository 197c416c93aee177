"""Growth with pruning beside networks that never grew: accuracy against parameters and FLOPs, and the Pareto front.

python docs/findings/grow_and_prune.py docs/findings/growth/grow_and_prune.nc --out docs/findings/grow_and_prune.md
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from growth_published import GRADMAX, SMALL_NETWORKS, SOURCE
from growth_sweeps import all_arms, sweeps_of
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter
from sparse_pairs import accuracies, labels_of, median, of_label, pair_of, total
from tables import write_below_mark

TITLES = {
    "mnist": "MNIST, 784-8-8-10 at the end",
    "fashion_mnist": "Fashion-MNIST, 784-8-8-10 at the end",
    "vgg_16_a": "VGG-16-A on CIFAR-10",
}
"""Sweep -> its heading."""

PAIRS = {
    name: tuple(
        (first, second)
        for first in ("grow_then_prune", "prune_then_grow", "alternate", "exchange", "grow", "prune")
        for second in ("never_grown", "equal_flops", "scratch_b")
    )
    for name in ("mnist", "fashion_mnist")
} | {"vgg_16_a": (("fine_tuned", "scratch_e"), ("fine_tuned", "scratch_b"), ("fine_tuned", "unpruned"))}
"""Sweep -> arms that are compared."""

BASELINES = {"vgg_16_a": "unpruned"}
"""Sweep -> its baseline; else it is large."""

COSTS = {
    "num_parameters": "parameters",
    "forward_flops": "forward FLOPs of an example",
    "training_flops": "training FLOPs",
}


def costs_of(ds: xr.Dataset, label: str) -> dict[str, float]:
    """Return the sizes and the training FLOPs of an arm, in medians.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
        label: of the contender.
    """
    contender = of_label(ds, label)
    sizes = {name: float(contender[name]) for name in ("num_parameters", "forward_flops")}
    return {**sizes, "training_flops": median(total(ds, label, "training_flops"))}


def front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Return the names that no other one beats: none is as cheap and better, or cheaper and as good.

    Args:
        points: name -> cost and accuracy.
    """
    return [
        name
        for name, (cost, accuracy) in points.items()
        if not any(
            other_cost <= cost and other >= accuracy and (other_cost < cost or other > accuracy)
            for other_cost, other in points.values()
        )
    ]


def fronts(ds: xr.Dataset) -> Iterator[str]:
    """Yield the table of the Pareto fronts of median accuracy against each cost."""
    labels = [label for arm in dict.fromkeys(ds["arm"].values.astype(str)) for label in labels_of(ds, arm)]
    yield from (
        "| cost | arms that no other one beats in cost and median accuracy, the cheapest first |",
        "|---|---|",
    )
    for cost, words in COSTS.items():
        points = {label: (costs_of(ds, label)[cost], median(accuracies(ds, label))) for label in labels}
        names = sorted(front(points), key=lambda name: points[name])
        yield f"| {words} | {', '.join(f'{name} ({points[name][1]:.2f} %)' for name in names)} |"
    yield ""


def last_accuracies(ds: xr.Dataset, pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield the table of comparisons at the end of the training; before it, networks that shrink are large.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
        pairs: arms of one cell each.
    """
    yield from (
        "Pairs over seeds: last test accuracies, with 95 % intervals, each alone, and training FLOPs. A network that "
        "shrinks reaches a level of accuracy while it is large, so that costs to a level say nothing of the last one.",
        "",
        "| first | second | n | difference, points | what it shows | training FLOPs, ratio |",
        "|---|---|---:|---:|---|---:|",
    )
    for first, second in pairs:
        if labels_of(ds, first) and labels_of(ds, second):
            pair = pair_of(ds, labels_of(ds, first)[0], labels_of(ds, second)[0])
            one, other = (total(ds, label, "training_flops") for label in (pair.first, pair.second))
            yield (
                f"| {first} | {second} | {pair.difference.number} | {pair.difference.words()} | {pair.verdict()} | "
                f"{median(one) / median(other):.2f} |"
            )
    yield ""


def lines(sweeps: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """Yield the lines of the page."""
    for name, title in TITLES.items():
        yield from (f"## {title}", "")
        if name not in sweeps:
            yield from ("This sweep has no results yet.", "")
            continue
        ds, baseline = sweeps[name], BASELINES.get(name, "large")
        yield from (
            *all_arms(ds, GRADMAX.get(name, {}), baseline),
            *fronts(ds),
            *last_accuracies(ds, PAIRS[name]),
        )
        if name == "mnist":
            rivals = "; ".join(
                f"{who} {size:,} parameters {accuracy:.2f} %" for who, size, accuracy in SMALL_NETWORKS
            )
            yield from (
                f"Published on MNIST: {rivals}. NeST removes connections; GNAP is a convolutional network.",
                "",
            )
        if name in SOURCE:
            yield from (f"Published: {SOURCE[name]}", "")


def draw(path: Path, sweeps: Mapping[str, xr.Dataset]) -> None:
    """Draw the median accuracy of every arm over parameters, forward and training FLOPs, one row a sweep.

    Args:
        path: of the figure; nothing is drawn without sweeps.
        sweeps: name -> contenders.
    """
    drawn = [name for name in TITLES if name in sweeps]
    if not drawn:
        return
    figure, axes = plt.subplots(
        len(drawn), len(COSTS), figsize=(11, 3.4 * len(drawn)), layout="constrained", squeeze=False
    )
    for row, name in zip(axes, drawn, strict=True):
        ds = sweeps[name]
        for panel, (cost, words) in zip(row, COSTS.items(), strict=True):
            for number, arm in enumerate(dict.fromkeys(ds["arm"].values.astype(str))):
                for label in labels_of(ds, arm):
                    values = accuracies(ds, label).values
                    low, middle, high = np.nanquantile(values, [0.25, 0.5, 0.75])
                    panel.errorbar(
                        costs_of(ds, label)[cost],
                        middle,
                        [[middle - low], [high - middle]],
                        fmt="o^sDvP"[number % 6],
                        color=f"C{number}",
                        label=arm,
                    )
            if name == "mnist" and cost == "num_parameters":
                for who, size, accuracy in SMALL_NETWORKS:
                    panel.plot(size, accuracy, "kx")
                    panel.annotate(who, (size, accuracy), fontsize=7)
            panel.set(xscale="log", xlabel=words, ylabel="test accuracy, %")
            panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.xaxis.set_major_formatter(EngFormatter(sep=""))
            panel.xaxis.set_minor_formatter(NullFormatter())
            panel.set_title(TITLES[name], fontsize=9)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, frameon=False, loc="outside lower center", ncols=5)
    plt.rcParams["svg.hashsalt"] = "hornlib"
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Read the results and write tables and figure; what stands above the mark in the page is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    sweeps = sweeps_of(arguments.results, TITLES)
    write_below_mark(arguments.out, "Growth with pruning", "docs/findings/grow_and_prune.py", lines(sweeps))
    draw(arguments.out.with_suffix(".svg"), sweeps)


if __name__ == "__main__":
    main()
