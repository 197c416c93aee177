"""What growth leaves in run files and in results.nc, and the seconds of networks between calibrated widths."""

import math

import numpy as np
import pytest

from hornlib.grid.cell import parse_specification
from hornlib.grid.jobs import Job, Range
from hornlib.grid.shapes import as_model, distinct_shapes, shape_name
from hornlib.results.calibrated_seconds import (
    _interpolated,
    calibrated_seconds,
    interpolated_steps,
    models_over_time,
)
from hornlib.results.calibration_file import Calibration, Measurement, calibration_path, write_calibration
from hornlib.results.final_network import final_forward_flops
from hornlib.results.gather import gather
from hornlib.results.opening import open_results
from hornlib.results.run_file import read_run_file
from hornlib.training.chunk import DELAYS
from hornlib.training.job import TrainOptions
from hornlib.training.train import train_job

CONFIG = """
seeds: 2
results: {results}
statistics: {{baseline: small}}
defaults:
  data: {{name: digits, train_subset: 100, validation: 0.2}}
  training: {{epochs: 3, batch_size: 25}}
  model: {{name: mlp, activation: tanh, readout_norm: none}}
sweeps:
  growing:
    model:
      - {{arm: small, hidden_nodes: 4-6}}
      - arm: grown
        hidden_nodes: 4-6
        structure: {{name: growth, final_units: 13-8, start_step: 1, every_steps: 1, place: round_robin}}
"""


@pytest.fixture
def trained(tmp_path):
    """Return a function that trains a cell with two seeds and reads its run file."""

    def train(cell):
        job = Job(cell.name, Range(0, 1))
        path = tmp_path / "runs" / job.file_name
        train_job(cell, job.range, path, TrainOptions(2, 1, "cpu", tmp_path / "checkpoints", 300.0))
        return read_run_file(path, cell)

    return train


@pytest.fixture
def long_cell():
    """Return a cell of thirty steps that grows fourteen times, more often than shapes are calibrated."""
    structure = {
        "name": "growth",
        "final_units": "16-8",
        "start_step": 1,
        "every_steps": 2,
        "place": "round_robin",
    }
    return parse_specification(
        {
            "data": {"name": "digits", "train_subset": 100, "validation": 0.2},
            "model": {"name": "mlp", "hidden_nodes": "4-6", "activation": "tanh", "readout_norm": "none"},
            "structure": structure,
            "training": {"steps": 30, "batch_size": 25},
        }
    )


def test_events_stand_in_the_run_file_and_give_the_models(trained, long_cell):
    run = trained(long_cell)
    events = run.variables
    assert events["event_kind"].tolist() == ["grown"] * 28 and events["delay"].tolist() == list(DELAYS)
    assert events["event_position"][::2].tolist() == [0, 1, 0, 1] + [0] * 10
    assert (events["event_number"] == 1).all() and (events["event_score"] > 0).all()
    assert (events["event_drawn"] == 0).all()
    ratios, steps = events["event_gradient_ratio"], events["event_step"]
    for column, delay in enumerate(DELAYS):
        assert (np.isfinite(ratios[:, column]) == (steps + delay < 30)).all()
    assert (ratios[:, 0] > 0).all() and (events["event_active_share"] == 1).all()
    task = long_cell.task()
    for seed in (0, 1):
        models = [model for _, model in models_over_time(run, long_cell, seed)]
        assert models == [long_cell.model, *long_cell.structure.models(long_cell.model, task)]
    np.testing.assert_array_equal(events["num_parameters"][:, -1], long_cell.cost().num_parameters)
    np.testing.assert_array_equal(final_forward_flops(run, long_cell), long_cell.cost().flops.total)
    assert events["width"][:, -1].tolist() == [[16, 8]] * 2


def test_seconds_between_calibrated_widths_lie_on_the_line_between_them(trained, long_cell):
    """Step times that are linear in FLOPs are met exactly; those of calibrated shapes are taken as they are."""
    run, task = trained(long_cell), long_cell.task()

    def seconds(model):
        return 1e-3 + 1e-6 * model.forward_flops(task).total

    shapes = distinct_shapes([long_cell])
    assert len(shapes) == 7
    times = {name: Measurement("{}", "", (seconds(cell.model),)) for name, cell in shapes.items()}
    actual = calibrated_seconds(run, long_cell, Calibration("cpu", times))
    pieces = list(models_over_time(run, long_cell, 0))
    at = [seconds([model for start, model in pieces if start <= step][-1]) for step in range(30)]
    expected = [sum(at[:step]) for step in run.variables["step"]]
    np.testing.assert_allclose(actual, [expected] * 2)
    is_listed = [shape_name(as_model(long_cell, model)) in shapes for _, model in pieces]
    between = sum(2 for listed in is_listed[1:-1] if not listed)  # two steps a width
    assert interpolated_steps(run, long_cell).tolist() == [between] * 2 and between > 10


def test_step_times_are_linear_between_neighbours_and_a_little_beyond_the_last():
    measured = [(100, 1.0), (200, 3.0), (250, math.nan), (400, 3.5)]
    expected = {100: 1.0, 150: 2.0, 300: 3.25, 420: 3.55, 90: 0.8}
    assert {flops: _interpolated(flops, measured) for flops in expected} == pytest.approx(expected)
    assert all(math.isnan(_interpolated(flops, measured)) for flops in (69, 431))
    assert math.isnan(_interpolated(100, measured[:1]))


def test_seconds_are_unknown_where_a_listed_shape_was_not_measured(trained, long_cell):
    run, shapes = trained(long_cell), distinct_shapes([long_cell])
    times = {name: Measurement("{}", "", (1.0,)) for name in list(shapes)[:-1]}  # without the last one
    actual = calibrated_seconds(run, long_cell, Calibration("cpu", times))
    last = [start for start, _ in models_over_time(run, long_cell, 0)][-1]
    assert (np.isnan(actual) == (run.variables["step"] > last)).all()


def test_results_hold_events_widths_and_interpolated_steps(grid_from, tmp_path):
    grid = grid_from(CONFIG.format(results=tmp_path / "results"))
    small, grown = grid.cells.values()
    options = TrainOptions(2, 1, "cpu", tmp_path / "checkpoints", 300.0)
    for job in grid.jobs({}):
        train_job(grid.cells[job.cell], job.range, grid.run_path(job), options)
    shapes = {name: Measurement("{}", "", (1.0, 1.0)) for name in distinct_shapes(grid.cells.values())}
    write_calibration(calibration_path(tmp_path / "results", "cpu x"), Calibration("cpu x", shapes))
    gather(grid).close()
    ds = open_results(tmp_path / "results" / "results.nc", sweep="growing")
    assert ds["event_gradient_ratio"].dims == ("cell", "seed", "event", "delay")
    assert ds.sizes["event"] == 11 and ds["delay"].values.tolist() == list(DELAYS)
    events = ds.sel(cell=grown.name)
    assert (events["event_kind"] == "grown").all() and events["event_step"].values.tolist() == [
        list(range(1, 12))
    ] * 2
    run = read_run_file(grid.run_path(next(job for job in grid.jobs({}) if job.cell == grown.name)), grown)
    np.testing.assert_array_equal(events["event_score"].values.ravel("F"), run.variables["event_score"])
    np.testing.assert_allclose(
        events["event_gradient_ratio"].values.transpose(1, 0, 2).reshape(22, 4),
        run.variables["event_gradient_ratio"],
    )
    assert (events["width"][:, -1] == [13, 8]).all() and (events["interpolated_steps"] > 0).all()
    still = ds.sel(cell=small.name)
    assert (still["event_kind"] == "").all() and still["event_step"].isnull().all()
    assert (still["interpolated_steps"] == 0).all()
    np.testing.assert_allclose(ds["calibrated_seconds"][..., 0], ds["step"].broadcast_like(ds["test_loss"]))
    assert "interpolated linearly in forward FLOPs" in ds["interpolated_steps"].attrs["long_name"]


def test_results_without_events_of_units_have_no_such_dimensions(grid_from, tmp_path):
    text = CONFIG.format(results=tmp_path / "results").partition("      - arm: grown")[0]
    grid = grid_from(text)
    for job in grid.jobs({}):
        train_job(
            grid.cells[job.cell],
            job.range,
            grid.run_path(job),
            TrainOptions(2, 1, "cpu", tmp_path / "checkpoints", 300.0),
        )
    ds = gather(grid)
    assert not {"event", "delay", "layer"} & set(ds.dims) and "interpolated_steps" not in ds


def test_a_trigger_that_never_fired_is_said_at_the_end(trained, growth_cell, capsys):
    trained(growth_cell(times=1, when="singular_value", gradient_ratio=1e6))
    assert (
        "growth: when: singular_value never fired in 2 run(s); no unit was added" in capsys.readouterr().err
    )
