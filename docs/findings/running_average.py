"""Early learning under each kind of batch norm statistics, beside the training loss, which uses none of them.

python docs/findings/running_average.py results/running_average/results.nc --out docs/findings/running_average.md
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr
from tables import write_below_mark

from hornlib import open_results, time_to_target
from hornlib.statistics.estimators.holm import holm
from hornlib.statistics.estimators.paired_t import paired_t

ONE, OTHER = "horn_cnn", "cnn"
STATISTICS = ("exponential", "recent", "precise")
ACCURACIES, LOSSES = (0.8, 0.9), (0.8, 0.5, 0.3)


def steps_to(ds: xr.Dataset, arm: str, statistics: str, level: float, metric: str) -> np.ndarray:
    """Return the steps of every seed of an arm to a level, (seeds,)."""
    own = ds.isel(cell=np.flatnonzero((ds["arm"] == arm) & (ds["batch_norm_statistics"] == statistics)))
    return time_to_target(own, level, "step", metric)["time"].values[0]


def compare(ds: xr.Dataset, words: str, statistics: str, level: float, metric: str) -> tuple[str, float]:
    """Return the start of a table row (both medians, the paired geometric ratio with its 95 % interval), and p."""
    one, other = (steps_to(ds, arm, statistics, level, metric) for arm in (ONE, OTHER))
    found = paired_t(np.log(one / other)[None])
    ratio, low, high = (np.exp(values[0]) for values in (found.mean, *found.interval(0.05)))
    text = (
        f"| {words} | {np.median(one):.0f} | {np.median(other):.0f} | {ratio:.2f} [{low:.2f}, {high:.2f}] |"
    )
    return text, float(found.p_value()[0])


def lines(ds: xr.Dataset) -> Iterator[str]:
    """Yield the lines of the tables."""
    yield from (
        f"n = {ds.sizes['seed']} seeds an arm. Steps: medians, confirmed over two evaluations. Ratio: paired geometric "
        "ratio of steps, horn_cnn over cnn, with the 95 % interval of its t-test alone; above 1 horn_cnn is slower. p: "
        "alone, and after Holm's correction over all rows of the table.",
        "",
        "| judged by | `horn_cnn` | `cnn` | ratio | p | p, Holm |",
        "|---|---:|---:|---:|---:|---:|",
    )
    comparisons = []
    for level in ACCURACIES:
        for statistics in STATISTICS:
            words = f"validation accuracy {100 * level:g} %, {statistics} statistics"
            comparisons.append(compare(ds, words, statistics, level, "validation_metric"))
    for level in LOSSES:
        words = f"training loss {level:g} (no statistics used)"
        comparisons.append(compare(ds, words, STATISTICS[-1], level, "training_loss"))
    adjusted = holm(np.array([p_value for _, p_value in comparisons]))
    for (text, p_value), corrected in zip(comparisons, adjusted, strict=True):
        yield f"{text} {p_value:.2g} | {corrected:.2g} |"
    yield from ("", "| arm | statistics | parameters | final test accuracy, % |", "|---|---|---:|---:|")
    for cell in range(ds.sizes["cell"]):
        own = ds.isel(cell=cell)
        final = 100 * own["final_test_metric"].values
        yield (
            f"| `{own['arm'].item()}` | {own['batch_norm_statistics'].item()} | "
            f"{np.nanmax(own['num_parameters'].values):,.0f} | "
            f"{np.median(final):.2f} ({final.min():.2f} to {final.max():.2f}) |"
        )


def main() -> None:
    """Read the results and write the tables; what stands above the mark in the page is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    ds = open_results(arguments.results, sweep="running_average").load()
    write_below_mark(
        arguments.out,
        "Early accuracy and batch norm's statistics",
        "docs/findings/running_average.py",
        lines(ds),
    )


if __name__ == "__main__":
    main()
