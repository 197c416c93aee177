"""Wording: questions, and verdicts as sentences that say no more than the numbers do."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import Claim, StatisticsSettings
from hornlib.statistics.phrases import COSTS, p_words, phrase
from hornlib.statistics.verdicts import Evidence, by_cell, combine, corrected_against

__all__ = ["answer", "question_of", "sentences"]

CHEAP = {"training_flops", "seconds"}

NAMED = 3
"""Labels named in a sentence before the rest is only counted."""

Item = tuple[str, Evidence]
"""A comparison with its dataset."""


def question_of(claim: Claim, subject: str) -> str:
    """Return the question that a claim answers, in the words of the configuration or made from its axes and cause."""
    if claim.question is not None:
        return claim.question
    subject = subject or "the subject"
    because = f" because of {claim.what}" if claim.what else ""
    if claim.axes == ("samples",):
        return f"Does {subject} learn faster{because}?"
    if claim.axes == ("training_loss",):
        return f"Does {subject} lower its training loss faster{because}?"
    if set(claim.axes) <= CHEAP:
        return f"Is {subject} cheaper to train{because}?"
    return f"Does {subject} need fewer {' and '.join(COSTS[axis] for axis in claim.axes)}{because}?"


def answer(summary: xr.Dataset, settings: StatisticsSettings) -> str:
    """Return the answer of a sweep: on one line each, every question with its verdict and the decisive evidence.

    Args:
        summary: with `question` and `overall_sentence`.
        settings: the claims.
    """
    if not settings.asked():
        return "No question is asked: `statistics: claims:` names no claim that can be judged."
    lines = zip(summary["question"].values, summary["overall_sentence"].values, strict=True)
    return "\n".join(f"{question} {sentence}" for question, sentence in lines)


def sentences(
    summary: xr.Dataset, rests: Mapping[tuple[str, str], Sequence[Evidence]], settings: StatisticsSettings
) -> xr.Dataset:
    """Return `verdict_sentence` (dataset, claim), `overall_sentence` (claim) and the coordinate `question` (claim).

    A sentence gives the verdict, and the numbers of the comparison that decides it; all comparisons stand in the
    report's table.

    Args:
        summary: `verdict`, `overall_verdict`, and what `hornlib.statistics.headline.compare` returns; the variables
            `detectable_ratio` (contender, rival, axis) and `non_inferior` (contender, rival) where they exist.
        rests: (dataset, claim) -> the comparisons that the verdict rests on.
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
        known = {dataset: rests[dataset, name] for dataset in datasets if rests[dataset, name]}
        overall[column] = _sentence(at_target, subjects[name], known, settings)
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
    rests: Mapping[str, Sequence[Evidence]],
    settings: StatisticsSettings,
) -> str:
    """Return the verdict over some datasets in words.

    Args:
        at_target: the statistics at the headline target.
        subject: the arm that the claim is about.
        rests: dataset -> the comparisons on it.
        settings: alpha, margin, min_seeds.
    """
    items: list[Item] = [(dataset, item) for dataset, own in rests.items() for item in own]
    if not items:
        return f"Not measured: {_why_no_cell(subject, list(rests))}."
    words = [
        (dataset, combine(own, settings.alpha))
        for dataset, of_dataset in rests.items()
        for own in by_cell(of_dataset).values()
    ]
    verdicts = list(dict.fromkeys(word for _, word in words))
    verdict = verdicts[0] if len(verdicts) == 1 else "mixed"
    phrases = [
        phrase(at_target, item, dataset, settings, with_dataset=len(rests) > 1, with_level=place == 0)
        for place, (dataset, item) in enumerate(_decisive(items, verdict))
    ]
    detail = f"{_lead(items, verdict)}{'; '.join(phrases)}{_over_comparisons(rests, settings)}"
    told = f"{_head(words, verdict, len(rests))}: {detail}."
    return told[:1].upper() + told[1:] + (_behind(at_target, items, settings) if verdict == "yes" else "")


def _why_no_cell(subject: str, datasets: Sequence[str]) -> str:
    if not subject:
        return "the sweep has no arm that the claim could be about"
    return f"the sweep has no cell of {subject}" + (f" on {datasets[0]}" if len(datasets) == 1 else "")


def _head(words: Sequence[tuple[str, str]], verdict: str, num_datasets: int) -> str:
    """Return the verdict, and over several datasets or cells what each of them says.

    Args:
        words: dataset and verdict of each cell of the subject.
        verdict: over all of them.
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

    def told(dataset: str, number: int) -> str:
        if len(words) == num_datasets:
            return dataset
        return f"{dataset} ({_cells(number)})" if several else _cells(number)

    parts = [
        f"{word} {'on' if several else 'in'} {_some([told(*place) for place in found.items()])}"
        for word, found in places.items()
    ]
    return f"{verdict} over {over} ({'; '.join(parts)})"


def _all(number: int) -> str:
    return "both" if number == 2 else f"all {number}"


def _cells(number: int) -> str:
    return "1 cell" if number == 1 else f"{number} cells"


def _decisive(items: Sequence[Item], verdict: str) -> list[Item]:
    """Return the one or two comparisons that a verdict hangs on.

    Of a yes the least certain comparison, since all must hold; of a no the most certain one for a rival; of a mixed
    verdict the most certain ones of both sides; else the comparison that is farthest from a yes.
    """
    certain = sorted(items, key=lambda each: np.nan_to_num(each[1].p_holm, nan=np.inf))
    own, other = (
        [each for each in certain if each[1].word == "yes"],
        [each for each in certain if each[1].word == "no"],
    )
    if verdict == "yes":
        return own[-1:]
    if verdict == "no":
        return other[:1]
    if verdict == "mixed" and other:
        return own[:1] + other[:1]
    farthest = _farthest([each for each in items if each[1].word != "yes"])
    return own[:1] + farthest if verdict == "mixed" else farthest


def _farthest(open_items: Sequence[Item]) -> list[Item]:
    """Return the comparison that is farthest from a yes: the least that is known, then the largest p-value."""
    least_known = ("not enough data", "not measured", "too few arrivals", "no", "not distinguished")
    first = min(least_known.index(each[1].word) for each in open_items)
    same = [each for each in open_items if each[1].word == least_known[first]]
    return [max(same, key=lambda each: np.nan_to_num(each[1].p_holm, nan=0.0))]


def _lead(items: Sequence[Item], verdict: str) -> str:
    """Return how many comparisons hold, where one of several is told."""
    if len(items) == 1 or verdict == "mixed":
        return ""
    if verdict == "yes":
        return f"{_all(len(items))} comparisons say so, the least certain that "
    if verdict == "no":
        return "the clearest comparison says that "
    shown = sum(item.word == "yes" for _, item in items)
    return f"{shown} of {len(items)} comparisons say yes; missing, e.g.: "


def _over_comparisons(rests: Mapping[str, Sequence[Evidence]], settings: StatisticsSettings) -> str:
    """Return the corrected p-value against a claim of several comparisons, where one comparison alone says no."""
    own = [items for of_dataset in rests.values() for items in by_cell(of_dataset).values()]
    against = [(corrected_against(items), len(items)) for items in own if len(items) > 1]
    known = [pair for pair in against if np.isfinite(pair[0])]
    if len(own) > 1 or not known:
        return ""
    p_value, number = known[0]
    return f"; against the claim, over its {number} comparisons, p {p_words(p_value, settings.alpha)}"


def _behind(at_target: xr.Dataset, items: Sequence[Item], settings: StatisticsSettings) -> str:
    """Return that the subject of a claim that holds ends behind its rivals, "" where it does not."""
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
        alone = " (each comparison taken alone, not corrected for their number)"
    rivals = _some(sorted(behind))
    return (
        f" But its final test metric is worse than that of {rivals} by more than {settings.margin:g}{alone}."
    )


def _some(labels: Iterable[str]) -> str:
    labels = list(labels)
    more = f" and {len(labels) - NAMED} more" if len(labels) > NAMED else ""
    return ", ".join(labels[:NAMED]) + more
