"""Variables of results.nc that come from selection files: the chosen values, and the cost of all trials."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hornlib.results.variables import CHOICES

if TYPE_CHECKING:
    from hornlib.results.selection_file import Choice

__all__ = ["choice_variables"]


def choice_variables(cells: Sequence[str], choices: Mapping[str, "Choice"]) -> dict[str, np.ndarray]:
    """Return the variables of `CHOICES`; none where nothing was tuned.

    Args:
        cells: names, in the order of the dimension `cell`.
        choices: by the name of a tuned cell.

    Returns:
        Name -> (cell) or, for `trial_score`, (cell, trial).
    """
    if not choices:
        return {}
    choice_of = [choices.get(cell) for cell in cells]
    scores = np.full((len(cells), max(len(choice.scores) for choice in choices.values())), np.nan)
    for row, choice in zip(scores, choice_of, strict=True):
        if choice is not None:
            row[: len(choice.scores)] = choice.scores

    def numbers(value: Callable[["Choice"], float]) -> np.ndarray:
        return np.array([np.nan if choice is None else value(choice) for choice in choice_of], float)

    def words(value: Callable[["Choice"], str]) -> np.ndarray:
        return np.array(["" if choice is None else value(choice) for choice in choice_of], str)

    variables = {
        "selected_trial": numbers(lambda choice: choice.selection.trial),
        "chosen": words(_chosen_values),
        "at_edge": words(lambda choice: " ".join(map(_parameter, choice.at_edge))),
        "tuning_trials": numbers(lambda choice: len(choice.scores)),
        "tuned_parameters": numbers(lambda choice: len(choice.selection.chosen)),
        "tuning_finalists": numbers(lambda choice: len(choice.finalists)),
        "reference_metric": numbers(lambda choice: choice.reference),
        "tuning_samples": numbers(lambda choice: choice.cost["samples"]),
        "tuning_training_flops": numbers(lambda choice: choice.cost["training_flops"]),
        "tuning_seconds": numbers(lambda choice: choice.cost["seconds"]),
        "trial_score": scores,
    }
    return {name: variables[name] for name in CHOICES}


def _chosen_values(choice: "Choice") -> str:
    return ", ".join(f"{_parameter(key)} {value:g}" for key, value in choice.selection.chosen.items())


def _parameter(key: str) -> str:
    """Return the parameter of `section.parameter`."""
    return key.partition(".")[2]
