"""Wording: the question of every claim, and every verdict as sentences that claim no more than the numbers show."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import Claim, StatisticsSettings
from hornlib.statistics.phrases import COSTS, p_words, phrase
from hornlib.statistics.verdicts import (
    CONCLUSIONS,
    ClaimComparison,
    by_cell,
    combine,
    corrected_against,
    over_places,
)

__all__ = ["answer", "question_of", "sentences"]

CHEAP_AXES = {"training_flops", "seconds"}

NUM_NAMED = 3
"""A sentence names so many labels, and counts the others."""

DatasetComparison = tuple[str, ClaimComparison]
"""A comparison with its dataset."""


def question_of(claim: Claim, subject: str) -> str:
    """Return the question of a claim: the one of the configuration, or one made from its axes and its cause.

    Args:
        claim: the claim.
        subject: label of the arm that the claim is about, "" if there is none.
    """
    if claim.question is not None:
        return " ".join(claim.question.split())
    subject = subject or "the subject"
    because = f" because of {claim.what}" if claim.what else ""
    if claim.axes == ("samples",):
        return f"Does {subject} learn faster{because}?"
    if claim.axes == ("training_loss",):
        return f"Does {subject} lower its training loss faster{because}?"
    if set(claim.axes) <= CHEAP_AXES:
        return f"Is {subject} cheaper to train{because}?"
    return f"Does {subject} need fewer {' and '.join(COSTS[axis] for axis in claim.axes)}{because}?"


def answer(summary: xr.Dataset, settings: StatisticsSettings) -> str:
    """Return the answer of a sweep: one line for every claim, with its question, verdict and decisive comparison.

    Args:
        summary: with `question` and `overall_sentence`, both (claim).
        settings: the claims.
    """
    if not settings.asked():
        return "The sweep asks no question: `statistics: claims:` names no claim that can be judged."
    lines = zip(summary["question"].values, summary["overall_sentence"].values, strict=True)
    return "\n".join(f"{question} {sentence}" for question, sentence in lines)


def sentences(
    summary: xr.Dataset,
    rests: Mapping[tuple[str, str], Sequence[ClaimComparison]],
    settings: StatisticsSettings,
) -> xr.Dataset:
    """Return `verdict_sentence` (dataset, claim), `overall_sentence` (claim) and the coordinate `question` (claim).

    The sentences give the verdict and the numbers of the comparison that decides it.

    Args:
        summary: `verdict`, `overall_verdict`, the variables of `hornlib.statistics.headline.compare` and, if it has
            them, `detectable_ratio` (contender, rival, axis) and `non_inferior` (contender, rival).
        rests: (dataset, claim) -> comparisons that the verdict rests on.
        settings: the claims, alpha, target, margin, min_seeds.
    """
    claims = settings.asked()
    if not claims:
        return xr.Dataset()
    at_target = summary.sel(target=settings.target)
    datasets = list(dict.fromkeys(dataset for dataset, _ in rests))
    subjects = dict(zip(claims, summary["claim_subject"].values.tolist(), strict=True))
    by_dataset = np.empty((len(datasets), len(claims)), object)
    overall = np.empty(len(claims), object)
    for column, name in enumerate(claims):
        by_dataset[:, column] = [
            _sentence(at_target, subjects[name], {dataset: rests[dataset, name]}, settings)
            for dataset in datasets
        ]
        with_cells = {dataset: rests[dataset, name] for dataset in datasets if rests[dataset, name]}
        overall[column] = _sentence(at_target, subjects[name], with_cells, settings)
    questions = np.array([question_of(claim, subjects[name]) for name, claim in claims.items()], object)
    about = {"units": "1", "long_name": "verdict in words"}
    return xr.Dataset(
        {
            "verdict_sentence": (("dataset", "claim"), by_dataset, about),
            "overall_sentence": ("claim", overall, about),
        },
        coords={"question": ("claim", questions, {"units": "1", "long_name": "question of the claim"})},
    )


def _sentence(
    at_target: xr.Dataset,
    subject: str,
    rests: Mapping[str, Sequence[ClaimComparison]],
    settings: StatisticsSettings,
) -> str:
    """Return the verdict over some datasets as sentences.

    Args:
        at_target: the statistics at the headline target.
        subject: the arm that the claim is about.
        rests: dataset -> comparisons that the verdict rests on.
        settings: alpha, margin, min_seeds.
    """
    items: list[DatasetComparison] = [(dataset, item) for dataset, group in rests.items() for item in group]
    if not items:
        return f"Not measured: {_why_no_cell(subject, list(rests))}."
    words = [
        (dataset, combine(cell_items, settings.alpha))
        for dataset, group in rests.items()
        for cell_items in by_cell(group).values()
    ]
    verdict = over_places(word for _, word in words)
    phrases = [
        phrase(at_target, item, dataset, settings, with_dataset=len(rests) > 1, with_level=place == 0)
        for place, (dataset, item) in enumerate(_decisive(items, verdict))
    ]
    head = _head(words, verdict, len(rests))
    sentence = f"{head[:1].upper()}{head[1:]}: {_lead(items, verdict)}{'; '.join(phrases)}."
    sentence += _over_comparisons(rests, settings)
    return sentence + (_behind(at_target, items, settings) if verdict == "yes" else "")


def _why_no_cell(subject: str, datasets: Sequence[str]) -> str:
    if not subject:
        return "the sweep has no arm with oscillators, and the claim names no subject"
    return f"the sweep has no cell of {subject}" + (f" on {datasets[0]}" if len(datasets) == 1 else "")


def _head(words: Sequence[tuple[str, str]], verdict: str, num_datasets: int) -> str:
    """Return the verdict and, over several datasets or cells, the verdict on each of them.

    Args:
        words: dataset and verdict of each cell of the subject.
        verdict: verdict over all of these cells.
        num_datasets: number of datasets.
    """
    if len(words) == 1:
        return verdict
    several = num_datasets > 1
    over = f"{num_datasets} datasets" if several else f"{len(words)} cells"
    if len({word for _, word in words}) == 1:
        number = num_datasets if several else len(words)
        return f"{verdict} {'on' if several else 'in'} {_all(number)} {'datasets' if several else 'cells'}"
    places: dict[str, dict[str, int]] = {}
    for dataset, word in words:
        places.setdefault(word, {}).setdefault(dataset, 0)
        places[word][dataset] += 1

    def place(dataset: str, number: int) -> str:
        if len(words) == num_datasets:
            return dataset
        return f"{dataset} ({_cells(number)})" if several else _cells(number)

    parts = [
        f"{word} {'on' if several else 'in'} {_some([place(*cells) for cells in places[word].items()])}"
        for word in sorted(places, key=lambda word: word != verdict)
    ]
    return f"{verdict} over {over} ({'; '.join(parts)})" if verdict == "mixed" else "; ".join(parts)


def _all(number: int) -> str:
    return "both" if number == 2 else f"all {number}"


def _cells(number: int) -> str:
    return "1 cell" if number == 1 else f"{number} cells"


def _decisive(items: Sequence[DatasetComparison], verdict: str) -> list[DatasetComparison]:
    """Return the one or two comparisons that decide a verdict.

    A yes is decided by its least certain comparison, since all must hold, and a no by the most certain comparison in
    favour of a rival. A mixed verdict shows the most certain comparison of each side. All other verdicts are decided by
    the comparison that is farthest from a yes.
    """
    by_certainty = sorted(items, key=lambda pair: np.nan_to_num(pair[1].p_holm, nan=np.inf))
    yes, no = ([pair for pair in by_certainty if pair[1].word == word] for word in ("yes", "no"))
    if verdict == "yes":
        return yes[-1:]
    if verdict == "no":
        return no[:1]
    if verdict == "mixed" and no:
        return yes[:1] + no[:1]
    farthest = _farthest([pair for pair in items if pair[1].word != "yes"])
    return yes[:1] + farthest if verdict == "mixed" else farthest


def _farthest(open_items: Sequence[DatasetComparison]) -> list[DatasetComparison]:
    """Return the comparison that is farthest from a yes: the first of `CONCLUSIONS`, then the largest p-value."""
    ranks = list(CONCLUSIONS)
    first = min(ranks.index(item.word) for _, item in open_items)
    candidates = [pair for pair in open_items if pair[1].word == ranks[first]]
    return [max(candidates, key=lambda pair: np.nan_to_num(pair[1].p_holm, nan=0.0))]


def _lead(items: Sequence[DatasetComparison], verdict: str) -> str:
    """Return how many comparisons say yes, and which of them the sentence shows."""
    if len(items) == 1 or verdict == "mixed":
        return ""
    if verdict == "yes":
        return f"{_all(len(items))} comparisons say yes. In the least certain one, "
    if verdict == "no":
        return "in the most certain comparison, "
    number = sum(item.word == "yes" for _, item in items)
    verb = "says" if number == 1 else "say"
    return f"{number} of {len(items)} comparisons {verb} yes. In the one that is farthest from yes, "


def _over_comparisons(rests: Mapping[str, Sequence[ClaimComparison]], settings: StatisticsSettings) -> str:
    """Return the corrected p-value against a claim of several comparisons, if one of them says no."""
    groups = [items for group in rests.values() for items in by_cell(group).values()]
    if len(groups) != 1 or len(groups[0]) == 1:
        return ""
    p_value = corrected_against(groups[0])
    if np.isnan(p_value):
        return ""
    words = p_words(p_value, settings.alpha)
    return f" The test against the claim has p {words}, corrected over its {len(groups[0])} comparisons."


def _behind(at_target: xr.Dataset, items: Sequence[DatasetComparison], settings: StatisticsSettings) -> str:
    """Return the sentence that the subject ends behind its rivals, "" if it does not."""
    if "non_inferior" not in at_target:
        return ""
    ends = at_target["non_inferior"].transpose("contender", "rival").values
    columns = {str(arm): place for place, arm in enumerate(at_target["rival"].values)}
    several = len({dataset for dataset, _ in items}) > 1
    behind = {
        item.rival + (f" on {dataset}" if several else "")
        for dataset, item in items
        if ends[item.contender, columns[item.rival]] == "no"
    }
    if not behind:
        return ""
    alone = ""
    if len({(dataset, item.contender, item.rival) for dataset, item in items}) > 1:
        alone = ". Each comparison is tested alone, without a correction for their number"
    rivals = _some(sorted(behind))
    return f" However, its final test metric is worse than that of {rivals} by more than {settings.margin:g}{alone}."


def _some(labels: Iterable[str]) -> str:
    labels = list(labels)
    more = f" and {len(labels) - NUM_NAMED} more" if len(labels) > NUM_NAMED else ""
    return ", ".join(labels[:NUM_NAMED]) + more
