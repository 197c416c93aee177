"""Lines with a band, one a series: learning curves and the fraction of seeds that reached a target."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import altair as alt
import numpy as np

from hornlib.report.blocks import Swatch
from hornlib.report.charts.style import GREY, HEIGHT, Layered, Scale, colour, dash, horizontal, rows, wrapped

__all__ = ["Line", "lines_chart", "thinned"]

THOUSAND = 1000

POINTS = 80
"""Most points of a line; a chart is some 600 pixels wide."""


class Line(NamedTuple):
    """A line: its series, x, y, and its band from low to high, (points,) each."""

    series: str
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray


def thinned(line: Line) -> Line:
    """Return at most `POINTS` points of a line: those where x and y are finite, the first and the last among them."""
    places = np.flatnonzero(np.isfinite(line.x) & np.isfinite(line.y))
    if len(places) > POINTS:
        places = places[np.unique(np.linspace(0, len(places) - 1, POINTS).round().astype(int))]
    return Line(line.series, *(values[places] for values in line[1:]))


def lines_chart(
    lines: Sequence[Line],
    legend: Sequence[Swatch],
    titles: tuple[str, str],
    reference: tuple[float, str] | None = None,
    stepped: bool = False,
    share: bool = False,
    scale: Scale = "log",
    faint: Sequence[tuple[Line, str]] = (),
) -> Layered:
    """Return the chart of several lines.

    Args:
        lines: thinned.
        legend: how the series are drawn.
        titles: of x and of y.
        reference: y of a thin horizontal line, and what it is.
        stepped: y stays as it is until its next x.
        share: y is a share from 0 to 1.
        scale: of x; log needs x > 0, and symlog takes 0 too.
        faint: lines in the background, thinned, each with its colour (#rrggbb); they have no band and no legend.
    """
    columns = _columns(lines)
    heights = alt.Scale(domain=[0, 1]) if share else alt.Scale(zero=False)
    axis = alt.Axis(tickCount=6)
    title = wrapped(titles[1])
    y = alt.Y("y:Q", title=title, scale=heights, axis=axis)
    # steps are whole; ~g would write 100 of them as 1e+2
    number_format = "~s" if scale == "symlog" or max(columns["x"]) >= THOUSAND else "~g"
    base = alt.Chart(rows(**columns)).encode(x=horizontal("x", titles[0], scale, number_format=number_format))
    interpolate: Literal["step-after", "linear"] = "step-after" if stepped else "linear"
    tooltip = [
        alt.Tooltip("series:N", title="series"),
        alt.Tooltip("x:Q", title=titles[0], format=".4~s"),
        alt.Tooltip("y:Q", title=titles[1], format=".4~g"),
        alt.Tooltip("low:Q", format=".4~g"),
        alt.Tooltip("high:Q", format=".4~g"),
    ]
    band = base.mark_area(opacity=0.13, interpolate=interpolate).encode(
        y=alt.Y("low:Q", title=title, scale=heights, axis=axis), y2="high:Q", color=colour(legend)
    )
    line_layer = base.mark_line(strokeWidth=2, interpolate=interpolate).encode(
        y=y, color=colour(legend), strokeDash=dash(legend)
    )
    points = base.mark_point(size=60, opacity=0, filled=True).encode(
        y=y, color=colour(legend), tooltip=tooltip
    )
    layers: list[alt.Chart] = [*_faint_layers(faint), band, line_layer, points]
    if reference is not None:
        layers.append(_reference(*reference))
    return alt.layer(*layers).properties(height=HEIGHT)


def _columns(lines: Sequence[Line]) -> dict[str, list[Any]]:
    """Return the points of several lines, one below the other."""
    columns: dict[str, list[Any]] = {name: [] for name in ("series", "x", "y", "low", "high")}
    for line in lines:
        columns["series"] += [line.series] * len(line.x)
        for name, values in zip(("x", "y", "low", "high"), line[1:], strict=True):
            columns[name] += [float(value) for value in values]
    return columns


def _faint_layers(faint: Sequence[tuple[Line, str]]) -> list[alt.Chart]:
    """Return one layer a colour; the label of a line is its tooltip."""
    by_colour: dict[str, list[Line]] = {}
    for line, stroke in faint:
        by_colour.setdefault(stroke, []).append(line)
    return [
        alt.Chart(rows(**_columns(lines)))
        .mark_line(strokeWidth=1, opacity=0.4, stroke=stroke)
        .encode(x="x:Q", y="y:Q", detail="series:N", tooltip=[alt.Tooltip("series:N", title="series")])
        for stroke, lines in by_colour.items()
    ]


def _reference(height: float, words: str) -> alt.Chart:
    data = rows(y=[height], words=[words])
    return (
        alt.Chart(data)
        .mark_rule(stroke=GREY, strokeDash=[2, 3])
        .encode(y="y:Q", tooltip=[alt.Tooltip("words:N", title="line"), alt.Tooltip("y:Q")])
    )
