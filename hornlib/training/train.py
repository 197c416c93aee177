"""Trains one job of the grid, which is one cell with a range of seeds, and writes its run file."""

import json
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hornlib.errors import ResultsError
from hornlib.grid.cell import Cell
from hornlib.grid.jobs import Range
from hornlib.lease import lock_run_file
from hornlib.results.dynamics_file import read_dynamics_file, write_dynamics_file
from hornlib.results.run_file import RunRecord, read_run_file, write_run_file
from hornlib.structures.events import ADDING_KINDS
from hornlib.training.chunk import DELAYS, EventRecord, Run
from hornlib.training.job import Assignment, Attributes, TrainOptions, run_assignment
from hornlib.training.kept_weights import read_weights, weights_path, write_weights
from hornlib.training.probing import make_plan
from hornlib.training.recording import Numbers, dynamics_record, refuse_too_large
from hornlib.training.rows import ChunkRows, stacked
from hornlib.training.starting import read_starts

__all__ = ["dynamics_path", "train_job"]


def train_job(cell: Cell, seeds: Range, output: Path, options: TrainOptions) -> None:
    """Train the seeds and write the run file; an interrupted job goes on from its checkpoint.

    A run file that is there already, whole and of this cell, is left as it is.

    Args:
        cell: what is trained.
        seeds: first and last seed.
        output: the run file. With probes, the dynamics file is written into the folder `dynamics` beside its folder;
            with `keep_weights: last`, the weights are written into the folder `weights` beside it.
        options: how to run here.

    Raises:
        DataError: a file of the dataset is missing.
        CheckpointError, ResultsError: a folder is full or cannot be written, and the last checkpoint stays; or another
            process trains the same run file.
        ResourceError: the lanes do not fit into the memory.
        Interrupted: a signal asked to stop. The checkpoint was saved.
    """
    runs = [Run(cell, seed) for seed in seeds.seeds()]
    plan = None if options.probes is None else make_plan(cell, options.probes)
    if plan is not None:
        refuse_too_large(plan, len(runs), cell.structure.name)

    def write(finished: list[ChunkRows], attributes: Attributes) -> Path:
        if cell.tuned is not None and cell.selection is not None:
            attributes["tuned"] = json.dumps(cell.tuned.document())
            attributes["selected_trial"] = cell.selection.trial
        if plan is not None:  # first, so that a run file never stands alone
            record = dynamics_record(plan, _probed(runs, finished), attributes)
            write_dynamics_file(dynamics_path(output), cell, record)
        if options.keep_weights == "last":
            states = [state for rows in finished for state in rows.weights]
            write_weights(weights_path(output), cell, seeds, str(attributes["data_digest"]), states)
        write_run_file(output, cell, _record(runs, finished, attributes))
        return output

    with lock_run_file(output):
        if _is_finished(output, cell, options):  # the process that had the lock finished it
            print(f"{output} is finished; nothing is trained", file=sys.stderr)
            return
        starts = read_starts(cell, seeds, output)
        assignment = Assignment(output.stem, [runs], cell.specification(), (seeds.first, seeds.last), starts)
        run_assignment(assignment, options, write, plan)


def dynamics_path(run_file: Path) -> Path:
    """Return the path of a job's dynamics file: the name of its run file, in the folder `dynamics` beside `runs`."""
    return run_file.parent.parent / "dynamics" / run_file.name


def _is_finished(output: Path, cell: Cell, options: TrainOptions) -> bool:
    """Say whether the job's run file is there, and with it the dynamics file and the weights that are wanted."""
    try:
        read_run_file(output, cell)
        if options.probes is not None:
            read_dynamics_file(dynamics_path(output))
        if options.keep_weights == "last":
            read_weights(weights_path(output), cell)
    except ResultsError:
        return False
    return True


def _probed(runs: list[Run], finished: list[ChunkRows]) -> list[tuple[list[int], Numbers]]:
    """Return the seeds of every chunk and the measurements of its probes."""
    seeds = iter(run.seed for run in runs)
    return [(list(islice(seeds, len(part.diverged_at))), part.probes) for part in finished]


def _record(runs: list[Run], finished: list[ChunkRows], attributes: Attributes) -> RunRecord:
    cell, rows = runs[0].cell, stacked(finished)
    diverged_at = rows.diverged_at.numpy()
    layers = {name: profile.numpy() for name, profile in rows.profiles.items()}
    if rows.events:
        layers |= _event_columns(runs, rows.events)
    return RunRecord(
        seeds=[run.seed for run in runs],
        steps=torch.tensor(cell.training.evaluation_steps(cell.data.num_train)).numpy(),
        curves={name: curve.numpy() for name, curve in rows.curves.items()},
        status=["complete" if step != step else "diverged" for step in diverged_at],
        diverged_at_step=diverged_at,
        lanes=torch.tensor([part.lanes for part in finished for _ in part.diverged_at]).numpy(),
        attributes=attributes,
        layers=layers,
    )


def _event_columns(runs: list[Run], events: list[list[Any]]) -> dict[str, np.ndarray]:
    """Return the variables of a structure's changes, each (events,)."""
    records = sorted((EventRecord(*event) for event in events), key=lambda event: (event.step, event.row))
    columns = {
        "event_seed": np.array([runs[event.row].seed for event in records], np.int64),
        "event_step": np.array([event.step for event in records], np.int64),
        "event_kind": np.array([event.kind for event in records], object),
        "event_position": np.array([event.position for event in records], np.int64),
        "event_score": np.array([event.score for event in records], np.float64),
        "event_number": np.array([event.number for event in records], np.float64),
    }
    if all(event.kind not in ADDING_KINDS for event in records):
        return columns
    return columns | {
        "delay": np.array(DELAYS, np.int64),
        "event_drawn": np.array([event.drawn for event in records], np.float64),
        "event_gradient_ratio": np.array([event.gradient_ratios for event in records], np.float64),
        "event_active_share": np.array([event.active_share for event in records], np.float64),
    }
