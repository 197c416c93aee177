"""One job of the grid: one cell with a range of seeds, trained and written to its run file."""

import json
from pathlib import Path

import torch

from hornlib.cell import Cell
from hornlib.jobs import Range
from hornlib.results.run_file import RunRecord, write_run_file
from hornlib.training.job import Assignment, Attributes, ChunkRows, TrainOptions, run_assignment, stacked
from hornlib.training.loop import Lane

__all__ = ["train_job"]


def train_job(cell: Cell, seeds: Range, output: Path, options: TrainOptions) -> None:
    """Train the seeds and write the run file; an interrupted job goes on from its checkpoint.

    Args:
        cell: what to train.
        seeds: first and last seed.
        output: the run file.
        options: how to run here.

    Raises:
        DataError: the data are not there.
        CheckpointError, ResultsError: a folder is full or cannot be written; what was trained is kept.
        ResourceError: the memory does not hold even the lanes that were asked for.
        Interrupted: a signal asked to stop; the checkpoint is saved.
    """
    runs = [Lane(cell, seed) for seed in seeds.seeds()]
    assignment = Assignment(output.stem, [runs], cell.specification(), (seeds.first, seeds.last))

    def write(finished: list[ChunkRows], attributes: Attributes) -> Path:
        if cell.tuned is not None and cell.selection is not None:
            attributes["tuned"] = json.dumps(cell.tuned.document())
            attributes["selected_trial"] = cell.selection.trial
        write_run_file(output, cell, _record(runs, finished, attributes))
        return output

    run_assignment(assignment, options, write)


def _record(runs: list[Lane], finished: list[ChunkRows], attributes: Attributes) -> RunRecord:
    cell, rows = runs[0].cell, stacked(finished)
    diverged_at = rows.diverged_at.numpy()
    return RunRecord(
        seeds=[run.seed for run in runs],
        steps=torch.tensor(cell.training.evaluation_steps(cell.data.num_train)).numpy(),
        curves={name: curve.numpy() for name, curve in rows.curves.items()},
        status=["complete" if step != step else "diverged" for step in diverged_at],
        diverged_at_step=diverged_at,
        lanes=torch.tensor([part.lanes for part in finished for _ in part.diverged_at]).numpy(),
        attributes=attributes,
    )
