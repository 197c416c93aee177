"""Sequential sweeps: claims are judged at a few planned numbers of seeds, and stay as the first look decided them."""

import json
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.statistics.contenders import contenders, subject_of
from hornlib.statistics.estimators.pocock import look_level
from hornlib.statistics.looks import finished_looks, first_seeds
from hornlib.statistics.next_look import with_remarks
from hornlib.statistics.planning import pair_power
from hornlib.statistics.restricted_mean import axes_of_cost, baseline_metric
from hornlib.statistics.summary import core, summarise
from hornlib.statistics.tuning_cost import Tuning
from hornlib.statistics.verdicts import (
    Evidence,
    by_cell,
    combine,
    judged_selection,
    subjects_of,
    verdicts,
)
from hornlib.statistics.wording import answer, sentences

__all__ = ["DECIDED", "summarise_looks"]

DECIDED = ("yes", "no", "mixed")
"""Verdicts on one cell after which its claim is not judged again."""

FEWEST_DRAWS = 1000
"""Draws of the bootstrap at a look; no verdict rests on it."""

TOLD = ("verdict", "overall_verdict", "verdict_sentence", "overall_sentence")


class _Looks(NamedTuple):
    """What every look at a sweep found.

    Attributes:
        compared: seeds of the look -> the comparisons; the last look has all that is complete.
        subject: the arm that claims without a subject of their own are about.
        settings: with the level of a look as alpha.
        complete: (dataset, claim), seeds of the last complete look; 0 for none.
        names: datasets and claims.
    """

    compared: dict[int, xr.Dataset]
    subject: str
    settings: StatisticsSettings
    complete: np.ndarray
    names: tuple[list[str], list[str]]


def summarise_looks(
    ds: xr.Dataset,
    settings: StatisticsSettings,
    reference: xr.DataArray | None = None,
    tunings: Mapping[str, Tuning] | None = None,
) -> xr.Dataset:
    """Return the statistics of a sequential sweep: tables of all complete looks, verdicts as their looks gave them.

    At a look of n seeds, statistics use the first n seeds of every cell; tests and intervals have the level at
    which all planned looks together err at alpha (`hornlib.statistics.estimators.pocock`). A look at a claim on a
    dataset is complete when all cells of its arms there have ended n seeds. The first look that decides the claim
    gives its verdict: later seeds stand in the tables alone. A claim that no look has decided has the verdict of
    its last complete look; where that is `not measured`, no further look is asked for. Seeds beyond a cell's last
    complete look count nowhere.

    Args:
        ds: from `open_results(path, sweep=...)`; runs of later looks may be missing.
        settings: with `sequential`.
        reference: as `hornlib.statistics.summary.summarise` takes it.
        tunings: likewise.

    Returns:
        As from `summarise`, and also `look_verdict` (look, dataset, claim), "" where the look is not complete or an
        earlier one decided;
        `decided_at`, `last_look`, `next_look` (dataset, claim), seeds, NaN for none; `seeds_to_train` (contender), the
        first seeds that the next look needs. Attributes: `look_level` (level of each look), `overall_alpha`.
    """
    looks = settings.sequential
    reached = finished_looks(ds, looks)
    found = contenders(first_seeds(ds, reached), settings.baseline)
    subject = subject_of(found, settings.subject)
    level = look_level(looks, settings.alpha, _family_size(found, subject, settings))
    at_level = settings.model_copy(update={"alpha": level})
    result = summarise(first_seeds(ds, reached), at_level, reference, tunings)
    result = result.assign_attrs(look_level=level, overall_alpha=settings.alpha)
    if "claim" not in result.dims:
        return result
    names = result["dataset"].values.tolist(), result["claim"].values.tolist()
    needed = _needed(found, names, subject, settings, reference)
    complete = np.where(needed, reached, np.inf).min(-1)
    complete = np.where(np.isfinite(complete), complete, 0).astype(int)
    compared = {
        look: _compared(first_seeds(ds, np.minimum(reached, look)), at_level, reference)
        for look in looks
        if look <= max(reached.max(), looks[0])
    }
    judged = _Looks(compared, subject, at_level, complete, names)
    words, decided = _judge(judged)
    source = np.where(decided > 0, decided, np.where(complete > 0, complete, max(compared)))
    told = xr.concat([_told(judged, source, column) for column in range(len(names[1]))], "claim")
    result = result.assign({name: told[name].reindex_like(result[name]) for name in TOLD})
    result = result.assign(_progress(judged, words, decided, needed))
    result = with_remarks(result)
    limits = [_plan(looks, level, settings.alpha), *json.loads(result.attrs["limits"])]
    return result.assign_attrs(limits=json.dumps(limits), answer=answer(result, at_level))


def _family_size(found: xr.Dataset, subject: str, settings: StatisticsSettings) -> int:
    """Return the most tests that Holm's correction of a claim's comparisons takes together: cells of its subject."""
    arms = found["arm"].values
    chosen = found["selected_for"].values == judged_selection(found["selected_for"].values)
    subjects = subjects_of(subject, settings).values()
    return max([1, *(int(((arms == arm) & chosen).sum()) for arm in subjects)])


def _needed(
    found: xr.Dataset,
    names: tuple[list[str], list[str]],
    subject: str,
    settings: StatisticsSettings,
    reference: xr.DataArray | None,
) -> np.ndarray:
    """Return whose seeds a look at a claim counts, (dataset, claim, contender): the arms that it names.

    The baseline is among them where its runs set the level to reach.
    """
    arms, datasets, selected = (found[name].values for name in ("arm", "dataset", "selected_for"))
    judged = selected == judged_selection(selected)
    needed = np.zeros((len(names[0]), len(names[1]), len(arms)), bool)
    subjects = subjects_of(subject, settings)
    given = {} if reference is None else reference.to_series().dropna().to_dict()
    for row, dataset in enumerate(names[0]):
        for column, claim in enumerate(names[1]):
            labels = [subjects[claim], *settings.claims[claim].must_beat()]
            own = judged & np.isin(arms, labels)
            if dataset not in given:
                own |= arms == settings.baseline
            needed[row, column] = own & (datasets == dataset)
    return needed


def _compared(ds: xr.Dataset, settings: StatisticsSettings, reference: xr.DataArray | None) -> xr.Dataset:
    """Return the comparisons of the arms that claims name, at the headline target."""
    found = contenders(ds, settings.baseline)
    if reference is None:
        reference = baseline_metric(found, settings.baseline)
    reference = reference.reindex(
        dataset=np.array(list(dict.fromkeys(found["dataset"].values.tolist())), object)
    )
    alone = settings.model_copy(update={"targets": (), "bootstrap": FEWEST_DRAWS})
    wanted = {axis for claim in settings.asked().values() for axis in claim.axes}
    axes = tuple(axis for axis in axes_of_cost(found) if axis in {"samples", *wanted})
    result = core(found, reference, alone, axes=axes)
    return result.merge(pair_power(result, alone), compat="no_conflicts")


def _judge(looks: _Looks) -> tuple[np.ndarray, np.ndarray]:
    """Return the words of every look, (look, dataset, claim), and the seeds of the look that decided, 0 for none."""
    planned = looks.settings.sequential
    words = np.full((len(planned), *looks.complete.shape), "", object)
    decided = np.zeros(looks.complete.shape, int)
    for place, (look, compared) in enumerate(looks.compared.items()):
        found, rests = verdicts(compared, looks.subject, looks.settings)
        for row, column in np.argwhere((looks.complete >= look) & (decided == 0)):
            key = looks.names[0][row], looks.names[1][column]
            words[place, row, column] = found["verdict"].sel(dataset=key[0], claim=key[1]).item()
            if _decides(rests[key], looks.settings.alpha):
                decided[row, column] = look
    return words, decided


def _decides(items: list[Evidence], alpha: float) -> bool:
    """Return whether the claim is shown or refuted about every cell of its subject."""
    cells = by_cell(items).values()
    return bool(cells) and all(combine(own, alpha) in DECIDED for own in cells)


def _told(looks: _Looks, source: np.ndarray, column: int) -> xr.Dataset:
    """Return verdicts and sentences of one claim, of the look that judged it on each dataset."""
    name = looks.names[1][column]
    settings = looks.settings.model_copy(
        update={"claims": {name: looks.settings.claims[name]}, "targets": ()}
    )
    first = next(iter(looks.compared.values()))
    of_dataset = dict(zip(looks.names[0], source[:, column].tolist(), strict=True))
    rows = [
        looks.compared[of_dataset[dataset]].isel(contender=[row])
        for row, dataset in enumerate(first["dataset"].values.tolist())
    ]
    kept = [key for key in first.data_vars if "contender" in first[key].dims]
    composed = xr.concat([row[kept] for row in rows], "contender", join="outer")
    found, rests = verdicts(composed, looks.subject, settings)
    told = composed.merge(found)
    return found.merge(sentences(told, rests, settings))


def _progress(looks: _Looks, words: np.ndarray, decided: np.ndarray, needed: np.ndarray) -> xr.Dataset:
    """Return where every claim stands, and how many first seeds of each contender are to be trained next."""
    planned = np.array(looks.settings.sequential)
    place = np.searchsorted(planned, looks.complete, side="right")
    rows, columns = np.indices(place.shape)
    # An axis that was not measured, or a level that is lacking, is so with more seeds, too.
    hopeless = (looks.complete > 0) & (words[place - 1, rows, columns] == "not measured")
    due = np.where((decided == 0) & needed.any(-1) & ~hopeless, np.append(planned, 0)[place], 0)
    to_train = np.where(needed, due[..., None], 0).max((0, 1))
    dims = ("dataset", "claim")

    def seeds(values: np.ndarray, long_name: str) -> tuple[tuple[str, ...], np.ndarray, dict[str, str]]:
        return dims, np.where(values > 0, values, np.nan), {"units": "1", "long_name": long_name}

    return xr.Dataset(
        {
            "look_verdict": (("look", *dims), words, {"units": "1", "long_name": "verdict at each look"}),
            "decided_at": seeds(decided, "seeds of the look that decided the claim"),
            "last_look": seeds(looks.complete, "seeds of the last complete look at the claim"),
            "next_look": seeds(due, "seeds of the next look at the claim"),
            "seeds_to_train": (
                "contender",
                np.maximum(to_train, planned[0]),
                {
                    "units": "1",
                    "long_name": "first seeds that the next look needs; a first look has every contender",
                },
            ),
        },
        {
            "look": ("look", planned, {"units": "1", "long_name": "seeds of the look"}),
            "dataset": looks.names[0],
            "claim": looks.names[1],
        },
    )


def _plan(looks: tuple[int, ...], level: float, alpha: float) -> str:
    seeds = ", ".join(map(str, looks))
    return (
        f"Claims are judged at {len(looks)} looks ({seeds} seeds), each at level {level:.3g}, so that all looks "
        f"together err as often as one test at {alpha:g}. All intervals have that level; seeds beyond the last "
        "complete look of a cell are not used."
    )
