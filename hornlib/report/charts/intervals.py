"""Points with their intervals, joined by a line within each series."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import altair as alt

from hornlib.report.blocks import Swatch
from hornlib.report.charts.style import HEIGHT, Layered, Scale, colour, dash, horizontal, rows, shape, wrapped

__all__ = ["IntervalPoint", "interval_chart"]


class IntervalPoint(NamedTuple):
    """A point: its label and series, x, y, and the ends of the interval of y, NaN where there is none."""

    label: str
    series: str
    x: float
    y: float
    low: float
    high: float


DODGE = 0.025
"""Distance of two series beside each other: a share of x on a logarithmic axis, of 1 on a linear one."""

THOUSAND = 1000


def interval_chart(
    points: Sequence[IntervalPoint],
    legend: Sequence[Swatch],
    titles: tuple[str, str],
    scales: tuple[Scale, Scale] = ("log", "linear"),
    from_zero: bool = False,
) -> Layered:
    """Return the chart of points with intervals; series with the same x stand side by side.

    Args:
        points: with finite x and y.
        legend: how the series are drawn.
        titles: of x and of y.
        scales: of x and of y.
        from_zero: whether a linear axis of y begins at 0.
    """
    columns: dict[str, Any] = dict(
        zip(IntervalPoint._fields, map(list, zip(*points, strict=True)), strict=True)
    )
    columns["place"] = [_place(point, legend, scales[0]) for point in points]
    is_log = scales[1] == "log"
    title = wrapped(titles[1])
    heights = alt.Scale(
        type=scales[1], zero=alt.Undefined if is_log else from_zero, nice=not is_log, padding=12
    )
    formats = {name: "~s" if max(columns[name]) >= THOUSAND else "~g" for name in "xy"}
    axis = alt.Axis(tickCount=5, format=formats["y"])
    x = horizontal("place", titles[0], scales[0], padding=12, number_format=formats["x"])
    if scales[0] == "linear":
        x = x.axis(tickMinStep=1, grid=False)
    base = alt.Chart(rows(**columns)).encode(x=x, y=alt.Y("y:Q", title=title, scale=heights, axis=axis))
    line = base.mark_line(strokeWidth=1.5).encode(
        color=colour(legend), strokeDash=dash(legend), order="place:Q"
    )
    interval = (
        base.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=1.5)
        .encode(y=alt.Y("low:Q", title=title, scale=heights, axis=axis), y2="high:Q", color=colour(legend))
    )
    marks = base.mark_point(filled=True, size=70, opacity=1).encode(
        color=colour(legend),
        shape=shape(legend),
        tooltip=[
            alt.Tooltip("label:N", title="contender"),
            alt.Tooltip("x:Q", title=titles[0], format=".4~g"),
            alt.Tooltip("y:Q", title=titles[1], format=".4~g"),
            alt.Tooltip("low:Q", format=".4~g"),
            alt.Tooltip("high:Q", format=".4~g"),
        ],
    )
    return alt.layer(line, interval, marks).properties(height=HEIGHT)


def _place(point: IntervalPoint, legend: Sequence[Swatch], scale: Scale) -> float:
    """Return where a point is drawn: x, moved a little by the place of its series in the legend."""
    place = [swatch.label for swatch in legend].index(point.series)
    offset = DODGE * (place - (len(legend) - 1) / 2)
    return point.x + offset if scale == "linear" else point.x * (1 + offset)
