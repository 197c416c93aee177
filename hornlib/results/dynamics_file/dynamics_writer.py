"""Writing a dynamics file: checked against its schema, whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hornlib.errors import ResultsError
from hornlib.grid.cell import Cell
from hornlib.grid.jobs import Job, Range, parse_run_name
from hornlib.results.declaration import Variable
from hornlib.results.dynamics_file.dynamics_variables import (
    DYNAMICS_COORDINATES,
    DYNAMICS_FILE,
    DYNAMICS_VARIABLES,
    DynamicsRecord,
    full_states,
    sizes_of,
)
from hornlib.results.netcdf import write_arrays

__all__ = ["write_dynamics_file"]


def write_dynamics_file(path: str | Path, cell: Cell, record: DynamicsRecord) -> None:
    """Write the dynamics file of a job, whole or not at all.

    Args:
        path: `<cell>.seeds-<first>-<last>.nc` in the folder of dynamics files.
        cell: the trained cell.
        record: what the probes measured.

    Raises:
        ResultsError: the name is not the job's, or the disk is full or cannot be written.
        ValueError: a variable is missing, unknown or of a wrong shape.
    """
    path = Path(path)
    job = parse_run_name(path.name)
    if job is None or job.cell != cell.name or list(job.range.seeds()) != list(record.seeds):
        name = Job(cell.name, Range(record.seeds[0], record.seeds[-1])).file_name
        raise ResultsError(f"{path}: the dynamics file of the seeds {record.seeds} is called {name}")
    declared = _declared(record)
    variables = _variables(record, declared)
    attributes = {
        **record.attributes,
        "schema_version": DYNAMICS_FILE.schema_version,
        "cell": cell.name,
        "specification": json.dumps(cell.specification()),
    }
    write_arrays(path, variables, declared, attributes, zlib=True)


def _declared(record: DynamicsRecord) -> dict[str, Variable]:
    """Return every variable of this file."""
    sizes = sizes_of(len(record.seeds), len(record.probe_steps), record.layers, record.run_on_steps)
    declared = {
        name: variable
        for name, variable in {**DYNAMICS_COORDINATES, **DYNAMICS_VARIABLES}.items()
        if set(variable.dims) <= set(sizes)
    }
    for layer in record.layers:
        if f"states_{layer.name}" in record.numbers:
            declared |= full_states(layer.name)
    return declared


def _variables(record: DynamicsRecord, declared: Mapping[str, Variable]) -> dict[str, np.ndarray]:
    """Return every array of the file.

    Raises:
        ValueError: a variable is missing, unknown or of a wrong shape.
    """
    coordinates = _coordinates(record)
    measured = [name for name in declared if name not in coordinates]
    if set(measured) != set(record.numbers):
        raise ValueError(f"the record has {sorted(record.numbers)}, its layers ask for {sorted(measured)}")
    arrays = {name: values for name, values in coordinates.items() if name in declared}
    lengths = {name: len(values) for name, values in arrays.items()}
    for name in measured:
        arrays[name] = np.asarray(record.numbers[name], np.float32)
        shape = tuple(lengths[dimension] for dimension in declared[name].dims)
        if arrays[name].shape != shape:
            raise ValueError(f"{name} has the shape {arrays[name].shape} instead of {shape}")
    return arrays


def _coordinates(record: DynamicsRecord) -> dict[str, np.ndarray]:
    sizes = sizes_of(len(record.seeds), len(record.probe_steps), record.layers, record.run_on_steps)
    steps = record.run_on_steps
    coordinates = {
        "seed": np.asarray(record.seeds, np.int64),
        "probe_step": np.asarray(record.probe_steps, np.int64),
        "layer": np.asarray([layer.name for layer in record.layers], object),
        "layer_kind": np.asarray([layer.kind for layer in record.layers], object),
        "num_units": np.asarray([layer.num_units for layer in record.layers], np.int64),
        "timestep": np.arange(1, sizes.get("timestep", 0) + 1),
        "run_on_time": np.arange(1, steps + 1),
        "frequency": np.arange(sizes.get("frequency", 0)) / max(steps, 1),
    }
    for layer in record.layers:
        states = record.numbers.get(f"states_{layer.name}")
        if states is not None:
            coordinates[f"part_{layer.name}"] = np.asarray(layer.parts, object)
            coordinates[f"timestep_{layer.name}"] = np.arange(1, layer.timesteps + 1)
            coordinates["input"] = np.arange(states.shape[-2])
            coordinates[f"unit_{layer.name}"] = np.arange(states.shape[-1])
    return coordinates
