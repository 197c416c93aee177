"""Evaluations write the widths of layers where a structure changes them, and nowhere else."""

import numpy as np
import pytest

from hornlib.grid.cell import parse_specification
from hornlib.grid.jobs import Job, Range
from hornlib.results.run_file import read_run_file
from hornlib.training.job import TrainOptions
from hornlib.training.train import train_job

VGG = {"name": "vgg", "channels": "4-3", "strides": "2-2"}


@pytest.fixture
def trained(tmp_path):
    """Return a function that trains two lanes for four steps and reads their run file."""

    def train(model, structure):
        cell = parse_specification(
            {
                "data": {"name": "digits", "train_subset": 50, "validation": 0.2},
                "model": model,
                "structure": structure,
                "training": {"steps": 4, "batch_size": 10, "schedule": "constant"},
            }
        )
        job = Job(cell.name, Range(0, 1))
        options = TrainOptions(2, 1, "cpu", tmp_path / "checkpoints", 300.0)
        train_job(cell, job.range, tmp_path / job.file_name, options)
        return read_run_file(tmp_path / job.file_name, cell).variables

    return train


def test_units_that_a_structure_removes_are_missing_from_the_widths(trained):
    actual = trained(VGG, {"name": "unit_pruning", "units_left": "2-3"})
    pruned = actual["step"] > 2
    expected = np.where(pruned[:, None], [2, 3], [4, 3])
    assert (actual["width"] == expected).all() and actual["width"].shape == (2, len(pruned), 2)
    assert "depth" not in actual, "its layers stay"


@pytest.mark.parametrize(
    "structure", [{"name": "static"}, {"name": "weight_pruning", "rule": "snip", "density": 0.5}]
)
def test_no_widths_are_written_where_no_structure_changes_them(trained, structure):
    assert "width" not in trained(VGG, structure)
