"""Learning-rate schedules and evaluation steps against torch.optim.lr_scheduler and by hand."""

import pytest
import torch

from hornlib.parameters.training import TrainingParameters
from hornlib.training.schedules import rate_factor


def factors(total: int, **fields) -> list[float]:
    training = TrainingParameters(**fields)
    return [rate_factor(training, update, total) for update in range(total)]


def test_cosine_is_torchs_cosine_annealing():
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)
    expected = []
    for _ in range(40):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert factors(40, schedule="cosine") == pytest.approx(expected, abs=1e-12)


def test_step_falls_tenfold_at_half_and_at_three_quarters():
    assert factors(8, schedule="step") == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_warm_up_rises_linearly_and_hands_over_at_the_top():
    found = factors(10, schedule="constant", warmup_steps=4)
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.8, *[1.0] * 6])


def test_evaluations_are_logarithmic_with_asked_for_epochs_and_the_last_step():
    training = TrainingParameters(epochs=3, batch_size=100, evaluate_at_epochs="1-2")
    steps = training.evaluation_steps(num_train=1050)  # 11 steps an epoch
    assert steps == [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 15, 18, 22, 26, 32, 33]


def test_a_number_of_steps_beats_the_number_of_epochs():
    assert TrainingParameters(epochs=3, steps=7, batch_size=10).total_steps(1000) == 7


def test_a_batch_larger_than_the_data_is_a_full_batch():
    assert TrainingParameters(epochs=3, batch_size=4096).total_steps(1000) == 3
