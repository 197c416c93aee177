"""Learning-rate schedules and evaluation steps against torch.optim.lr_scheduler and by hand."""

import pytest
import torch
from torch.optim import lr_scheduler

from hornlib.parameters.training import TrainingParameters
from hornlib.training.schedules import rate_factor


def factors(total: int, **fields) -> list[float]:
    training = TrainingParameters(**fields)
    return [rate_factor(training, update, total) for update in range(total)]


def torchs_factors(total: int, scheduler: type, **settings) -> list[float]:
    """The learning rates of one of torch's schedulers, from a peak of 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule, rates = scheduler(optimizer, **settings), []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_cosine_is_torchs_cosine_annealing():
    expected = torchs_factors(40, lr_scheduler.CosineAnnealingLR, T_max=40)
    assert factors(40, schedule="cosine") == pytest.approx(expected, abs=1e-12)


def test_linear_is_torchs_linear_schedule():
    settings = {"start_factor": 1.0, "end_factor": 0.01, "total_iters": 40}
    expected = torchs_factors(40, lr_scheduler.LinearLR, **settings)
    assert factors(40, schedule="linear", end_factor=0.01) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("steps_per_epoch", [1, 7, 391])
def test_milestones_are_torchs_multi_step_schedule(steps_per_epoch):
    settings = {"milestones": [3 * steps_per_epoch, 5 * steps_per_epoch, 6 * steps_per_epoch], "gamma": 0.2}
    expected = torchs_factors(9 * steps_per_epoch, lr_scheduler.MultiStepLR, **settings)
    fields = {"epochs": 9, "schedule": "milestones", "milestones": "3-5-6", "milestone_factor": 0.2}
    assert factors(9 * steps_per_epoch, **fields) == pytest.approx(expected, abs=1e-12)


def test_a_warm_up_does_not_move_the_milestones():
    rates = factors(40, epochs=10, warmup_steps=6, schedule="milestones", milestones="4-8")
    assert rates[15] == rates[6] == 1 and rates[16] == pytest.approx(0.1)
    assert rates[31] == pytest.approx(0.1) and rates[32] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"end_factor": 0.1}, "end_factor means nothing to schedule: cosine"),
        (
            {"schedule": "step", "milestones": "3"},
            "milestones means nothing to schedule: step; leave it out, or give its default: null",
        ),
        ({"milestone_factor": 0.2}, "milestone_factor means nothing to schedule: cosine"),
        ({"schedule": "milestones"}, "needs `milestones:`"),
        ({"schedule": "milestones", "milestones": "5-3"}, "milestones: 5-3 are not ascending"),
        (
            {"schedule": "milestones", "milestones": "3-9", "epochs": 9},
            "9 is not before the last of 9 epochs",
        ),
        ({"schedule": "milestones", "milestones": "3", "steps": 10}, "give `epochs:` instead of `steps:`"),
    ],
)
def test_fields_that_do_not_fit_the_schedule_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        TrainingParameters(**fields)


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
