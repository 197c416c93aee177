"""Migration: files follow their cell's name, never onto another file, and lose no number on the way."""

from typing import Literal

import numpy as np
import pytest

import hornlib.cell
from hornlib.models import MODELS
from hornlib.results import run_file
from hornlib.results.gather import gather
from hornlib.results.migrate import MIGRATIONS, migrate
from hornlib.results.run_file import read_contents, read_run_file


@pytest.fixture
def enter(monkeypatch):
    """A function that puts another class into the table of models, as a later version of hornlib would."""

    def put(model):
        hornlib.cell._validated.cache_clear()  # a table does not change within a process
        monkeypatch.setitem(MODELS, "toy", model)

    yield put
    hornlib.cell._validated.cache_clear()


@pytest.fixture
def tables(enter, models):
    """The first of the two models, in the table of models."""
    enter(models[0])
    return models[0]


def with_default(model, **defaults):
    """Return the model with other defaults, or new fields, as a later version would have them."""
    annotations = {name: type(value) for name, value in defaults.items()}
    annotations["name"] = Literal["toy"]
    return type("Later", (model,), {"__annotations__": annotations, "name": "toy", **defaults})


def silent(line):
    """Report nothing."""


def test_nothing_changes_where_nothing_has_changed(tables, cell, write_run, tmp_path):
    path = write_run(cell(), 0, 4)
    before = path.read_bytes()
    told = []
    assert [outcome.action for outcome in migrate(tmp_path, report=told.append)] == ["unchanged"]
    assert path.read_bytes() == before and told == ["1 run file(s), 1 as they should be"]


def test_after_a_changed_default_files_move_to_the_names_that_say_what_they_are(
    tables, enter, cell, write_run, tmp_path, monkeypatch, grid
):
    """The cell with the old default gets a new name, and its old name goes to the cell of the new default."""
    eight, sixteen = cell(tables(num_nodes=8)), cell(tables(num_nodes=16))
    paths = {own.name: write_run(own, 0, 4) for own in (eight, sixteen)}
    curves = {nodes: read_run_file(paths[own.name]).variables for nodes, own in ((8, eight), (16, sixteen))}
    later = with_default(tables, num_nodes=16)
    enter(later)
    now = {nodes: cell(later(num_nodes=nodes)) for nodes in (8, 16)}
    assert now[16].name == eight.name, "the default has no part in a name: the trap that migrate is for"

    dry = migrate(tmp_path, dry_run=True, report=silent)
    assert {outcome.action for outcome in dry} == {"renamed"}
    assert sorted((tmp_path / "runs").iterdir()) == sorted(paths.values())
    wet = migrate(tmp_path, report=silent)
    assert wet == dry
    for nodes, own in now.items():
        path = tmp_path / "runs" / f"{own.name}.seeds-0-4.nc"
        run = read_run_file(path, own)
        for name, values in curves[nodes].items():
            np.testing.assert_array_equal(run.variables[name], values)
    assert len(list((tmp_path / "runs").iterdir())) == 2
    gather(grid({"s": ({"toy": list(now.values())}, range(5))})).close()
    assert {outcome.action for outcome in migrate(tmp_path, report=silent)} == {"unchanged"}


def test_a_new_field_is_written_into_the_old_file(tables, enter, cell, write_run, tmp_path, monkeypatch):
    path = write_run(cell(tables(num_nodes=4)), 0, 4)
    later = with_default(tables, leakage=0.0)
    enter(later)
    now = cell(later(num_nodes=4))
    assert now.name in path.name
    with pytest.raises(
        run_file.ResultsError, match=r"model.leakage: asked 0.0, stored nothing.*hornlib migrate"
    ):
        read_run_file(path, now)
    assert [outcome.action for outcome in migrate(tmp_path, report=silent)] == ["rewritten"]
    assert read_run_file(path, now).specification == now.specification()


def test_a_renamed_field_takes_a_migration(tables, cell, write_run, tmp_path, monkeypatch):
    path = write_run(cell(tables(num_nodes=4)), 0, 4)
    stored = read_contents(path)
    monkeypatch.setattr(run_file, "SCHEMA_VERSION", 2)
    with pytest.raises(
        run_file.ResultsError, match="schema version 1, this hornlib reads 2; run `hornlib migrate`"
    ):
        read_run_file(path)
    refused = migrate(tmp_path, report=silent)
    assert refused[0].action == "refused" and "no way from schema version 1 to 2" in refused[0].reason

    def widened(contents):
        model = {
            **contents.specification["model"],
            "num_nodes": 2 * contents.specification["model"]["num_nodes"],
        }
        return contents._replace(specification={**contents.specification, "model": model})

    monkeypatch.setitem(MIGRATIONS, 1, widened)
    assert [outcome.action for outcome in migrate(tmp_path, report=silent)] == ["renamed"]
    now = cell(tables(num_nodes=8))
    run = read_run_file(tmp_path / "runs" / f"{now.name}.seeds-0-4.nc", now)
    np.testing.assert_array_equal(run.variables["test_loss"], stored.variables["test_loss"])
    assert [outcome.action for outcome in migrate(tmp_path, report=silent)] == ["unchanged"]


def test_a_file_of_another_run_is_never_overwritten(
    tables, enter, cell, write_run, tmp_path, monkeypatch, record
):
    old = write_run(cell(tables(num_nodes=8)), 0, 4)
    later = with_default(tables, num_nodes=16)
    enter(later)
    there = write_run(
        cell(later(num_nodes=8)), 0, 4, record(cell(), range(5), random=np.random.default_rng(7))
    )
    before = old.read_bytes(), there.read_bytes()
    told = []
    outcomes = migrate(tmp_path, report=told.append)
    assert sorted(outcome.action for outcome in outcomes) == ["refused", "unchanged"]
    assert (old.read_bytes(), there.read_bytes()) == before
    assert any(old.name in line and there.name in line for line in told)


def test_after_a_kill_between_the_two_names_the_next_call_finishes(
    tables, enter, cell, write_run, tmp_path, monkeypatch
):
    old = write_run(cell(tables(num_nodes=8)), 0, 4)
    image = old.read_bytes()
    enter(with_default(tables, num_nodes=16))
    migrate(tmp_path, report=silent)
    (new,) = (tmp_path / "runs").iterdir()
    old.write_bytes(image)
    assert sorted(outcome.action for outcome in migrate(tmp_path, report=silent)) == ["renamed", "unchanged"]
    assert list((tmp_path / "runs").iterdir()) == [new]


def test_damaged_foreign_and_newer_files_are_left_and_told(tables, cell, write_run, tmp_path, monkeypatch):
    path = write_run(cell(), 0, 4)
    (path.parent / "notes.nc").write_bytes(b"no run")
    damaged = path.with_name(path.name.replace("0-4", "5-9"))
    damaged.write_bytes(path.read_bytes()[:3000])
    monkeypatch.setattr(run_file, "SCHEMA_VERSION", 0)
    told = []
    outcomes = migrate(tmp_path, report=told.append)
    assert [outcome.action for outcome in outcomes] == ["refused"] * 3
    text = "\n".join(told)
    assert "use the hornlib that wrote it" in text and "damaged" in text and "no run file's name" in text


def test_a_specification_that_is_no_longer_understood_is_refused(
    tables, enter, cell, write_run, tmp_path, monkeypatch
):
    write_run(cell(), 0, 4)
    enter(tables)
    monkeypatch.delitem(MODELS, "toy")
    (outcome,) = migrate(tmp_path, report=silent)
    assert outcome.action == "refused" and "unknown model 'toy'" in outcome.reason
