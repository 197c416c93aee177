"""What a structure did stands in the run file: depth, widths and steps of layers over time, and every event."""

import numpy as np
import pytest

from hornlib.grid.cell import parse_specification
from hornlib.grid.jobs import Job, Range, parse_run_name
from hornlib.results.migrate import migrate
from hornlib.results.run_file import read_contents, read_run_file, write_contents
from hornlib.results.variables import check_run_variables
from hornlib.training.job import TrainOptions
from hornlib.training.train import train_job


@pytest.fixture
def trained(tmp_path):
    """Return a function that trains seeds 0 to 2, two at a time, and reads their run file."""

    def train(model, structure, capsys=None, **training):
        cell = parse_specification(
            {
                "data": {"name": "digits", "train_subset": 100, "validation": 0.2},
                "model": model,
                "structure": structure,
                "training": {"epochs": 3, "batch_size": 25, "schedule": "constant", **training},
            }
        )
        job = Job(cell.name, Range(0, 2))
        options = TrainOptions(2, 1, "cpu", tmp_path / "checkpoints", 300.0)
        train_job(cell, job.range, tmp_path / "runs" / job.file_name, options)
        return read_run_file(tmp_path / "runs" / job.file_name, cell).variables

    return train


def test_an_inserted_layer_stands_in_the_run_file(trained):
    model = {"name": "mlp", "hidden_nodes": "7-5"}
    actual = trained(model, {"name": "layer_insertion", "insert_at": 1, "choice": "position", "position": 0})
    assert actual["depth"].shape == (3, len(actual["step"]))
    before = actual["step"] <= 4
    assert (actual["depth"] == np.where(before, 2, 3)).all()
    assert (actual["width"][:, -1] == [7, 7, 5]).all() and np.isnan(actual["width"][:, 0, 2]).all()
    assert actual["event_seed"].tolist() == [0, 1, 2] and set(actual["event_kind"]) == {"inserted"}
    assert actual["event_step"].tolist() == [4] * 3 and actual["event_position"].tolist() == [1] * 3
    assert "layer_step" not in actual and "horizon" not in actual


def test_steps_of_layers_stand_in_the_run_file_and_their_sum_is_the_horizon(trained):
    model = {"name": "time_resnet", "num_layers": 4, "num_nodes": 6, "l1_penalty": 0.5}
    structure = {"name": "layer_pruning", "threshold": 0.2}
    actual = trained(model, structure, optimizer="sgd", learning_rate=0.05)
    assert actual["layer_step"].shape == (3, len(actual["step"]), 4)
    np.testing.assert_allclose(np.nansum(actual["layer_step"], 2), actual["horizon"], rtol=1e-6)
    assert (np.isfinite(actual["layer_step"]).sum(2) == actual["depth"]).all()
    assert set(actual["event_kind"]) == {"pruned"}


def test_an_opening_layer_without_a_step_leaves_its_place_empty(trained):
    model = {
        "name": "time_resnet", "num_layers": 2, "num_nodes": 4, "block": "two_weight", "layer_steps": "fixed",
        "opening_step": "without", "activation": "tanh",
    }  # fmt: skip
    actual = trained(model, {"name": "layer_insertion", "insert_at": 1, "choice": "random"})
    assert np.isnan(actual["layer_step"][:, :, 0]).all()
    assert (actual["layer_step"][:, -1, 1:] == 1).all() and actual["width"].shape == actual[
        "layer_step"
    ].shape
    assert (actual["horizon"][:, -1] == 2).all()


def test_a_static_network_with_steps_has_no_depth_and_no_events(trained):
    actual = trained({"name": "fractional_dnn", "num_layers": 3, "num_nodes": 6}, {"name": "static"})
    assert "depth" not in actual and "event_step" not in actual
    assert (
        actual["layer_step"].shape[2] == 3
        and (actual["training_total_loss"] == actual["training_loss"]).all()
    )


def test_a_sparse_network_stands_in_the_run_file(trained):
    structure = {"name": "sparse_training", "density": 0.3, "rule": "set"}
    actual = trained({"name": "mlp", "hidden_nodes": "8-6"}, structure)
    evaluations = len(actual["step"])
    for name in ("layer_density", "active_units", "gradient_reached", "width"):
        assert actual[name].shape == (3, evaluations, 3), name  # of two hidden layers and the read-out
    assert np.isfinite(actual["layer_density"]).all() and (actual["gradient_reached"] == 1).all()
    sizes, dense = np.array([64 * 8, 8 * 6, 6 * 10]), 8 + 6 + 10
    connections = (actual["layer_density"] * sizes).sum(2)
    np.testing.assert_allclose(actual["num_parameters"], connections + dense)
    assert (actual["active_units"] <= [8, 6, 10]).all() and (np.diff(actual["explored"]) >= 0).all()
    assert set(actual["event_kind"]) == {"masked", "rewired"}
    rewired = actual["event_kind"] == "rewired"
    assert (actual["event_number"] > 0).all() and np.isnan(actual["event_score"][~rewired]).all()
    last = rewired & (actual["event_step"] == 8)
    assert ((actual["event_score"][last] >= 0) & (actual["event_score"][last] <= 1)).all() and last.any()


def test_units_without_connections_are_said_at_the_end(trained, capsys):
    trained({"name": "mlp", "hidden_nodes": "30-20"}, {"name": "sparse_training", "density": 0.05})
    assert "ends with units without inputs or without outputs in 3 run(s)" in capsys.readouterr().err


def test_a_run_file_without_numbers_of_events_is_read(trained, tmp_path):
    """hornlib 0.2 wrote no event_number."""
    trained({"name": "mlp", "hidden_nodes": "7-5"}, {"name": "layer_insertion", "insert_at": 1})
    (path,) = (tmp_path / "runs").iterdir()
    contents = read_contents(path)
    older = {name: values for name, values in contents.variables.items() if name != "event_number"}
    write_contents(path, parse_run_name(path.name), contents._replace(variables=older))
    assert "event_number" not in read_run_file(path).variables
    assert [outcome.action for outcome in migrate(tmp_path, report=lambda line: None)] == ["unchanged"]


def test_a_kind_of_event_that_the_table_lacks_is_refused(trained):
    actual = trained({"name": "mlp", "hidden_nodes": "7-5"}, {"name": "layer_insertion", "insert_at": 1})
    check_run_variables(actual)
    with pytest.raises(ValueError, match="a kind of event is one of inserted, pruned"):
        check_run_variables({**actual, "event_kind": np.array(["split"] * 3, object)})


def test_what_never_happened_is_said_at_the_end(trained, capsys):
    model = {"name": "time_resnet", "num_layers": 3, "num_nodes": 6}
    actual = trained(model, {"name": "layer_pruning", "threshold": 1e-6})
    assert "event_step" not in actual
    assert "no share of a time step fell below threshold: 1e-06 in 3 run(s)" in capsys.readouterr().err
