"""The area under the learning curve over log steps: closed forms."""

import numpy as np
import pytest
import xarray as xr

from hornlib.statistics.estimators.area import area_under_curve

STEPS = np.array([1, 2, 5, 10, 30, 100, 1000])


def area(curve, steps=STEPS, evaluated=True):
    metric = xr.DataArray(np.array(curve, float), {"step": steps}, ("step",))
    return area_under_curve(metric, xr.ones_like(metric, bool) & evaluated).item()


def test_a_constant_metric_is_its_own_area():
    assert area(np.full(7, 0.7)) == pytest.approx(0.7)


def test_a_metric_linear_in_log_steps_has_the_area_one_half():
    assert area(np.log(STEPS) / np.log(1000)) == pytest.approx(0.5)


def test_it_converges_to_the_integral():
    steps = np.geomspace(1, 10**6, 4000)
    # 1 - 1/s over ln s from 0 to L = ln S: 1 - (1 - exp(-L)) / L
    length = np.log(steps[-1])
    assert area(1 - 1 / steps, steps) == pytest.approx(1 - (1 - np.exp(-length)) / length, abs=2e-4)


def test_an_early_rise_weighs_as_much_as_a_late_one_by_the_decade():
    early, late = np.where(STEPS >= 10, 1.0, 0.0), np.where(STEPS >= 100, 1.0, 0.0)
    between = np.log(100 / 10) / np.log(1000)
    assert area(early) - area(late) == pytest.approx(between, abs=np.log(10 / 3) / np.log(1000))


def test_steps_without_an_evaluation_are_passed_over():
    curve = np.log(STEPS) / np.log(1000)
    gaps = np.isin(STEPS, [1, 10, 1000])
    assert area(np.where(gaps, curve, np.nan), evaluated=gaps) == pytest.approx(0.5)


def test_without_the_first_step_or_with_one_evaluation_or_a_hole_there_is_none():
    curve = np.full(7, 0.5)
    assert np.isnan(area(curve, evaluated=STEPS > 1))
    assert np.isnan(area(curve, evaluated=STEPS == 1))
    assert np.isnan(area(np.where(STEPS == 10, np.nan, curve)))


def test_many_runs_at_once_are_each_run_alone():
    values = np.random.default_rng(0).random((3, 4, 7))
    metric = xr.DataArray(values, {"step": STEPS}, ("contender", "seed", "step"))
    found = area_under_curve(metric, xr.DataArray(np.ones((3, 7), bool), dims=("contender", "step")))
    assert found.dims == ("contender", "seed")
    np.testing.assert_allclose(found[1, 2], np.trapezoid(values[1, 2], np.log(STEPS)) / np.log(1000))
