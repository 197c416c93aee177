"""`hornlib describe` and docs/parameters.md: complete, and in step with the classes."""

from pathlib import Path

import pytest

from hornlib.cli.describe import TOPICS, _lines, parameters_page
from hornlib.cli.parameters import SECTIONS, TABLES, all_descriptions, descriptions_of
from hornlib.data import DATASETS
from hornlib.errors import ConfigError

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_page_of_parameters_is_in_step():
    assert (REPOSITORY / "docs/parameters.md").read_text() == parameters_page(), "call `make schema`"


def test_every_parameter_has_a_meaning_and_valid_values():
    lacking = [one for one in all_descriptions() if not one.meaning or not one.values or not one.default]
    assert lacking == []


def test_every_whole_number_has_a_unit_but_seeds_places_and_factors():
    whole = [one for one in all_descriptions() if one.values.startswith("whole number")]
    assert {one.name for one in whole if not one.unit} == {"seed", "position", "widening"}


def test_widths_are_spelled_as_the_configuration_spells_them():
    (channels,) = [one for one in descriptions_of("model", "cnn") if one.name == "channels"]
    assert channels.default == "32-64-128"


def test_every_topic_model_structure_and_dataset_is_explained():
    assert set(TOPICS) == {*SECTIONS, *TABLES, "dataset"}
    pages = [" ".join(_lines(topic, None)) for topic in TOPICS]
    assert all(len(page) > 80 for page in pages)
    for section, table in TABLES.items():
        for name in table:
            page = "\n".join(_lines(section, name))
            assert all(f"  {one.name}: " in page for one in descriptions_of(section, name))
    for name in DATASETS:
        assert "examples: " in "\n".join(_lines("dataset", name))


@pytest.mark.parametrize("words", [("learning_rate", None), ("training", "learning_rate")])
def test_one_parameter_is_explained_by_its_name(words):
    lines = list(_lines(*words))
    assert lines[0] == "training"
    assert "learning_rate: number above 0; default 0.001" in lines[2]


def test_a_name_of_several_models_is_explained_once_for_each_meaning():
    lines = list(_lines("num_nodes", None))
    owners = [line for line in lines if line.startswith("model ")]
    assert any("model horn," in line or line == "model horn" for line in owners)
    assert len(lines) < 60


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("lerning_rate", None), "did you mean 'learning_rate'"),
        (("model", "hron"), "did you mean 'horn'"),
        (("dataset", "mnst"), "did you mean 'mnist'"),
        (("modle", "horn"), "did you mean 'model'"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_nearest(words, message):
    with pytest.raises(ConfigError, match=message):
        list(_lines(*words))


def test_no_line_is_wider_than_a_terminal_apart_from_docstrings():
    for topic in ("training", "statistics", "dataset", None):
        assert all(len(line) <= 100 for line in _lines(topic, None) if "hornlib describe" not in line)
