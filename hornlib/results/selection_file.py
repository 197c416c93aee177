"""The selection file: which trial was chosen for a tuned cell, and what tuning cost; trusted only as written."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hornlib.errors import ResultsError
from hornlib.grid import Grid
from hornlib.grid.cell import Selection, changed_json
from hornlib.results.atomic import written_atomically

__all__ = ["Choice", "read_choice", "read_choices", "references", "write_choice"]

SELECTION_SCHEMA_VERSION = 2
"""Of the files in `selected/`."""


class Choice(NamedTuple):
    """What a selection file holds.

    Attributes:
        cell: the tuned cell's name.
        selection: the trial and its values.
        at_edge: parameters whose chosen value is the smallest or largest tried.
        scores: of every trial, over the seeds of the first stage: restricted mean samples to the target, or the
            mean last validation metric.
        reference: the baseline's median final validation metric over its tuning seeds; NaN for final_metric.
        cost: what all trials and finalists of the arm used: samples, training_flops, seconds (the job's own clock).
        finalists: trials that were trained again before the choice, ascending; empty without a second stage.
    """

    cell: str
    selection: Selection
    at_edge: list[str]
    scores: list[float]
    reference: float
    cost: dict[str, float]
    finalists: tuple[int, ...] = ()


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
        body["finalists"] = tuple(body.get("finalists", ()))
        body.pop("finalist_scores", None)  # files of before have it; nothing reads it
        body["reference"] = np.nan if body["reference"] is None else body["reference"]
        choice = Choice(selection=selection, **body)
    except FileNotFoundError:
        raise ResultsError(f"{path}: nothing is chosen yet; snakemake tunes and selects") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ResultsError(f"{path}: damaged, or no selection ({error}). {_AGAIN}") from error
    if not sound or choice.cell != path.stem:
        raise ResultsError(f"{path}: edited, renamed or of another version. {_AGAIN}")
    return choice


def read_choices(grid: Grid) -> dict[str, Choice]:
    """Return what is chosen so far for the grid's tuned cells, by name.

    Raises:
        ResultsError: a file is there and is not what was written.
    """
    tuned = (name for name, cell in grid.cells.items() if cell.tuned is not None)
    return {
        name: read_choice(grid.selection_path(name)) for name in tuned if grid.selection_path(name).exists()
    }


def references(grid: Grid, choices: Mapping[str, Choice]) -> dict[str, dict[str, float]]:
    """Return sweep -> dataset -> the baseline's final metric on tuning seeds, of sweeps that have it everywhere.

    A sweep with two subsets or sizes of one dataset has none: its name does not tell which is meant.
    """
    found: dict[str, dict[str, float]] = {}
    for sweep in grid.sweeps.values():
        datasets = {grid.cells[cell].data.name for cell in sweep.arms}
        if len({changed_json(grid.cells[cell].data) for cell in sweep.arms}) > len(datasets):
            continue
        known = {
            grid.cells[cell].data.name: choices[cell].reference
            for cell in sweep.arms
            if cell in choices and not np.isnan(choices[cell].reference)
        }
        if set(known) == datasets:
            found[sweep.name] = known
    return found


_AGAIN = "Delete it and give the same command again: it is made anew from the trials"


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
