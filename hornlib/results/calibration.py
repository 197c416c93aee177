"""The calibration file of one device: step times and peak memory by shape, verified when it is read."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hornlib import __version__
from hornlib.errors import ResultsError
from hornlib.results.atomic import written_atomically
from hornlib.results.run_file import digest

__all__ = [
    "CALIBRATED",
    "EXPLAINED",
    "Calibration",
    "Measurement",
    "calibration_path",
    "median_bounds",
    "read_calibration",
    "read_calibrations",
    "write_calibration",
]

CALIBRATION_SCHEMA_VERSION = 1

COVERAGE = 0.95
"""Least coverage of a step time's interval."""

REMEASURE = "Delete it and run `hornlib calibrate`: every shape is measured again"


class Described(NamedTuple):
    """Dimensions, units and long name of a variable."""

    dims: tuple[str, ...]
    units: str
    long_name: str


CALIBRATED: dict[str, Described] = {
    "step_time": Described(("shape",), "s", "calibrated time of a lone lane's training step"),
    "step_time_bound": Described(("shape", "bound"), "s", "interval of the calibrated step time"),
    "peak_memory": Described(
        ("shape",), "byte", "peak memory of a lone lane's training step beside the data"
    ),
}
"""What results.nc takes over, `shape` replaced by `cell`, the device as a last dimension."""

EXPLAINED: dict[str, dict[str, str]] = {
    "step_time": {"estimator": "median over blocks of steps, the shapes' blocks in random order"},
    "step_time_bound": {"interval": f"order statistics of the blocks, at least {COVERAGE:.0%}"},
    "peak_memory": {
        "estimator": "largest of three steps, of all shapes that a structure may make: CUDA, torch's allocator; "
        "CPU, resident memory of a fresh process above "
        "what it had with torch and the data, but without the network"
    },
}
"""How those are estimated."""

VARIABLES: dict[str, Described] = {
    **CALIBRATED,
    "shape": Described(("shape",), "1", "name of the shape: model and hash"),
    "bound": Described(("bound",), "1", "end of the interval"),
    "specification": Described(("shape",), "1", "the shape as JSON"),
    "software": Described(("shape",), "1", "versions that the shape was measured with"),
    "block_time": Described(("shape", "block"), "s", "mean time of a training step within a block of steps"),
    "num_steps": Described(("shape",), "1", "training steps timed"),
}


@dataclass(frozen=True)
class Measurement:
    """What is known of one shape.

    Attributes:
        specification: the shape as JSON.
        software: versions of hornlib and torch.
        block_times: mean time of a step in every block, s, in the order of measuring.
        num_steps: steps timed in all blocks together.
        peak_memory: byte, NaN where it was not measured.
    """

    specification: str
    software: str
    block_times: tuple[float, ...] = ()
    num_steps: int = 0
    peak_memory: float = math.nan

    def with_block(self, seconds: float, num_steps: int, software: str) -> "Measurement":
        """Return the measurement with one block more."""
        return replace(
            self,
            block_times=(*self.block_times, seconds),
            num_steps=self.num_steps + num_steps,
            software=software,
        )

    def with_memory(self, peak_memory: float) -> "Measurement":
        """Return the measurement with its peak memory, byte."""
        return replace(self, peak_memory=peak_memory)

    @property
    def step_time(self) -> float:
        """The median over blocks, s; NaN without any."""
        return float(np.median(self.block_times)) if self.block_times else math.nan


@dataclass(frozen=True)
class Calibration:
    """What was measured on one device.

    Attributes:
        device: kind, model and threads, e.g. "cpu Intel(R) Xeon(R), 1 thread".
        shapes: name of the shape -> what is known of it.
    """

    device: str
    shapes: dict[str, Measurement] = field(default_factory=dict)


def calibration_path(results: str | Path, device: str) -> Path:
    """Return where a device's calibration belongs: its name in small letters, digits and dashes."""
    slug = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    return Path(results) / "calibration" / f"{slug}.nc"


def median_bounds(values: Iterable[float]) -> tuple[float, float]:
    """Return an interval of the median that covers it with at least 95 %, from order statistics alone.

    The k-th smallest to the k-th largest of n cover the median with 1 - 2 P(Binomial(n, 1/2) < k); the
    largest k that suffices is taken. Fewer than 6 values have no such interval: NaN.
    """
    ordered = sorted(values)
    n, below, rank = len(ordered), 0.0, 0
    while rank < n / 2 and 1 - 2 * (below + math.comb(n, rank) / 2**n) >= COVERAGE:
        below += math.comb(n, rank) / 2**n
        rank += 1
    return (ordered[rank - 1], ordered[-rank]) if rank else (math.nan, math.nan)


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a device's calibration, whole or not at all.

    Raises:
        ResultsError: the disk is full or cannot be written.
    """
    import netCDF4

    variables = _variables(calibration)
    with written_atomically(path) as temporary, netCDF4.Dataset(temporary, "w") as file:
        for dimension, name in (("shape", "shape"), ("bound", "bound"), ("block", "block_time")):
            file.createDimension(dimension, variables[name].shape[-1])
        for name, values in variables.items():
            told = VARIABLES[name]
            kind = str if values.dtype == object else values.dtype
            fill = np.nan if values.dtype.kind == "f" else None
            variable = file.createVariable(name, kind, told.dims, fill_value=fill)
            variable.setncatts({"units": told.units, "long_name": told.long_name})
            variable[...] = values
        for name, attributes in EXPLAINED.items():
            file[name].setncatts(attributes)
        file.setncatts(
            {
                "title": "Calibrated step times and peak memory of one device",
                "schema_version": CALIBRATION_SCHEMA_VERSION,
                "hornlib_version": __version__,
                "device": calibration.device,
                "digest": digest(variables),
            }
        )


def _variables(calibration: Calibration) -> dict[str, np.ndarray]:
    found = calibration.shapes.values()
    blocks = np.full((len(found), max((len(own.block_times) for own in found), default=0)), np.nan)
    for row, own in zip(blocks, found, strict=True):
        row[: len(own.block_times)] = own.block_times
    bounds = [median_bounds(own.block_times) for own in found]
    return {
        "shape": np.array(list(calibration.shapes), object),
        "bound": np.array(["low", "high"], object),
        "specification": np.array([own.specification for own in found], object),
        "software": np.array([own.software for own in found], object),
        "block_time": blocks,
        "num_steps": np.array([own.num_steps for own in found], np.int64),
        "step_time": np.array([own.step_time for own in found], float),
        "step_time_bound": np.array(bounds, float).reshape(len(found), 2),
        "peak_memory": np.array([own.peak_memory for own in found], float),
    }


def read_calibration(path: Path) -> Calibration:
    """Read and verify a device's calibration.

    Raises:
        ResultsError: the file is not there, damaged, or of another schema.
    """
    import netCDF4

    try:
        with netCDF4.Dataset(path.name, memory=path.read_bytes()) as file:
            file.set_auto_maskandscale(False)
            variables = {name: np.asarray(variable[...]) for name, variable in file.variables.items()}
            version, device = int(file.schema_version), str(file.device)
            sound = file.digest == digest(variables)
    except (OSError, RuntimeError, KeyError, ValueError, AttributeError, TypeError) as error:
        raise ResultsError(f"{path}: damaged, or no calibration ({error}). {REMEASURE}") from error
    if version != CALIBRATION_SCHEMA_VERSION:
        raise ResultsError(
            f"{path}: has schema version {version}, this hornlib reads {CALIBRATION_SCHEMA_VERSION}. {REMEASURE}"
        )
    if not sound:
        raise ResultsError(
            f"{path}: damaged: its values do not have the checksum that was written with them. {REMEASURE}"
        )
    shapes = {
        str(name): Measurement(
            specification=str(variables["specification"][row]),
            software=str(variables["software"][row]),
            block_times=tuple(time for time in variables["block_time"][row].tolist() if not math.isnan(time)),
            num_steps=int(variables["num_steps"][row]),
            peak_memory=float(variables["peak_memory"][row]),
        )
        for row, name in enumerate(variables["shape"])
    }
    return Calibration(device, shapes)


def read_calibrations(results: str | Path) -> list[Calibration]:
    """Return what was measured on every device, in the order of the files' names; empty if nothing was.

    Raises:
        ResultsError: a file is damaged.
    """
    return [read_calibration(path) for path in sorted((Path(results) / "calibration").glob("*.nc"))]
