"""Pairs of contenders as the report tells them: the ratio of their restricted means, its interval, its test."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.report.series import datasets_of
from hornlib.report.wording import bounded, number
from hornlib.statistics.settings import StatisticsSettings

__all__ = [
    "AXES_OF",
    "HEADLINE_AXIS",
    "QUESTIONS",
    "Comparison",
    "about",
    "comparisons",
    "headline",
    "strongest",
]

QUESTIONS = {
    "faster": "Does it learn faster?",
    "because_of_oscillation": "Because of oscillation?",
    "cheaper": "Is it more efficient?",
}
"""Claim -> its question."""

AXES_OF = {
    "faster": ("samples",),
    "because_of_oscillation": ("samples",),
    "cheaper": ("training_flops", "seconds"),
}
"""Claim -> the axes that its ratios are on."""


HEADLINE_AXIS = "samples"
"""The axis of the headline's test, which Holm's correction is for."""


class Comparison(NamedTuple):
    """One contender against one rival on one axis.

    Attributes:
        contender, rival: labels.
        arm, rival_arm: their arms.
        dataset: what both were trained on.
        axis: step, samples, training_flops or seconds.
        ratio, low, high: of restricted mean times; below 1 the contender is faster. NaN where not known.
        p, p_holm: of the test, alone and with Holm's correction, which is made on the headline axis alone.
        num_pairs: seeds that both have.
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

    @property
    def label(self) -> str:
        """Return "contender : rival"; the dataset, where labels name it, is said once."""
        return f"{self.contender.replace(f' on {self.dataset}', '', 1)} : {self.rival}"

    @property
    def told(self) -> str:
        """Return ratio, interval and n in words."""
        return f"{bounded(self.ratio, self.low, self.high)}, n = {number(self.num_pairs)}"


def headline(ds: xr.Dataset, settings: StatisticsSettings) -> xr.Dataset:
    """Return the statistics at the headline's target alone."""
    if "target" not in ds.dims:
        return ds
    return ds.isel(target=int(np.abs(ds["target"].values - settings.target).argmin()))


def comparisons(ds: xr.Dataset, axis: str) -> list[Comparison]:
    """Return every pair whose ratio is known on an axis, in the order of the contenders.

    Args:
        ds: statistics at one target, as `headline` gives them.
        axis: step, samples, training_flops or seconds.
    """
    if "ratio" not in ds or axis not in ds["axis"].values:
        return []
    dims = ("contender", "rival")
    ratio = ds["ratio"].sel(axis=axis).transpose(*dims).values
    low, high = (_pairwise(ds, "ratio_bound", axis, bound=bound) for bound in ("low", "high"))
    p, p_holm, count = (_pairwise(ds, name, axis) for name in ("p_value", "p_holm", "num_pairs"))
    if axis != HEADLINE_AXIS:
        p_holm = np.full_like(p_holm, np.nan)
    labels, arms = (ds[name].values.astype(str) for name in ("contender", "arm"))
    rivals, rival_arms = ds["rival_contender"].transpose(*dims).values, ds["rival"].values.astype(str)
    datasets = datasets_of(ds)
    return [
        Comparison(
            str(labels[row]),
            str(rivals[row, column]),
            str(arms[row]),
            str(rival_arms[column]),
            str(datasets[row]),
            axis,
            *(float(values[row, column]) for values in (ratio, low, high, p, p_holm, count)),
        )
        for row, column in np.argwhere(np.isfinite(ratio) & (ratio > 0))
    ]


def _pairwise(ds: xr.Dataset, name: str, axis: str, **at: str) -> np.ndarray:
    """Return a variable over pairs, on an axis where it has one; NaN where it is not there."""
    if name not in ds:
        return np.full((ds.sizes["contender"], ds.sizes["rival"]), np.nan)
    found = ds[name].sel({**at, **({"axis": axis} if "axis" in ds[name].dims else {})})
    return found.transpose("contender", "rival").values


def about(
    claim: str, found: Iterable[Comparison], subject: str, settings: StatisticsSettings
) -> list[Comparison]:
    """Return the pairs that a claim rests on: the subject against the arms that the settings name."""
    wanted = settings.claims[claim].must_beat() if claim in settings.claims else ()
    return [pair for pair in found if pair.arm == subject and pair.rival_arm in wanted]


def strongest(found: Iterable[Comparison], most: int) -> list[Comparison]:
    """Return at most so many pairs, those furthest from 1; the order of those kept is as it was."""
    found = list(found)
    kept = sorted(range(len(found)), key=lambda index: -abs(np.log(found[index].ratio)))[:most]
    return [found[index] for index in sorted(kept)]
