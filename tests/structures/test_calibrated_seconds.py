"""What a structure made of a network is told again by its events, and every step counts at its own shape's time."""

import numpy as np
import pytest

from hornlib.grid.jobs import Job, Range
from hornlib.grid.shapes import as_model, distinct_shapes, shape_name
from hornlib.results.calibrated_seconds import calibrated_seconds, models_over_time
from hornlib.results.calibration_file import Calibration, Measurement
from hornlib.results.run_file import read_run_file
from hornlib.training.job import TrainOptions
from hornlib.training.train import train_job

INSERTION = {"name": "layer_insertion", "insert_at": "1-2", "insertions": 2, "choice": "random"}
RESNET = {"name": "time_resnet", "num_layers": 5, "num_nodes": 6, "l1_penalty": 0.5}
CHANGING = [
    ({"name": "mlp", "hidden_nodes": "7-5"}, INSERTION),
    ({"name": "cnn", "channels": "3-4", "normalisation": "none"}, INSERTION),
    (RESNET, {"name": "layer_pruning", "threshold": 0.24}),
    (RESNET, {"name": "layer_pruning", "threshold": 0.24, "layers_at_once": 2}),
]


@pytest.fixture
def trained(tmp_path):
    """Return a function that trains seeds 0 to 3 of a cell and reads their run file."""

    def train(cell):
        job = Job(cell.name, Range(0, 3))
        path = tmp_path / "runs" / job.file_name
        train_job(cell, job.range, path, TrainOptions(4, 1, "cpu", tmp_path / "checkpoints", 300.0))
        return read_run_file(path, cell)

    return train


@pytest.mark.parametrize(("model", "structure"), CHANGING, ids=str)
def test_events_replayed_give_the_widths_that_were_recorded(trained, short_cell, model, structure):
    cell = short_cell(model, structure)
    run = trained(cell)
    assert len(run.variables["event_seed"])
    for row, seed in enumerate(run.variables["seed"]):
        pieces = list(models_over_time(run, cell, seed))
        for column, step in enumerate(run.variables["step"]):
            # an evaluation comes before what a structure does after the same step
            _, then = [piece for piece in pieces if piece[0] < step or piece[0] == 0][-1]
            widths = run.variables["width"][row, column]
            assert then.layer_widths() == widths[np.isfinite(widths)].tolist()


@pytest.mark.parametrize(("model", "structure"), CHANGING, ids=str)
def test_whatever_a_network_becomes_is_among_the_shapes_to_calibrate(trained, short_cell, model, structure):
    cell = short_cell(model, structure)
    run = trained(cell)
    became = {
        shape_name(as_model(cell, model))
        for seed in run.variables["seed"]
        for _, model in models_over_time(run, cell, seed)
    }
    assert len(became) > 1 and became <= set(distinct_shapes([cell]))


def test_seconds_are_the_steps_of_each_shape_times_its_step_time(trained, short_cell):
    """mlp 7-5 becomes 7-7-5 after 4 steps and 7-7-7-5 or 7-7-5-5 after 8 of 12."""
    cell = short_cell(
        {"name": "mlp", "hidden_nodes": "7-5"}, {**INSERTION, "choice": "position", "position": 0}
    )
    times = {(7, 5): 1.0, (7, 7, 5): 10.0, (7, 7, 7, 5): 100.0}
    shapes = {
        name: Measurement("{}", "", (times[shape.model.hidden_nodes],))
        for name, shape in distinct_shapes([cell]).items()
    }
    run = trained(cell)
    seconds = calibrated_seconds(run, cell, Calibration("cpu", shapes))
    steps = run.variables["step"]
    expected = np.minimum(steps, 4) + 10 * np.clip(steps - 4, 0, 4) + 100 * np.clip(steps - 8, 0, 4)
    np.testing.assert_array_equal(seconds, np.broadcast_to(expected, seconds.shape))
    last = next(name for name, shape in distinct_shapes([cell]).items() if len(shape.model.hidden_nodes) == 4)
    del shapes[last]
    unknown = calibrated_seconds(run, cell, Calibration("cpu", shapes))
    assert (np.isnan(unknown) == (steps > 8)).all()


def test_a_structured_cell_shares_the_shape_of_its_model_alone(short_cell):
    model = {"name": "mlp", "hidden_nodes": "5"}
    small, grown = (
        short_cell(model, {"name": "static"}),
        short_cell(model, {**INSERTION, "insert_at": 1, "insertions": 1}),
    )
    large = short_cell({"name": "mlp", "hidden_nodes": "5-5"}, {"name": "static"})
    assert set(distinct_shapes([grown])) == {shape_name(small), shape_name(large)}
