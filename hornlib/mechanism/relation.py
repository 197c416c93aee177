"""How what is measured before training goes with the speed that follows: rank correlations over contenders."""

from collections.abc import Mapping

import numpy as np

from hornlib.mechanism.contenders import Study
from hornlib.mechanism.effects import Effect, rank_correlation
from hornlib.mechanism.outcomes import outcome_variables, outcomes, typical_steps
from hornlib.mechanism.record import Entry, effect_variables

__all__ = ["relation"]


def relation(
    study: Study, measured: Mapping[str, np.ndarray], dimension: str, what: str
) -> tuple[dict[str, Entry], list[Effect]]:
    """Correlate measured sizes with steps to the target over contenders.

    Args:
        study: with results.
        measured: by name, positive numbers (contender, seed); of the seeds the geometric mean counts.
        dimension: what the names are, e.g. quantity.
        what: the sizes in words.

    Returns:
        What training showed and `relation` over the dimension, as variables of an experiment; and its effects.

    Raises:
        ResultsError: the study has no results.
    """
    reached = outcomes(study)
    steps = typical_steps(reached)
    effects = [rank_correlation(np.log(values).mean(1), steps) for values in measured.values()]
    correlated = effect_variables(
        "relation",
        (dimension,),
        effects,
        f"rank correlation of {what} and steps to the target",
        "Spearman over contenders, geometric means over seeds",
    )
    return outcome_variables(reached) | correlated, effects
