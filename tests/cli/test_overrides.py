"""`--set key=value`: which places of the configuration get the value, and what is refused."""

import json
from pathlib import Path

import pytest

from hornlib.cli.overrides import parse_assignment, to_yaml, write_overridden
from hornlib.config.reading import read_document
from hornlib.errors import ConfigError
from hornlib.grid import read_grid

REPOSITORY = Path(__file__).resolve().parents[2]

CONFIG = """
results: {results}
seeds: 3
statistics: {{baseline: cnn, confirm: 1}}
defaults:
  data: {{name: digits}}
  training: {{epochs: 2}}
sweeps:
  one:
    model:
      - {{name: horn_cnn, timesteps: [2, 4], training: {{steps: 9, learning_rate: 0.5}}}}
      - {{name: cnn, channels: 2-4}}
    training: {{batch_size: 64}}
  two:
    extends: one
    seeds: 5
    statistics: {{confirm: 4}}
"""


@pytest.fixture
def config(tmp_path, config_file):
    return config_file(CONFIG.format(results=tmp_path / "results"))


def cells_with(config, *texts):
    """Return the grid of the configuration with these values."""
    return read_grid([write_overridden([config], [parse_assignment(text) for text in texts])])


def test_a_value_of_a_section_holds_in_every_sweep_and_in_every_arm(config):
    grid = cells_with(config, "training.steps=20", "training.learning_rate=1e-2")
    assert {cell.training.steps for cell in grid.cells.values()} == {20}
    assert {cell.training.learning_rate for cell in grid.cells.values()} == {0.01}
    assert {cell.training.batch_size for cell in grid.cells.values()} == {64}


def test_a_parameter_of_a_model_is_set_where_the_model_has_it(config):
    grid = cells_with(config, "model.timesteps=3")
    assert {cell.model.timesteps for cell in grid.cells.values() if cell.model.name == "horn_cnn"} == {3}
    assert len(grid.cells) == 2


def test_a_list_is_an_axis(config):
    grid = cells_with(config, "training.learning_rate=[1e-3, 1e-2]", "model.timesteps=2")
    assert len(grid.cells) == 4


def test_seeds_and_statistics_replace_those_of_a_sweep_too(config):
    grid = cells_with(config, "seeds=2", "statistics.confirm=7")
    assert {sweep.seeds for sweep in grid.sweeps.values()} == {(0, 1)}
    assert {sweep.statistics.confirm for sweep in grid.sweeps.values()} == {7}


def test_the_configuration_of_the_call_lies_beside_the_results_and_says_what_it_is(config, tmp_path):
    path = write_overridden([config], [parse_assignment("training.steps=20")])
    assert path.parent == tmp_path / "results/configurations"
    assert path.read_text().startswith(f"# {config} with training.steps=20\n")
    assert write_overridden([config], [parse_assignment("training.steps=20")]) == path
    assert write_overridden([config], [parse_assignment("training.steps=21")]) != path


@pytest.mark.parametrize(
    "file", ["config.yaml", *sorted(f"config/{p.name}" for p in (REPOSITORY / "config").glob("*.yaml"))]
)
def test_every_ready_sweep_reads_the_same_after_it_was_written(file, tmp_path):
    """The order counts too: the first arm with oscillators is the subject."""
    document = read_document([REPOSITORY / file])
    (tmp_path / "written.yaml").write_text(to_yaml(document))
    assert json.dumps(read_document([tmp_path / "written.yaml"])) == json.dumps(document)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training.stps=2", "did you mean 'training.steps'"),
        ("training.steps", "expected key=value"),
        ("training.steps=", "expected key=value"),
        ("steps=2", "there is no such key"),
        ("model.leak_rate=0.5", "no sweep has a model with this parameter"),
        ("training.steps=many", "--set training.steps=many: sweeps.one.model[0].training.steps: got 'many'"),
        ("training.steps=[2", "--set training.steps: 1:"),
        ("tuning.trials=3", "no sweep has a tuning with this parameter"),
    ],
)
def test_a_mistake_is_refused_with_the_option_and_leaves_no_file(config, tmp_path, text, message):
    with pytest.raises(ConfigError) as refused:
        write_overridden([config], [parse_assignment(text)])
    assert message in str(refused.value)
    assert not list((tmp_path / "results").rglob("*.yaml"))


def test_a_mistake_in_the_file_itself_is_reported_with_its_line(config):
    config.write_text(config.read_text().replace("channels: 2-4", "chanels: 2-4"))
    with pytest.raises(ConfigError, match=r"config\.yaml:\d+: .*chanels"):
        write_overridden([config], [parse_assignment("seeds=2")])
