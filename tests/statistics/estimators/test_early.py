"""The metric at early steps, and diverged runs as chance: hand cases."""

import numpy as np
import xarray as xr

from hornlib.statistics.estimators.early import metric_at

STEPS = [1, 2, 5, 10, 20]


def curves(*rows):
    return xr.DataArray(np.array(rows, float), {"step": STEPS}, ("seed", "step"))


def everywhere(*steps):
    return xr.DataArray(np.isin(STEPS, steps or STEPS), {"step": STEPS}, ("step",))


def test_the_last_evaluation_at_or_before_the_step_counts():
    found = metric_at(curves([0.1, 0.2, 0.5, 0.8, 0.9]), everywhere(), [1, 4, 5, 19, 20])
    np.testing.assert_array_equal(found, [[0.1, 0.2, 0.5, 0.8, 0.9]])
    assert found.dims == ("seed", "early_step") and found["early_step"].values.tolist() == [1, 4, 5, 19, 20]


def test_steps_without_an_evaluation_are_passed_over():
    found = metric_at(curves([0.1, np.nan, 0.5, np.nan, 0.9]), everywhere(1, 5, 20), [2, 10])
    np.testing.assert_array_equal(found, [[0.1, 0.5]])


def test_before_the_first_evaluation_and_after_the_end_there_is_none():
    found = metric_at(curves([np.nan, 0.2, 0.5, 0.8, np.nan]), everywhere(2, 5, 10), [1, 10, 11, 300])
    np.testing.assert_array_equal(found, [[np.nan, 0.8, np.nan, np.nan]])


def test_every_cell_has_its_own_evaluations():
    metric = xr.DataArray([[0.1, 0.2, 0.3, 0.4, 0.5]] * 2, {"step": STEPS}, ("contender", "step"))
    evaluated = xr.concat([everywhere(), everywhere(1, 20)], "contender")
    np.testing.assert_array_equal(metric_at(metric, evaluated, [10]), [[0.4], [0.1]])
