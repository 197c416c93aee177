"""Trials cover their ranges evenly, and all arms draw the same learning rates."""

import numpy as np
import pytest

from hornlib.parameters.tuning import TuneRange
from hornlib.tuning.trials import trial_cells, trial_values

RATE = TuneRange(low=1e-4, high=1e-1, scale="log")
CYCLES = TuneRange(low=0.5, high=2.0)


def test_every_arm_gets_the_same_learning_rates_whatever_else_it_tunes():
    alone = trial_values({"training.learning_rate": RATE}, 16)
    beside = trial_values({"training.learning_rate": RATE, "model.num_cycles": CYCLES}, 16)
    assert [trial["training.learning_rate"] for trial in alone] == [
        trial["training.learning_rate"] for trial in beside
    ]


def test_more_trials_go_on_where_fewer_ended():
    ranges = {"training.learning_rate": RATE, "model.num_cycles": CYCLES}
    assert trial_values(ranges, 32)[:16] == trial_values(ranges, 16)


@pytest.mark.parametrize(("trials", "num_bins"), [(16, 16), (64, 32)])
def test_learning_rates_fall_into_every_part_of_the_logarithmic_range(trials, num_bins):
    values = [
        trial["training.learning_rate"] for trial in trial_values({"training.learning_rate": RATE}, trials)
    ]
    shares = np.log(np.array(values) / RATE.low) / np.log(RATE.high / RATE.low)
    assert shares.min() > 0 and shares.max() < 1
    gaps = np.diff(np.sort(shares))
    assert gaps.max() < 2.01 / trials  # evenly spaced, the shift modulo 1 included


def test_the_second_range_is_not_drawn_like_the_first():
    values = trial_values({"training.learning_rate": RATE, "model.num_cycles": CYCLES}, 64)
    first = [np.log(trial["training.learning_rate"]) for trial in values]
    second = [trial["model.num_cycles"] for trial in values]
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.15
    assert all(CYCLES.low <= value <= CYCLES.high for value in second)


def test_a_trials_cell_has_the_arms_values_but_for_the_tuned_ones(tuned_grid):
    arm = next(arm for arm in tuned_grid().tuned_arms.values() if arm.cell.model.name == "horn_cnn")
    cells = trial_cells(arm)
    assert len({(cell.training.learning_rate, cell.model.num_cycles) for cell in cells}) == 4
    assert {cell.model.num_nodes for cell in cells} == {4}
