"""Wording: verdicts as sentences that say no more than the numbers do."""

import numpy as np
import xarray as xr

from hornlib.statistics.settings import StatisticsSettings
from hornlib.statistics.verdicts import Evidence, claims, judged_selection

__all__ = ["answer", "sentence_of", "sentences"]

QUESTIONS = {
    "faster": "Does {subject} learn faster?",
    "because_of_oscillation": "Because of its oscillation?",
    "cheaper": "Is it more efficient?",
}

COSTS = {"samples": "samples", "training_flops": "training FLOPs", "seconds": "seconds", "step": "steps"}

SHOWN, SPELLED_CELLS = 8, 2
"""Most comparisons, and most cells of the subject, that one sentence spells out; beyond, it counts."""

COUNTED = {
    "yes": "fewer than those of {rival}",
    "no": "more than those of {rival}",
    "not distinguished": "not distinguished from those of {rival}",
    "not enough data": "not compared with those of {rival}, too few seeds being shared,",
    "not measured": "not measured beside those of {rival}",
}
"""What a comparison says -> how it is counted."""


def answer(summary: xr.Dataset, subject: str, settings: StatisticsSettings) -> str:
    """Return the paragraph that a report begins with: each question, its verdict, and what belongs to it.

    Args:
        summary: with `overall_sentence`, and what `notes` reads.
        subject: the arm that claims are about; "" where there is none.
        settings: the rivals, the margin.
    """
    if not subject:
        return "There is no verdict: the sweep has no arm that the claims could be about."
    parts = [
        f"{QUESTIONS.get(claim, claim).format(subject=subject)} {summary['overall_sentence'].sel(claim=claim).item()}"
        for claim in settings.asked()
    ]
    return " ".join([*parts, *notes(summary, subject, settings)])


def sentences(
    summary: xr.Dataset, rests: dict[tuple[str, str], list[Evidence]], settings: StatisticsSettings
) -> xr.Dataset:
    """Return `verdict_sentence` (dataset, claim) and `overall_sentence` (claim)."""
    datasets = summary["dataset"].values.tolist()
    verdict = {key: summary["verdict"].sel(dataset=key[0], claim=key[1]).item() for key in rests}
    told = {key: sentence_of(summary, verdict[key], key, rests[key], settings) for key in rests}
    overall = []
    for claim in settings.asked():
        if len(datasets) == 1:
            overall.append(told[datasets[0], claim])
            continue
        word = summary["overall_verdict"].sel(claim=claim).item()
        parts = [f"{dataset}: {_lower(told[dataset, claim])}" for dataset in datasets]
        by_word: dict[str, list[str]] = {}
        for dataset in datasets:
            by_word.setdefault(verdict[dataset, claim] or "not measured", []).append(dataset)
        each = "; ".join(f"{own} on {', '.join(found)}" for own, found in by_word.items())
        overall.append(f"{_capital(word)} over {len(datasets)} datasets: {each}. {_capital(' '.join(parts))}")
    about = {"units": "1", "long_name": "verdict in words"}
    by_dataset = np.array(
        [[told[dataset, claim] for claim in settings.asked()] for dataset in datasets], object
    )
    return xr.Dataset(
        {
            "verdict_sentence": (("dataset", "claim"), by_dataset.reshape(-1, len(settings.asked())), about),
            "overall_sentence": ("claim", np.array(overall, object), about),
        }
    )


def sentence_of(
    summary: xr.Dataset,
    verdict: str,
    key: tuple[str, str],
    rests: list[Evidence],
    settings: StatisticsSettings,
) -> str:
    """Return the verdict on one claim on one dataset, with the comparisons that it rests on."""
    dataset, claim = key
    if not rests:
        if not claims(settings)[claim].rivals:
            return "Not measured: the settings name no control without oscillation."
        return f"Not measured: the subject has no cell on {dataset}."
    if len(rests) > SHOWN or len({item.contender for item in rests}) > SPELLED_CELLS:
        return f"{_capital(verdict)}: {_counted(summary, rests, settings)}."
    phrases = dict.fromkeys(_phrase(summary, item, settings) for item in rests)
    return f"{_capital(verdict)}: {'; '.join(phrases)}."


def notes(summary: xr.Dataset, subject: str, settings: StatisticsSettings) -> list[str]:
    """Return what must be said beside a verdict: a worse end, and runs that diverged."""
    judged = judged_selection(summary["selected_for"].values)
    own = (summary["arm"].values == subject) & (summary["selected_for"].values == judged)
    labels = summary["contender"].values
    columns = [index for index, arm in enumerate(summary["rival"].values) if arm in settings.rivals()]
    rivals, end, faster = (
        values.transpose("contender", "rival").values
        for values in (
            summary["rival_contender"],
            summary["non_inferior"],
            summary["conclusion"].sel(axis="samples") == "yes",
        )
    )
    told = []
    for cell in np.flatnonzero(own):
        for rival in columns:
            told += _note_on_end(
                labels[cell], rivals[cell, rival], end[cell, rival], faster[cell, rival], settings.margin
            )
        if summary["num_diverged"].values[cell]:
            told.append(_note_on_divergence(summary.isel(contender=cell), labels[cell], settings.target))
    return told if len(told) <= SHOWN else [*told[:SHOWN], f"And {len(told) - SHOWN} more such remarks."]


def _note_on_end(label: str, rival: str, end: str, faster: bool, margin: float) -> list[str]:
    if end == "no":
        but = "But at the end" if faster else "At the end"
        return [
            f"{but} of training {label} is behind: its final test metric is worse than that of {rival} by more than "
            f"the margin of {margin:g}."
        ]
    if end == "undecided" and faster:
        return [f"Whether {label} ends within {margin:g} of {rival} in the final test metric is undecided."]
    return []


def _note_on_divergence(cell: xr.Dataset, label: str, target: float) -> str:
    diverged, num_seeds = int(cell["num_diverged"]), int(cell["num_seeds"])
    of = (
        f" of {num_seeds}" if num_seeds >= diverged else ""
    )  # without a level no run counts, and some diverged
    told = f"{diverged}{of} runs of {label} diverged and count as misses"
    headline = cell["ratio"].sel(axis="samples", target=target).values
    changed = [
        f"{ratio:.3g} instead of {own:.3g} against {rival}"
        for ratio, own, rival in zip(
            cell["ratio_if_hit"].values, headline, cell["rival_contender"].values, strict=True
        )
        if np.isfinite(ratio) and abs(ratio - own) > 1e-9
    ]
    if changed:
        told += f"; were those that had reached the target hits, the ratio would be {', '.join(changed)}"
    return f"{told}."


def _phrase(summary: xr.Dataset, item: Evidence, settings: StatisticsSettings) -> str:
    label = summary["contender"].values[item.contender]
    if item.rival not in summary["rival"].values:
        return f"the sweep has no arm {item.rival}"
    pair = summary.isel(contender=item.contender).sel(
        rival=item.rival, axis=item.axis, target=settings.target
    )
    rival, cost = pair["rival_contender"].item(), COSTS[item.axis]
    num_pairs = int(pair["num_pairs"])
    if not rival:
        return f"{item.rival} has no cell that learns the same data as {label}"
    if item.word == "not enough data":
        return f"{label} and {rival} share n = {num_pairs} seeds, and {settings.min_seeds} are needed"
    if item.word == "not measured":
        return _unmeasured(summary, item, label, rival, num_pairs)
    low, high = pair["ratio_bound"].values
    ratio = f"{pair['ratio'].item():.3g}"
    interval = f"{100 * (1 - settings.alpha):g} % interval {low:.3g} to {high:.3g}"
    p_value = pair["p_holm" if item.axis == "samples" else "p_value"].item()
    certain = f"{interval}, n = {num_pairs} pairs, p {_p(p_value)}"
    if item.word == "not distinguished":
        return (
            f"{label} and {rival} are not distinguished in {cost} (ratio {ratio}, n = {num_pairs} pairs, "
            f"p {_p(p_value)}); ratios outside [{low:.3g}, {high:.3g}] excluded"
        )
    return f"{label} needs {ratio} times the {cost} of {rival} ({certain})"


def _unmeasured(summary: xr.Dataset, item: Evidence, label: str, rival: str, num_pairs: int) -> str:
    if not num_pairs:
        return f"{label} and {rival} share no seed with a level to reach"
    on_samples = summary["ratio"].isel(contender=item.contender).sel(rival=item.rival, axis="samples")
    if item.axis == "seconds" and on_samples.notnull().any():
        return f"seconds of {label} and {rival} were not measured on one device"
    return f"neither {label} nor {rival} reaches the target in any run"


def _counted(summary: xr.Dataset, rests: list[Evidence], settings: StatisticsSettings) -> str:
    """Return how many of the subject's cells said what beside each rival on each axis, and between what ratios."""
    groups: dict[tuple[str, str], list[Evidence]] = {}
    for item in rests:
        groups.setdefault((item.rival, item.axis), []).append(item)
    parts = []
    for (rival, axis), items in groups.items():
        counts = {
            word: sum(item.word == word for item in items) for word in dict.fromkeys(i.word for i in items)
        }
        told = ", ".join(
            f"{COUNTED[word].format(rival=rival)} in {_of(count, len(items))}"
            for word, count in counts.items()
        )
        part = f"{COSTS[axis]} are {told}"
        if rival in summary["rival"].values:
            every = summary["ratio"].sel(rival=rival, axis=axis, target=settings.target).values
            ratios = every[[item.contender for item in items]]
            if np.isfinite(ratios).any():
                part += f" (ratios {np.nanmin(ratios):.3g} to {np.nanmax(ratios):.3g})"
        parts.append(part)
    return "; ".join(parts)


def _of(count: int, number: int) -> str:
    return f"{count} of {number} cells" if count < number else f"all {number} cells"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.2g}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
