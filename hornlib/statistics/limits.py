"""Limits: what a sweep's statistics cannot say, and why, one sentence each."""

from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr

from hornlib.config.messages import counted
from hornlib.models import MODELS
from hornlib.models.efficient.parameters import EfficientParameters
from hornlib.parameters.statistics import StatisticsSettings
from hornlib.statistics.verdicts import judged_selection, subjects_of

__all__ = ["limits"]

SHOWN = 5
"""Labels named in a sentence before the rest is only counted."""


def limits(
    ds: xr.Dataset, summary: xr.Dataset, subject: str, given: bool, settings: StatisticsSettings
) -> list[str]:
    """Return what cannot be concluded.

    Args:
        ds: from `contenders`, with all of its steps.
        summary: levels, restricted times, ratios, on the same contenders.
        subject: the arm that claims without a subject of their own are about; "" where there is none.
        given: whether the baseline's metric A was fixed before these runs (on tuning seeds).
        settings: rivals and seeds.
    """
    return [
        *_runs(ds),
        *_arms(ds, subject, settings),
        *_rivals(ds, summary, subject, settings),
        *_levels(ds, summary, given, settings),
        *_grids(ds),
        *_outcomes(ds, summary, settings),
        *_ends(summary, subject, settings),
        *_lagging_statistics(ds, subject, settings),
        *_seconds(ds),
        *_edges(ds),
    ]


def _runs(ds: xr.Dataset) -> Iterator[str]:
    if missing := int((ds["status"] == "missing").sum()):
        yield f"{counted(missing, 'run')} of {ds['status'].size} are missing: these statistics are preliminary."
    if ds.attrs.get("mixed_versions"):
        yield (
            "The runs were trained by several versions of hornlib (results.nc names them): a difference between "
            "arms may be one between versions."
        )


def _arms(ds: xr.Dataset, subject: str, settings: StatisticsSettings) -> Iterator[str]:
    arms = list(dict.fromkeys(ds["arm"].values.tolist()))
    if len(arms) < 2:
        yield f"The sweep has only the arm {', '.join(arms)}: there is nothing to compare it with."
    subjects = subjects_of(subject, settings)
    if not all(subjects.values()):
        what = f"no arm {settings.subject}" if settings.subject else "no arm with oscillators"
        yield f"The sweep has {what}; `statistics: subject:` takes one of {_some(arms)}."
    absent = {own: name for name, own in subjects.items() if own and own not in arms}
    for own, name in absent.items():
        yield f"The sweep has no arm {own}, which the claim `{name}` is about."
    if judged_selection(ds["selected_for"].values):
        yield (
            "Claims are about the values that were tuned for speed. The tables also have the ratios of default values "
            "and of those tuned for accuracy; they may differ."
        )


def _rivals(ds: xr.Dataset, summary: xr.Dataset, subject: str, settings: StatisticsSettings) -> Iterator[str]:
    arms = set(ds["arm"].values.tolist())
    if absent := [arm for arm in settings.rivals() if arm not in arms]:
        yield f"The sweep lacks rivals that the claims name: {_some(absent)}."
    judged = ds["selected_for"].values == judged_selection(ds["selected_for"].values)
    subjects = subjects_of(subject, settings)
    sentences: dict[str, None] = {}
    for name, claim in settings.asked().items():
        own = judged & (ds["arm"].values == subjects[name])
        for arm in (arm for arm in claim.must_beat() if arm in arms):
            without = own & (summary["rival_contender"].sel(rival=arm).values == "")
            if without.any():
                labels = _some(ds["contender"].values[without].tolist())
                sentences[
                    f"{arm} has no cell that learns the same data in the same presentation as {labels}."
                ] = None
    yield from sentences


def _levels(ds: xr.Dataset, summary: xr.Dataset, given: bool, settings: StatisticsSettings) -> Iterator[str]:
    if not given:
        yield (
            "The targets' levels come from the baseline's runs that are compared here, not from tuning seeds: "
            "they were not fixed before the evaluation."
        )
    for dataset in summary["dataset"].values.tolist():
        parts = ds["judged_on"].values[ds["dataset"].values == dataset]
        if (parts == "test").any():
            yield (
                f"{dataset}: without a validation part, targets, early metrics and the learning rates of the "
                "parameters' influence are those of the test part, and so not independent of the final metric."
            )
        if summary["level"].sel(dataset=dataset).notnull().any():
            continue
        own = ds.isel(contender=np.flatnonzero(ds["dataset"].values == dataset))
        if own["validation_metric"].isnull().all() and not _all_diverged(own):
            yield f"{dataset}: there is no metric, and so no target and no time to it."
        elif not given and settings.baseline not in own["arm"].values:
            yield (
                f"{dataset}: no arm {settings.baseline} sets the targets' levels; `statistics: baseline:` takes "
                f"one of {_some(list(dict.fromkeys(own['arm'].values.tolist())))}."
            )
        elif given:
            yield f"{dataset}: the metric of {settings.baseline} given is lacking, or no better than chance: no level."
        else:
            yield f"{dataset}: {settings.baseline} ends no better than chance, so that there is no level to reach."


def _grids(ds: xr.Dataset) -> Iterator[str]:
    evaluated: np.ndarray = ds["samples"].notnull().transpose("contender", "step").values
    steps = ds["step"].values
    for dataset in dict.fromkeys(ds["dataset"].values.tolist()):
        own = evaluated[(ds["dataset"].values == dataset) & np.any(evaluated, axis=1)]
        if not len(own):
            continue
        if not np.all(own == own[0]):
            yield (
                f"{dataset}: the contenders were evaluated at different steps. Each pair is judged on the evaluations "
                "that both have; a pair that shares none is not measured."
            )
        first = steps[np.argmax(own, axis=1).max()]
        if first > 1:
            yield f"{dataset}: some first evaluation is step {first:g}; what was reached before is dated there."


def _outcomes(ds: xr.Dataset, summary: xr.Dataset, settings: StatisticsSettings) -> Iterator[str]:
    labels = ds["contender"].values
    trained = ds["status"].isin(["complete", "diverged"]).sum("seed").values
    diverged = summary["num_diverged"].values
    few = (trained < settings.min_seeds) & (trained > 0)
    if few.any():
        least = int(trained[few].min())
        yield (
            f"Not enough data: {_some(labels[few].tolist())} had fewer than {settings.min_seeds} runs "
            f"(the least {least}); nothing is concluded from them."
        )
    if (trained == 0).any():
        yield f"Not a single run of {_some(labels[trained == 0].tolist())} is there."
    if ((diverged == trained) & (trained > 0)).any():
        yield f"All runs of {_some(labels[(diverged == trained) & (trained > 0)].tolist())} diverged."
    lost = ds["validation_metric"].isnull() & ds["samples"].notnull() & (ds["status"] == "complete")
    lost = lost.any(("step", "seed")).values & ds["validation_metric"].notnull().any(("step", "seed")).values
    if lost.any():
        yield (
            f"{_some(labels[lost].tolist())} had evaluations without a number in runs that did not diverge; there "
            "no target counts as reached."
        )
    at = {"target": settings.target, "axis": "samples"}
    reached = summary["event"].sel(at).any("seed").values
    known = summary["restricted_time"].sel(at).notnull().any("seed").values
    if (known & ~reached).any():
        never = labels[known & ~reached].tolist()
        yield f"No run of {_some(never)} reaches the target {settings.target:g} within the budget."


def _ends(summary: xr.Dataset, subject: str, settings: StatisticsSettings) -> Iterator[str]:
    """Yield which subjects end behind their rivals, and how many of their runs diverged."""
    judged = summary["selected_for"].values == judged_selection(summary["selected_for"].values)
    rivals: dict[str, list[str]] = {}
    for name, claim in settings.asked().items():
        rivals.setdefault(subjects_of(subject, settings)[name], []).extend(claim.rivals)
    labels, diverged = summary["contender"].values, summary["num_diverged"].values
    for own, arms in rivals.items():
        cells = np.flatnonzero(judged & (summary["arm"].values == own))
        for arm in (arm for arm in dict.fromkeys(arms) if arm in summary["rival"].values):
            behind = cells[summary["non_inferior"].sel(rival=arm).values[cells] == "no"]
            if len(behind):
                yield (
                    f"At the end of training the final test metric of {_some(labels[behind].tolist())} is worse than "
                    f"that of {arm} by more than the margin of {settings.margin:g} (each comparison taken alone, not "
                    "corrected for their number)."
                )
        for cell in cells[diverged[cells] > 0]:
            number = counted(int(diverged[cell]), "run")
            yield f"{number} of {labels[cell]} diverged, which counts as never reaching the target."


def _lagging_statistics(ds: xr.Dataset, subject: str, settings: StatisticsSettings) -> Iterator[str]:
    """Yield which contenders of the claims were evaluated with batch norm statistics of older weights."""
    if "batch_norm_statistics" not in ds.coords:
        return
    arms = {*subjects_of(subject, settings).values(), *settings.rivals()}
    kinds = ds["batch_norm_statistics"].values.astype(str)
    lagging = np.isin(ds["arm"].values.astype(str), list(arms)) & ~np.isin(kinds, ("precise", ""))
    lagging &= _may_have_batch_norm(ds)
    for kind in dict.fromkeys(kinds[lagging].tolist()):
        labels = ds["contender"].values[lagging & (kinds == kind)].tolist()
        yield (
            f"{_some(labels)}: evaluated with `batch_norm_statistics: {kind}`, which lag behind the weights. Early "
            "metrics then show the lag, too, and the verdicts may be about the lag; `precise` has none."
        )


def _may_have_batch_norm(ds: xr.Dataset) -> np.ndarray:
    """Return which contenders may have batch norm: all but those whose parameters rule it out."""
    unknown = np.full(ds.sizes["contender"], "")
    norms, readouts = (
        ds[name].values.astype(str) if name in ds.coords else unknown
        for name in ("normalisation", "readout_norm")
    )
    always = [name for name, model in MODELS.items() if issubclass(model, EfficientParameters)]
    models = ds["model"].values.astype(str)
    return (norms == "batch") | (readouts != "none") | np.isin(models, always)


def _seconds(ds: xr.Dataset) -> Iterator[str]:
    seconds = ds["seconds"]
    trained = ds["status"].isin(("complete", "diverged")).any("seed")
    known = seconds.notnull().any([dim for dim in seconds.dims if dim != "contender"])
    unmeasured = (trained & ~known).values
    if not known.any():
        yield "Seconds were not measured: `hornlib calibrate` times every cell's step on one device."
    elif unmeasured.any():
        labels = ds["contender"].values[unmeasured].tolist()
        yield f"Seconds of {_some(labels)} were not measured on {ds.attrs['calibration_device']}."


def _edges(ds: xr.Dataset) -> Iterator[str]:
    if "at_edge" not in ds:
        return
    for parameter in dict.fromkeys(" ".join(ds["at_edge"].values.tolist()).split()):
        chosen = [parameter in told.split() for told in ds["at_edge"].values.tolist()]
        labels = ds["contender"].values[chosen].tolist()
        yield (
            f"{parameter} of {_some(labels)} was chosen at the edge of what was tried: its best value may lie beyond, "
            "and these arms may do better with a wider range."
        )


def _all_diverged(ds: xr.Dataset) -> bool:
    return bool((ds["status"] == "diverged").all())


def _some(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    return ", ".join(labels[:SHOWN]) + more
