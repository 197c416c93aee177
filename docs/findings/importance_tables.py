"""Tables of the findings on importance: the gate, proxies, factors, distribution, removal, what rules drop."""

from collections.abc import Iterator, Mapping

import numpy as np
import xarray as xr
from importance_pairs import log_ratio, of_rule, over_runs
from sparse_pairs import Estimate

from hornlib.statistics.influence import Influence, influence, leading_parameter

__all__ = [
    "TITLES",
    "as_ratio",
    "distribution",
    "drops",
    "factor_lines",
    "gate",
    "layers",
    "leading",
    "proxies",
    "removal",
    "topology",
]

TITLES = {
    "exploration": "MLP, 9 activations x 3 norms x 2 scalings x 2 densities",
    "scaling": "MLP, 4 scalings x 2 norms",
    "topology": "MLP, 3 topologies x 3 densities",
    "cnn": "CNN",
    "lstm": "LSTM by rows",
    "confirmation": "MLP on Fashion-MNIST, fresh seeds",
}
"""Sweep -> what it has; all but the last are on digits."""

AXES = ("activation", "normalisation", "input_scaling", "density")
"""Factors of the sweep exploration."""

ALPHA = 0.05
"""Level of the test of any difference between cells."""

PASSED = 0.9
"""Least rank correlation of the second order with exact changes."""

TRAINED_BY = {
    "static": "a fixed mask",
    "set": "SET",
    "set_stopped": "SET, no updates after three quarters",
    "rigl": "RigL",
}
"""Rule, from `importance_pairs.of_rule` -> its words."""

DROPPED_BY = {"set": "SET", "rigl": "RigL"}

Sweeps = Mapping[str, xr.Dataset]


def mean_over_cells(values: xr.DataArray) -> Estimate:
    """Return the mean over cells of each seed, then over seeds with its interval; a seed that a cell lacks has none.

    Args:
        values: (cell, seed).
    """
    return over_runs(values.mean("cell", skipna=False).values)


def gate(sweeps: Sweeps) -> Iterator[str]:
    """Yield the table of second-order Taylor against exact changes."""
    yield from (
        "The second order, -g w + h w^2 / 2, against the exact change of the loss. A rank correlation of at least "
        f"{PASSED} is asked of every sweep; below it, the measurement would be in doubt.",
        "",
        "| sweep | cells | n | training examples [95 %] | held-out examples [95 %] | lowest cell | cells at least .9 |",
        "|---|---:|---:|---:|---:|---:|---:|",
    )
    for name, ds in sweeps.items():
        rho = ds["pooled_spearman"].sel(proxy="second_order")
        estimates = [mean_over_cells(rho.sel(split=split)) for split in ("training", "held_out")]
        by_cell = rho.sel(split="held_out").mean("seed").values
        yield (
            f"| {TITLES[name]} | {len(by_cell)} | {estimates[0].number} | {estimates[0].words(3)} | "
            f"{estimates[1].words(3)} | {np.nanmin(by_cell):.3f} | {(by_cell >= PASSED).sum()} |"
        )
    yield ""


def proxies(sweeps: Sweeps, split: str = "held_out") -> Iterator[str]:
    """Yield the table of all proxies over sweeps."""
    yield from (
        "Rank correlation of every proxy with importance over all layers together, mean over cells and seeds [95 %]. "
        "Proxies that predict the change itself are compared with the change, the others with its absolute value. "
        f"Proxies and importance are of {split.replace('_', '-')} examples.",
        "",
        "| proxy | " + " | ".join(TITLES[name] for name in sweeps) + " |",
        "|---|" + "---:|" * len(sweeps),
    )
    names = next(iter(sweeps.values()))["proxy"].values.astype(str)
    for proxy in names:
        rows = [
            mean_over_cells(ds["pooled_spearman"].sel(proxy=proxy, split=split)).words()
            for ds in sweeps.values()
        ]
        yield f"| {proxy.replace('_', ' ')} | {' | '.join(rows)} |"
    yield ""


def layers(ds: xr.Dataset) -> Iterator[str]:
    """Yield the table of correlations within layers, and of their parts within and between layers."""
    yield from (
        "Within layers: means over cells and seeds [95 %] on held-out examples. The pooled correlation is the sum of a "
        "part from within layers and a part from the layers' means.",
        "",
        "| proxy | layer | Spearman | Kendall | top tenths, Jaccard |",
        "|---|---:|---:|---:|---:|",
    )
    held_out = ds.sel(split="held_out")
    for proxy in ("magnitude", "effective_magnitude", "wanda", "first_order", "second_order"):
        own = held_out.sel(proxy=proxy)
        for layer in own["layer"].values:
            rows = [
                mean_over_cells(own[name].sel(layer=layer)).words()
                for name in ("spearman", "kendall", "top_overlap")
            ]
            yield f"| {proxy.replace('_', ' ')} | {layer} | {' | '.join(rows)} |"
        parts = [
            mean_over_cells(own[name]).words()
            for name in ("pooled_spearman", "within_spearman", "between_spearman")
        ]
        kendall, overlap = (
            mean_over_cells(own[f"pooled_{name}"]).words() for name in ("kendall", "top_overlap")
        )
        yield (
            f"| {proxy.replace('_', ' ')} | all: {parts[0]} = {parts[1]} within + {parts[2]} between | - | {kendall} | "
            f"{overlap} |"
        )
    yield ""


def factorial(ds: xr.Dataset, proxy: str = "magnitude") -> xr.DataArray:
    """Return a proxy's held-out correlation over the factors of exploration, (*AXES, seed)."""
    values = ds["pooled_spearman"].sel(proxy=proxy, split="held_out", drop=True)
    frame = xr.Dataset({"rho": values})[["rho"]].reset_coords(drop=True)
    frame = frame.assign_coords({axis: ("cell", ds[axis].values) for axis in AXES})
    grid = frame.set_index(cell=list(AXES)).unstack("cell")["rho"]
    return grid.transpose(*AXES, "seed")


def leading(ds: xr.Dataset) -> tuple[str, Influence]:
    """Return the factor that changes rho(|w|) most, "" if none can be named, and all effects."""
    result = influence(factorial(ds), seed=0)
    return leading_parameter(result.shares, result.p_difference, ALPHA), result


def factor_lines(ds: xr.Dataset) -> Iterator[str]:
    """Yield what activation, norm, scaling and density do to rho(|w|): shares of variance and main effects."""
    name, result = leading(ds)
    if "total" not in result.shares:
        yield from (f"No factorial: {'; '.join(result.left_out)}.", "")
        return
    shown = (
        f"{name.replace('_', ' ')} changes rho(|w|) most" if name else "no factor is shown to change it most"
    )
    yield from (
        f"What changes rho(|w|): full factorial of {result.num_points} cells, n = {result.num_seeds} seeds. Shares are "
        "of the variance between cells once the seeds' noise is subtracted; main effects are differences from the mean "
        "of all cells [95 %, one at a time, studentised bootstrap over seeds]. By the rule of the library's "
        f"statistics, {shown}.",
        "",
        "| factor | share alone | share with interactions [middle 95 % of the draws] | main effects on rho |",
        "|---|---:|---:|---|",
    )
    for axis in AXES:
        if axis not in result.shares["axis_name"].values:
            continue
        alone, total = (
            100 * float(result.shares[key].sel(axis_name=axis)) for key in ("first_order", "total")
        )
        low, high = 100 * result.shares["total_bound"].sel(axis_name=axis).values
        effect = result.effects[(axis,)]
        levels = "; ".join(
            f"{level} {float(value):+.3f} [{ends[0]:+.3f}, {ends[1]:+.3f}]"
            for level, value, ends in zip(
                effect[axis].values,
                effect["estimate"].values,
                effect["interval"].transpose(axis, "bound").values,
                strict=True,
            )
        )
        yield f"| {axis.replace('_', ' ')} | {alone:.0f} % | {total:.0f} % [{low:.0f}, {high:.0f}] | {levels} |"
    yield from (*result.left_out, "")


def distribution(sweeps: Sweeps) -> Iterator[str]:
    """Yield the table of signs, concentration and layers of importance, on training and on held-out examples."""
    yield from (
        "How importance is distributed: mean over cells and seeds [95 %], all layers together. Harmful: without the "
        "connection the loss is lower. Idle: it is exactly the same. Between layers: share of the variance of ranks.",
        "",
        "| sweep | examples | mean \\|dL\\|, nats | Gini | harmful | idle | between layers |",
        "|---|---|---:|---:|---:|---:|---:|",
    )
    for name, ds in sweeps.items():
        for split in ("training", "held_out"):
            own = ds.sel(split=split)
            importance = mean_over_cells(own["pooled_mean_importance"])
            rows = [
                mean_over_cells(own[key]).words()
                for key in ("pooled_gini", "pooled_harmful_share", "pooled_idle_share", "between_layers")
            ]
            shown = f"{importance.value:.2g} [{importance.low:.2g}, {importance.high:.2g}]"
            yield f"| {TITLES[name]} | {split.replace('_', '-')} | {shown} | {' | '.join(rows)} |"
    yield ""


def removal(sweeps: Sweeps) -> Iterator[str]:
    """Yield the table of areas under removal curves."""
    names = next(iter(sweeps.values()))["removal_order"].values.astype(str)
    yield from (
        "Removal of sets: rise of the held-out loss (nats) averaged over removed shares from 0 to .9 of every layer, "
        "mean over cells and seeds [95 %]; below it the mean accuracy, %. exact: smallest single change of the "
        "training loss first; it and the second order are unknown where a sample was judged.",
        "",
        "| sweep | " + " | ".join(order.replace("_", " ") for order in names) + " |",
        "|---|" + "---:|" * len(names),
    )
    for name, ds in sweeps.items():
        own = ds.sel(split="held_out")
        rises = [
            mean_over_cells((own["area_loss"] - own["whole_loss"]).sel(removal_order=order)).words()
            for order in names
        ]
        means = [mean_over_cells(100 * own["area_metric"].sel(removal_order=order)).value for order in names]
        metrics = ["-" if np.isnan(mean) else f"{mean:.1f}" for mean in means]
        yield f"| {TITLES[name]} | {' | '.join(rises)} |"
        whole = mean_over_cells(100 * own["whole_metric"]).value
        yield f"| accuracy (whole network {whole:.1f}) | {' | '.join(metrics)} |"
    yield ""


def topology(ds: xr.Dataset) -> Iterator[str]:
    """Yield the table of topologies and densities."""
    yield from (
        "Topology and density on digits, n = 5 seeds, held-out examples, mean [95 %].",
        "",
        "| topology | density | accuracy, % | rho of \\|w\\| | rho of the second order | mean \\|dL\\|, nats | Gini |",
        "|---|---:|---:|---:|---:|---:|---:|",
    )
    own = ds.sel(split="held_out")
    for cell in range(ds.sizes["cell"]):
        run = own.isel(cell=cell)
        rows = [
            over_runs(values.values).words(digits)
            for values, digits in (
                (100 * run["whole_metric"], 1),
                (run["pooled_spearman"].sel(proxy="magnitude"), 2),
                (run["pooled_spearman"].sel(proxy="second_order"), 3),
                (run["pooled_mean_importance"], 5),
                (run["pooled_gini"], 2),
            )
        ]
        yield f"| {run['arm'].item()} | {run['density'].item():g} | {' | '.join(rows)} |"
    yield ""


def drops(sweeps: Sweeps) -> Iterator[str]:
    """Yield the table of what SET and RigL would drop of trained networks, beside random choices."""
    yield from (
        "What a rule would drop, 30 % of the connections of every layer, on held-out examples, mean over cells and "
        "seeds [95 %]. Ratio: mean |dL| of the dropped over that of a random choice. Rank: of |dL| in its layer, as a "
        "share; a random choice has .50. Better: share of random sets whose removal costs less.",
        "",
        "| sweep | networks trained by | would drop | cells | n | ratio of mean \\|dL\\| | rank | rise of the loss "
        "without the set | without a random set | better random sets, % |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|",
    )
    for title, ds in sweeps.items():
        for trained, words in TRAINED_BY.items():
            networks = of_rule(ds.sel(split="held_out"), trained)
            for rule in networks["drop_rule"].values.astype(str) if networks.sizes["cell"] else ():
                own = networks.sel(drop_rule=rule)
                ratio = mean_over_cells(log_ratio(own))
                rows = [mean_over_cells(own[name]) for name in ("dropped_set_change", "random_set_change")]
                better = 100 * mean_over_cells(own["better_random_share"]).value
                yield (
                    f"| {TITLES[title]} | {words} | {DROPPED_BY[rule]} | {own.sizes['cell']} | {ratio.number} | "
                    f"{as_ratio(ratio)} | {mean_over_cells(own['dropped_rank']).words()} | {rows[0].words(3)} | "
                    f"{rows[1].words(3)} | {better:.1f} |"
                )
    yield ""


def as_ratio(log: Estimate) -> str:
    """Write the exponential of an estimate with two significant digits, whatever its size."""
    value, low, high = (significant(np.exp(number)) for number in log[:3])
    return value if np.isnan(log.low) else f"{value} [{low}, {high}]"


def significant(number: float) -> str:
    """Write a positive number with two significant digits and without an exponent; "-" without a number."""
    if np.isnan(number):
        return "-"
    rounded = float(f"{number:.1e}")
    return f"{rounded:.{max(0, 1 - int(np.floor(np.log10(rounded))))}f}"
