"""Experiment: do oscillators learn early where their resonance meets the spectrum of the input?"""

import math
from typing import TYPE_CHECKING

import numpy as np

from hornlib.dynamics.parameters import OscillatorParameters
from hornlib.errors import ConfigError
from hornlib.mechanism.contenders import Contender, Study, parameters_of
from hornlib.mechanism.contrasts import Contrast, contrasted, pairs_that_differ_in
from hornlib.mechanism.effects import Effect, rank_correlation, said
from hornlib.mechanism.input_spectrum import input_power, resonant_share
from hornlib.mechanism.outcomes import typical_steps
from hornlib.mechanism.record import axis, effect_variables, finished, variable

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["measure"]

QUESTION = (
    "Does resonance with the input make an arm fast? If it does, the cells whose resonance lies on the input's power "
    "need fewer steps at equal DC gain. A constant drive has all its power at frequency 0, off every resonance: for "
    "horn_cnn any effect of num_cycles must come from the recurrence or from the read-out, not from the input."
)

SPREAD = ("num_cycles", "omega")


def measure(study: Study) -> "xr.Dataset":
    """Return steps to the target against resonance frequency and the power of the input there.

    Raises:
        ConfigError: no two cells differ in num_cycles alone.
        ResultsError: the sweep has not been trained.
    """
    pairs = pairs_that_differ_in(study.contenders, SPREAD, _is_one_cycle)
    if not pairs:
        raise ConfigError(
            f"sweep {study.sweep!r} has no cells beside one of num_cycles 1 that differ in num_cycles alone; "
            "write `num_cycles: [0.5, 1, 2]`"
        )
    contrast = contrasted(study, pairs)
    spectra = [input_power(contender.cell) for contender in study.contenders]
    frequencies = spectra[0][0]
    resonance = [_resonance(contender) for contender in study.contenders]
    shares = [
        _share(contender, *spectrum) for contender, spectrum in zip(study.contenders, spectra, strict=True)
    ]
    arms = _arms(study)
    relations = [_relation(rows, np.array(shares), contrast) for rows in arms.values()]
    variables = contrast.variables | {
        "input_power": variable(
            ("contender", "frequency"), [power for _, power in spectra], "share of the drive's power"
        ),
        "resonance_frequency": variable("contender", resonance, "resonance frequency", units="cycle / step"),
        "resonant_share": variable(
            "contender", shares, "power of the response over that of the drive, at unit DC gain"
        ),
        **effect_variables(
            "relation",
            ("arm_of_sweep",),
            relations,
            "rank correlation of resonant share and steps to the target",
            "Spearman over an arm's cells, geometric means over seeds",
        ),
    }
    axes = {
        **contrast.axes,
        **axis("frequency", frequencies, "frequency", units="cycle / step"),
        **axis("arm_of_sweep", list(arms), "arm of the sweep"),
    }
    sentence = _sentence(study, arms, relations, contrast)
    return finished("resonance", QUESTION, study, variables, sentence, **axes)


def _is_one_cycle(contender: Contender) -> bool:
    return parameters_of(contender.cell).get("num_cycles") == 1


def _arms(study: Study) -> dict[str, list[int]]:
    """Return the indices of the contenders of each arm."""
    arms: dict[str, list[int]] = {}
    for row, contender in enumerate(study.contenders):
        arms.setdefault(contender.arm, []).append(row)
    return arms


def _resonance(contender: Contender) -> float:
    """Return the resonance frequency theta / (2 pi), cycles per step; NaN for models without oscillators.

    theta = 2 asin(omega h / 2) is the angle of one undamped step.
    """
    model, task = contender.cell.model, contender.cell.task()
    if not isinstance(model, OscillatorParameters):
        return math.nan
    oscillator = model.oscillator(int(model.derived(task)["timesteps"]))  # type: ignore[attr-defined]
    half = oscillator.omega * oscillator.integration_step / 2
    return math.asin(half) / math.pi if half <= 1 else math.nan


def _share(contender: Contender, frequencies: np.ndarray, power: np.ndarray) -> float:
    model, task = contender.cell.model, contender.cell.task()
    if not isinstance(model, OscillatorParameters):
        return math.nan
    timesteps = int(model.derived(task)["timesteps"])  # type: ignore[attr-defined]
    return resonant_share(model.oscillator(timesteps), frequencies, power)


def _relation(rows: list[int], shares: np.ndarray, contrast: Contrast) -> Effect:
    return rank_correlation(shares[rows], typical_steps(contrast.reached)[rows])


def _sentence(study: Study, arms: dict[str, list[int]], relations: list[Effect], contrast: Contrast) -> str:
    parts = []
    for (arm, rows), effect in zip(arms.items(), relations, strict=True):
        if not study.contenders[rows[0]].cell.task().is_sequence:
            parts.append(f"{arm}: a constant drive has no power at any resonance")
        elif effect.high < 0:
            parts.append(f"{arm}: {said(effect, 'cells')}: more resonance goes with fewer steps")
        elif effect.low > 0:
            parts.append(f"{arm}: {said(effect, 'cells')}: more resonance goes with more steps")
        else:
            words = "no relation is distinguished, so resonance is neither shown nor ruled out"
            parts.append(f"{arm}: {said(effect, 'cells')}: {words}")
    relation = (
        f"Rank correlation of the resonant share of the input with steps to the target. {'; '.join(parts)}."
    )
    return f"{relation} {contrast.sentence('faster than at one cycle', 'slower than at one cycle')}"
