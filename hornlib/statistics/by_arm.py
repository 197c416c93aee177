"""Arms over all datasets: interquartile mean of final metrics, performance profiles and AlgoPerf's score."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.statistics.contenders import subject_of
from hornlib.statistics.estimators.aggregate import interquartile_mean, normalised
from hornlib.statistics.estimators.profiles import (
    LARGEST_RATIO,
    algoperf_score,
    performance_profile,
    time_ratios,
)
from hornlib.statistics.restricted_mean import baseline_metric

__all__ = ["FEWEST_DATASETS", "by_arm"]

RATIO_GRID = np.linspace(1, LARGEST_RATIO, 61)

FEWEST_DATASETS = 2
"""Number of datasets that a profile needs. On one dataset the ratios of times say the same."""

VECTOR = "vector"
"""The only presentation of datasets without images."""

SEVERAL_CELLS = "several cells on a dataset"
SEVERAL_PRESENTATIONS = "several presentations"


class _Places(NamedTuple):
    """The positions of the arms' cells.

    Attributes:
        positions: (arm, selection, dataset), position of the arm's only cell; -1 for no cell, or several.
        presentations: arm -> presentations of its cells, each once. "vector" is in the list only if it is the only one,
            since datasets without images have no other presentation.
        crowded: arms with several cells on a dataset.
    """

    positions: xr.DataArray
    presentations: dict[str, list[str]]
    crowded: list[str]


def by_arm(
    ds: xr.Dataset, final: xr.DataArray, times: xr.Dataset, settings: StatisticsSettings
) -> tuple[xr.Dataset, list[str]]:
    """Return aggregates of every arm over all datasets, and sentences that name what cannot be computed.

    An arm with several cells on a dataset has no aggregates, since the choice of one cell would tune it. Times are
    compared between arms of the same presentation, if one of them is a subject of a claim, over at least two datasets.

    Args:
        ds: from `contenders`.
        final: from `final_metric`, (contender, seed).
        times: from `restricted_times`.
        settings: subject, baseline, target, alpha, bootstrap draws.

    Returns:
        On (arm, selection), where `selection` is the objective of tuned cells: `interquartile_mean`,
        `interquartile_mean_bound` (.., bound), `performance_profile` (.., ratio_grid), `algoperf_score`, and
        `algoperf_reason`, the reason why an arm has no score ("" if it has a score, or no run).
    """
    places = _places(ds)
    chance = ds["chance_level"].reset_coords(drop=True)
    reference = baseline_metric(ds.assign(final_validation_metric=final), settings.baseline)
    cell_reference = reference.sel(dataset=ds["dataset"].reset_coords(drop=True)).drop_vars("dataset")
    scores = _placed(normalised(final, chance, cell_reference), places.positions)
    middle = interquartile_mean(scores, settings.seed, settings.alpha, settings.bootstrap)
    ratio, reasons, sentences = _ratios(ds, _median_times(times, settings.target), places, settings)
    arms = xr.Dataset(
        {
            "interquartile_mean": middle["estimate"],
            "interquartile_mean_bound": middle["interval"],
            "performance_profile": performance_profile(ratio, RATIO_GRID.tolist()),
            "algoperf_score": algoperf_score(ratio),
            "algoperf_reason": reasons,
        }
    )
    if places.crowded:
        arms_in_words = ", ".join(sorted(places.crowded))
        sentences.insert(0, f"No aggregate over datasets includes {arms_in_words}: {SEVERAL_CELLS}.")
    return arms, sentences


def _median_times(times: xr.Dataset, target: float) -> xr.DataArray:
    """Return the median over seeds of the samples to the target, (contender,); infinite if most runs miss."""
    headline = times.sel(target=target, axis="samples", drop=True)
    is_known = headline["restricted_time"].notnull()
    reached = headline["restricted_time"].where(headline["event"] == 1, np.inf)
    return reached.where(is_known).median("seed")


def _ratios(
    ds: xr.Dataset, median_times: xr.DataArray, places: _Places, settings: StatisticsSettings
) -> tuple[xr.DataArray, xr.DataArray, list[str]]:
    """Return the ratios to the best time within each presentation, the reasons for none, and sentences.

    Returns:
        ratios: (arm, selection, dataset), NaN if the arm cannot be compared.
        reasons: (arm, selection), "" if the arm has ratios, or no cell.
        sentences: the reasons as limits.
    """
    placed = _placed(median_times, places.positions)
    ratios = xr.full_like(placed, np.nan)
    reasons = _reasons_of_arms(ds, placed, places)
    subjects = _subjects(ds, settings)
    sentences = []
    single = {arm: words[0] for arm, words in places.presentations.items() if len(words) == 1}
    for presentation in dict.fromkeys(single.values()):
        members = [arm for arm, word in single.items() if word == presentation]
        for selection in placed["selection"].values:
            at = {"arm": members, "selection": selection}
            group = placed.sel(at)
            runs = group.notnull().any("dataset")
            if not runs.any():
                continue
            group_ratios = time_ratios(group)
            num_compared = int(group_ratios.notnull().any("arm").sum())
            reason = _reason(group_ratios, subjects, places.crowded, num_compared)
            if reason:
                unexplained = runs & (reasons.sel(at) == "")
                reasons.loc[at] = reasons.sel(at).where(~unexplained, reason)
                continue
            ratios.loc[at] = group_ratios
            if num_compared < group.sizes["dataset"]:
                sentences.append(
                    f"Performance profiles{_where(presentation, str(selection))} cover {num_compared} of "
                    f"{group.sizes['dataset']} datasets. On the others some arm does not have exactly one cell."
                )
    return ratios, reasons, list(dict.fromkeys([*sentences, *_without_score(reasons)]))


def _reasons_of_arms(ds: xr.Dataset, placed: xr.DataArray, places: _Places) -> xr.DataArray:
    """Return the reasons for no score that concern one arm alone, (arm, selection)."""
    words = np.full((placed.sizes["arm"], placed.sizes["selection"]), "", object)
    reasons = xr.DataArray(words, {name: placed[name] for name in ("arm", "selection")}, ("arm", "selection"))
    cells = set(zip(ds["arm"].values.tolist(), ds["selected_for"].values.tolist(), strict=True))
    for arm, selection in cells:
        at = {"arm": arm, "selection": selection}
        if len(places.presentations[arm]) > 1:
            reasons.loc[at] = SEVERAL_PRESENTATIONS
        elif arm in places.crowded and placed.sel(at).isnull().all():
            reasons.loc[at] = SEVERAL_CELLS
    return reasons


def _reason(ratios: xr.DataArray, subjects: list[str], crowded: list[str], num_compared: int) -> str:
    """Return the reason why the arms of one presentation and selection have no score, "" if they have one.

    Args:
        ratios: from `time_ratios`, (arm, dataset).
        subjects: subjects of the claims.
        crowded: arms with several cells on a dataset.
        num_compared: number of datasets on which all of these arms can be compared.
    """
    members = ratios["arm"].values.tolist()
    member_subjects = [arm for arm in subjects if arm in members]
    if not member_subjects:
        return "no subject of a claim has this presentation"
    if ratios.sizes["dataset"] < FEWEST_DATASETS:
        return "one dataset, and a score over datasets needs two"
    if ratios.sel(arm=member_subjects).isnull().all():
        why = SEVERAL_CELLS if set(member_subjects) & set(crowded) else "no dataset that all arms have"
        return f"the subject {', '.join(member_subjects)} has no score: {why}"
    if num_compared < FEWEST_DATASETS:
        return "one dataset that all arms have, and a score over datasets needs two"
    if int(ratios.notnull().any("dataset").sum()) < 2:
        return "no other arm to compare with"
    return ""


def _subjects(ds: xr.Dataset, settings: StatisticsSettings) -> list[str]:
    """Return the arms that the claims are about, each once."""
    labels = [settings.subject, *(settings.subject_of(claim) for claim in settings.claims.values())]
    return [arm for arm in dict.fromkeys(subject_of(ds, label) for label in labels) if arm]


def _without_score(reasons: xr.DataArray) -> list[str]:
    """Return a sentence for every reason, with the arms that it concerns."""
    arms: dict[str, dict[str, None]] = {}
    for arm, row in zip(reasons["arm"].values, reasons.values, strict=True):
        for reason in filter(None, row):
            arms.setdefault(str(reason), {})[str(arm)] = None
    return [
        f"There is no AlgoPerf score for {', '.join(labels)}: {reason}." for reason, labels in arms.items()
    ]


def _where(presentation: str, selection: str) -> str:
    words = [
        f"of arms that read {presentation}" if presentation else "",
        f"selected for {selection}" if selection else "",
    ]
    return "".join(f" {word}" for word in words if word)


def _places(ds: xr.Dataset) -> _Places:
    """Return the positions of the arms' cells, and their presentations."""
    labels = {
        name: list(dict.fromkeys(ds[name].values.tolist())) for name in ("arm", "selected_for", "dataset")
    }
    positions = np.full(tuple(map(len, labels.values())), -1)
    crowded_places = set()
    keys = zip(*(ds[name].values.tolist() for name in labels), strict=True)
    for index, key in enumerate(keys):
        place = tuple(values.index(value) for values, value in zip(labels.values(), key, strict=True))
        if positions[place] != -1:
            crowded_places.add(place)
        positions[place] = index
    for place in crowded_places:
        positions[place] = -1
    presentations: dict[str, list[str]] = {arm: [] for arm in labels["arm"]}
    for arm, presentation in zip(ds["arm"].values.tolist(), ds["presentation"].values.tolist(), strict=True):
        if presentation not in presentations[arm]:
            presentations[arm].append(presentation)
    chosen = {
        arm: [word for word in words if word != VECTOR] or words for arm, words in presentations.items()
    }
    coords = dict(
        zip(
            ("arm", "selection", "dataset"),
            (np.array(values, object) for values in labels.values()),
            strict=True,
        )
    )
    return _Places(
        xr.DataArray(positions, coords, tuple(coords)),
        chosen,
        [labels["arm"][index] for index in dict.fromkeys(place[0] for place in crowded_places)],
    )


def _placed(values: xr.DataArray, positions: xr.DataArray) -> xr.DataArray:
    """Return values on (arm, selection, dataset) instead of `contender`."""
    by_contender = values.reset_coords(drop=True).drop_vars("contender")
    return by_contender.isel(contender=positions.clip(min=0)).where(positions >= 0)
