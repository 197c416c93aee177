"""A value of the wrong shape at any place of the configuration is refused with file, line and key."""

import copy
import math
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from hornlib.config import reading
from hornlib.errors import ConfigError
from hornlib.grid import read_grid

FILE = "config.yaml"

PLAIN = """
results: out
seeds: 2
per_job: 2
lanes: 1
threads: 1
device: cpu
checkpoints: ck
checkpoint_minutes: 5.0
probes: {inputs: 8, moments: 1, states: none}
strict_stability: false
statistics:
  subject: horn_cnn
  baseline: cnn
  target: 0.9
  targets: [0.8, 0.9]
  sequential: []
  claims:
    faster: {subject: horn_cnn, question: "is it?", axes: [samples, seconds], rivals: [cnn], what: x, controls: [cnn]}
defaults:
  data: {name: digits, presentation: image, validation: 0.1, root: data}
  training: {epochs: 1, batch_size: 64, steps: 20, evaluate_at_epochs: 1, optimizer: adamw}
  structure: {name: static}
sweeps:
  one:
    seeds: [0, 1]
    data: {train_subset: 200}
    structure: [{name: static}]
    training: {learning_rate: [1e-3, 1e-2]}
    statistics: {alpha: 0.05}
    model:
      - {name: horn_cnn, num_nodes: 4, timesteps: [4, 8]}
      - name: cnn
        arm: cnn
        channels: 4-8
        match: {to: horn_cnn, by: parameters}
        data: {noise: 0}
        training: {epochs: 2}
        structure: {name: static}
  two: {extends: one, seeds: 3}
"""

TUNED = """
seeds: 3
statistics: {baseline: cnn}
defaults:
  data: {name: digits}
  training: {steps: 20, batch_size: 64, learning_rate: 3e-3}
sweeps:
  tuned:
    model:
      - {name: horn_cnn, arm: horn, num_nodes: 4, timesteps: 4, num_cycles: {tune: {low: 0.3, high: 0.6, scale: log}}}
      - name: cnn
        channels: 4-8
        match: {to: horn, by: parameters}
        data: {noise: 0}
        training: {weight_decay: {tune: {low: 0.1, high: 0.2, scale: linear, default: 0.1}}}
    training: {learning_rate: {tune: {low: 1e-3, high: 1e-1, scale: log}}}
    tuning: {trials: 4, seeds: 2, objectives: [final_metric], finalists: {trials: 2, seeds: 3}}
"""

SHAPES = [
    *(None, True, 0, -1, 2**62, 1.5, math.inf, math.nan, "", "word", "auto", "1e-3", "a:b", "$"),
    *([], [None], [1], [True, 1], [1.5, 1.5], ["word"], [""], [[1]], [{}], [{"a": 1}], ["a", ["b"]]),
    *(
        {},
        {"a": 1},
        {"a": {"b": {"c": 1}}},
        {"name": "word"},
        {"name": None},
        {"name": ["cnn"]},
        {"name": {}},
    ),
    *({"tune": None}, {"tune": 1}, {"tune": []}, {"tune": [0.1, 0.2]}, {"tune": {}}, {"tune": {"low": 0.1}}),
    *({"tune": {"low": [1], "high": {}}}, {"tune": {"low": 0.1, "high": 0.2, "default": []}}),
    *({"tune": {"low": 0.1, "high": 0.2}, "a": 1}, [{"tune": {"low": 0.1, "high": 0.2}}]),
]

WORDS_OF_PYTHON = re.compile(
    r"NoneType|attribute|Traceback|Error\b|unhashable|Input should|instance|<class|dict\b"
)


def key_paths(node, path=()):
    """Yield the path of every value below a node."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from key_paths(value, (*path, key))


def replaced(document, path, value):
    """Return the document with another value at one place."""
    document = copy.deepcopy(document)
    node = document
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = copy.deepcopy(value)
    return document


DOCUMENTS = [YAML(typ="safe").load(text) for text in (PLAIN, TUNED)]

PLACES = [(document, path) for document in DOCUMENTS for path in key_paths(document)]


@pytest.fixture
def grid_of(monkeypatch):
    """Return the grid of plain values, each of which stands in a line of its own."""

    def grid(document):
        lines = {path: f"{FILE}:{number}" for number, path in enumerate(key_paths(document), 1)}
        monkeypatch.setattr(reading, "read_yaml", lambda file: (copy.deepcopy(document), lines))
        return read_grid([Path(FILE)])

    return grid


@pytest.mark.parametrize("document", DOCUMENTS, ids=["plain", "tuned"])
def test_the_documents_are_right_as_they_are(grid_of, document):
    assert grid_of(document).cells


@pytest.mark.parametrize(("document", "path"), PLACES, ids=[".".join(map(str, path)) for _, path in PLACES])
def test_a_value_of_any_shape_is_taken_or_refused_in_the_words_of_the_configuration(grid_of, document, path):
    for value in SHAPES:
        try:
            grid_of(replaced(document, path, value))
        except ConfigError as error:
            for line in str(error).splitlines():
                assert re.match(rf"{re.escape(FILE)}:[0-9]+: [a-z]", line), (value, line)
                assert not WORDS_OF_PYTHON.search(line), (value, line)


def test_ranges_that_are_a_list_are_refused_with_what_is_valid(grid_from, tmp_path):
    text = """\
sweeps:
  a:
    data: {name: digits}
    model: [{name: cnn, channels: 4-8}]
    training: {learning_rate: {tune: [1e-3, 1e-2]}}
    tuning: {trials: 4, seeds: 2}
"""
    with pytest.raises(ConfigError) as caught:
        grid_from(text)
    assert str(caught.value).startswith(f"{tmp_path / FILE}:5: sweeps.a.training.learning_rate: ")
    assert "{tune: {low: ..., high: ..., scale: log}}" in str(caught.value)


@pytest.mark.parametrize("key", ["match", "data", "structure"])
def test_a_range_that_is_no_parameter_of_model_or_training_is_refused(grid_of, key):
    value = {"tune": {"low": 0.1, "high": 0.2}}
    path = ("sweeps", "tuned", "model", 1, key)
    with pytest.raises(ConfigError, match=rf"sweeps\.tuned\.model\[1\].*{key}"):
        grid_of(replaced(DOCUMENTS[1], path, value if key == "match" else {"noise": value}))


@pytest.mark.parametrize("section", ["data", "training", "structure"])
def test_an_empty_override_of_a_section_is_refused(grid_of, section):
    with pytest.raises(
        ConfigError, match=rf"model\[1\]\.{section}: expected parameters of {section}, found null"
    ):
        grid_of(replaced(DOCUMENTS[0], ("sweeps", "one", "model", 1, section), None))
