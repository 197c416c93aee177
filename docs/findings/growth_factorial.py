"""The factorial of when, where and how: main effects, and shares of variance of every factor and interaction."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np
import xarray as xr
from growth_sweeps import gain_level, restricted_costs
from sparse_pairs import Estimate, accuracies, mean

__all__ = [
    "FACTORS",
    "Leader",
    "Table",
    "complete_triggers",
    "effects",
    "factorial_lines",
    "factorial_table",
    "leading_factor",
    "leading_words",
    "of_triggers",
    "shares",
    "tables_of",
]

FACTORS = ("when", "place", "rule")
"""When, where and how, by the names of their fields."""

SEARCHING = "firefly"
"""The rule of the factorial whose search takes more FLOPs than the training steps."""

MEASURES = {
    "examples": "examples to 90 % of the large network's gain, logarithm",
    "flops": "training FLOPs to it, logarithm",
    "accuracy": "last test accuracy, %",
}


class Table(NamedTuple):
    """One number for each run of a full factorial.

    Attributes:
        levels: factor -> its levels, in the order of the axes of `values`.
        values: (when, place, rule, seed).
    """

    levels: dict[str, list[str]]
    values: np.ndarray


def factorial_table(ds: xr.Dataset, numbers: Mapping[str, np.ndarray]) -> Table | None:
    """Return the runs that grow as a table; seeds that a cell lacks are left out, None without a common seed.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`, with the fields `when`, `place` and `rule`.
        numbers: label -> (seeds,).
    """
    labels = [str(label) for label in ds["contender"].values if str(label) in numbers]
    settings = {
        label: tuple(str(ds[factor].values[place]) for factor in FACTORS)
        for place, label in enumerate(ds["contender"].values.astype(str))
        if label in labels
    }
    levels = {
        factor: list(dict.fromkeys(setting[axis] for setting in settings.values()))
        for axis, factor in enumerate(FACTORS)
    }
    values = np.full((*map(len, levels.values()), ds.sizes["seed"]), np.nan)
    for label, setting in settings.items():
        place = tuple(levels[factor].index(level) for factor, level in zip(FACTORS, setting, strict=True))
        values[place] = numbers[label]
    common = np.isfinite(values).all((0, 1, 2))
    return Table(levels, values[..., common]) if common.any() else None


def shares(table: Table) -> dict[str, float]:
    """Return the share of every factor, interaction and of the seeds in the variance of a balanced table.

    The sums of squares of the means are orthogonal; `residual` is what the seeds add to the largest interaction.

    Args:
        table: without gaps.
    """
    centred = table.values - table.values.mean()
    total, axes = float((centred**2).sum()), range(len(FACTORS))
    parts: dict[frozenset[int], np.ndarray] = {frozenset(): np.zeros(())}
    result = {}
    for size in range(1, len(FACTORS) + 1):
        for members in combinations(axes, size):
            others = tuple(axis for axis in range(centred.ndim) if axis not in members)
            means = centred.mean(others, keepdims=True)
            part = means - sum(parts[key] for key in parts if key < frozenset(members))
            parts[frozenset(members)] = part
            name = " x ".join(FACTORS[axis] for axis in members)
            result[name] = float((np.broadcast_to(part, centred.shape) ** 2).sum()) / total
    seeds = centred.mean((0, 1, 2))
    result["seed"] = float((np.broadcast_to(seeds, centred.shape) ** 2).sum()) / total
    result["residual"] = 1 - sum(result.values())
    return result


def effects(table: Table, factor: str) -> dict[str, Estimate]:
    """Return level -> its mean less the mean of all levels, with its 95 % interval over seeds.

    Args:
        table: without gaps.
        factor: one of `FACTORS`.
    """
    axis = FACTORS.index(factor)
    others = tuple(place for place in range(3) if place != axis)
    by_level = table.values.mean(others)
    differences = by_level - by_level.mean(0)
    return {
        level: mean(xr.DataArray(values, dims="seed"))
        for level, values in zip(table.levels[factor], differences, strict=True)
    }


class Leader(NamedTuple):
    """The factor with the largest share of variance of its own.

    Attributes:
        word: when, where or how; '..' without a table.
        share: of the variance, NaN without a table.
    """

    word: str
    share: float


def leading_factor(table: Table | None) -> Leader:
    """Return which of when, where and how has the largest share of variance of its own.

    Args:
        table: without gaps; None: there is no common seed.
    """
    if table is None:
        return Leader("..", np.nan)
    words = {"when": "when", "place": "where", "rule": "how"}
    share, factor = max((shares(table)[factor], factor) for factor in FACTORS)
    return Leader(words[factor], share)


def leading_words(ds: xr.Dataset) -> str:
    """Return the clause on when, where and how, at equal final parameters, for each of `MEASURES`.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
    """
    equal = of_triggers(ds, complete_triggers(ds))
    tables = tables_of(equal)
    rules = equal["rule"].values.astype(str)
    unsearched = tables_of(equal.isel(contender=np.flatnonzero(rules != SEARCHING)))["flops"]
    leaders = {name: leading_factor(table) for name, table in tables.items()}
    how_alone = 100 * shares(unsearched)["rule"] if unsearched is not None else np.nan
    flops, examples, accuracy = (leaders[name] for name in ("flops", "examples", "accuracy"))
    return (
        f"Of when, where and how, at equal final parameters, {flops.word} explains the largest share of the variance "
        f"of the training FLOPs to the target ({100 * flops.share:.0f} %; without Firefly, whose search costs most, "
        f"how explains {how_alone:.0f} %), {examples.word} that of the examples ({100 * examples.share:.0f} %) and "
        f"{accuracy.word} that of the last accuracy ({100 * accuracy.share:.0f} %)"
    )


def tables_of(ds: xr.Dataset) -> dict[str, Table | None]:
    """Return the table of each of `MEASURES`.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
    """
    grown = [
        str(label)
        for label, structure in zip(ds["contender"].values, ds["structure"].values, strict=True)
        if structure == "growth"
    ]
    level = gain_level(ds)

    def costs(axis: str) -> dict[str, np.ndarray]:
        return {label: np.log(restricted_costs(ds, label, level, axis)[0]) for label in grown}

    return {
        "examples": factorial_table(ds, costs("samples")),
        "flops": factorial_table(ds, costs("training_flops")),
        "accuracy": factorial_table(ds, {label: accuracies(ds, label).values for label in grown}),
    }


def factorial_lines(ds: xr.Dataset) -> Iterator[str]:
    """Yield the tables of shares and of main effects, of all triggers, and of those that reach the full width.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
    """
    yield from _tables(ds)
    complete = complete_triggers(ds)
    if not complete:
        yield from ("No trigger lets every run grow to the full width.", "")
    elif set(complete) < set(_grown_triggers(ds)):
        yield from (
            f"### At equal final parameters: {', '.join(complete)}",
            "",
            "These triggers let every run of every combination grow to the full width.",
            "",
        )
        yield from _tables(of_triggers(ds, complete))


def of_triggers(ds: xr.Dataset, triggers: list[str]) -> xr.Dataset:
    """Return the cells that grow by one of the triggers, and those that do not grow.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
        triggers: levels of `when`.
    """
    is_chosen = np.isin(ds["when"].values.astype(str), triggers) | (ds["structure"].values != "growth")
    return ds.isel(contender=np.flatnonzero(is_chosen))


def complete_triggers(ds: xr.Dataset) -> list[str]:
    """Return the triggers with which every run ends with as many parameters as the large network.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
    """
    full = full_width(ds)
    return [when for when in _grown_triggers(ds) if (full[ds["when"].values.astype(str) == when] == 1).all()]


def _grown_triggers(ds: xr.Dataset) -> list[str]:
    """Return the levels of `when` among the cells that grow."""
    return list(dict.fromkeys(ds["when"].values[ds["structure"].values == "growth"].astype(str)))


def _tables(ds: xr.Dataset) -> Iterator[str]:
    """Yield the tables of one factorial.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
    """
    tables = {name: table for name, table in tables_of(ds).items() if table is not None}
    if set(tables) != set(MEASURES):
        yield from ("Some cells of the factorial have no run with a seed that all have.", "")
        return
    values = tables["flops"].values
    parts = {name: shares(table) for name, table in tables.items()}
    yield from (
        f"n = {values.shape[-1]} seeds of each of {values[..., 0].size} combinations. Shares of variance, %; a run "
        "that does not reach the target counts with its budget.",
        "",
        "| source | " + " | ".join(MEASURES.values()) + " |",
        "|---|" + "---:|" * len(tables),
        *(
            f"| {source} | " + " | ".join(f"{100 * parts[name][source]:.1f}" for name in MEASURES) + " |"
            for source in parts["flops"]
        ),
        "",
        "Main effects: mean of a level less the mean of all levels, with 95 % intervals over seeds.",
        "",
        "| factor | level | at full width, % of runs | " + " | ".join(MEASURES.values()) + " |",
        "|---|---|---:|" + "---:|" * len(tables),
    )
    full = full_width(ds)
    for factor in FACTORS:
        estimates = {name: effects(tables[name], factor) for name in MEASURES}
        for level in tables["flops"].levels[factor]:
            runs = full[ds[factor].values.astype(str) == level]
            words = " | ".join(estimates[name][level].words(3) for name in MEASURES)
            yield f"| {factor} | {level} | {100 * np.nanmean(runs):.0f} | {words} |"
    yield ""


def full_width(ds: xr.Dataset) -> np.ndarray:
    """Return whether each run ends with as many parameters as the large network, (contender, seed); NaN if missing.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
    """
    sizes = ds["num_parameters_over_steps"].transpose("contender", "seed", "step").values
    last = np.where(np.isfinite(sizes), sizes, -1).max(2)
    largest = ds["largest_num_parameters"].values[ds["arm"].values == "large"]
    return np.where(last > 0, last >= (largest.max() if len(largest) else np.inf), np.nan)
