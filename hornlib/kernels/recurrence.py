"""Recurrent layers by compiled loops: the steps of tanh, GRU, LSTM and oscillators, forward and adjoint.

These are the fused equivalents of the loops in `hornlib.models.rnn.adjoint` and `hornlib.dynamics.adjoint`, which have
the equations; tests/kernels/test_recurrence.py holds them equal. A call computes a chunk of steps of one lane. Products
over all examples and steps of a chunk, such as the gradient of W, follow while its numbers are in the cache.
"""

import ctypes
from typing import NamedTuple

import torch
from torch import Tensor

from hornlib.kernels.library import load
from hornlib.kernels.route import REALS
from hornlib.kernels.threads import share_out

__all__ = [
    "gru_backward",
    "gru_forward",
    "lstm_backward",
    "lstm_forward",
    "oscillator_backward",
    "oscillator_forward",
    "tanh_backward",
    "tanh_forward",
]

READS = {None: 0, "velocity": 1, "sum": 2, "earlier_sum": 3}


class _Layer(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("steps", "batch", "nodes", "start", "stop")]


def _call(name: str, layer: _Layer, *arguments: Tensor | int | None) -> None:
    """Call a function of recurrence.c for all examples.

    Args:
        name: of the function.
        layer: the sizes, and the chunk of steps.
        arguments: contiguous tensors of one type and numbers, as recurrence.c names them.
    """
    example = next(argument for argument in arguments if isinstance(argument, Tensor))
    function = getattr(load("recurrence", REALS[example.dtype]), name)
    passed = [
        ctypes.c_long(argument)
        if isinstance(argument, int)
        else ctypes.c_void_p(None if argument is None else argument.data_ptr())
        for argument in arguments
    ]

    def call(first: int, last: int) -> int:
        status: int = function(ctypes.byref(layer), *passed, ctypes.c_long(first), ctypes.c_long(last))
        return status

    share_out(call, layer.batch)


CHUNK_NUMBERS = 65_536
"""About so many numbers of a state are computed in one call; they stay in the cache for what follows."""


def _chunks(steps: int, batch: int, nodes: int, gates: int = 1) -> list[_Layer]:
    length = max(2, CHUNK_NUMBERS // (batch * nodes * gates))
    return [
        _Layer(steps, batch, nodes, start, min(start + length, steps)) for start in range(0, steps, length)
    ]


def tanh_forward(drives: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    """Return the outputs, (lanes, timesteps, batch, nodes); arguments as in `hornlib.models.rnn.adjoint`."""
    return _forward("tanh_forward", drives, weight, None, (1,))


def gru_forward(drives: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    """Return outputs, gates (lanes, timesteps, batch, 3 nodes), and W_c h + bias of the candidate."""
    return _forward("gru_forward", drives, weight, bias, (1, 3, 1))


def lstm_forward(drives: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    """Return outputs, gates (lanes, timesteps, batch, 4 nodes), memories and their tanh."""
    return _forward("lstm_forward", drives, weight, None, (1, 4, 1, 1))


def _forward(
    name: str, drives: Tensor, weight: Tensor, bias: Tensor | None, results: tuple[int, ...]
) -> tuple[Tensor, ...]:
    lanes, steps, batch, _ = drives.shape
    nodes = weight.shape[-1]
    arrays = tuple(drives.new_empty(lanes, steps, batch, number * nodes) for number in results)
    layer = _Layer(steps, batch, nodes, 0, steps)
    read = [drives.contiguous(), weight.contiguous(), *([] if bias is None else [bias.contiguous()])]
    for lane in range(lanes):
        _call(name, layer, *(array[lane] for array in (*read, *arrays)))
    return arrays


class UnitGradients(NamedTuple):
    """What the adjoint of a unit gives.

    Attributes:
        drives: (lanes, timesteps, batch, gates nodes).
        weight: of W, (lanes, gates nodes, nodes).
        bias: (lanes, nodes) for the gru, else (lanes, 0).
    """

    drives: Tensor
    weight: Tensor
    bias: Tensor


def tanh_backward(gradient: Tensor, weight: Tensor, outputs: Tensor) -> UnitGradients:
    """Return the gradients of a tanh layer from those of its outputs, (lanes, timesteps, batch, nodes)."""
    return _backward("tanh_backward", 1, 1, gradient, weight, outputs)


def gru_backward(
    gradient: Tensor, weight: Tensor, outputs: Tensor, gates: Tensor, inner: Tensor
) -> UnitGradients:
    """Return the gradients of a GRU layer from those of its outputs, (lanes, timesteps, batch, nodes)."""
    return _backward("gru_backward", 3, 1, gradient, weight, outputs, gates, inner)


def lstm_backward(
    gradient: Tensor, weight: Tensor, outputs: Tensor, gates: Tensor, memories: Tensor, squashed: Tensor
) -> UnitGradients:
    """Return the gradients of an LSTM layer from those of its outputs, (lanes, timesteps, batch, nodes)."""
    return _backward("lstm_backward", 4, 2, gradient, weight, outputs, gates, memories, squashed)


def _backward(
    name: str,
    gates: int,
    states: int,
    gradient: Tensor,
    weight: Tensor,
    outputs: Tensor,
    *intermediate: Tensor,
) -> UnitGradients:
    """Run the adjoint of a unit with so many gates, and so many states that go from one chunk to the one before."""
    gradient, weight = gradient.contiguous(), weight.contiguous()
    lanes, steps, batch, nodes = outputs.shape
    of_drives = outputs.new_empty(lanes, steps, batch, gates * nodes)
    of_weight, of_bias = torch.zeros_like(weight), outputs.new_zeros(lanes, nodes if gates == 3 else 0)
    for lane in range(lanes):
        between = [outputs.new_zeros(batch, nodes) for _ in range(states)]
        read = [array[lane] for array in (gradient, weight, outputs, *intermediate)]
        for layer in reversed(_chunks(steps, batch, nodes, gates)):
            chunk = slice(layer.start, layer.stop)
            of_drive = deltas = of_drives[lane, chunk]
            if gates == 3:  # the candidate's recurrent part is multiplied by the reset gate, its drive is not
                deltas = torch.empty_like(of_drive)
                _call(name, layer, *read, deltas, of_drive, *between)
                of_bias[lane] += deltas[..., 2 * nodes :].sum((0, 1))
            else:
                _call(name, layer, *read, deltas, *between)
            _add_outer_(of_weight[lane], deltas, outputs[lane], layer, delay=1)
    return UnitGradients(of_drives, of_weight, of_bias)


def _add_outer_(of_weight: Tensor, deltas: Tensor, states: Tensor, layer: _Layer, delay: int) -> None:
    """Add the deltas of a chunk, (steps, batch, gates nodes), times the states that W read, (timesteps, batch, nodes).

    Args:
        of_weight: (gates nodes, nodes).
        deltas: of the steps of the chunk.
        states: of all steps, after each.
        layer: the chunk.
        delay: steps from a state to the argument that reads it.
    """
    start = max(layer.start, delay)
    late = deltas[start - layer.start :].flatten(0, 1)
    of_weight.addmm_(late.mT, states[start - delay : max(layer.stop - delay, start - delay)].flatten(0, 1))


class OscillatorStates(NamedTuple):
    """What a layer of oscillators leaves, (lanes, timesteps, batch, nodes) each.

    Attributes:
        forces: f.
        velocities: v_1, v_2, ...
        sums: S_1, S_2, ...; None where nobody reads them.
        total: S_T, (lanes, batch, nodes).
    """

    forces: Tensor
    velocities: Tensor
    sums: Tensor | None
    total: Tensor


def oscillator_forward(
    sequence: Tensor,
    input_weight: Tensor,
    bias: Tensor,
    weight: Tensor | None,
    carry: Tensor,
    stiffness: Tensor,
    timesteps: int,
    reads: str | None,
    keep_sums: bool,
) -> OscillatorStates:
    """Return the states of v_{t+1} = G v_t - K S_{t-1} + tanh(a_t / 2) / 2 with a = U s + B + W r, from rest.

    Args:
        sequence: s, (lanes, timesteps, batch, features); or (lanes, 1, batch, features) for a constant input.
        input_weight: U, (lanes, nodes, features).
        bias: B, (lanes, nodes).
        weight: W, (lanes, nodes, nodes); None without recurrence.
        carry: G, (lanes, nodes).
        stiffness: K, (lanes, nodes).
        timesteps: number of steps.
        reads: r: "velocity", "sum" (S_t), "earlier_sum" (S_{t-1}), or None.
        keep_sums: whether S_1, S_2, ... are returned; they are if W reads them.
    """
    lanes, length, batch, _ = sequence.shape
    nodes = bias.shape[-1]
    forces = sequence.new_empty(lanes, timesteps, batch, nodes)
    velocities = torch.empty_like(forces)
    sums = torch.empty_like(forces) if keep_sums or reads in ("sum", "earlier_sum") else None
    total, velocity = forces.new_zeros(lanes, batch, nodes), forces.new_zeros(lanes, batch, nodes)
    constants = [None if part is None else part.contiguous() for part in (weight, carry, stiffness)]
    for lane in range(lanes):
        projection = input_weight[lane].mT
        if length == 1:
            forces[lane] = torch.addmm(bias[lane], sequence[lane, 0], projection)
        for layer in _chunks(timesteps, batch, nodes):
            if length > 1:
                rows = sequence[lane, layer.start : layer.stop].flatten(0, 1)
                torch.addmm(
                    bias[lane], rows, projection, out=forces[lane, layer.start : layer.stop].flatten(0, 1)
                )
            _call(
                "oscillator_forward",
                layer,
                READS[reads],
                *(None if part is None else part[lane] for part in (*constants, forces, velocities, sums)),
                velocity[lane],
                total[lane],
            )
    return OscillatorStates(forces, velocities, sums, total)


class OscillatorGradients(NamedTuple):
    """Gradients of a layer of oscillators, in the shapes of what they belong to; None where they are not asked for."""

    sequence: Tensor | None
    input_weight: Tensor
    bias: Tensor
    weight: Tensor | None
    carry: Tensor | None
    stiffness: Tensor | None


def oscillator_backward(
    gradient: Tensor,
    sequence: Tensor,
    input_weight: Tensor,
    weight: Tensor | None,
    carry: Tensor,
    stiffness: Tensor,
    states: OscillatorStates,
    reads: str | None,
    asked: tuple[bool, bool, bool],
) -> OscillatorGradients:
    """Return the gradients of `oscillator_forward`.

    Args:
        gradient: of S_1, S_2, ..., (lanes, timesteps, batch, nodes); or of S_T, (lanes, batch, nodes).
        sequence: as given to `oscillator_forward`, like the following four.
        input_weight: U.
        weight: W.
        carry: G.
        stiffness: K.
        states: what `oscillator_forward` returned. Velocities are read only if W reads them or K is learned.
        reads: as given to `oscillator_forward`.
        asked: whether the gradients of the sequence, of W, and of G and K are asked for.
    """
    of_sequence = torch.zeros_like(sequence) if asked[0] else None
    of_input, of_bias = torch.zeros_like(input_weight), carry.new_zeros(carry.shape)
    of_weight = (
        None
        if weight is None or not asked[1]
        else torch.zeros_like(weight, memory_format=torch.contiguous_format)
    )
    lanes, timesteps, batch, nodes = states.forces.shape
    every_step, learned = gradient.dim() == 4, asked[2]
    gradient = gradient.contiguous()
    of_carry, of_stiffness = (
        (carry.new_zeros(lanes, batch, nodes), carry.new_zeros(lanes, batch, nodes))
        if learned
        else (None, None)
    )
    constants = [None if part is None else part.contiguous() for part in (weight, carry, stiffness)]
    read, delay = (
        states.velocities if reads == "velocity" else states.sums,
        2 if reads == "earlier_sum" else 1,
    )
    chunks = _chunks(timesteps, batch, nodes)
    if delay == 2:  # an adjoint waits for two steps, and must find its delta in the same chunk
        chunks = [_Layer(timesteps, batch, nodes, 0, timesteps)]
    for lane in range(lanes):
        reached, of_v = gradient.new_zeros(batch, nodes), gradient.new_zeros(batch, nodes)
        of_s = gradient.new_zeros(batch, nodes) if every_step else gradient[lane].clone()
        total = states.total[lane].clone() if learned else None
        for layer in reversed(chunks):
            deltas = gradient.new_empty(layer.stop - layer.start, batch, nodes)
            _call(
                "oscillator_backward",
                layer,
                READS[reads],
                gradient[lane] if every_step else None,
                *(None if part is None else part[lane] for part in (*constants, states.forces)),
                states.velocities[lane] if learned else None,
                deltas,
                reached,
                of_v,
                of_s,
                total,
                *(None if part is None else part[lane] for part in (of_carry, of_stiffness)),
            )
            constant = sequence.shape[1] == 1
            rows = deltas.sum(0) if constant else deltas.flatten(0, 1)
            place = slice(1) if constant else slice(layer.start, layer.stop)
            of_input[lane].addmm_(rows.mT, sequence[lane, place].flatten(0, 1))
            of_bias[lane] += rows.sum(0)
            if of_sequence is not None:
                of_sequence[lane, place] += (rows @ input_weight[lane]).unflatten(0, (-1, batch))
            if of_weight is not None and read is not None:
                _add_outer_(of_weight[lane], deltas, read[lane], layer, delay)
    return OscillatorGradients(
        of_sequence,
        of_input,
        of_bias,
        of_weight,
        None if of_carry is None else of_carry.sum(1),
        None if of_stiffness is None else of_stiffness.sum(1),
    )
