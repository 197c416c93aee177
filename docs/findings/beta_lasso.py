"""beta-LASSO on shallow networks: accuracy, weights that are not 0, and locality, as tables and a figure.

python docs/findings/beta_lasso.py results/beta_lasso/results.nc --out docs/findings/beta_lasso.md

The weights beside the results are measured where they exist; docs/findings/beta_lasso/weights.csv keeps the numbers.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from beta_lasso_weights import LARGEST, SPARSE, WINDOWS, weights_table
from sparse_pairs import (
    LEAST,
    Estimate,
    accuracies,
    best,
    known_sweeps,
    labels_of,
    mean,
    median,
    of_label,
    pair_of,
    total,
)
from tables import write_below_mark

from hornlib.statistics.contenders import contenders

SWEEP = "cifar10"
SGD = "s_fc_sgd"
NAMES = {
    f"{network}_{optimizer}": f"{title}, {words}"
    for network, title in (("s_conv", "S-CONV"), ("s_local", "S-LOCAL"), ("s_fc", "S-FC"))
    for optimizer, words in (
        ("sgd", "SGD"),
        ("momentum", "SGD with momentum"),
        ("beta_1", "beta 1"),
        ("beta_50", "beta 50"),
    )
}
"""Arm -> network and optimiser in words."""

PAIRS = (
    (SPARSE, SGD),
    (SPARSE, "s_fc_momentum"),
    (SPARSE, "s_fc_beta_1"),
    (SPARSE, "s_local_sgd"),
    (SPARSE, "s_conv_sgd"),
    ("s_fc_beta_1", SGD),
    ("s_local_sgd", SGD),
    ("s_conv_sgd", "s_local_sgd"),
    ("s_local_beta_50", "s_local_sgd"),
    ("s_conv_beta_50", "s_conv_sgd"),
)
"""Arms that are compared, where both have runs."""

EPOCHS = (1, 2, 5, 10, 15, 20)

GOAL_POINTS, GOAL_FACTOR, GOAL_PERCENTILE = 3.0, 10.0, 95.0
"""What is asked for of beta 50 on S-FC beside SGD: points of accuracy, factor of non-zeros, locality."""


def arms_of(ds: xr.Dataset) -> list[str]:
    """Return the arms that have a complete run, in the order of `NAMES`."""
    return [arm for arm in NAMES if labels_of(ds, arm)]


def of_arm(table: pd.DataFrame, arm: str, column: str) -> np.ndarray:
    """Return a column of the rows of an arm, (seeds,)."""
    return table.loc[table["arm"] == arm, column].to_numpy(float)


def fewer(table: pd.DataFrame, arm: str, rival: str = SGD) -> float:
    """Return the median over seeds of the rival's non-zeros over those of an arm; NaN where one was not measured."""
    ours, theirs = (table[table["arm"] == name].set_index("seed")["nonzeros"] for name in (arm, rival))
    return median(theirs / ours) if len(ours) and len(theirs) else np.nan


def all_arms(ds: xr.Dataset, table: pd.DataFrame) -> Iterator[str]:
    """Yield the table of accuracies, non-zeros and costs."""
    yield from (
        "Non-zeros: entries of matrices and kernels that are not exactly 0, median. Fewer: factor to those of S-FC "
        "with SGD. FLOPs are those of dense weights, since zeros can return.",
        "",
        "| network, optimiser | n | last test accuracy, %, mean [95 %] | best, %, median | last training loss, "
        "median | weights | non-zeros | fewer | training GFLOP |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    )
    for arm in arms_of(ds):
        estimate, loss = mean(accuracies(ds, arm)), of_label(ds, arm)["training_loss"]
        last = loss.isel(step=int(np.flatnonzero(loss.notnull().any("seed"))[-1]))
        flops = median(total(ds, arm, "training_flops"))
        yield (
            f"| {NAMES[arm]} | {estimate.number} | {estimate.words()} | {median(best(ds, arm)):.2f} | "
            f"{median(last):.3f} | {number(median(of_arm(table, arm, 'weights')))} | "
            f"{number(median(of_arm(table, arm, 'nonzeros')))} | {fewer(table, arm):.3g} | {flops / 1e9:,.0f} |"
        )
    yield ""


def number(value: float) -> str:
    """Return a count with thousands apart; '-' for NaN."""
    return f"{value:,.0f}" if np.isfinite(value) else "-"


def all_pairs(ds: xr.Dataset) -> Iterator[str]:
    """Yield the table of differences in accuracy over seeds."""
    yield from (
        f"Differences in the last test accuracy, paired over seeds. A verdict needs {LEAST} seeds.",
        "",
        "| first | second | n | difference, points, mean [95 %] | what it shows |",
        "|---|---|---:|---:|---|",
    )
    for first, second in PAIRS:
        if labels_of(ds, first) and labels_of(ds, second):
            pair = pair_of(ds, first, second)
            yield (
                f"| {NAMES[first]} | {NAMES[second]} | {pair.difference.number} | {pair.difference.words()} | "
                f"{pair.verdict()} |"
            )
    yield ""


def over_epochs(ds: xr.Dataset) -> Iterator[str]:
    """Yield the table of non-zeros over the training."""
    yield from (
        "Non-zeros by epoch, median. SGD sets no weight to 0.",
        "",
        "| network, optimiser | n | " + " | ".join(f"epoch {epoch}" for epoch in EPOCHS) + " |",
        "|---|---:|" + "---:|" * len(EPOCHS),
    )
    for arm in arms_of(ds):
        own = of_label(ds, arm)
        if "num_nonzeros" not in own or not own["num_nonzeros"].notnull().any():
            continue
        epochs = epochs_of(own)
        entries = []
        for epoch in EPOCHS:
            place = np.flatnonzero(np.isclose(epochs, epoch, atol=0.01))
            entries.append(number(median(own["num_nonzeros"].values[:, place[0]])) if len(place) else "-")
        complete = int((own["status"] == "complete").sum())
        yield f"| {NAMES[arm]} | {complete} | {' | '.join(entries)} |"
    yield ""


def epochs_of(own: xr.Dataset) -> np.ndarray:
    """Return the epochs done at every step of a contender, (steps,)."""
    epochs: np.ndarray = own["samples"].values / own["samples"].max().item() * own["epochs"].item()
    return epochs


def localities(table: pd.DataFrame) -> Iterator[str]:
    """Yield the table of locality."""
    yield from (
        "Locality of the first layer's connections, medians over seeds. Index: mean over units of 1 - d / E[d], where "
        "d is the mean distance of a unit's connections from their centroid and E[d] that of random connections; "
        "percentile: among 200 random layers; units above: units beyond the 95th percentile of their own random "
        "connections, 5 % at random. Anywhere: as many random places for each unit. Exchanged: the layer's own pixels "
        "dealt out anew among its units, so that every pixel keeps its number of readers; a unit may then "
        "get a pixel twice, which shifts the index by what the dense layers show.",
        "",
        "| connections of | n | connections | units | index, anywhere | percentile | units above, % | "
        "index, exchanged | percentile | units above, % |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    )
    for arm in table.loc[table["index_anywhere"].notnull(), "arm"].unique():
        entries = []
        for draw in ("anywhere", "exchanged"):
            index, percentile, above = (
                median(of_arm(table, arm, f"{column}_{draw}"))
                for column in ("index", "percentile", "units_above")
            )
            entries += [f"{index:.3f}", f"{percentile:.1f}", f"{100 * above:.1f}"]
        counts = [number(median(of_arm(table, arm, column))) for column in ("connections", "units")]
        yield f"| {words_of(arm)} | {(table['arm'] == arm).sum()} | {' | '.join([*counts, *entries])} |"
    yield ""


def words_of(arm: str) -> str:
    """Return the name of a row in words."""
    if arm.startswith(LARGEST):
        return f"{NAMES[arm.removeprefix(LARGEST)]}: its largest, as many as with beta 50"
    return NAMES.get(arm, f"the {arm}" if arm == WINDOWS else arm)


def sentence(ds: xr.Dataset, table: pd.DataFrame) -> Iterator[str]:
    """Yield what beta 50 does to S-FC beside SGD, whichever way it falls."""
    if not (labels_of(ds, SPARSE) and labels_of(ds, SGD)):
        yield from ("S-FC was not trained with both SGD and beta 50 yet.", "")
        return
    difference = pair_of(ds, SPARSE, SGD).difference
    factor, percentiles = fewer(table, SPARSE), of_arm(table, SPARSE, "percentile_anywhere")
    exchanged = of_arm(table, SPARSE, "percentile_exchanged")
    yield from (
        f"S-FC with beta 50 has a test accuracy of {mean(accuracies(ds, SPARSE)).words()} %, and "
        f"{mean(accuracies(ds, SGD)).words()} % with SGD: {difference.words()} points, n = {difference.number} and no "
        f"verdict. Its weights have {factor:.1f} times fewer non-zeros.",
        "",
        *goals(difference, factor, percentiles, exchanged),
        *beside_largest(table),
        "",
    )


def goals(
    difference: Estimate, factor: float, percentiles: np.ndarray, exchanged: np.ndarray
) -> Iterator[str]:
    """Yield one line for each goal, reached or not.

    Args:
        difference: in test accuracy, points.
        factor: by which beta 50 has fewer non-zeros.
        percentiles: of each run's locality among random layers, (seeds,).
        exchanged: the same among layers whose pixels are dealt out anew.
    """
    yield (
        f"- At least {GOAL_POINTS:g} points better than SGD: {reached(difference.value >= GOAL_POINTS)} "
        f"({difference.value:+.2f})."
    )
    yield f"- At least {GOAL_FACTOR:g} times fewer non-zeros: {reached(factor >= GOAL_FACTOR)} ({factor:.1f})."
    if not len(percentiles):
        yield "- Locality: not measured, since the weights were not kept."
        return
    for name, values in (("random masks", percentiles), ("its own pixels dealt out anew", exchanged)):
        number_above = int((values > GOAL_PERCENTILE).sum())
        yield (
            f"- More local than {GOAL_PERCENTILE:g} % of {name}: {reached(number_above == len(values))} "
            f"({number_above} of {len(values)} runs)."
        )


def beside_largest(table: pd.DataFrame) -> Iterator[str]:
    """Yield whether beta 50 is more local than as many of the largest weights of dense runs of the same seeds."""
    indices = table.set_index(["arm", "seed"])["index_anywhere"]
    for arm in dict.fromkeys(table["arm"]):
        if arm.startswith(LARGEST):
            sparse, dense = indices[SPARSE], indices[arm]
            pairs = pd.concat([sparse, dense], axis=1, join="inner").to_numpy()
            number_above = int((pairs[:, 0] > pairs[:, 1]).sum())
            yield (
                f"- More local than as many of the largest weights of {NAMES[arm.removeprefix(LARGEST)]}: "
                f"{reached(number_above == len(pairs))} ({number_above} of {len(pairs)} runs; median index "
                f"{median(pairs[:, 0]):.3f} against {median(pairs[:, 1]):.3f})."
            )


def reached(is_reached: bool) -> str:
    """Return the words for a goal."""
    return "reached" if is_reached else "not reached"


def draw(path: Path, ds: xr.Dataset) -> None:
    """Draw median test accuracy and median non-zeros over epochs."""
    colours = {"sgd": "#000000", "momentum": "#767676", "beta_1": "#0072b2", "beta_50": "#d55e00"}
    styles = {"s_conv": ":", "s_local": "--", "s_fc": "-"}
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.2), layout="constrained")
    lines = {}
    for arm in arms_of(ds):
        own = of_label(ds, arm)
        network = next(name for name in styles if arm.startswith(name))
        style = {"ls": styles[network], "color": colours[arm.removeprefix(f"{network}_")], "lw": 1.4}
        evaluated = np.flatnonzero(own["samples"].notnull())
        epochs = epochs_of(own)[evaluated]
        accuracy = 100 * np.nanmedian(own["test_metric"].values[:, evaluated], 0)
        (lines[NAMES[arm]],) = left.plot(epochs, accuracy, **style)
        if "num_nonzeros" in own and own["num_nonzeros"].notnull().any():
            right.plot(epochs, np.nanmedian(own["num_nonzeros"].values[:, evaluated], 0), **style)
    left.set(xlabel="epochs", ylabel="test accuracy, %, median", xscale="log")
    right.set(xlabel="epochs", ylabel="weights that are not 0, median", xscale="log", yscale="log")
    figure.legend(
        lines.values(), lines.keys(), fontsize=8, frameon=False, loc="outside lower center", ncols=4
    )
    plt.rcParams["svg.hashsalt"] = "hornlib"
    figure.savefig(path, metadata={"Date": None})


def measured(results: Path, ds: xr.Dataset, stored: Path) -> pd.DataFrame:
    """Return the table of weights: measured where weights stand beside the results, else as it was stored.

    Args:
        results: results.nc; the weights are in the folder beside it.
        ds: contenders.
        stored: the file of the table.
    """
    folder = results.parent / "weights"
    if folder.is_dir():
        cells = zip(ds["cell_name"].values.astype(str), ds["arm"].values.astype(str), strict=True)
        table = weights_table(folder, dict(cells))
        if len(table):
            stored.parent.mkdir(parents=True, exist_ok=True)
            table.to_csv(stored, index=False, float_format="%.9g")
            return table
    if stored.exists():
        return pd.read_csv(stored)
    print(f"neither {folder} nor {stored} has weights; non-zeros and locality are left out")
    columns = ("arm", "seed", "weights", "nonzeros", "connections", "units")
    measures = (
        f"{measure}_{draw}"
        for measure in ("index", "percentile", "units_above")
        for draw in ("anywhere", "exchanged")
    )
    return pd.DataFrame(columns=[*columns, *measures])


def main() -> None:
    """Read the results and write tables and figure; what stands above the mark in the page is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    sweeps = dict(known_sweeps([arguments.results], [SWEEP]))
    if SWEEP not in sweeps:
        raise SystemExit(
            f"{arguments.results}: there is no sweep {SWEEP}; give results of config/beta_lasso.yaml"
        )
    ds = contenders(sweeps[SWEEP])
    table = measured(arguments.results, ds, arguments.out.with_suffix("") / "weights.csv")
    lines = [
        *("## In one sentence", "", *sentence(ds, table)),
        *("## Accuracy and non-zeros", "", *all_arms(ds, table), *all_pairs(ds), *over_epochs(ds)),
        *("## Locality", "", *localities(table)),
    ]
    write_below_mark(arguments.out, "beta-LASSO", "docs/findings/beta_lasso.py", lines)
    draw(arguments.out.with_suffix(".svg"), ds)


if __name__ == "__main__":
    main()
