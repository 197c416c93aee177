"""Networks that grow beside small and large ones: accuracies, costs, the factorial, and what became of new units.

hornlib statistics --configfile config/growth.yaml --results docs/findings/growth/results.nc --output statistics.nc
python docs/findings/growth.py docs/findings/growth/*.nc --statistics statistics.nc --out docs/findings/growth.md
"""

import argparse
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import xarray as xr
from grow_and_prune import TITLES as PRUNING_TITLES
from growth_factorial import factorial_lines
from growth_published import GRADMAX, SOURCE
from growth_sentence import sentence
from growth_sweeps import all_arms, all_pairs, gain_level, restricted_costs, rounded, sweeps_of
from sparse_pairs import Estimate, labels_of, mean, median, of_label, paired_ratio
from tables import write_below_mark

from hornlib.statistics.write import open_statistics, statistics_sweeps

TITLES = {
    "teacher_student": "Teacher and student",
    "digits_factorial": "When x where x how, 8-8 to 32-32 nodes on digits",
    "mnist": "MNIST, 784-16-16 to 64-64",
    "fashion_mnist": "Fashion-MNIST, 784-16-16 to 64-64",
    "vgg11_reduced": "VGG11 at a quarter of its widths on CIFAR-10, 10 epochs",
    "vgg11": "VGG11 on CIFAR-10",
    "wrn_28_1": "WRN-28-1 on CIFAR-10",
    "wrn_28_1_cifar100": "WRN-28-1 on CIFAR-100",
}
"""Sweep -> its heading."""

RIVALS = (
    *("large", "large_stopped", "small", "gaussian", "uniform", "firefly", "net2net", "tiny"),
    *(
        "round_robin",
        "largest_singular_value",
        "random_place",
        "plateau",
        "activation_rank",
        "singular_value",
    ),
)
"""Arms that are compared with gradmax, where a sweep has them."""

RULES = ("gradmax", "gaussian", "uniform")

STUDENT_EVENTS = 5
"""Units that the student grows, one at a time, as published."""


def teacher(ds: xr.Dataset) -> Iterator[str]:
    """Yield the tables of the teacher and its student, whose metric is an error."""
    yield from (
        "| arm | parameters | n | last training loss, median | last relative L2 error on the test part, median | "
        "gradient ratio of new units at once, median | after 100 steps |",
        "|---|---:|---:|---:|---:|---:|---:|",
    )
    for arm in dict.fromkeys(ds["arm"].values.astype(str)):
        for label in labels_of(ds, arm):
            contender = of_label(ds, label)
            ratios = [rounded(median(gradient_ratio(contender, delay))) for delay in (0, 100)]
            number = int((contender["status"] == "complete").sum())
            yield (
                f"| {label} | {float(contender['num_parameters']):g} | {number} | "
                f"{rounded(median(last(contender, 'training_loss')))} | "
                f"{rounded(median(last(contender, 'test_metric')))} | "
                f"{' | '.join(ratios)} |"
            )
    yield from (
        "",
        "Paired ratios over seeds, geometric means with 95 % intervals. At the first event all rules see the same "
        "network, so that their gradients differ by the new units alone; later each rule has trained its own.",
        "",
        "| first | second | n | last training loss | gradient of new units at event "
        f"{' | '.join(str(event + 1) for event in range(STUDENT_EVENTS))} |",
        "|---|---|---:|---:|" + STUDENT_EVENTS * "---:|",
    )
    for rival in RULES[1:]:
        if labels_of(ds, "gradmax") and labels_of(ds, rival):
            one, other = (of_label(ds, labels_of(ds, arm)[0]) for arm in ("gradmax", rival))
            loss = paired_ratio(last(one, "training_loss"), last(other, "training_loss"))
            ratios_of_events = zip(gradient_ratio(one, 0).T, gradient_ratio(other, 0).T, strict=True)
            gradients = [paired_ratio(*ratios).words() for ratios in islice(ratios_of_events, STUDENT_EVENTS)]
            yield f"| gradmax | {rival} | {loss.number} | {loss.words()} | {' | '.join(gradients)} |"
    yield ""


def last(contender: xr.Dataset, variable: str) -> np.ndarray:
    """Return a variable at the last evaluation of each run, (seeds,).

    Args:
        contender: one arm.
        variable: over (seed, step).
    """
    values = contender[variable].transpose("seed", "step").values
    evaluated = np.flatnonzero(np.isfinite(values).any(0))
    return values[:, evaluated[-1]] if len(evaluated) else np.full(len(values), np.nan)


def gradient_ratio(contender: xr.Dataset, delay: int) -> np.ndarray:
    """Return the gradient norm of new units over that of the others, (seeds, events); NaN where none is recorded.

    Args:
        contender: one arm.
        delay: training steps since the event.
    """
    if "event_gradient_ratio" not in contender:
        return np.full((contender.sizes["seed"], 1), np.nan)
    ratios = contender["event_gradient_ratio"].sel(delay=delay).transpose("seed", "event").values
    return np.asarray(ratios, float)


def _percentage(shares: xr.DataArray) -> Estimate:
    """Return the mean of shares over seeds in percent, with its interval cut at 0 and 100.

    Args:
        shares: (seed,), from 0 to 1; NaN where a run has none.
    """
    if not shares.notnull().any():
        return Estimate(np.nan, np.nan, np.nan, 0)
    estimate = mean(100 * shares)
    return estimate._replace(
        low=float(np.maximum(estimate.low, 0)), high=float(np.minimum(estimate.high, 100))
    )


def new_units(ds: xr.Dataset) -> Iterator[str]:
    """Yield the table of what became of new units: do they starve?"""
    if "event_gradient_ratio" not in ds:
        return
    delays = [int(delay) for delay in ds["delay"].values]
    rows = []
    for label in ds["contender"].values.astype(str):
        contender = of_label(ds, label)
        ratios = [median(gradient_ratio(contender, delay)) for delay in delays]
        if np.isfinite(ratios).any():
            active = contender["event_active_share"].mean("event")
            events = contender["event_step"].notnull().sum("event")
            estimate = _percentage(active)
            drawn = (
                float(contender["event_drawn"].sum("event").median())
                if "event_drawn" in contender
                else np.nan
            )
            shown = " | ".join(f"{ratio:.2f}" for ratio in ratios)
            rows.append(
                f"| {label} | {median(events):g} | {shown} | {estimate.words(1)} | {drawn:g} | {estimate.number} |"
            )
    if rows:
        yield from (
            "What became of new units: gradient norm over that of the others of their layer, median over events and "
            "seeds, by training steps since the event; share that is active at the end, %; units of a run whose "
            "direction was drawn, because G has no further one.",
            "",
            "| arm | events | "
            + " | ".join(f"after {delay}" for delay in delays)
            + " | active, mean [95 %] | drawn | n |",
            "|---|---:|" + "---:|" * len(delays) + "---:|---:|---:|",
            *rows,
            "",
        )


def before_growth(ds: xr.Dataset, arm: str = "gradmax") -> Iterator[str]:
    """Yield a sentence where an arm reaches the target before it grows, so that costs to it say nothing of growth.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
        arm: of one cell that grows.
    """
    for label in labels_of(ds, arm) if "event_step" in ds else []:
        contender = of_label(ds, label)
        times, reached = restricted_costs(ds, label, gain_level(ds), "samples")
        first = float(contender["event_step"].min()) * float(contender["batch_size"])
        if reached.any() and np.nanmedian(times[reached]) < first:
            early = rounded(float(np.nanmedian(times[reached])))
            yield from (
                f"{label} reaches 90 % of the gain of large after {early} examples, before its first unit is added "
                f"after {rounded(first)}. Costs to that level therefore compare networks of the first width; those to "
                "the level that all runs of a pair reach compare growth.",
                "",
            )


def lines(
    sweeps: Mapping[str, xr.Dataset], pruning: Mapping[str, xr.Dataset], answers: Mapping[str, list[str]]
) -> Iterator[str]:
    """Yield the lines of the page.

    Args:
        sweeps: of this page, name -> contenders.
        pruning: of the page on growth with pruning.
        answers: sweep -> sentences of its statistics.
    """
    yield from ("## In one sentence", "", *sentence(sweeps, pruning))
    for name, title in TITLES.items():
        yield from (f"## {title}", "")
        if name not in sweeps:
            yield from ("This sweep has no results yet.", "")
            continue
        ds = sweeps[name]
        if name == "teacher_student":
            yield from teacher(ds)
        elif name == "digits_factorial":
            ungrown = ds.isel(contender=np.flatnonzero(ds["structure"].values != "growth"))
            yield from (*factorial_lines(ds), *all_arms(ungrown, {}))
        else:
            yield from all_arms(ds, GRADMAX.get(name, {}))
            if name in SOURCE:
                yield from (f"Published: {SOURCE[name]}", "")
            yield from before_growth(ds)
            yield from (*all_pairs(ds, [("gradmax", rival) for rival in RIVALS]), *new_units(ds))
        if name in answers:
            yield from ("Verdicts of the sweep:", "", *(f"> {line}\n>" for line in answers[name]), "")


def main() -> None:
    """Read the results and write the tables; what stands above the mark in the page is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--statistics", type=Path, help="of config/growth.yaml, for the verdicts")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    pruning = [path for path in arguments.results if "grow_and_prune" in str(path)]
    growth = [path for path in arguments.results if path not in pruning]
    sweeps = sweeps_of(growth, TITLES)
    answers = {
        name: open_statistics(arguments.statistics, name).attrs["answer"].splitlines()
        for name in (statistics_sweeps(arguments.statistics) if arguments.statistics else ())
        if name in sweeps and name != "digits_factorial"  # which makes no claim
    }
    page = lines(sweeps, sweeps_of(pruning, PRUNING_TITLES), answers)
    write_below_mark(arguments.out, "Growth", "docs/findings/growth.py", page)


if __name__ == "__main__":
    main()
