"""`lanes: auto` takes the fastest width and is never slower than one by one."""

import pytest
import torch

from hornlib.cell import parse_specification
from hornlib.data.loading import load
from hornlib.training import width
from hornlib.training.chunk import Lane
from hornlib.training.width import chunk_width, fastest_width, seconds_a_lane_step

CELL = parse_specification(
    {"data": {"name": "digits", "train_subset": 64}, "model": {"name": "mlp", "hidden_nodes": "8"}}
)
ROWS = [Lane(CELL, seed) for seed in range(10)]


def with_times(monkeypatch, times):
    asked = []

    def seconds(rows, splits):
        asked.append(len(rows))
        found = times[len(rows)]
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(width, "seconds_a_lane_step", seconds)
    return asked


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({1: 1.0, 2: 0.6, 4: 0.4, 8: 0.3, 10: 0.25}, 10),
        ({1: 1.0, 2: 0.6, 4: 0.4, 8: 0.5, 10: 0.55}, 4),
        ({1: 1.0, 2: 1.1, 4: 1.2, 8: 1.3, 10: 1.4}, 1),
        ({1: 1.0, 2: 0.99, 4: 0.98, 8: 0.97, 10: 0.96}, 1),  # within the noise of a trial
        ({1: 1.0, 2: 0.8, 4: torch.OutOfMemoryError("CUDA out of memory")}, 2),
        ({1: 1.0, 2: RuntimeError("DefaultCPUAllocator: can't allocate memory")}, 1),
    ],
)
def test_the_fastest_width_is_taken_and_never_one_slower_than_alone(monkeypatch, times, expected):
    with_times(monkeypatch, times)
    assert fastest_width(ROWS, None) == expected


def test_wider_chunks_are_not_tried_once_one_is_much_slower(monkeypatch):
    asked = with_times(monkeypatch, {1: 1.0, 2: 2.0})
    assert fastest_width(ROWS, None) == 1 and asked == [1, 2]


def test_any_other_error_is_not_taken_for_a_lack_of_memory(monkeypatch):
    with_times(monkeypatch, {1: 1.0, 2: RuntimeError("shapes differ")})
    with pytest.raises(RuntimeError, match="shapes differ"):
        fastest_width(ROWS, None)


def test_a_number_of_lanes_is_taken_as_it_is_up_to_the_seeds_there_are():
    assert chunk_width(4, ROWS, None) == 4
    assert chunk_width(64, ROWS, None) == 10


def test_a_trial_leaves_seconds_and_no_trace():
    splits = load(CELL.data, "cpu")
    before = torch.random.get_rng_state()
    assert 0 < seconds_a_lane_step(ROWS[:2], splits) < 10
    assert torch.equal(torch.random.get_rng_state(), before)
