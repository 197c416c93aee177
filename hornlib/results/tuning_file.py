"""The tuning file: the curves of every trial of an arm, written whole or not at all, verified when it is read."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hornlib.errors import ResultsError
from hornlib.grid.finalists import FinalistStage
from hornlib.grid.tuned_arms import TunedArm
from hornlib.results.declaration import Variable
from hornlib.results.file_kind import TUNING_FILE
from hornlib.results.netcdf import read_arrays, write_arrays
from hornlib.results.run_file import samples_seen
from hornlib.results.text import with_plain_text
from hornlib.results.variables import CURVES, RUN_VARIABLES

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["TrialRecord", "read_trials", "write_trials"]


class TrialRecord(NamedTuple):
    """What a trainer hands over after one tuning job.

    Attributes:
        trials: number of every trial: 0 to N - 1, or the finalists among them.
        chosen: `section.parameter` -> its value in every trial.
        steps: training steps of the evaluations, (step,).
        curves: name -> (trial, seed, step).
        diverged_at_step: (trial, seed), NaN for runs that did not diverge.
        attributes: provenance: versions, device, host, times.
    """

    trials: Sequence[int]
    chosen: Mapping[str, list[float]]
    steps: np.ndarray
    curves: Mapping[str, np.ndarray]
    diverged_at_step: np.ndarray
    attributes: Mapping[str, str | int | float]


def write_trials(path: Path, stage: TunedArm | FinalistStage, record: TrialRecord) -> None:
    """Write the trials of an arm, or its finalists, whole or not at all.

    Args:
        path: the tuning file.
        stage: the arm, or its finalists.
        record: what the trainer recorded.

    Raises:
        ResultsError: the disk is full or cannot be written.
    """
    steps = np.asarray(record.steps, np.int64)
    variables = {
        "trial": np.array(record.trials, np.int64),
        "seed": np.array(stage.all_seeds()),
        "step": steps,
        **{key: np.array(values) for key, values in record.chosen.items()},
        **{name: np.asarray(curve, np.float64) for name, curve in record.curves.items()},
        "diverged_at_step": np.asarray(record.diverged_at_step, np.float64),
        "samples": samples_seen(stage.cell, steps),
    }
    attributes = {
        **record.attributes,
        "schema_version": TUNING_FILE.schema_version,
        "arm": stage.name,
        "document": json.dumps(stage.document()),
        "direction": stage.cell.data.direction,
        "chance_level": float(stage.cell.data.chance),
    }
    write_arrays(path, variables, {name: _declared(name) for name in variables}, attributes)


def read_trials(path: Path) -> "xr.Dataset":
    """Read the trials of an arm, or its finalists, into memory; `direction` and `chance_level` are coordinates.

    Args:
        path: the file. Its name is that of the arm.

    Returns:
        Curves (trial, seed, step), outcomes (trial, seed), and every tuned parameter as a coordinate (trial).

    Raises:
        ResultsError: the file is missing, damaged, of another schema version, or of another arm.
    """
    import xarray as xr

    variables, attributes = read_arrays(path, TUNING_FILE)
    if attributes.get("arm") != path.stem:
        raise ResultsError(
            f"{path}: renamed: it holds the trials of {attributes.get('arm')}. {TUNING_FILE.remedy}"
        )
    missing = [name for name in CURVES if not CURVES[name].optional and name not in variables]
    if missing:
        raise ResultsError(f"{path}: lacks {', '.join(missing)}. {TUNING_FILE.remedy}")
    entries = {
        name: (declared.dims, values, declared.netcdf_attributes())
        for name, values in variables.items()
        for declared in [_declared(name)]
    }
    coordinates = {name: entries.pop(name) for name in list(entries) if name not in _RUN_DATA}
    scalars = {name: attributes.pop(name) for name in ("direction", "chance_level")}
    return with_plain_text(xr.Dataset(entries, {**coordinates, **scalars}, attributes))


_RUN_DATA = {*CURVES, "diverged_at_step", "samples"}


def _declared(name: str) -> Variable:
    """Return the declaration of a variable; a tuned parameter is `section.parameter`, on `trial`."""
    if name == "trial":
        return Variable(("trial",), "1", "number of the trial")
    if name not in RUN_VARIABLES:
        return Variable(("trial",), "1", name.replace(".", " "))
    variable = RUN_VARIABLES[name]
    is_of_runs = name in CURVES or name == "diverged_at_step"
    return variable._replace(dims=("trial", *variable.dims)) if is_of_runs else variable
