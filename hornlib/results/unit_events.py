"""Events that added or removed units, from run files to arrays of results.nc."""

from collections.abc import Mapping, Sequence

import numpy as np

from hornlib.results.run_file import RunFile
from hornlib.results.variables import EVENTS
from hornlib.structures.events import UNIT_KINDS

__all__ = ["unit_events"]


def unit_events(
    runs: Mapping[str, Sequence[RunFile]], axes: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return variable -> array, (cell, seed, event) or (cell, seed, event, delay); empty without such events.

    The events of a run stand in their order from the first place on, and behind them NaN, or "" as kind.

    Args:
        runs: run files of every cell, by name.
        axes: values of cell and seed.
    """
    files = [run for cell_runs in runs.values() for run in cell_runs if "event_kind" in run.variables]
    by_file = [_by_seed(run) for run in files]
    most = max((len(events) for by_seed in by_file for events in by_seed), default=0)
    if not most:
        return {}
    variables = {"event": np.arange(most)}
    places = {name: place for place, name in enumerate(axes["cell"].tolist())}
    for name in (name for name in EVENTS if name != "event_seed"):
        columns = [run.variables[name] for run in files if name in run.variables]
        if not columns:
            continue
        shape = (len(axes["cell"]), len(axes["seed"]), most, *columns[0].shape[1:])
        array = np.full(
            shape, "" if name == "event_kind" else np.nan, object if name == "event_kind" else float
        )
        for run, by_seed in zip(files, by_file, strict=True):
            rows = np.searchsorted(axes["seed"], run.variables["seed"])
            for row, events in zip(rows, by_seed, strict=True):
                if name in run.variables:
                    array[places[run.job.cell], row, : len(events)] = run.variables[name][events]
        variables[name] = array
    delays = [run.variables["delay"] for run in files if "delay" in run.variables]
    return {**variables, **({"delay": delays[0]} if delays else {})}


def _by_seed(run: RunFile) -> list[np.ndarray]:
    """Return for each seed of a run file the indices of its events that added or removed units."""
    counts = np.isin(run.variables["event_kind"].astype(str), UNIT_KINDS)
    return [np.flatnonzero(counts & (run.variables["event_seed"] == seed)) for seed in run.variables["seed"]]
