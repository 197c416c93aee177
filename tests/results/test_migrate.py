"""Migration: files follow their cell's name, never onto another file, and lose no number on the way."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import hornlib.grid.cell
from hornlib.errors import ResultsError
from hornlib.grid.jobs import parse_run_name, weights_path
from hornlib.models import MODELS
from hornlib.results import run_file
from hornlib.results.dynamics_file import (
    DYNAMICS_FILE,
    DYNAMICS_VARIABLES,
    DynamicsRecord,
    LayerRecord,
    open_dynamics,
    read_dynamics_file,
    sizes_of,
    write_dynamics_file,
)
from hornlib.results.gather import gather
from hornlib.results.migrate import MIGRATIONS, migrate
from hornlib.results.run_file import read_contents, read_run_file, write_contents
from hornlib.results.seal import seal


@pytest.fixture
def enter(monkeypatch):
    """A function that puts another class into the table of models, as a later version of hornlib would."""

    def put(model):
        hornlib.grid.cell._validated.cache_clear()  # a table does not change within a process
        monkeypatch.setitem(MODELS, "toy", model)

    yield put
    hornlib.grid.cell._validated.cache_clear()


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


def write_probed(run, cell, seed=0):
    """Write the dynamics file of a run file; return its path."""
    seeds = list(parse_run_name(run.name).range.seeds())
    layers = [LayerRecord("hidden_1", "feed_forward", ("output",), 1, (3,))]
    sizes = sizes_of(len(seeds), 2, layers, 0)
    draw = np.random.default_rng(seed)
    numbers = {
        name: draw.normal(size=[sizes[dim] for dim in probed.dims]).astype(np.float32)
        for name, probed in DYNAMICS_VARIABLES.items()
        if set(probed.dims) <= set(sizes)
    }
    path = run.parent.parent / "dynamics" / run.name
    write_dynamics_file(path, cell, DynamicsRecord(seeds, [0, 9], layers, 0, numbers, {"threads": 1}))
    return path


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
    present = run_file.RUN_FILE.schema_version
    monkeypatch.setattr(run_file, "RUN_FILE", run_file.RUN_FILE._replace(schema_version=present + 1))
    with pytest.raises(
        run_file.ResultsError,
        match=f"schema version {present}, this hornlib reads {present + 1}. Run `hornlib migrate`",
    ):
        read_run_file(path)
    refused = migrate(tmp_path, report=silent)
    assert (
        refused[0].action == "refused"
        and f"no way from schema version {present} to {present + 1}" in refused[0].reason
    )

    def widened(contents):
        model = {
            **contents.specification["model"],
            "num_nodes": 2 * contents.specification["model"]["num_nodes"],
        }
        return contents._replace(specification={**contents.specification, "model": model})

    monkeypatch.setitem(MIGRATIONS, present, widened)
    assert [outcome.action for outcome in migrate(tmp_path, report=silent)] == ["renamed"]
    now = cell(tables(num_nodes=8))
    run = read_run_file(tmp_path / "runs" / f"{now.name}.seeds-0-4.nc", now)
    np.testing.assert_array_equal(run.variables["test_loss"], stored.variables["test_loss"])
    assert [outcome.action for outcome in migrate(tmp_path, report=silent)] == ["unchanged"]


@pytest.mark.parametrize("average", [None, "recent", "exponential"])
def test_runs_of_version_1_keep_the_statistics_they_were_evaluated_with(
    tables, cell, write_run, tmp_path, monkeypatch, average
):
    path = write_run(cell(), 0, 4)
    stored = read_contents(path)
    training = {
        key: value
        for key, value in stored.specification["training"].items()
        if key not in ("batch_norm_statistics", "precise_examples")
    }
    training |= {} if average is None else {"running_average": average}
    old = stored._replace(specification={**stored.specification, "training": training})
    present = run_file.RUN_FILE.schema_version
    monkeypatch.setattr(run_file, "RUN_FILE", run_file.RUN_FILE._replace(schema_version=1))
    path.unlink()
    write_contents(path, parse_run_name(path.name), old)
    monkeypatch.setattr(run_file, "RUN_FILE", run_file.RUN_FILE._replace(schema_version=present))
    path.write_bytes(path.read_bytes()[: -len("\nhornlib sha256 \n") - 64])  # as hornlib 0.1 wrote it
    (outcome,) = migrate(tmp_path, report=silent)
    assert outcome.action == "refused" and f"`hornlib seal {path}`" in outcome.reason
    seal(path)
    assert [outcome.action for outcome in migrate(tmp_path, report=silent)] == ["renamed"]
    (new,) = (tmp_path / "runs").iterdir()
    assert read_run_file(new).specification["training"]["batch_norm_statistics"] == (average or "recent")


def test_runs_without_batch_norm_keep_their_name(tables, cell, write_run, tmp_path, monkeypatch):
    model = with_default(tables, readout_norm="none")
    monkeypatch.setitem(MODELS, "toy", model)
    hornlib.grid.cell._validated.cache_clear()
    path = write_run(cell(model()), 0, 4)
    stored = read_contents(path)
    training = {
        key: value
        for key, value in stored.specification["training"].items()
        if key not in ("batch_norm_statistics", "precise_examples")
    }
    old = stored._replace(
        specification={**stored.specification, "training": {**training, "running_average": "recent"}}
    )
    present = run_file.RUN_FILE.schema_version
    monkeypatch.setattr(run_file, "RUN_FILE", run_file.RUN_FILE._replace(schema_version=1))
    path.unlink()
    write_contents(path, parse_run_name(path.name), old)
    monkeypatch.setattr(run_file, "RUN_FILE", run_file.RUN_FILE._replace(schema_version=present))
    assert [outcome.action for outcome in migrate(tmp_path, report=silent)] == ["rewritten"]
    assert path.exists()


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
    monkeypatch.setattr(run_file, "RUN_FILE", run_file.RUN_FILE._replace(schema_version=0))
    told = []
    outcomes = migrate(tmp_path, report=told.append)
    assert [outcome.action for outcome in outcomes] == ["refused"] * 3
    text = "\n".join(told)
    assert (
        "use the hornlib that wrote it" in text and "damaged" in text and "not the name of a run file" in text
    )


def test_a_specification_that_is_no_longer_understood_is_refused(
    tables, enter, cell, write_run, tmp_path, monkeypatch
):
    write_run(cell(), 0, 4)
    enter(tables)
    monkeypatch.delitem(MODELS, "toy")
    (outcome,) = migrate(tmp_path, report=silent)
    assert outcome.action == "refused" and "unknown model 'toy'" in outcome.reason


def test_dynamics_files_move_with_their_runs_into_names_that_others_leave(
    tables, enter, cell, write_run, tmp_path
):
    eight, sixteen = cell(tables(num_nodes=8)), cell(tables(num_nodes=16))
    states = {}
    for seed, own in enumerate((eight, sixteen)):
        path = write_probed(write_run(own, 0, 4), own, seed)
        states[own.model.num_nodes] = read_dynamics_file(path)["state_rms"].values
    later = with_default(tables, num_nodes=16)
    enter(later)
    now = {nodes: cell(later(num_nodes=nodes)) for nodes in (8, 16)}
    dry = migrate(tmp_path, dry_run=True, report=silent)
    assert migrate(tmp_path, report=silent) == dry
    folder = tmp_path / "dynamics"
    assert {path.name for path in folder.iterdir()} == {path.name for path in (tmp_path / "runs").iterdir()}
    for nodes, own in now.items():
        path = folder / f"{own.name}.seeds-0-4.nc"
        np.testing.assert_array_equal(read_dynamics_file(path)["state_rms"].values, states[nodes])
        assert read_contents(path, DYNAMICS_FILE).specification == own.specification()
    assert set(open_dynamics(folder)["cell"].values) == {own.name for own in now.values()}


def test_a_rewritten_run_tells_its_dynamics_file_the_new_field_too(tables, enter, cell, write_run, tmp_path):
    own = cell(tables(num_nodes=4))
    path = write_probed(write_run(own, 0, 4), own)
    before = read_dynamics_file(path)
    later = with_default(tables, leakage=0.0)
    enter(later)
    migrate(tmp_path, report=silent)
    assert read_contents(path, DYNAMICS_FILE).specification["model"]["leakage"] == 0.0
    assert read_dynamics_file(path).equals(before)


def test_weights_move_with_their_runs_and_never_onto_those_of_another_run(
    tables, enter, cell, write_run, tmp_path
):
    path = write_run(cell(tables(num_nodes=8)), 0, 4)
    weights = weights_path(path)
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    enter(with_default(tables, num_nodes=16))
    (outcome,) = migrate(tmp_path, report=silent, dry_run=True)
    target = weights_path(path.with_name(outcome.reason))
    assert outcome.action == "renamed" and weights.exists()
    target.write_bytes(b"of another run")
    (outcome,) = migrate(tmp_path, report=silent)
    assert outcome.action == "refused" and f"{target} exists already" in outcome.reason
    assert (weights.read_bytes(), target.read_bytes()) == (b"weights", b"of another run")
    target.unlink()
    assert [outcome.action for outcome in migrate(tmp_path, report=silent)] == ["renamed"]
    assert target.read_bytes() == b"weights" and not weights.exists()


@pytest.mark.parametrize("killed_at", ["new run", "old dynamics", "old run"])
def test_after_a_kill_at_any_file_the_next_call_moves_the_rest(
    tables, enter, cell, write_run, tmp_path, monkeypatch, killed_at
):
    own = cell(tables(num_nodes=8))
    run = write_run(own, 0, 4)
    write_probed(run, own)
    enter(with_default(tables, num_nodes=16))

    def killed(*given, **how):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        if killed_at == "new run":
            patched.setattr("hornlib.results.migrate.write_contents", killed)
        else:
            unlink, folder = Path.unlink, {"old dynamics": "dynamics", "old run": "runs"}[killed_at]

            def unlinked(path, **how):
                if path.name == run.name and path.parent.name == folder:
                    raise KeyboardInterrupt
                return unlink(path, **how)

            patched.setattr(Path, "unlink", unlinked)
        with pytest.raises(KeyboardInterrupt):
            migrate(tmp_path, report=silent)
    migrate(tmp_path, report=silent)
    (moved,) = (tmp_path / "runs").iterdir()
    assert moved.name != run.name
    assert [path.name for path in (tmp_path / "dynamics").iterdir()] == [moved.name]
    assert read_dynamics_file(tmp_path / "dynamics" / moved.name).attrs["cell"] in moved.name
    assert {outcome.action for outcome in migrate(tmp_path, report=silent)} == {"unchanged"}


def test_a_dynamics_file_without_a_run_is_not_overwritten_and_a_damaged_one_is_told(
    tables, enter, cell, write_run, tmp_path
):
    own = cell(tables(num_nodes=8))
    run = write_run(own, 0, 4)
    probed = write_probed(run, own)
    later = with_default(tables, num_nodes=16)
    enter(later)
    target = cell(later(num_nodes=8))
    orphan = write_probed(run.with_name(f"{target.name}.seeds-0-4.nc"), target, seed=5)
    image = orphan.read_bytes()
    (outcome,) = migrate(tmp_path, report=silent)
    assert outcome.action == "refused" and orphan.name in outcome.reason
    assert run.exists() and orphan.read_bytes() == image
    orphan.unlink()
    probed.write_bytes(probed.read_bytes()[:2000])
    (outcome,) = migrate(tmp_path, report=silent)
    assert outcome.action == "refused" and f"{probed}: damaged" in outcome.reason
    with pytest.raises(ResultsError):
        read_dynamics_file(probed)
