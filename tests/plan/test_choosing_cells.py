"""Choosing cells: by any parameter, by arm, by sweep, and a pilot of each arm in turn."""

import pytest

from hornlib.errors import ConfigError
from hornlib.plan.choosing_cells import Condition, parse_condition, select

CONFIG = """
    defaults: {data: {name: digits}}
    sweeps:
      one:
        model:
          - {name: horn_cnn, timesteps: [2, 4, 8], heterogeneity: [0, 0.5]}
          - {name: cnn, channels: [5, 8-16]}
          - {name: horn, arm: dense, num_nodes: 8, data: {presentation: rows}}
      two:
        model: [{name: cnn, channels: 8-16}, {name: mlp, training: {epochs: 3}}]
"""


@pytest.fixture
def grid(grid_from):
    return grid_from(CONFIG)


def chosen(grid, *conditions, **options):
    return select(grid, [parse_condition(text) for text in conditions], **options)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("timesteps=8", Condition("timesteps", 8)),
        ("learning_rate=1e-3", Condition("learning_rate", 0.001)),
        ("channels=1000-10-10", Condition("channels", "1000-10-10")),
        (" arm = a=b ", Condition("arm", "a=b")),
        ("image_size=null", Condition("image_size", None)),
    ],
)
def test_a_condition_is_read_as_config_yaml_would_be(text, condition):
    assert parse_condition(text) == condition


@pytest.mark.parametrize("text", ["timesteps", "=8", "", " = "])
def test_what_is_no_condition_is_refused(text):
    with pytest.raises(ConfigError, match="expected key=value"):
        parse_condition(text)


@pytest.mark.parametrize(
    ("conditions", "number"),
    [
        ([], 11),
        (["timesteps=8"], 3),  # two of horn_cnn, and the eight rows that a dense horn reads
        (["timesteps=8", "timesteps=2"], 5),
        (["timesteps=8", "heterogeneity=0.5"], 1),
        (["heterogeneity=0"], 4),
        (["model=horn_cnn"], 6),
        (["arm=dense"], 1),
        (["sweep=two"], 2),
        (["dataset=digits"], 11),
        (["structure=static"], 11),
        (["channels=5"], 1),
        (["channels=8-16"], 2),
        (["presentation=rows"], 1),
        (["learning_rate=0.001"], 11),
        (["epochs=3"], 1),
        (["training.epochs=3"], 1),
        (["model.name=mlp"], 1),
        (["image_size=null"], 11),
    ],
)
def test_conditions_choose_by_word_parameter_and_derived_quantity(grid, conditions, number):
    assert len(chosen(grid, *conditions)) == number


def test_a_cell_is_chosen_by_its_name(grid):
    name = list(grid.cells)[3]
    assert [member.cell.name for member in chosen(grid, f"cell={name}")] == [name]


def test_a_cell_of_two_sweeps_is_a_member_of_both(grid):
    assert [(m.sweep, m.arm) for m in chosen(grid, "channels=8-16")] == [("one", "cnn"), ("two", "cnn")]
    assert [m.sweep for m in chosen(grid, "channels=8-16", sweep="two")] == ["two"]


def test_an_unknown_key_is_told_with_the_nearest(grid):
    with pytest.raises(ConfigError) as caught:
        chosen(grid, "timestep=8")
    assert "--where timestep: no cell has this key (did you mean 'timesteps'?)" in str(caught.value)


def test_a_value_that_no_cell_has_is_told_with_those_there_are(grid):
    with pytest.raises(ConfigError) as caught:
        chosen(grid, "heterogeneity=0.7")
    assert str(caught.value) == "--where heterogeneity: no cell has 0.7; there are 0.0, 0.5"
    with pytest.raises(ConfigError, match="no cell has true"):
        chosen(grid, "timesteps=true")


def test_conditions_that_exclude_each_other_are_told(grid):
    with pytest.raises(ConfigError, match="--where timesteps"):
        chosen(grid, "arm=cnn", "timesteps=8")


def test_an_unknown_sweep_is_told_with_the_nearest(grid):
    with pytest.raises(ConfigError) as caught:
        chosen(grid, sweep="tow")
    assert str(caught.value) == "there is no sweep 'tow' (did you mean 'two'?); valid: one, two"


def test_a_pilot_takes_cells_from_each_arm_in_turn(grid):
    def names(limit):
        return [(m.sweep, m.arm) for m in select(grid, limit=limit)]

    assert names(1) == [("one", "horn_cnn")]
    assert names(3) == [("one", "horn_cnn"), ("one", "cnn"), ("one", "dense")]
    # the fourth distinct cell is the cnn of both sweeps
    assert sorted(names(4)) == sorted([*names(3), ("one", "cnn"), ("two", "cnn")])
    assert len({m.cell.name for m in select(grid, limit=100)}) == len(grid.cells)
