"""Fused fields against a loop over torch's calls: values, gradients, lanes, threads, NaN, and what is refused."""

import itertools

import pytest
import torch
from torch.nn import functional as F

from hornlib.dynamics.oscillator import Constants, coefficients
from hornlib.kernels import field_c
from hornlib.kernels.field import FieldConstants, FieldOptions, field
from hornlib.kernels.library import compiler

pytestmark = pytest.mark.skipif(not compiler(), reason="there is no C compiler on this machine")

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
    """Return the result, and all gradients of half the sum of its squares, whose terms seldom cancel each other."""
    drive, kernel, *rest = tensors
    result = function(drive, FieldConstants(kernel if coupled else None, *rest), options)
    asked = [drive, *([kernel] if coupled else []), *rest]
    return result.detach(), *torch.autograd.grad(result.square().sum() / 2, asked, allow_unused=True)


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
            assert error < max(1e-5, 30 * error_of_loop)  # unstable fields amplify rounding


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


def test_gradients_of_constants_that_nobody_asks_for_are_not_computed(monkeypatch):
    real, learned = field_c.backward, []
    monkeypatch.setattr(field_c, "backward", lambda *parts: learned.append(parts[-1]) or real(*parts))
    drive, kernel, *rest = make((3, 2, 2, 2, 3), torch.float32)
    of_fixed, of_learned = (
        torch.autograd.grad(
            field(drive, FieldConstants(kernel, *parts), FieldOptions(3, "sum", "velocity", False)).sum(),
            (kernel, drive),
        )
        for parts in ([part.detach() for part in rest], rest)
    )
    torch.testing.assert_close(of_fixed, of_learned)
    assert learned == [False, True]


def test_a_second_derivative_is_refused():
    drive, kernel, *rest = make((3, 2, 2, 2, 3), torch.float64)
    result = field(drive, FieldConstants(kernel, *rest), FieldOptions(3, "sum", "velocity", False))
    (gradient,) = torch.autograd.grad(result.sin().sum(), drive, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.sum().backward()


@pytest.mark.parametrize("place", range(1, 5))
def test_constants_that_do_not_fit_the_drive_are_refused(place):
    for wrong in (lambda part: part[:1], torch.Tensor.float, lambda part: part.unsqueeze(0)):
        tensors = make((3, 2, 2, 2, 3), torch.float64)
        tensors[place] = wrong(tensors[place])
        with pytest.raises(ValueError, match="a kernel got"):
            field(tensors[0], FieldConstants(*tensors[1:]), FieldOptions(3, "sum", "velocity", False))


def test_an_empty_batch_has_an_empty_result_and_no_gradients():
    tensors = make((0, 2, 3, 3, 4), torch.float32)
    result, *gradients = outcomes(field, tensors, FieldOptions(4, "sum", "velocity", False))
    assert result.shape == (0, 2, 3, 3) and not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize(
    "axes", [(1, 0, 0, 0, 0), (4, 4, 1, 1, 1), (0, None, 0, None, None), (None, 2, None, 1, 0)]
)
def test_lanes_may_lie_along_any_axis_of_any_tensor(axes):
    options = FieldOptions(4, "position", "position", True)
    alone = make((3, 2, 4, 5, 4), torch.float64)
    lanes = make((3, 2, 4, 5, 4), torch.float64, (6,))
    tensors = [
        one if axis is None else many.detach().movedim(0, axis).requires_grad_()
        for one, many, axis in zip(alone, lanes, axes, strict=True)
    ]
    together = lambda function: torch.vmap(  # noqa: E731
        lambda drive, *parts: function(drive, FieldConstants(*parts), options), axes
    )
    results = [together(function)(*tensors) for function in (field, loop)]
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)
    gradients = (torch.autograd.grad(result.sin().sum(), tensors) for result in results)
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)
