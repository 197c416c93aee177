"""The calibration file, verified when it is read, and its place in results.nc."""

import math
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from hornlib.errors import ResultsError
from hornlib.grid.cell import parse_specification
from hornlib.grid.shapes import shape_name
from hornlib.results import open_results
from hornlib.results.calibrated_seconds import best_device
from hornlib.results.calibration_file import (
    Calibration,
    Measurement,
    calibration_path,
    median_bounds,
    read_calibration,
    read_calibrations,
    write_calibration,
)
from hornlib.results.gather import gather

KNOWN = Measurement('{"data": {}}', "hornlib 1, torch 2", (0.2, 0.1, 0.3), 30, 2e6)


def write(results, device, shapes):
    path = calibration_path(results, device)
    write_calibration(path, Calibration(device, shapes))
    return path


def test_a_calibration_comes_back_as_it_was_written(tmp_path):
    shapes = {"mlp-1": KNOWN, "cnn-2": Measurement("{}", "x"), "horn-3": Measurement("{}", "x", (0.5,), 7)}
    path = write(tmp_path, "cpu AMD EPYC(R) 7, 1 thread", shapes)
    assert path == tmp_path / "calibration" / "cpu-amd-epyc-r-7-1-thread.nc"
    found = read_calibration(path)
    assert found.device == "cpu AMD EPYC(R) 7, 1 thread" and list(found.shapes) == list(shapes)
    assert found.shapes["mlp-1"] == KNOWN and found.shapes["horn-3"].block_times == (0.5,)
    assert math.isnan(found.shapes["cnn-2"].step_time) and found.shapes["mlp-1"].step_time == 0.2
    with xr.open_dataset(path) as ds:
        assert all(
            variable.attrs["units"] and variable.attrs["long_name"] for variable in ds.variables.values()
        )


def test_an_empty_calibration_can_be_written(tmp_path):
    assert read_calibration(write(tmp_path, "cpu", {})).shapes == {}


def test_a_damaged_calibration_is_refused_with_the_remedy(tmp_path):
    path = write(tmp_path, "cpu", {"mlp-1": KNOWN})
    image = path.read_bytes()
    time = np.float64(0.2).tobytes()
    assert time in image
    for broken in (
        image[: len(image) // 2],
        image.replace(time, np.float64(0.25).tobytes()),
        b"",
        b"no file",
    ):
        path.write_bytes(broken)
        with pytest.raises(ResultsError, match=r"cpu\.nc.*hornlib calibrate"):
            read_calibration(path)
    path.unlink()
    with pytest.raises(ResultsError, match="hornlib calibrate"):
        read_calibration(path)


@pytest.mark.parametrize(("n", "rank"), [(5, 0), (6, 1), (8, 1), (9, 2), (11, 2), (12, 3), (20, 6)])
def test_the_interval_of_a_median_takes_the_ranks_of_the_sign_test(n, rank):
    """Ranks from tables of the sign test at 5 %, two-sided."""
    values = np.random.default_rng(n).permutation(n) + 1.0
    bounds = median_bounds(values)
    assert np.isnan(bounds).all() if rank == 0 else bounds == (rank, n + 1 - rank), bounds


def test_the_interval_covers_a_skewed_medians_true_value():
    random = np.random.default_rng(0)
    for n in (7, 15):
        draws = random.lognormal(0, 1, (4000, n))
        covered = [low <= 1 <= high for low, high in map(median_bounds, draws)]
        assert np.mean(covered) > 0.945


@given(st.lists(st.floats(1e-6, 1e3), min_size=0, max_size=30))
def test_bounds_lie_around_the_median(values):
    low, high = median_bounds(values)
    assert math.isnan(low) if len(values) < 6 else low <= np.median(values) <= high


@pytest.fixture
def gathered(grid, cell, models, write_run, tmp_path):
    toy, rival = models
    cells = [cell(toy(num_nodes=4)), cell(toy(num_nodes=4, damping_ratio=0.5)), cell(rival()), cell(toy())]
    for own in cells:
        write_run(own, 0, 1)
    return cells, grid({"one": ({"toy": [*cells[:2], cells[3]], "rival": cells[2:3]}, range(2))}), tmp_path


def test_results_take_over_step_time_and_memory_by_device(gathered):
    cells, made, results = gathered
    toy, rival = shape_name(cells[0]), shape_name(cells[2])
    blocks = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    write(results, "cuda H200", {toy: Measurement("{}", "", blocks, 60, 5e6), "mlp-0": KNOWN})
    write(results, "cpu x", {toy: KNOWN, rival: Measurement("{}", "", (0.7,), 1)})
    write(results, "cpu y", {"mlp-0": KNOWN})
    with gather(made) as ds:
        assert ds["calibration_device"].values.tolist() == ["cpu x", "cuda H200"]
        np.testing.assert_array_equal(
            ds["step_time"], [[0.2, 0.35], [0.2, 0.35], [np.nan] * 2, [0.7, np.nan]]
        )
        np.testing.assert_array_equal(ds["peak_memory"], [[2e6, 5e6], [2e6, 5e6], [np.nan] * 2, [np.nan] * 2])
        own = ds["step_time_bound"].sel(calibration_device="cuda H200")
        assert own.isel(cell=0).values.tolist() == [0.1, 0.6] and own.sel(bound="low")[3].isnull()
        for name in ("calibration_device", "step_time", "step_time_bound", "peak_memory", "bound"):
            assert ds[name].attrs["units"] and ds[name].attrs["long_name"]
        assert ds["step_time"].attrs["units"] == "s" and ds["peak_memory"].attrs["units"] == "byte"
    opened = open_results(results / "results.nc", sweep="one", model="toy")
    time = opened["step_time"].sel(num_nodes=4, damping_ratio=0.5, calibration_device="cuda H200")
    assert time.item() == 0.35


def test_results_say_how_recurrences_were_computed_in_the_measured_steps(gathered):
    cells, made, results = gathered
    write(results, "cpu x, fused field", {shape_name(cells[0]): replace(KNOWN, kernel="fused")})
    write(results, "cpu x", {shape_name(cells[0]): KNOWN})  # as hornlib wrote it before it had kernels
    with gather(made) as ds:
        kernels = ds["step_time_kernel"].sel(cell=cells[0].name)
        assert kernels.sel(calibration_device="cpu x, fused field") == "fused"
        assert kernels.sel(calibration_device="cpu x") == ""
        assert (ds["step_time_kernel"].sel(cell=cells[2].name) == "").all()


@pytest.mark.parametrize("other", ["cpu x", "cpu x, loops"], ids=["as before kernels", "loops"])
def test_of_devices_that_know_as_many_cells_the_one_with_fused_kernels_gives_the_seconds(gathered, other):
    cells, made, results = gathered
    for device in ("cpu x, fused field", other):
        write(results, device, {shape_name(cells[0]): KNOWN})
    with gather(made) as ds:
        device, _ = best_device(ds)
        assert ds["calibration_device"].values[device] == "cpu x, fused field"


def test_results_without_calibration_have_neither_variable_nor_dimension(gathered):
    _, made, results = gathered
    write(results, "cpu y", {"mlp-0": KNOWN})
    with gather(made) as ds:
        assert "step_time" not in ds and "calibration_device" not in ds.dims and "bound" not in ds.dims
    assert read_calibrations(results / "nowhere") == []


def test_a_damaged_calibration_is_told_by_gather(gathered):
    cells, made, results = gathered
    write(results, "cpu x", {shape_name(cells[0]): KNOWN}).write_bytes(b"broken")
    with pytest.raises(ResultsError, match=r"cpu-x\.nc: damaged"):
        gather(made)


def test_results_have_calibrated_seconds_where_networks_may_change(grid, write_run, tmp_path):
    """Without an event a grown network's seconds are its small network's."""
    given = {"data": {"name": "digits"}, "model": {"name": "mlp", "hidden_nodes": "4"}}
    small = parse_specification(given)
    grown = parse_specification({**given, "structure": {"name": "layer_insertion", "insert_at": 1}})
    for own in (small, grown):
        write_run(own, 0, 1)
    write(tmp_path, "cpu x", {shape_name(small): KNOWN})
    with gather(grid({"one": ({"small": [small], "grown": [grown]}, range(2))})) as ds:
        assert ds["calibrated_seconds"].dims == ("cell", "seed", "step", "calibration_device")
        np.testing.assert_allclose(
            ds["calibrated_seconds"][..., 0], 0.2 * ds["step"].broadcast_like(ds["test_loss"])
        )
        flops = small.model.forward_flops(small.task()).total
        np.testing.assert_array_equal(ds["final_forward_flops"], np.full((2, 2), flops))
        assert ds["final_forward_flops"].attrs["units"] == "FLOP"


def test_results_of_networks_that_cannot_change_have_no_forward_flops_over_runs(gathered):
    with gather(gathered[1]) as ds:
        assert "final_forward_flops" not in ds and "forward_flops" in ds
