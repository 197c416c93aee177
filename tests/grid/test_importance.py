"""Importance that cannot be measured is refused before any job starts, with the place in the configuration."""

import pytest

from hornlib.errors import ConfigError
from hornlib.grid.cell import parse_specification
from hornlib.grid.importance import importance_refusal
from hornlib.parameters.importance import MOST_CONNECTIONS, ImportanceSettings

SWEEP = """
keep_weights: {keep}
importance: {importance}
sweeps:
  small:
    data: {{name: digits}}
    model:
      - {{name: {model}}}
"""


def asked(keep="last", importance="{}", model="mlp"):
    return SWEEP.format(keep=keep, importance=importance, model=model)


def test_importance_without_kept_weights_names_the_setting(grid_from):
    with pytest.raises(ConfigError, match=r"config\.yaml:3.*importance: .*write `keep_weights: last`"):
        grid_from(asked(keep="off"))
    assert grid_from(asked(keep="off", importance="off")).settings.importance is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("yes", "valid: off, or settings such as"),
        ("{sampel: 5}", r"unknown parameter of importance \(did you mean 'sample'\?\)"),
        ("{sample: 3}", "sample: got 3; must be at least 10"),
        ("{examples: 5}", "examples: got 5; must be at least 10"),
        ("{random_sets: 1}", "random_sets: got 1; must be at least 2"),
    ],
)
def test_wrong_settings_are_refused_in_words(grid_from, value, said):
    with pytest.raises(ConfigError, match=said):
        grid_from(asked(importance=value))


def test_a_model_whose_weights_the_analysis_does_not_know_is_refused(grid_from):
    with pytest.raises(
        ConfigError, match=r"config\.yaml:8.*measured of mlp, cnn, rnn, got resnet.*importance: off"
    ):
        grid_from(asked(model="resnet"))


def test_too_many_connections_are_refused_with_the_sample_that_fits(grid_from):
    text = asked(model="mlp, hidden_nodes: 200-100")
    with pytest.raises(
        ConfigError, match=r"33,800 connections to 0.*at most 20,000; write importance: {sample: 9500}"
    ):
        grid_from(text)
    with pytest.raises(ConfigError, match="sample: 15000 would set"):
        grid_from(text.replace("{}", "{sample: 15000}"))
    grid = grid_from(text.replace("importance: {}", "importance: {sample: 9500}"))
    (cell,) = grid.cells.values()
    assert importance_refusal(cell, grid.settings.importance) is None
    assert importance_refusal(cell, ImportanceSettings(sample=9600)) is not None


@pytest.mark.parametrize("storage", ["masked", "compressed"])
def test_connections_count_and_not_places(storage):
    cell = parse_specification(
        {
            "data": {"name": "digits"},
            "model": {"name": "mlp", "hidden_nodes": "200-100"},
            "structure": {"name": "sparse_training", "density": 0.5, "storage": storage},
        }
    )
    assert MOST_CONNECTIONS > 0.5 * 33_800
    assert importance_refusal(cell, ImportanceSettings()) is None
