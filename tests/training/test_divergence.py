"""A run that explodes is never recorded as complete, whichever step did it, and costs are told in memory's words."""

import pytest
import torch

from hornlib.data.loading import load
from hornlib.errors import ResourceError
from hornlib.grid.cell import parse_specification
from hornlib.grid.jobs import Range
from hornlib.training.chunk import start_chunk
from hornlib.training.job import TrainOptions
from hornlib.training.loop import train_chunk
from hornlib.training.train import train_job
from hornlib.training.trainers import TRAINERS


def cell_of(**training):
    return parse_specification(
        {
            "data": {"name": "digits", "train_subset": 64},
            "model": {"name": "mlp", "hidden_nodes": "8"},
            "training": {"batch_size": 16, "optimizer": "sgd", "schedule": "constant", **training},
        }
    )


@pytest.mark.parametrize("steps", [1, 3])
def test_an_update_that_explodes_after_the_last_loss_was_read_is_a_divergence(steps):
    cell = cell_of(learning_rate=1e38, steps=steps)
    chunk = start_chunk(cell, [0, 1], torch.device("cpu"))
    train_chunk(chunk, load(cell.data, "cpu"))
    assert chunk.diverged_at.tolist() == [1, 1]
    assert torch.isnan(chunk.curves["test_metric"]).all()
    assert torch.isnan(chunk.curves["test_loss"]).all()


def test_only_the_lane_that_exploded_is_taken_out():
    cell = cell_of(learning_rate=0.01, steps=4)
    chunk = start_chunk(cell, [0, 1, 2], torch.device("cpu"))

    def poison(chunk):
        if chunk.step == 3:
            with torch.no_grad():
                for tensor in chunk.lanes.parameters.values():
                    tensor[2] = torch.inf

    train_chunk(chunk, load(cell.data, "cpu"), poison)
    assert chunk.diverged_at.nan_to_num(-1).tolist() == [-1, -1, 4]
    assert torch.isfinite(chunk.curves["test_metric"][:2]).all()
    assert torch.isnan(chunk.curves["test_metric"][2, -1])


def test_a_lack_of_memory_is_told_with_what_to_lower(tmp_path, monkeypatch):
    def short(*arguments):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes")

    monkeypatch.setitem(TRAINERS, "gradient", TRAINERS["gradient"]._replace(start=short))
    cell = cell_of(steps=1)
    with pytest.raises(ResourceError, match=r"out of memory.*training\.batch_size"):
        train_job(
            cell, Range(0, 0), tmp_path / f"{cell.name}.seeds-0-0.nc", TrainOptions(1, 1, "cpu", tmp_path, 60)
        )
