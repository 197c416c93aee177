"""The run file: the learning curves and the specification of one job, written atomically and verified when read."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hornlib.errors import ResultsError
from hornlib.grid.cell import Cell, Specification
from hornlib.grid.jobs import Job, Range, parse_run_name
from hornlib.results.file_kind import RUN_FILE, FileKind, check_version
from hornlib.results.netcdf import read_any_version, write_arrays
from hornlib.results.variables import RUN_VARIABLES, check_run_variables

__all__ = [
    "RunContents",
    "RunFile",
    "RunRecord",
    "read_contents",
    "read_run_file",
    "samples_seen",
    "specification_differences",
    "write_contents",
    "write_run_file",
]


@dataclass(frozen=True)
class RunRecord:
    """What a trainer hands over after one job.

    Attributes:
        seeds: the trained seeds, ascending and without a gap.
        steps: training steps of the evaluations, (step,) integers.
        curves: name -> (seed, step) float64; every name of `CURVES` that is not optional.
        status: complete or diverged, for each seed.
        diverged_at_step: (seed,), NaN for runs that did not diverge.
        lanes: (seed,), number of lanes that were trained together.
        attributes: provenance: versions, device, host, times.
        layers: name -> array, of `PROFILES` and `EVENTS`; empty for networks without them.
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
        variables: name -> array, as in `RUN_VARIABLES`.
        attributes: provenance: versions, device, host, times.
    """

    job: Job
    specification: Specification
    variables: dict[str, np.ndarray]
    attributes: dict[str, str | int | float]


class RunContents(NamedTuple):
    """A run file of any schema version: `hornlib migrate` converts it from one version to the next.

    Attributes:
        specification: every parameter of the cell.
        variables: name -> array.
        attributes: all other attributes, `schema_version` among them.
    """

    specification: dict[str, Any]
    variables: dict[str, np.ndarray]
    attributes: dict[str, str | int | float]


def samples_seen(cell: Cell, steps: np.ndarray) -> np.ndarray:
    """Return the number of training examples seen after each step; the last batch of an epoch may be smaller.

    In a population every network counts the examples that it sees, which are a whole batch in every generation.

    Args:
        cell: whose dataset and batch size count.
        steps: numbers of training steps, (step,).

    Returns:
        Numbers of examples, (step,).
    """
    num_train, batch_size = cell.data.num_train, cell.training.batch_size
    if cell.model.trainer == "evolution":
        return cell.model.networks_per_example * min(batch_size, num_train) * steps
    epochs, rest = np.divmod(steps, cell.training.steps_per_epoch(num_train))
    return epochs * num_train + rest * batch_size


def write_run_file(path: str | Path, cell: Cell, record: RunRecord) -> None:
    """Write the run file of a job, whole or not at all.

    Args:
        path: `<cell>.seeds-<first>-<last>.nc` in the folder of run files.
        cell: the trained cell.
        record: what the trainer recorded.

    Raises:
        ResultsError: the name is not the job's, or the disk is full or cannot be written.
        ValueError: the record has a wrong shape, or lacks a curve.
    """
    path = Path(path)
    job = parse_run_name(path.name)
    if job is None or job.cell != cell.name or list(job.range.seeds()) != list(record.seeds):
        name = Job(cell.name, Range(record.seeds[0], record.seeds[-1])).file_name
        raise ResultsError(f"{path}: the run file of the seeds {record.seeds} is called {name}")
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
    check_run_variables(variables)
    write_contents(path, job, RunContents(cell.specification(), variables, record.attributes))


def read_run_file(path: str | Path, expected: Cell | None = None) -> RunFile:
    """Read and verify a run file.

    Args:
        path: the file.
        expected: the cell whose specification the file must have; None accepts any.

    Raises:
        ResultsError: the file is missing, damaged, renamed, of another schema version, or of another
            specification; the message says what to do.
    """
    path = Path(path)
    job = parse_run_name(path.name)
    if job is None:
        raise ResultsError(f"{path}: not the name of a run file, which is <cell>.seeds-<first>-<last>.nc")
    contents = read_contents(path)
    attributes = dict(contents.attributes)
    check_version(path, RUN_FILE, attributes)
    del attributes["schema_version"]
    named = attributes.pop("cell", "no cell"), contents.variables["seed"].tolist()
    if named != (job.cell, list(job.range.seeds())):
        raise ResultsError(
            f"{path}: the file holds the seeds {named[1]} of {named[0]}: it was renamed. {RUN_FILE.remedy}"
        )
    if expected is not None and contents.specification != expected.specification():
        raise ResultsError(_another_specification(path, expected.specification(), contents.specification))
    return RunFile(job, contents.specification, contents.variables, attributes)


def write_contents(path: Path, job: Job, contents: RunContents, overwrite: bool = True) -> None:
    """Write a run file, whole or not at all.

    Args:
        path: the file.
        job: whose run file it is.
        contents: what the file holds.
        overwrite: whether an existing file is replaced; otherwise it is an error.

    Raises:
        ResultsError: the disk is full or cannot be written, or the file exists and must not be replaced.
    """
    attributes = {
        **contents.attributes,
        "schema_version": RUN_FILE.schema_version,
        "cell": job.cell,
        "specification": json.dumps(contents.specification),
    }
    write_arrays(path, contents.variables, RUN_VARIABLES, attributes, overwrite)


def read_contents(path: Path, kind: FileKind = RUN_FILE) -> RunContents:
    """Read a run file, or a dynamics file, of any schema version, and check that it is undamaged.

    Args:
        path: the file.
        kind: which of the two it is.

    Raises:
        ResultsError: the file is missing, not readable or damaged.
    """
    variables, attributes = read_any_version(path, kind)
    try:
        specification = json.loads(attributes.pop("specification"))
    except (KeyError, TypeError, ValueError) as error:
        raise ResultsError(
            f"{path}: damaged, or no {kind.name}: its specification cannot be read ({error!r}). {kind.remedy}"
        ) from error
    return RunContents(specification, variables, attributes)


def _another_specification(path: Path, expected: Specification, stored: Mapping[str, Any]) -> str:
    differences = "; ".join(specification_differences(expected, stored))
    return (
        f"{path}: of another specification: {differences}. If defaults or fields of hornlib have changed, "
        f"run `hornlib migrate`. {RUN_FILE.remedy}"
    )


def specification_differences(expected: Mapping[str, Any], stored: Mapping[str, Any]) -> Iterator[str]:
    """Yield each parameter that differs, with the value that was asked and the value that a file holds.

    Args:
        expected: the specification that was asked.
        stored: that of the file.
    """
    for section in dict.fromkeys((*expected, *stored)):
        ours, theirs = expected.get(section, {}), stored.get(section, {})
        for key in dict.fromkeys((*ours, *theirs)):
            texts = [repr(values[key]) if key in values else "nothing" for values in (ours, theirs)]
            if texts[0] != texts[1]:
                yield f"{section}.{key}: asked {texts[0]}, stored {texts[1]}"
