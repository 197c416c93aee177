"""Fused fields against a loop over torch's calls: values, every gradient, lanes, threads, NaN and infinities."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from hornlib.dynamics.oscillator import Constants, coefficients
from hornlib.kernels.field import FieldConstants, FieldOptions, field
from hornlib.kernels.library import why_not

pytestmark = pytest.mark.skipif(bool(why_not("field")), reason=f"no fused kernel: {why_not('field')}")

CHOICES = list(itertools.product(("sum", "position", "velocity"), ("velocity", "position"), (False, True)))
SHAPES = [  # batch, channels, height, width, steps
    (1, 1, 1, 1, 1),
    (7, 3, 2, 2, 8),
    (16, 2, 4, 5, 3),
    (33, 1, 3, 1, 12),
    (130, 2, 2, 3, 5),
    (5, 1, 33, 31, 64),
]


def make(shape, dtype, lanes=()):
    """Return a drive and constants of stable oscillators, all leaves."""
    batch, channels, height, width, _ = shape
    generator = torch.Generator().manual_seed(0)
    uniform = lambda *size: torch.rand(*lanes, *size, generator=generator, dtype=torch.float64)  # noqa: E731
    constants = Constants(
        0.3 + 0.3 * uniform(channels), 0.05 + 0.1 * uniform(channels), 0.5 + uniform(channels)
    )
    carry, spring, scale = coefficients(constants, 0.7, "symplectic_euler")
    kernel = 0.2 * (2 * uniform(channels, 1, 3, 3) - 1)
    drive = 4 * uniform(batch, channels, height, width) - 2
    parts = (drive, kernel, carry, 0.7 * spring, scale)
    return [part.to(dtype).requires_grad_() for part in parts]


def loop(drive, constants, options):
    """Return the read-out of the steps as field.py states them, differentiated by autograd."""
    kernel, *rest = constants
    carry, spring, scale = (part.view(-1, 1, 1) for part in rest)
    v = p = total = torch.zeros_like(drive)
    for _ in range(options.steps):
        read = v if options.recurrence_on == "velocity" else p
        argument = drive
        if kernel is not None:
            argument = drive + F.conv2d(read, kernel, padding=1, groups=kernel.shape[0])
        before = v
        v = carry * v - spring * p + torch.tanh(argument)
        p = p + (before if options.explicit else v)
        total = total + p
    return scale * {"sum": total, "position": p, "velocity": v}[options.output]


def outcomes(function, tensors, options, coupled=True):
    """Return the result and all gradients."""
    drive, kernel, *rest = tensors
    result = function(drive, FieldConstants(kernel if coupled else None, *rest), options)
    weights = torch.linspace(-1, 1, result.numel(), dtype=result.dtype).view_as(result)
    asked = [drive, *([kernel] if coupled else []), *rest]
    return result.detach(), *torch.autograd.grad((result * weights).sum(), asked, allow_unused=True)


def errors(actual, expected):
    """Return the largest error of each tensor, in units of its largest number; autograd's None is 0."""
    for one, other in zip(actual, expected, strict=True):
        other = torch.zeros(()) if other is None else other
        yield 0.0 if one is None else float((one - other).abs().max() / max(1, float(other.abs().max())))


@pytest.mark.parametrize("coupled", [True, False], ids=["coupled", "alone"])
@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_values_and_gradients_are_those_of_the_loop(choice, coupled):
    for shape in SHAPES:
        options, exact = FieldOptions(shape[-1], *choice), make(shape, torch.float64)
        expected = outcomes(loop, exact, options, coupled)
        assert max(errors(outcomes(field, exact, options, coupled), expected)) < 1e-12
        rounded = make(shape, torch.float32)
        of_loop = errors(outcomes(loop, rounded, options, coupled), expected)
        of_kernel = errors(outcomes(field, rounded, options, coupled), expected)
        for error, error_of_loop in zip(of_kernel, of_loop, strict=True):
            assert error < max(1e-5, 10 * error_of_loop)


def test_gradients_are_finite_differences():
    for choice in CHOICES:
        drive, *constants = make((3, 2, 2, 3, 4), torch.float64)
        options = FieldOptions(4, *choice)
        assert torch.autograd.gradcheck(
            lambda drive, *parts, options=options: field(drive, FieldConstants(*parts), options),
            (drive, *constants),
        )


@pytest.mark.parametrize("lanes", [1, 2, 17])
def test_lanes_are_lone_fields_bit_for_bit(lanes):
    options = FieldOptions(6, "sum", "velocity", False)
    tensors = make((9, 3, 5, 4, 6), torch.float32, (lanes,))
    side_by_side = torch.vmap(lambda drive, *parts: field(drive, FieldConstants(*parts), options))
    result = side_by_side(*tensors)
    gradients = torch.autograd.grad(result.square().sum(), tensors)
    for lane in range(lanes):
        alone = [tensor[lane].detach().requires_grad_() for tensor in tensors]
        lone = field(alone[0], FieldConstants(*alone[1:]), options)
        assert torch.equal(lone, result[lane])
        for one, many in zip(torch.autograd.grad(lone.square().sum(), alone), gradients, strict=True):
            assert torch.equal(one, many[lane])


def test_constants_that_all_lanes_share_get_the_sum_of_their_gradients():
    options = FieldOptions(3, "sum", "velocity", False)
    drive, *_ = make((4, 2, 3, 3, 3), torch.float64, (5,))
    _, kernel, *rest = make((4, 2, 3, 3, 3), torch.float64)
    shared = torch.vmap(lambda drive: field(drive, FieldConstants(kernel, *rest), options))(drive)
    of_lanes = torch.stack([loop(lane, (kernel, *rest), options) for lane in drive])
    for one, other in zip(
        torch.autograd.grad(shared.sin().sum(), (kernel, *rest)),
        torch.autograd.grad(of_lanes.sin().sum(), (kernel, *rest)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_threads_change_no_bit():
    options, tensors = FieldOptions(4, "sum", "velocity", False), make((20, 5, 6, 6, 4), torch.float32)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3, 8):
            torch.set_num_threads(threads)
            results.append(outcomes(field, tensors, options))
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        assert all(torch.equal(one, other) for one, other in zip(result, results[0], strict=True))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 0.0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_a_number_that_is_not_finite_goes_where_it_goes_in_the_loop(value, dtype):
    options = FieldOptions(3, "sum", "velocity", False)
    for place in range(5):
        tensors = make((10, 2, 4, 4, 3), dtype)
        with torch.no_grad():
            tensors[place].view(-1)[1] = value
        for one, other in zip(
            outcomes(field, tensors, options), outcomes(loop, tensors, options), strict=True
        ):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4, equal_nan=True)


def test_gradients_that_nobody_asks_for_are_not_computed():
    drive, kernel, *rest = make((3, 2, 2, 2, 3), torch.float32)
    fixed = FieldConstants(kernel, *(part.detach() for part in rest))
    result = field(drive, fixed, FieldOptions(3, "sum", "velocity", False))
    assert all(part.grad is None for part in rest)
    of_kernel, of_drive = torch.autograd.grad(result.sum(), (kernel, drive))
    learned = field(drive, FieldConstants(kernel, *rest), FieldOptions(3, "sum", "velocity", False))
    for one, other in zip(
        (of_kernel, of_drive), torch.autograd.grad(learned.sum(), (kernel, drive)), strict=True
    ):
        torch.testing.assert_close(one, other)
