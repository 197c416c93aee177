"""beta-LASSO: its step against a loop over numbers, its threshold, what it keeps of a quadratic, and its curve."""

import io

import pytest
import torch

from hornlib.data.loading import load
from hornlib.grid.cell import parse_specification
from hornlib.parameters.training import TrainingParameters
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk
from hornlib.training.optimizers import make_optimizer

CPU = torch.device("cpu")
LANES, STEPS = 3, 5
RATES = torch.tensor([0.1, 0.01, 0.5], dtype=torch.float64)
L1, FACTOR = 0.02, 8.0


def training(l1=L1, factor=FACTOR):
    return TrainingParameters(optimizer="beta_lasso", l1=l1, threshold_factor=factor)


def draws(step):
    """Return a weight (lanes, 4, 3) and a bias (lanes, 5), or their gradients."""
    draw = torch.Generator().manual_seed(step)
    return [torch.randn(shape, generator=draw, dtype=torch.float64) for shape in ((LANES, 4, 3), (LANES, 5))]


def stepped(number, gradient, rate):
    """Return a weight after a step, in the words of the paper: gradient and L1, then the threshold."""
    sign = (number > 0) - (number < 0)
    moved = number - rate * (gradient + L1 * sign)
    return 0.0 if abs(moved) <= FACTOR * L1 else moved


def test_a_step_is_that_of_the_paper_for_every_weight_at_the_rate_of_its_lane():
    (weight, bias), optimizer = draws(99), make_optimizer(draws(99), training())
    numbers = weight.tolist()
    for step in range(1, STEPS + 1):
        gradients = draws(step)
        numbers = [
            [
                [stepped(*pair, rate) for pair in zip(*rows, strict=True)]
                for rows in zip(lane, gradient, strict=True)
            ]
            for lane, gradient, rate in zip(numbers, gradients[0].tolist(), RATES.tolist(), strict=True)
        ]
        optimizer.update_([weight, bias], gradients, RATES, step)
    torch.testing.assert_close(weight, torch.tensor(numbers, dtype=torch.float64), rtol=1e-12, atol=1e-12)
    zeros = (weight == 0).flatten(1).sum(1)
    assert (zeros > 0).all() and (zeros < 12).all()


def test_biases_take_plain_steps():
    (weight, bias), optimizer = draws(99), make_optimizer(draws(99), training())
    alone = [bias[lane].clone().requires_grad_() for lane in range(LANES)]
    references = [torch.optim.SGD([alone[lane]], lr=float(RATES[lane])) for lane in range(LANES)]
    for step in range(1, STEPS + 1):
        gradients = draws(step)
        for lane in range(LANES):
            alone[lane].grad = gradients[1][lane].clone()
            references[lane].step()
        optimizer.update_([weight, bias], gradients, RATES, step)
    torch.testing.assert_close(bias, torch.stack(alone).detach(), rtol=1e-12, atol=1e-12)


def test_without_a_threshold_it_descends_the_loss_plus_the_l1_norm():
    """The gradient of the sum is that of autograd; no number is exactly 0."""
    weight, target = draws(1)[0], draws(2)[0]
    reference = weight.clone().requires_grad_()
    optimizer = make_optimizer([weight], training(factor=0.0))
    for step in range(1, STEPS + 1):
        loss = (reference - target).square().sum() + L1 * reference.abs().sum()
        (slope,) = torch.autograd.grad(loss, reference)
        with torch.no_grad():
            reference -= RATES.view(-1, 1, 1) * slope
        optimizer.update_([weight], [2 * (weight - target)], RATES, step)
    torch.testing.assert_close(weight, reference.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rate", [1e-6, 1e-2])
def test_the_threshold_includes_its_border_and_does_not_depend_on_the_rate(rate):
    border = torch.tensor(0.25 * 8, dtype=torch.float64)  # exact in binary
    above = torch.nextafter(border, torch.tensor(9.0, dtype=torch.float64))
    numbers = torch.stack([border, -border, above, -above, torch.zeros_like(border)]).view(1, 5, 1)
    optimizer = make_optimizer([numbers], training(l1=0.25, factor=8.0))
    signs = numbers.sign()
    optimizer.update_([numbers], [-0.25 * signs], torch.tensor([rate], dtype=torch.float64), 1)
    assert numbers.flatten().tolist() == [0, 0, above.item(), -above.item(), 0]


def test_a_zero_returns_by_a_step_beyond_the_threshold_only():
    zeros = torch.zeros(1, 3, 1, dtype=torch.float64)
    steps = torch.tensor([0.9, 1.0, 1.1], dtype=torch.float64).view(1, 3, 1) * FACTOR * L1
    make_optimizer([zeros], training()).update_([zeros], [-steps], torch.ones(1, dtype=torch.float64), 1)
    assert (zeros != 0).flatten().tolist() == [False, False, True]


def test_of_a_quadratic_it_keeps_the_weights_whose_lasso_solution_exceeds_the_threshold():
    """The LASSO shrinks the minimum w of (v - w)^2 / 2 by lambda: v = sign(w) (|w| - lambda)."""
    minimum = torch.linspace(-0.5, 0.5, 98, dtype=torch.float64).view(1, 98, 1)
    solution = minimum.sign() * (minimum.abs() - L1).clamp(min=0)
    expected = torch.where(solution.abs() > FACTOR * L1, solution, 0.0)
    weight = minimum.clone()
    optimizer = make_optimizer([weight], training())
    for step in range(1, 600):
        optimizer.update_([weight], [weight - minimum], torch.tensor([0.05], dtype=torch.float64), step)
    torch.testing.assert_close(weight, expected, atol=1e-9, rtol=0)
    assert 0 < (weight != 0).sum() < 98


def cell_of(structure=None, **training):
    """Return a cell of twelve steps on digits."""
    return parse_specification(
        {
            "data": {"name": "digits", "train_subset": 100, "validation": 0.2},
            "model": {"name": "shallow", "num_channels": 2, "connectivity": "full"},
            "structure": structure or {"name": "static"},
            "training": {"epochs": 3, "batch_size": 25, "learning_rate": 0.1, **training},
        }
    )


def trained(cell, seeds=(0, 1, 2), after_step=lambda chunk: None):
    chunk = start_chunk(cell, list(seeds), CPU)
    train_chunk(chunk, load(cell.data, CPU), after_step)
    return chunk


LASSO = {"optimizer": "beta_lasso", "l1": 1e-3, "threshold_factor": 30.0}


def test_the_curve_of_non_zeros_ends_with_those_of_the_trained_weights():
    chunk = trained(cell_of(**LASSO))
    weights = [tensor for tensor in chunk.lanes.parameters.values() if tensor.dim() > 2]
    counts = torch.stack([(tensor != 0).flatten(1).sum(1) for tensor in weights]).sum(0)
    curve = chunk.curves["num_nonzeros"]
    assert curve[:, -1].tolist() == counts.tolist()
    size = sum(tensor[0].numel() for tensor in weights)
    assert (counts < size).all() and (curve[:, 0] <= size).all()
    assert "num_nonzeros" not in trained(cell_of(optimizer="sgd")).curves


def test_lanes_are_what_they_are_alone_and_an_interrupted_chunk_ends_bit_identical():
    cell, saved = cell_of(**LASSO), {}

    def save(chunk):
        buffer = io.BytesIO()
        torch.save(chunk.state(), buffer)
        saved[chunk.step] = buffer.getvalue()

    chunk = trained(cell, after_step=save)
    alone = trained(cell, seeds=[1])
    for name, tensor in chunk.lanes.parameters.items():  # rounding may carry a rare number over the threshold
        differs = (tensor[1:2] - alone.lanes.parameters[name]).abs() > 1e-4
        assert differs.float().mean() < 0.01, name
    resumed = start_chunk(cell, [0, 1, 2], CPU)
    resumed.restore_(torch.load(io.BytesIO(saved[5]), weights_only=True), CPU)
    train_chunk(resumed, load(cell.data, CPU))
    for name, tensor in chunk.lanes.parameters.items():
        assert torch.equal(tensor, resumed.lanes.parameters[name])


@pytest.mark.parametrize(
    "structure",
    [
        {"name": "sparse_training", "rule": "static", "density": 0.2},
        {"name": "weight_pruning", "rule": "gmp", "density": 0.2, "update_every": 2, "prune_start": 0.1},
    ],
    ids=["static masks", "pruning"],
)
def test_masked_weights_stay_0_and_are_not_among_the_non_zeros(structure):
    chunk = trained(cell_of(structure, **LASSO))
    (group,) = chunk.groups
    assert group.masks
    for name, mask in group.masks.items():
        assert not group.lanes.parameters[name][~mask].any()
    assert (chunk.curves["num_nonzeros"][:, -1] <= chunk.curves["num_parameters"][:, -1]).all()
