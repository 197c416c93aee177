"""Time steps: what is trained, what is fixed, what keeps its sign or its sum, and what it costs."""

import itertools

import pytest
import torch
from scipy.optimize import minimize

from hornlib.models.build import build_network
from hornlib.models.lanes import make_lanes
from hornlib.models.time_variable.parameters import FractionalDnnParameters, TimeResnetParameters
from hornlib.models.time_variable.steps import LayerSteps, onto_capped_sum
from hornlib.parameters import Task

VECTOR = Task((3,), 2)
KINDS = ("learned", "fixed", "partly_fixed", "softplus", "projected", "simplex")
CASES = [
    (kind, last)
    for kind, last in itertools.product(KINDS, ("free", "dependent"))
    if last == "free" or kind not in ("fixed", "simplex")
]
every_kind = pytest.mark.parametrize(("kind", "last"), CASES)


def steps_of(kind="learned", last="free", **values):
    torch.manual_seed(0)
    values = {"num_layers": 4, "initial_horizon": 2.0} | values
    return LayerSteps(TimeResnetParameters(layer_steps=kind, last_step=last, **values))


@every_kind
def test_steps_begin_equal_with_the_sum_of_the_horizon(kind, last):
    torch.testing.assert_close(steps_of(kind, last)(), torch.full((4,), 0.5))


@every_kind
def test_random_first_steps_are_positive_differ_and_keep_the_sum(kind, last):
    steps = steps_of(kind, last, initial_steps="uniform")()
    assert (steps > 0).all() and len(set(steps.tolist())) == 4
    assert steps.sum().item() == pytest.approx(2.0, rel=1e-6)


@every_kind
def test_what_holds_the_steps_gives_them_back(kind, last):
    steps = steps_of(kind, last, initial_steps="uniform").double()
    wanted = torch.tensor([0.3, 0.7, 0.8, 0.2], dtype=torch.float64)
    for name, tensor in steps.held(wanted).items():
        getattr(steps, name).data = tensor
    torch.testing.assert_close(steps(), wanted, atol=1e-7, rtol=0)


@every_kind
def test_the_count_of_learned_steps_is_that_of_the_vector(kind, last):
    parameters = TimeResnetParameters(layer_steps=kind, last_step=last, num_layers=4)
    trained = sum(p.numel() for p in LayerSteps(parameters).parameters())
    assert trained == parameters.num_learned_steps


def test_a_fixed_step_is_a_buffer_and_survives_a_state_dict():
    steps, other = steps_of("fixed", initial_steps="uniform"), steps_of("fixed", initial_horizon=7.0)
    assert list(steps.parameters()) == []
    other.load_state_dict(steps.state_dict())
    assert torch.equal(other(), steps())
    assert not steps().requires_grad


def test_a_partly_fixed_vector_freezes_the_first_step_alone():
    steps = steps_of("partly_fixed")
    steps().square().sum().backward()
    assert steps.raw.grad.shape == (3,) and (steps.raw.grad != 0).all()
    assert dict(steps.named_buffers())["first"].tolist() == [0.5]


def test_a_dependent_last_step_falls_as_another_grows():
    steps = steps_of(last="dependent")
    steps.raw.data = torch.tensor([3.0, -1.0, 0.5])
    assert steps()[-1].item() == pytest.approx(-0.5)
    steps()[-1].backward()
    assert steps.raw.grad.tolist() == [-1.0, -1.0, -1.0]


@pytest.mark.parametrize("kind", ["softplus", "simplex"])
def test_positive_kinds_stay_positive_wherever_they_are_led(kind):
    steps = steps_of(kind)
    steps.raw.data = torch.tensor([-20.0, 0.0, 3.0, -5.0])
    assert (steps() > 0).all()


def test_a_simplex_keeps_the_horizon():
    steps = steps_of("simplex")
    steps.raw.data = torch.tensor([2.0, 0.0, 3.0, -5.0])
    assert steps().sum().item() == pytest.approx(2.0)


def test_projected_steps_are_put_back_to_the_least_step_in_every_lane():
    network = build_network(TimeResnetParameters(layer_steps="projected", num_layers=3), VECTOR, 0)
    raw = torch.tensor([[0.5, -1.0, 0.0], [1e-5, 2.0, 1e-3]])
    network.project_({"steps.raw": raw, "layers.0.weight": torch.zeros(2, 1)})
    assert torch.equal(raw, torch.tensor([[0.5, 1e-4, 1e-4], [1e-4, 2.0, 1e-3]]))


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"projected"}))
def test_other_steps_are_not_projected(kind):
    network = build_network(TimeResnetParameters(layer_steps=kind), VECTOR, 0)
    raw = torch.tensor([[0.5, -1.0, 0.0]])
    network.project_({"steps.raw": raw})
    assert raw.tolist() == [[0.5, -1.0, 0.0]]


def test_with_a_dependent_last_step_every_step_stays_positive_under_projection():
    parameters = FractionalDnnParameters(last_step="dependent", num_layers=4, least_step=0.01)
    lanes = make_lanes([parameters] * 3, VECTOR, [0, 1, 2], torch.device("cpu"))
    raw = lanes.parameters["steps.raw"]
    with torch.no_grad():
        raw.copy_(torch.tensor([[3.0, 0.1, -2.0], [0.2, 0.2, 0.2], [9.0, 8.0, 7.0]]))
        lanes.project_()
    steps = lanes.layer_steps()
    assert (steps >= 0.01 - 1e-6).all()
    torch.testing.assert_close(steps.sum(1), torch.ones(3))
    torch.testing.assert_close(steps[1], torch.tensor([0.2, 0.2, 0.2, 0.4]))


def test_the_projection_finds_the_nearest_point():
    least, cap = 0.05, 1.0
    points = 2 * torch.randn(12, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    points[0] = torch.tensor([0.1, 0.2, 0.1, 0.1, 0.2])
    actual = onto_capped_sum(points, least, cap)
    assert torch.equal(actual[0], points[0])
    for point, mine in zip(points.numpy(), actual.numpy(), strict=True):
        nearest = minimize(
            lambda x, point=point: ((x - point) ** 2).sum(),
            mine.mean().repeat(5),
            bounds=[(least, None)] * 5,
            constraints={"type": "ineq", "fun": lambda x: cap - x.sum()},
            options={"ftol": 1e-14},
        )
        assert mine == pytest.approx(nearest.x, abs=1e-5)


def test_the_penalty_and_its_gradient_are_those_of_the_equation():
    steps = steps_of(horizon_penalty=0.5, l1_penalty=0.01, l2_penalty=0.1).double()
    tau = torch.tensor([3.0, -1.0, 0.5, 0.2], dtype=torch.float64)
    steps.raw.data = tau
    penalty = steps.penalty()
    penalty.backward()
    # 0.5, 0.01 and 0.1 are held in single precision
    assert penalty.item() == pytest.approx(0.5 * 0.7**2 + 0.01 * 4.7 + 0.1 * (9 + 1 + 0.25 + 0.04), rel=1e-6)
    torch.testing.assert_close(steps.raw.grad, 0.7 + 0.01 * tau.sign() + 0.2 * tau, rtol=1e-6, atol=1e-7)


def test_lanes_that_differ_in_their_penalties_train_side_by_side():
    models = [TimeResnetParameters(horizon_penalty=value, initial_horizon=1.0) for value in (0.0, 0.5)]
    lanes = make_lanes(models, VECTOR, [0, 0], torch.device("cpu"))
    with torch.no_grad():
        lanes.parameters["steps.raw"] += 1.0
    _, penalty = lanes.forward(torch.zeros(2, 5, 3), training=True)
    assert penalty.tolist() == pytest.approx([0.0, 0.5 * 36], rel=1e-5)
