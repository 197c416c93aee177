"""Readable labels: the arm and what varies within it, unique within a sweep."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornlib.grid.cell import Selection
from hornlib.grid.labels import labels_of


def sweep(*entries, data="{name: digits}"):
    lines = "\n".join(f"      - {entry}" for entry in entries)
    return f"sweeps:\n  one:\n    data: {data}\n    model:\n{lines}\n"


@pytest.mark.parametrize(
    ("entries", "labels"),
    [
        pytest.param(["{name: cnn}"], ["cnn"], id="nothing varies"),
        pytest.param(["{name: cnn, arm: plain}"], ["plain"], id="the label of the arm"),
        pytest.param(
            ["{name: horn_cnn, arm: horn, num_nodes: [4, 8], training: {learning_rate: [1e-2, 3e-3]}}"],
            [
                "horn (num_nodes 4, learning_rate 0.01)",
                "horn (num_nodes 4, learning_rate 0.003)",
                "horn (num_nodes 8, learning_rate 0.01)",
                "horn (num_nodes 8, learning_rate 0.003)",
            ],
            id="two axes",
        ),
        pytest.param(
            ["{name: horn_cnn, num_nodes: 4, timesteps: [4, 8]}", "{name: cnn}"],
            ["horn_cnn (timesteps 4)", "horn_cnn (timesteps 8)", "cnn"],
            id="what differs between arms only is left out",
        ),
        pytest.param(
            ["{name: mlp, hidden_nodes: [8-8, 16]}"],
            ["mlp (hidden_nodes 8-8)", "mlp (hidden_nodes 16)"],
            id="widths",
        ),
        pytest.param(
            ["{name: [cnn, mlp], arm: both}"],
            ["both (model cnn)", "both (model mlp)"],
            id="the model, where one arm has several",
        ),
    ],
)
def test_a_label_has_the_arm_and_the_values_that_vary_within_it(grid_from, entries, labels):
    assert list(labels_of(grid_from(sweep(*entries)), "one").values()) == labels


def test_the_dataset_is_part_of_a_label_where_a_sweep_has_several(grid_from):
    grid = grid_from(sweep("{name: cnn}", data="{name: [digits, mnist]}"))
    assert list(labels_of(grid, "one").values()) == ["cnn (dataset digits)", "cnn (dataset mnist)"]


def test_the_cells_of_a_tuned_arm_are_told_apart_by_the_objective_and_not_by_the_choice(tuned_grid):
    grid = tuned_grid()
    labels = labels_of(grid, "tuned")
    assert list(labels.values()) == [
        "horn (not tuned)",
        "horn (tuned for time_to_target)",
        "horn (tuned for final_metric)",
        "cnn (not tuned)",
        "cnn (tuned for time_to_target)",
        "cnn (tuned for final_metric)",
    ]
    chosen = {
        name: cell.resolved(Selection(0, {"training.learning_rate": 0.002 + 0.001 * number}))
        for number, (name, cell) in enumerate(grid.cells.items())
        if cell.tuned
    }
    chosen = {**grid.cells, **chosen}
    assert labels_of(replace(grid, cells=chosen), "tuned") == labels


@pytest.mark.parametrize("rates", ["[0.001, 0.0010000001]", "[1e-3, 0.0010000000000000002]"])
def test_values_that_differ_in_late_digits_have_different_labels(grid_from, rates):
    grid = grid_from(sweep(f"{{name: cnn, training: {{learning_rate: {rates}}}}}"))
    assert len(set(labels_of(grid, "one").values())) == 2


def test_an_arm_that_is_called_like_the_label_of_another_cell_gets_a_label_of_its_own(grid_from):
    grid = grid_from(
        sweep("{name: cnn, arm: a, channels: [4, 8]}", '{name: cnn, arm: "a (channels 4)", channels: 16}')
    )
    labels = labels_of(grid, "one")
    assert len(set(labels.values())) == 3
    assert [label for label in labels.values() if label == "a (channels 8)"] == ["a (channels 8)"]


@given(
    st.lists(st.integers(1, 64), min_size=1, max_size=3, unique=True),
    st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=3, unique=True),
)
def test_every_cell_of_a_sweep_has_its_own_label(tmp_path_factory, widths, rates):
    from hornlib.grid import read_grid

    path = tmp_path_factory.mktemp("labels") / "config.yaml"
    entry = f"{{name: cnn, channels: {widths}, training: {{learning_rate: {rates!r}}}}}"
    path.write_text(sweep(entry), encoding="utf-8")
    grid = read_grid([path])
    labels = labels_of(grid, "one")
    assert list(labels) == list(grid.cells)
    assert len(set(labels.values())) == len(widths) * len(rates)
