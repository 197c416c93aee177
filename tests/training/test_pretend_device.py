"""Training on a device that is not the CPU, without one: placement, kernels, and waits of every model."""

import runpy
from contextlib import ExitStack, nullcontext
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
import xarray as xr
from pretend_device import TYPE, fused_fields, pretend_device

from hornlib.data.loading import load
from hornlib.grid.cell import parse_specification
from hornlib.grid.jobs import Range
from hornlib.kernels import devices
from hornlib.kernels.library import compiler
from hornlib.kernels.route import loops
from hornlib.models import MODELS
from hornlib.parameters.probes import ProbeSettings
from hornlib.structures import STRUCTURES
from hornlib.training import job
from hornlib.training.batches import Batches
from hornlib.training.chunk import start_chunk
from hornlib.training.interruption import Interrupted
from hornlib.training.job import TrainOptions
from hornlib.training.loop import train_chunk, train_step
from hornlib.training.train import dynamics_path, train_job

SMALL = runpy.run_path(str(Path(__file__).parents[1] / "models" / "test_contract.py"))["SMALL"]
CPU = torch.device("cpu")
QUICK = ("horn_cnn-0-image", "mlp-0-image", "rnn-1-rows", "cnn-0-image")
STRUCTURED = {  # a model and a structure that changes it
    "layer_insertion": ({"name": "mlp", "hidden_nodes": "7-5"}, {"insert_at": 1}),
    "layer_pruning": ({"name": "time_resnet", "num_nodes": 5, "num_layers": 6}, {"threshold": 0.3}),
    "sparse_training": (
        {"name": "cnn", "channels": "4-6"},
        {"rule": "rigl", "density": 0.5, "update_every": 3},
    ),
    "weight_pruning": ({"name": "mlp", "hidden_nodes": "7-5"}, {"density": 0.5, "update_every": 2}),
    "growth": (
        {"name": "vgg", "channels": "4-6", "strides": "1-2"},
        {"when": "singular_value", "start_step": 2, "every_steps": 3, "final_factor": 2},
    ),
    "unit_pruning": (
        {"name": "cnn", "channels": "4-6"},
        {"drop_share": 0.5, "drop_by": "taylor", "score_batches": 2},
    ),
    "grow_and_prune": (
        {"name": "mlp", "hidden_nodes": "7-5", "activation": "relu_one", "readout_norm": "none"},
        {"combination": "exchange", "times": 2, "start_share": 0.2, "every_share": 0.3, "drop_share": 0.3},
    ),
}
without_sparse_layers = pytest.mark.skip(reason="the pretend device cannot hold the sparse matrices of torch")
needs_compiler = pytest.mark.skipif(not compiler(), reason="there is no C compiler on this machine")


def _models(quick=QUICK):
    """Return every small model of the table with a presentation of its data; all but those of `quick` are slow."""
    for name, models in SMALL.items():
        parameters = MODELS[name]
        for number, values in enumerate(models):
            presentation = "rows" if "rows" in parameters.presentations else "image"
            case = f"{name}-{number}-{presentation}"
            marks = [] if case in quick else [pytest.mark.slow]
            if "connections" in values:
                marks.append(without_sparse_layers)
            yield pytest.param({"name": name, **values}, presentation, id=case, marks=marks)


every_model = pytest.mark.parametrize(("model", "presentation"), list(_models()))


def cell_of(model, presentation="image", structure=None, **training):
    return parse_specification(
        {
            "data": {"name": "digits", "train_subset": 80, "validation": 0.2, "presentation": presentation},
            "model": model,
            "structure": structure or {"name": "static"},
            "training": {"steps": 4, "batch_size": 16, "schedule": "constant", **training},
        }
    )


def trained(cell, seeds, device):
    chunk, splits = start_chunk(cell, seeds, device), load(cell.data, device)
    train_chunk(chunk, splits)
    return chunk, splits


def one_step(device, chunk, splits):
    """Make one more step and leave in the device's counters what that step did."""
    (group,) = chunk.groups
    inputs, targets = Batches(chunk, splits.train).at(chunk.step, group.lanes.rows)
    device.reset()
    train_step(chunk, group, inputs, targets, total_steps=10)


def assert_close(one, other):
    for curve in ("training_loss", "validation_loss", "test_loss"):
        torch.testing.assert_close(
            one.curves[curve], other.curves[curve], rtol=1e-3, atol=1e-4, equal_nan=True
        )


@every_model
@pytest.mark.parametrize("seeds", [[0], [0, 1, 2]], ids=["alone", "lanes"])
def test_a_model_trains_as_on_the_cpu_and_no_step_waits_for_the_device(model, presentation, seeds):
    cell = cell_of(model, presentation)
    with loops():
        expected, _ = trained(cell, seeds, CPU)
        with pretend_device() as device:
            chunk, splits = trained(cell, seeds, device.device)
            one_step(device, chunk, splits)
    assert_close(chunk, expected)
    assert sum(device.kernels.values()) > 20
    assert not device.blocking


TRAININGS = {
    "sgd": {"optimizer": "sgd", "gradient_clip": 1.0},
    "smoothing": {"label_smoothing": 0.1, "warmup_steps": 2, "schedule": "cosine"},
    "full batch": {"batch_size": 1000},
}


@pytest.mark.slow
@pytest.mark.parametrize("training", TRAININGS.values(), ids=TRAININGS)
def test_every_way_of_training_is_that_of_the_cpu(training):
    cell = cell_of({"name": "cnn", "channels": "4-6"}, **training)
    expected, _ = trained(cell, [0, 1], CPU)
    with pretend_device() as device:
        chunk, _ = trained(cell, [0, 1], device.device)
    assert_close(chunk, expected)
    assert chunk.diverged_at.isnan().all()


@pytest.mark.slow
def test_a_run_diverges_at_the_same_step_as_on_the_cpu():
    """Its losses are no measure: steps of this size amplify rounding, which differs between processors."""
    cell = cell_of({"name": "cnn", "channels": "4-6"}, learning_rate=1e6, optimizer="sgd", steps=12)
    expected, _ = trained(cell, [0, 1], CPU)
    with pretend_device() as device:
        chunk, _ = trained(cell, [0, 1], device.device)
    assert expected.diverged_at.isfinite().any()
    torch.testing.assert_close(chunk.diverged_at, expected.diverged_at, equal_nan=True)
    for curve in ("training_loss", "validation_loss", "test_loss"):
        assert torch.equal(chunk.curves[curve].isnan(), expected.curves[curve].isnan())


def run_job(cell, folder, kind, stop_at=None):
    """Train a job with probes, which may be stopped once and resumed; return its run file and its dynamics file."""
    output = folder / "runs" / f"{cell.name}.seeds-0-1.nc"
    options = TrainOptions(2, 1, kind, folder / "checkpoints", 1e6, ProbeSettings(inputs=16), kernel="loop")
    real = job._Keeper.after_step

    def after_step(self, chunk):
        if chunk.step == stop_at:
            self.save(chunk)
            raise Interrupted("stopped by the test")
        real(self, chunk)

    if stop_at is not None:
        with mock.patch.object(job._Keeper, "after_step", after_step), pytest.raises(Interrupted):
            train_job(cell, Range(0, 1), output, options)
    train_job(cell, Range(0, 1), output, options)
    return output, dynamics_path(output)


def assert_a_resumed_job_writes_the_files_of_the_cpu(cell, folder, stop_at):
    expected = run_job(cell, folder / "cpu", "cpu")
    with pretend_device() as device, mock.patch.object(job, "resolve_device", lambda kind: device.device):
        written = run_job(cell, folder / "device", "pretend", stop_at)
    for paths in zip(written, expected, strict=True):
        one, other = map(xr.load_dataset, paths)
        assert set(one.variables) == set(other.variables)
        for name in set(one.variables) - {"seconds"}:
            if one[name].dtype.kind == "f" and "lyapunov" not in name:  # a chaotic layer amplifies rounding
                np.testing.assert_allclose(one[name], other[name], rtol=1e-2, atol=1e-3, err_msg=name)
    return written[0]


@pytest.mark.parametrize(("model", "presentation"), list(_models(QUICK[:1])))
def test_a_job_with_probes_that_is_stopped_and_resumed_writes_the_files_of_the_cpu(
    tmp_path, model, presentation
):
    assert_a_resumed_job_writes_the_files_of_the_cpu(cell_of(model, presentation, steps=3), tmp_path, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", STRUCTURED)
def test_a_structure_changes_networks_on_the_device_as_on_the_cpu(tmp_path, name):
    model, structure = STRUCTURED[name]
    cell = cell_of(model, structure={"name": name, **structure}, steps=12)
    path = assert_a_resumed_job_writes_the_files_of_the_cpu(cell, tmp_path, 6)
    assert xr.load_dataset(path).sizes["event"] > 0


def test_no_step_under_masks_waits_for_the_device():
    model, structure = STRUCTURED["sparse_training"]
    cell = cell_of(model, structure={"name": "sparse_training", **structure}, gradient_clip=1.0)
    with pretend_device() as device:
        chunk, splits = trained(cell, [0, 1], device.device)
        assert chunk.groups[0].masks
        one_step(device, chunk, splits)
    assert sum(device.kernels.values()) > 20 and not device.blocking


def test_every_structure_has_an_entry_here():
    assert STRUCTURED.keys() == STRUCTURES.keys() - {"static"}


HORN_CNN = {"name": "horn_cnn", "num_nodes": 8, "num_stages": 3, "timesteps": 8}
KERNELS = [  # model, presentation, whether its fields are fused, lanes, and the kernels of a step that may only fall
    (HORN_CNN, "image", True, 1, 111),
    (HORN_CNN, "image", True, 7, 112),
    ({**HORN_CNN, "timesteps": 32}, "image", True, 1, 111),
    (HORN_CNN, "image", False, 1, 605),
    ({"name": "leaky_cnn", "num_nodes": 8, "num_stages": 3, "timesteps": 8}, "image", True, 1, 99),
    ({"name": "cnn", "channels": "8-17-33"}, "image", False, 1, 66),
    ({"name": "mlp", "hidden_nodes": "64-64"}, "image", False, 1, 45),
    ({"name": "horn", "num_nodes": 32}, "rows", False, 1, 146),
    ({"name": "rnn", "unit": "gru", "num_nodes": 18}, "rows", False, 1, 147),
]


@needs_compiler
@pytest.mark.parametrize(
    ("model", "presentation", "fused", "lanes", "limit"),
    KERNELS,
    ids=[f"{row[0]['name']}-{number}" for number, row in enumerate(KERNELS)],
)
def test_a_step_takes_at_most_so_many_kernels(model, presentation, fused, lanes, limit):
    """With fused fields, each field counts as one kernel forward and two backward; see `fused_fields`."""
    cell = cell_of(model, presentation, steps=1, batch_size=64)
    with ExitStack() as stack:
        device = stack.enter_context(pretend_device())
        stack.enter_context(fused_fields(device) if fused else nullcontext())
        chunk, splits = trained(cell, range(lanes), device.device)
        one_step(device, chunk, splits)
    assert sum(device.kernels.values()) <= limit, device.kernels.most_common(20)
    assert not device.blocking


@needs_compiler
@pytest.mark.parametrize("name", ["horn_cnn", "leaky_cnn"])
def test_fused_fields_on_the_device_are_those_of_the_cpu(name):
    cell = cell_of({"name": name, **SMALL[name][0]})
    expected, _ = trained(cell, [0, 1], CPU)
    with pretend_device() as device, fused_fields(device):
        chunk, _ = trained(cell, [0, 1], device.device)
    assert any(kernel == "field forward" for _, kernel in device.kernels)
    assert_close(chunk, expected)


def test_no_stage_is_fused_where_the_maps_of_the_first_are_too_large(monkeypatch):
    monkeypatch.setitem(devices.MOST_PIXELS, TYPE, 63)  # of 64, 16 and 4 pixels
    with pretend_device() as device, fused_fields(device):
        trained(cell_of({"name": "horn_cnn", "num_nodes": 3, "num_stages": 3}), [0], device.device)
    assert not any(kernel == "field forward" for _, kernel in device.kernels)


def test_the_pretend_device_refuses_what_a_gpu_refuses():
    with pretend_device() as device:
        far, near = torch.ones(3, device=device.device), torch.ones(3)
        for forbidden in (
            lambda: far + near,
            lambda: torch.where(far > 0, far, near),
            lambda: near[far.long()],
            lambda: torch.stack([far, near]),
            lambda: near.mul_(far),
        ):
            with pytest.raises(RuntimeError):
                forbidden()
        assert (far + torch.tensor(1.0)).device.type == TYPE


def test_the_pretend_device_counts_kernels_copies_and_waits():
    with pretend_device() as device:
        far = torch.arange(3.0, device=device.device)
        cases = {  # kernels, what blocks, what does not
            (1, 0, 0): lambda: far * 2,
            (0, 0, 0): lambda: far.view(3, 1).expand(3, 2),
            (0, 1, 0): lambda: torch.tensor([1.0], device=device.device),
            (0, 0, 1): lambda: torch.ones(2).to(device.device, non_blocking=True),
            (0, 2, 0): lambda: (far.cpu(), far[0].item()),
            (1, 1, 0): lambda: far[torch.tensor([0, 2])],
            (3, 2, 0): lambda: (far[far > 1], far.sum().item())[0],
        }
        for expected, action in cases.items():
            device.reset()
            action()
            counted = tuple(
                sum(counter.values()) for counter in (device.kernels, device.blocking, device.copies)
            )
            assert counted == expected
