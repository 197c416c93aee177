"""Experiment: does heterogeneity speed up learning, or does only the shift of means that comes with some draws?"""

from typing import TYPE_CHECKING

import numpy as np

from hornlib.errors import ConfigError
from hornlib.mechanism.contenders import Contender, Study, parameters_of
from hornlib.mechanism.contrasts import contrasted, pairs_that_differ_in
from hornlib.mechanism.initialisation import untrained
from hornlib.mechanism.record import Entry, finished, variable
from hornlib.models.oscillator_constants import OscillatorConstants

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["mean_constants", "measure"]

QUESTION = (
    "Is it the spread of frequencies that helps? A log-uniform draw keeps damping ratio and DC gain; the uniform draw "
    "also raises the mean frequency by a quarter, and the homogeneous control at 1.25 omega does only that. If spread "
    "helps, the first is faster than the homogeneous cell and the second than its control."
)

DRAW = ("heterogeneity", "heterogeneity_draw")
"""Parameters in which a heterogeneous cell and its homogeneous cell may differ."""

MEANS = ("omega", "num_cycles", "damping", "alpha", "dc_gain", "gain")
"""Further parameters in which a control for shifted means may differ."""


def measure(study: Study) -> "xr.Dataset":
    """Return the ratio of steps of every heterogeneous contender over its homogeneous cell.

    A uniform draw shifts the means. It is also compared with homogeneous cells that have other constants.

    Raises:
        ConfigError: the sweep lacks one of the two.
        ResultsError: the sweep has not been trained.
    """
    pairs = pairs_that_differ_in(study.contenders, DRAW, _is_homogeneous)
    pairs += [
        pair
        for pair in pairs_that_differ_in(study.contenders, (*DRAW, *MEANS), _is_homogeneous)
        if pair not in pairs and _shifts_means(study.contenders[pair.contender])
    ]
    if not pairs:
        raise ConfigError(
            f"sweep {study.sweep!r} has no heterogeneous cell beside a homogeneous one that is equal to it in "
            "everything but the draw"
        )
    contrast = contrasted(study, pairs)
    sentence = contrast.sentence("the heterogeneous cell is faster", "the heterogeneous cell is slower")
    variables = contrast.variables | _drawn(study)
    return finished("heterogeneity", QUESTION, study, variables, sentence, **contrast.axes)


def mean_constants(contender: Contender, seed: int) -> tuple[float, float]:
    """Return the means over units of omega and of the DC gain alpha / omega^2; NaN for cells without oscillators.

    Args:
        contender: gives the cell.
        seed: draws the constants.
    """
    network = untrained(contender.cell, seed)
    layers = [module.constants() for module in network.modules() if isinstance(module, OscillatorConstants)]
    if not layers:
        return float("nan"), float("nan")
    omega = np.concatenate([layer.omega.detach().double().flatten().numpy() for layer in layers])
    alpha = np.concatenate([layer.alpha.detach().double().flatten().numpy() for layer in layers])
    return float(omega.mean()), float((alpha / omega**2).mean())


def _is_homogeneous(contender: Contender) -> bool:
    return parameters_of(contender.cell).get("heterogeneity") == 0


def _shifts_means(contender: Contender) -> bool:
    return parameters_of(contender.cell).get("heterogeneity_draw") == "uniform"


def _drawn(study: Study) -> dict[str, Entry]:
    means = np.array(
        [[mean_constants(contender, seed) for seed in study.seeds] for contender in study.contenders]
    )
    dims = ("contender", "seed")
    return {
        "mean_omega": variable(
            dims, means[..., 0], "mean angular frequency of the units", units="rad / unit of time"
        ),
        "mean_dc_gain": variable(dims, means[..., 1], "mean DC gain alpha / omega^2 of the units"),
    }
