"""The calibration file of one device: step time and peak memory of every shape, verified when it is read."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from hornlib.results.declaration import Variable
from hornlib.results.file_kind import FileKind, provenance
from hornlib.results.netcdf import read_arrays, write_arrays
from hornlib.results.variables import CALIBRATED, MIN_COVERAGE

__all__ = [
    "CALIBRATION_FILE",
    "Calibration",
    "Measurement",
    "calibration_path",
    "median_bounds",
    "read_calibration",
    "read_calibrations",
    "write_calibration",
]

CALIBRATION_FILE = FileKind(
    "calibration file",
    1,
    "Delete it and run `hornlib calibrate`: every shape is measured again",
    missing="`hornlib calibrate` measures this device",
    essential=("shape", "block_time", "peak_memory"),
)

_VARIABLES: dict[str, Variable] = {
    "shape": Variable(("shape",), "1", "name of the shape: model and hash"),
    "bound": Variable(("bound",), "1", "end of the interval: low or high"),
    "specification": Variable(("shape",), "1", "description of the shape as JSON"),
    "software": Variable(("shape",), "1", "versions of the software that measured the shape"),
    "block_time": Variable(("shape", "block"), "s", "mean time of one training step within a block of steps"),
    "num_steps": Variable(("shape",), "1", "number of training steps in all blocks"),
    **{
        name: variable._replace(
            dims=("shape", *variable.dims[2:])  # a file is of one device
        )
        for name, variable in CALIBRATED.items()
    },
}


@dataclass(frozen=True)
class Measurement:
    """Measured step times and peak memory of one shape.

    Attributes:
        specification: description of the shape as JSON.
        software: versions of hornlib and torch.
        block_times: mean time of a training step in every block, s, in the order of measuring.
        num_steps: number of timed steps in all blocks.
        peak_memory: byte; NaN where it was not measured.
        kernel: how the recurrence was computed, as `hornlib.grid.routes.Route` spells it; "" where it is not known.
    """

    specification: str
    software: str
    block_times: tuple[float, ...] = ()
    num_steps: int = 0
    peak_memory: float = math.nan
    kernel: str = ""

    def with_block(self, seconds: float, num_steps: int, software: str) -> "Measurement":
        """Return the measurement with one more block.

        Args:
            seconds: mean time of a training step in the block, s.
            num_steps: number of steps in the block.
            software: versions of hornlib and torch.
        """
        return replace(
            self,
            block_times=(*self.block_times, seconds),
            num_steps=self.num_steps + num_steps,
            software=software,
        )

    def with_memory(self, peak_memory: float) -> "Measurement":
        """Return the measurement with this peak memory, byte."""
        return replace(self, peak_memory=peak_memory)

    @property
    def step_time(self) -> float:
        """The median over blocks, s; NaN without blocks."""
        return float(np.median(self.block_times)) if self.block_times else math.nan


@dataclass(frozen=True)
class Calibration:
    """The measurements on one device.

    Attributes:
        device: kind, model, threads and routes, e.g. "cpu Intel(R) Xeon(R), 1 thread, fused field and recurrence".
        shapes: name of the shape -> its measurement.
    """

    device: str
    shapes: dict[str, Measurement] = field(default_factory=dict)


def calibration_path(results: str | Path, device: str) -> Path:
    """Return the path of a device's calibration file; its name has small letters, digits and dashes alone.

    Args:
        results: folder of the results.
        device: as in `Calibration`.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    return Path(results) / "calibration" / f"{slug}.nc"


def median_bounds(values: Iterable[float]) -> tuple[float, float]:
    """Return a distribution-free interval of the median with a coverage of at least 95 %.

    The interval from the k-th smallest to the k-th largest of n values covers the median with probability
    1 - 2 P(Binomial(n, 1/2) < k). The largest k with enough coverage is taken. Fewer than 6 values have no such
    interval: NaN.
    """
    ordered = sorted(values)
    n, below, rank = len(ordered), 0.0, 0
    while rank < n / 2 and 1 - 2 * (below + math.comb(n, rank) / 2**n) >= MIN_COVERAGE:
        below += math.comb(n, rank) / 2**n
        rank += 1
    return (ordered[rank - 1], ordered[-rank]) if rank else (math.nan, math.nan)


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write the calibration of a device, whole or not at all.

    Args:
        path: from `calibration_path`.
        calibration: what the file holds.

    Raises:
        ResultsError: the disk is full or cannot be written.
    """
    attributes = {
        "title": "Calibrated step times and peak memory of one device",
        **provenance(CALIBRATION_FILE),
        "device": calibration.device,
    }
    write_arrays(path, _arrays(calibration), _VARIABLES, attributes)


def _arrays(calibration: Calibration) -> dict[str, np.ndarray]:
    measurements = calibration.shapes.values()
    num_blocks = max((len(measurement.block_times) for measurement in measurements), default=0)
    blocks = np.full((len(measurements), num_blocks), np.nan)
    for row, measurement in zip(blocks, measurements, strict=True):
        row[: len(measurement.block_times)] = measurement.block_times
    bounds = [median_bounds(measurement.block_times) for measurement in measurements]
    return {
        "shape": np.array(list(calibration.shapes), str),
        "bound": np.array(["low", "high"]),
        "specification": np.array([measurement.specification for measurement in measurements], str),
        "software": np.array([measurement.software for measurement in measurements], str),
        "step_time_kernel": np.array([measurement.kernel for measurement in measurements], str),
        "block_time": blocks,
        "num_steps": np.array([measurement.num_steps for measurement in measurements], np.int64),
        "step_time": np.array([measurement.step_time for measurement in measurements], float),
        "step_time_bound": np.array(bounds, float).reshape(len(measurements), 2),
        "peak_memory": np.array([measurement.peak_memory for measurement in measurements], float),
    }


def read_calibration(path: Path) -> Calibration:
    """Read and verify the calibration of a device.

    Raises:
        ResultsError: the file is missing, damaged, or of another schema version.
    """
    variables, attributes = read_arrays(path, CALIBRATION_FILE)
    shapes = {
        str(name): Measurement(
            specification=str(variables["specification"][row]),
            software=str(variables["software"][row]),
            kernel=str(variables["step_time_kernel"][row]) if "step_time_kernel" in variables else "",
            block_times=tuple(time for time in variables["block_time"][row].tolist() if not math.isnan(time)),
            num_steps=int(variables["num_steps"][row]),
            peak_memory=float(variables["peak_memory"][row]),
        )
        for row, name in enumerate(variables["shape"])
    }
    return Calibration(str(attributes["device"]), shapes)


def read_calibrations(results: str | Path) -> list[Calibration]:
    """Return the calibrations of all devices, in the order of the files' names; empty without any.

    Raises:
        ResultsError: a file is damaged.
    """
    return [read_calibration(path) for path in sorted((Path(results) / "calibration").glob("*.nc"))]
