"""Cells on a plane of two parameters: what was predicted by the shape, what happened by the colour."""

from collections.abc import Sequence
from typing import NamedTuple

import altair as alt
import numpy as np

from hornlib.report.charts.style import GREY, HEIGHT, rows

__all__ = ["Place", "plane_chart"]

SHAPES = {"stable": "circle", "marginal": "diamond", "unstable": "square"}
BLUE, ORANGE = "#0072B2", "#D55E00"


class Place(NamedTuple):
    """A cell on the plane: its coordinates, the predicted word, and the share of its runs that diverged."""

    cell: str
    x: float
    y: float
    predicted: str
    diverged: float


def plane_chart(
    places: Sequence[Place], titles: tuple[str, str], border: tuple[np.ndarray, np.ndarray] | None = None
) -> alt.LayerChart:
    """Return the chart of cells, with the theoretical border of stability as a line.

    Args:
        places: cells, with known coordinates; at least one.
        titles: of x and of y.
        border: x and y of the line, (points,) each.
    """
    columns = dict(zip(Place._fields, zip(*places, strict=True), strict=True))
    scale = alt.Scale(domain=[0, 1], range=[BLUE, ORANGE])
    shapes = alt.Scale(domain=list(SHAPES), range=list(SHAPES.values()))
    points = (
        alt.Chart(rows(**columns))
        .mark_point(filled=True, size=80, opacity=0.85)
        .encode(
            x=alt.X("x:Q", title=titles[0], scale=alt.Scale(zero=False, padding=12)),
            y=alt.Y("y:Q", title=titles[1], scale=alt.Scale(zero=False, padding=12)),
            color=alt.Color("diverged:Q", scale=scale, title="share diverged"),
            shape=alt.Shape("predicted:N", scale=shapes, title="predicted"),
            tooltip=[alt.Tooltip(name) for name in Place._fields],
        )
    )
    layers = [points]
    if border is not None:
        line = alt.Chart(rows(x=border[0].tolist(), y=border[1].tolist(), order=list(range(len(border[0])))))
        layers.insert(0, line.mark_line(stroke=GREY, strokeDash=[5, 3]).encode(x="x:Q", y="y:Q", order="order:Q"))
    return alt.layer(*layers).properties(height=HEIGHT)
