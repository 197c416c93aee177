"""Sequential sweeps: claims are judged at a few planned numbers of seeds, until the first look that decides them."""

import json
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.statistics.axes import axes_of_cost
from hornlib.statistics.contenders import contenders, subject_of
from hornlib.statistics.estimators.pocock import look_level
from hornlib.statistics.looks import finished_looks, first_seeds
from hornlib.statistics.next_look import with_remarks
from hornlib.statistics.planning import pair_power
from hornlib.statistics.summary import core, reference_of, summarise
from hornlib.statistics.tuning_cost import Tuning
from hornlib.statistics.verdicts import (
    ClaimComparison,
    by_cell,
    combine,
    judged_selection,
    subjects_of,
    verdicts,
)
from hornlib.statistics.wording import answer, sentences

__all__ = ["DECIDED", "summarise_looks"]

DECIDED = ("yes", "no", "mixed")
"""Verdicts that decide a claim about one cell: it is not judged again."""

FEWEST_DRAWS = 1000
"""Bootstrap draws at a look. No verdict uses the bootstrap."""

JUDGED = ("verdict", "overall_verdict", "verdict_sentence", "overall_sentence")


class _Looks(NamedTuple):
    """The comparisons of every look at a sweep.

    Attributes:
        compared: number of seeds of the look -> comparisons. The last look uses all complete seeds.
        subject: the arm of the claims that name no subject.
        settings: the settings, with the level of a look as alpha.
        complete: (dataset, claim), number of seeds of the last complete look; 0 for none.
        names: labels of the datasets and of the claims.
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
    """Return the statistics of a sequential sweep, with the verdicts of the looks that decided them.

    A look at n seeds uses the first n seeds of every cell. Its tests and intervals have the level at which all planned
    looks together err as often as one test at alpha (`hornlib.statistics.estimators.pocock`). A look at a claim on a
    dataset is complete when all cells of the claim's arms have ended n seeds. The first look that decides the claim
    gives its verdict, and later seeds change only the tables. A claim that no look has decided has the verdict of its
    last complete look. If that verdict is `not measured`, no further look is planned. Seeds beyond the last complete
    look of a cell are not used.

    Args:
        ds: from `open_results(path, sweep=...)`; runs of later looks may be missing.
        settings: with `sequential`.
        reference: A, (dataset,), see `hornlib.statistics.summary.summarise`.
        tunings: name of a tuned cell -> its tuning.

    Returns:
        The statistics of `summarise` and, in addition, `look_verdict` (look, dataset, claim), "" where the look is not
        complete or an earlier look decided; `decided_at`, `last_look` and `next_look` (dataset, claim), numbers of
        seeds, NaN for none; `seeds_to_train` (contender), the number of first seeds that the next look needs. The
        attributes are `look_level` (level of each look) and `overall_alpha`.
    """
    looks = settings.sequential
    reached = finished_looks(ds, looks)
    cells = contenders(first_seeds(ds, reached), settings.baseline)
    subject = subject_of(cells, settings.subject)
    level = look_level(looks, settings.alpha, _family_size(cells, subject, settings))
    at_level = settings.model_copy(update={"alpha": level})
    result = summarise(first_seeds(ds, reached), at_level, reference, tunings)
    result = result.assign_attrs(look_level=level, overall_alpha=settings.alpha)
    if "claim" not in result.dims:
        return result
    names = result["dataset"].values.tolist(), result["claim"].values.tolist()
    needed = _needed(cells, names, subject, settings, reference)
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
    verdicts_of_looks = xr.concat(
        [_verdicts_of_claim(judged, source, column) for column in range(len(names[1]))], "claim"
    )
    result = result.assign({name: verdicts_of_looks[name].reindex_like(result[name]) for name in JUDGED})
    result = result.assign(_progress(judged, words, decided, needed))
    result = with_remarks(result)
    limits = [_plan(looks, level, settings.alpha), *json.loads(result.attrs["limits"])]
    return result.assign_attrs(limits=json.dumps(limits), answer=answer(result, at_level))


def _family_size(ds: xr.Dataset, subject: str, settings: StatisticsSettings) -> int:
    """Return the size of the largest family of Holm's correction: the number of cells of a claim's subject."""
    arms = ds["arm"].values
    chosen = ds["selected_for"].values == judged_selection(ds["selected_for"].values)
    subjects = subjects_of(subject, settings).values()
    return max([1, *(int(((arms == arm) & chosen).sum()) for arm in subjects)])


def _needed(
    ds: xr.Dataset,
    names: tuple[list[str], list[str]],
    subject: str,
    settings: StatisticsSettings,
    reference: xr.DataArray | None,
) -> np.ndarray:
    """Return whether a look at a claim needs the seeds of a contender, (dataset, claim, contender).

    It needs the arms that the claim names, and the baseline if its runs set the level of the target.
    """
    arms, datasets, selected = (ds[name].values for name in ("arm", "dataset", "selected_for"))
    judged = selected == judged_selection(selected)
    needed = np.zeros((len(names[0]), len(names[1]), len(arms)), bool)
    subjects = subjects_of(subject, settings)
    given = {} if reference is None else reference.to_series().dropna().to_dict()
    for row, dataset in enumerate(names[0]):
        for column, claim in enumerate(names[1]):
            labels = [subjects[claim], *settings.claims[claim].must_beat()]
            is_needed = judged & np.isin(arms, labels)
            if dataset not in given:
                is_needed |= arms == settings.baseline
            needed[row, column] = is_needed & (datasets == dataset)
    return needed


def _compared(ds: xr.Dataset, settings: StatisticsSettings, reference: xr.DataArray | None) -> xr.Dataset:
    """Return the comparisons of the arms that claims name, at the headline target."""
    cells = contenders(ds, settings.baseline)
    reference = reference_of(cells, settings.baseline, reference)
    headline_only = settings.model_copy(update={"targets": (), "bootstrap": FEWEST_DRAWS})
    wanted = {axis for claim in settings.asked().values() for axis in claim.axes}
    axes = tuple(axis for axis in axes_of_cost(cells) if axis in {"samples", *wanted})
    result = core(cells, reference, headline_only, axes=axes)
    return result.merge(pair_power(result, headline_only), compat="no_conflicts")


def _judge(looks: _Looks) -> tuple[np.ndarray, np.ndarray]:
    """Return the verdicts of every look, (look, dataset, claim), and the seeds of the deciding look, 0 for none."""
    planned = looks.settings.sequential
    words = np.full((len(planned), *looks.complete.shape), "", object)
    decided = np.zeros(looks.complete.shape, int)
    for place, (look, compared) in enumerate(looks.compared.items()):
        judged, rests = verdicts(compared, looks.subject, looks.settings)
        for row, column in np.argwhere((looks.complete >= look) & (decided == 0)):
            key = looks.names[0][row], looks.names[1][column]
            words[place, row, column] = judged["verdict"].sel(dataset=key[0], claim=key[1]).item()
            if _decides(rests[key], looks.settings.alpha):
                decided[row, column] = look
    return words, decided


def _decides(items: list[ClaimComparison], alpha: float) -> bool:
    """Return whether the claim is shown or refuted for every cell of its subject."""
    cells = by_cell(items).values()
    return bool(cells) and all(combine(cell_items, alpha) in DECIDED for cell_items in cells)


def _verdicts_of_claim(looks: _Looks, source: np.ndarray, column: int) -> xr.Dataset:
    """Return verdicts and sentences of one claim, on each dataset from the look `source` (dataset, claim)."""
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
    names = [key for key in first.data_vars if "contender" in first[key].dims]
    composed = xr.concat([row[names] for row in rows], "contender", join="outer")
    judged, rests = verdicts(composed, looks.subject, settings)
    return judged.merge(sentences(composed.merge(judged), rests, settings))


def _progress(looks: _Looks, words: np.ndarray, decided: np.ndarray, needed: np.ndarray) -> xr.Dataset:
    """Return the state of every claim, and the number of first seeds of each contender that the next look needs."""
    planned = np.array(looks.settings.sequential)
    place = np.searchsorted(planned, looks.complete, side="right")
    rows, columns = np.indices(place.shape)
    # More seeds measure no further axis and give no level to a target.
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
                    "long_name": "number of first seeds that the next look needs; the first look needs every contender",
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
        f"Claims are judged at {len(looks)} looks ({seeds} seeds), each at level {level:.3g}. All looks together err "
        f"as often as one test at {alpha:g}. All intervals have the level of a look. Seeds beyond the last complete "
        "look of a cell are not used."
    )
