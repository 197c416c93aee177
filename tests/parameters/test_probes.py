"""Moments and length of probes follow from the configuration alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hornlib.models import MODELS
from hornlib.parameters import Task
from hornlib.parameters.probes import MOST_RUN_ON_STEPS, ProbeSettings, probe_steps, run_on_steps
from hornlib.parameters.training import TrainingParameters

IMAGE, ROWS = Task((1, 8, 8), 10), Task((8, 8), 10)


@given(last=st.integers(1, 100_000), moments=st.integers(0, 12))
def test_probes_stand_at_the_start_the_end_and_evaluations_in_between(last, moments):
    evaluations = TrainingParameters(steps=last).evaluation_steps(60_000)
    found = probe_steps(evaluations, moments)
    assert found == sorted(set(found))
    assert found[0] == 0 and found[-1] == last
    assert set(found[1:]) <= set(evaluations)
    assert len(found) <= moments + 2


def test_moments_are_even_on_a_log_axis():
    evaluations = TrainingParameters(steps=1000).evaluation_steps(60_000)
    assert probe_steps(evaluations, 2) == [0, 10, 100, 1000]


@pytest.mark.parametrize(
    ("name", "values", "task", "expected"),
    [
        ("horn_cnn", {"timesteps": 8}, IMAGE, 32),  # one cycle within T
        ("horn_cnn", {"timesteps": 8, "num_cycles": 0.5}, IMAGE, 64),
        ("horn", {"timesteps": 8}, IMAGE, 112),  # 2 pi / 28: a cycle takes 28 steps
        ("leaky_cnn", {"timesteps": 8, "num_cycles": 2.0}, IMAGE, 16),
        ("rnn", {"unit": "gru"}, ROWS, 32),
        ("horn_cnn", {"timesteps": 8, "num_cycles": 1e-6}, IMAGE, MOST_RUN_ON_STEPS),
    ],
)
def test_the_run_on_covers_four_cycles(name, values, task, expected):
    assert run_on_steps(MODELS[name](**values), task, 8, 4.0) == expected


def test_settings_refuse_what_they_do_not_know():
    with pytest.raises(ValidationError):
        ProbeSettings(inputs=1)
    with pytest.raises(ValidationError):
        ProbeSettings(examples=64)
