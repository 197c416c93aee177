"""HORN against its equations written out in numpy; its counts, lanes, and two ways to the same numbers."""

import itertools
import math

import numpy as np
import pytest
import torch

from hornlib.models.horn.network import HORN
from hornlib.models.horn.parameters import HornParameters
from hornlib.models.operations import forward_work
from hornlib.parameters import Task

IMAGE, ROWS, PIXELS = Task((1, 4, 4), 3), Task((6, 4), 3), Task((784, 1), 10)
INTEGRATORS = ("symplectic_euler", "explicit_euler", "implicit_damping")


def build(task, dtype=torch.float64, seed=0, **fields):
    parameters = HornParameters(**({"timesteps": None if task.is_sequence else 6} | fields))
    torch.manual_seed(seed)
    return HORN(parameters, task, torch.Generator().manual_seed(seed)).to(dtype)


def examples(task, batch=5, dtype=torch.float64, seed=1):
    return torch.randn(batch, *task.input_shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def written_out(network, sequence, integrator, on_velocity, recurrent):
    """Iterate the equations of the reference in numpy; sequence (timesteps, batch, features)."""
    state = {name: value.detach().numpy() for name, value in network.state_dict().items()}
    omega, damping, alpha, h = (
        state[f"oscillators.{key}"] for key in ("omega", "damping", "alpha", "integration_step")
    )
    n = len(omega)
    x = y = np.zeros((sequence.shape[1], n))
    displacements = []
    for s in sequence.numpy():
        a = s @ state["projection.weight"].T + state["projection.bias"]
        if recurrent:
            read = y if on_velocity else x
            a += (read @ state["recurrence.weight"].T + state["recurrence.bias"]) / math.sqrt(n)
        force = alpha * np.tanh(a)
        old = y
        if integrator == "implicit_damping":
            y = (y + h * (force - omega**2 * x)) / (1 + 2 * h * damping)
        else:
            y = y + h * (force - omega**2 * x - 2 * damping * y)
        x = x + h * (old if integrator == "explicit_euler" else y)
        displacements.append(x)
    return np.stack(displacements)


@pytest.mark.parametrize("integrator", INTEGRATORS)
@pytest.mark.parametrize("recurrence_on", ["velocity", "position"])
@pytest.mark.parametrize("recurrence", ["full", "none"])
@pytest.mark.parametrize("readout", ["last", "mean", "rms"])
@pytest.mark.parametrize("fast_path", ["adjoint", "autograd"])
def test_logits_follow_the_equations(integrator, recurrence_on, recurrence, readout, fast_path):
    fields = {"integrator": integrator, "recurrence_on": recurrence_on, "recurrence": recurrence}
    fields |= {"readout": readout, "fast_path": fast_path, "readout_norm": "none"}
    for task in (ROWS, IMAGE):
        network = build(task, heterogeneity=1.0, alpha=2.0, integration_step=0.5, **fields)
        inputs = examples(task)
        sequence = inputs.transpose(0, 1) if task.is_sequence else inputs.flatten(1).expand(6, -1, -1)
        x = written_out(network, sequence, integrator, recurrence_on == "velocity", recurrence == "full")
        features = {"last": x[-1], "mean": x.mean(0), "rms": np.sqrt((x**2).mean(0))}[readout]
        weight, bias = (p.detach().numpy() for p in network.readout.linear.parameters())
        expected = torch.from_numpy(features @ weight.T + bias)
        torch.testing.assert_close(network(inputs).detach(), expected, rtol=1e-10, atol=1e-10)


def test_both_ways_give_the_same_gradients_over_784_steps_in_single_precision():
    losses = []
    for fast_path in ("adjoint", "autograd"):
        network = build(PIXELS, torch.float32, fast_path=fast_path, readout_norm="none")
        loss = network(examples(PIXELS, 4, torch.float32)).square().sum()
        losses.append([loss, *torch.autograd.grad(loss, list(network.parameters()))])
    for fast, plain in zip(*losses, strict=True):
        assert (fast - plain).abs().max() <= 1e-5 * plain.abs().max()


def test_states_over_time_end_where_the_read_out_reads():
    network = build(ROWS, readout_norm="none")
    states = network.states(examples(ROWS))
    assert states.x.shape == states.y.shape == (6, 5, 32)
    torch.testing.assert_close(network.readout(states.x[-1]), network(examples(ROWS)))
    torch.testing.assert_close(states.x.diff(dim=0), states.y[1:])


def test_public_cell_has_1450_parameters_and_0_83_million_products():
    parameters = HornParameters(readout_norm="none")
    assert parameters.num_parameters(PIXELS) == 1450
    assert parameters.forward_flops(PIXELS).products == 2 * (784 * 32 + 783 * 32**2 + 320)
    assert parameters.forward_flops(PIXELS).products / 2e6 == pytest.approx(0.83, abs=0.005)


ARMS = list(
    itertools.product(INTEGRATORS, ("velocity", "position"), ("full", "none"), ("last", "mean", "rms"))
)


@pytest.mark.parametrize("task", [IMAGE, ROWS])
@pytest.mark.parametrize(("integrator", "recurrence_on", "recurrence", "readout"), ARMS)
def test_counts_are_those_of_the_network(task, integrator, recurrence_on, recurrence, readout):
    fields = {"integrator": integrator, "recurrence_on": recurrence_on, "recurrence": recurrence}
    for timesteps, training in ((6, "fixed"), (2, "learned")):
        task = Task((timesteps, 4), 3) if task.is_sequence else task
        own = None if task.is_sequence else timesteps
        fields |= {"num_nodes": 7, "timesteps": own, "readout": readout, "oscillator_training": training}
        parameters, network = HornParameters(**fields), build(task, torch.float32, **fields)
        assert parameters.num_parameters(task) == sum(p.numel() for p in network.parameters())
        assert parameters.forward_flops(task) == forward_work(network, task).example


@pytest.mark.parametrize("fast_path", ["adjoint", "autograd"])
@pytest.mark.parametrize("task", [IMAGE, ROWS])
@pytest.mark.parametrize("fields", [{}, {"readout": "rms", "oscillator_training": "learned"}])
def test_lanes_are_lone_networks(fast_path, task, fields):
    """Outputs, gradients and running statistics; the second step meets the statistics of the first."""
    networks = [
        build(task, seed=seed, fast_path=fast_path, heterogeneity=1.0, num_nodes=6, **fields)
        for seed in range(3)
    ]
    parameters, buffers = torch.func.stack_module_state(networks)
    inputs = torch.stack([examples(task, seed=seed) for seed in range(3)])

    def call(parameters, buffers, inputs):
        return torch.func.functional_call(networks[0], (parameters, buffers), (inputs,))

    run = torch.vmap(call, randomness="different")
    for training in (True, False):
        for network in networks:
            network.train(training)
        logits = run(parameters, buffers, inputs)
        gradients = torch.autograd.grad(logits.square().sum(), list(parameters.values()))
        for lane in range(3):
            alone = {name: tensor.clone() for name, tensor in zip(parameters, gradients, strict=True)}
            network = build(
                task, seed=lane, fast_path=fast_path, heterogeneity=1.0, num_nodes=6, **fields
            ).train(training)
            if not training:
                network.load_state_dict(
                    {name: buffer[lane] for name, buffer in buffers.items()}, strict=False
                )
            own = network(inputs[lane])
            torch.testing.assert_close(logits[lane], own)
            expected = torch.autograd.grad(own.square().sum(), list(network.parameters()))
            for (name, _), gradient in zip(network.named_parameters(), expected, strict=True):
                torch.testing.assert_close(alone[name][lane], gradient, rtol=1e-6, atol=1e-9)


def test_learned_constants_start_where_fixed_ones_stand():
    fixed, learned = (
        build(ROWS, oscillator_training=kind, heterogeneity=1.0) for kind in ("fixed", "learned")
    )
    for own, other in zip(fixed.oscillators.constants(), learned.oscillators.constants(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-6, atol=0)
    assert not [name for name, _ in fixed.named_parameters() if "omega" in name]
    learned(examples(ROWS)).square().sum().backward()
    assert all(getattr(learned.oscillators, f"log_{key}").grad.any() for key in ("omega", "damping", "alpha"))


def test_heterogeneous_nodes_differ_and_keep_their_damping_ratio():
    constants = build(ROWS, heterogeneity=1.0).oscillators.constants()
    assert constants.omega.std() > 0.02
    torch.testing.assert_close(
        constants.damping / constants.omega, torch.full_like(constants.omega, 0.04456), rtol=1e-3, atol=0
    )


def test_timesteps_must_suit_the_task():
    assert "needs their number" in HornParameters().problems(IMAGE)[0]
    assert HornParameters(timesteps=8).problems(IMAGE) == []
    assert "the sequence has 6 steps" in HornParameters(timesteps=8).problems(ROWS)[0]
    assert HornParameters().problems(ROWS) == HornParameters(timesteps=6).problems(ROWS) == []
    assert "at least 2" in HornParameters(timesteps=1, integrator="explicit_euler").problems(IMAGE)[0]
    with pytest.raises(ValueError, match="needs their number"):
        build(IMAGE, timesteps=None)


def test_derived_quantities_are_those_of_the_public_cell():
    derived = HornParameters().derived(PIXELS)
    assert derived["timesteps"] == 784
    assert derived["num_cycles"] == pytest.approx(28)
    assert derived["omega"] == pytest.approx(2 * math.pi / 28)


def test_instability_is_warned_of():
    assert HornParameters().warnings(PIXELS) == []
    assert "unstable" in HornParameters(integrator="explicit_euler").warnings(PIXELS)[0]


def test_width_is_the_number_of_nodes_and_the_path_is_no_part_of_the_name():
    assert HornParameters().with_width(9).num_nodes == HornParameters(num_nodes=9).width() == 9
    assert HornParameters(fast_path="autograd").canonical() == HornParameters().canonical()
