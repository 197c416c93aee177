"""The choice: which trial of an arm is best on validation, and what all of them cost."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from hornlib.cell import Cell, Selection
from hornlib.errors import ResultsError
from hornlib.results.selection_file import Choice

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["baseline_metric", "choose"]


def choose(cell: Cell, trials: "xr.Dataset", baseline: "xr.Dataset | None") -> Choice:
    """Choose the trial of least restricted mean time, or of best last metric, on validation, over its seeds.

    A run that diverged counts as chance in the last metric, and as the whole budget in the time. Of equal
    times the better last metric decides, then the earlier trial.

    Args:
        cell: the tuned cell, unresolved.
        trials: of its arm.
        baseline: trials of the baseline, for time_to_target.

    Raises:
        ResultsError: not one trial has a validation metric.
    """
    from hornlib.results.events import time_to_target

    tuned = cell.tuned
    if tuned is None:
        raise ValueError(f"{cell.name} is not tuned")
    final = _final_metric(trials)
    if not np.isfinite(final).any():
        raise ResultsError(f"{tuned.arm}: no trial has a validation metric; give data.validation above 0")
    badness = -final if str(trials["direction"].item()) == "maximise" else final
    reference, scores = np.nan, final
    if baseline is not None:
        reference = baseline_metric(baseline)
        times = time_to_target(trials, tuned.target, on="samples", confirm=tuned.confirm, baseline=reference)
        scores = times["time"].mean("seed").values
    keys = (np.arange(len(final)), badness, scores if baseline is not None else badness)
    best = int(np.lexsort([np.where(np.isnan(key), np.inf, key) for key in keys])[0])
    values = {key: trials[key].values.tolist() for key in tuned.ranges}
    return Choice(
        cell.name,
        Selection(best, {key: own[best] for key, own in values.items()}),
        _outermost(values, best),
        scores.tolist(),
        float(reference),
        _cost(trials),
    )


def baseline_metric(trials: "xr.Dataset") -> float:
    """Return A: the median over tuning seeds of the last validation metric of the trial where its mean is best."""
    final = _final_metric(trials)
    maximise = str(trials["direction"].item()) == "maximise"
    best = int(np.nanargmax(final) if maximise else np.nanargmin(final))
    last = trials["validation_metric"].isel(trial=best, step=-1)
    return float(last.fillna(trials["chance_level"]).median())


def _final_metric(trials: "xr.Dataset") -> np.ndarray:
    """Return the mean last validation metric of every trial, (trial,); a diverged run counts as chance."""
    last = trials["validation_metric"].isel(step=-1)
    chance = trials["chance_level"].where(trials["diverged_at_step"].notnull())
    return np.asarray(last.fillna(chance).mean("seed").values)


def _cost(trials: "xr.Dataset") -> dict[str, float]:
    runs = trials.sizes["trial"] * trials.sizes["seed"]
    flops = trials["training_flops"].max("step")
    return {
        "samples": float(trials["samples"].values[-1] * runs),
        "training_flops": float(flops.fillna(flops.max()).sum()),
        "seconds": float(trials["seconds"].max("step").sum()),
    }


def _outermost(values: Mapping[str, list[float]], trial: int) -> list[str]:
    """Return the parameters in which a trial is the smallest or the largest of all: the optimum may lie beyond."""
    return [key for key, own in values.items() if own[trial] in (min(own), max(own))]
