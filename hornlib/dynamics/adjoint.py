"""A recurrent layer of oscillators, its gradient derived by hand: five calls a step forward, three back."""

from itertools import chain, repeat
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hornlib.dynamics.oscillator import Coefficients
from hornlib.dynamics.parameters import Integrator

__all__ = ["displacements"]

_TIME = -3


def displacements(
    drive: Tensor,
    weight: Tensor | None,
    coefficients: Coefficients,
    h: float | Tensor,
    integrator: Integrator,
    recurrence_on: Literal["velocity", "position"],
    timesteps: int,
    every_step: bool,
) -> Tensor:
    """Return the displacements of oscillators that start at rest; equal to a loop over `oscillator.step`.

    With a_t = drive_t + weight y_t (or x_t): y' = c y - k x + g tanh(a), x' = x + h y' (explicit Euler:
    x + h y). Kept for the backward pass are the squashed a_t and the state that the weights read, together
    2 T batch nodes numbers, as many as autograd keeps of a plain loop; `drive` is not kept. Works under
    `torch.vmap`, with the backward pass outside of it; differentiable once.

    Args:
        drive: (timesteps, batch, nodes), everything within the tanh but the recurrence; or (1, batch, nodes),
            the same at every step.
        weight: (nodes, nodes), row i reads the states for node i; None without recurrence.
        coefficients: c, k and g, each (nodes,).
        h: the integration step, units of time.
        integrator: the update rule that `coefficients` belong to.
        recurrence_on: the state that `weight` reads.
        timesteps: number of steps.
        every_step: whether to return x_1, ..., x_T as (timesteps, batch, nodes), or x_T as (batch, nodes).
    """
    explicit = integrator == "explicit_euler"
    if explicit and timesteps == 1:  # x_1 = x_0 + h y_0
        return 0 * drive if every_step else 0 * drive[0]
    velocity, position, force = coefficients
    stiffness = h * position
    carry = velocity if explicit else velocity - stiffness
    reads: _Reads = None
    if weight is not None and recurrence_on == "velocity":
        reads, weight = "velocity", (weight * (4 * force)).unsqueeze(0)
    elif weight is not None:
        reads, weight = "earlier_sum" if explicit else "sum", (weight * (4 * h * force)).unsqueeze(0)
    if explicit:  # x_T is the sum one step earlier
        timesteps -= 1
        drive = drive[:timesteps]
    plan = _Plan(timesteps, reads, every_step)
    sums, *_ = _Sums.apply(drive.unsqueeze(0), weight, carry.unsqueeze(0), stiffness.unsqueeze(0), plan)
    displacement = sums.squeeze(0) * (2 * h * force)
    if explicit and every_step:
        return torch.nn.functional.pad(displacement, (0, 0, 0, 0, 1, 0))
    return displacement


_Reads = Literal["velocity", "sum", "earlier_sum"] | None


class _Plan(NamedTuple):
    """What `_Sums` is told besides tensors."""

    timesteps: int
    reads: _Reads
    every_step: bool

    @property
    def reads_sums(self) -> bool:
        """Whether the weights read displacements."""
        return self.reads in ("sum", "earlier_sum")

    @property
    def delay(self) -> int:
        """Steps from a state to the step whose tanh reads it."""
        return 2 if self.reads == "earlier_sum" else 1


class _Sums(torch.autograd.Function):
    """S_t = v_1 + ... + v_t of v_{t+1} = G v_t - K S_{t-1} + (tanh a_t) / 2: the step of every integrator.

    Its units leave two constants: y = 2 g v and K = h k. Where x' = x + h y', x_t = 2 h g S_t and G = c - K;
    for explicit Euler x_t = 2 h g S_{t-1} and G = c. The half makes f = (tanh a) / 2 = sigma(2 a) - 1/2 with
    the logistic sigma, four times as fast as tanh on a CPU, and f' = 1/4 - f^2. What a step needs of the
    linear part is one call, (G v - K S, -K S) <- -K S + (G, -K) v; the adjoints p of v and q of S need its
    transpose, (q + G p, q - K p) <- q + (G, -K) p, the same call.

    Every tensor has a leading lane axis, so that `vmap` need only move its own there; `weight` holds 4 g W.
    """

    @staticmethod
    def forward(
        drive: Tensor, weight: Tensor | None, carry: Tensor, stiffness: Tensor, plan: _Plan
    ) -> tuple[Tensor | None, ...]:
        lanes, _, batch, nodes = drive.shape
        forces = (2 * drive).expand(lanes, plan.timesteps, batch, nodes).contiguous()
        velocities = torch.empty_like(forces)
        sums = torch.empty_like(forces) if plan.every_step or plan.reads_sums else None
        factors, now, then = _linear_part(carry, stiffness, batch)
        now.both.zero_()
        total, half = torch.zeros_like(now.first), forces.new_tensor(0.5)  # a tensor, as numbers cost twice
        add_product_, factor = _product(None if weight is None else weight.mT)
        steps = _steps(velocities)
        sum_steps = repeat(None) if sums is None else _steps(sums)
        read = repeat(None) if weight is None else sum_steps if plan.reads_sums else steps
        sources = chain(repeat(None, plan.delay), read)
        for force, velocity, running, source in zip(_steps(forces), steps, sum_steps, sources, strict=False):
            if source is not None:
                add_product_(force, source, factor)
            force.sigmoid_().sub_(half)
            torch.add(now.first, force, out=velocity)
            torch.addcmul(now.second, factors, velocity, out=then.both)
            if running is not None:
                total = torch.add(total, velocity, out=running)
            now, then = then, now
        if plan.every_step:
            return sums, forces, velocities, None
        return (now.second / factors[1]).view_as(forces[:, 0]), forces, velocities, sums

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        drive, weight, carry, stiffness, ctx.plan = inputs
        result, forces, velocities, sums = output
        ctx.mark_non_differentiable(*(kept for kept in (forces, velocities, sums) if kept is not None))
        ctx.set_materialize_grads(False)
        ctx.static = drive.shape[_TIME] != ctx.plan.timesteps
        learned = any(ctx.needs_input_grad[2:4])
        if not (learned or ctx.plan.reads == "velocity"):
            velocities = None
        if ctx.plan.reads_sums and ctx.plan.every_step:
            sums = result
        ctx.save_for_backward(forces, velocities, sums, result if learned else None, weight, carry, stiffness)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
        if gradient is None:
            return (None,) * 5
        forces, velocities, sums, result, weight, carry, stiffness = ctx.saved_tensors
        plan, last = ctx.plan, ctx.plan.timesteps - 1
        deltas = torch.addcmul(forces.new_tensor(0.25), forces, forces, value=-1)  # f'; times p, of the drive
        delta, arriving = _steps(deltas), 2 * gradient.squeeze(0)
        arrivals: tuple[Any, ...] = (*repeat(None, last), arriving)
        if plan.every_step:
            arrivals = arriving.unbind(_TIME)
        factors, now, then = _linear_part(carry, stiffness, deltas.shape[-2])
        now.both.copy_(arrivals[last])
        add_product_, factor = _product(weight)
        learned = _Learned.start(factors, velocities, result, plan) if result is not None else None
        for t in range(last, 0, -1):
            delta[t].mul_(now.first)
            if arrivals[t - 1] is not None:
                now.second.add_(arrivals[t - 1])
            if plan.reads_sums and t + plan.delay <= plan.timesteps:
                add_product_(now.second, delta[t + plan.delay - 1], factor)
            torch.addcmul(now.second, factors, now.first, out=then.both)
            if plan.reads == "velocity":
                add_product_(then.first, delta[t], factor)
            if learned is not None:
                learned.add_(now.first, t)
            now, then = then, now
        delta[0].mul_(now.first)

        of_drive = deltas.sum(_TIME, keepdim=True) if ctx.static else deltas
        of_weight = of_carry = of_stiffness = None
        if ctx.needs_input_grad[1]:
            late = deltas[:, plan.delay :].flatten(1, 2)
            early = (sums if plan.reads_sums else velocities)[:, : -plan.delay].flatten(1, 2)
            of_weight = torch.stack([its.mT @ read for its, read in zip(late, early, strict=True)]) / 2
        if learned is not None:
            of_carry, of_stiffness = learned.products.sum(-2).view(2, *carry.shape) / 2
        return of_drive, of_weight, of_carry, of_stiffness, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, Any]:
        *tensors, plan = inputs
        merged = [
            None if tensor is None else _into_lanes(tensor, dim, info.batch_size)
            for tensor, dim in zip(tensors, in_dims, strict=False)
        ]
        outputs = _Sums.apply(*merged, plan)
        return (
            tuple(None if kept is None else kept.unflatten(0, (info.batch_size, -1)) for kept in outputs),
            tuple(None if kept is None else 0 for kept in outputs),
        )


class _Pair(NamedTuple):
    """Two states of one shape, stacked, and a view of each."""

    both: Tensor
    first: Tensor
    second: Tensor


class _Learned(NamedTuple):
    """Sums over steps and batch, on the way back, for the gradients of G and K."""

    products: Tensor
    total: Tensor
    velocity: tuple[Tensor, ...]

    @classmethod
    def start(cls, factors: Tensor, velocities: Tensor, result: Tensor, plan: _Plan) -> "_Learned":
        """Start at S_{T-1}."""
        velocity = _steps(velocities)
        total = _steps(result)[-1] if plan.every_step else result.squeeze(0)
        return cls(torch.zeros_like(factors), total - velocity[-1], velocity)

    def add_(self, adjoint: Tensor, t: int) -> None:
        """Add the products of the adjoint of v_{t+1} with what it was made of, v_t and -S_{t-1}."""
        self.total.sub_(self.velocity[t - 1])
        self.products[0].addcmul_(adjoint, self.velocity[t - 1])
        self.products[1].addcmul_(adjoint, self.total, value=-1)


def _linear_part(carry: Tensor, stiffness: Tensor, batch: int) -> tuple[Tensor, _Pair, _Pair]:
    """Return (G, -K) for every state, (2, [lanes,] batch, nodes), and room for two pairs of states."""
    factors = torch.stack([carry, -stiffness]).unsqueeze(-2).expand(-1, -1, batch, -1).contiguous().squeeze(1)
    rooms = (torch.empty_like(factors) for _ in range(2))
    now, then = (_Pair(room, *room) for room in rooms)
    return factors, now, then


def _product(weight: Tensor | None) -> tuple[Any, Tensor | None]:
    """Return the call that adds `source @ weight` to a tensor in place, and the weight as it takes it."""
    if weight is None or weight.shape[0] > 1:
        return Tensor.baddbmm_, None if weight is None else weight.contiguous()
    return Tensor.addmm_, weight.squeeze(0).contiguous()


def _steps(states: Tensor) -> tuple[Tensor, ...]:
    """Split (lanes, timesteps, batch, nodes) into its steps; a lone lane loses its axis, as mm beats bmm."""
    return states.squeeze(0).unbind(_TIME)


def _into_lanes(tensor: Tensor, dim: int | None, size: int) -> Tensor:
    """Merge the axis that vmap added into the leading lane axis."""
    moved = tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
    return moved.flatten(0, 1)
