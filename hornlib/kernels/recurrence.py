"""A recurrent layer in one call: T steps of oscillators or of tanh, GRU or LSTM units, and their adjoint.

From rest, with s_t the input of step t and all biases that are constant in time in b:

    oscillator: v <- carry v - spring p + tanh(U s_t + b + W r),  p <- p + v (explicit Euler: the v before the step)
    tanh:       h <- tanh(U s_t + b + W h)
    gru:        r, z = sigma(U s_t + b + W h), c = tanh((U s_t + b)_c + r (W_c h + bias)),  h <- c + z (h - c)
    lstm:       i, f, o = sigma(U s_t + b + W h), g = tanh(...),  m <- f m + i g,  h <- o tanh(m)

The results are p or h. Oscillators have v = y / g and p = x / (h g) with c, k, g of
`hornlib.dynamics.oscillator.coefficients`: carry = c, spring = h k. W reads v or p, and contains the factors of these
units.

The loops over the same steps are `hornlib.dynamics.adjoint` and `hornlib.models.rnn.adjoint`;
tests/kernels/test_recurrence.py holds them equal.
"""

import ctypes
import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hornlib.kernels.calls import call, contiguous
from hornlib.kernels.library import load
from hornlib.kernels.route import REALS

__all__ = ["LayerOptions", "LayerWeights", "recurrent_layer"]


class _UnitSizes(NamedTuple):
    """Numbers of a kind of unit: of its gates, its states, and its rows of constants."""

    gates: int
    states: int
    constants: int


UNITS = {
    "oscillator": _UnitSizes(1, 2, 2),
    "tanh": _UnitSizes(1, 1, 0),
    "gru": _UnitSizes(3, 1, 1),
    "lstm": _UnitSizes(4, 2, 0),
}
"""In the order of recurrence.c."""

CHUNK = 16
"""The states before every chunk of so many steps are kept for the backward pass, which computes the others again. Its
memory should stay in the processor's cache; 8 to 64 steps take equal times within a tenth."""


class LayerOptions(NamedTuple):
    """What a layer computes.

    Attributes:
        unit: oscillator, tanh, gru or lstm.
        steps: T, number of steps.
        every_step: whether every step has a result; else the last step alone.
        reads_position: of oscillators: whether W reads p; else v.
        explicit: of oscillators: whether p changes by the v before the step, as in explicit Euler.
    """

    unit: Literal["oscillator", "tanh", "gru", "lstm"]
    steps: int
    every_step: bool
    reads_position: bool = False
    explicit: bool = False


class LayerWeights(NamedTuple):
    """Parameters of a layer; the gru has 3 gates and the lstm 4, the others 1.

    Attributes:
        input_weight: U, (gates nodes, features).
        bias: b, (gates nodes,).
        weight: W, (gates nodes, nodes); None without recurrence.
        constants: of oscillators carry and spring, (2, nodes); of the gru its bias, (1, nodes); otherwise (0, nodes).
    """

    input_weight: Tensor
    bias: Tensor
    weight: Tensor | None
    constants: Tensor


def recurrent_layer(inputs: Tensor, weights: LayerWeights, options: LayerOptions) -> Tensor:
    """Return the results of every step, (timesteps, batch, nodes), or of the last, (batch, nodes).

    The function works under `torch.vmap`, with the backward pass outside of it, and is differentiable once. For the
    backward pass it keeps the states before every 16th step.

    Args:
        inputs: s, (timesteps, batch, features); or (1, batch, features) for the same input at every step. float32 or
            float64, on the CPU.
        weights: the parameters, of the same type.
        options: what is computed.

    Raises:
        KernelError: there is no compiled kernel on this machine; see `hornlib.kernels.route.is_fused`.
        ValueError: tensors do not fit together in shape or type, or there are neither 1 nor T inputs.
    """
    lanes = (None if tensor is None else tensor.unsqueeze(0) for tensor in (inputs, *weights))
    results, _ = _RecurrentLayer.apply(*lanes, options)
    result: Tensor = results.squeeze(0)
    return result if options.every_step else result.squeeze(0)


class _Layer(ctypes.Structure):
    """The structure `Layer` of recurrence.c."""

    _fields_ = [
        (name, ctypes.c_long)
        for name in (
            "unit",
            "lanes",
            "steps",
            "batch",
            "features",
            "nodes",
            "driven",
            "every",
            "reads",
            "explicit",
            "chunk",
        )
    ]


class _RecurrentLayer(torch.autograd.Function):
    """A layer whose tensors have a leading lane axis: inputs (lanes, timesteps, batch, features)."""

    @staticmethod
    def forward(
        inputs: Tensor,
        input_weight: Tensor,
        bias: Tensor,
        weight: Tensor | None,
        constants: Tensor,
        options: LayerOptions,
    ) -> tuple[Tensor, Tensor]:
        """Return the results, (lanes, timesteps or 1, batch, nodes), and the states before every chunk.

        Args:
            inputs: (lanes, timesteps or 1, batch, features).
            input_weight: (lanes, gates nodes, features).
            bias: (lanes, gates nodes).
            weight: (lanes, gates nodes, nodes), or None.
            constants: (lanes, rows, nodes).
            options: what is computed.
        """
        arrays, layer = _checked((inputs, input_weight, bias, weight, constants), options)
        results = inputs.new_empty(
            layer.lanes, layer.steps if options.every_step else 1, layer.batch, layer.nodes
        )
        library = load("recurrence", REALS[inputs.dtype])
        block: int = library.recurrence_block()
        blocks, chunks = math.ceil(layer.batch / block), math.ceil(layer.steps / layer.chunk)
        num_states = UNITS[options.unit].states
        marks = inputs.new_empty(layer.lanes, blocks, chunks, num_states, layer.nodes, block)
        call(library.recurrence_forward, layer.lanes * blocks, layer, arrays, results, marks)
        return results, marks

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        """Store the inputs and the states before every chunk, (lanes, blocks, chunks, states, nodes, examples)."""
        *tensors, ctx.options = inputs
        _, marks = output
        ctx.mark_non_differentiable(marks)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, marks)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
        """Return the gradients of the inputs, in their shapes, from (lanes, timesteps or 1, batch, nodes)."""
        if gradient is None:
            return (None,) * 6
        *tensors, marks = ctx.saved_tensors
        arrays, layer = _checked(tensors, ctx.options)
        inputs, *parameters = arrays
        blocks = marks.shape[1]
        # Blocks are computed by threads. Each has gradients of its own, whose sum does not depend on the threads.
        of_inputs = torch.empty_like(inputs) if ctx.needs_input_grad[0] else None
        needed = (True, True, ctx.needs_input_grad[3], True)
        partial = [
            part.new_zeros(layer.lanes, blocks, *part.shape[1:]) if part is not None and is_needed else None
            for part, is_needed in zip(parameters, needed, strict=True)
        ]
        function = load("recurrence", REALS[inputs.dtype]).recurrence_backward
        gradients = (of_inputs, *partial)
        call(function, layer.lanes * blocks, layer, arrays, gradient.contiguous(), marks, gradients)
        return of_inputs, *(None if part is None else part.sum(1) for part in partial), None

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *inputs: Any
    ) -> tuple[tuple[Tensor, ...], tuple[int, int]]:
        """Merge the axis of vmap into the lanes, (vmap lanes x lanes, ...), and split them in the outputs."""
        *tensors, options = inputs
        lanes = [
            None if tensor is None else _into_lanes(tensor, dim, info.batch_size)
            for tensor, dim in zip(tensors, in_dims, strict=False)
        ]
        outputs = _RecurrentLayer.apply(*lanes, options)
        return tuple(part.unflatten(0, (info.batch_size, -1)) for part in outputs), (0, 0)


def _into_lanes(tensor: Tensor, dim: int | None, size: int) -> Tensor:
    """Merge the axis that vmap added into the leading lane axis: (size * lanes, ...)."""
    moved = tensor.expand(size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)
    return moved.flatten(0, 1)


def _checked(tensors: Sequence[Tensor | None], options: LayerOptions) -> tuple[list[Any], _Layer]:
    """Return the tensors of `_RecurrentLayer.forward` as a kernel needs them, and their sizes."""
    inputs, *_, constants = tensors
    assert inputs is not None and constants is not None
    lanes, length, batch, features = inputs.shape
    if options.steps < 1 or length not in (1, options.steps):
        raise ValueError(f"a layer of {options.steps} steps got {length} inputs")
    unit, nodes = UNITS[options.unit], constants.shape[-1]
    rows = unit.gates * nodes
    shapes = (inputs.shape, (lanes, rows, features), (lanes, rows), (lanes, rows, nodes))
    arrays = contiguous(tensors, (*shapes, (lanes, unit.constants, nodes)))
    layer = _Layer(
        list(UNITS).index(options.unit),
        lanes,
        options.steps,
        batch,
        features,
        nodes,
        length > 1,
        options.every_step,
        options.unit == "oscillator" and options.reads_position,
        options.unit == "oscillator" and options.explicit,
        CHUNK,
    )
    return arrays, layer
