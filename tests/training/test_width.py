"""`lanes: auto` follows from shapes and the type of the device alone, so that equal jobs have equal results."""

import random
import time

import numpy as np
import pytest
import xarray as xr

from hornlib.grid.cell import parse_specification
from hornlib.grid.jobs import Range
from hornlib.training import job
from hornlib.training.chunk import Run
from hornlib.training.job import Assignment, TrainOptions
from hornlib.training.train import train_job
from hornlib.training.width import NUMBERS_AT_ONCE, chunk_width, numbers_a_step

HORN_CNN = {"name": "horn_cnn", "num_nodes": 8, "timesteps": 8, "heterogeneity": 1.0}
SEEDS = Range(0, 4)


def cell_of(model, batch_size=64, **data):
    return parse_specification(
        {"data": {"name": "digits", **data}, "model": model, "training": {"batch_size": batch_size}}
    )


@pytest.fixture
def erratic_clock(monkeypatch):
    """Whatever is timed takes a random time."""
    clock = random.Random(0)
    monkeypatch.setattr(time, "perf_counter", lambda: clock.expovariate(1.0))


@pytest.mark.parametrize("size", [None, 14, 28])
def test_five_calls_give_one_width_whatever_the_clock_says(erratic_clock, size):
    widths = {chunk_width("auto", cell_of(HORN_CNN, image_size=size), 7, "cpu") for _ in range(5)}
    assert widths == {1 if size == 28 else 7}


@pytest.mark.parametrize(
    ("model", "data", "least", "most"),
    [
        ({"name": "mlp", "hidden_nodes": "64-64"}, {}, 64, 1000),
        ({"name": "horn"}, {"presentation": "rows"}, 64, 1000),
        ({"name": "cnn", "channels": "8-16-32"}, {}, 16, 1000),
        (HORN_CNN, {}, 16, 64),
        (HORN_CNN, {"image_size": 28}, 1, 1),
        ({"name": "mlp", "hidden_nodes": "1024-1024"}, {}, 1, 1),  # one lane's products fill the CPU
        ({"name": "cnn"}, {"image_size": 28}, 1, 1),
    ],
)
def test_small_networks_train_side_by_side_and_large_maps_one_by_one(model, data, least, most):
    assert least <= chunk_width("auto", cell_of(model, **data), 10_000, "cpu") <= most


@pytest.mark.parametrize("device_type", NUMBERS_AT_ONCE)
def test_a_job_with_fewer_runs_has_the_same_width_up_to_its_runs(device_type):
    for size in (None, 14, 20, 28):
        cell = cell_of(HORN_CNN, image_size=size)
        width = chunk_width("auto", cell, 10_000, device_type)
        for num_runs in (1, 2, 7, 16, 100):
            assert chunk_width("auto", cell, num_runs, device_type) == min(width, num_runs)


def test_a_chunk_never_handles_more_numbers_than_the_device_is_allowed():
    for device_type, limit in NUMBERS_AT_ONCE.items():
        for batch_size in (1, 16, 64, 256, 1024):
            cell = cell_of(HORN_CNN, batch_size)
            width = chunk_width("auto", cell, 10_000, device_type)
            assert width == 1 or width * numbers_a_step(cell) <= limit


def test_a_batch_larger_than_the_training_set_counts_as_the_training_set():
    assert numbers_a_step(cell_of(HORN_CNN, 100, train_subset=64)) == numbers_a_step(cell_of(HORN_CNN, 64))


def test_a_number_of_lanes_is_taken_as_it_is_up_to_the_runs():
    cell = cell_of(HORN_CNN)
    assert chunk_width(4, cell, 10, "cpu") == 4
    assert chunk_width(64, cell, 10, "cpu") == 10


def test_the_costliest_group_of_a_job_sets_the_width_of_all():
    cells = [cell_of(HORN_CNN), cell_of(HORN_CNN, image_size=28)]
    groups = [[Run(cell, seed) for seed in range(runs)] for cell, runs in zip(cells, (2, 7), strict=True)]
    assert Assignment("both", groups, None, (0, 6)).width("auto", "cpu") == 1
    assert Assignment("small", groups[:1], None, (0, 1)).width("auto", "cpu") == 2
    assert Assignment("both", groups, None, (0, 6)).width(16, "cpu") == 7


def run_file(folder):
    """Train a short job with `lanes: auto` and return its run file."""
    model = {"name": "horn_cnn", "num_nodes": 4, "num_stages": 2, "timesteps": 3, "heterogeneity": 1.0}
    cell = parse_specification(
        {
            "data": {"name": "digits", "train_subset": 200},
            "model": model,
            "training": {"steps": 60, "batch_size": 16, "learning_rate": 0.05},
        }
    )
    path = folder / "runs" / f"{cell.name}.seeds-0-4.nc"
    train_job(cell, SEEDS, path, TrainOptions("auto", 1, "cpu", folder, 60))
    return path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return run_file(tmp_path_factory.mktemp("undisturbed"))


def assert_same(path, expected):
    with xr.open_dataset(path) as one, xr.open_dataset(expected) as other:
        assert one.lanes.values.tolist() == [5] * 5
        for name in set(other.variables) - {"seconds"}:
            np.testing.assert_array_equal(one[name].values, other[name].values, err_msg=name)


def test_two_jobs_with_lanes_auto_are_bit_identical_whatever_the_clock_says(
    undisturbed, tmp_path, erratic_clock
):
    assert_same(run_file(tmp_path), undisturbed)


def test_a_job_killed_before_its_first_checkpoint_ends_bit_identical(
    undisturbed, tmp_path, monkeypatch, erratic_clock
):
    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(job, "save_checkpoint", killed)
        with pytest.raises(KeyboardInterrupt):
            run_file(tmp_path)
    assert not list(tmp_path.rglob("*.checkpoint"))
    assert_same(run_file(tmp_path), undisturbed)
