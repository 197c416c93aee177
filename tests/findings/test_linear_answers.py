"""Claims about the linear answers: hand formulas, the choice on validation, and where they are exact."""

import numpy as np
import pytest
import torch
from linear_answers import linear_regression, ridge_regression, tikhonov_inverse

from hornlib.data.loading import Split, Splits
from hornlib.errors import DataError

FORWARD = np.random.default_rng(0).standard_normal((30, 5)) * 10.0 ** -np.arange(5)
"""Of 30 measurements, with singular values over four orders of magnitude: ill-posed."""


def problem_with(noise, counts=(80, 40, 40)):
    """Targets of deviation 1, measured by the matrix above with an offset and noise."""
    parts, random = [], np.random.default_rng(1)
    for count in counts:
        targets = random.uniform(-1.7, 1.7, (count, 5))
        measured = 0.3 + targets @ FORWARD.T + noise * random.standard_normal((count, 30))
        parts.append(Split(torch.from_numpy(measured).float(), torch.from_numpy(targets).float()))
    return Splits(*parts)


def relative(predicted, split):
    targets = split.targets.double().numpy()
    return np.linalg.norm(predicted - targets) / np.linalg.norm(targets)


def test_linear_regression_is_least_squares():
    splits = problem_with(0.1)
    inputs = [np.c_[part.inputs.double().numpy(), np.ones(len(part.inputs))] for part in splits]
    weights = np.linalg.lstsq(inputs[0], splits.train.targets.double().numpy(), rcond=None)[0]
    actual = linear_regression(splits)
    assert actual.strength == 0
    assert actual.validation == pytest.approx(relative(inputs[1] @ weights, splits.validation), rel=1e-6)
    assert actual.test == pytest.approx(relative(inputs[2] @ weights, splits.test), rel=1e-6)


def test_ridge_regression_solves_the_regularised_normal_equations():
    splits = problem_with(0.1)
    strength = 0.03
    actual = ridge_regression(splits, (strength,))
    x, t = splits.train.inputs.double().numpy(), splits.train.targets.double().numpy()
    centred = x - x.mean(0)
    weights = np.linalg.solve(centred.T @ centred + strength * 80 * np.eye(30), centred.T @ (t - t.mean(0)))
    predicted = (splits.test.inputs.double().numpy() - x.mean(0)) @ weights + t.mean(0)
    assert actual.test == pytest.approx(relative(predicted, splits.test), rel=1e-6)


def test_the_tikhonov_inverse_solves_its_normal_equations():
    splits = problem_with(0.1)
    strength = 1e-3
    actual = tikhonov_inverse(splits, (strength,))
    x, t = splits.train.inputs.double().numpy(), splits.train.targets.double().numpy()
    fitted = np.linalg.lstsq(np.c_[t, np.ones(80)], x, rcond=None)[0]
    forward, offset = fitted[:5].T, fitted[5]
    damped = forward.T @ forward + strength * np.linalg.norm(forward, 2) ** 2 * np.eye(5)
    predicted = np.linalg.solve(damped, forward.T @ (splits.test.inputs.double().numpy() - offset).T).T
    assert actual.test == pytest.approx(relative(predicted, splits.test), rel=1e-6)


@pytest.mark.parametrize("answer", [ridge_regression, tikhonov_inverse])
def test_the_strength_is_the_one_with_the_least_validation_error(answer):
    splits = problem_with(0.1)
    strengths = (1e-8, 1e-4, 1e-2, 1.0, 100.0)
    each = {strength: answer(splits, (strength,)) for strength in strengths}
    best = min(strengths, key=lambda strength: each[strength].validation)
    assert answer(splits, strengths) == each[best]
    assert 1e-8 < best < 100


def test_a_little_regularisation_beats_none_where_the_problem_is_ill_posed_and_noisy():
    splits = problem_with(0.1)
    assert tikhonov_inverse(splits).test < tikhonov_inverse(splits, (1e-12,)).test
    assert ridge_regression(splits).test < linear_regression(splits).test


@pytest.mark.parametrize(
    ("answer", "tried"),
    [(linear_regression, ()), (ridge_regression, ((1e-10,),)), (tikhonov_inverse, ((1e-14,),))],
)
def test_a_linear_problem_without_noise_is_answered_exactly(answer, tried):
    forward = torch.from_numpy(FORWARD)
    exact = (part.targets.double() for part in problem_with(0.0))
    splits = Splits(*(Split(0.3 + targets @ forward.T, targets) for targets in exact))
    assert answer(splits, *tried).test < 1e-3


def test_without_a_validation_part_there_is_no_choice():
    splits = problem_with(0.1, counts=(80, 0, 40))
    assert np.isnan(linear_regression(splits).validation)
    for answer in (ridge_regression, tikhonov_inverse):
        with pytest.raises(DataError, match=r"data\.validation above 0"):
            answer(splits)
