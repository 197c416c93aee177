"""Calibration: right in order, measured once a shape, resumable, and nothing measured twice."""

import json
import math
from dataclasses import replace

import pytest
import torch

from hornlib.calibration import calibrate as module
from hornlib.calibration.calibrate import calibrate, device_name
from hornlib.calibration.memory import peak_memory
from hornlib.calibration.timing import TimedLane, random_examples
from hornlib.data.augmentation import AUGMENTATIONS
from hornlib.grid import routes
from hornlib.grid.cell import parse_specification
from hornlib.grid.shapes import distinct_shapes, shape_name
from hornlib.kernels.library import cpu_model
from hornlib.results.calibration_file import read_calibration, write_calibration

CONFIG = """
    device: cpu
    sweeps:
      one:
        data: {name: digits}
        training: {batch_size: 16}
        model:
          - {name: horn, arm: small, num_nodes: 4, timesteps: 2, heterogeneity: [0, 1]}
          - {name: mlp, arm: large, hidden_nodes: 8}
"""
MORE = "          - {name: cnn, channels: 2-2}\n"


@pytest.fixture
def grid(grid_from, tmp_path):
    """A function that gives the grid of a configuration, with results of this test's own."""

    def make(text):
        made = grid_from(text)
        return replace(made, settings=made.settings.model_copy(update={"results": str(tmp_path / "results")}))

    return make


@pytest.fixture
def blocks(monkeypatch):
    """Stand in for the clock; record the shapes in the order in which they are timed."""
    timed = []

    def block(lane):
        timed.append(shape_name(lane.cell))
        return 0.001 * (1 + len(timed) / 1000), 10

    monkeypatch.setattr(TimedLane, "block", block)
    monkeypatch.setattr(module, "peak_memory", lambda cells, *_: [1e6] * len(cells))
    return timed


def test_every_shape_is_timed_once_a_round_and_each_round_has_its_own_order(grid, blocks):
    made = grid(CONFIG + MORE)
    path = calibrate(made, rounds=6)
    shapes = set(distinct_shapes(made.cells.values()))
    assert len(made.cells) == 4 and len(shapes) == 3
    rounds = [tuple(blocks[start : start + 3]) for start in range(0, 18, 3)]
    assert len(blocks) == 18 and all(set(own) == shapes for own in rounds) and len(set(rounds)) > 1
    known = read_calibration(path)
    assert set(known.shapes) == shapes
    for own in known.shapes.values():
        assert len(own.block_times) == 6 and own.num_steps == 60 and own.peak_memory == 1e6
        assert json.loads(own.specification)["training"]["batch_size"] == 16 and "torch" in own.software


def test_a_cell_more_measures_only_its_shape_and_a_seed_more_nothing(grid, blocks):
    path = calibrate(grid(CONFIG), rounds=3)
    before = read_calibration(path)
    blocks.clear()
    calibrate(grid(CONFIG.replace("device: cpu", "device: cpu\n    seeds: 9")), rounds=3)
    assert blocks == []
    calibrate(grid(CONFIG + MORE), rounds=3)
    assert len(blocks) == 3 and len(set(blocks)) == 1 and blocks[0].startswith("cnn-")
    after = read_calibration(path)
    assert {name: after.shapes[name] for name in before.shapes} == before.shapes


def test_shapes_that_are_no_longer_wanted_are_kept_and_not_measured(grid, blocks):
    path = calibrate(grid(CONFIG + MORE), rounds=2)
    blocks.clear()
    calibrate(grid(CONFIG), rounds=4)
    assert not any(name.startswith("cnn-") for name in blocks) and len(blocks) == 4
    assert len(read_calibration(path).shapes) == 3


def test_a_calibration_that_was_stopped_goes_on_with_the_rounds_that_lack(grid, blocks, monkeypatch):
    made = grid(CONFIG)
    original = TimedLane.block

    def stopped(lane):
        if len(blocks) == 5:
            raise KeyboardInterrupt
        return original(lane)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TimedLane, "block", stopped)
        calibrate(made, rounds=4)
    blocks.clear()
    path = calibrate(made, rounds=4)
    assert len(blocks) == 4  # two rounds were whole and kept; two lack
    assert {len(own.block_times) for own in read_calibration(path).shapes.values()} == {4}


def test_a_shape_that_memory_does_not_hold_stays_unknown_and_the_others_are_measured(
    grid, blocks, monkeypatch, capsys
):
    original = TimedLane.block

    def failing(lane):
        if lane.cell.model.name == "mlp":
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return original(lane)

    monkeypatch.setattr(TimedLane, "block", failing)
    known = read_calibration(calibrate(grid(CONFIG), rounds=2))
    times = {name.split("-")[0]: own.step_time for name, own in known.shapes.items()}
    assert math.isnan(times["mlp"]) and times["horn"] > 0
    assert "out of memory, not measured" in capsys.readouterr().err


def test_every_shape_gets_its_own_networks_time_whatever_the_order(grid, monkeypatch):
    monkeypatch.setattr(module, "peak_memory", lambda cells, *_: [math.nan] * len(cells))
    monkeypatch.setattr(TimedLane, "block", lambda lane: (len(lane.cell.model.name), 2))
    known = read_calibration(calibrate(grid(CONFIG), rounds=3))
    assert len(known.shapes) == 2
    assert all(own.step_time == len(name.split("-")[0]) for name, own in known.shapes.items())


def test_a_large_network_takes_more_memory_and_of_one_too_large_nothing_is_known():
    small, large, huge = (
        parse_specification({"data": {"name": "digits"}, "model": {"name": "mlp", "hidden_nodes": nodes}})
        for nodes in (4, "1024-1024", 2**40)
    )
    sizes = peak_memory([small, huge, large, small], torch.device("cpu"), 1, "auto")
    assert math.isnan(sizes[1]) and 0 <= sizes[0] < 3e6 and abs(sizes[0] - sizes[3]) < 1e6
    # 1.13 million weights, their gradients, two moments: 18 MB, and what the update holds beside them
    assert 15e6 < sizes[2] < 60e6


def test_no_peak_is_known_of_mps():
    assert all(map(math.isnan, peak_memory([None, None], torch.device("mps"), 1, "auto")))


@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_a_trial_makes_the_training_steps_of_the_cell_augmentation_included(augmentation):
    cell = parse_specification(
        {
            "data": {"name": "photo_patches", "augmentation": augmentation},
            "model": {"name": "cnn", "channels": "2-4"},
            "training": {"batch_size": 8, "learning_rate": 0.01},
        }
    )
    lane = TimedLane(cell, random_examples(cell, torch.device("cpu")))
    before = {name: tensor.clone() for name, tensor in lane.chunk.lanes.parameters.items()}
    assert lane.steps(3) > 0 and lane.chunk.step == 3 and not lane.group.window
    assert any(not torch.equal(tensor, before[name]) for name, tensor in lane.chunk.lanes.parameters.items())
    seconds, number = lane.block()
    assert seconds > 0 and 2 <= number <= 200


def test_a_cpus_name_holds_its_model_its_threads_and_the_routes_of_recurrences(monkeypatch):
    cpu = torch.device("cpu")
    monkeypatch.setattr(routes, "obstacle", lambda library, device: "")
    assert device_name(cpu, 1, "auto") == f"cpu {cpu_model()}, 1 thread, fused field and recurrence"
    assert device_name(cpu, 2, "loop") == f"cpu {cpu_model()}, 2 threads, loops"
    monkeypatch.setattr(routes, "obstacle", lambda library, device: "no compiler")
    assert device_name(cpu, 1, "auto") == f"cpu {cpu_model()}, 1 thread, loops"


@pytest.mark.parametrize(("kernel", "number"), [("auto", 1), ("loop", 2)])
def test_step_times_of_two_routes_are_never_of_one_device(grid, blocks, kernel, number, monkeypatch):
    monkeypatch.setattr(routes, "obstacle", lambda library, device: "")
    first = calibrate(grid(CONFIG), rounds=2)
    second = calibrate(grid(f"    kernel: {kernel}\n{CONFIG}"), rounds=2)
    assert len({first, second}) == number
    kernels = {measured.kernel for measured in read_calibration(second).shapes.values()}
    assert kernels == {"none", "fused" if kernel == "auto" else "loop: the setting is kernel: loop"}


def test_a_shape_that_was_measured_on_another_route_is_measured_anew(grid, blocks, monkeypatch):
    monkeypatch.setattr(routes, "obstacle", lambda library, device: "")
    path = calibrate(grid(CONFIG), rounds=2)
    before = read_calibration(path)
    shape = next(name for name, measured in before.shapes.items() if measured.kernel == "fused")
    before.shapes[shape] = replace(before.shapes[shape], kernel="loop: no fused kernel covers num_nodes: 4")
    write_calibration(path, before)
    blocks.clear()
    calibrate(grid(CONFIG), rounds=2)
    assert blocks == [shape] * 2 and read_calibration(path).shapes[shape].kernel == "fused"
