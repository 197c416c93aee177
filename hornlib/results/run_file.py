"""The run file: what one job leaves behind, written whole or not at all, and verified when it is read."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hornlib.errors import ResultsError
from hornlib.grid.cell import Cell, Specification
from hornlib.grid.jobs import Job, Range, parse_run_name
from hornlib.results.atomic import written_atomically
from hornlib.results.run_variables import VARIABLES, check_variables, dimension_sizes

__all__ = [
    "SCHEMA_VERSION",
    "Contents",
    "RunFile",
    "RunRecord",
    "digest",
    "read_contents",
    "read_run_file",
    "samples_seen",
    "write_contents",
    "write_run_file",
]

SCHEMA_VERSION = 2
"""Of run files and of results.nc; a change of it needs an entry in `hornlib.results.migrate.MIGRATIONS`."""


RETRAIN = "Delete it and give the same command again: only that job is trained"


@dataclass(frozen=True)
class RunRecord:
    """What a trainer hands over of one job.

    Attributes:
        seeds: trained, ascending and without a gap.
        steps: evaluations, (step,) integers.
        curves: name -> (seed, step) float64, every name of `CURVES` that is not optional.
        status: complete or diverged, for each seed.
        diverged_at_step: (seed,), NaN where a run did not diverge.
        lanes: (seed,), how many lanes trained together.
        attributes: provenance: versions, device, host, times.
        layers: name -> array, of `PROFILES` and `EVENTS`; none of networks whose layers have nothing of their own.
    """

    seeds: list[int]
    steps: np.ndarray
    curves: dict[str, np.ndarray]
    status: list[str]
    diverged_at_step: np.ndarray
    lanes: np.ndarray
    attributes: dict[str, str | int | float]
    layers: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class RunFile:
    """What a run file holds.

    Attributes:
        job: the cell's name and the seeds.
        specification: every parameter of the cell, in canonical form.
        variables: name -> array, as in `VARIABLES`.
        attributes: provenance.
    """

    job: Job
    specification: Specification
    variables: dict[str, np.ndarray]
    attributes: dict[str, str | int | float]


class Contents(NamedTuple):
    """A run file of any schema version: what `hornlib migrate` takes from one version to the next."""

    specification: dict[str, Any]
    variables: dict[str, np.ndarray]
    attributes: dict[str, str | int | float]


def samples_seen(cell: Cell, steps: np.ndarray) -> np.ndarray:
    """Return the training examples seen after each step; the last batch of an epoch may be smaller."""
    num_train, batch_size = cell.data.num_train, cell.training.batch_size
    epochs, rest = np.divmod(steps, cell.training.steps_per_epoch(num_train))
    return epochs * num_train + rest * batch_size


def write_run_file(path: str | Path, cell: Cell, record: RunRecord) -> None:
    """Write what a job found, under a temporary name first.

    Args:
        path: `<cell>.seeds-<first>-<last>.nc` in the folder of run files.
        cell: what was trained.
        record: its curves.

    Raises:
        ResultsError: the name is not the job's, or the disk is full or cannot be written.
        ValueError: the record has a wrong shape, or lacks a curve.
    """
    path = Path(path)
    job = parse_run_name(path.name)
    if job is None or job.cell != cell.name or list(job.range.seeds()) != list(record.seeds):
        own = Job(cell.name, Range(record.seeds[0], record.seeds[-1])).file_name
        raise ResultsError(f"{path}: the run file of the seeds {record.seeds} is called {own}")
    variables = {
        "seed": np.asarray(record.seeds, np.int64),
        "step": np.asarray(record.steps, np.int64),
        **{name: np.asarray(curve, np.float64) for name, curve in record.curves.items()},
        **record.layers,
        "samples": samples_seen(cell, np.asarray(record.steps, np.int64)),
        "diverged_at_step": np.asarray(record.diverged_at_step, np.float64),
        "lanes": np.asarray(record.lanes, np.int64),
        "status": np.asarray(record.status, object),
    }
    check_variables(variables)
    with written_atomically(path) as temporary:
        write_contents(temporary, job, Contents(cell.specification(), variables, record.attributes))


def read_run_file(path: str | Path, expected: Cell | None = None) -> RunFile:
    """Read and verify a run file.

    Args:
        path: the file.
        expected: the cell that was asked for; without it, the file's own specification is believed.

    Raises:
        ResultsError: the file is not there, damaged, of another schema, or of another specification; the
            message says what to do.
    """
    path = Path(path)
    job = parse_run_name(path.name)
    if job is None:
        raise ResultsError(f"{path}: no run file's name; those are <cell>.seeds-<first>-<last>.nc")
    contents = read_contents(path)
    attributes = dict(contents.attributes)
    version = attributes.pop("schema_version", 0)
    if version != SCHEMA_VERSION:
        older = isinstance(version, int) and version < SCHEMA_VERSION
        remedy = "run `hornlib migrate`" if older else "use the hornlib that wrote it"
        raise ResultsError(
            f"{path}: has schema version {version}, this hornlib reads {SCHEMA_VERSION}; {remedy}"
        )
    named = attributes.pop("cell", "no cell"), contents.variables["seed"].tolist()
    if named != (job.cell, list(job.range.seeds())):
        raise ResultsError(
            f"{path}: the file holds the seeds {named[1]} of {named[0]}: it was renamed. {RETRAIN}"
        )
    if expected is not None and contents.specification != expected.specification():
        raise ResultsError(_another_specification(path, expected.specification(), contents.specification))
    return RunFile(job, contents.specification, contents.variables, attributes)


def write_contents(path: Path, job: Job, contents: Contents) -> None:
    """Write a run file under the name given, be it temporary."""
    import netCDF4

    with netCDF4.Dataset(path, "w") as file:
        for dimension, length in dimension_sizes(contents.variables).items():
            file.createDimension(dimension, length)
        for name, values in contents.variables.items():
            described = VARIABLES[name]
            kind = str if values.dtype == object else values.dtype
            fill = np.nan if values.dtype.kind == "f" else None
            variable = file.createVariable(name, kind, described.dims, fill_value=fill)
            variable.setncatts({"units": described.units, "long_name": described.long_name})
            variable[:] = values
        file.setncatts(
            {
                **contents.attributes,
                "schema_version": SCHEMA_VERSION,
                "cell": job.cell,
                "specification": json.dumps(contents.specification),
                "digest": digest(contents.variables),
            }
        )


def read_contents(path: Path) -> Contents:
    """Read a run file of any schema version, and check only that it is undamaged.

    Raises:
        ResultsError: the file is not there, not readable or damaged.
    """
    import netCDF4

    try:
        image = path.read_bytes()
    except OSError as error:
        raise ResultsError(
            f"{path}: cannot be read ({error.strerror}); if it is missing, the same command trains that job"
        ) from None
    try:
        with netCDF4.Dataset(path.name, memory=image) as file:
            file.set_auto_maskandscale(False)
            variables = {name: np.asarray(variable[...]) for name, variable in file.variables.items()}
            attributes = {name: _plain(value) for name, value in file.__dict__.items()}
            specification = json.loads(str(attributes.pop("specification")))
            sound = attributes.pop("digest") == digest(variables)
    except (OSError, RuntimeError, KeyError, ValueError, AttributeError, TypeError) as error:
        raise ResultsError(_damaged(path, f"{type(error).__name__}: {error}")) from error
    if not sound:
        raise ResultsError(_damaged(path, "its values do not have the checksum that was written with them"))
    return Contents(specification, variables, attributes)


def digest(variables: Mapping[str, np.ndarray]) -> str:
    """Return a SHA-256 over names, shapes and values."""
    hashed = hashlib.sha256()
    for name in sorted(variables):
        values = variables[name]
        text = values.dtype.kind in "OU"
        hashed.update(f"{name} {values.shape}".encode())
        hashed.update("\n".join(map(str, values.flat)).encode() if text else values.tobytes())
    return hashed.hexdigest()


def _plain(value: Any) -> str | int | float:
    return value.item() if isinstance(value, np.generic) else value


def _damaged(path: Path, reason: str) -> str:
    return f"{path}: damaged, or no run file ({reason}). {RETRAIN}"


def _another_specification(path: Path, asked: Specification, stored: Mapping[str, Any]) -> str:
    differences = "; ".join(_differences(asked, stored))
    return (
        f"{path}: of another specification: {differences}. If defaults or fields of hornlib have changed, "
        f"run `hornlib migrate`. {RETRAIN}"
    )


def _differences(asked: Mapping[str, Any], stored: Mapping[str, Any]) -> Iterator[str]:
    for section in dict.fromkeys((*asked, *stored)):
        ours, theirs = asked.get(section, {}), stored.get(section, {})
        for key in dict.fromkeys((*ours, *theirs)):
            said = [repr(values[key]) if key in values else "nothing" for values in (ours, theirs)]
            if said[0] != said[1]:
                yield f"{section}.{key}: asked {said[0]}, stored {said[1]}"
