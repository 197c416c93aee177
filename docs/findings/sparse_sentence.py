"""The sentence on sparse networks that the numbers give, whichever way they fall."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import xarray as xr
from sparse_pairs import LEAST, labels_of, median, of_label, pair_of
from sparse_published import CURVES, PUBLISHED

__all__ = ["Beside", "beside_dense", "seconds_of_step", "sentence"]

UNTIMED: Mapping[str, float] = MappingProxyType({})
"""No dense network without runs was timed."""

TWINS = {"fashion": "fashion_dense", "cifar_set": "cifar_set_dense", "cifar10": "cifar10_dense"}
"""Sweep of stored connections -> sweep of the dense network."""


PUBLISHED_DENSE = {
    "fashion": PUBLISHED["fashion_dense"]["dense"],
    "cifar_set": CURVES["dense"][30],
    "cifar10": PUBLISHED["cifar10_dense"]["dense"],
}
"""Sweep of stored connections -> published test accuracy, %, of the dense network after as many epochs."""

ARMS = ("static", "set", "rigl")


def seconds_of_step(own: xr.Dataset) -> float:
    """Return the calibrated time of a lone run's training step, s; NaN without a calibration.

    A run's share of its job's clock is no substitute: jobs of sparse and of dense networks train different numbers of
    runs at once.

    Args:
        own: one contender, (seed, step).
    """
    return float(own["step_time"])


class Beside(NamedTuple):
    """A sparse arm beside the dense network of its recipe.

    Attributes:
        label: sweep and arm.
        has_dense: whether the dense network was trained; else it is the published one.
        seconds: seconds of a training step over those of the dense network; NaN where they are not known.
        points: test accuracy less that of the dense network, in medians.
        where: at which step it was read, and n.
    """

    label: str
    has_dense: bool
    seconds: float
    points: float
    where: str


def beside_dense(
    sweeps: Mapping[str, xr.Dataset], untrained: Mapping[str, float] = UNTIMED
) -> Iterator[Beside]:
    """Yield every sparse arm of `TWINS` beside its dense network, or beside the published one.

    Args:
        sweeps: name -> contenders.
        untrained: sweep of a dense network without runs -> calibrated seconds of its step.
    """
    for name, twin in TWINS.items():
        ds, dense = sweeps.get(name), sweeps.get(twin)
        labels = [] if ds is None else [label for arm in ARMS for label in labels_of(ds, arm)]
        rivals = [] if dense is None else labels_of(dense, "dense")
        for label in labels:
            rival = of_label(dense, rivals[0]) if rivals else None
            yield _beside(name, of_label(ds, label), rival, untrained.get(twin, np.nan))


def _beside(sweep: str, own: xr.Dataset, dense: xr.Dataset | None, step_time: float) -> Beside:
    label = f"{sweep}, {own['contender'].item()}"
    number = int((own["status"] == "complete").sum())
    if dense is None:
        last = max(_evaluated(own))
        points = _accuracy(own, last) - PUBLISHED_DENSE[sweep]
        return Beside(
            label,
            False,
            seconds_of_step(own) / step_time,
            points,
            f"step {last:,}, n = {number}; the dense network is the published one",
        )
    last = max(_evaluated(own) & _evaluated(dense))
    counts = f"n = {number} and {int((dense['status'] == 'complete').sum())}"
    ratio = seconds_of_step(own) / seconds_of_step(dense)
    where = f"step {last:,}, {counts}{'' if np.isfinite(ratio) else '; the seconds were not calibrated'}"
    return Beside(label, True, ratio, _accuracy(own, last) - _accuracy(dense, last), where)


def _accuracy(own: xr.Dataset, step: int) -> float:
    return 100 * median(own["test_metric"].sel(step=step).values)


def _evaluated(own: xr.Dataset) -> set[int]:
    return set(own["step"].values[own["samples"].notnull()].tolist())


def sentence(sweeps: Mapping[str, xr.Dataset], untrained: Mapping[str, float] = UNTIMED) -> Iterator[str]:
    """Yield the sentence that the numbers give, and the rows that it stands on.

    Args:
        sweeps: name -> contenders.
        untrained: sweep of a dense network without runs -> calibrated seconds of its step.
    """
    rows = list(beside_dense(sweeps, untrained))
    trained = [row for row in rows if row.has_dense]
    timed = [row.seconds for row in rows if np.isfinite(row.seconds)]
    missing = f" (a calibration is missing for {len(rows) - len(timed)} of {len(rows)} arms)"
    points = _range([row.points for row in trained], "+.2f")
    yield from (
        f"*At 1 to 3 % of its connections a multilayer perceptron trains in {_range(timed)} of the dense network's "
        f"seconds on the same two cores{missing if len(timed) < len(rows) else ''} and ends {points} points from "
        f"it; rewiring by gradient needs {_factor(sweeps)}.*",
        "",
    )
    if rows:
        yield from (
            "| sweep, arm | seconds of a step, ratio to dense | accuracy less that of dense, points | read at |",
            "|---|---:|---:|---|",
            *(
                f"| {row.label} | {f'{row.seconds:.3f}' if np.isfinite(row.seconds) else '..'} | {row.points:+.2f} | "
                f"{row.where} |"
                for row in rows
            ),
            "",
        )


def _factor(sweeps: Mapping[str, xr.Dataset]) -> str:
    """Return what gradients cost and save: FLOPs of RigL over those of a fixed mask to the same accuracy."""
    ds = sweeps.get("mnist_density_2")
    if ds is None or not (labels_of(ds, "rigl") and labels_of(ds, "static")):
        return ".. times the FLOPs of a fixed random mask to the same accuracy (not measured)"
    ratio = pair_of(ds, "rigl", "static").ratios["training_flops"]
    words = f"{ratio.value:.2f} times the FLOPs of a fixed random mask to the same accuracy"
    counts = f"n = {ratio.number}, 95 % interval {ratio.low:.2f} to {ratio.high:.2f}, LeNet-300-100 at a density of .02"
    if ratio.number < LEAST:
        return f"{words} ({counts}; no verdict below {LEAST} seeds)"
    return f"{words} ({counts}{'; a difference is not shown' if ratio.low <= 1 <= ratio.high else ''})"


def _range(values: Sequence[float], form: str = ".2f") -> str:
    if not values:
        return ".."
    ends = [format(end, form) for end in (min(values), max(values))]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)
