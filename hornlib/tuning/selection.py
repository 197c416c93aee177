"""The choice: which trial of an arm is best on validation, how far that can be trusted, and what it cost."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hornlib.cell import Cell, Selection
from hornlib.errors import ResultsError
from hornlib.results.atomic import written_atomically

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Choice", "baseline_metric", "choose", "read_choice", "write_choice"]

SELECTION_SCHEMA_VERSION = 1
"""Of the files in `selected/`."""


class Choice(NamedTuple):
    """What a selection file holds.

    Attributes:
        cell: the tuned cell's name.
        selection: the trial and its values.
        at_edge: parameters whose chosen value is the smallest or largest tried.
        scores: of every trial: restricted mean samples to the target, or the mean last validation metric.
        reference: the baseline's median final validation metric over its tuning seeds; NaN for final_metric.
        cost: what all trials of the arm used: samples, training_flops, seconds (the job's own clock).
    """

    cell: str
    selection: Selection
    at_edge: list[str]
    scores: list[float]
    reference: float
    cost: dict[str, float]


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


def write_choice(path: Path, choice: Choice) -> None:
    """Write the choice as JSON.

    Raises:
        ResultsError: the disk is full or cannot be written.
    """
    body = {
        "schema_version": SELECTION_SCHEMA_VERSION,
        **choice._asdict(),
        "selection": choice.selection._asdict(),
    }
    body["reference"] = None if np.isnan(choice.reference) else choice.reference
    text = json.dumps({**body, "digest": _digest(body)}, indent=1)
    with written_atomically(path) as temporary:
        temporary.write_text(text + "\n")


def read_choice(path: Path) -> Choice:
    """Read and verify a selection file.

    Raises:
        ResultsError: it is not there, or not what was written.
    """
    try:
        body: dict[str, Any] = json.loads(path.read_text())
        sound = body.pop("digest") == _digest(body) and body.pop("schema_version") == SELECTION_SCHEMA_VERSION
        selection = Selection(**body.pop("selection"))
        body["reference"] = np.nan if body["reference"] is None else body["reference"]
        choice = Choice(selection=selection, **body)
    except FileNotFoundError:
        raise ResultsError(f"{path}: nothing is chosen yet; snakemake tunes and selects") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ResultsError(f"{path}: damaged, or no selection ({error}). {_AGAIN}") from error
    if not sound or choice.cell != path.stem:
        raise ResultsError(f"{path}: edited, renamed or of another version. {_AGAIN}")
    return choice


_AGAIN = "Delete it and give the same command again: it is made anew from the trials"


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


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
