"""The hand-derived gradient against autograd of the plain loop, finite differences and lone lanes."""

import itertools

import pytest
import torch

from hornlib.dynamics.adjoint import displacements
from hornlib.dynamics.oscillator import Constants, State, coefficients, step

INTEGRATORS = ("symplectic_euler", "explicit_euler", "implicit_damping")
ARMS = list(itertools.product(INTEGRATORS, ("velocity", "position", "none"), (False, True)))
H = 0.7


def plain(drive, weight, constants, integrator, recurrence_on, timesteps, every_step):
    """Loop over `oscillator.step`, differentiated by autograd."""
    c = coefficients(constants, H, integrator)
    state = State(torch.zeros_like(drive[0]), torch.zeros_like(drive[0]))
    displacement = []
    for argument in drive.expand(timesteps, -1, -1).unbind(0):
        if weight is not None:
            argument = argument + (state.y if recurrence_on == "velocity" else state.x) @ weight.T
        state = step(state, torch.tanh(argument), c, H, integrator)
        displacement.append(state.x)
    return torch.stack(displacement) if every_step else displacement[-1]


def fast(drive, weight, constants, integrator, recurrence_on, timesteps, every_step):
    c = coefficients(constants, H, integrator)
    return displacements(drive, weight, c, H, integrator, recurrence_on, timesteps, every_step)


def inputs(
    recurrence_on="velocity", timesteps=30, num_drives=30, dtype=torch.float64, n=5, lanes=(), strength=1.0
):
    """Return drive, weight and constants, all leaves, of stable oscillators."""
    generator = torch.Generator().manual_seed(0)

    def leaf(low, high, *shape):
        values = low + (high - low) * torch.rand(*lanes, *shape, generator=generator, dtype=torch.float64)
        return values.to(dtype).requires_grad_()

    weight = None if recurrence_on == "none" else leaf(-strength, strength, n, n)
    return (
        leaf(-2, 2, num_drives, 4, n),
        weight,
        Constants(leaf(0.1, 0.4, n), leaf(0.05, 0.2, n), leaf(0.5, 1.5, n)),
    )


def gradients(run, drive, weight, constants, *arm, seed=1):
    """Return the output and the gradients of a random projection of it."""
    output = run(drive, weight, constants, *arm)
    projection = torch.randn(output.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    leaves = [leaf for leaf in (drive, weight, *constants) if leaf is not None and leaf.requires_grad]
    return [output, *torch.autograd.grad((output * projection.to(output.dtype)).sum(), leaves)]


def assert_close(actual, expected, tolerance):
    for own, other in zip(actual, expected, strict=True):
        assert (own - other).abs().max() <= tolerance * other.abs().max().clamp(min=1)


@pytest.mark.parametrize(("integrator", "recurrence_on", "every_step"), ARMS)
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("learned", [False, True])
def test_values_and_gradients_are_those_of_the_loop(integrator, recurrence_on, every_step, static, learned):
    for timesteps in (2, 3, 30):
        drive, weight, constants = inputs(recurrence_on, timesteps, 1 if static else timesteps)
        for constant in constants:
            constant.requires_grad_(learned)
        arm = (integrator, recurrence_on, timesteps, every_step)
        actual, expected = (gradients(run, drive, weight, constants, *arm) for run in (fast, plain))
        assert_close(actual, expected, 1e-12)


@pytest.mark.parametrize(("integrator", "recurrence_on", "every_step"), ARMS)
def test_single_precision_is_within_1e_5_of_the_truth(integrator, recurrence_on, every_step):
    """With weak weights: strong ones make the network chaotic, where the loop itself errs by 1e-3."""
    arm = (integrator, recurrence_on, 100, every_step)
    single = gradients(fast, *inputs(recurrence_on, 100, 100, torch.float32, strength=0.05), *arm)
    double = gradients(plain, *inputs(recurrence_on, 100, 100, strength=0.05), *arm)
    assert_close(single, double, 1e-5)


def test_single_precision_of_small_signals_is_relative_to_them():
    """(tanh a) / 2 is found as a difference; an input of 0.001 still has five digits."""
    outcome = []
    for dtype in (torch.float32, torch.float64):
        drive, weight, constants = inputs(dtype=dtype, strength=0.05)
        run = fast if dtype == torch.float32 else plain
        outcome.append(run(1e-3 * drive, weight, constants, "symplectic_euler", "velocity", 30, False))
    assert (outcome[0] - outcome[1]).abs().max() < 1e-4 * outcome[1].abs().max()


@pytest.mark.parametrize(("integrator", "recurrence_on", "every_step"), ARMS)
def test_gradients_are_finite_differences(integrator, recurrence_on, every_step):
    drive, weight, constants = inputs(recurrence_on, 5, 5, n=2)
    leaves = [leaf for leaf in (weight, *constants) if leaf is not None]

    def run(drive, *leaves):
        *head, omega, damping, alpha = leaves
        arm = (integrator, recurrence_on, 5, every_step)
        return fast(drive, head[0] if head else None, Constants(omega, damping, alpha), *arm)

    assert torch.autograd.gradcheck(run, (drive, *leaves))


@pytest.mark.parametrize(("integrator", "recurrence_on", "every_step"), ARMS)
def test_three_lanes_are_three_lone_runs(integrator, recurrence_on, every_step):
    arm = (integrator, recurrence_on, 12, every_step)
    drive, weight, constants = inputs(recurrence_on, 12, 12, lanes=(3,))

    def lanes(drive, weight, constants, *arm):
        run = torch.vmap(lambda *tensors: fast(*tensors, *arm), in_dims=(0, None if weight is None else 0, 0))
        return run(drive, weight, constants)

    def alone(drive, weight, constants, *arm):
        return torch.stack(
            [
                fast(
                    drive[i],
                    None if weight is None else weight[i],
                    Constants(*(c[i] for c in constants)),
                    *arm,
                )
                for i in range(3)
            ]
        )

    arguments = (drive, weight, constants, *arm)
    assert_close(gradients(lanes, *arguments), gradients(alone, *arguments), 1e-12)


def test_lanes_may_share_a_tensor_and_lie_on_any_axis():
    drive, weight, constants = inputs(timesteps=6, num_drives=6, lanes=(3,))
    shared = Constants(*(constant[0].detach() for constant in constants))
    arm = ("symplectic_euler", "velocity", 6, True)
    run = torch.vmap(lambda d, w: fast(d, w, shared, *arm), in_dims=(2, None), out_dims=1)
    expected = torch.stack([plain(drive[i], weight[0], shared, *arm) for i in range(3)], dim=1)
    torch.testing.assert_close(run(drive.movedim(0, 2), weight[0]), expected)


def test_nested_lanes_are_lanes():
    drive, weight, constants = inputs(timesteps=6, num_drives=6, lanes=(2, 3))
    arm = ("symplectic_euler", "velocity", 6, False)
    run = torch.vmap(torch.vmap(lambda *tensors: fast(*tensors, *arm)))
    expected = plain(drive[1, 2], weight[1, 2], Constants(*(c[1, 2] for c in constants)), *arm)
    torch.testing.assert_close(run(drive, weight, constants)[1, 2], expected)


def test_backward_twice_through_one_graph_gives_the_same():
    drive, weight, constants = inputs()
    output = fast(drive, weight, constants, "symplectic_euler", "velocity", 30, False).sum()
    first, second = (torch.autograd.grad(output, (drive, weight), retain_graph=True) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_arguments_are_left_as_they_were():
    drive, weight, constants = inputs()
    before = drive.detach().clone(), weight.detach().clone()
    fast(drive, weight, constants, "symplectic_euler", "position", 30, True).sum().backward()
    assert torch.equal(drive, before[0]) and torch.equal(weight, before[1])


def test_one_explicit_step_from_rest_moves_nothing():
    drive, weight, constants = inputs(timesteps=1, num_drives=1)
    for every_step, shape in ((False, (4, 5)), (True, (1, 4, 5))):
        output = fast(drive, weight, constants, "explicit_euler", "velocity", 1, every_step)
        assert output.shape == shape and not output.any()


@pytest.mark.parametrize("recurrence_on", ["velocity", "position", "none"])
def test_no_more_is_kept_than_two_numbers_a_state(recurrence_on):
    """One without recurrence; the drive itself is not among them."""
    drive, weight, constants = inputs(recurrence_on)
    fixed = Constants(*(constant.detach() for constant in constants))
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        fast(drive, weight, fixed, "symplectic_euler", recurrence_on, 30, False)
    large = [size for size in sizes if size >= drive.numel()]
    assert large == [drive.numel()] * (1 if recurrence_on == "none" else 2)
