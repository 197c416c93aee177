"""Networks that store connections alone train as the same networks under masks."""

import io
from dataclasses import replace

import pytest
import torch
from exact_rewiring import ExactRewiringParameters

from hornlib.data.loading import Splits, load
from hornlib.grid.cell import parse_specification
from hornlib.models.compressed import masked, masks_of
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk

CPU = torch.device("cpu")
NESTEROV = {"optimizer": "sgd", "acceleration": "nesterov", "weight_decay": 0.01, "learning_rate": 0.05}
ADAMW = {"optimizer": "adamw", "weight_decay": 0.1, "learning_rate": 0.01, "gradient_clip": 1.0}


def cell_of(storage, training, **model):
    cell = parse_specification(
        {
            "data": {"name": "digits", "train_subset": 100},
            "model": {"name": "mlp", "hidden_nodes": "20-15", "dropout": 0.2, **model},
            "training": {"steps": 20, "batch_size": 25, **training},
        }
    )
    return replace(cell, structure=ExactRewiringParameters(storage=storage))


def trained(cell, seeds, after_step=lambda chunk: None):
    real = torch.get_default_dtype()
    splits = Splits(*(part._replace(inputs=part.inputs.to(real)) for part in load(cell.data, CPU)))
    chunk = start_chunk(cell, list(seeds), CPU)
    train_chunk(chunk, splits, after_step)
    return chunk


def copied(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def assert_equal(mine, other):
    assert str(mine.events) == str(other.events)
    assert torch.equal(mine.flops, other.flops)
    for name, curve in mine.curves.items():
        assert name == "seconds" or torch.equal(curve.nan_to_num(-1), other.curves[name].nan_to_num(-1)), name
    (first,), (second,) = mine.groups, other.groups
    assert str(first.state()) == str(second.state())
    for part in ("parameters", "buffers"):
        for name, tensor in getattr(first.lanes, part).items():
            assert torch.equal(tensor, getattr(second.lanes, part)[name]), name


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def tolerance(request):
    """Set the type of all numbers, and return the largest difference that rounding may cause."""
    torch.set_default_dtype(request.param)
    yield {torch.float32: 1e-5, torch.float64: 1e-12}[request.param]
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("seeds", [[3], [0, 1, 2, 3, 4]], ids=["alone", "5 lanes"])
@pytest.mark.parametrize("training", [NESTEROV, ADAMW], ids=["nesterov", "adamw"])
def test_over_20_steps_and_a_rewiring_the_numbers_are_those_under_masks(training, seeds, tolerance):
    # A norm divides by the standard deviation of units that hardly vary, which enlarges rounding errors.
    under_masks, stored = (
        trained(cell_of(storage, training, readout_norm="none"), seeds)
        for storage in ("masked", "compressed")
    )
    (dense,), (sparse,) = under_masks.groups, stored.groups
    assert not sparse.masks
    assert sparse.lanes.num_parameters < dense.lanes.num_parameters / 2
    for name, mask in masks_of(sparse.lanes.buffers).items():
        assert torch.equal(mask, dense.masks[name])
    weights = masked(sparse.lanes.parameters, sparse.lanes.buffers)
    for name, tensor in dense.lanes.parameters.items():
        torch.testing.assert_close(weights[name], tensor, atol=tolerance, rtol=0)
    assert sparse.optimizer.state.keys() == dense.optimizer.state.keys()
    for moment in sparse.optimizer.state:
        moments = masked(sparse.named(sparse.optimizer.state[moment]), sparse.lanes.buffers)
        for name, tensor in dense.named(dense.optimizer.state[moment]).items():
            exists = dense.masks.get(name, torch.ones_like(tensor))
            torch.testing.assert_close(
                moments[name] * exists, tensor * exists, atol=tolerance, rtol=tolerance
            )
    for name in ("num_parameters", "training_flops"):
        torch.testing.assert_close(stored.curves[name], under_masks.curves[name], equal_nan=True)


def test_a_lane_is_its_seed_alone():
    cell = cell_of("compressed", NESTEROV)
    (together,) = trained(cell, [0, 1, 2]).groups
    for lane, seed in enumerate([0, 1, 2]):
        (alone,) = trained(cell, [seed]).groups
        for name, tensor in alone.lanes.parameters.items():
            torch.testing.assert_close(together.lanes.parameters[name][lane], tensor[0], atol=1e-6, rtol=1e-5)


def test_the_same_cell_ends_the_same_bit_for_bit():
    cell = cell_of("compressed", ADAMW)
    assert_equal(trained(cell, [0, 1]), trained(cell, [0, 1]))


@pytest.mark.parametrize("training", [NESTEROV, ADAMW], ids=["nesterov", "adamw"])
def test_wherever_it_was_interrupted_a_compressed_chunk_ends_bit_identical(training):
    cell, saved = cell_of("compressed", training), {}
    undisturbed = trained(cell, [0, 1], lambda chunk: saved.update({chunk.step: copied(chunk.state())}))
    assert {event.kind for event in undisturbed.events} == {"masked", "rewired"}
    for step in (1, 9, 10, 11):
        resumed = start_chunk(cell, [0, 1], CPU)
        resumed.restore_(saved[step], CPU)
        train_chunk(resumed, load(cell.data, CPU))
        assert resumed.step == 20, step
        assert_equal(undisturbed, resumed)
