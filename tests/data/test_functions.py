"""Claims about spirals, peaks, sine and the teacher: their formulas in numpy, their ranges, their fixed draws."""

import numpy as np
import pytest
import torch

from hornlib.data import DATASETS
from hornlib.data.functions import peaks_of, teacher_student
from hornlib.data.reading import read
from hornlib.randomness import generator

VECTORS = ["spirals", "peaks", "sine", "teacher_student"]


@pytest.mark.parametrize("name", VECTORS)
def test_a_dataset_is_the_same_at_every_reading_whatever_the_global_seed(name):
    torch.manual_seed(1)
    first = read(DATASETS[name], None)
    torch.manual_seed(2)
    for one, other in zip(first, read(DATASETS[name], None), strict=True):
        assert torch.equal(one, other)


def test_spirals_are_the_600_points_of_two_arms_mirrored_at_the_origin():
    raw = read(DATASETS["spirals"], None)
    points = torch.cat([raw.train_inputs, raw.test_inputs]).numpy()
    classes = torch.cat([raw.train_targets, raw.test_targets]).numpy()
    # an independent way to the same points: Archimedes' spiral r = 1/2 + angle / (2 pi), as complex numbers
    turns = np.linspace(0, 1, 300, endpoint=False)
    arm = (0.5 + turns) * np.exp(2j * np.pi * turns)
    for sign, number in ((-1, 0), (1, 1)):
        actual = points[classes == number] @ [1, 1j]
        order = np.abs(actual).argsort()
        np.testing.assert_allclose(actual[order], sign * arm, atol=1e-6)


def test_the_test_part_of_the_spirals_is_a_stratified_quarter():
    raw = read(DATASETS["spirals"], None)
    assert raw.test_targets.bincount().tolist() == [75, 75]
    assert raw.train_targets.bincount().tolist() == [225, 225]


def test_spirals_are_not_separable_by_a_line():
    from sklearn.linear_model import LogisticRegression

    raw = read(DATASETS["spirals"], None)
    x, y = raw.train_inputs.numpy(), raw.train_targets.numpy()
    assert LogisticRegression().fit(x, y).score(x, y) < 0.8


def test_peaks_takes_its_documented_values():
    """The known extrema, 8.1062 and -6.5511, and its value at the origin by hand."""
    at = torch.tensor([[-0.0093, 1.5814], [0.2283, -1.6255], [0.0, 0.0]], dtype=torch.float64)
    origin = 3 * np.exp(-1) - np.exp(-1) / 3
    np.testing.assert_allclose(peaks_of(*at.T), [8.1062, -6.5511, origin], atol=1e-4)


def test_peaks_is_flat_at_its_extrema():
    at = torch.tensor([[-0.0093, 1.5814], [0.2283, -1.6255]], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(peaks_of(*at.T).sum(), at)
    assert slope.abs().max() < 2e-3


@pytest.mark.parametrize("name", ["peaks", "sine"])
def test_inputs_are_uniform_on_minus_3_to_3_and_targets_their_functions(name):
    raw = read(DATASETS[name], None)
    inputs = torch.cat([raw.train_inputs, raw.test_inputs]).double()
    targets = torch.cat([raw.train_targets, raw.test_targets]).double()[:, 0]
    assert inputs.abs().max() <= 3 and inputs.abs().max() > 2.99
    assert inputs.mean(0).abs().max() < 4 * (3 / len(inputs)) ** 0.5
    assert (inputs.var(0) - 3).abs().max() < 0.15
    expected = inputs[:, 0].sin() if name == "sine" else peaks_of(inputs[:, 0], inputs[:, 1])
    torch.testing.assert_close(targets, expected, atol=1e-5, rtol=1e-5)


def test_no_example_stands_in_both_parts():
    for name in ("peaks", "sine"):
        raw = read(DATASETS[name], None)
        assert not set(map(tuple, raw.test_inputs.tolist())) & set(map(tuple, raw.train_inputs.tolist()))


def test_the_teacher_is_a_network_of_ten_units_without_biases():
    raw = teacher_student(None, False)
    draws = generator("examples", "teacher_student", "teacher")
    teacher = torch.nn.Sequential(
        torch.nn.Linear(10, 10, bias=False), torch.nn.ReLU(), torch.nn.Linear(10, 10, bias=False)
    ).double()
    for layer in (teacher[0], teacher[2]):
        layer.weight.data.copy_(2 * torch.rand(10, 10, generator=draws, dtype=torch.float64) - 1)
        assert layer.weight.abs().max() <= 1
    assert raw.train_inputs.shape == raw.train_targets.shape == (1000, 10)
    assert abs(raw.train_inputs.mean()) < 0.03 and abs(raw.train_inputs.std() - 1) < 0.02
    torch.testing.assert_close(
        teacher(raw.test_inputs.double()), raw.test_targets.double(), rtol=1e-5, atol=1e-5
    )
