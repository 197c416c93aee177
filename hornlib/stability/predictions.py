"""Predictions for the oscillators of every cell: for the homogeneous oscillator, and for the draw of every seed."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from hornlib.dynamics import stability
from hornlib.dynamics.parameters import Oscillator
from hornlib.grid.cell import Cell
from hornlib.stability.nodes import Nodes, drawn_nodes, homogeneous_node, num_timesteps

__all__ = ["EXPECTATIONS", "expectation", "predict_cells", "stability_word"]

LARGEST_FLOAT32 = math.log10(float(np.finfo(np.float32).max))

VANISHED = 1e-3
"""A gradient vanishes if even the best node keeps less than this share of it over the horizon."""

EXPECTATIONS = ("overflow", "amplification", "vanishing gradient", "saturation or limit cycle")
"""How a run fails, if it fails: unstable beyond float32 within T steps; unstable, but finite; bounded with a vanishing
gradient; bounded otherwise. A stable oscillator under a force within [-alpha, alpha] is bounded for any recurrent
weights, so it cannot overflow."""


def stability_word(radius: float, stable: bool) -> str:
    """Return stable, marginal (undamped: spectral radius 1) or unstable.

    Args:
        radius: spectral radius of the step.
        stable: whether the free oscillator decays.
    """
    if stable:
        return "stable"
    return "marginal" if radius <= 1 + 1e-12 else "unstable"


def regime_word(prediction: stability.Prediction) -> str:
    """Return the behaviour of the free oscillator, growing or not: oscillatory, sign_flipping or monotone."""
    if prediction.oscillatory:
        return "oscillatory"
    return "sign_flipping" if prediction.sign_flipping else "monotone"


def expectation(growth: float, gradient_proxy: float) -> str:
    """Return the failure in `EXPECTATIONS` that threatens a run.

    Args:
        growth: log10 of the factor by which the worst node grows over the horizon; 0 if no node grows.
        gradient_proxy: factor by which a gradient shrinks over the horizon, the largest over nodes.
    """
    if growth > 0:
        return "overflow" if growth > LARGEST_FLOAT32 else "amplification"
    return "vanishing gradient" if gradient_proxy < VANISHED else "saturation or limit cycle"


def predict_cells(cells: Mapping[str, Cell], seeds: Mapping[str, Sequence[int]]) -> xr.Dataset:
    """Return the predictions for every cell: the variables `OF_CELL` on (cell) and `OF_DRAW` on (cell, seed).

    Args:
        cells: cells with oscillators, by name.
        seeds: name of a cell -> its wanted seeds; values of other seeds are NaN or "".
    """
    all_seeds = sorted({seed for name in cells for seed in seeds[name]})
    homogeneous = [_of_cell(cell) for cell in cells.values()]
    drawn = [
        [_of_draw(cell, seed) if seed in seeds[name] else None for seed in all_seeds]
        for name, cell in cells.items()
    ]
    ds = xr.Dataset(coords={"cell": list(cells), "seed": np.array(all_seeds, np.int64)})
    for name, (units, long_name) in OF_CELL.items():
        ds[name] = (
            "cell",
            [values[name] for values in homogeneous],
            {"units": units, "long_name": long_name},
        )
    for name, (units, long_name) in OF_DRAW.items():
        blank: Any = "" if name in WORDS else math.nan
        rows = [[blank if values is None else values[name] for values in row] for row in drawn]
        table = np.array(rows, str if name in WORDS else float).reshape(len(cells), len(all_seeds))
        ds[name] = (("cell", "seed"), table, {"units": units, "long_name": long_name})
    ds["cell"].attrs.update(units="1", long_name="name of the cell")
    ds["seed"].attrs.update(units="1", long_name="seed")
    return ds


OF_CELL: dict[str, tuple[str, str]] = {
    "omega_h": ("rad", "omega times integration step, of the homogeneous oscillator"),
    "damping_h": ("1", "damping times integration step, of the homogeneous oscillator"),
    "timesteps": ("1", "recurrent steps of one example"),
    "heterogeneity": ("1", "spread of the constants over nodes"),
    "integrator": ("1", "integrator"),
    "stability": ("1", "whether the free oscillator decays: stable, marginal or unstable"),
    "regime": ("1", "behaviour of the free oscillator: oscillatory, monotone or sign_flipping"),
    "spectral_radius": ("1", "factor a step of the slowest mode"),
    "time_constant": ("1", "steps in which the slowest mode falls to 1/e; infinite if it does not fall"),
    "num_cycles": ("1", "cycles within the horizon"),
    "damping_ratio": ("1", "damping over omega"),
    "dc_gain": ("1", "displacement under a constant unit force"),
    "resonance_gain": ("1", "amplitude under a unit sine at resonance"),
    "bound": ("1", "largest displacement that any force within alpha reaches from rest within the horizon"),
    "gradient_proxy": ("1", "factor by which a gradient shrinks over the horizon"),
}
"""Variable on `cell` -> units and long name."""

OF_DRAW: dict[str, tuple[str, str]] = {
    "worst_stability": ("1", "stability of the drawn node with the largest spectral radius"),
    "worst_regime": ("1", "regime of the drawn node with the largest spectral radius"),
    "worst_spectral_radius": ("1", "largest spectral radius of the drawn nodes"),
    "worst_omega_h": ("rad", "omega times integration step of that node"),
    "worst_damping_h": ("1", "damping times integration step of that node"),
    "worst_growth": (
        "1",
        "log10 of the factor by which that node grows over the horizon; 0 if it does not grow",
    ),
    "unstable_share": ("1", "share of drawn nodes that are unstable"),
    "oscillatory_share": ("1", "share of drawn nodes that oscillate"),
    "sign_flipping_share": ("1", "share of drawn nodes that change sign at every step"),
    "smallest_gradient_proxy": ("1", "smallest gradient proxy of the drawn nodes"),
    "largest_gradient_proxy": ("1", "largest gradient proxy of the drawn nodes"),
    "expected_failure": ("1", "how the run fails, if it fails"),
}
"""Variable on (cell, seed) -> units and long name."""

WORDS = ("worst_stability", "worst_regime", "expected_failure")


def _of_cell(cell: Cell) -> dict[str, Any]:
    node = homogeneous_node(cell)
    predicted = _predict(node, 0, num_timesteps(cell))
    return {
        **predicted._asdict(),
        "omega_h": float(node.omega[0] * node.integration_step),
        "damping_h": float(node.damping[0] * node.integration_step),
        "timesteps": num_timesteps(cell),
        "heterogeneity": cell.model.canonical()["heterogeneity"],
        "integrator": node.integrator,
        "stability": stability_word(predicted.spectral_radius, predicted.stable),
        "regime": regime_word(predicted),
    }


def _of_draw(cell: Cell, seed: int) -> dict[str, Any]:
    nodes, timesteps = drawn_nodes(cell, seed), num_timesteps(cell)
    predictions = [_predict(nodes, index, timesteps) for index in range(len(nodes.num_nodes))]
    share = nodes.num_nodes / nodes.num_nodes.sum()
    radii = np.array([prediction.spectral_radius for prediction in predictions])
    worst = int(radii.argmax())
    words = [stability_word(prediction.spectral_radius, prediction.stable) for prediction in predictions]
    growth = timesteps * math.log10(radii[worst]) if words[worst] == "unstable" else 0.0
    proxies = [prediction.gradient_proxy for prediction in predictions]
    return {
        "worst_stability": words[worst],
        "worst_regime": regime_word(predictions[worst]),
        "worst_spectral_radius": radii[worst],
        "worst_omega_h": nodes.omega[worst] * nodes.integration_step,
        "worst_damping_h": nodes.damping[worst] * nodes.integration_step,
        "worst_growth": growth,
        "unstable_share": share[np.array(words) == "unstable"].sum(),
        "oscillatory_share": share[[prediction.oscillatory for prediction in predictions]].sum(),
        "sign_flipping_share": share[[prediction.sign_flipping for prediction in predictions]].sum(),
        "smallest_gradient_proxy": min(proxies),
        "largest_gradient_proxy": max(proxies),
        "expected_failure": expectation(growth, max(proxies)),
    }


def _predict(nodes: Nodes, index: int, timesteps: int) -> stability.Prediction:
    omega, damping, alpha = (float(values[index]) for values in (nodes.omega, nodes.damping, nodes.alpha))
    oscillator = Oscillator(omega, damping, alpha, nodes.integration_step)
    return stability.predict(oscillator, nodes.integrator, timesteps)
