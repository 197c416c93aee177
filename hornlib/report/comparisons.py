"""Pairs of contenders as the report shows them: ratio, simultaneous interval, Holm's test, and runs that arrived."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.report.series import datasets_of
from hornlib.report.wording import bounded, number
from hornlib.statistics.phrases import short_labels
from hornlib.statistics.verdicts import evidence, subjects_of

__all__ = [
    "Comparison",
    "claim_comparisons",
    "comparison",
    "comparisons",
    "headline",
    "intervals_words",
    "strongest",
    "subjects",
]

Bounded = tuple[float, float, float]
"""An estimate, and the low and high end of its interval."""

UNKNOWN: Bounded = (np.nan, np.nan, np.nan)

DIMS = ("contender", "rival", "axis")


class Comparison(NamedTuple):
    """One contender against one rival on one axis, at the headline target.

    Attributes:
        contender, rival: labels.
        arm, rival_arm: their arms.
        dataset: what both were trained on.
        axis: step, samples, training_flops, seconds or training_loss.
        ratio, low, high: of costs; below 1 the contender needs less. The interval is simultaneous. NaN if not known.
        p, p_holm: of the test, alone and with Holm's correction.
        num_pairs: seeds that both have.
        word: what the comparison says: yes, no, not distinguished, too few arrivals, not enough data, not measured.
        arrived, rival_arrived: paired runs that reached the target within the budget of the pair.
        two_part: whether two statements, `difference` and `ratio_if_arrived`, replace the interval.
        difference: share of the contender's runs that arrived, less that of the rival's.
        ratio_if_arrived: ratio over the pairs of runs that both arrived.
        ratio_of_means: ratio of restricted arithmetic means, a sensitivity check.
        ratio_of_expected_cost: cost of all runs over the number that arrived, as a ratio; a sensitivity check.
        short_contender, short_rival: labels without the dataset and the objective.
    """

    contender: str
    rival: str
    arm: str
    rival_arm: str
    dataset: str
    axis: str
    ratio: float
    low: float
    high: float
    p: float
    p_holm: float
    num_pairs: float
    word: str = "not distinguished"
    arrived: float = np.nan
    rival_arrived: float = np.nan
    two_part: bool = False
    difference: Bounded = UNKNOWN
    ratio_if_arrived: Bounded = UNKNOWN
    ratio_of_means: Bounded = UNKNOWN
    ratio_of_expected_cost: float = np.nan
    short_contender: str = ""
    short_rival: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Return contender, rival arm and axis, which no other comparison of a sweep shares."""
        return self.contender, self.rival_arm, self.axis

    @property
    def label(self) -> str:
        """Return "contender : rival"; the dataset and the tuning, which both share, stand once."""
        return f"{self.short_contender or self.contender} : {self.rival or self.rival_arm}"

    @property
    def pair(self) -> str:
        """Return "contender : rival" without dataset and tuning, which the table has in other columns."""
        return (
            f"{self.short_contender or self.contender} : {self.short_rival or self.rival or self.rival_arm}"
        )

    @property
    def has_ratio(self) -> bool:
        """Return whether the ratio may be shown: it is finite, and enough runs reached the target."""
        return np.isfinite(self.ratio) and self.ratio > 0 and self.word != "too few arrivals"

    @property
    def words(self) -> str:
        """Return ratio, interval and n, and the number of runs that arrived where some did not."""
        missed = min(self.arrived, self.rival_arrived) < self.num_pairs
        arrivals = f", {self.arrived:.0f} and {self.rival_arrived:.0f} arrived" if missed else ""
        if not self.has_ratio:
            return f"{self.word}, n = {number(self.num_pairs)}{arrivals}"
        return f"{bounded(self.ratio, self.low, self.high)}, n = {number(self.num_pairs)}{arrivals}"


def headline(ds: xr.Dataset, settings: StatisticsSettings) -> xr.Dataset:
    """Return the statistics at the headline's target.

    Args:
        ds: statistics of a sweep, (contender, rival, target, axis, ..), or without `target` if they are at one.
        settings: they name the target.
    """
    if "target" not in ds.dims:
        return ds
    return ds.isel(target=int(np.abs(ds["target"].values - settings.target).argmin()))


def subjects(ds: xr.Dataset, subject: str, settings: StatisticsSettings) -> list[str]:
    """Return the arms that claims are about, each once; without claims, the sweep's subject.

    Args:
        ds: statistics of a sweep, (contender, rival, ..). It has the dimension `claim` if the sweep has claims.
        subject: the arm that claims without a subject of their own are about.
        settings: the claims.
    """
    arms = subjects_of(subject, settings).values() if "claim" in ds.dims else [subject]
    return [arm for arm in dict.fromkeys(arms) if arm]


def comparisons(ds: xr.Dataset, axis: str, arms: Iterable[str]) -> list[Comparison]:
    """Return every pair of some arms with a rival, in the order of the contenders.

    Args:
        ds: statistics at one target, (contender, rival, axis, ..), as `headline` gives them.
        axis: axis of cost: step, samples, training_flops, seconds or training_loss.
        arms: arms of the contenders; every arm may be a rival.
    """
    if "ratio" not in ds or axis not in ds["axis"].values:
        return []
    read = _Reader(ds)
    is_chosen = np.isin(ds["arm"].values.astype(str), list(arms))
    is_compared = (read.values["rival_contender"] != "") & is_chosen[:, None]
    return [read(row, column, axis) for row, column in np.argwhere(is_compared).tolist()]


def comparison(ds: xr.Dataset, contender: int, rival_arm: str, axis: str) -> Comparison:
    """Return the comparison of one contender with one arm.

    Args:
        ds: statistics at one target, (contender, rival, axis, ..), as `headline` gives them.
        contender: position of the contender.
        rival_arm: label of the arm, one of the coordinate `rival`.
        axis: axis of cost, one of the coordinate `axis`.
    """
    read = _Reader(ds)
    return read(contender, read.columns[rival_arm], axis)


def claim_comparisons(
    ds: xr.Dataset, subject: str, settings: StatisticsSettings
) -> dict[tuple[str, str], list[Comparison]]:
    """Return the comparisons that each claim rests on, by (dataset, claim).

    Args:
        ds: statistics of a sweep, with all targets.
        subject: the arm that claims without a subject of their own are about.
        settings: the claims.
    """
    read = _Reader(headline(ds, settings))
    by_contender = {"dataset": ("contender", datasets_of(ds))}
    compared = ds.drop_dims("dataset", errors="ignore").assign_coords(by_contender)
    return {
        (dataset, claim): [read.evidence(item.contender, item.rival, item.axis) for item in items]
        for dataset, claim, items in evidence(compared, subject, settings)
    }


def strongest(pairs: Iterable[Comparison], most: int) -> list[Comparison]:
    """Return the pairs whose ratio is furthest from 1, in the order of `pairs`.

    Args:
        pairs: those whose ratio may not be shown are left out.
        most: largest number of pairs.
    """
    shown = [pair for pair in pairs if pair.has_ratio]
    places = sorted(range(len(shown)), key=lambda index: -abs(np.log(shown[index].ratio)))[:most]
    return [shown[index] for index in sorted(places)]


def intervals_words(settings: StatisticsSettings) -> str:
    """Return what every interval of a ratio is."""
    return f"simultaneous {100 * (1 - settings.alpha):g} % intervals (over datasets and cells, as Holm's p)"


class _Reader:
    """Reads comparisons from the statistics at the headline target, by their positions."""

    def __init__(self, ds: xr.Dataset) -> None:
        self.labels, self.arms, self.rival_arms = (
            ds[name].values.astype(str) for name in ("contender", "arm", "rival")
        )
        self.short_labels = short_labels(ds)
        self.datasets = datasets_of(ds)
        self.axes = {str(axis): place for place, axis in enumerate(ds["axis"].values)}
        self.columns = {str(arm): place for place, arm in enumerate(self.rival_arms)}
        self.values = {name: values for name, values in self._arrays(ds)}

    @staticmethod
    def _arrays(ds: xr.Dataset) -> Iterator[tuple[str, np.ndarray]]:
        for name, variable in ds.variables.items():
            if set(DIMS[:2]) <= set(variable.dims):
                first = [dim for dim in DIMS if dim in variable.dims]
                yield str(name), variable.transpose(*first, ...).values

    def __call__(self, row: int, column: int, axis: str) -> Comparison:
        place = row, column, self.axes[axis]

        def scalar(name: str, missing: Any = np.nan) -> Any:
            values = self.values.get(name)
            return missing if values is None else values[place[: values.ndim]]

        def triple(name: str) -> Bounded:
            if name not in self.values or f"{name}_bound" not in self.values:
                return float(scalar(name)), np.nan, np.nan
            low, high = self.values[f"{name}_bound"][place]
            return float(scalar(name)), float(low), float(high)

        ratio, low, high = triple("ratio")
        return Comparison(
            contender=str(self.labels[row]),
            rival=str(self.values["rival_contender"][row, column]),
            arm=str(self.arms[row]),
            rival_arm=str(self.rival_arms[column]),
            dataset=str(self.datasets[row]),
            axis=axis,
            ratio=ratio,
            low=low,
            high=high,
            p=float(scalar("p_value")),
            p_holm=float(scalar("p_holm")),
            num_pairs=float(scalar("num_pairs")),
            word=str(scalar("conclusion", "not measured")),
            arrived=float(scalar("arrived")),
            rival_arrived=float(scalar("rival_arrived")),
            two_part=bool(scalar("two_part", 0) == 1),
            difference=triple("arrival_difference"),
            ratio_if_arrived=triple("ratio_if_arrived"),
            ratio_of_means=triple("ratio_of_means"),
            ratio_of_expected_cost=float(scalar("ratio_of_expected_cost")),
            short_contender=self.short_labels[str(self.labels[row])],
            short_rival=self.short_labels.get(str(self.values["rival_contender"][row, column]), ""),
        )

    def evidence(self, row: int, rival: str, axis: str) -> Comparison:
        """Return a comparison that a claim asks for, "not measured" if the sweep lacks the arm or the axis.

        Args:
            row: position of the contender.
            rival: label of the rival arm.
            axis: axis of cost.
        """
        if rival in self.columns and axis in self.axes:
            return self(row, self.columns[rival], axis)
        return Comparison(
            contender=str(self.labels[row]),
            rival="",
            arm=str(self.arms[row]),
            rival_arm=rival,
            dataset=str(self.datasets[row]),
            axis=axis,
            ratio=np.nan,
            low=np.nan,
            high=np.nan,
            p=np.nan,
            p_holm=np.nan,
            num_pairs=np.nan,
            word="not measured",
            short_contender=self.short_labels[str(self.labels[row])],
        )
