"""One tuning job: the trials of an arm, or its finalists, train as lanes and are written to a tuning file."""

import json
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from hornlib.errors import ResultsError
from hornlib.grid.cell import Cell
from hornlib.grid.finalists import FinalistStage
from hornlib.grid.tuned_arms import TunedArm
from hornlib.lease import lock_run_file
from hornlib.results.tuning_file import TrialRecord, read_trials, write_trials
from hornlib.training.chunk import Run
from hornlib.training.job import Assignment, Attributes, TrainOptions, run_assignment
from hornlib.training.rows import ChunkRows, stacked
from hornlib.tuning.trials import trial_cells, trial_values

__all__ = ["train_finalists", "tune_arm"]


def tune_arm(arm: TunedArm, output: Path, options: TrainOptions) -> None:
    """Train every trial and write the tuning file. An interrupted job goes on from its checkpoint.

    Trials train together if they differ only in parameters in which lanes may differ.

    Args:
        arm: cell, ranges, number of trials and seeds.
        output: `<arm>.nc`.
        options: how to run here.

    Raises:
        DataError, CheckpointError, ResultsError, ResourceError, Interrupted: as `run_assignment` does.
    """
    _train(arm, arm, range(arm.trials), output, options)


def train_finalists(stage: FinalistStage, trials: Sequence[int], output: Path, options: TrainOptions) -> None:
    """Train the finalists of an arm with fresh seeds. An interrupted job goes on from its checkpoint.

    Args:
        stage: the second stage.
        trials: the finalists, ascending. Each is trained once, even if several objectives chose it.
        output: `<stage>.nc`.
        options: how to run here.

    Raises:
        DataError, CheckpointError, ResultsError, ResourceError, Interrupted: as `run_assignment` does.
    """
    _train(stage, stage.arm, trials, output, options)


def _train(
    stage: TunedArm | FinalistStage, arm: TunedArm, trials: Sequence[int], output: Path, options: TrainOptions
) -> None:
    seeds, cells = stage.all_seeds(), trial_cells(arm)
    runs = [Run(cells[trial], seed) for trial in trials for seed in seeds]
    groups = [list(group) for _, group in groupby(runs, key=lambda run: _shared(arm, run.cell))]
    # other files decide who is a finalist: a checkpoint of other finalists must not be resumed
    specification = stage.document() if stage is arm else {**stage.document(), "finalists": list(trials)}
    assignment = Assignment(stage.name, groups, specification, (seeds[0], seeds[-1]))

    def write(finished: list[ChunkRows], attributes: Attributes) -> Path:
        write_trials(output, stage, _record(arm, trials, len(seeds), finished, attributes))
        return output

    with lock_run_file(output):
        if _is_finished(output, stage, trials):  # the process that had the lock finished it
            print(f"{output} is finished; nothing is trained", file=sys.stderr)
            return
        run_assignment(assignment, options, write)


def _is_finished(output: Path, stage: TunedArm | FinalistStage, trials: Sequence[int]) -> bool:
    """Say whether the tuning file is there, and holds these trials of this arm with its seeds."""
    try:
        ds = read_trials(output)
    except ResultsError:
        return False
    expected = json.loads(json.dumps(stage.document())), list(trials), list(stage.all_seeds())
    return expected == (
        json.loads(ds.attrs.get("document", "null")),
        ds["trial"].values.tolist(),
        ds["seed"].values.tolist(),
    )


def _shared(arm: TunedArm, cell: Cell) -> str:
    """Return a key of the tuned values that all lanes of a group must share."""
    per_lane = {"training.learning_rate", *(f"model.{key}" for key in cell.model.per_lane)}
    sections = cell.sections()
    shared = [key.partition(".") for key in arm.ranges if key not in per_lane]
    return str([getattr(sections[section], parameter) for section, _, parameter in shared])


def _record(
    arm: TunedArm, trials: Sequence[int], num_seeds: int, finished: list[ChunkRows], attributes: Attributes
) -> TrialRecord:
    rows = stacked(finished)
    values = trial_values(arm.ranges, arm.trials)
    shape = (len(trials), num_seeds)
    return TrialRecord(
        trials=trials,
        chosen={key: [values[trial][key] for trial in trials] for key in arm.ranges},
        steps=np.array(arm.cell.training.evaluation_steps(arm.cell.data.num_train)),
        curves={name: curve.reshape(*shape, -1).numpy() for name, curve in rows.curves.items()},
        diverged_at_step=torch.reshape(rows.diverged_at, shape).numpy(),
        attributes={**attributes, "lanes": rows.lanes},
    )
