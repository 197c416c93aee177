"""Contenders: labels, subjects, sizes and calibrated seconds."""

import numpy as np
import xarray as xr

from hornlib.dynamics.parameters import OscillatorParameters
from hornlib.models import MODELS
from hornlib.parameters.statistics import OSCILLATORS
from hornlib.statistics.contenders import contenders, subject_of

KIND = {"kind": "integer"}


def test_labels_of_a_grid_say_only_what_tells_the_cells_apart(results):
    ds = results([("horn_cnn", [10]), ("horn_cnn", [11]), ("cnn", [20])])
    ds = ds.assign_coords(timesteps=("cell", [8.0, 16.0, np.nan], KIND), num_nodes=("cell", [8, 8, 8], KIND))
    labels = contenders(ds)["contender"].values.tolist()
    assert labels == ["horn_cnn timesteps=8", "horn_cnn timesteps=16", "cnn"]


def test_labels_are_unique_even_where_no_parameter_tells_cells_apart(results):
    labels = contenders(results([("horn_cnn", [10]), ("horn_cnn", [11])]))["contender"].values.tolist()
    assert len(set(labels)) == 2


def test_seconds_are_steps_times_the_step_time_of_the_device_that_measured_most(results):
    ds = results({"horn_cnn": [10, 12], "cnn": [20, 22]})
    ds["step_time"] = (("cell", "calibration_device"), [[np.nan, 0.5], [3.0, 0.25]])
    ds = contenders(ds.assign_coords(calibration_device=["old", "new"]))
    assert ds.attrs["calibration_device"] == "new"
    assert ds["seconds"].sel(contender="cnn", step=10).item() == 2.5
    assert ds["job_seconds"].dims == ("contender", "seed", "step")


def test_without_calibration_seconds_are_unknown(results):
    ds = contenders(results({"horn_cnn": [10], "cnn": [20]}))
    assert ds["seconds"].isnull().all() and ds.attrs["calibration_device"] == ""


def test_the_subject_is_the_arm_named_or_the_first_with_oscillators(results):
    ds = contenders(results({"cnn": [20], "horn": [30], "horn_cnn": [10]}))
    assert subject_of(ds, None) == "horn_cnn"
    assert subject_of(ds, "cnn") == "cnn"
    assert subject_of(ds, "absent") == ""


def test_every_model_with_oscillators_may_be_the_default_subject(results):
    """A new model with oscillators needs its place in `hornlib.parameters.statistics.OSCILLATORS`."""
    with_oscillators = {name for name, model in MODELS.items() if issubclass(model, OscillatorParameters)}
    assert set(OSCILLATORS) == with_oscillators
    for model in OSCILLATORS:
        assert subject_of(contenders(results({"cnn": [20], model: [30]})), None) == model


def test_seconds_of_networks_that_change_are_each_runs_own(results):
    ds = results({"horn_cnn": [10, 12], "cnn": [20, 22]})
    ds["step_time"] = (("cell", "calibration_device"), [[0.5], [0.25]])
    own = (ds["seed"] + 1.0) * ds["step"] * xr.ones_like(ds["validation_metric"])
    ds["calibrated_seconds"] = own.expand_dims("calibration_device", -1)
    ds = contenders(ds.assign_coords(calibration_device=["new"]))
    assert ds["seconds"].dims == ("contender", "seed", "step")
    assert ds["seconds"].sel(contender="cnn", seed=1, step=10).item() == 20


def test_a_cell_that_became_what_was_not_measured_has_no_seconds_and_a_complete_device_is_preferred(results):
    ds = results({"horn_cnn": [10, 12], "cnn": [20, 22]})
    ds["step_time"] = (("cell", "calibration_device"), [[0.5, 0.5], [0.25, 0.25]])
    own = ds["step"] * xr.ones_like(ds["validation_metric"])
    grown = (ds["arm"] == "cnn") & (ds["seed"] == 1) & (ds["step"] > 20)
    ds["calibrated_seconds"] = xr.concat([own.where(~grown), own], "calibration_device").transpose(
        ..., "calibration_device"
    )
    both = contenders(ds.assign_coords(calibration_device=["partly", "whole"]))
    assert both.attrs["calibration_device"] == "whole" and both["seconds"].notnull().all()
    one = contenders(ds.isel(calibration_device=[0]).assign_coords(calibration_device=["partly"]))
    assert one["seconds"].sel(contender="cnn").isnull().all()
    assert one["seconds"].sel(contender="horn_cnn").notnull().all()


def changing(results, parameters, **how):
    """Return a sweep of one arm with three runs whose networks have these parameters, (seed, three phases)."""
    ds = results({"horn_cnn": [10, 11, 12]}, **how)
    phases = np.array_split(np.arange(ds.sizes["step"]), 3)
    curves = ds["num_parameters"].values
    for seed, values in enumerate(parameters):
        for phase, value in zip(phases, values, strict=True):
            curves[0, seed, phase] = np.where(np.isnan(curves[0, seed, phase]), np.nan, value)
    return ds


def test_parameters_are_those_of_the_last_evaluation_and_the_largest_stand_beside(results):
    ds = contenders(changing(results, [(100, 200, 300), (100, 900, 500), (100, 100, 400)]))
    assert ds["num_parameters"].item() == 400  # the median of 300, 500 and 400
    assert ds["largest_num_parameters"].item() == 900
    assert "last evaluation" in ds["num_parameters"].attrs["long_name"]
    assert "median" in ds["num_parameters"].attrs["long_name"]


def test_a_diverged_run_has_no_say_in_the_last_size_unless_all_diverged(results):
    sizes = [(100, 200, 300), (100, 50, 7), (100, 200, 300)]
    ds = contenders(changing(results, sizes, diverged=[(0, 1, 500)]))
    assert ds["num_parameters"].item() == 300
    everywhere = [(0, seed, 500) for seed in range(3)]
    ds = contenders(changing(results, sizes, diverged=everywhere))
    assert ds["num_parameters"].item() == 300  # the median of 300, 7 and 300, as evaluated last


def test_forward_flops_are_those_of_the_last_network_where_the_results_have_them(results):
    ds = results({"horn_cnn": [10, 12, 11], "cnn": [20, 22, 21]}, forward_flops=[1000, 3000])
    plain = contenders(ds)
    np.testing.assert_array_equal(plain["forward_flops"], [1000, 3000])
    np.testing.assert_array_equal(plain["first_forward_flops"], [1000, 3000])
    ds["final_forward_flops"] = (("cell", "seed"), [[4000.0, 6000.0, 5000.0], [np.nan] * 3])
    grown = contenders(ds)
    np.testing.assert_array_equal(grown["forward_flops"], [5000, 3000])
    np.testing.assert_array_equal(grown["first_forward_flops"], [1000, 3000])
