"""Layer insertion against its rivals: losses at equal epochs and training FLOPs, where, when; as tables and a figure.

python docs/findings/layer_insertion.py results/layer_insertion/results.nc --out docs/findings/layer_insertion.md
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter
from scipy.stats import binomtest, wilcoxon
from tables import final, opened, spread, write_below_mark

from hornlib import open_results
from hornlib.statistics.estimators.holm import holm

SPIRALS = {
    "fnn_5": "FNN [5], full batch",
    "resnet_3_3": "ResNet [3, 3], two weights, tanh",
    "fnn_5_batches": "FNN [5], batches of 45",
    "fnn_4_4": "FNN [4, 4], full batch",
    "resnet_3_3_3": "ResNet [3, 3, 3], learning rate times 0.7 at insertion",
    "fnn_10_10_batches": "FNN [10, 10], batches of 45, learning rate doubled at insertion",
}
WHEN = {
    "when_fnn_5": "FNN [5], learning rate times 0.8 at insertion",
    "when_fnn_10_10": "FNN [10, 10], batches of 45",
}
ARMS = ("inserted", "smallest", "random", "reset", "small", "large", "large_virtual")
WORDS = {
    "inserted": "inserted at the largest score",
    "smallest": "at the smallest",
    "random": "at random",
    "reset": "small, same change of learning rate",
    "small": "small",
    "large": "large from scratch",
    "large_virtual": "large, inserted before the first step",
}
LOSSES = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
"""Marked on the axis."""

RIVALS = ("small", "reset", "large", "large_virtual")


def of_arm(ds: xr.Dataset, arm: str) -> xr.Dataset:
    """Return the one cell of an arm."""
    return ds.isel(cell=int(np.flatnonzero(ds["arm"].values == arm)[0]))


def windows(ds: xr.Dataset, arm: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the FLOPs and the training loss of every seed, (seeds, evaluations).

    A loss is the mean since the evaluation before, and so stands at the middle of what was spent in between.
    """
    own = of_arm(ds, arm)
    own = own.isel(step=np.flatnonzero(own["samples"].notnull()))
    spent = own["training_flops"].values
    before = np.concatenate([np.zeros((len(spent), 1)), spent[:, :-1]], 1)
    return (before + spent) / 2, own["training_loss"].values


def at_equal_flops(ds: xr.Dataset, first: str, second: str) -> list[np.ndarray]:
    """Return both arms' training losses where the cheaper one ends, between evaluations interpolated, (seeds,) each."""
    arms = [windows(ds, arm) for arm in (first, second)]
    budget = np.nanmin([np.nanmax(middle, 1) for middle, _ in arms], 0)
    found = []
    for arm, (middle, loss) in zip((first, second), arms, strict=True):
        values = [np.interp(*own) for own in zip(budget, middle, loss, strict=True)]
        found.append(np.where(of_arm(ds, arm)["status"].values == "diverged", np.inf, values))
    return found


def share(better: np.ndarray, counted: np.ndarray | None = None) -> str:
    """Write a share of seeds, or of those that count, with its exact 95 % interval."""
    better = better if counted is None else better[counted]
    won, number = int(better.sum()), len(better)
    if not number:
        return "-"
    interval = binomtest(won, number).proportion_ci(0.95)
    return f"{won}/{number} = {won / number:.0%} [{interval.low:.0%}, {interval.high:.0%}]"


def paired(first: np.ndarray, second: np.ndarray) -> float:
    """Return the two-sided p-value of Wilcoxon's signed ranks of paired losses; a divergence counts as the largest."""
    largest = np.nanmax(np.where(np.isfinite(np.r_[first, second]), np.r_[first, second], np.nan))
    one, other = (np.where(np.isfinite(part), part, 2 * largest) for part in (first, second))
    return 1.0 if np.array_equal(one, other) else float(wilcoxon(one, other).pvalue)


def after_correction(p_values: Sequence[float], alpha: float = 0.05) -> str:
    """Say which of a page's p-values stay at or below alpha after Holm's correction over all of them."""
    pairs = zip(p_values, holm(np.array(p_values)), strict=True)
    rejected = [p for p, adjusted in pairs if adjusted <= alpha]
    largest = f", which are those up to {max(rejected):.2g}" if rejected else ""
    return (
        f"These tables have {len(p_values)} p-values. After Holm's correction over all of them {len(rejected)} are at "
        f"most {alpha:g}{largest}."
    )


def of_setting(ds: xr.Dataset, name: str, p_values_: list[float]) -> Iterator[str]:
    """Yield the tables of one setting, and append their p-values to `p_values_`."""
    arms = [arm for arm in ARMS if arm in ds["arm"].values]
    losses = {arm: final(of_arm(ds, arm), "training_loss") for arm in arms}
    errors = {arm: 1 - final(of_arm(ds, arm), "test_metric", diverged=0.5) for arm in arms}
    yield from (
        f"### {name}",
        f"n = {ds.sizes['seed']} seeds; seconds are calibrated on {ds.attrs['device']}, of a lone run's steps.",
        "",
        "| arm | final training loss, median [quartiles] | test error, % | diverged | training MFLOP | "
        "seconds of a run alone |",
        "|---|---:|---:|---:|---:|---:|",
    )
    for arm in arms:
        flops, seconds = (np.median(final(of_arm(ds, arm), name)) for name in ("training_flops", "seconds"))
        yield (
            f"| {arm} | {spread(losses[arm])} | {spread(100 * errors[arm], 1)} | {int(np.isinf(losses[arm]).sum())} | "
            f"{flops / 1e6:,.0f} | {seconds:.2f} |"
        )
    yield from (
        "",
        "| inserted against | lower final loss at equal epochs | p | at equal training FLOPs | p | lower test error "
        "| higher |",
        "|---|---:|---:|---:|---:|---:|---:|",
    )
    for rival in (arm for arm in RIVALS if arm in arms):
        ours, theirs = at_equal_flops(ds, "inserted", rival)
        p_values_ += [paired(losses["inserted"], losses[rival]), paired(ours, theirs)]
        lower = share(losses["inserted"] < losses[rival])
        better, worse = (
            (errors[one] < errors[other]).mean() for one, other in (("inserted", rival), (rival, "inserted"))
        )
        equal = f"{p_values_[-2]:.2g} | {share(ours < theirs)} | {p_values_[-1]:.2g}"
        yield f"| {rival} | {lower} | {equal} | {better:.0%} | {worse:.0%} |"
    if "smallest" in arms:
        yield from (
            "",
            "| place | against | lower | same | higher | lower among those that differ | p |",
            "|---|---|---:|---:|---:|---:|---:|",
        )
        for first, second in (("inserted", "smallest"), ("inserted", "random"), ("smallest", "random")):
            words = {"inserted": "largest"}
            one, other = losses[first], losses[second]
            p_values_.append(paired(one, other))
            yield (
                f"| {words.get(first, first)} | {second} | {(one < other).sum()} | {(one == other).sum()} | "
                f"{(one > other).sum()} | {share(one < other, one != other)} | {p_values_[-1]:.2g} |"
            )
    yield ""


def of_moments(ds: xr.Dataset, name: str) -> Iterator[str]:
    """Yield the table of the moments of insertion."""
    yield from (f"### {name}", f"n = {ds.sizes['seed']} seeds.", "")
    yield "| inserted after epoch | final training loss, median [quartiles] | lower than small | lower than large |"
    yield "|---|---:|---:|---:|"
    small, large = (final(of_arm(ds, arm), "training_loss") for arm in ("small", "large"))
    for cell in np.flatnonzero(ds["arm"].values == "inserted"):
        own = final(ds.isel(cell=cell), "training_loss")
        epoch = ds["insert_at"].values[cell]
        yield f"| {epoch} | {spread(own)} | {share(own < small)} | {share(own < large)} |"
    yield from (
        f"| never (small) | {spread(small)} | | |",
        f"| large from scratch | {spread(large)} | | |",
        "",
    )


def draw(path: Path, results: Path, sweeps: Sequence[str]) -> None:
    """Draw the median training loss over training FLOPs, one panel a setting."""
    styles = {
        "inserted": ("#d55e00", "-"),
        "smallest": ("#e69f00", "--"),
        "random": ("#e69f00", ":"),
        "small": ("#0072b2", "-"),
        "large": ("#009e73", "-"),
        "large_virtual": ("#009e73", "--"),
        "reset": ("#0072b2", "--"),
    }
    figure, axes = plt.subplots(2, 3, figsize=(11, 6.8), layout="constrained")
    shown = {}
    for panel, sweep in zip(axes.flat, sweeps, strict=False):
        ds = open_results(results, sweep=sweep).load()
        for arm in (arm for arm in ARMS if arm in ds["arm"].values):
            colour, line = styles[arm]
            flops, loss = (np.nanmedian(part, 0) for part in windows(ds, arm))
            (shown[WORDS[arm]],) = panel.plot(flops / 1e6, loss, color=colour, linestyle=line)
        panel.set_title(SPIRALS[sweep].split(", learning")[0], fontsize=9)
        panel.set(yscale="log", xlabel="training MFLOP", ylabel="training loss")
        panel.yaxis.set_major_locator(FixedLocator(LOSSES))
        panel.yaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    for panel in list(axes.flat)[len(sweeps) :]:
        panel.set_visible(False)
    figure.legend(
        shown.values(), shown.keys(), fontsize=8, frameon=False, loc="outside lower center", ncols=4
    )
    plt.rcParams["svg.hashsalt"] = "hornlib"
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Read the results and write tables and figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    found = open_results(arguments.results)
    there = {str(name).removeprefix("in_") for name in found.coords if str(name).startswith("in_")}
    lines, p_values = ["## Where and whether: the settings on two spirals", ""], []
    for sweep, name in SPIRALS.items():
        if sweep in there:
            lines += of_setting(opened(arguments.results, sweep), name, p_values)
    lines += [after_correction(p_values), "", "## When", "Shares with 95 % intervals, without tests.", ""]
    for sweep, name in WHEN.items():
        if sweep in there:
            lines += of_moments(open_results(arguments.results, sweep=sweep).load(), name)
    write_below_mark(arguments.out, "Layer insertion", "docs/findings/layer_insertion.py", lines)
    draw(arguments.out.with_suffix(".svg"), arguments.results, [sweep for sweep in SPIRALS if sweep in there])


if __name__ == "__main__":
    main()
