"""Pairs of contenders that differ in named parameters alone, and how much faster and better one of each pair learns."""

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
    """Two contenders, by their places."""

    contender: int
    rival: int


class Contrast(NamedTuple):
    """What a set of pairs showed.

    Attributes:
        names: "contender over rival".
        ratios: of steps to the target; below 1 the contender is faster.
        differences: of the final test metric.
        variables, axes: the same for the Dataset, with every contender's outcomes.
        reached: every contender's outcomes.
    """

    names: list[str]
    ratios: list[Effect]
    differences: list[Effect]
    variables: dict[str, Entry]
    axes: dict[str, Entry]
    reached: "xr.Dataset"

    def sentence(self, faster: str, slower: str) -> str:
        """Return all pairs in words: effect, interval, n, and what it means or that nothing is distinguished."""
        ratios = dict(zip(self.names, self.ratios, strict=True))
        return f"Ratio of steps to the target, {said_by_verdict(ratios, 1, faster, slower)}."


def pairs_that_differ_in(
    found: list[Contender], parameters: Iterable[str], is_rival: Callable[[Contender], bool]
) -> list[Pair]:
    """Return every contender beside every rival that is equal to it in all other parameters.

    Args:
        found: contenders of one sweep.
        parameters: names that may differ, as results.nc has them.
        is_rival: which contenders are what the others are compared with; these head no pair.
    """
    free = set(parameters)
    fixed = [
        {name: value for name, value in parameters_of(contender.cell).items() if name not in free}
        for contender in found
    ]
    rivals = [is_rival(contender) for contender in found]
    return [
        Pair(one, other)
        for one in range(len(found))
        for other in range(len(found))
        if rivals[other] and not rivals[one] and fixed[one] == fixed[other]
    ]


def contrasted(study: Study, pairs: list[Pair]) -> Contrast:
    """Return the paired ratio of steps and difference of final metric of every pair.

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
