"""Pairs of contenders that differ in named parameters only, compared in speed and final metric."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from hornlib.mechanism.contenders import Contender, Study, contender_coordinates, parameters_of
from hornlib.mechanism.effects import Effect, paired_difference, said_by_verdict, time_ratio
from hornlib.mechanism.outcomes import outcome_variables, outcomes
from hornlib.mechanism.record import Entry, axis, effect_variables

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Contrast", "Pair", "contrasted", "pairs_that_differ_in"]

RATIO = "ratio of restricted mean steps over paired seeds, interval by the studentised bootstrap"


class Pair(NamedTuple):
    """Two contenders, by their indices in the study."""

    contender: int
    rival: int


class Contrast(NamedTuple):
    """Comparison of a set of pairs.

    Attributes:
        names: "contender over rival" of each pair.
        ratios: ratio of steps to the target of each pair. Below 1 the contender is faster.
        differences: difference of the final test metric of each pair.
        variables, axes: variables and coordinates for the experiment's Dataset, with the outcomes of all contenders.
        reached: outcomes of all contenders, see `outcomes.outcomes`.
    """

    names: list[str]
    ratios: list[Effect]
    differences: list[Effect]
    variables: dict[str, Entry]
    axes: dict[str, Entry]
    reached: "xr.Dataset"

    def sentence(self, faster: str, slower: str) -> str:
        """Return a sentence with effect, interval, n and verdict of every pair.

        Args:
            faster, slower: verdict on a pair whose contender needs fewer, or more, steps.
        """
        ratios = dict(zip(self.names, self.ratios, strict=True))
        return f"Ratio of steps to the target, {said_by_verdict(ratios, 1, faster, slower)}."


def pairs_that_differ_in(
    compared: list[Contender], parameters: Iterable[str], is_rival: Callable[[Contender], bool]
) -> list[Pair]:
    """Return the pairs of a contender and a rival that are equal in all other parameters.

    Args:
        compared: contenders of one sweep.
        parameters: names of the parameters that may differ, as in results.nc.
        is_rival: whether a contender is a rival, with which others are compared. A rival is never the first of a pair.
    """
    free = set(parameters)
    fixed = [
        {name: value for name, value in parameters_of(contender.cell).items() if name not in free}
        for contender in compared
    ]
    rivals = [is_rival(contender) for contender in compared]
    return [
        Pair(one, other)
        for one in range(len(compared))
        for other in range(len(compared))
        if rivals[other] and not rivals[one] and fixed[one] == fixed[other]
    ]


def contrasted(study: Study, pairs: list[Pair]) -> Contrast:
    """Return the paired ratio of steps and the difference of the final metric of every pair.

    Args:
        study: contenders and their results.
        pairs: indices of contenders and rivals.

    Raises:
        ResultsError: the sweep has not been trained.
    """
    reached = outcomes(study)
    steps, lengths, final = (
        reached[name].values for name in ("steps_to_target", "resolution", "final_metric")
    )
    names = [
        f"{study.contenders[pair.contender].label} over {study.contenders[pair.rival].label}"
        for pair in pairs
    ]
    ratios = [time_ratio(steps[one], steps[other], (lengths[one], lengths[other])) for one, other in pairs]
    differences = [paired_difference(final[one], final[other]) for one, other in pairs]
    variables = {
        **outcome_variables(reached),
        **effect_variables("ratio", ("pair",), ratios, "steps to the target, contender over rival", RATIO),
        **effect_variables(
            "final_difference",
            ("pair",),
            differences,
            "final test metric, contender less rival",
            "mean over paired seeds",
        ),
    }
    axes = {**contender_coordinates(study.contenders), **axis("pair", names, "contender over rival")}
    return Contrast(names, ratios, differences, variables, axes, reached)
