"""Stability: predictions made before training, and how the runs ended."""

import xarray as xr

from hornlib.report.blocks import Block, Missing, Section
from hornlib.report.evidence import ReportEvidence
from hornlib.report.figures import picture
from hornlib.report.stability_maps import FIGURES, draw_stability_panels
from hornlib.report.tables import Row, table

__all__ = ["stability"]

SUMMARY = "What was predicted before training, and how the runs ended."

CAPTIONS = {
    "plane": (
        "Stable and unstable over omega h and damping h",
        "Theory's regions and border for each integrator, the share of simulated points that agree, and the cells: "
        "n = {cells} cells, {seeds} seeds.",
    ),
    "heterogeneity": (
        "Stable and unstable over timesteps and heterogeneity",
        "Share of drawn nodes that are unstable, its border, and the cells: n = {cells} cells, {seeds} seeds.",
    ),
    "outcome": (
        "Prediction and outcome",
        "Each run over the growth that was predicted for it: n = {cells} cells, {seeds} seeds.",
    ),
    "orders": (
        "Order of the integrators",
        "Error against the exact flow at a fixed horizon, and its slope with a 95 % interval.",
    ),
}
"""Figure -> its title and caption."""


def stability(evidence: ReportEvidence) -> Section:
    """Return the section on stability."""
    cells = evidence.stability.get("cells")
    if cells is None:
        missing = Missing("Stability was not predicted.", "hornlib stability")
        return Section("stability", "Stability", [missing], SUMMARY)
    if not cells.sizes.get("cell"):
        missing = Missing(
            "No cell of these sweeps has oscillators, so there is nothing to predict.",
            where="Models `horn`, `horn_cnn` and `cnn_horn` have oscillators; see config/stability.yaml.",
        )
        return Section("stability", "Stability", [missing], SUMMARY)
    blocks: list[Block] = [
        _outcomes(cells),
        *_pictures(evidence, cells),
        _orders(evidence.stability["orders"]),
    ]
    return Section("stability", "Stability", blocks, SUMMARY)


def _outcomes(cells: xr.Dataset) -> Block:
    """Return the table of expected failures against how runs ended."""
    if "num_runs" not in cells:
        return Missing("These predictions were made before anything was trained.", "hornlib stability")
    counts = cells["num_runs"].transpose("expectation", "outcome").values
    rows: list[Row] = [
        [str(expected), *(float(count) for count in by_outcome)]
        for expected, by_outcome in zip(cells["expectation"].values, counts, strict=True)
    ]
    columns = ["expected failure, if any", *(str(outcome) for outcome in cells["outcome"].values)]
    caption = (
        f"How runs were expected to fail, if they fail, beside how they ended; n = {int(counts.sum())} runs of "
        f"{cells.sizes['cell']} cells with oscillators. Stable oscillators under a bounded force cannot overflow: "
        "there, failure means saturation, vanishing gradients or a limit cycle."
    )
    return table("stability-outcomes", caption, columns, rows)


def _pictures(evidence: ReportEvidence, cells: xr.Dataset) -> list[Block]:
    counts = {"cells": cells.sizes["cell"], "seeds": cells.sizes["seed"]}
    pictures: list[Block] = []
    for part in FIGURES:
        title, caption = CAPTIONS[part]
        figures = draw_stability_panels(evidence.stability, part)
        pictures.append(picture(f"stability-{part}", title, caption.format(**counts), figures))
    return pictures


def _orders(orders: xr.Dataset) -> Block:
    bounds = orders["order_bound"].transpose("integrator", "bound").values
    rows: list[Row] = [
        [str(name), float(order), *(float(end) for end in ends)]
        for name, order, ends in zip(orders["integrator"].values, orders["order"].values, bounds, strict=True)
    ]
    caption = f"Order of the integrators: {orders['order'].attrs.get('estimator', 'slope of log error over log step')}."
    return table("stability-orders", caption, ["integrator", "order", "low", "high"], rows)
