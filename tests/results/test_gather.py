"""Gathering: results.nc holds what the run files hold, labelled, and refuses what it cannot vouch for."""

import json

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hornlib.errors import ResultsError
from hornlib.results.file_kind import SCHEMA_VERSION
from hornlib.results.gather import gather
from hornlib.results.opening import open_results, select_sweep
from hornlib.results.run_file import read_run_file
from hornlib.results.variables import CURVES

REQUIRED = [name for name, curve in CURVES.items() if not curve.optional]


@pytest.fixture
def gathered(grid, cell, models, write_run):
    """Two sweeps over three cells of two models and lengths, one run diverged; and the open dataset."""
    toy, rival = models
    cells = [cell(toy(num_nodes=4)), cell(toy(num_nodes=8), steps=20), cell(rival(), data="mnist")]
    made = grid(
        {"thesis": ({"toy": cells[:2], "cnn": cells[2:]}, range(3)), "small": ({"toy": cells[:1]}, range(2))}
    )
    paths = [write_run(own, 0, 2, diverged={1: 10} if own is cells[0] else None) for own in cells]
    with gather(made) as ds:
        yield cells, paths, ds


def test_every_curve_of_every_run_file_stands_at_its_cell_seeds_and_steps(gathered):
    cells, paths, ds = gathered
    assert ds.sizes == {"cell": 3, "seed": 3, "step": ds.sizes["step"]}
    assert ds.step.values.tolist() == sorted({*read_run_file(paths[0]).variables["step"], *[20, 40]})
    for cell, path in zip(cells, paths, strict=True):
        run = read_run_file(path)
        for name in REQUIRED:
            own = ds[name].sel(cell=cell.name, seed=run.variables["seed"])
            np.testing.assert_array_equal(own.sel(step=run.variables["step"]), run.variables[name])
            assert own.drop_sel(step=run.variables["step"]).isnull().all()
            np.testing.assert_array_equal(ds[f"final_{name}"].sel(cell=cell.name), run.variables[name][:, -1])
        np.testing.assert_array_equal(
            ds.samples.sel(cell=cell.name, step=run.variables["step"]), run.variables["samples"]
        )
    assert ds.status.sel(cell=cells[0].name).values.tolist() == ["complete", "diverged", "complete"]
    assert ds.diverged_at_step.sel(cell=cells[0].name, seed=1) == 10
    assert (ds.lanes == 3).all() and (ds.device == "cpu x86").all()


def test_parameters_are_coordinates_and_none_is_filled_with_what_is_derived(gathered):
    cells, _, ds = gathered
    assert ds.model.values.tolist() == ["toy", "toy", "rival"]
    assert ds.dataset.values.tolist() == ["digits", "digits", "mnist"]
    assert ds.structure.values.tolist() == ["static"] * 3
    assert ds.learning_rate.values.tolist() == [cells[0].training.learning_rate] * 3
    assert ds.channels.values.tolist() == ["", "", "8-16"]
    np.testing.assert_array_equal(ds.timesteps, [8, 8, np.nan])
    np.testing.assert_allclose(ds.omega, [np.pi / 4, np.pi / 4, np.nan])
    assert ds.forward_flops.values.tolist() == [2 * 4 * 64 + 4, 2 * 8 * 64 + 8, 2 * 8 * 784 + 8]
    assert ds.metric.values.tolist() == ["accuracy"] * 3
    assert ds.direction.values.tolist() == ["maximise"] * 3
    np.testing.assert_allclose(ds.chance_level, 0.1)
    assert ds.in_small.values.tolist() == [True, False, False]
    assert ds.arm_thesis.values.tolist() == ["toy", "toy", "cnn"]
    assert ds.arm_small.values.tolist() == ["toy", "", ""]


def test_everything_has_units_and_a_long_name_and_no_object_or_boolean_parameter(gathered):
    _, _, ds = gathered
    for name, variable in ds.variables.items():
        assert variable.attrs["units"] and variable.attrs["long_name"], name
        assert variable.dtype.kind in ("b" if name.startswith("in_") else "fiU"), name
        if variable.dims == ("cell",) and name not in ("cell", "samples"):
            assert name in ds.coords
            assert variable.dtype == np.float64 or variable.dtype.kind in "bU"
    assert (
        ds.attrs["hornlib_version"]
        and ds.attrs["hornlib_commit"]
        and ds.attrs["schema_version"] == SCHEMA_VERSION
    )
    assert ds.num_nodes.attrs["description"] == "Units of the recurrent layer; the width."


def test_every_run_says_which_software_trained_it_on_what(grid, cell, write_run, record):
    one, other = cell(), cell(steps=20)
    write_run(
        one, 0, 0, record(one, range(1), torch_version="2.9.0", threads=1, kernel="fused", cpu_model="EPYC")
    )
    resumed = {"hornlib_version": "1.1", "hornlib_versions_trained": "1.0 1.1", "torch_version": "2.10.0"}
    write_run(other, 0, 0, record(other, range(1), threads=8, device="cuda H200", **resumed))
    with gather(grid({"s": ({"a": [one], "b": [other]}, range(2))}), partial=True) as ds:
        for name, values in {
            "torch_version": [["2.9.0", ""], ["2.10.0", ""]],
            "hornlib_version": [["1.0", ""], ["1.0 1.1", ""]],
            "hornlib_commit": [["abc", ""], ["abc", ""]],
            "device": [["cpu x86", ""], ["cuda H200", ""]],
            "threads": [[1, np.nan], [8, np.nan]],
            "kernel": [["fused", ""], ["", ""]],  # an earlier hornlib recorded neither route nor CPU
            "cpu_model": [["EPYC", ""], ["", ""]],
        }.items():
            np.testing.assert_array_equal(ds[name].values, values)
            assert ds[name].dims == ("cell", "seed") and ds[name].attrs["long_name"]


def test_every_cell_has_a_readable_label_of_its_first_sweep_and_of_every_sweep(gathered, tmp_path):
    _, _, ds = gathered
    labels = labels_of_sweeps(ds)
    assert labels["thesis"] == ["toy (num_nodes 4, steps 40)", "toy (num_nodes 8, steps 20)", "cnn"]
    assert labels["small"] == ["toy", "", ""]
    assert ds.label.values.tolist() == labels["thesis"]
    small = open_results(tmp_path / "results.nc", sweep="small")
    assert small.label.values.tolist() == ["toy"] and small.arm.values.tolist() == ["toy"]
    thesis = open_results(tmp_path / "results.nc", sweep="thesis")
    assert thesis.label.values.tolist() == labels["thesis"]
    assert not [name for name in thesis.coords if name.startswith(("in_", "arm_", "label_in_"))]
    assert select_sweep(ds.drop_vars(["label", "label_in_small"]), "small").arm.values.tolist() == ["toy"]


def labels_of_sweeps(ds):
    return {sweep: ds[f"label_in_{sweep}"].values.tolist() for sweep in ("thesis", "small")}


def test_a_parameter_called_label_smoothing_is_no_label_of_a_sweep(grid, cell, write_run):
    write_run(cell(), 0, 0)
    ds = gather(grid({"smoothing": ({"toy": [cell()]}, range(1))}))
    assert ds.label_smoothing.values.tolist() == [0.0] and ds.label_in_smoothing.values.tolist() == ["toy"]


def test_plain_xarray_is_enough(gathered):
    cells, _, ds = gathered
    assert ds.query(cell="in_thesis and dataset == 'mnist'").cell.values.tolist() == [cells[2].name]
    assert ds.query(cell="timesteps == 8 and num_nodes > 4").cell.values.tolist() == [cells[1].name]
    assert ds.sel(step=10).validation_loss.dims == ("cell", "seed")
    by_width = ds.query(cell="model == 'toy'").swap_dims(cell="num_nodes")
    assert len(by_width.validation_metric.median("seed").plot.line(x="step", hue="num_nodes")) == 2


@given(data=st.data())
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_results_hold_every_number_of_random_grids(
    tmp_path_factory, data, grid, cell, models, write_run, record
):
    results = tmp_path_factory.mktemp("results")
    lengths = data.draw(st.lists(st.integers(1, 60), min_size=1, max_size=3, unique=True))
    cells = [cell(models[0](), steps=steps) for steps in lengths]
    wanted = data.draw(st.lists(st.integers(0, 30), min_size=1, max_size=5, unique=True))
    made = grid({"some": ({"toy": cells}, sorted(wanted))}, data.draw(st.integers(1, 4)), results)
    written = {}
    for job in made.jobs({}):
        own = made.cells[job.cell]
        written[job] = record(own, job.range.seeds())
        for curve in written[job].curves.values():
            curve[data.draw(st.integers(0, len(curve) - 1))] = data.draw(st.floats(width=64))
        write_run(own, *job.range, written[job], results)
    with gather(made) as ds:
        assert int(ds.training_loss.notnull().sum()) == sum(
            int(np.isfinite(run.curves["training_loss"]).sum() + np.isinf(run.curves["training_loss"]).sum())
            for run in written.values()
        )
        for job, run in written.items():
            for name, curve in run.curves.items():
                np.testing.assert_array_equal(
                    ds[name].sel(cell=job.cell, seed=run.seeds, step=run.steps), curve
                )


def test_a_missing_file_is_named_with_the_command_that_makes_it(grid, cell, write_run, tmp_path):
    cells = [cell(steps=steps) for steps in (10, 20)]
    made = grid({"s": ({"toy": cells}, range(2))})
    write_run(cells[0], 0, 1)
    with pytest.raises(ResultsError, match=rf"1 run file.*{cells[1].name}.seeds-0-1.nc.*snakemake --cores"):
        gather(made)
    assert not (tmp_path / "results.nc").exists()
    with gather(made, partial=True) as ds:
        assert ds.status.values.tolist() == [["complete"] * 2, ["missing"] * 2]
        assert ds.validation_loss.isel(cell=1).isnull().all()
    assert (tmp_path / "partial.nc").exists() and not (tmp_path / "results.nc").exists()


def test_all_bad_files_are_listed_at_once(grid, cell, write_run, capsys):
    cells = [cell(steps=steps) for steps in (10, 20, 30)]
    made = grid({"s": ({"toy": cells}, range(2))})
    truncated, stale, _ = [write_run(own, 0, 1) for own in cells]
    truncated.write_bytes(truncated.read_bytes()[:5000])
    other = cell(steps=21)
    stale.write_bytes(write_run(other, 0, 1).read_bytes())
    with pytest.raises(ResultsError) as caught:
        gather(made)
    assert truncated.name in str(caught.value) and stale.name in str(caught.value)
    with gather(made, partial=True) as ds:
        assert ds.status.isel(seed=0).values.tolist() == ["missing", "missing", "complete"]
    told = capsys.readouterr().err
    assert truncated.name in told and stale.name in told


def test_a_thousand_bad_files_give_a_short_message(grid, cell, write_run, monkeypatch):
    cells = [cell(steps=steps) for steps in (10, 20, 30)]
    for bad in cells:
        write_run(bad, 0, 1).write_bytes(b"bad")
    monkeypatch.setattr("hornlib.results.gather.MOST_PROBLEMS", 1)
    with pytest.raises(ResultsError) as caught:
        gather(grid({"s": ({"toy": cells}, range(2))}))
    first, last = str(caught.value).splitlines()
    assert cells[0].name in first and last == "2 more file(s) cannot be read"


def test_seeds_that_nobody_wants_keep_their_values_and_say_so(grid, cell, write_run):
    asked = cell()
    other = cell(steps=20)
    write_run(asked, 0, 4)
    write_run(other, 0, 2)
    made = grid({"a": ({"toy": [asked]}, [0, 1, 2]), "b": ({"toy": [other]}, [0, 1, 2])})
    with gather(made) as ds:
        assert ds.status.sel(cell=asked.name).values.tolist() == ["complete"] * 3 + ["unwanted"] * 2
        assert ds.validation_loss.sel(cell=asked.name).notnull().any("step").all()
        assert ds.status.sel(cell=other.name).values.tolist() == ["complete"] * 3 + ["unwanted"] * 2


def test_of_files_that_overlap_the_planners_choice_counts(grid, cell, write_run, record):
    asked = cell()
    runs = {}
    for first, last in ((0, 1), (0, 4), (3, 6)):
        runs[first, last] = record(asked, range(first, last + 1), random=np.random.default_rng(last))
        write_run(asked, first, last, runs[first, last])
    write_run(asked, 5, 5, runs55 := record(asked, [5]))
    with gather(grid({"s": ({"toy": [asked]}, range(6))})) as ds:
        np.testing.assert_array_equal(ds.final_test_loss[0, :5], runs[0, 4].curves["test_loss"][:, -1])
        np.testing.assert_array_equal(ds.final_test_loss[0, 5], runs55.curves["test_loss"][0, -1])


def test_files_of_mixed_versions_are_named(grid, cell, write_run, capsys):
    cells = [cell(steps=steps) for steps in (10, 20)]
    old = write_run(cells[0], 0, 1, hornlib_version="0.9")
    write_run(cells[1], 0, 1)
    with gather(grid({"s": ({"toy": cells}, range(2))})) as ds:
        assert json.loads(ds.attrs["mixed_versions"])["0.9 abc"] == [old.name]
    assert old.name in capsys.readouterr().err


@pytest.fixture
def two_digests(grid, cell, models, write_run):
    """A grid of two arms whose runs were trained on different examples of one dataset, and the run files."""
    toy, rival = models
    cells = [cell(toy()), cell(rival()), cell(toy(), data="mnist")]
    digests = ["aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", "cccccccccccccccc"]
    paths = [write_run(asked, 0, 1, data_digest=digest) for asked, digest in zip(cells, digests, strict=True)]
    return grid({"s": ({"toy": [cells[0], cells[2]], "rival": cells[1:2]}, range(2))}), paths


def test_runs_on_different_examples_of_one_dataset_are_refused_and_named(two_digests):
    grid, paths = two_digests
    with pytest.raises(ResultsError) as caught:
        gather(grid)
    (message,) = str(caught.value).splitlines()
    assert message.startswith("digits: runs that are compared were trained on different examples: ")
    for digest, path in zip(("a" * 16, "b" * 16), paths[:2], strict=True):
        assert f"digest {digest}: 1 file(s), {path.name}" in message
    assert "Delete the files" in message and "mnist" not in message.partition("`hornlib data")[0]


def test_partial_results_name_runs_on_different_examples_and_hold_the_digests(two_digests, capsys):
    with gather(two_digests[0], partial=True) as ds:
        assert sorted(set(ds.data_digest.values.flat)) == ["a" * 16, "b" * 16, "c" * 16]
    assert "not comparable: digits: runs that are compared" in capsys.readouterr().err


def test_files_of_before_the_digest_are_compared_with_nothing(grid, cell, models, write_run):
    cells = [cell(model()) for model in models]
    write_run(cells[0], 0, 1, data_digest="a" * 16)
    write_run(cells[1], 0, 1)
    with gather(grid({"s": ({"toy": cells}, range(2))})) as ds:
        assert ds.data_digest.values.tolist() == [["a" * 16] * 2, [""] * 2]


def test_files_of_one_version_say_nothing(gathered, capsys):
    assert gathered[2].attrs["mixed_versions"] == ""
    assert capsys.readouterr().err == ""


def test_gathering_again_replaces_the_file_and_leaves_no_other(grid, cell, write_run, tmp_path):
    made = grid({"s": ({"toy": [cell()]}, range(2))})
    write_run(cell(), 0, 1)
    gather(made).close()
    gather(made).close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.nc", "runs"]


def test_nothing_at_all_is_told(grid, cell):
    with pytest.raises(ResultsError, match="no run file of this configuration yet"):
        gather(grid({"s": ({"toy": [cell()]}, range(2))}), partial=True)


def test_what_is_gathered_survives_a_further_round_trip_through_xarray(gathered, tmp_path):
    _, _, ds = gathered
    ds.to_netcdf(tmp_path / "again.nc")
    with xr.open_dataset(tmp_path / "again.nc") as again:
        xr.testing.assert_identical(again, ds)
