"""Rank correlations, over contenders, of sizes measured before training and steps to the target."""

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
    """Correlate measured sizes with steps to the target, over contenders.

    Args:
        study: contenders and their results.
        measured: name -> positive numbers (contenders, seeds). Their geometric mean over seeds is correlated.
        dimension: name of the dimension of the names, e.g. quantity.
        what: description of the sizes.

    Returns:
        Variables of the experiment's Dataset (training results, and `relation` over the dimension), and the effects.

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
