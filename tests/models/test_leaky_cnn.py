"""The leaky twin of HORN-CNN: its equation, and what it is matched in."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from hornlib.models.horn_cnn.parameters import HornCnnParameters
from hornlib.models.leaky_cnn.network import LeakyCnn
from hornlib.models.leaky_cnn.parameters import LeakyCnnParameters
from hornlib.parameters import Task

TASK = Task((2, 8, 8), 3)


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def first_stage(**fields):
    """Return parameters, the first stage, a drive u, and the states x_1 .. x_T under that drive."""
    torch.manual_seed(0)
    parameters = LeakyCnnParameters(**({"num_nodes": 4, "num_stages": 2} | fields))
    stage = LeakyCnn(parameters, TASK, torch.Generator()).stages[0]
    drive = stage.norm(stage.convolution(torch.randn(4, *TASK.input_shape)))
    states, scale = stage.states([2 * drive] * parameters.timesteps)
    return parameters, stage, drive, torch.stack([state * scale for state in states])


@pytest.mark.parametrize("recurrence", ["depthwise", "full"])
def test_scaled_states_follow_the_equation(recurrence):
    _, stage, drive, states = first_stage(
        recurrence=recurrence, recurrence_gain=0.7, leak_rate=0.3, dc_gain=1.5
    )
    x = torch.zeros_like(drive)
    for state in states:
        groups = 1 if recurrence == "full" else 4
        x = 0.7 * x + 0.3 * 1.5 * torch.tanh(
            drive + 0.7 * F.conv2d(x, stage.kernel, padding=1, groups=groups)
        )
        torch.testing.assert_close(state, x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("timesteps", [1, 4, 8, 20])
@pytest.mark.parametrize("num_cycles", [0.5, 1.0])
@pytest.mark.parametrize("readout", ["mean", "last", "rms"])
@pytest.mark.parametrize("leak_rate", [None, 0.05])
def test_the_gain_under_a_constant_drive_is_that_of_horn_cnn(timesteps, num_cycles, readout, leak_rate):
    """The keys that an entry shares with horn_cnn give the same c_T, and without recurrence c_T tanh(u)."""
    shared = {"timesteps": timesteps, "num_cycles": num_cycles, "readout": readout}
    horn = HornCnnParameters(**shared).derived(TASK)
    parameters, stage, drive, states = first_stage(
        leak_rate=leak_rate, recurrence="none", num_stages=1, **shared
    )
    assert parameters.derived(TASK)["constant_drive_gain"] == pytest.approx(
        horn["constant_drive_gain"], rel=1e-12
    )
    response = torch.tanh(drive).abs() if readout == "rms" else torch.tanh(drive)
    states, scale = stage.states([2 * drive] * timesteps)
    output = stage.read(states, scale, timesteps)
    torch.testing.assert_close(output, horn["constant_drive_gain"] * response, rtol=1e-11, atol=1e-11)


def test_any_oscillator_is_matched_by_repeating_its_derived_gain():
    public = HornCnnParameters(preset="public").derived(TASK)["constant_drive_gain"]
    _, _, drive, states = first_stage(constant_drive_gain=public, recurrence="none")
    torch.testing.assert_close(states.mean(0), public * torch.tanh(drive), rtol=1e-12, atol=1e-12)


def test_dc_gain_sets_the_steady_state():
    _, _, drive, states = first_stage(dc_gain=2.5, leak_rate=0.4, timesteps=80, recurrence="none")
    torch.testing.assert_close(states[-1], 2.5 * torch.tanh(drive))
    with pytest.raises(ValidationError, match="not both"):
        LeakyCnnParameters(dc_gain=1.0, constant_drive_gain=1.0)


def test_the_time_constant_is_one_over_omega_of_the_oscillator_compared_with():
    omega = HornCnnParameters(num_cycles=0.5, timesteps=16).derived(TASK)["omega"]
    leak_rate = LeakyCnnParameters(num_cycles=0.5, timesteps=16).derived(TASK)["leak_rate"]
    assert -1 / math.log(1 - leak_rate) == pytest.approx(1 / omega)


def test_nothing_overshoots_under_a_constant_drive():
    _, _, _, states = first_stage(timesteps=30, recurrence="none")
    assert (states.abs().diff(dim=0) >= 0).all()


@pytest.mark.parametrize("recurrence", ["depthwise", "full", "none"])
def test_the_trained_numbers_are_as_many_as_horn_cnns(recurrence):
    leaky, horn = LeakyCnnParameters(recurrence=recurrence), HornCnnParameters(recurrence=recurrence)
    assert leaky.num_parameters(TASK) == horn.num_parameters(TASK)
    assert leaky.forward_flops(TASK).products == horn.forward_flops(TASK).products


def test_the_recurrence_starts_at_the_size_of_the_drive():
    _, stage, drive, states = first_stage()
    recurrence = torch.stack([F.conv2d(state, stage.kernel, padding=1, groups=4) for state in states])
    assert 0.1 < (recurrence.std() / drive.std()).item() < 1.5
