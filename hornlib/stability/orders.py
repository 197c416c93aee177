"""The order of convergence of each integrator, measured against the exact flow of the oscillator."""

from typing import get_args

import numpy as np
import torch
import xarray as xr

from hornlib.dynamics.oscillator import Constants, OscillatorState, coefficients, step
from hornlib.dynamics.parameters import Integrator
from hornlib.randomness import derive_seed

__all__ = ["integrator_orders"]

DURATION = 10.0
"""T h, units of time, the same for every integration step."""

NUM_STEPS = (256, 512, 1024, 2048, 4096, 8192)

NUM_OSCILLATORS = 64

LEVEL = 0.95


def integrator_orders() -> xr.Dataset:
    """Return each integrator's error at a fixed duration T h, and the slope of ln error over ln h.

    The error is |z_T - exp(A T h) z_0| / |z_0| for z = (x, y) and A = [[0, 1], [-omega^2, -2 damping]], with scipy's
    matrix exponential in float64. There are 64 random oscillators (omega log-uniform on [0.5, 2], damping / omega
    uniform on [0, 1.5]). Each has its own slope by least squares over the integration steps. The order is the mean of
    the slopes, with Student's interval.

    Returns:
        `integration_error` (integrator, integration_step), a geometric mean over oscillators; `order`
        (integrator) and `order_bound` (integrator, bound).
    """
    from scipy.stats import t as student

    integrators = get_args(Integrator)
    steps = DURATION / np.array(NUM_STEPS)
    errors = np.array([[_errors(kind, number) for number in NUM_STEPS] for kind in integrators])
    centred = np.log(steps) - np.log(steps).mean()
    slopes = np.einsum("h,khn->kn", centred, np.log(errors)) / (centred**2).sum()
    spread = slopes.std(axis=1, ddof=1) / np.sqrt(NUM_OSCILLATORS)
    half = student.ppf((1 + LEVEL) / 2, NUM_OSCILLATORS - 1) * spread
    order = slopes.mean(axis=1)
    orders = xr.Dataset(
        {
            "integration_error": (("integrator", "integration_step"), np.exp(np.log(errors).mean(axis=2))),
            "order": ("integrator", order),
            "order_bound": (("integrator", "bound"), np.stack([order - half, order + half], axis=1)),
        },
        coords={
            "integrator": list(integrators),
            "integration_step": steps,
            "bound": ["low", "high"],
        },
        attrs={"duration": DURATION, "num_oscillators": NUM_OSCILLATORS},
    )
    return _described(orders)


def _described(orders: xr.Dataset) -> xr.Dataset:
    attributes = {
        "integration_error": ("1", "relative error of the state at a fixed duration"),
        "order": ("1", "order of convergence"),
        "order_bound": ("1", "interval of the order of convergence"),
        "integrator": ("1", "integrator"),
        "integration_step": ("unit of time", "integration step"),
        "bound": ("1", "end of the interval"),
    }
    for name, (units, long_name) in attributes.items():
        orders[name].attrs.update(units=units, long_name=long_name)
    orders["order"].attrs["estimator"] = (
        f"mean over {NUM_OSCILLATORS} random oscillators of the least-squares slope of ln error over ln h"
    )
    orders["order_bound"].attrs["interval"] = f"Student's, {LEVEL:.0%}, n = {NUM_OSCILLATORS} oscillators"
    orders["integration_error"].attrs["estimator"] = f"geometric mean over {NUM_OSCILLATORS} oscillators"
    return orders


def _errors(integrator: Integrator, num_steps: int) -> np.ndarray:
    """Return every oscillator's relative error after `num_steps` steps, (oscillators,)."""
    from scipy.linalg import expm

    omega, damping, start = _oscillators()
    h = DURATION / num_steps
    constants = Constants(*(torch.from_numpy(values) for values in (omega, damping, np.zeros_like(omega))))
    factors = coefficients(constants, h, integrator)
    state = OscillatorState(*(torch.from_numpy(values) for values in start))
    still = torch.zeros_like(state.x)
    for _ in range(num_steps):
        state = step(state, still, factors, h, integrator)
    matrices = np.zeros((len(omega), 2, 2))
    matrices[:, 0, 1], matrices[:, 1, 0], matrices[:, 1, 1] = 1, -(omega**2), -2 * damping
    exact = np.einsum("nij,jn->in", expm(DURATION * matrices), start)
    end = np.stack([state.x.numpy(), state.y.numpy()])
    return np.linalg.norm(end - exact, axis=0) / np.linalg.norm(start, axis=0)


def _oscillators() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return omega and damping, (oscillators,), and the initial states, (2, oscillators)."""
    random = np.random.default_rng(derive_seed("integrator orders"))
    omega = 2.0 ** random.uniform(-1, 1, NUM_OSCILLATORS)
    return omega, omega * random.uniform(0, 1.5, NUM_OSCILLATORS), random.normal(size=(2, NUM_OSCILLATORS))
