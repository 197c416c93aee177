"""A recurrent layer of oscillators with a gradient derived by hand: five calls a step forward, three backward."""

from collections import deque
from collections.abc import Iterator
from itertools import repeat
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from hornlib.dynamics.oscillator import Coefficients
from hornlib.dynamics.parameters import Integrator
from hornlib.kernels.recurrence import LayerOptions, LayerWeights, recurrent_layer
from hornlib.kernels.route import is_fused

__all__ = ["displacements"]

_TIME = -3
_CHUNK = 64
"""Number of steps whose intermediate results are computed and used together, while they are in the cache."""


def displacements(
    sequence: Tensor,
    input_weight: Tensor,
    bias: Tensor,
    weight: Tensor | None,
    coefficients: Coefficients,
    h: float | Tensor,
    integrator: Integrator,
    recurrence_on: Literal["velocity", "position"],
    timesteps: int,
    every_step: bool,
) -> Tensor:
    """Return the displacements of oscillators that start at rest.

    With a_t = input_weight s_t + bias + weight y_t (or x_t): y' = c y - k x + g tanh(a), x' = x + h y'
    (explicit Euler: x' = x + h y). The result equals a loop over `hornlib.dynamics.oscillator.step`;
    tests/dynamics/test_adjoint.py holds values and gradients to that.

    On a CPU with a compiler, one call of `hornlib.kernels.recurrence` computes all steps. Elsewhere the backward pass
    needs tanh(a_t) and the state that the weights read, together 2 T batch nodes numbers, as many as autograd stores of
    a plain loop. The function works under `torch.vmap`, with the backward pass outside of it, and is differentiable
    once.

    Args:
        sequence: s, (timesteps, batch, features); or (1, batch, features) for the same input at every step.
        input_weight: (nodes, features).
        bias: (nodes,), the sum of all biases within the tanh.
        weight: (nodes, nodes), row i holds the weights of node i; None without recurrence.
        coefficients: c, k and g, each (nodes,).
        h: the integration step, units of time.
        integrator: the update rule that `coefficients` belong to.
        recurrence_on: the state that `weight` reads.
        timesteps: number of steps.
        every_step: whether to return all displacements, or only x_T.

    Returns:
        x_1, ..., x_T, (timesteps, batch, nodes); or x_T, (batch, nodes).
    """
    # Under autocast the inputs may have half precision; the states have the precision of the weights.
    sequence = sequence.to(input_weight.dtype)
    explicit = integrator == "explicit_euler"
    if is_fused("recurrence", sequence):
        options = LayerOptions("oscillator", timesteps, every_step, recurrence_on == "position", explicit)
        return _in_one_call(sequence, input_weight, bias, weight, coefficients, h, options)
    if explicit and timesteps == 1:  # x_1 = x_0 + h y_0
        rest = 0 * F.linear(sequence, input_weight, bias)
        return rest if every_step else rest[0]
    velocity, position, force = coefficients
    stiffness = h * position
    carry = velocity if explicit else velocity - stiffness
    reads: _Reads = None
    if weight is not None and recurrence_on == "velocity":
        reads, weight = "velocity", weight * (4 * force)
    elif weight is not None:
        reads, weight = "earlier_sum" if explicit else "sum", weight * (4 * h * force)
    if explicit:  # x_T is the sum one step earlier
        timesteps -= 1
        sequence = sequence[:timesteps]
    tensors = (sequence, 2 * input_weight, 2 * bias, weight, carry, stiffness)
    lanes = (None if tensor is None else tensor.unsqueeze(0) for tensor in tensors)
    sums, *_ = _Sums.apply(*lanes, _SumsOptions(timesteps, reads, every_step))
    displacement = sums.squeeze(0) * (2 * h * force)
    if explicit and every_step:
        return F.pad(displacement, (0, 0, 0, 0, 1, 0))
    return displacement


def _in_one_call(
    sequence: Tensor,
    input_weight: Tensor,
    bias: Tensor,
    weight: Tensor | None,
    coefficients: Coefficients,
    h: float | Tensor,
    options: LayerOptions,
) -> Tensor:
    """Return the displacements x = h g p of the states v = y / g and p of `hornlib.kernels.recurrence`."""
    velocity, position, force = coefficients
    displacement = h * force
    if weight is not None:
        weight = weight * (displacement if options.reads_position else force)
    weights = LayerWeights(input_weight, bias, weight, torch.stack([velocity, h * position]))
    return recurrent_layer(sequence, weights, options) * displacement


_Reads = Literal["velocity", "sum", "earlier_sum"] | None


class _SumsOptions(NamedTuple):
    """The arguments of `_Sums` that are no tensors."""

    timesteps: int
    reads: _Reads
    every_step: bool

    @property
    def reads_sums(self) -> bool:
        """Whether the recurrent weights read displacements."""
        return self.reads in ("sum", "earlier_sum")

    @property
    def delay(self) -> int:
        """Number of steps from a state to the step whose tanh reads it."""
        return 2 if self.reads == "earlier_sum" else 1

    @property
    def chunks(self) -> list[slice]:
        """Return the chunks of steps, first to last."""
        starts = range(0, self.timesteps, _CHUNK)
        return [slice(start, min(start + _CHUNK, self.timesteps)) for start in starts]


class _Sums(torch.autograd.Function):
    """S_t = v_1 + ... + v_t of v_{t+1} = G v_t - K S_{t-1} + f_t: the step of every integrator.

    In these units two constants remain: y = 2 g v and K = h k. Where x' = x + h y', x_t = 2 h g S_t and G = c - K;
    for explicit Euler x_t = 2 h g S_{t-1} and G = c. The factor 2 makes f = (tanh a) / 2 = sigma(2 a) - 1/2 with the
    logistic sigma, which is three times as fast as tanh on a CPU, and d f / d(2 a) = 1/4 - f^2. In float32 f has an
    absolute error of up to 8e-8, which matters for arguments far below 1 (see `oscillator.step`).

    One call computes the linear part of a step: (G v - K S, -K S) <- -K S + (G, -K) v. The adjoints p of v and q of S
    need its transpose, (q + G p, q - K p) <- q + (G, -K) p, which is the same call.

    2 a = U s + B + W v (or W S), where U, B and W contain the factors of these units. Every tensor has a leading lane
    axis, so that `vmap` only moves its own axis there.
    """

    @staticmethod
    def forward(
        sequence: Tensor,
        input_weight: Tensor,
        bias: Tensor,
        weight: Tensor | None,
        carry: Tensor,
        stiffness: Tensor,
        options: _SumsOptions,
    ) -> tuple[Tensor | None, ...]:
        """Return the result, and f, v and S for the backward pass, (lanes, timesteps, batch, nodes) each.

        The result is S, and the S for the backward pass is then None. Without every step the result is S_T,
        (lanes, batch, nodes), and S is None where W reads no displacement.

        Args:
            sequence: s, (lanes, timesteps, batch, features); or (lanes, 1, batch, features) for a constant input.
            input_weight: U, (lanes, nodes, features).
            bias: B, (lanes, nodes).
            weight: W, (lanes, nodes, nodes); None without recurrence.
            carry: G, (lanes, nodes).
            stiffness: K, (lanes, nodes).
            options: number of steps, which state W reads, and whether every step is returned.
        """
        lanes, length, batch, _ = sequence.shape
        forces = sequence.new_empty(lanes, options.timesteps, batch, bias.shape[-1])
        velocities = torch.empty_like(forces)
        sums = torch.empty_like(forces) if options.every_step or options.reads_sums else None
        factors, now, then = _linear_part(carry, stiffness, batch)
        now.both.zero_()
        total, half = (
            torch.zeros_like(now.first),
            forces.new_full((), 0.5),
        )  # a tensor; a Python number takes twice the time
        add_product_, factor = _product(None if weight is None else weight.mT)
        unread: deque[Tensor | None] = deque([None] * options.delay)
        if length == 1:
            forces.copy_(_projected(sequence, input_weight, bias))
        with torch.inference_mode():  # without autograd's dispatch, a tenth of each call
            for chunk in options.chunks:
                if length > 1:
                    forces[:, chunk] = _projected(sequence[:, chunk], input_weight, bias)
                running = repeat(None) if sums is None else _steps(sums[:, chunk])
                for force, velocity, room in zip(
                    _steps(forces[:, chunk]), _steps(velocities[:, chunk]), running, strict=False
                ):
                    source = unread.popleft()
                    if source is not None:
                        add_product_(force, source, factor)
                    force.sigmoid_().sub_(half)
                    torch.add(now.first, force, out=velocity)
                    torch.addcmul(now.second, factors, velocity, out=then.both)
                    if room is not None:
                        total = torch.add(total, velocity, out=room)
                    unread.append(
                        velocity if options.reads == "velocity" else room if options.reads else None
                    )
                    now, then = then, now
        if options.every_step:
            return sums, forces, velocities, None
        return (now.second / factors[1]).view_as(forces[:, 0]), forces, velocities, sums

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        """Store the inputs, and those of f, v and S, (lanes, timesteps, batch, nodes), that `backward` reads."""
        *tensors, ctx.options = inputs
        result, forces, velocities, sums = output
        ctx.mark_non_differentiable(*(part for part in (forces, velocities, sums) if part is not None))
        ctx.set_materialize_grads(False)
        learned = any(ctx.needs_input_grad[4:6])
        if not (learned or ctx.options.reads == "velocity"):
            velocities = None
        if ctx.options.reads_sums and ctx.options.every_step:
            sums = result
        ctx.save_for_backward(*tensors, forces, velocities, sums, result if learned else None)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
        """Return the gradients of the inputs, in their shapes, from that of the result.

        The result is (lanes, timesteps, batch, nodes), or (lanes, batch, nodes) without every step.
        """
        if gradient is None:
            return (None,) * 7
        sequence, input_weight, bias, weight, carry, stiffness, *results = ctx.saved_tensors
        forces, velocities, sums, result = results
        options, read = ctx.options, sums if ctx.options.reads_sums else velocities
        of_sequence = torch.zeros_like(sequence) if ctx.needs_input_grad[0] else None
        of_input_weight, of_bias = torch.zeros_like(input_weight), torch.zeros_like(bias)
        of_weight = torch.zeros_like(weight) if ctx.needs_input_grad[3] else None  # frozen weights need none
        learned = None if result is None else _Learned.start(velocities, result, options)

        arriving: tuple[Any, ...] = (*repeat(None, options.timesteps), gradient.squeeze(0))
        if options.every_step:
            arriving = (None, *_steps(gradient))
        factors, now, then = _linear_part(carry, stiffness, forces.shape[2])
        now.both.copy_(arriving[-1])
        add_product_, factor = _product(weight)
        unused: deque[Tensor | None] = deque([None] * (options.delay - 1))
        quarter = forces.new_full((), 0.25)
        with torch.inference_mode():
            for chunk in reversed(options.chunks):
                deltas = torch.addcmul(quarter, forces[:, chunk], forces[:, chunk], value=-1)
                delta = _steps(deltas)
                for t in reversed(range(chunk.start, chunk.stop)):
                    adjoint = delta[t - chunk.start].mul_(now.first)
                    if arriving[t] is not None:
                        now.second.add_(arriving[t])
                    if options.reads_sums:
                        unused.append(adjoint)
                        reader = unused.popleft()
                        if reader is not None:
                            add_product_(now.second, reader, factor)
                    torch.addcmul(now.second, factors, now.first, out=then.both)
                    if options.reads == "velocity":
                        add_product_(then.first, adjoint, factor)
                    if learned is not None and t > 0:
                        learned.add_(now.first, t)
                    now, then = then, now

                static = sequence.shape[_TIME] == 1
                rows, place = (deltas.sum(_TIME, keepdim=True), slice(1)) if static else (deltas, chunk)
                _add_outer_(of_input_weight, rows, sequence[:, place])
                of_bias += rows.sum((1, 2))
                if of_sequence is not None:
                    of_sequence[:, place] += torch.bmm(rows.flatten(1, 2), input_weight).view_as(
                        of_sequence[:, place]
                    )
                if of_weight is not None:
                    start, stop = (max(edge - options.delay, 0) for edge in (chunk.start, chunk.stop))
                    _add_outer_(
                        of_weight, deltas[:, max(options.delay - chunk.start, 0) :], read[:, start:stop]
                    )
        of_carry, of_stiffness = (None, None) if learned is None else learned.gradients(carry.shape)
        return of_sequence, of_input_weight, of_bias, of_weight, of_carry, of_stiffness, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, Any]:
        """Merge the axis of vmap into the lanes, (vmap lanes x lanes, ...), and split them in the outputs."""
        *tensors, options = inputs
        merged = [
            None if tensor is None else _into_lanes(tensor, dim, info.batch_size)
            for tensor, dim in zip(tensors, in_dims, strict=False)
        ]
        outputs = _Sums.apply(*merged, options)
        return (
            tuple(None if part is None else part.unflatten(0, (info.batch_size, -1)) for part in outputs),
            tuple(None if part is None else 0 for part in outputs),
        )


class _Pair(NamedTuple):
    """Two states of one shape, stacked, and a view of each."""

    both: Tensor
    first: Tensor
    second: Tensor


class _Learned(NamedTuple):
    """Sums over steps of the backward pass, for the gradients of G and K."""

    of_carry: Tensor
    of_stiffness: Tensor
    total: Tensor
    velocity: tuple[Tensor, ...]

    @classmethod
    def start(cls, velocities: Tensor, result: Tensor, options: _SumsOptions) -> "_Learned":
        """Return sums of zeros, and S_{T-1} as the total, ([lanes,] batch, nodes) each.

        Args:
            velocities: v_1, ..., v_T, (lanes, timesteps, batch, nodes).
            result: S_1, ..., S_T, of the same shape; or S_T, (lanes, batch, nodes).
            options: say which of both `result` is.
        """
        velocity = _steps(velocities)
        total = (_steps(result)[-1] if options.every_step else result.squeeze(0)) - velocity[-1]
        return cls(torch.zeros_like(total), torch.zeros_like(total), total, velocity)

    def add_(self, adjoint: Tensor, t: int) -> None:
        """Add the products of the adjoint of v_{t+1} with v_t and -S_{t-1}, from which v_{t+1} was computed.

        Args:
            adjoint: p of v_{t+1}, ([lanes,] batch, nodes).
            t: from T - 1 down to 1, one call for each.
        """
        self.total.sub_(self.velocity[t - 1])
        self.of_carry.addcmul_(adjoint, self.velocity[t - 1])
        self.of_stiffness.addcmul_(adjoint, self.total, value=-1)

    def gradients(self, shape: torch.Size) -> Iterator[Tensor]:
        """Return the gradients of G and K, (lanes, nodes) each."""
        return (sums.sum(-2).view(shape) for sums in (self.of_carry, self.of_stiffness))


def _projected(sequence: Tensor, input_weight: Tensor, bias: Tensor) -> Tensor:
    """Return U s + B of (lanes, timesteps, batch, features), as (lanes, timesteps, batch, nodes)."""
    flat = torch.baddbmm(bias.unsqueeze(1), sequence.flatten(1, 2), input_weight.mT)
    return flat.unflatten(1, sequence.shape[1:3])


def _add_outer_(gradient: Tensor, adjoints: Tensor, read: Tensor) -> None:
    """Add to the gradient of a weight, (lanes, nodes, features), adjoints times what the weight read."""
    gradient.baddbmm_(adjoints.flatten(1, 2).mT, read.flatten(1, 2))


def _linear_part(carry: Tensor, stiffness: Tensor, batch: int) -> tuple[Tensor, _Pair, _Pair]:
    """Return (G, -K) for every state, (2, [lanes,] batch, nodes), and memory for two pairs of states."""
    factors = torch.stack([carry, -stiffness]).unsqueeze(-2).expand(-1, -1, batch, -1).contiguous().squeeze(1)
    rooms = (torch.empty_like(factors) for _ in range(2))
    now, then = (_Pair(room, *room) for room in rooms)
    return factors, now, then


def _product(weight: Tensor | None) -> tuple[Any, Tensor | None]:
    """Return a function that adds `source @ weight` to a tensor in place, and the weight in the form it takes."""
    if weight is None or weight.shape[0] > 1:
        return Tensor.baddbmm_, None if weight is None else weight.contiguous()
    return Tensor.addmm_, weight.squeeze(0).contiguous()


def _steps(states: Tensor) -> tuple[Tensor, ...]:
    """Split (lanes, timesteps, batch, nodes) into steps. A lone lane loses its axis, since mm is faster than bmm."""
    return states.squeeze(0).unbind(_TIME)


def _into_lanes(tensor: Tensor, dim: int | None, size: int) -> Tensor:
    """Merge the axis that vmap added into the leading lane axis: (size * lanes, ...)."""
    moved = tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
    return moved.flatten(0, 1)
