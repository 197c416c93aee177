"""The map over depth: closed forms at order one, and a measured border that tends to the predicted one."""

import numpy as np
import pytest

from hornlib.dynamics.fractional_stability import largest_stable_step, stability_limit
from hornlib.report.fractional_map import draw_depth_map
from hornlib.stability.depth_map import depth_map, measured_border


@pytest.fixture(scope="module")
def maps():
    return depth_map((0.5, 1.0), largest_depth=12, num_points=9)


def test_at_order_one_the_growth_is_that_of_euler(maps):
    own = maps.sel(fractional_order=1.0)
    own = own.where(own["layer_step"] > 1.01, drop=True)  # at tau = 1 nothing is left after one step
    expected = own["depth"] * np.log10(own["layer_step"] - 1)
    np.testing.assert_allclose(
        own["log10_growth"].transpose("depth", ...), expected.transpose("depth", ...), atol=1e-9
    )


def test_the_border_is_the_step_of_relative_one(maps):
    for order in (0.5, 1.0):
        own = maps.sel(fractional_order=order)
        assert own["border"].item() == pytest.approx(largest_stable_step(-1.0, order))
        assert own["layer_step"].sel(relative_step=1.0).item() == pytest.approx(own["border"].item())


def test_beyond_the_border_depth_makes_it_grow_and_below_it_does_not(maps):
    deepest = maps["log10_growth"].isel(depth=-1)
    assert (deepest.sel(relative_step=0.5) < 0).all()
    assert (deepest.sel(relative_step=2.0) > 1).all()


@pytest.mark.parametrize("order", [0.3, 0.5, 0.8, 1.0])
def test_the_measured_border_tends_to_the_predicted_one(order):
    errors = [abs(measured_border(order, depth) / stability_limit(order) - 1) for depth in (16, 64, 256)]
    assert errors[2] < 0.01
    assert errors[2] <= errors[1] <= errors[0] + 1e-6


def test_every_quantity_says_its_unit_and_meaning(maps):
    assert all({"units", "long_name"} <= set(variable.attrs) for variable in maps.variables.values())


def test_the_figure_has_a_panel_an_order_and_draws_the_border(maps):
    panels = draw_depth_map(maps).axes[:2]
    for axes, order, border in zip(panels, (0.5, 1.0), maps["border"].values, strict=True):
        assert axes.get_title() == f"gamma = {order:g}, border {border:.3g}"
        assert any(line.get_xdata()[0] == pytest.approx(border) for line in axes.lines)
