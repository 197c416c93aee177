"""Costs to targets on every axis, up to the budget of each arm alone."""

import numpy as np
import pytest
import xarray as xr

from hornlib.statistics.contenders import contenders
from hornlib.statistics.restricted_mean import baseline_metric


@pytest.fixture
def times_of_results(times_of):
    """A function that gives the restricted times of a sweep's results."""

    def make(ds, settings, reference=None, axes=("step", "samples", "training_flops", "seconds")):
        return times_of(contenders(ds), settings, reference, axes)

    return make


def headline(times, axis="step", variable="restricted_time"):
    return times[variable].sel(target=0.9, axis=axis)


def test_an_event_is_dated_at_the_right_end_of_its_evaluation_interval(results, settings, times_of_results):
    times = times_of_results(results({"horn_cnn": [20, 30.0], "cnn": [99, 41]}), settings())
    # evaluations at ... 18, 22, 26, 32, 38, 46, ..., 83, 100; the baseline ends at 1 - exp(-2.3 x 1000/99) < 1
    assert headline(times).sel(contender="horn_cnn").values.tolist() == [22, 32]
    assert headline(times).sel(contender="cnn").values.tolist() == [100, 46]
    assert headline(times, "samples").sel(contender="cnn").values.tolist() == [6400, 2944]
    assert headline(times, variable="resolution").sel(contender="horn_cnn").values.tolist() == [4, 6]


def test_times_on_the_axes_are_the_costs_at_the_same_evaluation(results, settings, times_of_results):
    ds = results({"horn_cnn": [20, 30.0], "cnn": [99, 41]})
    ds["step_time"] = (("cell", "calibration_device"), [[0.5], [0.25]])
    times = times_of_results(ds.assign_coords(calibration_device=["gpu"]), settings())
    step = headline(times)
    assert (headline(times, "training_flops") == 1e6 * step).all()
    assert headline(times, "seconds").values.tolist() == (step.values * [[0.5], [0.25]]).tolist()


def test_a_miss_costs_the_whole_budget(results, settings, times_of_results):
    times = times_of_results(results({"horn_cnn": [np.inf, 30], "cnn": [50, 60]}), settings())
    assert headline(times).sel(contender="horn_cnn").values.tolist() == [1000, 32]
    assert headline(times, variable="event").sel(contender="horn_cnn").values.tolist() == [0, 1]


def test_a_run_that_reaches_the_level_and_then_diverges_costs_the_whole_budget(
    results, settings, times_of_results
):
    ds = results({"horn_cnn": [20, 30], "cnn": [50, 60]}, diverged=[(0, 0, 100)])
    assert headline(times_of_results(ds, settings())).sel(contender="horn_cnn").values.tolist() == [1000, 32]


def test_the_budget_on_each_axis_is_the_arms_own(results, settings, times_of_results):
    ds = results({"horn_cnn": [20, np.inf], "cnn": [50, 60]})
    ds["training_flops"][0] *= 4.0
    times = times_of_results(ds, settings())
    assert times["budget"].sel(axis="training_flops").values.tolist() == [4e9, 1e9]
    assert headline(times, "training_flops").sel(contender="horn_cnn").values.tolist() == [88e6, 4e9]


def test_the_budget_of_a_contender_whose_runs_all_diverged_is_carried_on(results, settings, times_of_results):
    ds = results({"horn_cnn": [20, 30], "cnn": [50, 60]}, diverged=[(0, 0, 100), (0, 1, 50)])
    ds["training_flops"][0] /= 2
    times = times_of_results(ds, settings())
    assert times["budget"].sel(axis="training_flops").values == pytest.approx([0.5e9, 1e9])
    assert (headline(times, "training_flops").sel(contender="horn_cnn") == pytest.approx(0.5e9)).all()


def test_a_contender_without_runs_stays_unknown(results, settings, times_of_results):
    ds = results({"horn_cnn": [20, 30.0], "cnn": [50, 60], "leaky_cnn": [1, 1]}, missing=[(2, 0), (2, 1)])
    times = times_of_results(ds, settings())
    assert headline(times).sel(contender="horn_cnn").values.tolist() == [22, 32]
    assert headline(times).sel(contender="leaky_cnn").isnull().all()


def test_the_training_loss_has_a_level_of_its_own_and_no_validation_metric(
    results, settings, times_of_results
):
    ds = results({"horn_cnn": [20, 30.0], "cnn": [50, 60]})
    falls = np.exp(-ds["step"] / xr.DataArray([10.0, 40.0], dims="cell"))
    ds["training_loss"] = (
        (0.5 + 1.5 * falls).broadcast_like(ds["validation_metric"]).transpose("cell", "seed", "step")
    )
    for name in ("validation_metric", "test_metric"):
        ds[name] = xr.full_like(ds[name], np.nan)
    reference = xr.DataArray([1.0], {"dataset": ["digits"]}, "dataset")
    times = times_of_results(ds, settings(), reference, ("samples", "training_loss"))
    start, end = 0.5 + 1.5 * np.exp(-1 / 40), 0.5
    level = start + 0.9 * (end - start)
    steps = ds["step"].values
    for arm, scale in (("horn_cnn", 10.0), ("cnn", 40.0)):
        first = steps[0.5 + 1.5 * np.exp(-steps / scale) <= level][0]
        assert headline(times, "training_loss").sel(contender=arm).values.tolist() == [64 * first] * 2
    assert headline(times, "samples").isnull().all()


def test_the_level_is_a_share_of_the_baselines_gain_over_chance(results, settings, times_of_results):
    ds = results({"horn_cnn": [20, 30.0], "cnn": [50, 60]}, final=0.95)
    times = times_of_results(
        ds, settings(), reference=xr.DataArray([0.8], {"dataset": ["digits"]}, "dataset")
    )
    assert times["level"].sel(dataset="digits", target=0.9) == pytest.approx(0.1 + 0.9 * 0.7)


def test_the_baselines_metric_is_a_median_in_which_diverged_runs_count_as_chance(results):
    ds = results({"cnn": [50, 60, 70]}, diverged=[(0, 0, 10), (0, 2, 10)])
    assert baseline_metric(contenders(ds), "cnn").item() == pytest.approx(0.1)
    assert baseline_metric(contenders(results({"cnn": [50, 60, 70]})), "cnn").item() == pytest.approx(
        1, abs=1e-6
    )
    assert np.isnan(baseline_metric(contenders(results({"mlp": [5]})), "cnn").item())


@pytest.mark.parametrize("reference", [np.nan, 0.1, 0.05])
def test_without_a_baseline_that_has_learned_there_are_no_times(
    results, settings, reference, times_of_results
):
    given = xr.DataArray([reference], {"dataset": ["digits"]}, "dataset")
    times = times_of_results(results({"horn_cnn": [20, 30.0], "cnn": [50, 60]}), settings(), given)
    assert times["restricted_time"].isnull().all() and times["level"].isnull().all()
    assert (times["event"] == 0).all()


def test_a_metric_that_is_to_fall_is_reached_from_above(results, settings, times_of_results):
    ds = results({"horn_cnn": [20, 30.0], "cnn": [50, 60]})
    ds = ds.assign_coords(direction=("cell", ["minimise"] * 2), chance_level=("cell", [1.0, 1.0]))
    for name in ("validation_metric", "final_validation_metric"):
        ds[name] = 1.1 - ds[name]
    assert headline(times_of_results(ds, settings())).sel(contender="horn_cnn").values.tolist() == [22, 32]
