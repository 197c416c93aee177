"""Writing a dynamics file: checked against its schema, whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hornlib.errors import ResultsError
from hornlib.grid.cell import Cell
from hornlib.grid.jobs import Job, Range, parse_run_name
from hornlib.results.atomic import written_atomically
from hornlib.results.dynamics_file.schema import (
    COORDINATES,
    SCHEMA_VERSION,
    VARIABLES,
    DynamicsRecord,
    Probed,
    full_states,
    sizes_of,
)
from hornlib.results.run_file import digest

__all__ = ["write_dynamics_file"]


def write_dynamics_file(path: str | Path, cell: Cell, record: DynamicsRecord) -> None:
    """Write what probes saw, under a temporary name first.

    Args:
        path: `<cell>.seeds-<first>-<last>.nc` in the folder of dynamics files.
        cell: what was trained.
        record: what was measured.

    Raises:
        ResultsError: the name is not the job's, or the disk is full or cannot be written.
        ValueError: a variable is lacking, unknown or of a wrong shape.
    """
    path = Path(path)
    job = parse_run_name(path.name)
    if job is None or job.cell != cell.name or list(job.range.seeds()) != list(record.seeds):
        own = Job(cell.name, Range(record.seeds[0], record.seeds[-1])).file_name
        raise ResultsError(f"{path}: the dynamics file of the seeds {record.seeds} is called {own}")
    described = _described(record)
    variables = _variables(record, described)
    with written_atomically(path) as temporary:
        _write(temporary, cell, record, described, variables)


def _described(record: DynamicsRecord) -> dict[str, Probed]:
    """Return every variable of this file."""
    sizes = sizes_of(len(record.seeds), len(record.probe_steps), record.layers, record.run_on_steps)
    found = {
        name: probed
        for name, probed in {**COORDINATES, **VARIABLES}.items()
        if set(probed.dims) <= set(sizes)
    }
    for layer in record.layers:
        if f"states_{layer.name}" in record.numbers:
            found |= full_states(layer.name)
    return found


def _variables(record: DynamicsRecord, described: Mapping[str, Probed]) -> dict[str, np.ndarray]:
    """Return every array of the file.

    Raises:
        ValueError: a variable is lacking, unknown or of a wrong shape.
    """
    coordinates = _coordinates(record)
    wanted = [name for name in described if name not in coordinates]
    if set(wanted) != set(record.numbers):
        raise ValueError(f"the record has {sorted(record.numbers)}, its layers ask for {sorted(wanted)}")
    arrays = {name: values for name, values in coordinates.items() if name in described}
    lengths = {name: len(values) for name, values in arrays.items()}
    for name in wanted:
        arrays[name] = np.asarray(record.numbers[name], np.float32)
        shape = tuple(lengths[dimension] for dimension in described[name].dims)
        if arrays[name].shape != shape:
            raise ValueError(f"{name} has the shape {arrays[name].shape} instead of {shape}")
    return arrays


def _coordinates(record: DynamicsRecord) -> dict[str, np.ndarray]:
    sizes = sizes_of(len(record.seeds), len(record.probe_steps), record.layers, record.run_on_steps)
    steps = record.run_on_steps
    found = {
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
            found[f"part_{layer.name}"] = np.asarray(layer.parts, object)
            found[f"timestep_{layer.name}"] = np.arange(1, layer.timesteps + 1)
            found["input"] = np.arange(states.shape[-2])
            found[f"unit_{layer.name}"] = np.arange(states.shape[-1])
    return found


def _write(
    path: Path,
    cell: Cell,
    record: DynamicsRecord,
    described: Mapping[str, Probed],
    variables: Mapping[str, np.ndarray],
) -> None:
    import netCDF4

    with netCDF4.Dataset(path, "w") as file:
        for name in dict.fromkeys(name for probed in described.values() for name in probed.dims):
            file.createDimension(name, len(variables[name]))
        for name, values in variables.items():
            text = values.dtype == object
            variable = file.createVariable(
                name,
                str if text else values.dtype,
                described[name].dims,
                fill_value=np.nan if values.dtype.kind == "f" else None,
                zlib=not text,
            )
            attributes = {"units": described[name].units, "long_name": described[name].long_name}
            absent = described[name].absent
            variable.setncatts({**attributes, **({"absent": absent} if absent else {})})
            variable[:] = values
        file.setncatts(
            {
                **record.attributes,
                "schema_version": SCHEMA_VERSION,
                "cell": cell.name,
                "specification": json.dumps(cell.specification()),
                "digest": digest(variables),
            }
        )
