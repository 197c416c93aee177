"""Every integrator is of first order, measured against the exact flow."""

import numpy as np

from hornlib.stability.orders import DURATION, integrator_orders


def test_every_integrator_converges_with_first_order_and_a_narrow_interval():
    orders = integrator_orders()
    low, high = orders["order_bound"].sel(bound="low"), orders["order_bound"].sel(bound="high")
    assert orders.sizes["integrator"] == 3
    assert ((orders["order"] > 0.97) & (orders["order"] < 1.05)).all()
    assert ((low < orders["order"]) & (orders["order"] < high) & (high - low < 0.1)).all()
    assert orders["order_bound"].attrs["interval"] and orders["order"].attrs["estimator"]


def test_the_error_halves_with_the_step_and_explicit_euler_errs_most():
    error = integrator_orders()["integration_error"]
    ratio = (
        error.isel(integration_step=slice(None, -1)).values
        / error.isel(integration_step=slice(1, None)).values
    )
    np.testing.assert_allclose(ratio[:, -2:], 2, rtol=0.1)
    finest = error.isel(integration_step=-1)
    assert finest.sel(integrator="explicit_euler") > finest.sel(integrator="symplectic_euler")
    assert float(error["integration_step"][0] * 256) == DURATION
