"""Final metric against a cost, with the front of those that no other beats in both."""

from collections.abc import Sequence
from typing import NamedTuple

import altair as alt

from hornlib.report.blocks import Swatch
from hornlib.report.charts.style import GREY, HEIGHT, Layered, colour, horizontal, rows, shape

__all__ = ["Candidate", "pareto_chart"]


class Candidate(NamedTuple):
    """A contender: its label and series, its cost and final metric, and whether it lies on the front."""

    label: str
    series: str
    cost: float
    metric: float
    on_front: bool


def pareto_chart(
    candidates: Sequence[Candidate], legend: Sequence[Swatch], titles: tuple[str, str]
) -> Layered:
    """Return the chart of contenders; the front is the stepped line.

    Args:
        candidates: with known cost and metric.
        legend: how the series are drawn.
        titles: of the cost and of the metric.
    """
    columns = zip(*candidates, strict=True)
    names = ("label", "series", "cost", "metric")
    data = rows(
        **dict(zip(names, columns, strict=False)), front=[["no", "yes"][c.on_front] for c in candidates]
    )
    y = alt.Y(
        "metric:Q", title=titles[1], scale=alt.Scale(zero=False, padding=12), axis=alt.Axis(tickCount=6)
    )
    base = alt.Chart(data).encode(x=horizontal("cost", titles[0], padding=12), y=y)
    front = (
        base.transform_filter("datum.front == 'yes'")
        .mark_line(interpolate="step-after", stroke=GREY, strokeWidth=1.5)
        .encode(order="cost:Q")
    )
    points = base.mark_point(filled=True, size=90).encode(
        color=colour(legend),
        shape=shape(legend),
        opacity=alt.condition("datum.front == 'yes'", alt.value(1), alt.value(0.45)),
        tooltip=[
            alt.Tooltip("label:N", title="contender"),
            alt.Tooltip("cost:Q", title=titles[0], format=".4~s"),
            alt.Tooltip("metric:Q", title=titles[1], format=".4~g"),
            alt.Tooltip("front:N", title="on the front"),
        ],
    )
    return alt.layer(front, points).properties(height=HEIGHT)
