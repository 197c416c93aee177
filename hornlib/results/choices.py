"""What tuning found, in results.nc: the score of every trial, what all trials cost, and what the target rests on."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from hornlib.results.selection_file import Choice

__all__ = ["CHOSEN", "ChosenVariable", "chosen_variables"]


class ChosenVariable(NamedTuple):
    """A variable of results.nc that only tuned cells have; NaN, or "", elsewhere."""

    dims: tuple[str, ...]
    units: str
    long_name: str


CHOSEN: dict[str, ChosenVariable] = {
    "selected_trial": ChosenVariable(("cell",), "1", "trial that was chosen"),
    "chosen": ChosenVariable(("cell",), "1", "values that were chosen"),
    "at_edge": ChosenVariable(
        ("cell",), "1", "tuned parameters whose chosen value is the smallest or largest tried"
    ),
    "tuning_trials": ChosenVariable(("cell",), "1", "number of trials of the arm"),
    "tuned_parameters": ChosenVariable(
        ("cell",), "1", "number of parameters that the trials of the arm vary"
    ),
    "tuning_finalists": ChosenVariable(
        ("cell",), "1", "number of trials that were trained again with fresh seeds before the choice"
    ),
    "reference_metric": ChosenVariable(
        ("cell",), "1", "median final validation metric of the baseline over its tuning seeds"
    ),
    "tuning_samples": ChosenVariable(("cell",), "1", "training examples seen by all trials of the arm"),
    "tuning_training_flops": ChosenVariable(("cell",), "FLOP", "training FLOPs of all trials of the arm"),
    "tuning_seconds": ChosenVariable(("cell",), "s", "job's own seconds of all trials of the arm"),
    "trial_score": ChosenVariable(
        ("cell", "trial"),
        "1",
        "score of a trial: restricted mean samples to the target, or mean final validation metric",
    ),
}
"""Every variable that comes from the selection files."""


def chosen_variables(
    cells: Sequence[str], choices: Mapping[str, "Choice"]
) -> dict[str, tuple[tuple[str, ...], np.ndarray]]:
    """Return the variables of `CHOSEN` with their dimensions; none at all where nothing was tuned.

    Args:
        cells: names, in the order of the dimension `cell`.
        choices: by the name of a tuned cell.
    """
    if not choices:
        return {}
    found = [choices.get(cell) for cell in cells]
    num_trials = max(len(choice.scores) for choice in choices.values())
    scores = np.full((len(cells), num_trials), np.nan)
    for row, choice in zip(scores, found, strict=True):
        if choice is not None:
            row[: len(choice.scores)] = choice.scores
    numbers = {
        "selected_trial": [np.nan if choice is None else choice.selection.trial for choice in found],
        "tuning_trials": [np.nan if choice is None else len(choice.scores) for choice in found],
        "tuned_parameters": [np.nan if choice is None else len(choice.selection.chosen) for choice in found],
        "tuning_finalists": [np.nan if choice is None else len(choice.finalists) for choice in found],
        "reference_metric": [np.nan if choice is None else choice.reference for choice in found],
        **{
            f"tuning_{key}": [np.nan if choice is None else choice.cost[key] for choice in found]
            for key in ("samples", "training_flops", "seconds")
        },
    }
    words = {
        "chosen": ["" if choice is None else _told(choice) for choice in found],
        "at_edge": ["" if choice is None else " ".join(map(_bare, choice.at_edge)) for choice in found],
    }
    values = {name: np.array(column, float) for name, column in numbers.items()}
    values |= {name: np.array(column, object) for name, column in words.items()} | {"trial_score": scores}
    return {name: (CHOSEN[name].dims, values[name]) for name in CHOSEN}


def _told(choice: "Choice") -> str:
    return ", ".join(f"{_bare(key)} {value:g}" for key, value in choice.selection.chosen.items())


def _bare(key: str) -> str:
    """Return the parameter of `section.parameter`."""
    return key.partition(".")[2]
