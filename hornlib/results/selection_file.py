"""The selection file: the trial that was chosen for a tuned cell, and the cost of tuning; verified when it is read."""

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
from hornlib.results.file_kind import FileKind, check_version

__all__ = ["SELECTION_FILE", "Choice", "read_choice", "read_choices", "references", "write_choice"]

SELECTION_FILE = FileKind(
    "selection file",
    2,
    "Delete it and give the same command again: it is made anew from the trials",
    missing="Nothing is chosen yet; snakemake tunes and selects",
)


class Choice(NamedTuple):
    """What a selection file holds.

    Attributes:
        cell: name of the tuned cell.
        selection: the chosen trial and its values.
        at_edge: parameters whose chosen value is the smallest or largest that was tried.
        scores: score of every trial over the seeds of the first stage: restricted mean samples to the target, or mean
            final validation metric.
        reference: median final validation metric of the baseline over its tuning seeds; NaN for the objective
            final_metric.
        cost: of all trials and finalists of the arm: samples, training_flops, seconds (by the jobs' own clocks).
        finalists: numbers of the trials that were trained again before the choice, ascending; empty without a second
            stage.
    """

    cell: str
    selection: Selection
    at_edge: list[str]
    scores: list[float]
    reference: float
    cost: dict[str, float]
    finalists: tuple[int, ...] = ()


def write_choice(path: Path, choice: Choice) -> None:
    """Write the choice as JSON, whole or not at all.

    Args:
        path: the selection file.
        choice: what the file holds.

    Raises:
        ResultsError: the disk is full or cannot be written.
    """
    body = {
        "schema_version": SELECTION_FILE.schema_version,
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
        ResultsError: the file is missing, damaged, edited, renamed or of another schema version.
    """
    try:
        body: dict[str, Any] = json.loads(path.read_text())
        is_sound = body.pop("digest") == _digest(body)
        version = {"schema_version": body.pop("schema_version")}
    except FileNotFoundError:
        raise ResultsError(f"{path}: there is no such file. {SELECTION_FILE.missing}") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(path, error) from error
    check_version(path, SELECTION_FILE, version)
    try:
        selection = Selection(**body.pop("selection"))
        body["finalists"] = tuple(body.get("finalists", ()))
        body.pop("finalist_scores", None)  # older files have it; nothing reads it
        body["reference"] = np.nan if body["reference"] is None else body["reference"]
        choice = Choice(selection=selection, **body)
    except (TypeError, KeyError) as error:
        raise _damaged(path, error) from error
    if not is_sound or choice.cell != path.stem:
        raise ResultsError(f"{path}: edited or renamed. {SELECTION_FILE.remedy}")
    return choice


def read_choices(grid: Grid) -> dict[str, Choice]:
    """Return the choices that exist so far for the tuned cells of a grid, by the cell's name.

    Raises:
        ResultsError: a file is damaged, edited, renamed or of another schema version.
    """
    tuned = (name for name, cell in grid.cells.items() if cell.tuned is not None)
    return {
        name: read_choice(grid.selection_path(name)) for name in tuned if grid.selection_path(name).exists()
    }


def references(grid: Grid, choices: Mapping[str, Choice]) -> dict[str, dict[str, float]]:
    """Return sweep -> dataset -> median final metric of the baseline over its tuning seeds.

    A dataset is left out whose baseline is not chosen yet, and a sweep that has two subsets or sizes of one dataset:
    the name of the dataset does not say which of them is meant.

    Args:
        grid: its sweeps.
        choices: the choices so far, by the cell's name.
    """
    references_of_sweeps: dict[str, dict[str, float]] = {}
    for sweep in grid.sweeps.values():
        datasets = {grid.cells[cell].data.name for cell in sweep.arms}
        if len({changed_json(grid.cells[cell].data) for cell in sweep.arms}) > len(datasets):
            continue
        by_dataset = {
            grid.cells[cell].data.name: choices[cell].reference
            for cell in sweep.arms
            if cell in choices and not np.isnan(choices[cell].reference)
        }
        if by_dataset:
            references_of_sweeps[sweep.name] = by_dataset
    return references_of_sweeps


def _damaged(path: Path, error: Exception) -> ResultsError:
    return ResultsError(f"{path}: damaged, or no selection file ({error!r}). {SELECTION_FILE.remedy}")


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
