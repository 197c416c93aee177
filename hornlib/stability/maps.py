"""Maps of stability on fine grids: the prediction, its border as a curve, and the outcome of a simulation."""

from typing import get_args

import numpy as np
import xarray as xr

from hornlib.dynamics import stability
from hornlib.dynamics.oscillator import draw_constants
from hornlib.dynamics.parameters import Integrator, OscillatorParameters
from hornlib.randomness import generator
from hornlib.stability.border import (
    critical_heterogeneity,
    oscillatory_interval,
    stable_interval,
    unstable_share,
)
from hornlib.stability.simulation import agreement, growth_rate

__all__ = ["REGIMES", "heterogeneity_map", "plane_map", "predicted_regime"]

REGIMES = ("unstable", "monotone", "oscillatory", "sign_flipping")
"""Behaviours of a free oscillator; it decays in all but the first."""

LARGEST_OMEGA_H, LARGEST_DAMPING_H = 3.0, 1.5

MAP_STEPS = 2048

NUM_DRAWN = 128
"""Nodes drawn at each point of the map over timesteps and heterogeneity."""


def predicted_regime(omega_h: np.ndarray, damping_h: np.ndarray, integrator: Integrator) -> np.ndarray:
    """Return the index in `REGIMES` of the predicted behaviour of the free oscillator.

    Args:
        omega_h: omega times the integration step, of any shape, such as (damping_h, omega_h).
        damping_h: damping times the integration step, of the same shape.
        integrator: the update rule.

    Returns:
        int8, of the shape of the inputs.
    """

    def regime(omega: float, damping: float) -> int:
        if not stability.is_stable(omega, damping, 1.0, integrator):
            return REGIMES.index("unstable")
        if stability.is_oscillatory(omega, damping, 1.0, integrator):
            return REGIMES.index("oscillatory")
        flips = stability.is_sign_flipping(omega, damping, 1.0, integrator)
        return REGIMES.index("sign_flipping" if flips else "monotone")

    return np.vectorize(regime, otypes=[np.int8])(omega_h, damping_h)


def plane_map(num_points: int = 121) -> xr.Dataset:
    """Return prediction and simulation over (omega h, damping h) for every integrator.

    Args:
        num_points: number of points along each axis; no point has omega h = 0 or damping h = 0.

    Returns:
        (integrator, damping_h, omega_h): `regime` (flags as in `REGIMES`), `spectral_radius`, `measured_growth`.
        (integrator, damping_h, bound): `border`, the omega h at which the stable region begins and ends, and
        `oscillatory_band`, the same for complex pairs. (integrator): `num_decided`, `num_undecided`, `num_mismatches`.
    """
    integrators = get_args(Integrator)
    middle = (np.arange(num_points) + 0.5) / num_points
    omega_h, damping_h = LARGEST_OMEGA_H * middle, LARGEST_DAMPING_H * middle
    damping, omega = np.meshgrid(damping_h, omega_h, indexing="ij")
    planes = [_plane(omega, damping, integrator) for integrator in integrators]
    plane = ("integrator", "damping_h", "omega_h")
    curve = ("integrator", "damping_h", "bound")
    maps = xr.Dataset(
        {
            **{name: (plane, np.stack([values[name] for values in planes])) for name in planes[0]},
            "border": (curve, [[stable_interval(d, kind) for d in damping_h] for kind in integrators]),
            "oscillatory_band": (
                curve,
                [[oscillatory_interval(d, kind) for d in damping_h] for kind in integrators],
            ),
        },
        coords={
            "integrator": list(integrators),
            "damping_h": damping_h,
            "omega_h": omega_h,
            "bound": ["low", "high"],
        },
    )
    for name in ("num_decided", "num_undecided", "num_mismatches"):
        counts = [
            getattr(agreement(values["regime"] > 0, values["measured_growth"], MAP_STEPS), name)
            for values in planes
        ]
        maps[name] = ("integrator", counts)
    return _described(maps)


def _plane(omega: np.ndarray, damping: np.ndarray, integrator: Integrator) -> dict[str, np.ndarray]:
    radius = np.vectorize(stability.spectral_radius, otypes=[float])(omega, damping, 1.0, integrator)
    return {
        "regime": predicted_regime(omega, damping, integrator),
        "spectral_radius": radius,
        "measured_growth": growth_rate(omega, damping, integrator, MAP_STEPS),
    }


def heterogeneity_map(
    num_cycles: float = 1.0, damping_ratio: float = 0.1, largest_timesteps: int = 32, num_points: int = 41
) -> xr.Dataset:
    """Return the share of unstable nodes over (timesteps, heterogeneity) under HORN's symplectic step.

    The constants are those of the preset unit_gain, omega = 2 pi num_cycles / (h T), drawn log-uniformly. The measured
    share is over nodes that are drawn as a network draws them, and then simulated.

    Args:
        num_cycles: cycles of the homogeneous oscillator within T steps.
        damping_ratio: damping over omega.
        largest_timesteps: largest T; the map has every T from 1.
        num_points: number of values of heterogeneity from 0 to 2.

    Returns:
        `unstable_share` and `measured_unstable_share` (timesteps, heterogeneity), and
        `critical_heterogeneity` (timesteps).
    """
    timesteps, spreads = np.arange(1, largest_timesteps + 1), np.linspace(0, 2, num_points)
    kind: Integrator = "symplectic_euler"
    critical = [critical_heterogeneity(T, num_cycles, damping_ratio, kind) for T in timesteps.tolist()]
    predicted = [[unstable_share(spread, border) for spread in spreads] for border in critical]
    parameters = OscillatorParameters(
        preset="unit_gain", num_cycles=num_cycles, damping_ratio=damping_ratio, integrator=kind
    )
    drawn = np.array([[_drawn(parameters, T, spread) for spread in spreads] for T in timesteps.tolist()])
    grown = growth_rate(drawn[..., 0, :], drawn[..., 1, :], kind, MAP_STEPS) > 0
    plane = ("timesteps", "heterogeneity")
    maps = xr.Dataset(
        {
            "unstable_share": (plane, predicted),
            "measured_unstable_share": (plane, grown.mean(axis=-1)),
            "critical_heterogeneity": ("timesteps", critical),
        },
        coords={"timesteps": timesteps, "heterogeneity": spreads},
        attrs={"num_cycles": num_cycles, "damping_ratio": damping_ratio, "num_drawn": NUM_DRAWN},
    )
    return _described(maps)


def _drawn(parameters: OscillatorParameters, timesteps: int, heterogeneity: float) -> np.ndarray:
    """Return omega h and damping h of randomly drawn nodes, (2, nodes)."""
    draws = generator("heterogeneity map", timesteps, round(1000 * heterogeneity))
    constants = draw_constants(
        parameters.oscillator(timesteps), (NUM_DRAWN,), heterogeneity, "log_uniform", draws
    )
    h = parameters.integration_step
    return np.stack([h * constants.omega.double().numpy(), h * constants.damping.double().numpy()])


ATTRIBUTES: dict[str, tuple[str, str]] = {
    "regime": ("1", "predicted behaviour of the free oscillator"),
    "spectral_radius": ("1", "predicted factor a step of the slowest mode"),
    "measured_growth": ("1", "ln of the factor a step, measured in a simulation"),
    "border": ("rad", "omega h at which the stable region begins and ends"),
    "oscillatory_band": ("rad", "omega h between which the free oscillator rings"),
    "num_decided": ("1", "points at which the simulation decides"),
    "num_undecided": ("1", "points too near the border for the simulation"),
    "num_mismatches": ("1", "points at which simulation and prediction differ"),
    "integrator": ("1", "integrator"),
    "damping_h": ("1", "damping times integration step"),
    "omega_h": ("rad", "omega times integration step"),
    "bound": ("1", "end of the interval"),
    "unstable_share": ("1", "expected share of unstable nodes"),
    "measured_unstable_share": ("1", "share of drawn nodes that grew in a simulation"),
    "critical_heterogeneity": ("1", "heterogeneity above which the fastest node is unstable"),
    "timesteps": ("1", "number of recurrent steps"),
    "heterogeneity": ("1", "spread of the constants over nodes"),
}


def _described(maps: xr.Dataset) -> xr.Dataset:
    for name, variable in maps.variables.items():
        units, long_name = ATTRIBUTES[str(name)]
        variable.attrs.update(units=units, long_name=long_name)
    if "regime" in maps:
        flags = np.arange(len(REGIMES), dtype=np.int8)
        maps["regime"].attrs.update(flag_values=flags, flag_meanings=" ".join(REGIMES))
        maps["measured_growth"].attrs["estimator"] = (
            f"change of ln of the state's norm over the second half of {MAP_STEPS} free steps, float64"
        )
        decisive = "points whose norm changed by a factor of at least 100 in that half decide"
        maps["num_decided"].attrs["estimator"] = decisive
    if "measured_unstable_share" in maps:
        maps["measured_unstable_share"].attrs["estimator"] = (
            f"share of {NUM_DRAWN} nodes drawn log-uniformly whose norm grew over {MAP_STEPS} free steps"
        )
    return maps
