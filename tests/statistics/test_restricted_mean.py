"""Times to targets on every axis, and budgets that contenders share."""

import numpy as np
import pytest
import xarray as xr

from hornlib.statistics.contenders import contenders
from hornlib.statistics.restricted_mean import baseline_metric, common_steps, restricted_times


def times_of(ds, settings, reference=None, axes=("step", "samples", "training_flops", "seconds")):
    """Return the restricted times of a sweep's results."""
    ds = common_steps(contenders(ds))
    if reference is None:
        reference = baseline_metric(ds, settings.baseline)
    return restricted_times(ds, reference, settings, axes)


def headline(times, axis="step", variable="restricted_time"):
    return times[variable].sel(target=0.9, axis=axis)


def test_an_event_is_dated_at_the_right_end_of_its_evaluation_interval(results, settings):
    times = times_of(results({"horn_cnn": [20, 30.0], "cnn": [99, 41]}), settings())
    # evaluations at ... 18, 22, 26, 32, 38, 46, ..., 83, 100; the baseline ends at 1 - exp(-2.3 x 1000/99) < 1
    assert headline(times).sel(contender="horn_cnn").values.tolist() == [22, 32]
    assert headline(times).sel(contender="cnn").values.tolist() == [100, 46]
    assert headline(times, "samples").sel(contender="cnn").values.tolist() == [6400, 2944]
    assert headline(times, variable="resolution").sel(contender="horn_cnn").values.tolist() == [4, 6]


def test_times_on_the_axes_are_the_costs_at_the_same_evaluation(results, settings):
    ds = results({"horn_cnn": [20, 30.0], "cnn": [99, 41]})
    ds["step_time"] = (("cell", "calibration_device"), [[0.5], [0.25]])
    times = times_of(ds.assign_coords(calibration_device=["gpu"]), settings())
    step = headline(times)
    assert (headline(times, "training_flops") == 1e6 * step).all()
    assert headline(times, "seconds").values.tolist() == (step.values * [[0.5], [0.25]]).tolist()


def test_a_miss_costs_the_whole_budget(results, settings):
    times = times_of(results({"horn_cnn": [np.inf, 30], "cnn": [50, 60]}), settings())
    assert headline(times).sel(contender="horn_cnn").values.tolist() == [1000, 32]
    assert headline(times, variable="event").sel(contender="horn_cnn").values.tolist() == [0, 1]


def test_a_run_that_reaches_the_level_and_then_diverges_costs_the_whole_budget(results, settings):
    ds = results({"horn_cnn": [20, 30], "cnn": [50, 60]}, diverged=[(0, 0, 100)])
    assert headline(times_of(ds, settings())).sel(contender="horn_cnn").values.tolist() == [1000, 32]


def test_the_budget_on_each_axis_is_the_smallest_that_all_have(results, settings):
    ds = results({"horn_cnn": [20, 700], "cnn": [50, 60]})
    ds["training_flops"][0] *= 4.0
    times = times_of(ds, settings())
    assert (times["budget"].sel(axis="training_flops") == 1e9).all()
    assert headline(times, "training_flops").sel(contender="horn_cnn").values.tolist() == [88e6, 1e9]
    assert headline(times, "training_flops", "event").sel(contender="horn_cnn").values.tolist() == [1, 0]
    assert headline(times, "step", "event").sel(contender="horn_cnn").values.tolist() == [1, 1]


def test_a_cheap_arm_with_another_presentation_does_not_cut_the_budget_of_those_it_is_not_compared_with(
    results, settings
):
    ds = results({"horn_cnn": [20, 700], "cnn": [50, 60], "horn": [30, 40]})
    ds["training_flops"][2] /= 10
    ds["presentation"] = ("cell", ["image", "image", "rows"])
    budget = times_of(ds.set_coords("presentation"), settings())["budget"].sel(axis="training_flops")
    assert budget.values.tolist() == [1e9, 1e9, 1e8]


def test_the_budget_of_a_contender_whose_runs_all_diverged_is_carried_on(results, settings):
    ds = results({"horn_cnn": [20, 30], "cnn": [50, 60]}, diverged=[(0, 0, 100), (0, 1, 50)])
    ds["training_flops"][0] /= 2
    times = times_of(ds, settings())
    assert float(times["budget"].sel(axis="training_flops").max()) == pytest.approx(0.5e9)
    assert (headline(times, "training_flops").sel(contender="horn_cnn") == pytest.approx(0.5e9)).all()


def test_only_evaluations_that_all_contenders_have_count(results, settings):
    ds = results({"horn_cnn": [20, 30.0], "cnn": [50, 60]})
    sparse = ds["step"].isin([1, 10, 100, 1000])
    ds["samples"] = ds["samples"].where(sparse | (ds["arm"] == "horn_cnn"))
    ds["validation_metric"] = ds["validation_metric"].where(sparse | (ds["arm"] == "horn_cnn"))
    times = times_of(ds, settings())
    assert headline(times).sel(contender="horn_cnn").values.tolist() == [100, 100]


def test_a_contender_without_runs_does_not_narrow_the_grid_and_stays_unknown(results, settings):
    ds = results({"horn_cnn": [20, 30.0], "cnn": [50, 60], "leaky_cnn": [1, 1]}, missing=[(2, 0), (2, 1)])
    times = times_of(ds, settings())
    assert headline(times).sel(contender="horn_cnn").values.tolist() == [22, 32]
    assert headline(times).sel(contender="leaky_cnn").isnull().all()


def test_the_level_is_a_share_of_the_baselines_gain_over_chance(results, settings):
    ds = results({"horn_cnn": [20, 30.0], "cnn": [50, 60]}, final=0.95)
    times = times_of(ds, settings(), reference=xr.DataArray([0.8], {"dataset": ["digits"]}, "dataset"))
    assert times["level"].sel(dataset="digits", target=0.9) == pytest.approx(0.1 + 0.9 * 0.7)


def test_the_baselines_metric_is_a_median_in_which_diverged_runs_count_as_chance(results):
    ds = results({"cnn": [50, 60, 70]}, diverged=[(0, 0, 10), (0, 2, 10)])
    assert baseline_metric(contenders(ds), "cnn").item() == pytest.approx(0.1)
    assert baseline_metric(contenders(results({"cnn": [50, 60, 70]})), "cnn").item() == pytest.approx(
        1, abs=1e-6
    )
    assert np.isnan(baseline_metric(contenders(results({"mlp": [5]})), "cnn").item())


@pytest.mark.parametrize("reference", [np.nan, 0.1, 0.05])
def test_without_a_baseline_that_has_learned_there_are_no_times(results, settings, reference):
    given = xr.DataArray([reference], {"dataset": ["digits"]}, "dataset")
    times = times_of(results({"horn_cnn": [20, 30.0], "cnn": [50, 60]}), settings(), given)
    assert times["restricted_time"].isnull().all() and times["level"].isnull().all()
    assert (times["event"] == 0).all()


def test_a_metric_that_is_to_fall_is_reached_from_above(results, settings):
    ds = results({"horn_cnn": [20, 30.0], "cnn": [50, 60]})
    ds = ds.assign_coords(direction=("cell", ["minimise"] * 2), chance_level=("cell", [1.0, 1.0]))
    for name in ("validation_metric", "final_validation_metric"):
        ds[name] = 1.1 - ds[name]
    assert headline(times_of(ds, settings())).sel(contender="horn_cnn").values.tolist() == [22, 32]
