"""Experiment: are the features of untrained dynamics more separable than those of the same graph without dynamics?"""

from typing import TYPE_CHECKING

import numpy as np
import torch

from hornlib.data.loading import Split, Splits, load
from hornlib.errors import ConfigError
from hornlib.grid.cell import Cell
from hornlib.mechanism.contenders import Study, contender_coordinates
from hornlib.mechanism.effects import Effect, paired_difference, said, said_by_verdict
from hornlib.mechanism.initialisation import features, hold_statistics_, untrained
from hornlib.mechanism.record import axis, effect_variables, finished, variable
from hornlib.mechanism.ridge import Part, probe
from hornlib.models.horn.parameters import HornParameters
from hornlib.models.horn_cnn.parameters import HornCnnParameters
from hornlib.models.leaky_cnn.parameters import LeakyCnnParameters
from hornlib.parameters import ModelParameters, Value

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["measure", "probe_accuracy", "with_timesteps"]

QUESTION = (
    "Do the untrained dynamics already separate the classes? If they are why an arm learns early, a linear probe of "
    "its untrained features beats that of the controls, and more so after more steps; features are standardised, so "
    "that gains have no part in it."
)

LONGEST = 2
"""Networks are probed up to this multiple of the timesteps of their cell."""

NUM_TRAIN = 2048
"""Largest number of examples of a probe on each split."""


def with_timesteps(model: ModelParameters, timesteps: int) -> ModelParameters | None:
    """Return a model with the same units and other timesteps; None for models without free timesteps.

    All constants keep their values in units of time.

    Args:
        model: model parameters of a cell.
        timesteps: number of timesteps T, at least 1.
    """
    model_timesteps = getattr(model, "timesteps", None)
    if model_timesteps is None:
        return None
    if isinstance(model, LeakyCnnParameters):
        constants = {"leak_rate": model.resolved_leak_rate(), "dc_gain": model.resolved_dc_gain()}
        return model.model_copy(update={**constants, "constant_drive_gain": None, "timesteps": timesteps})
    if isinstance(model, HornParameters | HornCnnParameters):
        oscillator = model.oscillator(model_timesteps)
        constants = {"omega": oscillator.omega, "damping": oscillator.damping, "alpha": oscillator.alpha}
        cleared: dict[str, Value] = {
            "num_cycles": None,
            "damping_ratio": None,
            "dc_gain": None,
            "timesteps": timesteps,
        }
        if isinstance(model, HornCnnParameters):
            cleared["gain"] = "own"
        return model.model_copy(update={**constants, **cleared})
    return None


def probe_accuracy(cell: Cell, seed: int, model: ModelParameters, splits: Splits) -> float:
    """Return the test accuracy of a linear probe of the model's untrained features.

    Args:
        cell: gives the task.
        seed: draws the weights.
        model: model parameters of the network.
        splits: the data.
    """
    network = untrained(cell, seed, model)
    parts = [_thinned(split) for split in splits]
    hold_statistics_(network, parts[0].inputs)
    with torch.no_grad():
        probed = [Part(features(network, part.inputs).numpy(), part.targets.numpy()) for part in parts]
    return probe(*probed).accuracy


def measure(study: Study) -> "xr.Dataset":
    """Return the probes of all contenders and seeds over timesteps, and the lead of the first contender over others.

    Raises:
        ConfigError: the dataset is a regression, or it has no validation split, on which the penalty is chosen.
    """
    for contender in study.contenders:
        _check(contender.cell)
    cell_timesteps = [getattr(contender.cell.model, "timesteps", None) for contender in study.contenders]
    grid = _timesteps_grid([timesteps for timesteps in cell_timesteps if timesteps is not None])
    at_cell_timesteps = []
    over_time = np.full((len(study.contenders), len(study.seeds), len(grid)), np.nan)
    for row, contender in enumerate(study.contenders):
        splits = load(contender.cell.data, "cpu")
        at_cell_timesteps.append(
            [probe_accuracy(contender.cell, seed, contender.cell.model, splits) for seed in study.seeds]
        )
        for column, timesteps in enumerate(grid):
            model = with_timesteps(contender.cell.model, timesteps)
            if model is not None and timesteps <= LONGEST * (cell_timesteps[row] or 0):
                over_time[row, :, column] = [
                    probe_accuracy(contender.cell, seed, model, splits) for seed in study.seeds
                ]
    accuracy = np.array(at_cell_timesteps)
    leads = {
        f"{study.contenders[0].label} over {contender.label}": paired_difference(accuracy[0], accuracy[row])
        for row, contender in enumerate(study.contenders)
        if row and contender.cell.data == study.contenders[0].cell.data
    }
    gains = [
        _gain_over_time(study, row, timesteps, over_time[row], grid)
        for row, timesteps in enumerate(cell_timesteps)
    ]
    variables = {
        "probe_accuracy": variable(
            ("contender", "seed"), accuracy, "linear probe's test accuracy, own timesteps"
        ),
        "probe_accuracy_over_time": variable(
            ("contender", "seed", "timesteps"), over_time, "linear probe's test accuracy"
        ),
        **effect_variables(
            "lead", ("pair",), list(leads.values()), "difference of accuracy", "mean paired difference"
        ),
        **effect_variables(
            "gain_over_time",
            ("contender",),
            gains,
            "accuracy at the cell's own timesteps less that at one step",
            "mean paired difference",
        ),
    }
    axes = {
        **contender_coordinates(study.contenders),
        **axis("timesteps", grid, "timesteps of the untrained network"),
        **axis("pair", list(leads), "subject over control"),
    }
    sentence = _sentence(study, leads, gains[0])
    return finished("linear_probe", QUESTION, study, variables, sentence, **axes)


def _check(cell: Cell) -> None:
    if cell.data.loss != "cross_entropy":
        raise ConfigError(f"a linear probe needs classes, and {cell.data.name} is a regression; take it out")
    if cell.data.num_validation == 0:
        raise ConfigError(
            "a linear probe chooses its strength on validation examples; set data.validation above 0"
        )


def _thinned(split: Split) -> Split:
    """Return at most NUM_TRAIN examples, evenly spaced."""
    every = max(1, -(-len(split.targets) // NUM_TRAIN))
    return Split(split.inputs[::every], split.targets[::every])


def _timesteps_grid(cell_timesteps: list[int]) -> list[int]:
    """Return T = 1, 2, 4, ... up to twice the largest T of a cell, and the T of every cell."""
    longest = LONGEST * max(cell_timesteps, default=0)
    doubling = [2**power for power in range(longest.bit_length()) if 2**power <= longest]
    return sorted({*doubling, *cell_timesteps})


def _gain_over_time(
    study: Study, row: int, timesteps: int | None, over_time: np.ndarray, grid: list[int]
) -> Effect:
    if timesteps is None or with_timesteps(study.contenders[row].cell.model, 1) is None:
        nothing = np.full(len(study.seeds), np.nan)
        return paired_difference(nothing, nothing)
    return paired_difference(over_time[:, grid.index(timesteps)], over_time[:, grid.index(1)])


def _sentence(study: Study, leads: dict[str, Effect], gain: Effect) -> str:
    subject = study.contenders[0].label
    words = ("fewer classes are told apart than by the control", "the untrained features are more separable")
    over = gain.verdict(0, "the steps make them less separable", "the steps make them more separable")
    difference = f"Difference of the linear probe's test accuracy, {said_by_verdict(leads, 0, *words)}. "
    if with_timesteps(study.contenders[0].cell.model, 1) is None:
        return difference + f"The timesteps of {subject} are not free, so that no other number was tried."
    return difference + f"From one step to its own timesteps, {subject}: {said(gain)}: {over}."
