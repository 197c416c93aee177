"""Phrases: one comparison of two contenders in words, with ratio, interval, n, Holm's p-value and arrivals."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.statistics.axes import COST_AXES
from hornlib.statistics.verdicts import ClaimComparison

__all__ = ["COSTS", "p_words", "phrase", "short_labels"]

COSTS = {name: axis.counted for name, axis in COST_AXES.items()}
"""Axis of cost -> the words of a sentence."""

Bounded = tuple[float, float, float]
"""An estimate with the low and the high end of its interval."""


class _Numbers(NamedTuple):
    """The numbers of one comparison; all intervals are simultaneous, and the p-value is Holm's."""

    word: str
    label: str
    rival: str
    cost: str
    num_pairs: int
    ratio: Bounded
    p_holm: float
    arrived: float
    rival_arrived: float
    two_part: bool
    difference: Bounded
    ratio_if_arrived: Bounded
    detectable: float

    @property
    def arrivals(self) -> str:
        """Return how many runs of both contenders reached the target, in words."""
        number = self.num_pairs
        return (
            f"{self.arrived:.0f} of {number} and {self.rival_arrived:.0f} of {number} runs reached the target"
        )


def phrase(
    at_target: xr.Dataset,
    item: ClaimComparison,
    dataset: str,
    settings: StatisticsSettings,
    *,
    with_dataset: bool,
    with_level: bool,
) -> str:
    """Return one comparison as a clause with subject, verb and numbers, without a full stop.

    Args:
        at_target: statistics at the headline target, with the variables of `hornlib.statistics.headline.compare`
            (contender, rival, axis).
        item: the comparison.
        dataset: dataset of the comparison.
        settings: alpha, min_seeds.
        with_dataset: whether the clause names the dataset.
        with_level: whether the clause names the kind of the intervals.
    """
    labels = short_labels(at_target)
    label = labels[str(at_target["contender"].values[item.contender])]
    label += f" on {dataset}" if with_dataset else ""
    if item.rival not in at_target["rival"].values:
        return f"the sweep has no arm {item.rival}"
    if item.axis not in at_target["axis"].values:
        return f"the statistics have no axis {item.axis}"
    numbers = _numbers(at_target, item, label, labels)
    if item.word == "not measured":
        has_no_level = "level" in at_target and bool(np.isnan(at_target["level"].sel(dataset=dataset)))
        return f"{dataset} has no level to reach" if has_no_level else _unmeasured(numbers)
    if item.word == "not enough data":
        return f"{label} and {numbers.rival} share n = {numbers.num_pairs} seeds, and {settings.min_seeds} are needed"
    if item.word == "too few arrivals":
        return (
            f"in {numbers.cost}, {numbers.arrivals} ({label} and {numbers.rival}), "
            f"and {settings.min_seeds} are needed"
        )
    if numbers.two_part:
        return _in_two_parts(numbers, settings)
    return _in_one_part(numbers, settings, with_level)


def short_labels(ds: xr.Dataset) -> dict[str, str]:
    """Return label of a contender -> its label without the dataset and the objective.

    Args:
        ds: statistics of a sweep, with `short_label` (contender). Those of hornlib 0.1 have no short labels, so that
            the whole labels stand for them.
    """
    if "short_label" not in ds.coords:
        return {label: label for label in ds["contender"].values.astype(str).tolist()}
    labels, short = (ds[name].values.astype(str).tolist() for name in ("contender", "short_label"))
    return dict(zip(labels, short, strict=True))


def _numbers(at_target: xr.Dataset, item: ClaimComparison, label: str, labels: dict[str, str]) -> _Numbers:
    pair = at_target.isel(contender=item.contender).sel(rival=item.rival, axis=item.axis)

    def bounded(name: str) -> Bounded:
        low, high = pair[f"{name}_bound"].values
        return float(pair[name]), float(low), float(high)

    return _Numbers(
        word=item.word,
        label=label,
        rival=labels.get(str(pair["rival_contender"].item()), ""),
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
    level = f"{_level(settings)}, " if with_level else ""
    interval = level if np.isfinite(numbers.ratio[1]) else "no interval, "
    certainty = f"{interval}n = {numbers.num_pairs}, Holm's p {p_words(numbers.p_holm, settings.alpha)}"
    if min(numbers.arrived, numbers.rival_arrived) < numbers.num_pairs:
        certainty += f", {numbers.arrivals}"
    if numbers.word in ("yes", "no"):
        return f"{label} needs {_bounded(*numbers.ratio)} times the {cost} that {rival} needs ({certainty})"
    power = ""
    if np.isfinite(numbers.detectable):
        power = f"; a true ratio of {_number(numbers.detectable)} would be shown with 80 % power"
    ratio = _bounded(*numbers.ratio)
    return f"{label} and {rival} are not distinguished in {cost} (ratio {ratio}, {certainty}{power})"


def _in_two_parts(numbers: _Numbers, settings: StatisticsSettings) -> str:
    """Return a comparison in which some runs diverged: the shares that arrived, and the costs of these runs."""
    label, rival, cost = numbers.label, numbers.rival, numbers.cost
    verb = {"yes": f"needs fewer {cost} than", "no": f"needs more {cost} than"}.get(numbers.word)
    clause = f"{label} {verb} {rival}" if verb else f"{label} and {rival} are not distinguished in {cost}"
    return (
        f"{clause} ({numbers.arrivals}, difference of shares {_bounded(*numbers.difference)}; ratio of pairs that "
        f"both reached it {_bounded(*numbers.ratio_if_arrived)}; {_level(settings)}s, Holm's p "
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
        return "unknown"
    return "∞" if np.isposinf(value) else f"{value:.3g}"


def p_words(value: float, alpha: float) -> str:
    """Return a p-value as "= 0.012" or "< 0.001".

    It has so many digits that the rounded value lies on the same side of alpha as the value.

    Args:
        value: the p-value.
        alpha: level of the test.
    """
    if value < 0.001 <= alpha:
        return "< 0.001"
    digits = next(
        digits for digits in range(2, 18) if (float(f"{value:.{digits}g}") <= alpha) == (value <= alpha)
    )
    return f"= {value:.{digits}g}"
