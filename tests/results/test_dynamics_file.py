"""Dynamics files: round trip, what is refused, and many of them read as one dataset."""

import numpy as np
import pytest
import xarray as xr

from hornlib.errors import ResultsError
from hornlib.grid.cell import parse_specification
from hornlib.results.dynamics_file import (
    DYNAMICS_COORDINATES,
    DYNAMICS_VARIABLES,
    DynamicsRecord,
    LayerRecord,
    open_dynamics,
    read_dynamics_file,
    sizes_of,
    write_dynamics_file,
)

OSCILLATORS = ("displacement", "velocity")


def cell_of(num_nodes=8):
    return parse_specification(
        {"data": {"name": "digits"}, "model": {"name": "horn_cnn", "num_nodes": num_nodes}}
    )


def stages(num_nodes=8, number=3, timesteps=8):
    shapes = [(num_nodes * 2**stage, 8 >> stage, 8 >> stage) for stage in range(number)]
    return [
        LayerRecord(f"stage_{stage}", "oscillators", OSCILLATORS, timesteps, shape)
        for stage, shape in enumerate(shapes, start=1)
    ]


def record_of(seeds=(0, 1), steps=(0, 3, 12), layers=None, run_on_steps=32):
    layers = stages() if layers is None else layers
    sizes = sizes_of(len(seeds), len(steps), layers, run_on_steps)
    draw = np.random.default_rng(list(seeds))
    numbers = {
        name: draw.normal(size=[sizes[dimension] for dimension in probed.dims]).astype(np.float32)
        for name, probed in DYNAMICS_VARIABLES.items()
        if set(probed.dims) <= set(sizes)
    }
    return DynamicsRecord(list(seeds), list(steps), layers, run_on_steps, numbers, {"hornlib_version": "1"})


def written(folder, cell=None, **given):
    cell, record = cell or cell_of(), record_of(**given)
    path = folder / f"{cell.name}.seeds-{record.seeds[0]}-{record.seeds[-1]}.nc"
    write_dynamics_file(path, cell, record)
    return path, record


def test_what_is_written_is_read_back(tmp_path):
    path, record = written(tmp_path)
    ds = read_dynamics_file(path)
    for name, values in record.numbers.items():
        assert ds[name].dims == DYNAMICS_VARIABLES[name].dims
        np.testing.assert_array_equal(ds[name].values, values)
    assert ds["layer"].values.tolist() == ["stage_1", "stage_2", "stage_3"]
    assert ds["num_units"].values.tolist() == [512, 256, 128]
    assert ds["frequency"].values[[0, 1, -1]].tolist() == [0, 1 / 32, 0.5]


def test_xarray_alone_opens_it_and_every_variable_has_units_and_a_long_name(tmp_path):
    path, _ = written(tmp_path)
    with xr.open_dataset(path) as ds:
        assert set(ds.variables) == set(DYNAMICS_VARIABLES) | set(DYNAMICS_COORDINATES)
        for name, variable in ds.variables.items():
            assert variable.attrs["units"] and variable.attrs["long_name"], name
        for dimension in ds.sizes:
            assert dimension in ds.coords


def test_ten_seeds_at_the_default_setting_take_less_than_a_megabyte(tmp_path):
    path, _ = written(
        tmp_path,
        seeds=tuple(range(10)),
        steps=tuple(range(8)),
        layers=stages(32, timesteps=16),
        run_on_steps=64,
    )
    assert path.stat().st_size < 1e6  # random numbers, which do not compress


def test_feed_forward_layers_have_no_run_on(tmp_path):
    path, _ = written(
        tmp_path, layers=[LayerRecord("hidden_1", "feed_forward", ("output",), 1, (8,))], run_on_steps=0
    )
    ds = read_dynamics_file(path)
    assert "run_on_time" not in ds.dims and "phase_coherence" not in ds and "state_rms" in ds


def test_damaged_renamed_and_foreign_files_are_refused(tmp_path):
    path, _ = written(tmp_path)
    renamed = path.with_name(path.name.replace("0-1", "4-5"))
    renamed.write_bytes(path.read_bytes())
    with pytest.raises(ResultsError, match="renamed"):
        read_dynamics_file(renamed)
    content = bytearray(path.read_bytes())
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ResultsError, match="damaged"):
        read_dynamics_file(path)
    with pytest.raises(ResultsError, match="there is no such file"):
        read_dynamics_file(tmp_path / path.name.replace("0-1", "7-8"))


def test_a_changed_value_is_found_out(tmp_path):
    import netCDF4

    path, _ = written(tmp_path)
    with netCDF4.Dataset(path, "a") as file:
        file["energy"][0, 0, 0, 0] = 99.0
    with pytest.raises(ResultsError, match="of another program: no SHA-256"):
        read_dynamics_file(path)


def test_a_record_of_a_wrong_shape_or_name_is_refused(tmp_path):
    record, cell = record_of(), cell_of()
    path = tmp_path / f"{cell.name}.seeds-0-1.nc"
    record.numbers["energy"] = record.numbers["energy"][:1]
    with pytest.raises(ValueError, match="energy has the shape"):
        write_dynamics_file(path, cell, record)
    del record.numbers["energy"]
    with pytest.raises(ValueError, match="ask for"):
        write_dynamics_file(path, cell, record)
    with pytest.raises(ResultsError, match="is called"):
        write_dynamics_file(tmp_path / f"{cell.name}.seeds-0-3.nc", cell, record_of())
    assert not list(tmp_path.iterdir())


def test_files_of_one_cell_are_joined_by_seed_and_an_overlap_counts_once(tmp_path):
    _, first = written(tmp_path, seeds=(0, 1))
    _, second = written(tmp_path, seeds=(1, 2, 3))
    ds = open_dynamics(tmp_path)
    assert ds.sizes["cell"] == 1 and ds["seed"].values.tolist() == [0, 1, 2, 3]
    energy = ds["energy"].isel(cell=0).values
    np.testing.assert_array_equal(energy[:2], first.numbers["energy"])
    np.testing.assert_array_equal(energy[2:], second.numbers["energy"][1:])


def test_cells_that_differ_in_layers_and_times_are_padded_with_nan(tmp_path):
    _, deep = written(tmp_path, cell=cell_of(8))
    _, flat = written(tmp_path, cell=cell_of(4), layers=stages(4, 2, 3), run_on_steps=16, steps=(0, 5))
    names = [cell_of(8).name, cell_of(4).name]
    ds = open_dynamics(tmp_path, names)
    assert ds["cell"].values.tolist() == names
    one, other = (ds.sel(cell=name) for name in names)
    np.testing.assert_array_equal(one["energy"].sel(probe_step=[0, 3, 12]).values, deep.numbers["energy"])
    chosen = other["energy"].sel(probe_step=[0, 5], layer=["stage_1", "stage_2"], timestep=[1, 2, 3])
    np.testing.assert_array_equal(chosen.values, flat.numbers["energy"])
    assert other["energy"].sel(layer="stage_3").isnull().all()
    assert other["layer_kind"].values.tolist() == ["oscillators", "oscillators", ""]
    for name, variable in ds.variables.items():
        assert variable.attrs["units"] and variable.attrs["long_name"], name


def test_a_cell_whose_inside_is_not_probed_has_no_layers_alone_or_beside_others(tmp_path):
    written(tmp_path, cell=cell_of(8))
    written(tmp_path, cell=cell_of(4), layers=[], run_on_steps=0, steps=(0, 5))
    unseen, seen = cell_of(4).name, cell_of(8).name
    alone = open_dynamics(tmp_path, [unseen])
    assert alone.sizes["layer"] == 0 and alone["seed"].size
    for names in ([unseen, seen], [seen, unseen]):
        ds = open_dynamics(tmp_path, names)
        assert ds.sizes["layer"] == 3 and (ds["layer_kind"].sel(cell=unseen) == "").all()
        assert ds["energy"].sel(cell=unseen).isnull().all() and ds["energy"].sel(cell=seen).notnull().any()


def test_a_cell_without_a_file_is_told_with_the_nearest_name(tmp_path):
    with pytest.raises(ResultsError, match="there are no dynamics files"):
        open_dynamics(tmp_path)
    written(tmp_path)
    with pytest.raises(ResultsError, match="did you mean"):
        open_dynamics(tmp_path, [cell_of().name[:-1] + "z"])
