"""Stability: what was predicted before any training, beside what happened."""

import numpy as np
import xarray as xr

from hornlib.report.blocks import Block, Chart, Missing, Paragraph, Section, Swatch
from hornlib.report.charts.plane import BLUE, ORANGE, Place, plane_chart
from hornlib.report.evidence import Evidence
from hornlib.report.tables import table

__all__ = ["stability"]

PLANES = {
    "omega-damping": ("omega_h", "damping_h", "stability", "omega h", "damping h"),
    "timesteps-heterogeneity": ("timesteps", "heterogeneity", "worst", "timesteps", "heterogeneity"),
}
"""Plane -> its two variables, whose prediction it shows, and the titles of its axes."""

LEGEND = [
    Swatch("no run diverged", BLUE, (), "circle"),
    Swatch("all runs diverged", ORANGE, (), "circle"),
    Swatch("predicted stable", "#767676", (), "circle"),
    Swatch("predicted marginal", "#767676", (), "diamond"),
    Swatch("predicted unstable", "#767676", (), "square"),
]


def stability(evidence: Evidence) -> Section:
    """Return the section on stability."""
    groups = evidence.stability
    if not groups:
        missing = Missing("Stability was not predicted.", "hornlib stability")
        return Section("stability", "Stability", [missing])
    blocks: list[Block] = []
    cells = groups.get("cells")
    if cells is None or not cells.sizes.get("cell"):
        blocks.append(Paragraph("No cell of these sweeps has oscillators, so none is predicted."))
    else:
        blocks += _beside(cells)
        blocks += [_plane(cells, name, groups) for name in PLANES]
    if "orders" in groups:
        blocks.append(_orders(groups["orders"]))
    return Section("stability", "Stability", blocks)


def _beside(cells: xr.Dataset) -> list[Block]:
    """Return the table of what was expected against how runs ended."""
    if "num_runs" not in cells:
        return [Missing("Nothing was trained yet, or the predictions were made before it.", "hornlib stability")]
    counts = cells["num_runs"].transpose("expectation", "outcome").values
    rows = [
        [str(expected), *(float(count) for count in own)]
        for expected, own in zip(cells["expectation"].values, counts, strict=True)
    ]
    columns = ["expected failure, if any", *(str(outcome) for outcome in cells["outcome"].values)]
    caption = (
        f"How runs were expected to fail, if they fail, beside how they ended; n = {int(counts.sum())} runs of "
        f"{cells.sizes['cell']} cells with oscillators. Stable oscillators under a bounded force cannot overflow: "
        "there, failure means saturation, vanishing gradients or a limit cycle."
    )
    return [table("stability-outcomes", caption, columns, rows)]


def _plane(cells: xr.Dataset, name: str, groups: dict[str, xr.Dataset]) -> Block:
    x, y, predicted, *titles = PLANES[name]
    places = _places(cells, x, y, predicted)
    border = _border(groups.get("plane")) if x == "omega_h" else None
    told = ", dashed: where theory draws the border (symplectic Euler)" if border is not None else ""
    whose = "of the homogeneous oscillator" if predicted == "stability" else "of the worst node of any seed's draw"
    unstable = sum(place.predicted == "unstable" for place in places)
    diverged = sum(place.diverged > 0 for place in places)
    return Chart(
        f"stability-{name}",
        f"Prediction and outcome over {titles[0]} and {titles[1]}",
        f"Shape: prediction {whose}; colour: share of runs that diverged{told}. n = {len(places)} cells, "
        f"{cells.sizes['seed']} seeds.",
        f"{len(places)} cells; {unstable} are predicted unstable, and in {diverged} some run diverged.",
        plane_chart(places, (titles[0], titles[1]), border),
        LEGEND,
        marked=True,
    )


def _places(cells: xr.Dataset, x: str, y: str, predicted: str) -> list[Place]:
    words = cells["stability"].values if predicted == "stability" else _worst(cells)
    shares = np.full(cells.sizes["cell"], np.nan)
    if "status" in cells:
        status = cells["status"].transpose("cell", "seed").values
        ended = np.isin(status, ("complete", "diverged")).sum(1)
        shares = np.divide((status == "diverged").sum(1), ended, out=shares, where=ended > 0)
    columns = (cells[name].values for name in ("cell", x, y))
    return [
        Place(str(cell), float(a), float(b), str(word), float(share))
        for cell, a, b, word, share in zip(*columns, words, shares, strict=True)
        if np.isfinite(a) and np.isfinite(b)
    ]


def _worst(cells: xr.Dataset) -> list[str]:
    """Return the worst prediction of each cell over its seeds."""
    words = cells["worst_stability"].transpose("cell", "seed").values
    return [next((word for word in ("unstable", "marginal") if word in own), "stable") for own in words]


def _border(plane: xr.Dataset | None) -> tuple[np.ndarray, np.ndarray] | None:
    if plane is None or "symplectic_euler" not in plane["integrator"].values:
        return None
    upper = plane["border"].sel(integrator="symplectic_euler", bound="high")
    known = np.isfinite(upper.values) & (upper.values > 0)
    return upper.values[known], plane["damping_h"].values[known]


def _orders(orders: xr.Dataset) -> Block:
    columns = [str(orders["integrator"].attrs.get("long_name", "integrator")), "order", "low", "high"]
    bounds = orders["order_bound"].transpose("integrator", "bound").values
    rows = [
        [str(name), float(order), *(float(end) for end in ends)]
        for name, order, ends in zip(orders["integrator"].values, orders["order"].values, bounds, strict=True)
    ]
    caption = "Order of the integrators: slope of log error over log step against the exact flow, at a fixed horizon."
    return table("stability-orders", caption, columns, rows)
