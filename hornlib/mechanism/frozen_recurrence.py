"""Experiment: does an arm learn fast because its recurrent weights learn, or already with random ones?"""

from typing import TYPE_CHECKING

from hornlib.errors import ConfigError
from hornlib.mechanism.contenders import Contender, Study, parameters_of
from hornlib.mechanism.contrasts import contrasted, pairs_that_differ_in
from hornlib.mechanism.record import finished

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["measure"]

QUESTION = (
    "Does early speed need recurrent weights that learn? If their learning is what helps, the frozen arms need more "
    "steps; if the dynamics as drawn are, frozen and learned arms need about as many."
)


def measure(study: Study) -> "xr.Dataset":
    """Return the ratio of steps of each arm with learned over frozen recurrent weights.

    Raises:
        ConfigError: no two cells differ in `recurrence_training` alone.
        ResultsError: the sweep has not been trained.
    """
    pairs = pairs_that_differ_in(study.contenders, ["recurrence_training"], _learns)
    if not pairs:
        raise ConfigError(
            f"sweep {study.sweep!r} has no two cells that differ in recurrence_training alone; "
            "write `recurrence_training: [learned, frozen]`"
        )
    contrast = contrasted(study, pairs)
    sentence = contrast.sentence(
        "freezing makes it faster, so what the recurrence learns early costs it steps",
        "freezing makes it slower, so part of its speed is learned recurrence",
    )
    return finished("frozen_recurrence", QUESTION, study, contrast.variables, sentence, **contrast.axes)


def _learns(contender: Contender) -> bool:
    return parameters_of(contender.cell).get("recurrence_training") == "learned"
