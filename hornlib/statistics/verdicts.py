"""Verdicts: what the comparisons of a claim show together, in one word."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import Claim, StatisticsSettings

__all__ = [
    "CONCLUSIONS",
    "ClaimComparison",
    "by_cell",
    "combine",
    "corrected_against",
    "evidence",
    "judged_selection",
    "over_places",
    "subjects_of",
    "verdicts",
]

CONCLUSIONS = {
    "not enough data": "not enough data",
    "not measured": "not measured",
    "too few arrivals": "too few arrivals",
    "no": "not shown",
    "not distinguished": "not shown",
}
"""Conclusion of one comparison -> verdict on a claim that this comparison keeps from a `yes`.

The conclusions stand in order: the first one that occurs decides the verdict. A `no` of one comparison that does not
survive the correction over all comparisons of the claim leaves the claim `not shown`. No verdict says that two arms
are equal.
"""


class ClaimComparison(NamedTuple):
    """One comparison that a claim rests on.

    Attributes:
        contender: position of the subject's cell among the contenders.
        rival: label of the rival arm.
        axis: axis of cost.
        word: conclusion of the comparison: yes, no, not distinguished, too few arrivals, not enough data, not measured.
        p_holm: p-value after Holm's correction over datasets and cells; NaN if there is no test.
        against: whether the numbers favour the rival.
    """

    contender: int
    rival: str
    axis: str
    word: str
    p_holm: float = np.nan
    against: bool = False


def judged_selection(selected: Iterable[str]) -> str:
    """Return the objective of the cells that claims are about: time_to_target, or "" if no cell was tuned for it.

    Args:
        selected: the objectives of all contenders, "" for cells that were not tuned.
    """
    return "time_to_target" if "time_to_target" in set(selected) else ""


def subjects_of(subject: str, settings: StatisticsSettings) -> dict[str, str]:
    """Return the arm that each claim is about, by the claim's name.

    Args:
        subject: the arm of the claims that name no subject.
        settings: the claims.
    """
    return {name: claim.subject or subject for name, claim in settings.asked().items()}


def evidence(
    compared: xr.Dataset, subject: str, settings: StatisticsSettings
) -> Iterator[tuple[str, str, list[ClaimComparison]]]:
    """Yield (dataset, claim, comparisons that the claim rests on), for every dataset and claim.

    Args:
        compared: `conclusion` (contender, rival, axis), `p_holm` and `favours` (contender, rival, target, axis), with
            `arm`, `dataset` and `selected_for` on contender.
        subject: the arm of the claims that name no subject.
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

    def item(cell: int, rival: str, axis: str) -> ClaimComparison:
        if rival not in columns or axis not in axes:
            return ClaimComparison(cell, rival, axis, "not measured")
        place = cell, columns[rival], axes[axis]
        return ClaimComparison(
            cell, rival, axis, str(words[place]), float(p_holm[place]), bool(favours[place] < 0)
        )

    subjects = subjects_of(subject, settings)
    for dataset in dict.fromkeys(datasets.tolist()):
        for name, claim in settings.asked().items():
            subject_cells = cells.get((subjects[name], dataset), ())
            yield dataset, name, [item(cell, *pair) for cell in subject_cells for pair in _pairs(claim)]


def by_cell(items: Iterable[ClaimComparison]) -> Mapping[int, list[ClaimComparison]]:
    """Return position of the subject's cell -> comparisons of that cell."""
    cells: dict[int, list[ClaimComparison]] = {}
    for item in items:
        cells.setdefault(item.contender, []).append(item)
    return cells


def corrected_against(items: Sequence[ClaimComparison]) -> float:
    """Return the p-value against a claim: the smallest p-value in favour of a rival times the number of comparisons.

    A claim is refuted as soon as one of its comparisons is. Each comparison is a chance to refute it by accident, which
    the number of comparisons corrects (Bonferroni). NaN if no comparison favours a rival.
    """
    p_values = [item.p_holm for item in items if item.against and item.word == "no"]
    return min(1.0, len(items) * min(p_values)) if p_values else np.nan


def combine(items: Sequence[ClaimComparison], alpha: float) -> str:
    """Return the verdict on a claim about one cell of the subject.

    `yes`: every comparison says yes. This needs no correction, since all of them must hold.
    `mixed` or `no`: the claim is refuted, `corrected_against` is at most alpha. It is `mixed` if some comparison says
    yes.
    Otherwise the first of `CONCLUSIONS` that occurs decides. Without comparisons the verdict is `not measured`.

    Args:
        items: the comparisons of that cell.
        alpha: level of the correction.
    """
    words = {item.word for item in items}
    if words == {"yes"}:
        return "yes"
    if corrected_against(items) <= alpha:
        return "mixed" if "yes" in words else "no"
    return next((verdict for word, verdict in CONCLUSIONS.items() if word in words), "not measured")


def verdicts(
    compared: xr.Dataset, subject: str, settings: StatisticsSettings
) -> tuple[xr.Dataset, dict[tuple[str, str], list[ClaimComparison]]]:
    """Return `verdict` (dataset, claim) and `overall_verdict` (claim), and the comparisons of each.

    A verdict over several cells of the subject, or over several datasets, is that of `over_places`. A dataset without a
    cell of the subject is `not measured` and does not count.

    Args:
        compared: as `evidence` takes it.
        subject: the arm of the claims that name no subject.
        settings: the claims, alpha.

    Returns:
        The verdicts, with the coordinate `claim_subject` (claim), and (dataset, claim) -> comparisons. The Dataset has
        no dimension `claim` if the settings ask no claim.
    """
    rests = {(dataset, claim): items for dataset, claim, items in evidence(compared, subject, settings)}
    names = list(settings.asked())
    datasets = list(dict.fromkeys(compared["dataset"].values.tolist()))
    if not names:
        return xr.Dataset(coords={"dataset": np.array(datasets, object)}), rests
    words = [[_over_cells(rests[dataset, name], settings.alpha) for name in names] for dataset in datasets]
    overall = [
        over_places(words[row][column] for row, dataset in enumerate(datasets) if rests[dataset, name])
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


def _over_cells(items: Sequence[ClaimComparison], alpha: float) -> str:
    return over_places(combine(cell_items, alpha) for cell_items in by_cell(items).values())


def over_places(words: Iterable[str]) -> str:
    """Return the verdict over several cells or datasets, on all of which the claim must hold.

    A claim that is refuted in one place is refuted: `no`, or `mixed` where it holds in another place. A claim that is
    refuted nowhere is a `yes` if it holds everywhere, else the first undecided word in the order of `CONCLUSIONS`.

    Args:
        words: the verdict in each place; none at all is `not measured`.
    """
    distinct = set(words)
    if "mixed" in distinct or {"yes", "no"} <= distinct:
        return "mixed"
    if "no" in distinct:
        return "no"
    if distinct == {"yes"}:
        return "yes"
    return next((verdict for verdict in CONCLUSIONS.values() if verdict in distinct), "not measured")
