"""The published grid of learned time steps: published accuracies beside ours, learned beside fixed steps, every cell.

python docs/findings/time_variable_published.py docs/findings/time_variable/results.nc \
    --out docs/findings/time_variable_published.md
"""

import argparse
from collections.abc import Collection, Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from tables import opened, spread, write_below_mark
from time_variable_cells import accuracy_of, layers_of, of_cell

from hornlib import open_results
from hornlib.results.divergence import curves_with_chance
from hornlib.statistics.estimators.holm import holm
from hornlib.statistics.estimators.paired_t import paired_t

EPOCHS = (2, 5, 10, 25, 50, 100, 200)
PUBLISHED = {
    ("mnist", "fixed"): (0.454, 0.718, 0.841, 0.901, 0.922, 0.942, 0.963),
    ("mnist", "learned"): (0.854, 0.937, 0.962, 0.977, 0.981, 0.981, 0.981),
    ("mnist", "fractional_fixed"): (0.29, 0.596, 0.792, 0.897, 0.931, 0.959, 0.971),
    ("mnist", "fractional_learned"): (0.58, 0.897, 0.933, 0.971, 0.977, 0.977, 0.977),
    ("fashion_mnist", "fixed"): (0.50, 0.636, 0.694, 0.800, 0.826, 0.844, 0.864),
    ("fashion_mnist", "learned"): (0.78, 0.833, 0.854, 0.874, 0.877, 0.890, 0.891),
    ("fashion_mnist", "fractional_fixed"): (0.28, 0.574, 0.682, 0.792, 0.831, 0.854, 0.876),
    ("fashion_mnist", "fractional_learned"): (0.61, 0.788, 0.833, 0.863, 0.874, 0.879, 0.885),
}
"""Test accuracy of one run each, read off the figure of 2306.16111's repository to +- .004, T = 1, no penalty."""

PUBLISHED_AS = {"partly_fixed": "fixed"}
"""The released code trains all steps but the first where fixed ones are asked for: either may be what was published."""

ARMS = ("fixed", "partly_fixed", "learned", "fractional_fixed", "fractional_learned")
PLAIN = {"l1_penalty": 0.0, "horizon_penalty": 0.0, "structure": "static"}

Wanted = dict[str, object]
"""Coordinates of a cell and their values."""

READING = 0.005
"""Added to three standard deviations of a single further run: what the figure could be read to."""


def examples_of(ds: xr.Dataset) -> float:
    """Return how many training examples an epoch has."""
    return float(ds["samples"].max() / ds["epochs"].max())


def by_seed(cell: xr.Dataset, epoch: int) -> np.ndarray | None:
    """Return the test accuracy of every seed after an epoch, (seeds,); None where nothing was evaluated then.

    From its divergence on a run has the accuracy of chance, a missing one NaN.
    """
    places = np.flatnonzero(cell["samples"].values == epoch * examples_of(cell))
    if not len(places):
        return None
    curves = curves_with_chance(cell["test_metric"], cell["diverged_at_step"], cell["chance_level"])
    return curves.transpose("seed", "step").values[:, places[0]]


def at_epoch(cell: xr.Dataset, epoch: int) -> tuple[float, float, float] | None:
    """Return mean and standard deviation over seeds after an epoch, and how far one further run may lie."""
    accuracy = by_seed(cell, epoch)
    if accuracy is None:
        return None
    accuracy = accuracy[np.isfinite(accuracy)]
    number, sd = len(accuracy), float(accuracy.std(ddof=1))
    return float(accuracy.mean()), sd, 3 * sd * float(np.sqrt((number + 1) / number)) + READING


def trained(ds: xr.Dataset, **wanted: object) -> xr.Dataset | None:
    """Return the one cell with these values; None where there is none, or where it has fewer than two runs."""
    cell = of_cell(ds, **wanted)
    return cell if cell is not None and number_of_runs(cell) > 1 else None


def number_of_runs(cell: xr.Dataset) -> int:
    """Return the number of runs that were trained, those that diverged among them."""
    return int((cell["final_test_metric"].notnull() | (cell["status"] == "diverged")).sum())


def published(ds: xr.Dataset) -> Iterator[str]:
    """Yield the table that sets published accuracies beside ours."""
    rows, num_within, num_published = [], 0, 0
    for dataset in dict.fromkeys(ds["dataset"].values):
        for arm in ARMS:
            cell = trained(ds, dataset=dataset, arm=arm, initial_horizon=1.0, **PLAIN)
            if cell is None:
                continue
            columns = []
            for place, epoch in enumerate(EPOCHS):
                at = at_epoch(cell, epoch)
                if at is None:
                    columns.append("")
                    continue
                mean, sd, allowed = at
                values = PUBLISHED.get((str(dataset), PUBLISHED_AS.get(arm, arm)))
                words = f"{mean:.3f} ± {sd:.3f}"
                if values is not None:
                    lies_within = abs(values[place] - mean) <= allowed
                    if arm not in PUBLISHED_AS:
                        num_within, num_published = num_within + lies_within, num_published + 1
                    words += f" ({values[place]:.3f}{'' if lies_within else ' **'})"
                columns.append(words)
            number = number_of_runs(cell)
            rows.append(f"| {dataset} | {arm} | {number} | " + " | ".join(columns) + " |")
    if not rows:
        return
    yield from (
        f"## Published accuracies, T = 1, to epoch {ds['epochs'].max():.0f}",
        "Test accuracy, mean and standard deviation of our seeds (n), and the published value of one run in brackets; "
        f"** lies outside mean ± (3 sd sqrt((n + 1) / n) + {READING:g}), the range of one further run of ours. "
        f"{num_within} of {num_published} values lie within; `partly_fixed` is not counted.",
        "",
        "| dataset | arm | n | " + " | ".join(f"epoch {epoch}" for epoch in EPOCHS) + " |",
        "|---|---|---:|" + "---:|" * len(EPOCHS),
        *rows,
        "",
    )


def differences(ds: xr.Dataset, horizons: Collection[float]) -> Iterator[str]:
    """Yield test accuracy with learned steps less that with fixed steps, and with the horizon penalty less without."""
    yield from paired_table(
        ds,
        "Learned less fixed steps",
        "Both start from the same horizon.",
        [
            (network, horizon, {**PLAIN, "arm": fixed}, {**PLAIN, "arm": learned})
            for horizon in sorted(horizons)
            for network, fixed, learned in (
                ("ResNet", "fixed", "learned"),
                ("Fractional-DNN", "fractional_fixed", "fractional_learned"),
            )
        ],
    )
    yield from paired_table(
        ds,
        "Learned steps with the horizon penalty less without",
        "The penalty of 0.5 holds the sum of the steps at T.",
        [
            (network, horizon, {**PLAIN, "arm": arm}, {**PLAIN, "arm": arm, "horizon_penalty": 0.5})
            for horizon in sorted(horizons)
            for network, arm in (("ResNet", "learned"), ("Fractional-DNN", "fractional_learned"))
        ],
    )


def paired_table(
    ds: xr.Dataset, title: str, note: str, pairs: list[tuple[str, float, Wanted, Wanted]]
) -> Iterator[str]:
    """Yield a table of differences in test accuracy, second less first; nothing where no pair was trained.

    Each pair has the network's name, its initial horizon, and the coordinates of the first and of the second cell.
    """
    rows, p_values, horizons = [], [], set()
    epochs = [epoch for epoch in EPOCHS if epoch <= ds["epochs"].max()]
    for dataset in dict.fromkeys(ds["dataset"].values):
        for network, horizon, *sides in pairs:
            cells = [trained(ds, dataset=dataset, initial_horizon=horizon, **side) for side in sides]
            if any(cell is None or by_seed(cell, epochs[-1]) is None for cell in cells):
                continue
            first, second = cells
            columns = []
            for epoch in epochs:
                before, after = by_seed(first, epoch), by_seed(second, epoch)
                if before is None or after is None:
                    columns.append("")
                    continue
                test = paired_t(100 * (after - before)[None])
                (low,), (high,) = test.interval(0.05)
                columns.append(f"{test.mean[0]:.2f} [{low:.2f}, {high:.2f}]")
            horizons.add(horizon)
            p_values.append(float(test.p_value()[0]))
            rows.append(f"| {dataset} | {network} | {horizon:g} | {test.number[0]} | " + " | ".join(columns))
    if not rows:
        return
    yield from (
        f"## {title}, T = {' and '.join(f'{horizon:g}' for horizon in sorted(horizons))}",
        f"{note} Test accuracy in points, paired by seed [95 % interval of Student's t, each alone]. p is that of the "
        "last epoch after Holm's correction over this table. All have one learning rate, 0.01, that nobody tuned.",
        "",
        "| dataset | network | T | n | " + " | ".join(f"epoch {epoch}" for epoch in epochs) + " | p |",
        "|---|---|---:|---:|" + "---:|" * (len(epochs) + 1),
    )
    for row, p_value in zip(rows, holm(np.array(p_values)), strict=True):
        yield f"{row} | {p_value:.3f} |" if p_value >= 0.001 else f"{row} | < .001 |"
    yield ""


def every_cell(ds: xr.Dataset) -> Iterator[str]:
    """Yield one row for every cell of the grid that was trained."""
    yield from (
        "## Every cell of the grid, at its last epoch",
        "Medians [quartiles] over seeds; the horizon is sum tau, layers are those that are left.",
        "",
        "| dataset | arm | T | l1 | horizon penalty | structure | test accuracy | horizon | layers |",
        "|---|---|---:|---:|---:|---|---:|---:|---:|",
    )
    cells = [ds.isel(cell=row) for row in range(ds.sizes["cell"])]
    shown = [cell for cell in cells if number_of_runs(cell)]
    for cell in shown:
        yield (
            f"| {cell['dataset'].item()} | {cell['arm'].item()} | {cell['initial_horizon'].item():g} | "
            f"{cell['l1_penalty'].item():g} | {cell['horizon_penalty'].item():g} | {cell['structure'].item()} | "
            f"{spread(accuracy_of(cell))} | {spread(cell['final_horizon'].values, 2)} | {layers_of(cell)} |"
        )
    untrained = len(cells) - len(shown)
    yield from ("", f"{untrained} further cells were not trained here." if untrained else "", "")


def draw(path: Path, ds: xr.Dataset) -> None:
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
    for panel, (dataset, title) in zip(axes, datasets.items(), strict=True):
        for arm, (colour, words) in styles.items():
            cell = trained(ds, dataset=dataset, arm=arm, initial_horizon=1.0, **PLAIN)
            if cell is None:
                continue
            points = [(epoch, *at) for epoch in EPOCHS if (at := at_epoch(cell, epoch)) is not None]
            epochs, mean, _, allowed = (np.array(column) for column in zip(*points, strict=True))
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


def main() -> None:
    """Read the results and write the tables; what stands above the mark is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    sweeps = {}
    names = open_results(arguments.results).coords
    for sweep in ("published_long", "published"):
        ds = opened(arguments.results, sweep) if f"in_{sweep}" in names else None
        if ds is not None and ds["final_test_metric"].notnull().any():
            sweeps[sweep] = ds
        else:
            print(f"without results: {sweep}")
    lines: list[str] = []
    if "published_long" in sweeps:
        ds = sweeps["published_long"]
        lines += [*published(ds), *differences(ds, {1.0})]
        draw(arguments.out.with_suffix(".svg"), ds)
    if "published" in sweeps:
        ds = sweeps["published"]
        horizons = set(ds["initial_horizon"].values.tolist())
        if "published_long" in sweeps:  # to epoch 25 its runs with T = 1 are the same ones
            horizons -= {1.0}
        else:
            lines += published(ds)
        lines += [*differences(ds, horizons), *every_cell(ds)]
    write_below_mark(arguments.out, "The published grid", "docs/findings/time_variable_published.py", lines)


if __name__ == "__main__":
    main()
