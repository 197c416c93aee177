"""Opening results.nc: a sweep's cells, a model's axes as dimensions, integers as integers."""

import numpy as np
import pytest
import xarray as xr

import hornlib
from hornlib.errors import ResultsError
from hornlib.results import open_results
from hornlib.results.gather import gather
from hornlib.results.opening import part_of_results
from hornlib.statistics.contenders import contenders


@pytest.fixture
def results(grid, cell, models, write_run, tmp_path):
    """Gathered: a full 2 x 2 x 2 sweep, one point off it, another model, another sweep with more seeds."""
    toy, rival = models
    full = [
        cell(toy(num_nodes=nodes, timesteps=timesteps), data=data, steps=30)
        for data in ("digits", "mnist")
        for nodes in (4, 8)
        for timesteps in (2, 6)
    ]
    off = cell(toy(num_nodes=16, timesteps=2), steps=30)
    cnn = cell(rival(), steps=90)
    made = grid(
        {
            "thesis": ({"toy": full, "cnn": [cnn]}, range(2)),
            "scattered": ({"toy": [*full[:4], off]}, range(2)),
            "long": ({"cnn": [cnn]}, range(4)),
        }
    )
    for own in [*full, off]:
        write_run(own, 0, 1)
    write_run(cnn, 0, 3)
    gather(made).close()
    return tmp_path / "results.nc", full, off, cnn


def test_a_sweep_has_its_cells_arms_seeds_and_steps(results):
    path, full, _, cnn = results
    ds = open_results(path, sweep="thesis")
    assert ds.cell.values.tolist() == [own.name for own in [*full, cnn]]
    assert ds.arm.values.tolist() == ["toy"] * 8 + ["cnn"]
    assert ds.seed.values.tolist() == [0, 1]
    assert ds.step.max() == 90 and not [name for name in ds.coords if name.startswith(("in_", "arm_"))]
    assert open_results(path, sweep="scattered").step.max() == 30
    assert open_results(path, sweep="long").seed.values.tolist() == [0, 1, 2, 3]
    assert ds.attrs["sweep"] == "thesis"


def test_parameters_that_no_cell_has_are_dropped_and_integers_are_integers(results):
    path = results[0]
    ds = open_results(path, sweep="scattered")
    assert "channels" not in ds.coords and "train_subset" not in ds.coords
    assert (
        ds.num_nodes.dtype == np.int64 and ds.timesteps.dtype == np.int64 and ds.batch_size.dtype == np.int64
    )
    assert ds.learning_rate.dtype == np.float64
    whole = open_results(path)
    assert whole.timesteps.dtype == np.float64, "the rival has no timesteps, so NaN keeps the column float"
    assert whole.channels.sel(cell=results[3].name) == "8-16"


@pytest.mark.parametrize(
    "part", [{"sweep": "scattered"}, {"sweep": "long"}, {"sweep": "thesis", "model": "rival"}]
)
def test_a_part_of_what_was_read_is_the_part_that_is_opened(results, part):
    path = results[0]
    opened, selected = open_results(path, **part), part_of_results(open_results(path), **part)
    xr.testing.assert_identical(selected, opened)
    assert {name: values.dtype for name, values in selected.variables.items()} == {
        name: values.dtype for name, values in opened.variables.items()
    }


def test_a_models_axes_become_dense_dimensions(results):
    path, full, _, _ = results
    ds = open_results(path, sweep="thesis", model="toy")
    assert dict(ds.sizes) == {
        "dataset": 2,
        "num_nodes": 2,
        "timesteps": 2,
        "seed": 2,
        "step": ds.sizes["step"],
    }
    flat = xr.open_dataset(path)
    for own in full:
        point = ds.sel(dataset=own.data.name, num_nodes=own.model.num_nodes, timesteps=own.model.timesteps)
        assert point.cell_name == own.name
        expected = flat.test_loss.sel(cell=own.name, seed=[0, 1], step=ds.step)
        np.testing.assert_array_equal(point.test_loss.transpose("seed", "step"), expected)
    assert ds.activation == "tanh" and ds.activation.dims == () and ds.epochs == 20
    assert ds.omega.dims == ("dataset", "num_nodes", "timesteps"), "omega follows from timesteps: no axis"
    assert ds.num_nodes.attrs["long_name"] == "number of nodes"
    assert (ds.status == "complete").all()
    flat.close()


def test_points_of_the_grid_without_a_cell_are_nan_and_unwanted(results):
    path, _, off, _ = results
    ds = open_results(path, sweep="scattered", model="toy")
    assert dict(ds.sizes)["num_nodes"] == 3 and dict(ds.sizes)["timesteps"] == 2 and "dataset" not in ds.dims
    empty = ds.sel(num_nodes=16, timesteps=6)
    assert empty.cell_name == "" and (empty.status == "unwanted").all() and empty.test_loss.isnull().all()
    assert ds.sel(num_nodes=16, timesteps=2).cell_name == off.name


def test_a_single_axis_becomes_a_dimension_too(grid, cell, models, write_run, tmp_path):
    toy, _ = models
    cells = [cell(toy(num_nodes=4, timesteps=timesteps), steps=30) for timesteps in (6, 2)]
    for own in cells:
        write_run(own, 0, 1)
    gather(grid({"one": ({"toy": cells}, range(2))})).close()
    ds = open_results(tmp_path / "results.nc", sweep="one", model=cells[0].model.name)
    assert ds.sizes["timesteps"] == 2 and ds.timesteps.values.tolist() == [2, 6]
    assert ds.cell_name.values.tolist() == [cells[1].name, cells[0].name]


def test_one_cell_alone_has_no_axis(results):
    ds = open_results(results[0], model="rival")
    assert set(ds.dims) == {"seed", "step"} and ds.channels == "8-16" and ds.cell_name == results[3].name


def test_a_parameter_that_some_cells_leave_out_is_an_axis_with_nan(grid, cell, models, write_run, tmp_path):
    toy, _ = models
    cells = [
        cell(toy(num_nodes=nodes), gradient_clip=0.0, evaluation_examples=some)
        for nodes in (4, 8)
        for some in (None, 50)
    ]
    for own in cells:
        write_run(own, 0, 1)
    gather(grid({"s": ({"toy": cells}, range(2))})).close()
    ds = open_results(tmp_path / "results.nc", model="toy")
    assert ds.sizes["evaluation_examples"] == 2 and ds.sizes["num_nodes"] == 2
    names = {
        str(ds.cell_name.sel(num_nodes=own.model.num_nodes).isel(evaluation_examples=place).values)
        for own in cells
        for place in (0, 1)
    }
    assert names == {own.name for own in cells}


def test_of_tied_parameters_one_is_the_axis(grid, cell, models, write_run, tmp_path):
    toy, _ = models
    cells = [
        cell(toy(num_nodes=k, timesteps=k), learning_rate=k / 100, batch_size=k, epochs=k, data=data)
        for k in range(1, 11)
        for data in ("digits", "mnist")
    ]
    for own in cells:
        write_run(own, 0, 0)
    gather(grid({"s": ({"toy": cells}, range(1))})).close()
    ds = open_results(tmp_path / "results.nc", model="toy")
    assert dict(ds.sizes) == {"dataset": 2, "num_nodes": 10, "seed": 1, "step": ds.sizes["step"]}


def test_a_scattered_model_is_refused_and_not_made_huge(grid, cell, models, write_run, tmp_path):
    toy, _ = models
    changes = [{"num_nodes": k} for k in range(2, 9)] + [{"timesteps": k} for k in range(2, 9)]
    changes += [{"learning_rate": k / 100} for k in range(2, 9)] + [{"batch_size": k} for k in range(2, 9)]
    cells = []
    for change in [{}, *changes]:
        values = {"num_nodes": 1, "timesteps": 1, "learning_rate": 0.01, "batch_size": 1, **change}
        model = toy(num_nodes=values.pop("num_nodes"), timesteps=values.pop("timesteps"))
        cells.append(cell(model, steps=1, **values))
        write_run(cells[-1], 0, 0)
    gather(grid({"s": ({"toy": cells}, range(1))})).close()
    with pytest.raises(ResultsError, match=r"29 cells of toy vary in .* a grid of 4096 points"):
        open_results(tmp_path / "results.nc", model="toy")


def test_a_file_of_another_kind_is_refused_although_its_schema_version_is_the_same(cell, write_run):
    with pytest.raises(
        ResultsError, match=r"is no results file: it has no cell\. `hornlib gather` writes it"
    ):
        open_results(write_run(cell(), 0, 1))


def test_unknown_words_are_told_with_the_nearest(results, tmp_path):
    path = results[0]
    with pytest.raises(
        ResultsError, match=r"no sweep 'tesis'.*did you mean 'thesis'.*valid: thesis, scattered, long"
    ):
        open_results(path, sweep="tesis")
    with pytest.raises(ResultsError, match=r"no model 'toi'.*did you mean 'toy'"):
        open_results(path, model="toi")
    with pytest.raises(ResultsError, match="no such file"):
        open_results(tmp_path / "nothing.nc")
    (tmp_path / "broken.nc").write_bytes(b"broken")
    with pytest.raises(ResultsError, match="damaged, or a results file of an earlier hornlib"):
        open_results(tmp_path / "broken.nc")


def test_what_is_opened_can_be_written_again(results, tmp_path):
    for model in (None, "toy"):
        ds = open_results(results[0], sweep="scattered", model=model)
        ds.to_netcdf(tmp_path / "again.nc")
        with xr.open_dataset(tmp_path / "again.nc") as again:
            xr.testing.assert_equal(again, ds)


def test_the_package_offers_both_functions():
    from hornlib.results import time_to_target

    assert hornlib.open_results is open_results and hornlib.time_to_target is time_to_target


def test_a_sweep_without_any_run_yet_keeps_the_steps_of_the_others_and_holds_no_value(
    grid, cell, models, write_run, tmp_path
):
    """`hornlib run SWEEP` judges one sweep of a configuration that has several."""
    toy, rival = models
    trained, untrained = cell(toy(), steps=30), cell(rival(), steps=90)
    write_run(trained, 0, 1)
    made = grid({"trained": ({"toy": [trained]}, range(2)), "untrained": ({"cnn": [untrained]}, range(2))})
    gather(made, partial=True).close()
    ds = open_results(tmp_path / "partial.nc", sweep="untrained")
    assert ds.sizes["step"] == open_results(tmp_path / "partial.nc", sweep="trained").sizes["step"] > 0
    assert ds["validation_metric"].isnull().all() and set(ds["status"].values.ravel()) == {"missing"}
    judged = contenders(ds, "cnn")
    assert np.isnan(judged["num_parameters"].values).all()
