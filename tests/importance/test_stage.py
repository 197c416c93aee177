"""The stage after training: files of jobs from kept weights alone, one file for all cells, and what is refused."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from hornlib.data.loading import load
from hornlib.errors import ConfigError, ResultsError
from hornlib.grid import read_grid
from hornlib.grid.cell import parse_specification
from hornlib.grid.jobs import Range, scan_runs, weights_path
from hornlib.importance.ablation.by_vmap import by_vmap
from hornlib.importance.gathering import gathered_importance
from hornlib.importance.networks import SPLITS, example_sets, trained_network
from hornlib.importance.proxies import PROXIES
from hornlib.importance.stage import importance_path, measure_grid, measure_job
from hornlib.importance.variables import CONNECTION_VARIABLES, COORDINATES, STATISTICS
from hornlib.parameters.importance import ImportanceSettings
from hornlib.results.analysis_files import IMPORTANCE_FILE
from hornlib.results.coordinates import all_classes, coordinates_of
from hornlib.results.importance_file import importance_sweeps, open_importance
from hornlib.results.netcdf import load_dataset, write_dataset
from hornlib.results.variables import CELL_PROPERTIES
from hornlib.training import kept_weights
from hornlib.training.job import TrainOptions
from hornlib.training.train import train_job

CONFIGURATION = """
results: {results}
seeds: 2
probes: off
keep_weights: last
importance: {{examples: 40, random_sets: 3}}
defaults:
  data: {{name: digits, train_subset: 100}}
  training: {{steps: 30, batch_size: 25}}
sweeps:
  perceptrons:
    model:
      - {{name: mlp, hidden_nodes: 6, normalisation: [none, batch], structure: {{name: sparse_training, density: 0.3}}}}
  others:
    seeds: [1, 2]
    model:
      - {{name: cnn, channels: 2-3}}
      - {{name: rnn, unit: lstm, num_nodes: 3, data: {{presentation: rows}}}}
"""
SETTINGS = ImportanceSettings(examples=40, random_sets=3)


@pytest.fixture(scope="module")
def trained_sweep(tmp_path_factory):
    """A grid whose runs are trained, with their weights, and whose importance is measured."""
    folder = tmp_path_factory.mktemp("importance")
    file = folder / "config.yaml"
    file.write_text(CONFIGURATION.format(results=folder / "results"))
    grid = read_grid([file])
    for job in grid.jobs({}):
        options = TrainOptions(2, 1, "cpu", folder / "checkpoints", 60.0, keep_weights="last")
        train_job(grid.cells[job.cell], job.range, grid.run_path(job), options)
    measure_grid(grid)
    return grid


def first_run(grid):
    return grid.run_path(grid.jobs(scan_runs(grid.settings.results))[0])


def test_a_file_holds_everything_that_its_table_declares_with_units(trained_sweep):
    ds = xr.open_dataset(importance_path(first_run(trained_sweep)))
    for name, variable in {**STATISTICS, **CONNECTION_VARIABLES}.items():
        assert ds[name].dims == variable.dims
        assert ds[name].attrs["units"] == variable.units and ds[name].attrs["long_name"]
    assert ds.sizes["seed"] == 2 and list(ds["proxy"].values) == list(PROXIES)
    assert list(ds["weight_name"].values) == ["linears.0.weight", "readout.linear.weight"]
    assert json.loads(ds.attrs["settings"])["examples"] == 40 and ds.attrs["schema_version"] == 1


def test_stored_changes_are_those_of_the_kept_network(trained_sweep):
    run_file = first_run(trained_sweep)
    kept = kept_weights.read_weights_file(weights_path(run_file))
    trained = trained_network(kept.runs[1], kept.cell)
    sets = example_sets(load(kept.cell.data, "cpu"), 40)
    assert len(sets["training"].targets) == len(sets["held_out"].targets) == 40
    ds = xr.open_dataset(importance_path(run_file)).isel(seed=1)
    for i, split in enumerate(SPLITS):
        expected = by_vmap(trained.network, sets[split], trained.loss, trained.connections)
        start = 0
        for layer, (name, changes) in enumerate(expected.items()):
            here = slice(start, start + len(changes))
            start = here.stop
            assert (ds["connection_layer"][here] == layer).all()
            assert (ds["connection_place"][here] == trained.connections[name].numpy()).all()
            np.testing.assert_allclose(ds["connection_change"][i, here], changes, atol=1e-6)
            np.testing.assert_allclose(ds["connection_value"][here], trained.values(name))
        assert (ds["connection_layer"][start:] == -1).all()


def test_the_loss_of_the_whole_network_is_that_of_its_last_evaluation(trained_sweep):
    run_file = first_run(trained_sweep)
    kept = kept_weights.read_weights_file(weights_path(run_file))
    data = load(kept.cell.data, "cpu")
    ds = xr.open_dataset(
        measure_job(run_file, ImportanceSettings(examples=2000, random_sets=2), run_file.with_suffix(".all"))
    )
    run_file.with_suffix(".all").unlink()
    recorded = xr.open_dataset(run_file)
    np.testing.assert_allclose(
        ds["whole_loss"].sel(split="held_out"), recorded["test_loss"].values[:, -1], rtol=1e-5
    )
    assert len(data.test.targets) == 360


def test_one_file_has_all_cells_with_the_parameters_that_differ(trained_sweep):
    path = Path(trained_sweep.settings.results, "importance.nc")
    ds = open_importance(path)
    assert ds.sizes["cell"] == 4 and importance_sweeps(ds) == ["perceptrons", "others"]
    assert list(ds["model"].values) == ["mlp", "mlp", "cnn", "rnn"]
    assert list(ds["normalisation"].values) == ["none", "batch", "batch", ""]
    assert np.isnan(ds["num_nodes"].values[:3]).all() and ds["num_nodes"].values[3] == 3
    assert "connection_change" not in ds and ds["spearman"].dtype == np.float32
    assert str(ds["weight_names"].values[3]).split()[0] == "layers.0.weight_ih"
    part = open_importance(path, "others")
    assert list(part["seed"].values) == [1, 2] and list(part["arm"].values) == ["cnn", "rnn"]
    alone = xr.open_dataset(importance_path(first_run(trained_sweep)))
    both = open_importance(path, "perceptrons").isel(cell=0)
    np.testing.assert_allclose(
        both["pooled_spearman"], alone["pooled_spearman"].astype(np.float32), equal_nan=True
    )
    assert np.isnan(both["spearman"].isel(layer=2)).all()  # the rnn has three weights
    with pytest.raises(ResultsError, match=r"no sweep 'other' \(did you mean 'others'\?\)"):
        open_importance(path, "other")


def test_another_setting_measures_anew_and_the_same_one_measures_nothing(trained_sweep, capsys):
    paths = [importance_path(trained_sweep.run_path(job)) for job in trained_sweep.jobs({})]
    before = [path.stat().st_mtime_ns for path in paths]
    measure_grid(trained_sweep)
    assert [path.stat().st_mtime_ns for path in paths] == before and not capsys.readouterr().err
    settings = trained_sweep.settings.model_copy(update={"importance": ImportanceSettings(examples=30)})
    measure_grid(dataclasses.replace(trained_sweep, settings=settings))
    after = [path.stat().st_mtime_ns for path in paths]
    assert all(new > old for new, old in zip(after, before, strict=True))
    measure_grid(trained_sweep)  # as it was


def test_a_file_that_lacks_a_statistic_is_measured_anew(trained_sweep):
    path = importance_path(first_run(trained_sweep))
    older = load_dataset(path, IMPORTANCE_FILE).drop_vars("dropped_rank")
    write_dataset(path, IMPORTANCE_FILE, older)
    measure_grid(trained_sweep)
    ranks = xr.open_dataset(path)["dropped_rank"]
    assert ((ranks > 0) & (ranks < 1)).all()


def test_a_partial_grid_leaves_out_jobs_without_weights(trained_sweep, tmp_path):
    missing = weights_path(first_run(trained_sweep))
    elsewhere = missing.rename(tmp_path / missing.name)
    try:
        path = measure_grid(trained_sweep, partial=True).gathered
        assert path.name == "importance_partial.nc" and open_importance(path).sizes["cell"] == 3
        importance_path(first_run(trained_sweep)).unlink()
        with pytest.raises(ResultsError, match=r"there are no weights of these runs.*keep_weights: last"):
            measure_grid(trained_sweep)
    finally:
        elsewhere.rename(missing)
    measure_grid(trained_sweep)


@pytest.fixture
def diverged_job(trained_sweep, tmp_path):
    """The grid after all runs of its first job diverged: the weights file has no runs."""
    run_file = first_run(trained_sweep)
    weights, seeds = weights_path(run_file), trained_sweep.jobs({})[0].range
    before, kept = weights.read_bytes(), kept_weights.read_weights_file(weights)
    kept_weights.write_weights(weights, kept.cell, seeds, kept.data_digest, [])
    yield trained_sweep
    weights.write_bytes(before)
    measure_grid(trained_sweep)


def test_a_job_whose_runs_all_diverged_has_a_file_without_seeds(diverged_job):
    path = measure_job(first_run(diverged_job), SETTINGS)
    ds = load_dataset(path, IMPORTANCE_FILE)
    for name, variable in {**STATISTICS, **CONNECTION_VARIABLES}.items():
        assert ds[name].dims == variable.dims
    assert ds.sizes["seed"] == ds.sizes["connection"] == 0 and list(ds["proxy"].values) == list(PROXIES)
    assert list(ds["weight_name"].values) == ["linears.0.weight", "readout.linear.weight"]


def test_a_cell_whose_runs_all_diverged_is_gathered_as_nan(diverged_job, capsys):
    ds = open_importance(measure_grid(diverged_job).gathered)
    assert ds.sizes["cell"] == 4 and list(ds["seed"].values) == [0, 1, 2]
    assert ds["whole_loss"].notnull().any(["seed", "split"]).values.tolist() == [False, True, True, True]
    assert str(ds["weight_names"].values[0]) == "linears.0.weight readout.linear.weight"
    capsys.readouterr()
    measure_grid(diverged_job)
    assert not capsys.readouterr().err  # the file without seeds is current
    job = diverged_job.jobs({})[0]
    alone = gathered_importance(diverged_job, {job.cell: [importance_path(diverged_job.run_path(job))]})
    assert alone.sizes["cell"] == 1 and alone.sizes["seed"] == 0


def test_weights_of_other_examples_are_refused(trained_sweep, monkeypatch):
    from hornlib.importance import job

    splits = load(trained_sweep.cells[trained_sweep.jobs({})[0].cell].data, "cpu")
    monkeypatch.setattr(job, "load_with_digest", lambda data, device: (splits, "another"))
    with pytest.raises(ResultsError, match="trained on other examples of digits"):
        measure_job(first_run(trained_sweep), SETTINGS)


def test_a_grid_without_importance_is_refused_with_what_to_write(grid_from):
    grid = grid_from("sweeps: {small: {data: {name: digits}, model: {name: mlp}}}")
    with pytest.raises(ConfigError, match=r"Write `keep_weights: last` and `importance: \{\}`"):
        measure_grid(grid)


def test_cells_of_different_seeds_stand_side_by_side(trained_sweep):
    files = {job.cell: [importance_path(trained_sweep.run_path(job))] for job in trained_sweep.jobs({})}
    ds = gathered_importance(trained_sweep, files)
    assert list(ds["seed"].values) == [0, 1, 2]
    known = ds["whole_loss"].notnull().all("split").transpose("cell", "seed").values
    assert known.tolist() == [[True, True, False]] * 2 + [[False, True, True]] * 2


def test_no_name_in_the_file_is_that_of_a_parameter():
    taken = {name for name in coordinates_of(all_classes())} | set(CELL_PROPERTIES)
    names = {*STATISTICS, *CONNECTION_VARIABLES, *COORDINATES, "weight_name", "weight_names"}
    assert not names & taken


def test_connections_that_are_stored_alone_are_judged_like_masked_ones(tmp_path):
    cell = parse_specification(
        {
            "data": {"name": "digits", "train_subset": 100},
            "model": {"name": "mlp", "hidden_nodes": "6", "readout_norm": "none"},
            "structure": {"name": "sparse_training", "density": 0.3, "storage": "compressed"},
            "training": {"steps": 20, "batch_size": 25},
        }
    )
    run_file = tmp_path / "runs" / f"{cell.name}.seeds-0-0.nc"
    options = TrainOptions(1, 1, "cpu", tmp_path / "checkpoints", 60.0, keep_weights="last")
    train_job(cell, Range(0, 0), run_file, options)
    ds = xr.open_dataset(measure_job(run_file, ImportanceSettings(examples=2000, random_sets=2)))
    wanted = cell.structure.connections(cell.model, cell.task())
    assert ds["num_connections"].values[0].tolist() == list(wanted.values())
    assert (ds["connection_value"] != 0).all()
    recorded = xr.open_dataset(run_file)["test_loss"].values[0, -1]
    assert ds["whole_loss"].sel(split="held_out").item() == pytest.approx(recorded, rel=1e-5)
