"""Linear test of the Fractional-DNN over depth: growth of y, and the stability border for large depth."""

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr

from hornlib.dynamics.fractional_stability import largest_stable_step, linear_test, stability_limit

__all__ = ["depth_map", "measured_border"]


def depth_map(
    fractional_orders: Sequence[float] = (0.3, 0.5, 0.8, 1.0), largest_depth: int = 64, num_points: int = 121
) -> xr.Dataset:
    """Return the growth of D^gamma y = -y under the explicit L1 scheme over (depth, tau).

    For another lambda < 0, the map holds at the step tau |lambda|^(1 / gamma).

    Args:
        fractional_orders: values of gamma in (0, 1].
        largest_depth: largest L; the map has every L from 1.
        num_points: number of steps tau, from half to twice the border, equally spaced in their logarithm.

    Returns:
        `log10_growth` (fractional_order, depth, relative_step), log10 of |y_L| / |y_0|; `layer_step`
        (fractional_order, relative_step), tau; `border` (fractional_order), the tau above which y grows without
        bound.
    """
    relative = 2.0 ** np.linspace(-1, 1, num_points)
    borders = np.array([largest_stable_step(-1.0, gamma) for gamma in fractional_orders])
    steps = borders[:, None] * relative
    growth = [
        _log10_growth(tau**gamma * math.gamma(2 - gamma), gamma, largest_depth)
        for gamma, tau in zip(fractional_orders, steps, strict=True)
    ]
    plane = ("fractional_order", "depth", "relative_step")
    return xr.Dataset(
        {
            "log10_growth": (plane, growth, _attributes("1", "log10 of |y_L| / |y_0|")),
            "layer_step": (
                ("fractional_order", "relative_step"),
                steps,
                _attributes("unit of time", "tau, for lambda = -1"),
            ),
            "border": ("fractional_order", borders, _attributes("unit of time", "largest stable tau")),
        },
        coords={
            "fractional_order": ("fractional_order", list(fractional_orders), _attributes("1", "gamma")),
            "depth": ("depth", np.arange(1, largest_depth + 1), _attributes("1", "layers")),
            "relative_step": ("relative_step", relative, _attributes("1", "tau over the border's")),
        },
    )


def measured_border(fractional_order: float, depth: int, tolerance: float = 1e-6) -> float:
    """Return the tau^gamma Gamma(2 - gamma) |lambda| above which a simulation of this depth grows at its end.

    The value follows from bisection between 0.5 and 2 times the prediction. A simulation grows if |y_L| > |y_{L-2}|:
    y alternates in sign, so that every second value is compared.

    Args:
        fractional_order: gamma, in (0, 1].
        depth: L >= 3.
        tolerance: relative tolerance of the result.
    """
    low, high = (factor * stability_limit(fractional_order) for factor in (0.5, 2.0))
    while high - low > tolerance * low:
        middle = (low + high) / 2
        states = np.abs(linear_test(np.array([middle]), fractional_order, depth)[:, 0])
        if states[-1] > states[-3]:
            high = middle
        else:
            low = middle
    return high


def _log10_growth(strength: np.ndarray, gamma: float, depth: int) -> np.ndarray:
    states = np.abs(linear_test(strength, gamma, depth)[1:])
    return np.log10(np.maximum(states, np.finfo(float).tiny))


def _attributes(units: str, long_name: str) -> dict[str, str]:
    return {"units": units, "long_name": long_name}
