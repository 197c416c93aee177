"""The tuning file: the curves of every trial of an arm, written whole or not at all, verified when it is read."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hornlib.errors import ResultsError
from hornlib.grid.finalists import FinalistStage
from hornlib.grid.tuned_arms import TunedArm
from hornlib.results.atomic import written_atomically
from hornlib.results.run_file import digest, samples_seen
from hornlib.results.run_variables import CURVES, VARIABLES

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["TUNING_SCHEMA_VERSION", "TrialRecord", "read_trials", "write_trials"]

TUNING_SCHEMA_VERSION = 2
"""Of tuning files."""

DIMENSIONS = ("trial", "seed", "step")

AGAIN = "Delete it and give the same command again: only this file is made anew"


class TrialRecord(NamedTuple):
    """What a tuning job found.

    Attributes:
        trials: number of every trial: 0 to N - 1, or the finalists among them.
        chosen: `section.parameter` -> its value in every trial.
        steps: evaluations, (step,).
        curves: name -> (trial, seed, step).
        diverged_at_step: (trial, seed), NaN where a run did not diverge.
        attributes: provenance.
    """

    trials: Sequence[int]
    chosen: Mapping[str, list[float]]
    steps: np.ndarray
    curves: Mapping[str, np.ndarray]
    diverged_at_step: np.ndarray
    attributes: Mapping[str, str | int | float]


def write_trials(path: Path, stage: TunedArm | FinalistStage, record: TrialRecord) -> None:
    """Write an arm's trials, or its finalists.

    Raises:
        ResultsError: the disk is full or cannot be written.
    """
    import xarray as xr

    variables: dict[str, Any] = {
        name: (DIMENSIONS, np.asarray(curve, np.float64)) for name, curve in record.curves.items()
    }
    variables["diverged_at_step"] = (DIMENSIONS[:2], np.asarray(record.diverged_at_step, np.float64))
    variables["samples"] = ("step", samples_seen(stage.cell, np.asarray(record.steps, np.int64)))
    ds = xr.Dataset(
        variables,
        {
            "trial": np.array(record.trials, np.int64),
            "seed": np.array(stage.all_seeds()),
            "step": np.asarray(record.steps, np.int64),
            **{key: ("trial", np.array(values)) for key, values in record.chosen.items()},
        },
    )
    for name, values in ds.variables.items():
        described = VARIABLES.get(str(name))
        values.attrs["units"] = described.units if described else "1"
        values.attrs["long_name"] = described.long_name if described else str(name).replace(".", " ")
    ds.attrs.update(
        record.attributes,
        schema_version=TUNING_SCHEMA_VERSION,
        arm=stage.name,
        document=json.dumps(stage.document()),
        direction=stage.cell.data.direction,
        chance_level=float(stage.cell.data.chance),
        digest=_digest(ds),
    )
    with written_atomically(path) as temporary:
        ds.to_netcdf(temporary)


def read_trials(path: Path) -> "xr.Dataset":
    """Read an arm's trials, or its finalists, all in memory; `direction` and `chance_level` are coordinates.

    Raises:
        ResultsError: the file is not there, damaged, of another schema, or of another arm.
    """
    import xarray as xr

    try:
        with xr.open_dataset(path) as file:
            ds = file.load()
        sound = ds.attrs.pop("digest") == _digest(ds)
    except FileNotFoundError:
        raise ResultsError(f"{path}: there are no trials yet; snakemake makes them") from None
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise ResultsError(f"{path}: damaged, or no tuning file ({error}). {AGAIN}") from error
    if not sound or ds.attrs.get("arm") != path.stem:
        raise ResultsError(
            f"{path}: damaged or renamed: its values or its arm are not those written. {AGAIN}"
        )
    if ds.attrs["schema_version"] != TUNING_SCHEMA_VERSION:
        raise ResultsError(f"{path}: has schema version {ds.attrs['schema_version']}. {AGAIN}")
    lacking = [name for name in CURVES if not CURVES[name].optional and name not in ds]
    if lacking:
        raise ResultsError(f"{path}: lacks {', '.join(lacking)}. {AGAIN}")
    return ds.assign_coords(direction=ds.attrs.pop("direction"), chance_level=ds.attrs.pop("chance_level"))


def _digest(ds: "xr.Dataset") -> str:
    return digest({str(name): values.values for name, values in ds.variables.items()})
