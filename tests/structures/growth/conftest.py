"""Short trainings of networks that grow, and looks at networks that may grow."""

from contextlib import suppress

import pytest
import torch

from hornlib.data.loading import load
from hornlib.models.flops import gradient_flops
from hornlib.models.lanes import LaneGroup, make_lanes
from hornlib.randomness import generator
from hornlib.structures.growth.look import GrowthLook
from hornlib.structures.growth.parameters import GrowthParameters
from hornlib.structures.interface import LaneView
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk

CPU = torch.device("cpu")

RATES = {"sgd": 0.05, "adamw": 0.01}

MLP = {"name": "mlp", "hidden_nodes": "4-6", "activation": "tanh", "readout_norm": "none"}


@pytest.fixture
def growth_cell(short_cell):
    """Return a function that gives a cell of an mlp 4-6 that grows; it has twelve steps in three epochs.

    Values that are None are left out.
    """

    def make(model=None, optimizer="sgd", **structure):
        values = {"name": "growth", "start_step": 3, "every_steps": 2, **structure}
        values = {key: value for key, value in values.items() if value is not None}
        return short_cell(MLP | (model or {}), values, optimizer, RATES[optimizer])

    return make


@pytest.fixture
def trained():
    """Return a function that trains a cell for some steps and returns its chunk."""

    class StoppedError(Exception):
        pass

    def train(cell, seeds=(0, 1, 2), steps=12, after_step=lambda chunk: None):
        def stop(chunk):
            after_step(chunk)
            if chunk.step == steps:
                raise StoppedError

        chunk = start_chunk(cell, list(seeds), CPU)
        with suppress(StoppedError):
            train_chunk(chunk, load(cell.data, CPU), stop)
        return chunk

    return train


@pytest.fixture
def look_at_lanes():
    """Return a function that gives a look at fresh lanes over random batches of a task, such as float64 lanes."""

    def look(
        model,
        task,
        seeds=(0, 1),
        *,
        lanes=None,
        loss=cross_entropy,
        batch=6,
        dtype=torch.float32,
        **parameters,
    ):
        view = view_of_lanes(model, task, seeds, loss, batch, dtype)
        structure = GrowthParameters(**{"times": 1, "start_step": 0} | parameters)
        return GrowthLook(view, structure, lanes)

    return look


def cross_entropy(outputs, targets):
    """Return the mean loss of every lane, (lanes,)."""
    return torch.nn.functional.cross_entropy(outputs.movedim(2, 1), targets, reduction="none").mean(1)


def view_of_lanes(model, task, seeds, loss, batch, dtype):
    lanes = make_lanes([model] * len(seeds), task, seeds, CPU)

    def of_type(tensors):
        return {
            name: tensor.to(dtype) if tensor.is_floating_point() else tensor
            for name, tensor in tensors.items()
        }

    group = LaneGroup(lanes.network.to(dtype), seeds, of_type(lanes.parameters), of_type(lanes.buffers))

    def batches(number):
        for index in range(3 if number is None else number):
            draws = [generator("batch", seed, index) for seed in seeds]
            inputs = [torch.randn(batch, *task.input_shape, generator=draw) for draw in draws]
            targets = [torch.randint(task.num_outputs, (batch,), generator=draw) for draw in draws]
            yield torch.stack(inputs).to(dtype), torch.stack(targets)

    return LaneView(
        step=4,
        total_steps=10,
        steps_per_epoch=5,
        epochs=0.8,
        lanes=group,
        model=model,
        first_model=model,
        task=task,
        events=[[] for _ in seeds],
        batches=batches,
        loss=loss,
        gradient_flops=lambda wider: gradient_flops(wider, task, batch).total,
        evaluated=[],
        validation_loss=torch.empty(len(seeds), 0),
        masks={},
        memory={},
        moments={},
        coming_gradients=dict,
    )
