"""The hand-derived gradient against autograd of the plain loop, finite differences and lone lanes."""

import itertools
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from hornlib.dynamics.adjoint import displacements
from hornlib.dynamics.oscillator import Constants, OscillatorState, coefficients, step
from hornlib.kernels.route import loops, taking

INTEGRATORS = ("symplectic_euler", "explicit_euler", "implicit_damping")
ARMS = list(itertools.product(INTEGRATORS, ("velocity", "position", "none"), (False, True)))
H = 0.7


@pytest.fixture(params=["auto", "loop"], autouse=True)
def _route(request):
    with taking(request.param):
        yield


class Arguments(NamedTuple):
    sequence: Tensor
    input_weight: Tensor
    bias: Tensor
    weight: Tensor | None
    constants: Constants

    @property
    def tensors(self):
        return [t for t in (*self[:4], *self.constants) if t is not None]

    def lane(self, index):
        """Return the arguments of one lane."""
        first = (None if t is None else t[index] for t in self[:4])
        return Arguments(*first, Constants(*(constant[index] for constant in self.constants)))


def plain(arguments, integrator, recurrence_on, timesteps, every_step):
    """Loop over `oscillator.step`, differentiated by autograd."""
    sequence, input_weight, bias, weight, constants = arguments
    c = coefficients(constants, H, integrator)
    drive = sequence @ input_weight.T + bias
    state = OscillatorState(torch.zeros_like(drive[0]), torch.zeros_like(drive[0]))
    displacement = []
    for argument in drive.expand(timesteps, -1, -1).unbind(0):
        if weight is not None:
            argument = argument + (state.y if recurrence_on == "velocity" else state.x) @ weight.T
        state = step(state, torch.tanh(argument), c, H, integrator)
        displacement.append(state.x)
    return torch.stack(displacement) if every_step else displacement[-1]


def fast(arguments, integrator, *arm):
    *tensors, constants = arguments
    return displacements(*tensors, coefficients(constants, H, integrator), H, integrator, *arm)


def make(
    recurrence_on="velocity", length=70, dtype=torch.float64, nodes=5, lanes=(), strength=0.3, learned=True
):
    """Return arguments, all leaves, of stable oscillators; 70 steps are more than one chunk."""
    generator = torch.Generator().manual_seed(0)

    def leaf(low, high, *shape):
        values = low + (high - low) * torch.rand(*lanes, *shape, generator=generator, dtype=torch.float64)
        return values.to(dtype).requires_grad_()

    constants = Constants(leaf(0.1, 0.4, nodes), leaf(0.05, 0.2, nodes), leaf(0.5, 1.5, nodes))
    for constant in constants:
        constant.requires_grad_(learned)
    weight = None if recurrence_on == "none" else leaf(-strength, strength, nodes, nodes)
    return Arguments(leaf(-1, 1, length, 4, 3), leaf(-1, 1, nodes, 3), leaf(-1, 1, nodes), weight, constants)


def gradients(run, arguments, *arm):
    """Return the output and the gradients of a random projection of it."""
    output = run(arguments, *arm)
    projection = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    leaves = [tensor for tensor in arguments.tensors if tensor.requires_grad]
    return [output, *torch.autograd.grad((output * projection.to(output.dtype)).sum(), leaves)]


def assert_close(actual, expected, tolerance):
    for own, other in zip(actual, expected, strict=True):
        assert (own - other).abs().max() <= tolerance * other.abs().max().clamp(min=1)


@pytest.mark.parametrize(("integrator", "recurrence_on", "every_step"), ARMS)
@pytest.mark.parametrize("constant_input", [False, True])
@pytest.mark.parametrize("learned", [False, True])
def test_values_and_gradients_are_those_of_the_loop(
    integrator, recurrence_on, every_step, constant_input, learned
):
    for timesteps in (2, 3, 70):
        arguments = make(recurrence_on, 1 if constant_input else timesteps, learned=learned)
        arm = (integrator, recurrence_on, timesteps, every_step)
        assert_close(*(gradients(run, arguments, *arm) for run in (fast, plain)), 1e-12)


@pytest.mark.parametrize(("integrator", "recurrence_on", "every_step"), ARMS)
def test_single_precision_is_within_1e_5_of_the_truth(integrator, recurrence_on, every_step):
    """With weak weights: strong ones make the network chaotic, where the loop itself errs by 1e-3."""
    arm = (integrator, recurrence_on, 100, every_step)
    single = gradients(fast, make(recurrence_on, 100, torch.float32, strength=0.05), *arm)
    double = gradients(plain, make(recurrence_on, 100, strength=0.05), *arm)
    assert_close(single, double, 1e-5)


@pytest.mark.parametrize(("scale", "tolerance"), [(1.0, 1e-5), (1e-2, 5e-5), (1e-3, 5e-4), (1e-4, 5e-3)])
def test_single_precision_of_small_signals_errs_by_1e_7_over_their_scale(scale, tolerance):
    """(tanh a) / 2 is found as a difference, sigma(2 a) - 1/2; a plain tanh errs by 1e-6 at every scale."""
    outcome = []
    for run, dtype in ((plain, torch.float64), (fast, torch.float32), (plain, torch.float32)):
        arguments = make(length=784, dtype=dtype)
        with torch.no_grad():
            arguments.sequence.mul_(scale)
            arguments.bias.zero_()
        outcome.append(gradients(run, arguments, "symplectic_euler", "velocity", 784, False))
    for double, single, plain_single in zip(*outcome, strict=True):
        length = torch.linalg.vector_norm(double)
        assert torch.linalg.vector_norm(single - double) < tolerance * length
        assert torch.linalg.vector_norm(plain_single - double) < 1e-5 * length


@pytest.mark.parametrize(("integrator", "recurrence_on", "every_step"), ARMS)
@pytest.mark.parametrize("constant_input", [False, True])
def test_gradients_are_finite_differences(integrator, recurrence_on, every_step, constant_input):
    arguments = make(recurrence_on, 1 if constant_input else 4, nodes=2)

    def run(sequence, input_weight, bias, *others):
        *head, omega, damping, alpha = others
        weight = head[0] if head else None
        arguments = Arguments(sequence, input_weight, bias, weight, Constants(omega, damping, alpha))
        return fast(arguments, integrator, recurrence_on, 4, every_step)

    assert torch.autograd.gradcheck(run, arguments.tensors)


@pytest.mark.parametrize(("integrator", "recurrence_on", "every_step"), ARMS)
@pytest.mark.parametrize("constant_input", [False, True])
def test_three_lanes_are_three_lone_runs(integrator, recurrence_on, every_step, constant_input):
    arm = (integrator, recurrence_on, 70, every_step)
    arguments = make(recurrence_on, 1 if constant_input else 70, lanes=(3,))
    axes = Arguments(0, 0, 0, None if arguments.weight is None else 0, Constants(0, 0, 0))

    def side_by_side(arguments, *arm):
        return torch.vmap(lambda own: fast(own, *arm), in_dims=(axes,))(arguments)

    def alone(arguments, *arm):
        return torch.stack([fast(arguments.lane(lane), *arm) for lane in range(3)])

    assert_close(*(gradients(run, arguments, *arm) for run in (side_by_side, alone)), 1e-12)


def test_lanes_may_share_tensors_and_lie_on_any_axis():
    arm = ("symplectic_euler", "velocity", 6, True)
    arguments = make(length=6, lanes=(3,), learned=False)
    shared = arguments.lane(0)

    def run(sequence, weight):
        return fast(shared._replace(sequence=sequence, weight=weight), *arm)

    lanes = torch.vmap(run, in_dims=(2, None), out_dims=1)(arguments.sequence.movedim(0, 2), shared.weight)
    alone = [plain(shared._replace(sequence=sequence), *arm) for sequence in arguments.sequence]
    torch.testing.assert_close(lanes, torch.stack(alone, dim=1))


def test_nested_lanes_are_lanes():
    arm = ("symplectic_euler", "velocity", 6, False)
    arguments = make(length=6, lanes=(2, 3))
    lanes = torch.vmap(torch.vmap(lambda own: fast(own, *arm)))(arguments)
    torch.testing.assert_close(lanes[1, 2], plain(arguments.lane((1, 2)), *arm))


def test_backward_twice_through_one_graph_gives_the_same():
    arguments = make()
    output = fast(arguments, "symplectic_euler", "velocity", 70, False).sum()
    first, second = (torch.autograd.grad(output, arguments.tensors, retain_graph=True) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_arguments_are_left_as_they_were():
    arguments = make()
    before = [tensor.detach().clone() for tensor in arguments.tensors]
    fast(arguments, "symplectic_euler", "position", 70, True).sum().backward()
    assert all(torch.equal(one, other) for one, other in zip(arguments.tensors, before, strict=True))


@pytest.mark.parametrize(("every_step", "shape"), [(False, (4, 5)), (True, (1, 4, 5))])
def test_one_explicit_step_from_rest_moves_nothing(every_step, shape):
    output = fast(make(length=1), "explicit_euler", "velocity", 1, every_step)
    assert output.shape == shape and not output.any()


@pytest.mark.parametrize(("recurrence_on", "numbers"), [("velocity", 2), ("position", 2), ("none", 1)])
def test_no_more_is_kept_than_two_numbers_a_step_and_state(recurrence_on, numbers):
    arguments, sizes = make(recurrence_on, learned=False), []
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t)
    with hooks, loops():  # a fused kernel keeps less
        fast(arguments, "symplectic_euler", recurrence_on, 70, False)
    states = 70 * 4 * 5
    assert [size for size in sizes if size >= states] == [states] * numbers
