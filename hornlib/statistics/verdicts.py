"""Verdicts: what the comparisons with named rivals let one say, and what not."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.statistics.settings import StatisticsSettings

__all__ = [
    "CLAIMS",
    "Evidence",
    "claims",
    "combine",
    "conclusions",
    "evidence",
    "judged_selection",
    "verdicts",
]

CLAIMS = ("faster", "because_of_oscillation", "cheaper")
"""Names of the claims about oscillators; a configuration may name others."""

WORDS = ("yes", "no", "mixed", "not enough data", "not measured", "not distinguished")


class Claim(NamedTuple):
    """What must be beaten, on which axes, for a claim to hold: a conjunction.

    Attributes:
        rivals: labels of arms.
        axes: of cost.
    """

    rivals: tuple[str, ...]
    axes: tuple[str, ...]


class Evidence(NamedTuple):
    """One comparison that a claim rests on.

    Attributes:
        contender: position of the subject's cell.
        rival: label of the rival arm.
        axis: of cost.
        word: of `WORDS`.
    """

    contender: int
    rival: str
    axis: str
    word: str


def claims(settings: StatisticsSettings) -> dict[str, Claim]:
    """Return the claims that are asked, by name."""
    return {name: Claim(claim.must_beat(), claim.axes) for name, claim in settings.asked().items()}


def conclusions(compared: xr.Dataset, settings: StatisticsSettings) -> xr.DataArray:
    """Return what each comparison at the headline's target says: (contender, rival, axis) words.

    `not measured`: no pair of runs, nobody reached the target, or no common measure of the axis.
    `not enough data`: fewer than `min_seeds` pairs. `yes` (the contender is faster) and `no` (the rival is):
    the interval excludes 1 and the test rejects at alpha, on samples after Holm's correction. Else
    `not distinguished`: that two arms are equal is never concluded.

    Args:
        compared: `ratio`, `ratio_bound`, `p_value`, `p_holm`, `num_pairs`.
        settings: target, alpha, min_seeds.
    """
    at = {"target": settings.target}
    dims = ("contender", "rival", "axis")
    p_value = compared["p_value"].sel(at)
    p_value = xr.where(compared["axis"] == "samples", compared["p_holm"], p_value).transpose(*dims)
    bound = compared["ratio_bound"].sel(at)
    rejected = p_value <= settings.alpha
    faster = rejected & (bound.sel(bound="high", drop=True) < 1)
    slower = rejected & (bound.sel(bound="low", drop=True) > 1)
    word = xr.where(faster, "yes", xr.where(slower, "no", "not distinguished"))
    word = xr.where(compared["num_pairs"] < settings.min_seeds, "not enough data", word)
    word = xr.where(compared["ratio"].sel(at).notnull(), word, "not measured").transpose(*dims)
    described = {
        "units": "1",
        "long_name": "whether the contender reaches the target at less cost than the rival",
    }
    return word.drop_vars("target", errors="ignore").astype(object).assign_attrs(described)


def judged_selection(selected: Iterable[str]) -> str:
    """Return which of an arm's tuned cells claims are about: those selected for speed, where there are such."""
    return "time_to_target" if "time_to_target" in set(selected) else ""


def evidence(
    conclusion: xr.DataArray, subject: str, settings: StatisticsSettings
) -> Iterator[tuple[str, str, list[Evidence]]]:
    """Yield (dataset, claim, what it rests on), for every dataset.

    Args:
        conclusion: from `conclusions`, with `arm`, `dataset`, `selected_for` on contender.
        subject: the arm that claims are about.
        settings: the rivals.
    """
    arms, datasets, selected = (conclusion[name].values for name in ("arm", "dataset", "selected_for"))
    columns = {str(arm): index for index, arm in enumerate(conclusion["rival"].values)}
    axes = {str(axis): index for index, axis in enumerate(conclusion["axis"].values)}
    words = conclusion.transpose("contender", "rival", "axis").values
    judged = judged_selection(selected)
    own: dict[str, list[int]] = {dataset: [] for dataset in datasets.tolist()}
    for index in np.flatnonzero((arms == subject) & (selected == judged)):
        own[datasets[index]].append(int(index))
    for dataset, cells in own.items():
        for name, claim in claims(settings).items():
            yield (
                dataset,
                name,
                [
                    Evidence(cell, rival, axis, _word(words, cell, columns.get(rival), axes.get(axis)))
                    for cell in cells
                    for rival in claim.rivals
                    for axis in claim.axes
                ],
            )


def combine(words: Iterable[str]) -> str:
    """Return the verdict of a conjunction: `yes` if all are, `no` as soon as one is and none is `yes`.

    Where nothing is refuted, the least that is known decides; where some rivals are beaten and others win, the
    verdict is `mixed`. Nothing to go by is `not measured`.
    """
    found = set(words)
    if {"yes", "no"} <= found or "mixed" in found:
        return "mixed"
    for word in ("no", "not enough data", "not measured", "not distinguished", "yes"):
        if word in found:
            return word
    return "not measured"


def verdicts(
    conclusion: xr.DataArray, subject: str, settings: StatisticsSettings
) -> tuple[xr.Dataset, dict[tuple[str, str], list[Evidence]]]:
    """Return `verdict` (dataset, claim) and `overall_verdict` (claim), and the evidence of each.

    A verdict over several cells of the subject, or over several datasets, is the one word that all share, else
    `mixed`.
    """
    found = {(dataset, claim): rests for dataset, claim, rests in evidence(conclusion, subject, settings)}
    datasets = list(dict.fromkeys(dataset for dataset, _ in found))
    names = list(settings.asked())
    words = [[_over_cells(found[dataset, claim]) for claim in names] for dataset in datasets]
    overall = [_shared(row[index] for row in words) for index in range(len(names))]
    described = {"units": "1", "long_name": "verdict on the claim about the subject"}
    result = xr.Dataset(
        {
            "verdict": (("dataset", "claim"), np.array(words, object).reshape(-1, len(names)), described),
            "overall_verdict": (
                "claim",
                np.array(overall, object),
                described | {"long_name": "verdict over all datasets"},
            ),
        },
        coords={"dataset": np.array(datasets, object), "claim": np.array(names, object)},
    )
    return result, found


def _word(words: np.ndarray, cell: int, column: int | None, axis: int | None) -> str:
    return "not measured" if column is None or axis is None else str(words[cell, column, axis])


def _over_cells(rests: list[Evidence]) -> str:
    by_cell: dict[int, list[str]] = {}
    for item in rests:
        by_cell.setdefault(item.contender, []).append(item.word)
    return _shared(combine(words) for words in by_cell.values())


def _shared(words: Iterable[str]) -> str:
    found = set(words)
    return found.pop() if len(found) == 1 else "mixed" if found else "not measured"
