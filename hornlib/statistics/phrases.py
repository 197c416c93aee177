"""Phrases: one comparison of two contenders in words, with ratio, interval, n, Holm's p-value and arrivals."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.statistics.verdicts import Evidence

__all__ = ["COSTS", "p_words", "phrase", "short_label"]

COSTS = {
    "step": "steps",
    "samples": "samples",
    "training_flops": "training FLOPs",
    "seconds": "seconds",
    "training_loss": "samples to the training-loss target",
}
"""Axis of cost -> what is counted on it."""


class _Numbers(NamedTuple):
    """One comparison as its sentence needs it; intervals (value, low, high) are simultaneous, the p-value is Holm's."""

    word: str
    label: str
    rival: str
    cost: str
    num_pairs: int
    ratio: tuple[float, float, float]
    p_holm: float
    arrived: float
    rival_arrived: float
    two_part: bool
    difference: tuple[float, float, float]
    ratio_if_arrived: tuple[float, float, float]
    detectable: float

    @property
    def arrivals(self) -> str:
        """Return how many runs of both arms arrived, in words."""
        return f"{self.arrived:.0f} of {self.num_pairs} and {self.rival_arrived:.0f} of {self.num_pairs} runs arrived"


def phrase(
    at_target: xr.Dataset,
    item: Evidence,
    dataset: str,
    settings: StatisticsSettings,
    *,
    with_dataset: bool,
    with_level: bool,
) -> str:
    """Return what one comparison says, with its numbers.

    Args:
        at_target: the statistics at the headline target, as `hornlib.statistics.headline.compare` returns them.
        item: the comparison.
        dataset: of the comparison.
        settings: alpha, min_seeds.
        with_dataset: whether the phrase names the dataset.
        with_level: whether the phrase says what kind of interval stands in brackets.
    """
    label = short_label(str(at_target["contender"].values[item.contender]), dataset)
    label += f" on {dataset}" if with_dataset else ""
    if item.rival not in at_target["rival"].values:
        return f"the sweep has no arm {item.rival}"
    if item.axis not in at_target["axis"].values:
        return f"the statistics have no axis {item.axis}"
    numbers = _numbers(at_target, item, label, dataset)
    if item.word == "not measured":
        no_level = bool(np.isnan(at_target["level"].sel(dataset=dataset))) if "level" in at_target else False
        return f"there is no level to reach on {dataset}" if no_level else _unmeasured(numbers)
    if item.word == "not enough data":
        return f"{label} and {numbers.rival} share n = {numbers.num_pairs} seeds, and {settings.min_seeds} are needed"
    if item.word == "too few arrivals":
        return f"{label} and {numbers.rival} in {numbers.cost}: {numbers.arrivals}, and {settings.min_seeds} are needed"
    return (
        _in_two_parts(numbers, settings) if numbers.two_part else _in_one_part(numbers, settings, with_level)
    )


def _numbers(at_target: xr.Dataset, item: Evidence, label: str, dataset: str) -> _Numbers:
    pair = at_target.isel(contender=item.contender).sel(rival=item.rival, axis=item.axis)

    def bounded(name: str) -> tuple[float, float, float]:
        low, high = pair[f"{name}_bound"].values
        return float(pair[name]), float(low), float(high)

    return _Numbers(
        word=item.word,
        label=label,
        rival=short_label(str(pair["rival_contender"].item()), dataset),
        cost=COSTS[item.axis],
        num_pairs=int(pair["num_pairs"]),
        ratio=bounded("ratio"),
        p_holm=item.p_holm,
        arrived=float(pair["arrived"]),
        rival_arrived=float(pair["rival_arrived"]),
        two_part=bool(pair["two_part"] == 1),
        difference=bounded("arrival_difference"),
        ratio_if_arrived=bounded("ratio_if_arrived"),
        detectable=float(pair["detectable_ratio"]) if "detectable_ratio" in pair else np.nan,
    )


def _in_one_part(numbers: _Numbers, settings: StatisticsSettings, with_level: bool) -> str:
    """Return a comparison with its ratio and interval."""
    label, rival, cost = numbers.label, numbers.rival, numbers.cost
    known = np.isfinite(numbers.ratio[1])
    interval = (f"{_level(settings)}, " if with_level else "") if known else "no interval, "
    certain = f"{interval}n = {numbers.num_pairs}, Holm's p {p_words(numbers.p_holm, settings.alpha)}"
    if min(numbers.arrived, numbers.rival_arrived) < numbers.num_pairs:
        certain += f", {numbers.arrivals}"
    if numbers.word in ("yes", "no"):
        return f"{label} needs {_bounded(*numbers.ratio)} times the {cost} that {rival} needs ({certain})"
    power = (
        f"; a true factor of {_number(numbers.detectable)} would be shown with 80 % power"
        if np.isfinite(numbers.detectable)
        else ""
    )
    return f"{label} and {rival} are not told apart in {cost} (ratio {_bounded(*numbers.ratio)}, {certain}{power})"


def _in_two_parts(numbers: _Numbers, settings: StatisticsSettings) -> str:
    """Return a comparison whose runs partly diverged: the share that arrived, and the cost of those that did."""
    label, rival, cost = numbers.label, numbers.rival, numbers.cost
    verb = {"yes": f"needs fewer {cost} than", "no": f"needs more {cost} than"}.get(numbers.word)
    told = f"{label} {verb} {rival}" if verb else f"{label} and {rival} are not told apart in {cost}"
    return (
        f"{told} ({numbers.arrivals}, difference of shares {_bounded(*numbers.difference)}; ratio of pairs that "
        f"arrived {_bounded(*numbers.ratio_if_arrived)}; {_level(settings)}s, Holm's p "
        f"{p_words(numbers.p_holm, settings.alpha)})"
    )


def _level(settings: StatisticsSettings) -> str:
    return f"simultaneous {100 * (1 - settings.alpha):g} % interval"


def _unmeasured(numbers: _Numbers) -> str:
    label, rival, cost = numbers.label, numbers.rival, numbers.cost
    if not rival:
        return f"no cell of the rival learns the same data as {label}"
    if not numbers.num_pairs:
        return f"{label} and {rival} share no seed"
    if cost == COSTS["seconds"]:
        return f"seconds of {label} and {rival} were not measured on one device"
    return f"{cost} of {label} and {rival} have no common measure"


def _bounded(value: float, low: float, high: float) -> str:
    return f"{_number(value)} [{_number(low)}, {_number(high)}]" if np.isfinite(low) else _number(value)


def _number(value: float) -> str:
    if np.isnan(value):
        return "not known"
    return "∞" if np.isposinf(value) else f"{value:.3g}"


def p_words(value: float, alpha: float) -> str:
    """Return "= 0.012", with so many digits that a rounded value lies on the same side of alpha as the value."""
    if value < 0.001 <= alpha:
        return "< 0.001"
    digits = next(
        digits for digits in range(2, 18) if (float(f"{value:.{digits}g}") <= alpha) == (value <= alpha)
    )
    return f"= {value:.{digits}g}"


def short_label(label: str, dataset: str) -> str:
    """Return a contender's label without what all contenders of a claim share: the dataset and the selection."""
    return label.replace(f" on {dataset}", "", 1).removesuffix(", tuned for speed")
