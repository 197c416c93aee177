"""HORN-CNN against the oscillator's own step, its closed form without recurrence, and known facts."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional as F

from hornlib.dynamics.gain import constant_drive_gain
from hornlib.dynamics.oscillator import Constants, OscillatorState, coefficients, step
from hornlib.kernels.route import loops
from hornlib.models.horn_cnn.network import HornCnn
from hornlib.models.horn_cnn.parameters import HornCnnParameters
from hornlib.parameters import Task

TASK = Task((2, 8, 8), 3)
INTEGRATORS = ("symplectic_euler", "explicit_euler", "implicit_damping")


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def build(seed=0, task=TASK, **fields):
    torch.manual_seed(seed)
    parameters = HornCnnParameters(**({"num_nodes": 4, "num_stages": 2} | fields))
    return parameters, HornCnn(parameters, task, torch.Generator().manual_seed(seed))


def first_stage(**fields):
    """Return parameters, the first stage, a drive u, and the stage's output under that drive."""
    parameters, network = build(**fields)
    stage = network.stages[0]
    drive = stage.norm(stage.convolution(torch.randn(4, *TASK.input_shape)))
    states, scale = stage.states([2 * drive] * parameters.timesteps)
    return parameters, stage, drive, stage.read(states, scale, parameters.timesteps)


@pytest.mark.parametrize("preset", ["public", "unit_gain"])
@pytest.mark.parametrize("timesteps", [1, 2, 7, 8, 28, 100])
@pytest.mark.parametrize("readout", ["mean", "last", "rms"])
def test_without_recurrence_a_stage_is_c_t_tanh_of_its_drive(preset, timesteps, readout):
    parameters, _, drive, output = first_stage(
        preset=preset, timesteps=timesteps, readout=readout, recurrence="none", num_stages=1
    )
    c_t = constant_drive_gain(parameters.oscillator(timesteps), "symplectic_euler", timesteps, readout)
    response = torch.tanh(drive).abs() if readout == "rms" else torch.tanh(drive)
    torch.testing.assert_close(output, c_t * response, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("readout", ["mean", "last"])
@pytest.mark.parametrize("recurrence", ["none", "depthwise", "full"])
def test_one_step_has_gain_h_squared_alpha_whatever_recurs(readout, recurrence):
    _, _, drive, output = first_stage(
        preset="public", timesteps=1, integration_step=0.5, readout=readout, recurrence=recurrence
    )
    torch.testing.assert_close(output, 0.5**2 * 0.04 * torch.tanh(drive), rtol=1e-12, atol=1e-12)


def test_the_public_constants_hand_on_0_477_of_a_constant_drive():
    _, _, drive, output = first_stage(preset="public", recurrence="none")
    torch.testing.assert_close(output / torch.tanh(drive), torch.full_like(drive, 0.477), rtol=0, atol=5e-4)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("recurrence_on", ["velocity", "position"])
@pytest.mark.parametrize("recurrence", ["depthwise", "full"])
@pytest.mark.parametrize("constants_per", ["channel", "unit"])
@pytest.mark.parametrize("oscillator_training", ["fixed", "learned"])
def test_scaled_states_follow_the_equations(
    integrator, recurrence_on, recurrence, constants_per, oscillator_training
):
    """The unscaled step, oscillator by oscillator, with K * (y / omega) or K * x as written."""
    _, stage, drive, output = first_stage(
        integrator=integrator,
        recurrence_on=recurrence_on,
        recurrence=recurrence,
        constants_per=constants_per,
        oscillator_training=oscillator_training,
        heterogeneity=0.5,
        integration_step=0.8,
        recurrence_gain=0.7,
        timesteps=6,
    )
    constants = Constants(*(values.expand_as(drive[0]) for values in stage.oscillators.constants()))
    c = coefficients(constants, 0.8, integrator)
    state = OscillatorState(torch.zeros_like(drive), torch.zeros_like(drive))
    total = torch.zeros_like(drive)
    for _ in range(6):
        source = state.y / constants.omega if recurrence_on == "velocity" else state.x
        groups = 1 if recurrence == "full" else drive.shape[1]
        force = torch.tanh(drive + 0.7 * F.conv2d(source, stage.kernel, padding=1, groups=groups))
        state = step(state, force, c, 0.8, integrator)
        total = total + state.x
    torch.testing.assert_close(output, total / 6, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("fields", [{"num_cycles": 0.5}, {"num_cycles": 1.0}, {"preset": "public"}])
def test_the_recurrence_starts_at_the_size_of_the_drive(fields):
    """std(kappa K y / omega) / std(u) over all steps lies within [0.1, 1.5] in every stage."""
    _, network = build(num_nodes=8, num_stages=3, **fields)
    features = torch.randn(16, *TASK.input_shape)
    for stage in network.stages:
        recurrences = []
        recur = stage.recur

        def record(drive, kernel, state, recur=recur, recurrences=recurrences):
            argument = recur(drive, kernel, state)
            recurrences.append(argument - drive)
            return argument

        stage.recur = record
        drive = stage.norm(stage.convolution(features))
        with loops():  # a fused kernel does not call `recur`
            features = F.avg_pool2d(stage(features), 2)
        ratio = torch.stack(recurrences).std() / drive.std()
        assert 0.1 < ratio.item() < 1.5


@pytest.mark.parametrize("constants_per", ["channel", "unit"])
@pytest.mark.parametrize("draw", ["log_uniform", "uniform"])
def test_heterogeneity_without_recurrence_is_a_vector_of_gains(constants_per, draw):
    parameters, stage, drive, output = first_stage(
        recurrence="none", heterogeneity=1.0, heterogeneity_draw=draw, constants_per=constants_per
    )
    constants = stage.oscillators.constants()
    assert constants.omega.shape == ((4, 8, 8) if constants_per == "unit" else (4, 1, 1))
    assert constants.omega.unique().numel() == constants.omega.numel()
    oscillator = parameters.oscillator(8)
    gains = [
        constant_drive_gain(oscillator._replace(omega=w, damping=d, alpha=a), "symplectic_euler", 8)
        for w, d, a in zip(*(values.flatten().tolist() for values in constants), strict=True)
    ]
    expected = torch.tensor(gains).reshape(constants.omega.shape) * torch.tanh(drive)
    torch.testing.assert_close(output, expected, rtol=1e-11, atol=1e-11)


def test_every_stage_draws_its_own_constants_from_the_generator_alone():
    draws = []
    for torch_seed in (1, 2):
        torch.manual_seed(torch_seed)
        parameters = HornCnnParameters(num_nodes=4, num_stages=2, heterogeneity=1.0)
        network = HornCnn(parameters, TASK, torch.Generator().manual_seed(7))
        draws.append([stage.oscillators.omega.flatten() for stage in network.stages])
    torch.testing.assert_close(draws[0], draws[1])
    assert not torch.equal(draws[0][0], draws[0][1][:4])


def test_learned_constants_start_at_the_fixed_ones_and_receive_gradients():
    _, fixed = build(heterogeneity=0.5)
    parameters, learned = build(heterogeneity=0.5, oscillator_training="learned")
    inputs = torch.randn(4, *TASK.input_shape)
    logits = learned(inputs)
    torch.testing.assert_close(logits, fixed(inputs))
    logits.square().sum().backward()
    gradients = [
        learned.stages[0].get_parameter(f"oscillators.log_{key}").grad
        for key in ("omega", "damping", "alpha")
    ]
    assert all(gradient.abs().min() > 0 for gradient in gradients)
    assert parameters.num_parameters(TASK) == sum(p.numel() for p in learned.parameters())
    assert not any("omega" in key for key, _ in fixed.named_parameters())


def test_constants_per_unit_are_counted_when_learned():
    fields = {"constants_per": "unit", "oscillator_training": "learned"}
    parameters, network = build(**fields)
    assert parameters.num_parameters(TASK) == sum(p.numel() for p in network.parameters())
    per_channel = HornCnnParameters(num_nodes=4, num_stages=2, oscillator_training="learned")
    assert parameters.num_parameters(TASK) - per_channel.num_parameters(TASK) == 3 * (4 * 63 + 8 * 15)


def test_scaling_the_state_per_unit_costs_one_operation_a_step():
    per_unit, per_channel = (
        HornCnnParameters(constants_per=c).forward_flops(TASK) for c in ("unit", "channel")
    )
    units = 32 * 64 + 64 * 16 + 128 * 4
    assert per_unit.elementwise - per_channel.elementwise == 8 * units
    assert per_unit.products == per_channel.products


def test_derived_quantities_of_both_presets():
    public = HornCnnParameters(preset="public").derived(TASK)
    assert public["num_cycles"] == pytest.approx(8 / 28)
    assert public["constant_drive_gain"] == pytest.approx(0.477, abs=5e-4)
    unit_gain = HornCnnParameters(num_cycles=2, timesteps=16).derived(TASK)
    assert unit_gain["omega"] == pytest.approx(2 * math.pi * 2 / 16)
    assert (unit_gain["damping_ratio"], unit_gain["dc_gain"]) == pytest.approx((0.1, 1.0))


def test_normalisation_keeps_the_signal_alive_under_the_public_constants_at_one_step():
    """Without it the raw logits of different images differ by next to nothing."""
    spread = {}
    for normalisation in ("batch", "none"):
        _, network = build(
            preset="public", timesteps=1, num_stages=3, normalisation=normalisation, readout_norm="none"
        )
        spread[normalisation] = network(torch.randn(16, *TASK.input_shape)).std(0).mean().item()
    assert spread["none"] < 1e-5
    assert spread["batch"] > 30 * spread["none"]


def test_instability_is_said_before_training():
    assert HornCnnParameters().warnings(TASK) == []
    (warning,) = HornCnnParameters(timesteps=2).warnings(TASK)
    assert "unstable" in warning
    (problem,) = HornCnnParameters(timesteps=1, integrator="explicit_euler").problems(TASK)
    assert "timesteps" in problem


@pytest.mark.parametrize("timesteps", [8, 16])
@pytest.mark.parametrize("readout", ["mean", "last", "rms"])
def test_an_overdamped_arm_can_have_the_gain_of_the_default_oscillator(timesteps, readout):
    """And it is stable only with the damping taken implicitly: damping h is 1.6 at 8 steps."""
    overdamped = {"damping_ratio": 2.0, "integrator": "implicit_damping", "gain": "reference"}
    shared = {"timesteps": timesteps, "readout": readout, "recurrence": "none", "num_stages": 1}
    parameters, _, drive, output = first_stage(**overdamped, **shared)
    reference = HornCnnParameters(**shared).derived(TASK)["constant_drive_gain"]
    response = torch.tanh(drive).abs() if readout == "rms" else torch.tanh(drive)
    torch.testing.assert_close(output, reference * response, rtol=1e-11, atol=1e-11)
    assert parameters.derived(TASK)["constant_drive_gain"] == pytest.approx(reference, rel=1e-12)
    assert parameters.derived(TASK)["damping_ratio"] == 2.0
    assert parameters.warnings(TASK) == parameters.problems(TASK) == []


def test_a_gain_is_given_once_and_must_be_reachable():
    with pytest.raises(ValidationError, match="leave out dc_gain"):
        HornCnnParameters(gain="reference", dc_gain=1.0)
    (problem,) = HornCnnParameters(gain="reference", damping_ratio=2.0).problems(TASK)
    assert "gain" in problem
