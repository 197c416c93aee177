"""What an architecture costs: training FLOPs, search included, of every way to a network of the same accuracy.

python docs/findings/architecture_cost.py results/architecture_cost/results.nc --out docs/findings/architecture_cost.md
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import xarray as xr
from architecture_cost_figure import draw
from architecture_cost_ways import (
    BASELINE,
    SEARCHES,
    TRAINED,
    Costs,
    Ratio,
    Way,
    can_be_searched,
    candidates_of,
    common_level,
    halved,
    known_ways,
    ratio_of,
    ways_of,
)
from growth_sweeps import gain_level, rounded, sweeps_of, verdict_of
from sparse_pairs import Estimate, mean, median, paired_ratio
from tables import write_below_mark

TITLES = {"digits": "Digits", "fashion_mnist": "Fashion-MNIST"}
"""Sweep -> its heading."""

SWEEPS = (*TITLES, "digits_neat")
"""Sweeps of config/architecture_cost.yaml. That of NEAT belongs to the page's part on digits."""

GAINS = (0.9, 0.98)
"""Shares of the large network's gain over chance to which costs are compared; the sentence is about the last one."""

ETAS = (2, 3, 4)
"""Factors of successive halving in the table of rungs."""


def levels_of(ds: xr.Dataset) -> dict[str, float]:
    """Return the words of each level -> validation metric.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
    """
    chance = float(ds["chance_level"].values[0])
    at_90 = gain_level(ds, BASELINE)
    return {f"{100 * share:g} %": chance + share / 0.9 * (at_90 - chance) for share in GAINS}


def whole_ways(ways: Mapping[str, Way]) -> Iterator[str]:
    """Yield the table of what every way spends in all, and what it has at its end."""
    yield from (
        "The whole way. FLOPs include the search: all candidates, all individuals of all generations, all looks. "
        "Ratios are paired over seeds, geometric means; brackets: 95 %, each alone. Parameters are trained weights, "
        "biases and those of norms; of beta-LASSO they are the weights that are not exactly 0, without biases and "
        "norms.",
        "",
        "| way | n | parameters at the end, median | last test accuracy, % | less that of the large network, points | "
        "training GFLOP, median | over those of the large network |",
        "|---|---:|---:|---:|---:|---:|---:|",
    )
    large = ways[BASELINE]
    for _, way in known_ways(ways):
        if not way.spent.notnull().any():
            continue
        accuracy = mean(way.accuracy)
        difference = mean(way.accuracy - large.accuracy).words() if way is not large else "-"
        spent, baseline = xr.align(way.spent, large.spent, join="inner")
        ratio = paired_ratio(spent.values, baseline.values).words() if way is not large else "1"
        yield (
            f"| {way.words} | {accuracy.number} | {median(way.parameters):,.0f} | {accuracy.words()} | {difference} | "
            f"{rounded(median(way.spent) / 1e9)} | {ratio} |"
        )
    yield ""


def equal_accuracy(ways: Mapping[str, Way], levels: Mapping[str, float]) -> Iterator[str]:
    """Yield the table of costs to the same accuracy, with the network that the way ends with.

    Args:
        ways: from `ways_of`.
        levels: words -> validation metric.
    """
    words = ", ".join(f"{name} is {100 * level:.2f} %" for name, level in levels.items())
    heads = " | ".join(f"reach {name} | GFLOP to {name}, median | over the large network" for name in levels)
    yield from (
        f"The same accuracy, on the validation part: shares of what the large network gains over chance ({words}), and "
        "the accuracy that every run of a way and of the large network reaches. A way has arrived once its last "
        "network reaches the level: a network that is still to be pruned, grown or evolved does not count. *at least*: "
        "some runs missed the level and count with all that they spent. Seeds whose large network misses a level are "
        "left out of the ratio to that level.",
        "",
        f"| way | {heads} | both reach, % | over the large network |",
        "|---|" + "---:|---:|---:|" * len(levels) + "---:|---:|",
    )
    large = ways[BASELINE]
    for _, way in known_ways(ways):
        cells = [_to_level(way, large, level) for level in levels.values()]
        common = common_level(way, large)
        shared = ratio_of(way.costs_to(common), large.costs_to(common))
        yield f"| {way.words} | {' | '.join(cells)} | {100 * common:.2f} | {_ratio_words(way, large, shared)} |"
    yield ""


def _to_level(way: Way, large: Way, level: float) -> str:
    """Return how many runs reach a level, their median cost, and the ratio to the large network."""
    costs = way.costs_to(level)
    number, reached = int(costs.flops.notnull().sum()), int((costs.reached & costs.flops.notnull()).sum())
    usual = rounded(float(np.nanmedian(costs.flops.where(costs.reached, np.inf))) / 1e9) if number else "-"
    ratio = ratio_of(costs, large.costs_to(level))
    return f"{reached} of {number} | {usual} | {_ratio_words(way, large, ratio)}"


def _ratio_words(way: Way, large: Way, ratio: Ratio) -> str:
    return "1" if way is large else ratio.words()


def before_the_last_network(ways: Mapping[str, Way], levels: Mapping[str, float]) -> Iterator[str]:
    """Yield the table of ways whose network changes: the cost to a level whatever the network is by then.

    Args:
        ways: from `ways_of`.
        levels: words -> validation metric.
    """
    large = ways[BASELINE]
    changing = [way for _, way in known_ways(ways) if way.early_costs_to is not None]
    if not changing:
        return
    heads = " | ".join(f"reach {name} | over the large network" for name in levels)
    yield from (
        "The same, whatever the network is by then: a network may reach the level before it is pruned, or before it "
        "has grown. Such a cost says nothing of the last network.",
        "",
        f"| way | {heads} |",
        "|---|" + "---:|---:|" * len(levels),
    )
    for way in changing:
        cells = []
        for level in levels.values():
            costs = way.early_costs_to(level)
            number, reached = (
                int(costs.flops.notnull().sum()),
                int((costs.reached & costs.flops.notnull()).sum()),
            )
            cells.append(f"{reached} of {number} | {ratio_of(costs, large.costs_to(level)).words()}")
        yield f"| {way.words} | {' | '.join(cells)} |"
    yield ""


def rungs(ds: xr.Dataset) -> Iterator[str]:
    """Yield the table of successive halving: what it stops, whom it chooses, and what that costs beside random search.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
    """
    candidates = candidates_of(ds)
    if not can_be_searched(candidates):
        return
    everything = halved(candidates, 1)
    final = candidates["final_validation_metric"].reset_coords(drop=True).fillna(-np.inf)
    rank = 1 + (final.rename(candidate="other") > final).sum("other")
    yield from (
        "Successive halving, read off the runs of the profiles: it would have stopped them at these training steps. "
        "The rank is that of the chosen profile among all of them, by its last validation accuracy; the best has 1.",
        "",
        "| eta | steps: profiles that are trained until then | n | chooses as random search does | rank, median (worst)"
        " | FLOPs over those of random search |",
        "|---:|---|---:|---:|---:|---:|",
    )
    for eta in ETAS:
        halving = halved(candidates, eta)
        trained = ", ".join(
            f"{step}: {size}"
            for step, size in zip(halving["rung"].values, halving["num_candidates"].values, strict=True)
        )
        same = int((halving["chosen"] == everything["chosen"]).sum())
        ranks = rank.isel(candidate=halving["chosen"].clip(min=0)).where(halving["chosen"] >= 0).values
        ranks = ranks[np.isfinite(ranks)]
        worst = f"{np.median(ranks):g} ({ranks.max():g})" if len(ranks) else "-"
        ratio = paired_ratio(halving["cost"].values, everything["cost"].values)
        yield f"| {eta} | {trained} | {ratio.number} | {same} | {worst} | {ratio.words()} |"
    yield ""


def chosen_profiles(ds: xr.Dataset) -> Iterator[str]:
    """Yield the sentence on which profiles random search chose.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
    """
    candidates = candidates_of(ds)
    if not can_be_searched(candidates):
        return
    profiles = candidates["hidden_nodes"].values.astype(str)
    chosen = [profiles[place] for place in halved(candidates, 1)["chosen"].values if place >= 0]
    names = sorted(set(chosen), key=lambda name: (-chosen.count(name), name))
    counts = ", ".join(f"{name} ({chosen.count(name)})" for name in names)
    yield from (f"Random search chose, with the number of seeds: {counts}.", "")


def distance_of_neat(ds: xr.Dataset) -> Iterator[str]:
    """Yield the sentence on the distance within which NEAT's runs joined networks into species.

    Args:
        ds: contenders of NEAT; nothing is said where they do not have it.
    """
    if "species_distance" in ds:
        distances = ", ".join(f"{distance:g}" for distance in np.unique(ds["species_distance"]))
        yield from (f"The runs of NEAT in these tables have a species_distance of {distances}.", "")


def sentence(parts: Mapping[str, tuple[Mapping[str, Way], Mapping[str, float]]]) -> Iterator[str]:
    """Yield the sentence that the numbers give, whichever way they fall.

    Args:
        parts: heading -> ways and levels of a dataset.
    """
    for title, (ways, levels) in parts.items():
        name, level = list(levels.items())[-1]
        large = ways[BASELINE]
        answers = []
        for _, way in known_ways(ways):
            if way is not large:
                ratio = ratio_of(way.costs_to(level), large.costs_to(level))
                answers.append(f"{way.words} {_cost_words(ratio, way.costs_to(level))}")
        yield (
            f"*{title}: to arrive at a network with {name} of the large network's gain costs, in multiples of the "
            f"training FLOPs of the large one as it is, search included: {'; '.join(answers) or '..'}.*"
        )
        yield ""


def _cost_words(ratio: Ratio, costs: Costs) -> str:
    """Return the ratio of a sentence, with its interval."""
    number = int(costs.flops.notnull().sum())
    if ratio.is_bound:
        reached = int((costs.reached & costs.flops.notnull()).sum())
        return f"{ratio.words()} ({reached} of {number} reach it)"
    estimate: Estimate = ratio.estimate
    return f"{estimate.value:.2f} ({verdict_of(estimate)})" if np.isfinite(estimate.value) else "not measured"


def lines(sweeps: Mapping[str, xr.Dataset]) -> Iterator[str]:
    """Yield the lines of the page.

    Args:
        sweeps: name -> contenders.
    """
    parts = {
        title: (ways_of_part(sweeps, name), levels_of(sweeps[name]))
        for name, title in TITLES.items()
        if name in sweeps and BASELINE in ways_of(sweeps[name])
    }
    yield from ("## In one sentence", "")
    if not parts:
        yield from ("There are no results yet.", "")
        return
    yield from sentence(parts)
    yield from (
        "![Test error over training FLOPs, search included](architecture_cost.svg)",
        "",
        "*Last test error over training FLOPs, search included: medians and quartiles over seeds. Grey: random "
        "search over 1, 2, .. of the profiles, expected over their draws, median over seeds.*",
        "",
    )
    for name, title in TITLES.items():
        yield from (f"## {title}", "")
        if title not in parts:
            yield from ("This sweep has no results yet.", "")
            continue
        ways, levels = parts[title]
        missing = [words for arm, words in (TRAINED | SEARCHES).items() if arm not in ways]
        yield from whole_ways(ways)
        yield from equal_accuracy(ways, levels)
        yield from before_the_last_network(ways, levels)
        yield from (*rungs(sweeps[name]), *chosen_profiles(sweeps[name]))
        yield from distance_of_neat(sweeps.get(f"{name}_neat", xr.Dataset()))
        if missing:
            yield from (f"Not in this part: {', '.join(missing)}.", "")


def ways_of_part(sweeps: Mapping[str, xr.Dataset], name: str) -> dict[str, Way]:
    """Return the ways of a dataset; those of digits have NEAT, which is a sweep of its own.

    Args:
        sweeps: name -> contenders.
        name: of the sweep that has the large network.
    """
    further = sweeps.get(f"{name}_neat")
    return ways_of(sweeps[name]) | (ways_of(further) if further is not None else {})


def main() -> None:
    """Read the results and write tables and figure; what stands above the mark in the page is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    sweeps = sweeps_of(arguments.results, dict.fromkeys(SWEEPS, ""))
    write_below_mark(
        arguments.out, "What an architecture costs", "docs/findings/architecture_cost.py", lines(sweeps)
    )
    ways = {title: ways_of_part(sweeps, name) for name, title in TITLES.items() if name in sweeps}
    candidates = {title: candidates_of(sweeps[name]) for name, title in TITLES.items() if name in sweeps}
    draw(arguments.out.with_suffix(".svg"), ways, candidates)


if __name__ == "__main__":
    main()
