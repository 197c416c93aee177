"""Verdicts: what the comparisons that a claim rests on let one say about it, in one word."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import Claim, StatisticsSettings

__all__ = [
    "CONCLUSIONS",
    "VERDICTS",
    "Evidence",
    "by_cell",
    "combine",
    "corrected_against",
    "evidence",
    "judged_selection",
    "subjects_of",
    "verdicts",
]

CONCLUSIONS = {
    "not enough data": "not enough data",
    "not measured": "not measured",
    "too few arrivals": "too few arrivals",
    "not distinguished": "not shown",
    "no": "not shown",
}
"""What one comparison says -> what a claim says that misses a yes for it, the least that is known first.

A `no` of one comparison that does not survive the correction over the comparisons of its claim shows nothing about
the claim.
"""

VERDICTS = ("yes", "no", "mixed", *dict.fromkeys(CONCLUSIONS.values()))
"""Every word that a claim may get. No word says that two arms are equal."""


class Evidence(NamedTuple):
    """One comparison that a claim rests on.

    Attributes:
        contender: position of the subject's cell.
        rival: label of the rival arm.
        axis: of cost.
        word: yes, no, not distinguished, too few arrivals, not enough data or not measured.
        p_holm: p-value of the comparison after Holm's correction over datasets and cells; NaN where there is no test.
        against: whether the numbers favour the rival.
    """

    contender: int
    rival: str
    axis: str
    word: str
    p_holm: float = np.nan
    against: bool = False


def judged_selection(selected: Iterable[str]) -> str:
    """Return which of an arm's tuned cells claims are about: those selected for speed, where there are such."""
    return "time_to_target" if "time_to_target" in set(selected) else ""


def subjects_of(subject: str, settings: StatisticsSettings) -> dict[str, str]:
    """Return the arm that each claim is about, by the claim's name.

    Args:
        subject: the arm that claims without a subject of their own are about.
        settings: the claims.
    """
    return {name: claim.subject or subject for name, claim in settings.asked().items()}


def evidence(
    compared: xr.Dataset, subject: str, settings: StatisticsSettings
) -> Iterator[tuple[str, str, list[Evidence]]]:
    """Yield (dataset, claim, the comparisons that it rests on), for every dataset.

    Args:
        compared: `conclusion` (contender, rival, axis), `p_holm` and `favours` (contender, rival, target, axis), with
            `arm`, `dataset` and `selected_for` on contender.
        subject: the arm that claims without a subject of their own are about.
        settings: the claims, the target.
    """
    arms, datasets, selected = (compared[name].values for name in ("arm", "dataset", "selected_for"))
    columns = {str(arm): index for index, arm in enumerate(compared["rival"].values)}
    axes = {str(axis): index for index, axis in enumerate(compared["axis"].values)}
    at_target = compared.sel(target=settings.target)
    words, p_holm, favours = (
        at_target[name].transpose("contender", "rival", "axis").values
        for name in ("conclusion", "p_holm", "favours")
    )
    cells: dict[tuple[str, str], list[int]] = {}
    for index in np.flatnonzero(selected == judged_selection(selected)).tolist():
        cells.setdefault((arms[index], datasets[index]), []).append(index)

    def item(cell: int, rival: str, axis: str) -> Evidence:
        if rival not in columns or axis not in axes:
            return Evidence(cell, rival, axis, "not measured")
        place = cell, columns[rival], axes[axis]
        return Evidence(cell, rival, axis, str(words[place]), float(p_holm[place]), bool(favours[place] < 0))

    subjects = subjects_of(subject, settings)
    for dataset in dict.fromkeys(datasets.tolist()):
        for name, claim in settings.asked().items():
            own = cells.get((subjects[name], dataset), ())
            yield dataset, name, [item(cell, *pair) for cell in own for pair in _pairs(claim)]


def by_cell(items: Iterable[Evidence]) -> Mapping[int, list[Evidence]]:
    """Return the comparisons of each cell of the subject, by the cell's position."""
    cells: dict[int, list[Evidence]] = {}
    for item in items:
        cells.setdefault(item.contender, []).append(item)
    return cells


def corrected_against(items: Sequence[Evidence]) -> float:
    """Return the p-value against a conjunction: of its comparisons in favour of rivals, corrected over all of them.

    A claim fails as soon as one of its comparisons does. Each comparison is a chance to refute it by accident, so that
    the smallest p-value is multiplied by their number (Bonferroni). NaN where no comparison favours a rival.
    """
    p_values = [item.p_holm for item in items if item.against and item.word == "no"]
    return min(1.0, len(items) * min(p_values)) if p_values else np.nan


def combine(items: Sequence[Evidence], alpha: float) -> str:
    """Return the verdict of a conjunction about one cell of the subject.

    `yes`: every comparison says yes; no correction is needed, since all must hold. Refuted: `corrected_against` is at
    most alpha. A claim that is refuted is `mixed` where some comparison says yes, else `no`. Otherwise the least that
    is known decides; nothing to go by is `not measured`.
    """
    words = {item.word for item in items}
    if words == {"yes"}:
        return "yes"
    if corrected_against(items) <= alpha:
        return "mixed" if "yes" in words else "no"
    return next((told for word, told in CONCLUSIONS.items() if word in words), "not measured")


def verdicts(
    compared: xr.Dataset, subject: str, settings: StatisticsSettings
) -> tuple[xr.Dataset, dict[tuple[str, str], list[Evidence]]]:
    """Return `verdict` (dataset, claim) and `overall_verdict` (claim), and the evidence of each.

    A verdict over several cells of the subject, or over several datasets, is the one word that all share, else
    `mixed`. Datasets on which the subject has no cell are `not measured` and do not count.

    Args:
        compared: as `evidence` takes it.
        subject: the arm that claims without a subject of their own are about.
        settings: the claims, alpha.

    Returns:
        The Dataset also has the coordinate `claim_subject` (claim). It has no claims if none is asked.
    """
    rests = {(dataset, claim): items for dataset, claim, items in evidence(compared, subject, settings)}
    names = list(settings.asked())
    datasets = list(dict.fromkeys(compared["dataset"].values.tolist()))
    if not names:
        return xr.Dataset(coords={"dataset": np.array(datasets, object)}), rests
    words = [[_over_cells(rests[dataset, name], settings.alpha) for name in names] for dataset in datasets]
    overall = [
        _shared(words[row][column] for row, dataset in enumerate(datasets) if rests[dataset, name])
        for column, name in enumerate(names)
    ]
    described = {"units": "1", "long_name": "verdict on the claim about its subject"}
    about = {
        "claim": {"units": "1", "long_name": "claim"},
        "claim_subject": {"units": "1", "long_name": "arm that the claim is about"},
        "overall_verdict": described | {"long_name": "verdict over all datasets"},
    }
    subjects = np.array(list(subjects_of(subject, settings).values()), object)
    result = xr.Dataset(
        {
            "verdict": (("dataset", "claim"), np.array(words, object), described),
            "overall_verdict": ("claim", np.array(overall, object), about["overall_verdict"]),
        },
        coords={
            "dataset": np.array(datasets, object),
            "claim": ("claim", np.array(names, object), about["claim"]),
            "claim_subject": ("claim", subjects, about["claim_subject"]),
        },
    )
    return result, rests


def _pairs(claim: Claim) -> list[tuple[str, str]]:
    return [(rival, axis) for rival in claim.must_beat() for axis in claim.axes]


def _over_cells(items: Sequence[Evidence], alpha: float) -> str:
    return _shared(combine(own, alpha) for own in by_cell(items).values())


def _shared(words: Iterable[str]) -> str:
    distinct = set(words)
    return distinct.pop() if len(distinct) == 1 else "mixed" if distinct else "not measured"
