"""Arms of a sweep of sparse networks, one by one and in pairs over seeds: numbers and the words for them."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib import open_results, time_to_target
from hornlib.statistics.contenders import final_metric
from hornlib.statistics.estimators.paired_t import paired_t
from hornlib.statistics.estimators.power import detectable_log_ratio, log_ratio_sd
from hornlib.statistics.estimators.student import student_interval

__all__ = [
    "AXES",
    "LEAST",
    "Estimate",
    "Pair",
    "accuracies",
    "best",
    "common_level",
    "costs_to",
    "known_sweeps",
    "labels_of",
    "mean",
    "median",
    "of_label",
    "pair_of",
    "paired_ratio",
    "total",
]

AXES = ("samples", "training_flops", "seconds")
"""Axes of cost. Seconds are calibrated; in a sweep without any calibration, a lane's share of its job's clock."""

LEAST = 7
"""Seeds below which there is no verdict."""

MARGIN = 0.005
"""By how much the level of a comparison is below the best accuracy of the weakest run."""


def known_sweeps(paths: Sequence[Path], names: Collection[str]) -> Iterator[tuple[str, xr.Dataset]]:
    """Yield the sweeps of some names in all results that exist, and say which files do not.

    Args:
        paths: of results.nc.
        names: of sweeps.
    """
    for path in paths:
        if not path.exists():
            print(f"{path} does not exist; its sweeps are left out")
            continue
        present = {str(name) for name in open_results(path).coords}
        for name in names:
            if f"in_{name}" in present:
                yield name, open_results(path, sweep=name)


class Estimate(NamedTuple):
    """An estimate over n seeds with its 95 % interval, NaN where there are too few."""

    value: float
    low: float
    high: float
    number: int

    def words(self, digits: int = 2) -> str:
        """Return 'value [low, high]'; '-' without a value."""
        if not np.isfinite(self.value):
            return "-"
        value, low, high = (
            f"{end:.{digits}f}" if abs(end) < 1000 else f"{end:.2g}"
            for end in (self.value, self.low, self.high)
        )
        return f"{value} [{low}, {high}]" if np.isfinite(self.low) else value


class Pair(NamedTuple):
    """Two arms over the seeds that both have.

    Attributes:
        first, second: labels.
        difference: last test accuracy of the first less that of the second, points.
        ratios: axis -> cost of the first over that of the second to `level`, geometric mean.
        level: validation accuracy to which costs are compared; see `common_level`.
        detectable: difference in points that so many seeds show with a power of .8.
    """

    first: str
    second: str
    difference: Estimate
    ratios: dict[str, Estimate]
    level: float
    detectable: float

    def verdict(self) -> str:
        """Return what the difference in accuracy shows."""
        if self.difference.number < LEAST:
            return f"no verdict, n = {self.difference.number}"
        if self.difference.low > 0:
            return f"{self.first} is better"
        if self.difference.high < 0:
            return f"{self.second} is better"
        return f"not shown; {self.detectable:.2f} points would be, with a power of .8"


def of_label(ds: xr.Dataset, label: str) -> xr.Dataset:
    """Return one contender, (seed, step).

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
        label: of the contender.
    """
    return ds.isel(contender=int(np.flatnonzero(ds["contender"].values == label)[0]))


def labels_of(ds: xr.Dataset, arm: str) -> list[str]:
    """Return the labels of an arm's cells that have a complete run.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
        arm: label of the arm.
    """
    complete = (ds["status"] == "complete").any("seed").values
    return [str(label) for label in ds["contender"].values[(ds["arm"].values == arm) & complete]]


def median(values: xr.DataArray | np.ndarray) -> float:
    """Return the median of the values that are known; NaN without any."""
    known = np.asarray(values, float)
    known = known[np.isfinite(known)]
    return float(np.median(known)) if len(known) else np.nan


def mean(values: xr.DataArray) -> Estimate:
    """Return the mean over seeds with its 95 % interval."""
    student = student_interval(values)
    low, high = student["interval"].values
    return Estimate(float(student["estimate"]), float(low), float(high), int(student["num_seeds"]))


def total(ds: xr.Dataset, label: str, variable: str) -> np.ndarray:
    """Return a cost of the whole training of each complete run, (seeds,).

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
        label: of the contender.
        variable: training_flops, seconds or job_seconds.
    """
    own = of_label(ds, label)
    values = own[variable].broadcast_like(own["training_flops"]).transpose("seed", "step").values
    return np.where(own["status"].values == "complete", np.nanmax(np.nan_to_num(values, nan=-1), 1), np.nan)


def accuracies(ds: xr.Dataset, label: str) -> xr.DataArray:
    """Return the last test accuracy of each run, %, (seed,); a diverged run has chance.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
        label: of the contender.
    """
    return 100 * of_label(final_metric(ds).to_dataset(name="metric"), label)["metric"].reset_coords(drop=True)


def best(ds: xr.Dataset, label: str) -> xr.DataArray:
    """Return the best test accuracy of each run over its evaluations, %, (seed,).

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
        label: of the contender.
    """
    return 100 * of_label(ds, label)["test_metric"].max("step").reset_coords(drop=True)


def common_level(ds: xr.Dataset, labels: Sequence[str]) -> float:
    """Return a validation accuracy that every complete run reached: half a point below the best of the weakest run.

    At its best itself the cost of the weakest run would be that of its luckiest evaluation.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
        labels: of contenders with a complete run.
    """
    runs = [of_label(ds, label) for label in labels]
    bests = [run["validation_metric"].max("step").where(run["status"] == "complete") for run in runs]
    return min((float(values.min()) for values in bests), default=np.nan) - MARGIN


def costs_to(ds: xr.Dataset, label: str, level: float, axis: str) -> np.ndarray:
    """Return the cost of each run until its validation accuracy first reaches a level, (seeds,).

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
        label: of the contender.
        level: share of right answers.
        axis: one of `AXES`.
    """
    own = ds.isel(contender=np.flatnonzero(ds["contender"].values == label))
    if axis == "seconds" and not ds["seconds"].notnull().any():
        own = own.assign(seconds=own["job_seconds"])
    own = own.assign(seconds=own["seconds"].broadcast_like(own["training_flops"]))
    reached = time_to_target(own, level, axis, confirm=1)
    return np.where(reached["event"].values[0], reached["time"].values[0], np.nan)


def pair_of(ds: xr.Dataset, first: str, second: str) -> Pair:
    """Return the comparison of two contenders.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
        first, second: labels.
    """
    difference = accuracies(ds, first) - accuracies(ds, second)
    estimate = mean(difference)
    level = common_level(ds, [first, second])
    ratios = {
        axis: paired_ratio(*(costs_to(ds, label, level, axis) for label in (first, second))) for axis in AXES
    }
    detectable = detectable_log_ratio(log_ratio_sd(difference), xr.DataArray(float(estimate.number)), 0.05)
    return Pair(first, second, estimate, ratios, level, float(detectable))


def paired_ratio(first: np.ndarray, second: np.ndarray) -> Estimate:
    """Return the geometric mean of paired ratios, with Student's interval of the mean log ratio.

    Args:
        first, second: positive numbers of the same seeds, NaN where one is not known, (seeds,).
    """
    test = paired_t(np.log(first / second)[None])
    value, low, high = (float(np.exp(values[0])) for values in (test.mean, *test.interval(0.05)))
    return Estimate(value, low, high, int(test.number[0]))
