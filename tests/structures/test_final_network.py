"""The network that training ended with: its forward FLOPs follow from the events, as its parameters were recorded."""

import numpy as np
import pytest

from hornlib.grid.cell import parse_specification
from hornlib.grid.jobs import Job, Range
from hornlib.grid.matching import count, network_of
from hornlib.results.final_network import final_forward_flops, may_change
from hornlib.results.run_file import read_run_file
from hornlib.training.job import TrainOptions
from hornlib.training.train import train_job

INSERTION = {
    "name": "layer_insertion",
    "insert_at": "1-2",
    "insertions": 2,
    "choice": "position",
    "position": 0,
}
MLP = {"name": "mlp", "hidden_nodes": "7-5"}


def trained(cell, tmp_path):
    job = Job(cell.name, Range(0, 1))
    path = tmp_path / "runs" / job.file_name
    train_job(cell, job.range, path, TrainOptions(2, 1, "cpu", tmp_path / "checkpoints", 300.0))
    return read_run_file(path, cell)


def test_a_grown_network_has_the_flops_and_parameters_of_its_last_shape(tmp_path, short_cell):
    cell = short_cell(MLP, INSERTION)
    grown = parse_specification({"data": {"name": "digits"}, "model": {**MLP, "hidden_nodes": "7-7-7-5"}})
    run = trained(cell, tmp_path)
    task = cell.task()
    np.testing.assert_array_equal(final_forward_flops(run, cell), [grown.model.forward_flops(task).total] * 2)
    np.testing.assert_array_equal(
        run.variables["num_parameters"][:, -1], [grown.model.num_parameters(task)] * 2
    )
    assert grown.model.forward_flops(task).total > cell.model.forward_flops(task).total


def test_a_change_after_the_last_evaluation_does_not_count(tmp_path, short_cell):
    cell = short_cell(MLP, INSERTION)
    run = trained(cell, tmp_path)
    last = run.variables["step"][-1]
    run.variables["event_step"] = np.where(run.variables["event_step"] > 4, last, run.variables["event_step"])
    one_more = cell.model.with_layer(0)
    np.testing.assert_array_equal(
        final_forward_flops(run, cell), [one_more.forward_flops(cell.task()).total] * 2
    )


def test_only_a_structure_that_makes_other_networks_may_change_them(short_cell):
    assert may_change(short_cell(MLP, INSERTION))
    assert not may_change(short_cell(MLP, {"name": "static"}))


MASKED = [
    ({"name": "sparse_training", "rule": "static"}, 1e-3),
    ({"name": "sparse_training", "rule": "set", "storage": "compressed"}, 1e-3),
    ({"name": "sparse_training", "rule": "rigl", "update_every": 3}, 0.01),  # a look updates nothing
    ({"name": "weight_pruning", "rule": "gmp", "update_every": 2}, 5e-3),  # connections are rounded
    # These move connections to or from the first layer, whose input needs no gradient.
    ({"name": "sparse_training", "rule": "snfs"}, 0.05),
    ({"name": "sparse_training", "rule": "granet", "update_every": 2}, 0.05),
]


@pytest.mark.parametrize(
    ("structure", "tolerance"), MASKED, ids=lambda value: value["rule"] if isinstance(value, dict) else ""
)
def test_counts_before_the_training_are_those_that_it_records(tmp_path, short_cell, structure, tolerance):
    cell = short_cell(MLP, {"density": 0.3, **structure})
    run = trained(cell, tmp_path)
    assert (run.variables["num_parameters"][:, -1] == cell.cost().num_parameters).all()
    np.testing.assert_allclose(final_forward_flops(run, cell), cell.cost().flops.total)
    examples = run.variables["samples"][-1]
    planned = count(network_of(cell), "training_flops") * examples
    np.testing.assert_allclose(run.variables["training_flops"][:, -1], planned, rtol=tolerance)
