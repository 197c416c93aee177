"""Recurrent layers with gradients derived by hand: a few calls for each step, with lanes as one more batch axis.

torch.nn's fused layers cannot run under `torch.vmap`, and autograd of a plain loop takes two to four times as long.
On a CPU with a compiler, `hornlib.kernels.recurrence` runs instead; tests/kernels/test_recurrence.py holds them equal.
Oscillators have such an adjoint too, so that measured seconds compare networks and not their implementation.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hornlib.models.rnn.parameters import RnnUnit

__all__ = ["recurrence"]


def recurrence(unit: RnnUnit, drives: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the outputs h_1 .. h_T of a recurrent layer that starts at rest, (timesteps, batch, nodes).

    tanh: h <- tanh(drive + W h).
    gru:  r, z = sigma(drive + W h), c = tanh(drive_c + r (W_c h + bias)); h <- c + z (h - c).
    lstm: i, f, o = sigma(drive + W h), g = tanh(drive_g + W_g h); m <- f m + i g; h <- o tanh(m).

    The function works under `torch.vmap`, with the backward pass outside of it, and is differentiable once. The
    readable steps are `Gru`, `Lstm` and `FirstOrder` of `hornlib.dynamics.probes.units`; tests/models/test_tracing.py
    holds them equal, and tests/models/test_rnn.py compares with torch.nn's layers.

    Args:
        unit: tanh, gru or lstm.
        drives: projected inputs with all biases that are added to them, (timesteps, batch, gates nodes).
        weight: W, (gates nodes, nodes).
        bias: within the product with the gru's reset gate, (nodes,); empty for tanh and lstm.
    """
    # Under autocast the drives have half precision; the loop has the precision of the weights.
    drives = drives.to(weight.dtype)
    outputs, *_ = _Recurrence.apply(drives.unsqueeze(0), weight.unsqueeze(0), bias.unsqueeze(0), UNITS[unit])
    return outputs.squeeze(0)


class _Unit(NamedTuple):
    """The two halves of a unit.

    Attributes:
        forward: (drives, weight, bias) -> outputs, and intermediate values for the backward pass.
        backward: (gradient of the outputs, weight, outputs, *intermediate values) -> gradients of W h + bias, and of
            the drives.
    """

    forward: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]]
    backward: Callable[..., tuple[Tensor, Tensor]]


class _Recurrence(torch.autograd.Function):
    """Any unit, over tensors with a leading lane axis: drives (lanes, timesteps, batch, gates nodes)."""

    @staticmethod
    def forward(drives: Tensor, weight: Tensor, bias: Tensor, unit: _Unit) -> tuple[Tensor, ...]:
        """Return the outputs, (lanes, timesteps, batch, nodes), and intermediate values for the backward pass.

        Args:
            drives: (lanes, timesteps, batch, gates nodes).
            weight: W, (lanes, gates nodes, nodes).
            bias: (lanes, nodes); (lanes, 0) for tanh and lstm.
            unit: the two halves of the unit.
        """
        return unit.forward(drives, weight, bias)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Store W (lanes, gates nodes, nodes), outputs (lanes, timesteps, batch, nodes), intermediate values."""
        _, weight, bias, ctx.unit = inputs
        ctx.num_bias = bias.shape[1]
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(weight, *output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
        """Return the gradients of drives, W and bias, in their shapes, from (lanes, timesteps, batch, nodes)."""
        weight, outputs, *intermediate = ctx.saved_tensors
        recurrent, drives = ctx.unit.backward(gradient, weight, outputs, *intermediate)
        late, early = recurrent[:, 1:].flatten(1, 2), outputs[:, :-1].flatten(1, 2)
        of_bias = recurrent[..., recurrent.shape[-1] - ctx.num_bias :].sum((1, 2))
        return drives, late.mT @ early, of_bias, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, Any]:
        """Merge the axis of vmap into the lanes, (vmap lanes x lanes, ...), and split them in the outputs."""
        *tensors, unit = inputs
        lanes = [
            _into_lanes(tensor, dim, info.batch_size) for tensor, dim in zip(tensors, in_dims, strict=False)
        ]
        outputs = _Recurrence.apply(*lanes, unit)
        return tuple(part.unflatten(0, (info.batch_size, -1)) for part in outputs), (0,) * len(outputs)


def _tanh_forward(drives: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    outputs = drives.clone(memory_format=torch.contiguous_format)
    add_product_, transposed = _product(weight.mT)
    before = None
    for output in _steps(outputs):
        if before is not None:
            add_product_(output, before, transposed)
        before = output.tanh_()
    return (outputs,)


def _tanh_backward(gradient: Tensor, weight: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    deltas = torch.addcmul(outputs.new_ones(()), outputs, outputs, value=-1)
    arriving, delta = _steps(gradient.clone(memory_format=torch.contiguous_format)), _steps(deltas)
    add_product_, weight = _product(weight)
    for t in reversed(range(len(delta))):
        delta[t].mul_(arriving[t])
        if t > 0:
            add_product_(arriving[t - 1], delta[t], weight)
    return deltas, deltas


def _gru_forward(drives: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    nodes = weight.shape[-1]
    gates = drives.clone(memory_format=torch.contiguous_format)
    outputs = torch.empty_like(gates[..., :nodes])
    inner = bias[:, None, None].expand_as(outputs).clone(memory_format=torch.contiguous_format)
    doors, candidates = (_steps(part) for part in gates.split((2 * nodes, nodes), -1))
    resets, keeps, _ = (_steps(part) for part in gates.chunk(3, -1))
    multiply, transposed = _multiplication(weight.mT)
    before, recurrent = torch.zeros_like(_steps(outputs)[0]), torch.empty_like(_steps(gates)[0])
    of_doors, of_candidate = recurrent.split((2 * nodes, nodes), -1)
    for t, (output, within) in enumerate(zip(_steps(outputs), _steps(inner), strict=True)):
        if t > 0:
            multiply(before, transposed, out=recurrent)
            doors[t].add_(of_doors)
            within.add_(of_candidate)
        doors[t].sigmoid_()
        candidates[t].addcmul_(resets[t], within).tanh_()
        before = torch.lerp(candidates[t], before, keeps[t], out=output)
    return outputs, gates, inner


def _gru_backward(
    gradient: Tensor, weight: Tensor, outputs: Tensor, gates: Tensor, inner: Tensor
) -> tuple[Tensor, Tensor]:
    reset, keep, candidate = gates.chunk(3, -1)
    to_candidate = (1 - keep) * (1 - candidate * candidate)
    to_inner = to_candidate * reset
    to_reset = to_inner * inner * (1 - reset)
    to_keep = (_delayed(outputs) - candidate) * keep * (1 - keep)
    deltas = torch.stack([to_reset, to_keep, to_inner], -2)
    adjoints = gradient.clone(memory_format=torch.contiguous_format)
    arriving, keeps = _steps(adjoints), _steps(keep)
    delta, blocks = _steps(deltas.flatten(-2)), deltas.squeeze(0).unbind(-4)
    add_product_, weight = _product(weight)
    for t in reversed(range(len(delta))):
        blocks[t].mul_(arriving[t].unsqueeze(-2))
        if t > 0:
            arriving[t - 1].addcmul_(arriving[t], keeps[t])
            add_product_(arriving[t - 1], delta[t], weight)
    of_drives = torch.cat([deltas[..., :2, :].flatten(-2), adjoints * to_candidate], -1)
    return deltas.flatten(-2), of_drives


def _lstm_forward(drives: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, ...]:
    nodes = weight.shape[-1]
    gates = drives.clone(memory_format=torch.contiguous_format)
    memories, squashed, outputs = (torch.empty_like(gates[..., :nodes]) for _ in range(3))
    doors, _ = (_steps(part) for part in gates.split(2 * nodes, -1))
    writes, keeps, candidates, reads = (_steps(part) for part in gates.chunk(4, -1))
    add_product_, transposed = _product(weight.mT)
    before, memory = None, torch.zeros_like(_steps(memories)[0])
    steps = zip(_steps(gates), _steps(memories), _steps(squashed), _steps(outputs), strict=True)
    for t, (gate, stored, bounded, output) in enumerate(steps):
        if before is not None:
            add_product_(gate, before, transposed)
        doors[t].sigmoid_()
        candidates[t].tanh_()
        reads[t].sigmoid_()
        memory = torch.mul(keeps[t], memory, out=stored).addcmul_(writes[t], candidates[t])
        before = torch.mul(reads[t], torch.tanh(memory, out=bounded), out=output)
    return outputs, gates, memories, squashed


def _lstm_backward(
    gradient: Tensor, weight: Tensor, outputs: Tensor, gates: Tensor, memories: Tensor, squashed: Tensor
) -> tuple[Tensor, Tensor]:
    write, keep, candidate, read = gates.chunk(4, -1)
    to_memory = _steps(read - outputs * squashed)  # o (1 - tanh^2) of h = o tanh
    to_write = candidate * write * (1 - write)
    to_keep = _delayed(memories) * keep * (1 - keep)
    to_candidate = write * (1 - candidate * candidate)
    to_read = outputs * (1 - read)
    deltas = torch.stack([to_write, to_keep, to_candidate, to_read], -2)
    arriving = _steps(gradient.clone(memory_format=torch.contiguous_format))
    delta, keeps = _steps(deltas.flatten(-2)), _steps(keep)
    of_memory = [block[..., :3, :] for block in deltas.squeeze(0).unbind(-4)]
    of_read = [block[..., 3, :] for block in deltas.squeeze(0).unbind(-4)]
    add_product_, weight = _product(weight)
    adjoint = torch.zeros_like(arriving[0])
    for t in reversed(range(len(delta))):
        adjoint.addcmul_(arriving[t], to_memory[t])
        of_memory[t].mul_(adjoint.unsqueeze(-2))
        of_read[t].mul_(arriving[t])
        if t > 0:
            adjoint.mul_(keeps[t])
            add_product_(arriving[t - 1], delta[t], weight)
    return deltas.flatten(-2), deltas.flatten(-2)


UNITS: dict[str, _Unit] = {
    "tanh": _Unit(_tanh_forward, _tanh_backward),
    "gru": _Unit(_gru_forward, _gru_backward),
    "lstm": _Unit(_lstm_forward, _lstm_backward),
}


def _product(weight: Tensor) -> tuple[Callable[..., Tensor], Tensor]:
    """Return a function that adds `source @ weight` to a tensor in place, and the weight in the form it takes."""
    if weight.shape[0] > 1:
        return Tensor.baddbmm_, weight.contiguous()
    return Tensor.addmm_, weight.squeeze(0).contiguous()


def _multiplication(weight: Tensor) -> tuple[Callable[..., Tensor], Tensor]:
    """Return a function that multiplies with the weight, and the weight in the form it takes."""
    if weight.shape[0] > 1:
        return torch.bmm, weight.contiguous()
    return torch.mm, weight.squeeze(0).contiguous()


def _steps(states: Tensor) -> tuple[Tensor, ...]:
    """Split (lanes, timesteps, batch, nodes) into steps. A lone lane loses its axis, since mm is faster than bmm."""
    return states.squeeze(0).unbind(-3)


def _delayed(states: Tensor) -> Tensor:
    """Return the state before each step; it is zero before the first."""
    return torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], 1)


def _into_lanes(tensor: Tensor, dim: int | None, size: int) -> Tensor:
    """Merge the axis that vmap added into the leading lane axis: (size * lanes, ...)."""
    moved = tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
    return moved.flatten(0, 1)
