"""The hypotheses of importance as data: what is compared, what exploration predicts, and what confirmation says."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from importance_pairs import (
    Effect,
    drop_rule_of,
    effects_of,
    log_ratio,
    mean_effect,
    of_rule,
    part_of,
    rho,
    statistic,
)
from sparse_pairs import Estimate
from tables import in_table

from hornlib.statistics.estimators.holm import holm
from hornlib.statistics.estimators.paired_t import paired_t

__all__ = [
    "BESIDE",
    "CONFIRMING",
    "EXPLORED",
    "HYPOTHESES",
    "Hypothesis",
    "Verdict",
    "cells_by_direction",
    "direction_lines",
    "directions_in",
    "verdicts",
]

EXPLORED = ("exploration", "scaling", "topology")
"""Sweeps from which the directions were written."""

CONFIRMING = ("confirmation",)
"""Sweeps that confirm or contradict them: another dataset, fresh seeds."""

ALPHA = 0.05

Directions = Mapping[str, str]
"""Hypothesis -> lower or higher."""


class Hypothesis(NamedTuple):
    """One hypothesis.

    Attributes:
        claim: in words, without a direction.
        measure: what is compared, and its unit.
        effects: maps a part of importance.nc and the examples (training or held_out) to differences of pairs of cells.
    """

    claim: str
    measure: str
    effects: Callable[[xr.Dataset, str], list[Effect]]


class Verdict(NamedTuple):
    """What a test says of one hypothesis.

    Attributes:
        predicted: lower or higher.
        estimate: mean effect over pairs and seeds.
        p: of the two-sided t-test over seeds, after Holm's correction over all hypotheses.
        word: confirmed, contradicted or not shown.
    """

    predicted: str
    estimate: Estimate
    p: float
    word: str


def saturating(ds: xr.Dataset, split: str) -> list[Effect]:
    """Return rho(|w|) of sigmoid, and of tanh, less that of relu."""
    return [
        effect._replace(label=f"{activation} {effect.label}")
        for activation in ("sigmoid", "tanh")
        for effect in effects_of(ds, rho("magnitude", split), "activation", activation, "relu")
    ]


def sparser(name: str, log: bool) -> Callable[[xr.Dataset, str], list[Effect]]:
    """Return a statistic at the lowest density less that at the highest one, for static masks.

    Args:
        name: of the statistic.
        log: whether its logarithm is compared.
    """

    def effects(ds: xr.Dataset, split: str) -> list[Effect]:
        static = of_rule(ds, "static")
        if not static.sizes["cell"] or "density" not in static.coords:
            return []
        values = statistic(name, split, log)
        densities = sorted(set(static["density"].values.tolist()))
        pairs = [(low, high) for low in densities for high in densities if low < high]
        by_pair = {pair: effects_of(static, values, "density", *pair) for pair in pairs}
        # of each group of equal cells the widest pair: a pair inside of it is no further test
        widest: dict[str, Effect] = {}
        for (low, high), pairs_of_cells in sorted(by_pair.items(), key=lambda item: item[0][1] / item[0][0]):
            for effect in pairs_of_cells:
                widest[effect.label] = effect._replace(label=f"{low:g} v {high:g} {effect.label}".rstrip())
        return list(widest.values())

    return effects


def dropped(rule: str) -> Callable[[xr.Dataset, str], list[Effect]]:
    """Return ln(mean |dL| of what the rule would drop / that of a random choice), in networks trained with the rule."""

    def effects(ds: xr.Dataset, split: str) -> list[Effect]:
        part = of_rule(ds, rule).sel(split=split)
        return _single(part, log_ratio(part.sel(drop_rule=drop_rule_of(rule))))

    return effects


def dropped_set(rule: str) -> Callable[[xr.Dataset, str], list[Effect]]:
    """Return the change of the loss without what the rule would drop less that without a random set."""

    def effects(ds: xr.Dataset, split: str) -> list[Effect]:
        part = of_rule(ds, rule).sel(split=split)
        numbers = part.sel(drop_rule=drop_rule_of(rule))
        return _single(part, numbers["dropped_set_change"] - numbers["random_set_change"])

    return effects


def dropped_rank(rule: str) -> Callable[[xr.Dataset, str], list[Effect]]:
    """Return the mean rank of |dL| in its layer of what the rule would drop, as a share, less .5 of a random choice."""

    def effects(ds: xr.Dataset, split: str) -> list[Effect]:
        part = of_rule(ds, rule).sel(split=split)
        return _single(part, part["dropped_rank"].sel(drop_rule=drop_rule_of(rule)) - 0.5)

    return effects


def _single(part: xr.Dataset, numbers: xr.DataArray) -> list[Effect]:
    rows = numbers.transpose("cell", "seed").values
    return [
        Effect(f"density {density:g} {dataset}", row)
        for density, dataset, row in zip(part["density"].values, part["dataset"].values, rows, strict=True)
    ]


HYPOTHESES: dict[str, Hypothesis] = {
    "H1": Hypothesis(
        "batch norm changes rho(|w|)",
        "rho of |w| with importance, batch norm less no norm",
        lambda ds, split: effects_of(ds, rho("magnitude", split), "normalisation", "batch", "none"),
    ),
    "H2": Hypothesis(
        "saturating activations change rho(|w|)",
        "rho of |w| with importance, sigmoid or tanh less relu",
        saturating,
    ),
    "H3": Hypothesis(
        "min-max scaling of the inputs changes rho(|w|)",
        "rho of |w| with importance, raw (min-max) less per_feature",
        lambda ds, split: effects_of(ds, rho("magnitude", split), "input_scaling", "raw", "per_feature"),
    ),
    "H4a": Hypothesis(
        "a single connection of a sparser network matters more, or less",
        "ln of mean |dL|, lowest density less highest",
        sparser("pooled_mean_importance", log=True),
    ),
    "H4b": Hypothesis(
        "importance is more, or less, concentrated in a sparser network",
        "Gini of |dL|, lowest density less highest",
        sparser("pooled_gini", log=False),
    ),
    "H5a": Hypothesis(
        "what SET would drop matters less than a random choice",
        "ln of mean |dL| of the dropped over that of a random choice",
        dropped("set"),
    ),
    "H5b": Hypothesis(
        "what RigL would drop matters less than a random choice",
        "ln of mean |dL| of the dropped over that of a random choice",
        dropped("rigl"),
    ),
    "H5c": Hypothesis(
        "the set that SET would drop costs less than a random set",
        "change of the loss without the set, less that without random ones, nats",
        dropped_set("set"),
    ),
    "H5d": Hypothesis(
        "the set that RigL would drop costs less than a random set",
        "change of the loss without the set, less that without random ones, nats",
        dropped_set("rigl"),
    ),
}
"""Name -> hypothesis."""

BESIDE: dict[str, Hypothesis] = {
    **{
        f"rank, {words}": Hypothesis(
            f"what {words} would drop ranks lower in its layer than a random choice",
            "mean rank of |dL| of the dropped, as a share, less .5",
            dropped_rank(rule),
        )
        for rule, words in (("set", "SET"), ("set_stopped", "SET, stopped"), ("rigl", "RigL"))
    },
    "ratio, SET, stopped": Hypothesis(
        "what SET would drop matters less, where its updates ended at three quarters of the training",
        "ln of mean |dL| of the dropped over that of a random choice",
        dropped("set_stopped"),
    ),
    "set, SET, stopped": Hypothesis(
        "the same set costs less than a random set",
        "change of the loss without the set, less that without random ones, nats",
        dropped_set("set_stopped"),
    ),
}
"""Comparisons that were not registered, and have no part in Holm's correction."""


def direction_lines(ds: xr.Dataset) -> Iterator[str]:
    """Yield the page of hypotheses, whose directions are the signs of the effects in the explored sweeps.

    Args:
        ds: importance.nc, or importance_partial.nc before the confirming sweeps were trained.
    """
    explored = part_of(ds, EXPLORED)
    yield from (
        "# Hypotheses on the importance of weights, written before the confirming runs",
        "",
        f"The directions are the signs of the effects in the sweeps {', '.join(EXPLORED)} of config/importance.yaml, "
        "on held-out digits. `python docs/findings/importance.py <importance_partial.nc> --directions <this page>` "
        f"writes them. The sweep {', '.join(CONFIRMING)}, on Fashion-MNIST with fresh seeds, tests them two-sided, "
        f"with Holm's correction over all of them at {ALPHA}. Intervals are of 95 %, over runs; n counts seeds.",
        "",
        "| hypothesis | claim | measure | pairs | n | effect in exploration [95 %] | predicted |",
        "|---|---|---|---:|---:|---:|---|",
    )
    for name, hypothesis in HYPOTHESES.items():
        effects = hypothesis.effects(explored, "held_out")
        estimate = mean_effect(effects)
        predicted = "-" if np.isnan(estimate.value) else "lower" if estimate.value < 0 else "higher"
        yield (
            f"| {name} | {in_table(hypothesis.claim)} | {in_table(hypothesis.measure)} | {len(effects)} | "
            f"{estimate.number} | {estimate.words(3)} | {predicted} |"
        )


def directions_in(page: Path) -> dict[str, str]:
    """Return the predicted directions of a page that `direction_lines` wrote; none where it does not exist.

    Args:
        page: the Markdown file.
    """
    if not page.exists():
        return {}
    rows = re.findall(r"^\| (H\w+) \|.*\| (lower|higher) \|$", page.read_text(), re.MULTILINE)
    return dict(rows)


def verdicts(ds: xr.Dataset, directions: Directions) -> dict[str, Verdict]:
    """Return what the confirming sweeps say of every hypothesis that they can test.

    Args:
        ds: importance.nc.
        directions: what was predicted.
    """
    if unknown := sorted(set(directions) - set(HYPOTHESES)):
        raise SystemExit(f"the page of hypotheses has {', '.join(unknown)}; known: {', '.join(HYPOTHESES)}")
    part = part_of(ds, CONFIRMING)
    tested: dict[str, tuple[Estimate, float]] = {}
    for name in directions:
        effects = HYPOTHESES[name].effects(part, "held_out") if part.sizes["cell"] else []
        if effects:
            by_seed = np.array([effect.values for effect in effects]).mean(0)
            tested[name] = mean_effect(effects), float(paired_t(by_seed[None]).p_value()[0])
    # A hypothesis without results stays in the family, as one that cannot be shown.
    missing = [1.0] * (len(directions) - len(tested))
    corrected = holm(np.array([*(p for _, p in tested.values()), *missing]))[: len(tested)] if tested else ()
    return {
        name: Verdict(directions[name], estimate, float(p), _word(estimate, float(p), directions[name]))
        for (name, (estimate, _)), p in zip(tested.items(), corrected, strict=True)
    }


def _word(estimate: Estimate, p: float, predicted: str) -> str:
    if not p < ALPHA:
        return "not shown"
    return "confirmed" if (estimate.value < 0) == (predicted == "lower") else "contradicted"


def cells_by_direction(effects: Sequence[Effect], predicted: str) -> tuple[list[str], list[str], int]:
    """Return the labels of pairs that support a direction, of those that contradict it, and the number of all others.

    A pair supports or contradicts it where its own interval over runs leaves out 0.

    Args:
        effects: of pairs of cells.
        predicted: lower or higher.
    """
    supporting, contradicting = [], []
    for effect in effects:
        estimate = effect.estimate()
        if estimate.high < 0 or estimate.low > 0:
            is_lower = estimate.high < 0
            (supporting if is_lower == (predicted == "lower") else contradicting).append(effect.label)
    return supporting, contradicting, len(effects) - len(supporting) - len(contradicting)
