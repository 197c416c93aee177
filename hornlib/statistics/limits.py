"""Limits: everything that the statistics of a sweep cannot show, and why, in one sentence each."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import xarray as xr

from hornlib.config.messages import counted
from hornlib.models import MODELS
from hornlib.models.efficient.parameters import EfficientParameters
from hornlib.parameters.statistics import StatisticsSettings
from hornlib.statistics.software import differences_of_software
from hornlib.statistics.verdicts import judged_selection, subjects_of

__all__ = ["limits"]

NUM_NAMED = 5
"""A sentence names so many labels, and counts the others."""


def limits(
    ds: xr.Dataset, summary: xr.Dataset, subject: str, fixed: Collection[str], settings: StatisticsSettings
) -> list[str]:
    """Return everything that cannot be concluded, one sentence each.

    Args:
        ds: from `contenders` (contender, seed, step), with all of its steps.
        summary: from `hornlib.statistics.summary.core` (contender, rival, target, axis, ..), with `non_inferior` and
            the verdicts.
        subject: the arm of the claims that name no subject; "" if there is none.
        fixed: the datasets on which the baseline's metric A was fixed on tuning seeds, before these runs.
        settings: claims, target, margin, min_seeds.
    """
    return [
        *_runs(ds),
        *differences_of_software(ds),
        *_arms(ds, subject, settings),
        *_rivals(ds, summary, subject, settings),
        *_levels(ds, summary, fixed, settings),
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


def _arms(ds: xr.Dataset, subject: str, settings: StatisticsSettings) -> Iterator[str]:
    arms = list(dict.fromkeys(ds["arm"].values.tolist()))
    if len(arms) < 2:
        yield f"The sweep has only the arm {', '.join(arms)}: there is nothing to compare it with."
    subjects = subjects_of(subject, settings)
    if not all(subjects.values()):
        what = f"no arm {settings.subject}" if settings.subject else "no arm with oscillators"
        yield f"The sweep has {what}; `statistics: subject:` takes one of {_some(arms)}."
    absent = {arm: name for name, arm in subjects.items() if arm and arm not in arms}
    for arm, name in absent.items():
        yield f"The claim `{name}` is about the arm {arm}, which the sweep does not have."
    if judged_selection(ds["selected_for"].values):
        yield (
            "Claims are about the cells that were tuned for speed. The tables also have the ratios of cells with "
            "default values and of cells that were tuned for accuracy. These ratios may differ."
        )


def _rivals(ds: xr.Dataset, summary: xr.Dataset, subject: str, settings: StatisticsSettings) -> Iterator[str]:
    arms = set(ds["arm"].values.tolist())
    if absent := [arm for arm in settings.rivals() if arm not in arms]:
        yield f"The claims name rivals that the sweep does not have: {_some(absent)}."
    judged = ds["selected_for"].values == judged_selection(ds["selected_for"].values)
    subjects = subjects_of(subject, settings)
    sentences: dict[str, None] = {}
    for name, claim in settings.asked().items():
        is_subject = judged & (ds["arm"].values == subjects[name])
        for arm in (arm for arm in claim.must_beat() if arm in arms):
            without = is_subject & (summary["rival_contender"].sel(rival=arm).values == "")
            if without.any():
                labels = _some(ds["contender"].values[without].tolist())
                sentences[
                    f"{arm} has no cell that learns the same data in the same presentation as {labels}."
                ] = None
    yield from sentences


def _levels(
    ds: xr.Dataset, summary: xr.Dataset, fixed: Collection[str], settings: StatisticsSettings
) -> Iterator[str]:
    has_level = summary["level"].notnull().any([dim for dim in summary["level"].dims if dim != "dataset"])
    late = [name for name in summary["dataset"].values[has_level.values].tolist() if name not in fixed]
    if late or not fixed:
        where = f" on {_some(late)}" if fixed else ""
        yield (
            f"The levels of the targets{where} come from the baseline's runs that are compared here, not from tuning "
            "seeds. They were not fixed before the evaluation."
        )
    for dataset in summary["dataset"].values.tolist():
        parts = ds["judged_on"].values[ds["dataset"].values == dataset]
        if (parts == "test").any():
            yield (
                f"{dataset}: there is no validation split. Targets, early metrics and the choice of learning rates for "
                "the influence of parameters use the test split, so that they are not independent of the final metric."
            )
        if summary["level"].sel(dataset=dataset).notnull().any():
            continue
        cells = ds.isel(contender=np.flatnonzero(ds["dataset"].values == dataset))
        if cells["validation_metric"].isnull().all() and not _all_diverged(cells):
            yield f"{dataset}: there is no metric, and so no target and no time to it."
        elif dataset not in fixed and settings.baseline not in cells["arm"].values:
            yield (
                f"{dataset}: no arm {settings.baseline} sets the levels of the targets; `statistics: baseline:` takes "
                f"one of {_some(list(dict.fromkeys(cells['arm'].values.tolist())))}."
            )
        elif dataset in fixed:
            yield (
                f"{dataset}: the tuning seeds of {settings.baseline} have no metric, or one that is no better than "
                "chance, so that there is no level to reach."
            )
        else:
            yield f"{dataset}: {settings.baseline} ends no better than chance, so that there is no level to reach."


def _grids(ds: xr.Dataset) -> Iterator[str]:
    evaluated: np.ndarray = ds["samples"].notnull().transpose("contender", "step").values
    steps = ds["step"].values
    for dataset in dict.fromkeys(ds["dataset"].values.tolist()):
        grids = evaluated[(ds["dataset"].values == dataset) & np.any(evaluated, axis=1)]
        if not len(grids):
            continue
        if not np.all(grids == grids[0]):
            yield (
                f"{dataset}: the contenders were evaluated at different steps. Each pair is judged on the evaluations "
                "that both have; a pair that shares none is not measured."
            )
        first = steps[np.argmax(grids, axis=1).max()]
        if first > 1:
            yield (
                f"{dataset}: some contenders were first evaluated after {first:g} steps. A target that they reached "
                "earlier is dated there."
            )


def _outcomes(ds: xr.Dataset, summary: xr.Dataset, settings: StatisticsSettings) -> Iterator[str]:
    labels = ds["contender"].values
    trained = ds["status"].isin(["complete", "diverged"]).sum("seed").values
    diverged = summary["num_diverged"].values
    few = (trained < settings.min_seeds) & (trained > 0)
    if few.any():
        least = int(trained[few].min())
        yield (
            f"Not enough data: {_some(labels[few].tolist())} have fewer than {settings.min_seeds} runs, the fewest "
            f"{least}. Nothing is concluded from them."
        )
    if (trained == 0).any():
        yield f"There is no run of {_some(labels[trained == 0].tolist())}."
    if ((diverged == trained) & (trained > 0)).any():
        yield f"All runs of {_some(labels[(diverged == trained) & (trained > 0)].tolist())} diverged."
    lost = ds["validation_metric"].isnull() & ds["samples"].notnull() & (ds["status"] == "complete")
    lost = lost.any(("step", "seed")).values & ds["validation_metric"].notnull().any(("step", "seed")).values
    if lost.any():
        yield (
            f"Runs of {_some(labels[lost].tolist())} have evaluations without a number, although they did not diverge. "
            "No target counts as reached at these evaluations."
        )
    at = {"target": settings.target, "axis": "samples"}
    reached = summary["event"].sel(at).any("seed").values
    measured = summary["restricted_time"].sel(at).notnull().any("seed").values
    if (measured & ~reached).any():
        untuned = (ds["selected_for"].values == "") & (judged_selection(ds["selected_for"].values) != "")
        named = np.where(untuned, [f"{label} with default values" for label in labels], labels)
        never = named[measured & ~reached].tolist()
        yield f"No run of {_some(never)} reaches the {100 * settings.target:g} % level within the budget."


def _ends(summary: xr.Dataset, subject: str, settings: StatisticsSettings) -> Iterator[str]:
    """Yield the subjects whose final metric is worse than their rivals', and the number of their diverged runs."""
    judged = summary["selected_for"].values == judged_selection(summary["selected_for"].values)
    rivals: dict[str, list[str]] = {}
    for name, claim in settings.asked().items():
        rivals.setdefault(subjects_of(subject, settings)[name], []).extend(claim.rivals)
    labels, diverged = summary["contender"].values, summary["num_diverged"].values
    for claim_subject, arms in rivals.items():
        cells = np.flatnonzero(judged & (summary["arm"].values == claim_subject))
        for arm in (arm for arm in dict.fromkeys(arms) if arm in summary["rival"].values):
            behind = cells[summary["non_inferior"].sel(rival=arm).values[cells] == "no"]
            if len(behind):
                yield (
                    f"At the end of training the final test metric of {_some(labels[behind].tolist())} is worse than "
                    f"that of {arm} by more than the margin of {settings.margin:g}. Each comparison is tested alone, "
                    "without a correction for their number."
                )
        for cell in cells[diverged[cells] > 0]:
            number = counted(int(diverged[cell]), "run")
            yield f"{number} of {labels[cell]} diverged. A diverged run counts as never reaching the target."


def _lagging_statistics(ds: xr.Dataset, subject: str, settings: StatisticsSettings) -> Iterator[str]:
    """Yield the contenders of the claims that were evaluated with batch norm statistics of older weights."""
    if "batch_norm_statistics" not in ds.coords:
        return
    arms = {*subjects_of(subject, settings).values(), *settings.rivals()}
    kinds = ds["batch_norm_statistics"].values.astype(str)
    lagging = np.isin(ds["arm"].values.astype(str), list(arms)) & ~np.isin(kinds, ("precise", ""))
    lagging &= _may_have_batch_norm(ds)
    for kind in dict.fromkeys(kinds[lagging].tolist()):
        labels = ds["contender"].values[lagging & (kinds == kind)].tolist()
        yield (
            f"{_some(labels)} were evaluated with `batch_norm_statistics: {kind}`, which lag behind the weights. Early "
            "metrics then depend on this lag, and the verdicts may be about the lag. `precise` statistics have none."
        )


def _may_have_batch_norm(ds: xr.Dataset) -> np.ndarray:
    """Return whether each contender may have batch norm, (contender,): true unless its parameters exclude it."""
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
    is_measured = seconds.notnull().any([dim for dim in seconds.dims if dim != "contender"])
    unmeasured = (trained & ~is_measured).values
    if not is_measured.any():
        yield "Seconds were not measured: `hornlib calibrate` times every cell's step on one device."
    elif unmeasured.any():
        labels = ds["contender"].values[unmeasured].tolist()
        yield f"Seconds of {_some(labels)} were not measured on {ds.attrs['calibration_device']}."
    kernels = ds["step_time_kernel"].values.astype(str)
    loops = is_measured.values & np.char.startswith(kernels, "loop")
    for kernel in dict.fromkeys(kernels[loops].tolist()):
        labels = ds["contender"].values[loops & (kernels == kernel)].tolist()
        yield (
            f"Seconds of {_some(labels)} were measured with a loop over torch's calls as the recurrence, because "
            f"{kernel.partition(': ')[2]}. A fused kernel takes several times less, so that ratios of these seconds to "
            "those of other contenders are ratios of implementations, too."
        )


def _edges(ds: xr.Dataset) -> Iterator[str]:
    if "at_edge" not in ds:
        return
    for parameter in dict.fromkeys(" ".join(ds["at_edge"].values.tolist()).split()):
        chosen = [parameter in names.split() for names in ds["at_edge"].values.tolist()]
        labels = ds["contender"].values[chosen].tolist()
        yield (
            f"{parameter} of {_some(labels)} was chosen at the edge of the tried range. Its best value may lie beyond, "
            "so that these arms may do better with a wider range."
        )


def _all_diverged(ds: xr.Dataset) -> bool:
    return bool((ds["status"] == "diverged").all())


def _some(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - NUM_NAMED} more" if len(labels) > NUM_NAMED else ""
    return ", ".join(labels[:NUM_NAMED]) + more
