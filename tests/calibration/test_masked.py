"""Calibration of masked cells: the masks are those of the structure, one shape serves all densities."""

import math

import pytest
import torch

from hornlib.calibration import calibrate as module
from hornlib.calibration.calibrate import calibrate
from hornlib.calibration.timing import TimedLane, random_examples
from hornlib.grid.cell import parse_specification
from hornlib.results.calibration_file import read_calibration

CONFIG = """
    device: cpu
    results: {results}
    sweeps:
      one:
        data: {{name: digits}}
        training: {{epochs: 4, batch_size: 16}}
        model:
          - {{name: mlp, arm: dense, hidden_nodes: 8}}
          - name: mlp
            arm: sparse
            hidden_nodes: 8
            structure: {{name: sparse_training, rule: [static, set], density: [0.3, 0.5]}}
"""


def timed_lane(structure, model=None):
    cell = parse_specification(
        {
            "data": {"name": "mnist"},  # more examples than the random ones
            "model": model or {"name": "mlp", "hidden_nodes": "30-20"},
            "structure": structure,
            "training": {"batch_size": 16, "epochs": 2},
        }
    )
    return cell, TimedLane(cell, random_examples(cell, torch.device("cpu")))


@pytest.mark.parametrize("rule", ["static", "rigl", "snfs"])
def test_timed_steps_train_the_connections_that_the_structure_chose(rule):
    cell, lane = timed_lane({"name": "sparse_training", "rule": rule, "density": 0.1})
    before = {name: tensor.detach().clone() for name, tensor in lane.group.lanes.parameters.items()}
    assert lane.steps(3) > 0
    numbers = cell.structure.connections(cell.model, cell.task())
    assert set(lane.group.masks) == set(numbers)
    for name, mask in lane.group.masks.items():
        values = lane.group.lanes.parameters[name]
        assert mask.sum() == numbers[name]
        assert (values[~mask] == 0).all()
        assert (values != before[name])[mask].any()


def test_masks_that_come_later_are_timed_as_full_ones():
    cell, lane = timed_lane({"name": "weight_pruning", "rule": "gmp", "density": 0.1})
    assert lane.steps(3) > 0
    assert set(lane.group.masks) == set(cell.structure.connections(cell.model, cell.task()))
    assert all(mask.all() for mask in lane.group.masks.values())


def test_the_first_mask_of_snip_follows_from_random_examples():
    cell, lane = timed_lane({"name": "weight_pruning", "rule": "snip", "density": 0.1})
    total = sum(mask.sum() for mask in lane.group.masks.values())
    assert total == sum(cell.structure.connections(cell.model, cell.task()).values())


def test_stored_connections_are_timed_as_the_network_that_the_structure_makes_of_the_dense_one():
    structure = {"name": "sparse_training", "rule": "set", "density": 0.1, "storage": "compressed"}
    cell, lane = timed_lane(structure)
    assert lane.group.model == cell.trained_model() != cell.model
    assert lane.group.masks == {} and lane.group.lanes.num_parameters == cell.cost().num_parameters
    assert lane.steps(3) > 0


def test_an_unmasked_cell_is_timed_without_masks():
    assert timed_lane({"name": "static"})[1].group.masks == {}


def test_one_shape_with_masks_serves_all_rules_and_densities(grid_from, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "peak_memory", lambda cells, *_: [math.nan] * len(cells))
    timed = []
    monkeypatch.setattr(
        TimedLane, "block", lambda lane: (timed.append(len(lane.group.masks)), (0.001, 10))[1]
    )
    grid = grid_from(CONFIG.format(results=tmp_path / "results"))
    assert len(grid.cells) == 5
    shapes = read_calibration(calibrate(grid, rounds=2)).shapes
    assert len(shapes) == 2 and sorted(timed) == [0, 0, 2, 2]
