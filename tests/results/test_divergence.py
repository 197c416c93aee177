"""A diverged run counts as chance, and a missing run does not count."""

import numpy as np
import xarray as xr

from hornlib.results.divergence import curves_with_chance, final_with_chance

NAN = np.nan
DIVERGED_AT = xr.DataArray([3, NAN, NAN], dims="seed")
CHANCE = xr.DataArray(0.25)


def test_a_curve_is_chance_from_the_step_of_divergence_on():
    runs = [[0.1, 0.5, NAN, NAN, NAN], [NAN] * 5, [0.1, 0.2, 0.3, 0.4, 0.5]]
    metric = xr.DataArray(runs, {"step": [1, 2, 3, 10, 20]}, ("seed", "step"))
    counted = curves_with_chance(metric, DIVERGED_AT, CHANCE)
    assert counted.dims == metric.dims
    np.testing.assert_array_equal(
        counted, [[0.1, 0.5, 0.25, 0.25, 0.25], [NAN] * 5, [0.1, 0.2, 0.3, 0.4, 0.5]]
    )


def test_the_final_metric_of_a_diverged_run_is_chance_by_dataset():
    metric = xr.DataArray([[NAN, NAN, 0.5], [NAN, 0.7, 0.8]], dims=("cell", "seed"))
    counted = final_with_chance(metric, DIVERGED_AT, xr.DataArray([0.25, 0.1], dims="cell"))
    np.testing.assert_array_equal(counted, [[0.25, NAN, 0.5], [0.1, 0.7, 0.8]])
