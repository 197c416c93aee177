"""Layers inserted into a convolutional network on CIFAR-10, against its rivals; as tables and a figure.

python docs/findings/layer_insertion_cifar.py <results.nc> --statistics <statistics.nc> \\
    --out docs/findings/layer_insertion_cifar.md
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from layer_insertion import after_correction, at_equal_flops, of_arm, paired, share, windows
from tables import final, spread, write_below_mark

from hornlib import open_results
from hornlib.statistics.write import open_statistics

WORDS = {
    "inserted": "inserted at the largest score",
    "spectral": "at the largest spectral score",
    "smallest": "at the smallest score",
    "random": "at random",
    "three_by_threshold": "up to three, by threshold",
    "small": "small",
    "large": "large from scratch",
    "large_virtual": "inserted before the first step",
}
RIVALS = ("small", "large", "large_virtual")
PLACES = ("smallest", "random", "spectral")
CHANCE = 0.1


def label(own: xr.Dataset, arm: str) -> str:
    """Return the words of an arm; one by threshold with its epoch."""
    if arm != "one_by_threshold":
        return WORDS[arm]
    return f"one by threshold, asked after epoch {own['insert_at'].item()}"


def cells(ds: xr.Dataset) -> Iterator[tuple[str, str, xr.Dataset]]:
    """Yield arm, words and part of every cell."""
    for cell, arm in enumerate(ds["arm"].values.tolist()):
        own = ds.isel(cell=cell)
        yield arm, label(own, arm), own


def reached(ds: xr.Dataset) -> Iterator[str]:
    """Yield the table of every cell."""
    yield from (
        "| arm | n | final training loss, median [quartiles] | test accuracy, % | parameters at the end | "
        "training GFLOP | runs with an insertion | diverged |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    )
    for _, words, own in cells(ds):
        loss, parameters = final(own, "training_loss"), final(own, "num_parameters")
        accuracy = 100 * final(own, "test_metric", diverged=CHANCE)
        flops = np.median(final(own, "training_flops")) / 1e9
        grown = (own["num_parameters"].max("step") > own["num_parameters"].min("step")).sum().item()
        yield (
            f"| {words} | {np.isfinite(parameters).sum()} | {spread(loss)} | {spread(accuracy, 1)} | "
            f"{spread(parameters, 0)} | {flops:,.0f} | {grown} | {np.isinf(loss).sum()} |"
        )
    yield ""


def against(ds: xr.Dataset, p_values: list[float]) -> Iterator[str]:
    """Yield the table of the inserted network against its rivals, and append its p-values."""
    yield from (
        "| inserted against | lower final loss at equal epochs [95 %] | p | at equal training FLOPs [95 %] | p | "
        "test accuracy, difference in points, median [quartiles] | p |",
        "|---|---:|---:|---:|---:|---:|---:|",
    )
    own = of_arm(ds, "inserted")
    loss, accuracy = final(own, "training_loss"), 100 * final(own, "test_metric", diverged=CHANCE)
    for rival in RIVALS:
        other = of_arm(ds, rival)
        theirs, score = final(other, "training_loss"), 100 * final(other, "test_metric", diverged=CHANCE)
        early, late = at_equal_flops(ds, "inserted", rival)
        found = [paired(loss, theirs), paired(early, late), paired(accuracy, score)]
        p_values += found
        yield (
            f"| {WORDS[rival]} | {share(loss < theirs)} | {found[0]:.2g} | {share(early < late)} | {found[1]:.2g} | "
            f"{spread(accuracy - score, 2)} | {found[2]:.2g} |"
        )
    yield ""


def places(ds: xr.Dataset, p_values: list[float]) -> Iterator[str]:
    """Yield the table of where a layer was inserted, and append its p-values."""
    yield from (
        "| largest score against | lower final loss | same | higher | lower among those that differ [95 %] | p |",
        "|---|---:|---:|---:|---:|---:|",
    )
    loss = final(of_arm(ds, "inserted"), "training_loss")
    for arm in PLACES:
        other = final(of_arm(ds, arm), "training_loss")
        p_values.append(paired(loss, other))
        yield (
            f"| {WORDS[arm]} | {(loss < other).sum()} | {(loss == other).sum()} | {(loss > other).sum()} | "
            f"{share(loss < other, loss != other)} | {p_values[-1]:.2g} |"
        )
    early, late = at_equal_flops(ds, "random", "small")
    yield (
        "\nA layer at a random place needs no scores. At equal training FLOPs its network has a lower loss than the "
        f"small one in {share(early < late)}.\n"
    )


def lines(ds: xr.Dataset, answer: str) -> Iterator[str]:
    """Yield the lines of the page.

    Args:
        ds: results of the sweep.
        answer: the verdicts of its statistics.
    """
    p_values: list[float] = []
    yield from ("## What each arm reaches", "", *reached(ds))
    yield from ("## Against its rivals", "", *against(ds, p_values))
    yield from ("## Where", "", *places(ds, p_values))
    yield from (
        after_correction(p_values),
        "",
        "## To 90 % of the small network's gain",
        "",
        *(f"> {line}\n>" for line in answer.splitlines()),
        "",
        "![training loss and test accuracy](layer_insertion_cifar.svg)",
    )


def draw(path: Path, ds: xr.Dataset) -> None:
    """Draw the median training loss and test accuracy over training FLOPs."""
    styles = {
        "inserted": ("#d55e00", "-"),
        "smallest": ("#e69f00", "--"),
        "random": ("#e69f00", ":"),
        "three_by_threshold": ("#cc79a7", "-"),
        "small": ("#0072b2", "-"),
        "large": ("#009e73", "-"),
        "large_virtual": ("#009e73", "--"),
    }
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    for arm, (colour, line) in styles.items():
        style = {"color": colour, "linestyle": line, "label": WORDS[arm]}
        flops, loss = (np.nanmedian(part, 0) for part in windows(ds, arm))
        left.plot(flops / 1e9, loss, **style)
        own = of_arm(ds, arm)
        own = own.isel(step=np.flatnonzero(own["samples"].notnull()))
        spent, accuracy = (own[name].median("seed").values for name in ("training_flops", "test_metric"))
        right.plot(spent / 1e9, 100 * accuracy, **style)
    left.set(xlabel="training GFLOP", ylabel="training loss")
    right.set(xlabel="training GFLOP", ylabel="test accuracy, %")
    figure.legend(
        *left.get_legend_handles_labels(), fontsize=8, frameon=False, loc="outside lower center", ncols=4
    )
    plt.rcParams["svg.hashsalt"] = "hornlib"
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Read the results and write tables and figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--statistics", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    ds = open_results(arguments.results, sweep="cifar10").load()
    page = lines(ds, str(open_statistics(arguments.statistics, "cifar10").attrs["answer"]))
    write_below_mark(
        arguments.out, "Layer insertion on CIFAR-10", "docs/findings/layer_insertion_cifar.py", page
    )
    draw(arguments.out.with_suffix(".svg"), ds)


if __name__ == "__main__":
    main()
