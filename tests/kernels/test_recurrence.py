"""Fused recurrent layers against the loops and torch.nn: values, gradients, lanes, threads, NaN, what is refused."""

import itertools

import pytest
import torch

from hornlib.dynamics.adjoint import displacements
from hornlib.dynamics.oscillator import Constants, coefficients
from hornlib.kernels.library import compiler
from hornlib.kernels.recurrence import LayerOptions, LayerWeights, recurrent_layer
from hornlib.kernels.route import loops
from hornlib.models.rnn.adjoint import recurrence

pytestmark = pytest.mark.skipif(not compiler(), reason="there is no C compiler on this machine")

H = 0.7
GATES = {"oscillator": 1, "tanh": 1, "gru": 3, "lstm": 4}
CONSTANTS = {"oscillator": 2, "tanh": 0, "gru": 1, "lstm": 0}
TWINS = {"tanh": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}
CHOICES = [  # unit, whether W reads the position, explicit Euler
    *itertools.product(["oscillator"], (False, True), (False, True)),
    *((unit, False, False) for unit in TWINS),
]
SHAPES = [
    (1, 1, 1, 1),
    (2, 7, 3, 5),
    (9, 16, 1, 8),
    (64, 33, 2, 19),
    (33, 130, 4, 6),
]  # T, batch, features, n
choices = pytest.mark.parametrize("choice", CHOICES, ids=str)


def make(unit, shape, dtype=torch.float64, lanes=(), constant_input=False):
    """Return inputs, input weight, bias, weight and constants, all leaves; oscillators are stable."""
    steps, batch, features, nodes = shape
    generator = torch.Generator().manual_seed(0)

    def leaf(*size, low=-1.0, high=1.0):
        values = low + (high - low) * torch.rand(*lanes, *size, generator=generator, dtype=torch.float64)
        return values.to(dtype).requires_grad_()

    gates = GATES[unit] * nodes
    inputs = leaf(1 if constant_input else steps, batch, features)
    weights = [leaf(gates, features), leaf(gates), leaf(gates, nodes, low=-0.3, high=0.3)]
    constants = leaf(CONSTANTS[unit], nodes, low=0.1, high=0.4)
    return [inputs, *weights, constants]


def fused(tensors, options):
    inputs, *weights = tensors
    return recurrent_layer(inputs, LayerWeights(*weights), options)


def loop(tensors, options):
    """Return the same by the loops that the models take without a kernel."""
    inputs, input_weight, bias, weight, constants = tensors
    with loops():
        if options.unit != "oscillator":
            inner = constants.flatten()
            outputs = recurrence(options.unit, inputs @ input_weight.T + bias, weight, inner)
            return outputs if options.every_step else outputs[-1]
        # Units of force 1 and integration step 1, in which y = v and x = p.
        carry, spring = constants
        scheme = "explicit_euler" if options.explicit else "symplectic_euler"
        on = "position" if options.reads_position else "velocity"
        ones = torch.ones_like(carry)
        arguments = (inputs, input_weight, bias, weight, (carry, spring, ones), 1.0, scheme, on)
        return displacements(*arguments, options.steps, options.every_step)


def outcomes(function, tensors, options):
    """Return the result and all gradients."""
    result = function(tensors, options)
    weights = torch.linspace(-1, 1, result.numel(), dtype=result.dtype).view_as(result)
    gradients = torch.autograd.grad(
        (result * weights).sum(), [tensor for tensor in tensors if tensor is not None], allow_unused=True
    )
    return result.detach(), *gradients


def errors(actual, expected):
    """Return the largest error of each tensor, in units of its largest number; autograd's None is 0."""
    for one, other in zip(actual, expected, strict=True):
        if one is None or not one.numel():
            yield 0.0
        else:
            other = torch.zeros_like(one) if other is None else other
            yield float((one - other).abs().max() / max(1, float(other.abs().max())))


@choices
@pytest.mark.parametrize("every_step", [False, True], ids=["last", "every"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients_are_those_of_the_loop(choice, every_step, shape):
    options = LayerOptions(choice[0], shape[0], every_step, *choice[1:])
    for constant_input in (False, True) if choice[0] == "oscillator" else (False,):
        exact = make(choice[0], shape, constant_input=constant_input)
        expected = outcomes(loop, exact, options)
        assert max(errors(outcomes(fused, exact, options), expected)) < 1e-12
        rounded = make(choice[0], shape, torch.float32, constant_input=constant_input)
        of_loop = errors(outcomes(loop, rounded, options), expected)
        of_kernel = errors(outcomes(fused, rounded, options), expected)
        for error, error_of_loop in zip(of_kernel, of_loop, strict=True):
            assert error < max(1e-5, 10 * error_of_loop)


@choices
def test_784_steps_are_those_of_the_loop(choice):
    """Weak weights: strong ones make the network chaotic, where the loop itself errs."""
    options = LayerOptions(choice[0], 784, False, *choice[1:])
    inputs, *weights = make(choice[0], (784, 4, 1, 5))
    tensors = [inputs, *((0.2 * weight).detach().requires_grad_() for weight in weights)]
    actual, expected = (outcomes(function, tensors, options) for function in (fused, loop))
    assert max(errors(actual, expected)) < 1e-12


@pytest.mark.parametrize("unit", TWINS)
def test_a_layer_is_that_of_torch_nn(unit):
    steps, _, features, nodes = shape = (40, 6, 3, 7)
    inputs, input_weight, bias, weight, constants = make(unit, shape)
    twin = TWINS[unit](features, nodes, dtype=torch.float64)
    inner = torch.zeros_like(bias)
    inner[len(bias) - constants.numel() :] = constants.detach().flatten()
    with torch.no_grad():
        for parameter, value in zip(twin.parameters(), (input_weight, weight, bias, inner), strict=True):
            parameter.copy_(value)
    ours = fused([inputs, input_weight, bias, weight, constants], LayerOptions(unit, steps, True))
    theirs = twin(inputs)[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    of_ours = torch.autograd.grad(ours.sin().sum(), (inputs, input_weight, weight, bias))
    of_theirs = torch.autograd.grad(theirs.sin().sum(), (inputs, *list(twin.parameters())[:3]))
    torch.testing.assert_close(of_ours, of_theirs, rtol=1e-12, atol=1e-12)


@choices
def test_gradients_are_finite_differences(choice):
    options = LayerOptions(choice[0], 3, True, *choice[1:])
    tensors = make(choice[0], (3, 2, 2, 3))
    assert torch.autograd.gradcheck(lambda *parts: fused(parts, options), tensors)


def test_without_recurrent_weights_a_layer_is_one_whose_weights_are_0():
    options = LayerOptions("oscillator", 50, True)
    inputs, input_weight, bias, weight, constants = make("oscillator", (50, 5, 2, 3))
    alone = outcomes(fused, [inputs, input_weight, bias, None, constants], options)
    result, *gradients = outcomes(
        fused, [inputs, input_weight, bias, torch.zeros_like(weight).requires_grad_(), constants], options
    )
    torch.testing.assert_close(alone, (result, *gradients[:3], gradients[4]))


@pytest.mark.parametrize("unit", ["oscillator", "lstm"])
def test_gradients_that_nobody_asks_for_do_not_change_the_others(unit):
    options = LayerOptions(unit, 40, False)
    tensors = make(unit, (40, 5, 2, 3))
    _, of_inputs, of_input_weight, _, of_weight, _ = outcomes(fused, tensors, options)
    frozen = [part.detach() for part in tensors]
    frozen[1].requires_grad_()
    (alone,) = torch.autograd.grad(
        (fused(frozen, options) * torch.linspace(-1, 1, 15).view(5, 3)).sum(), frozen[1]
    )
    torch.testing.assert_close(alone, of_input_weight, rtol=0, atol=1e-6)
    assert of_inputs.any() and of_weight.any()


@choices
@pytest.mark.parametrize("lanes", [1, 2, 17])
def test_lanes_are_lone_layers_bit_for_bit(choice, lanes):
    options = LayerOptions(choice[0], 35, True, *choice[1:])
    tensors = make(choice[0], (35, 9, 2, 5), torch.float32, (lanes,))
    result = torch.vmap(lambda *parts: fused(parts, options))(*tensors)
    gradients = torch.autograd.grad(result.square().sum(), tensors)
    for lane in range(lanes):
        alone = [tensor[lane].detach().requires_grad_() for tensor in tensors]
        lone = fused(alone, options)
        assert torch.equal(lone, result[lane])
        for one, many in zip(torch.autograd.grad(lone.square().sum(), alone), gradients, strict=True):
            assert torch.equal(one, many[lane])


def test_weights_that_all_lanes_share_get_the_sum_of_their_gradients():
    options = LayerOptions("gru", 6, False)
    inputs, *_ = make("gru", (6, 4, 2, 3), lanes=(5,))
    _, *weights = make("gru", (6, 4, 2, 3))
    shared = torch.vmap(lambda lane: fused([lane, *weights], options))(inputs)
    of_lanes = torch.stack([loop([lane, *weights], options) for lane in inputs])
    for one, other in zip(
        torch.autograd.grad(shared.sin().sum(), weights),
        torch.autograd.grad(of_lanes.sin().sum(), weights),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("unit", GATES)
def test_threads_and_repetition_change_no_bit(unit):
    options, tensors = LayerOptions(unit, 70, True), make(unit, (70, 70, 3, 5), torch.float32)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 1, 2, 3, 8):
            torch.set_num_threads(threads)
            results.append(outcomes(fused, tensors, options))
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        assert all(torch.equal(one, other) for one, other in zip(result, results[0], strict=True))


@choices
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_goes_where_it_goes_in_the_loop(choice, value):
    options = LayerOptions(choice[0], 4, True, *choice[1:])
    for dtype in (torch.float32, torch.float64):
        for place in range(4):
            tensors = make(choice[0], (4, 10, 2, 5), dtype)
            with torch.no_grad():
                tensors[place].view(-1)[1] = value
            (one, *_), (other, *_) = (outcomes(function, tensors, options) for function in (fused, loop))
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4, equal_nan=True)
            of_one, of_other = (
                torch.autograd.grad(function(tensors, options).sum(), tensors, allow_unused=True)
                for function in (fused, loop)
            )
            for actual, expected in zip(of_one[:4], of_other[:4], strict=True):
                assert torch.equal(actual.isfinite(), expected.isfinite())


def test_little_is_kept_for_the_backward_pass():
    tensors, sizes = make("oscillator", (784, 64, 1, 32), torch.float32), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        fused(tensors, LayerOptions("oscillator", 784, False))
    assert sum(sizes) - tensors[0].numel() < 784 * 64 * 32 / 5


def test_small_numbers_keep_their_digits_in_single_precision():
    options = LayerOptions("oscillator", 20, False)
    results = []
    for dtype in (torch.float32, torch.float64):
        inputs, input_weight, bias, weight, constants = make("oscillator", (20, 3, 2, 4), dtype)
        results.append(fused([1e-6 * inputs, input_weight, 0 * bias, weight, constants], options))
    single, double = results
    assert (single - double).abs().max() < 1e-5 * double.abs().max()


def test_displacements_of_real_oscillators_take_the_kernel_for_every_integrator(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    draw = lambda *size: torch.rand(*size, generator=generator, dtype=torch.float64)  # noqa: E731
    constants = Constants(0.1 + 0.3 * draw(4), 0.05 + 0.1 * draw(4), 0.5 + draw(4))
    tensors = (draw(20, 3, 2), draw(4, 2) - 0.5, draw(4) - 0.5, 0.3 * (draw(4, 4) - 0.5))
    calls = []
    monkeypatch.setattr(
        "hornlib.dynamics.adjoint.recurrent_layer",
        lambda *arguments: calls.append(1) or recurrent_layer(*arguments),
    )
    for integrator in ("symplectic_euler", "explicit_euler", "implicit_damping"):
        arguments = (*tensors, coefficients(constants, H, integrator), H, integrator, "velocity", 20, True)
        by_kernel = displacements(*arguments)
        with loops():
            by_loop = displacements(*arguments)
        torch.testing.assert_close(by_kernel, by_loop, rtol=1e-12, atol=1e-12)
    assert len(calls) == 3


def test_a_second_derivative_is_refused():
    tensors = make("tanh", (3, 2, 2, 3))
    result = fused(tensors, LayerOptions("tanh", 3, True))
    (gradient,) = torch.autograd.grad(result.sin().sum(), tensors[0], create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        gradient.sum().backward()


@pytest.mark.parametrize("place", range(1, 5))
def test_weights_that_do_not_fit_the_inputs_are_refused(place):
    for wrong in (
        lambda part: part.repeat_interleave(2, 0),
        torch.Tensor.float,
        lambda part: part.unsqueeze(0),
    ):
        tensors = make("gru", (3, 2, 2, 3))
        tensors[place] = wrong(tensors[place])
        with pytest.raises(ValueError, match="a kernel got"):
            fused(tensors, LayerOptions("gru", 3, True))


def test_inputs_of_another_number_of_steps_are_refused():
    for steps in (0, 2, 4):
        with pytest.raises(ValueError, match=f"a layer of {steps} steps got 3 inputs"):
            fused(make("lstm", (3, 2, 2, 3)), LayerOptions("lstm", steps, True))


@choices
def test_an_empty_batch_has_an_empty_result_and_no_gradients(choice):
    tensors = make(choice[0], (5, 0, 2, 3))
    result, *gradients = outcomes(fused, tensors, LayerOptions(choice[0], 5, False, *choice[1:]))
    assert result.shape == (0, 3) and not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize("axes", [(2, 1, 1, 2, 1), (0, None, 0, None, 2), (None, 2, None, 1, None)])
def test_lanes_may_lie_along_any_axis_of_any_tensor(axes):
    options = LayerOptions("gru", 20, True)
    alone, lanes = make("gru", (20, 3, 2, 4)), make("gru", (20, 3, 2, 4), lanes=(6,))
    tensors = [
        one if axis is None else many.detach().movedim(0, axis).requires_grad_()
        for one, many, axis in zip(alone, lanes, axes, strict=True)
    ]
    results = [
        torch.vmap(lambda *parts, function=function: function(parts, options), axes)(*tensors)
        for function in (fused, loop)
    ]
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)
    gradients = (torch.autograd.grad(result.sin().sum(), tensors) for result in results)
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)
