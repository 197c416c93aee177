"""Units: states against a plain float64 loop, tangents against forward-mode differentiation, energy."""

import math

import pytest
import torch

from hornlib.dynamics.oscillator import Constants, coefficients
from hornlib.dynamics.probes import measures
from hornlib.dynamics.probes.units import FirstOrder, Gru, Lstm, Oscillators, apply_weight
from hornlib.dynamics.probes.walking import rest, walk

N, BATCH = 5, 3


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def oscillators(weight, integrator="symplectic_euler", reads_velocity=True, n=N, scale=None):
    constants = Constants(*(0.2 + draw(n, seed=k).abs() for k in range(3)))
    h = torch.tensor(0.5, dtype=torch.float64)
    return Oscillators(
        constants, coefficients(constants, h, integrator), h, integrator, weight, scale, reads_velocity
    )


def free_oscillators(damping):
    constants = Constants(*(torch.full((N,), value, dtype=torch.float64) for value in (0.3, damping, 1.0)))
    h = torch.tensor(1.0, dtype=torch.float64)
    return Oscillators(
        constants, coefficients(constants, h, "implicit_damping"), h, "implicit_damping", None, None, True
    )


UNITS = {
    "oscillators": oscillators(draw(N, N)),
    "oscillators on position": oscillators(draw(N, N), "explicit_euler", reads_velocity=False),
    "oscillators, scaled": oscillators(draw(N, N), scale=draw(N, seed=9)),
    "oscillators alone": oscillators(None),
    "leaky": FirstOrder(torch.tensor(0.3).double(), torch.tensor(1.7).double(), draw(N, N)),
    "gru": Gru(draw(3 * N, N), draw(N)),
    "lstm": Lstm(draw(4 * N, N)),
}
DRIVES = {"gru": 3 * N, "lstm": 4 * N}


@pytest.mark.parametrize("name", UNITS)
def test_the_tangent_is_the_derivative_of_the_step(name):
    unit, drive = UNITS[name], draw(BATCH, DRIVES.get(name, N), seed=3)
    state = tuple(0.5 * draw(BATCH, N, seed=4 + part) for part in range(unit.num_parts))
    offset = tuple(draw(BATCH, N, seed=7 + part) for part in range(unit.num_parts))
    _, expected = torch.func.jvp(lambda *parts: unit.advance(drive, parts).state, state, offset)
    actual = unit.tangent(drive, state, unit.advance(drive, state), offset)
    for ours, own in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, own, atol=1e-13, rtol=1e-12)


def test_oscillators_follow_the_equations_written_out():
    weight = draw(N, N)
    unit, drives = oscillators(weight), draw(6, BATCH, N, seed=3)
    omega, damping, alpha = (value.tolist() for value in unit.constants)
    actual = walk(unit, drives.unbind(0), None)
    for example in range(BATCH):
        x, y = [0.0] * N, [0.0] * N
        for t in range(6):
            argument = [
                float(drives[t, example, i]) + sum(float(weight[i, j]) * y[j] for j in range(N))
                for i in range(N)
            ]
            y = [
                y[i]
                + 0.5 * (alpha[i] * math.tanh(argument[i]) - omega[i] ** 2 * x[i] - 2 * damping[i] * y[i])
                for i in range(N)
            ]
            x = [x[i] + 0.5 * y[i] for i in range(N)]
            seen = actual.arguments[t, example].tolist()
            assert seen == pytest.approx(argument, rel=1e-11, abs=1e-13)
            assert actual.states[0][t, example].tolist() == pytest.approx(x, rel=1e-11, abs=1e-13)
            assert actual.states[1][t, example].tolist() == pytest.approx(y, rel=1e-11, abs=1e-13)


@pytest.mark.parametrize(("unit", "torch_unit"), [("gru", torch.nn.GRU), ("lstm", torch.nn.LSTM)])
def test_gated_units_are_torch_s(unit, torch_unit):
    theirs = torch_unit(4, N).double()
    inputs = draw(6, BATCH, 4)
    with torch.no_grad():
        drives = torch.nn.functional.linear(inputs, theirs.weight_ih_l0, theirs.bias_ih_l0)
        bias = theirs.bias_hh_l0
        if unit == "lstm":
            ours, drives = Lstm(theirs.weight_hh_l0), drives + bias
        else:
            ours = Gru(theirs.weight_hh_l0, bias[2 * N :])
            drives = drives + torch.nn.functional.pad(bias[: 2 * N], (0, N))
        expected, _ = theirs(inputs)
        torch.testing.assert_close(walk(ours, drives.unbind(0), None).states[0], expected)


def test_without_recurrence_the_state_is_the_step_response_times_the_tanh():
    unit, drive = oscillators(None), draw(BATCH, N, seed=3)
    silent = unit._replace(weight=None)
    ones = walk(silent, [torch.full_like(drive, math.inf)] * 7, None).states[0]
    actual = walk(silent, [drive] * 7, None).states[0]
    torch.testing.assert_close(actual, ones * torch.tanh(drive), atol=1e-13, rtol=1e-12)


@pytest.mark.parametrize("damping", [0.05, 0.5])
def test_a_free_damped_oscillator_loses_energy_from_cycle_to_cycle(damping):
    unit = free_oscillators(damping)
    state, seen = (draw(BATCH, N), draw(BATCH, N, seed=1)), []
    for _ in range(4 * 21):  # four cycles of 2 pi / 0.3 steps
        state = unit.advance(torch.zeros(BATCH, N, dtype=torch.float64), state).state
        seen.append(state)
    position, velocity = (torch.stack(part) for part in zip(*seen, strict=True))
    energies = measures.energy(position, velocity, unit.constants.omega).unflatten(0, (4, 21)).mean(1)
    assert (energies[1:] < energies[:-1]).all()


def test_rest_has_the_shape_of_the_state_and_not_of_the_drive():
    (state,) = rest(UNITS["gru"], draw(BATCH, 3 * N))
    assert state.shape == (BATCH, N) and not state.any()


@pytest.mark.parametrize("channels_in", [1, 4])
def test_a_kernel_s_recurrence_is_the_sum_over_neighbours(channels_in):
    kernel, maps = draw(4, channels_in, 3, 3), draw(2, 4, 3, 5, seed=1)
    actual, padded = apply_weight(kernel, maps), torch.nn.functional.pad(maps, (1, 1, 1, 1))
    for channel in range(4):
        sources = [channel] if channels_in == 1 else range(4)
        expected = sum(
            kernel[channel, k, i, j] * padded[:, source, i : i + 3, j : j + 5]
            for k, source in enumerate(sources)
            for i in range(3)
            for j in range(3)
        )
        torch.testing.assert_close(actual[:, channel], expected)
