"""Cells: a specification goes round, and its name is a function of what differs from the defaults.

`python tests/grid/test_cell.py` writes the golden file anew, after a default was changed on purpose.
"""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornlib.data.parameters import DataParameters
from hornlib.errors import ConfigError
from hornlib.grid.cell import Cell, add_cell, make_cell, parse_specification
from hornlib.grid.jobs import Job, Range, parse_run_name
from hornlib.models import MODELS
from hornlib.parameters.training import TrainingParameters
from hornlib.structures import STRUCTURES

GOLDEN = Path(__file__).parent / "golden" / "cells.json"

SPECIFICATIONS = [
    {"data": {"name": "digits"}, "model": {"name": "cnn"}},
    {
        "data": {"name": "mnist", "presentation": "rows", "image_size": 14},
        "model": {"name": "horn", "num_nodes": 7, "heterogeneity": 0.5},
        "training": {"learning_rate": 1e-2, "evaluate_at_epochs": "1-2"},
    },
]


def pinned():
    """Return what the golden file pins: the defaults of every class, and the names of two cells."""
    classes = {"data": DataParameters, "training": TrainingParameters}
    classes |= {f"model {name}": members for name, members in MODELS.items()}
    classes |= {f"structure {name}": members for name, members in STRUCTURES.items()}
    return {
        "defaults": {owner: members._defaults() for owner, members in classes.items()},
        "names": [parse_specification(specification).name for specification in SPECIFICATIONS],
    }


def test_defaults_and_names_are_those_of_the_golden_file():
    """A default changed silently would leave old run files under names that now mean something else."""
    golden = json.loads(GOLDEN.read_text())
    found = pinned()
    for owner, defaults in golden["defaults"].items():
        assert found["defaults"].get(owner) == defaults, (
            f"{owner}: a default has changed, so its cells have other names now; if that is meant, say so in "
            "the CHANGELOG, and run `python tests/grid/test_cell.py`"
        )
    assert found["names"] == golden["names"]
    assert found["defaults"].keys() == golden["defaults"].keys(), "a new class: write the golden file anew"


specifications = st.fixed_dictionaries(
    {
        "data": st.fixed_dictionaries(
            {"name": st.sampled_from(["digits", "mnist"])},
            optional={"validation": st.floats(0, 0.5), "image_size": st.integers(8, 32)},
        ),
        "model": st.fixed_dictionaries(
            {"name": st.just("horn_cnn")},
            optional={
                "num_nodes": st.integers(1, 64),
                "timesteps": st.integers(1, 32),
                "heterogeneity": st.floats(0, 4),
                "readout": st.sampled_from(["mean", "last", "rms"]),
                "omega": st.none() | st.floats(1e-6, 1e6),
            },
        ),
    },
    optional={
        "training": st.fixed_dictionaries(
            {},
            optional={
                "learning_rate": st.floats(1e-12, 1e3),
                "epochs": st.integers(1, 10**9),
                "evaluate_at_epochs": st.none() | st.sampled_from([5, "5", "1-2-5"]),
            },
        )
    },
)


@given(specifications)
def test_full_and_changed_specifications_go_round_through_json(specification):
    cell = parse_specification(specification)
    for told in (cell.specification(), cell.changed(), cell.job_specification()):
        again = parse_specification(json.loads(json.dumps(told)))
        assert again.name == cell.name
        assert again.specification() == cell.specification()
        assert again.sections() == cell.sections()


@given(specifications)
def test_a_name_is_a_run_files_name_and_stays_in_its_folder(specification):
    name = parse_specification(specification).name
    job = Job(name, Range(0, 4))
    assert parse_run_name(job.file_name) == job
    assert Path("runs", job.file_name).resolve().parent == Path("runs").resolve()


@given(specifications, st.randoms())
def test_the_order_of_keys_does_not_matter(specification, random):
    def shuffled(mapping):
        items = [
            (key, shuffled(value) if isinstance(value, dict) else value) for key, value in mapping.items()
        ]
        random.shuffle(items)
        return dict(items)

    assert parse_specification(shuffled(specification)).name == parse_specification(specification).name


@given(specifications, specifications)
def test_cells_share_a_name_if_and_only_if_they_are_the_same(first, second):
    one, other = parse_specification(first), parse_specification(second)
    assert (one.name == other.name) == (one.specification() == other.specification())


def test_a_default_given_is_a_default_left_out():
    plain = parse_specification({"data": {"name": "digits"}, "model": {"name": "cnn"}})
    assert parse_specification(plain.specification()).name == plain.name
    assert plain.changed() == {
        "data": {"name": "digits"},
        "model": {"name": "cnn"},
        "structure": {"name": "static"},
        "training": {},
    }


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"learning_rate": 1e-3}, {"learning_rate": 0.001}),
        ({"weight_decay": 0.0}, {"weight_decay": -0.0}),
        ({"weight_decay": 1}, {"weight_decay": 1.0}),
        ({"evaluate_at_epochs": 5}, {"evaluate_at_epochs": "5"}),
    ],
)
def test_values_that_are_equal_make_one_name(first, second):
    names = {
        parse_specification({"data": {"name": "digits"}, "model": {"name": "cnn"}, "training": training}).name
        for training in (first, second)
    }
    assert len(names) == 1


def test_where_the_data_lie_reaches_the_job_but_not_the_name():
    data = {"name": "mnist", "root": "/scratch/data"}
    cell = parse_specification({"data": data, "model": {"name": "cnn"}})
    assert cell.name == parse_specification({"data": {"name": "mnist"}, "model": {"name": "cnn"}}).name
    assert parse_specification(cell.job_specification()).data.root == "/scratch/data"
    assert "root" not in cell.specification()["data"]


def test_a_name_begins_with_dataset_and_model_and_a_static_structure_is_not_named():
    cell = parse_specification({"data": {"name": "digits"}, "model": {"name": "horn_cnn"}})
    assert cell.name.rpartition("-")[0] == "digits-horn_cnn"


def test_adding_the_same_cell_again_changes_nothing_and_a_collision_is_refused():
    cell = parse_specification(SPECIFICATIONS[0])
    cells = {}
    add_cell(cells, cell)
    add_cell(cells, make_cell(cell.data, cell.model, cell.structure, cell.training))
    assert cells == {cell.name: cell}
    other = parse_specification(SPECIFICATIONS[1])
    impostor = Cell(other.data, other.model, other.structure, other.training, cell.name)
    with pytest.raises(ValueError, match=f"two cells share the name {cell.name}"):
        add_cell(cells, impostor)


@pytest.mark.parametrize(
    ("specification", "told"),
    [
        ([], "a specification has the sections data, model, structure, training; got []"),
        ({"datas": {}}, "a specification has the sections"),
        ({"data": 3}, "data: expected parameters, each one value, found 3"),
        ({"data": {"name": ["digits"]}}, "data: expected parameters, each one value"),
        (
            {"data": {"name": "digit"}},
            "data: unknown dataset 'digit' (did you mean 'digits'?); valid: digits",
        ),
        ({"data": {"name": "digits"}}, "model: a model needs a `name:`; valid: "),
        (
            {"data": {"name": "digits"}, "model": {"name": "cnn", "chanels": 3}},
            "model.chanels: unknown parameter",
        ),
        (
            {"data": {"name": "digits"}, "model": {"name": "horn", "num_nodes": True}},
            "model.num_nodes: got true",
        ),
        (
            {"data": {"name": "digits"}, "model": {"name": "cnn"}, "structure": {"name": "x"}},
            "structure: unknown",
        ),
        (
            {"data": {"name": "digits"}, "model": {"name": "cnn"}, "training": {"epochs": 0}},
            "training.epochs: got 0",
        ),
    ],
)
def test_a_specification_that_is_not_understood_is_refused(specification, told):
    with pytest.raises(ConfigError) as caught:
        parse_specification(specification)
    assert told in str(caught.value)


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(pinned(), indent=2) + "\n")
