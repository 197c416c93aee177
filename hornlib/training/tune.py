"""One tuning job: all trials and seeds of an arm, side by side as lanes, written to its tuning file."""

from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from hornlib.cell import Cell
from hornlib.results.tuning_file import TrialRecord, write_trials
from hornlib.training.chunk import Lane
from hornlib.training.job import Assignment, Attributes, TrainOptions, run_assignment
from hornlib.training.rows import ChunkRows, stacked
from hornlib.tuning.arms import TunedArm
from hornlib.tuning.sampler import trial_cells, trial_values

__all__ = ["tune_arm"]


def tune_arm(arm: TunedArm, output: Path, options: TrainOptions) -> None:
    """Train every trial and write the tuning file; an interrupted job goes on from its checkpoint.

    Trials that differ only in what lanes may differ in train together, whatever their values.

    Args:
        arm: what to tune.
        output: `<arm>.nc`.
        options: how to run here.

    Raises:
        DataError, CheckpointError, ResultsError, ResourceError, Interrupted: as `run_assignment` does.
    """
    seeds = arm.all_seeds()
    runs = [Lane(cell, seed) for cell in trial_cells(arm) for seed in seeds]
    groups = [list(group) for _, group in groupby(runs, key=lambda run: _shared(arm, run.cell))]
    assignment = Assignment(arm.name, groups, arm.document(), (seeds[0], seeds[-1]))

    def write(finished: list[ChunkRows], attributes: Attributes) -> Path:
        write_trials(output, arm, _record(arm, finished, attributes))
        return output

    run_assignment(assignment, options, write)


def _shared(arm: TunedArm, cell: Cell) -> str:
    """Return what must be equal for runs to be lanes of one network: the tuned values that lanes must share."""
    per_lane = {"training.learning_rate", *(f"model.{key}" for key in cell.model.per_lane)}
    sections = cell.sections()
    own = [key.partition(".") for key in arm.ranges if key not in per_lane]
    return str([getattr(sections[section], parameter) for section, _, parameter in own])


def _record(arm: TunedArm, finished: list[ChunkRows], attributes: Attributes) -> TrialRecord:
    rows = stacked(finished)
    values = trial_values(arm.ranges, arm.trials)
    shape = (arm.trials, arm.seeds)
    return TrialRecord(
        chosen={key: [trial[key] for trial in values] for key in arm.ranges},
        steps=np.array(arm.cell.training.evaluation_steps(arm.cell.data.num_train)),
        curves={name: curve.reshape(*shape, -1).numpy() for name, curve in rows.curves.items()},
        diverged_at_step=torch.reshape(rows.diverged_at, shape).numpy(),
        attributes={**attributes, "lanes": rows.lanes},
    )
