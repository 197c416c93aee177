"""Main effects of parameters, and their shares of the variance."""

from collections.abc import Sequence
from typing import NamedTuple

import altair as alt

from hornlib.report.charts.style import GREY, Layered, rows

__all__ = ["LevelEffect", "Share", "effects_chart", "shares_chart"]

ROW = 24
BLUE, SKY = "#0072B2", "#56B4E9"


class LevelEffect(NamedTuple):
    """The main effect of one level of a parameter, e.g. timesteps=8, with its interval."""

    level: str
    estimate: float
    low: float
    high: float


class Share(NamedTuple):
    """The shares of the variance that a parameter explains alone, and with its interactions."""

    parameter: str
    alone: float
    total: float


def effects_chart(effects: Sequence[LevelEffect], title: str) -> Layered:
    """Return the chart of main effects around 0, with one row for each level.

    Args:
        effects: estimates and intervals, in the order of the rows.
        title: title of the x axis, which names the outcome.
    """
    data = rows(**dict(zip(LevelEffect._fields, zip(*effects, strict=True), strict=True)))
    tooltip = [
        alt.Tooltip("level:N"),
        *(alt.Tooltip(f"{name}:Q", format=".3~g") for name in LevelEffect._fields[1:]),
    ]
    base = alt.Chart(data).encode(y=alt.Y("level:N", sort=None, title=None, axis=alt.Axis(labelLimit=150)))
    interval = base.mark_rule(strokeWidth=2.5, stroke=BLUE).encode(
        x=alt.X("low:Q", title=title, axis=alt.Axis(tickCount=5, grid=False)), x2="high:Q", tooltip=tooltip
    )
    point = base.mark_point(filled=True, size=60, color=BLUE, opacity=1).encode(
        x="estimate:Q", tooltip=tooltip
    )
    zero = alt.Chart(rows(nothing=[0.0])).mark_rule(stroke=GREY, strokeDash=[4, 3]).encode(x="nothing:Q")
    return alt.layer(zero, interval, point).properties(height=ROW * len(effects))


def shares_chart(shares: Sequence[Share]) -> Layered:
    """Return the chart of shares: the wide bar with all interactions, the narrow one alone."""
    data = rows(**dict(zip(Share._fields, zip(*shares, strict=True), strict=True)))
    tooltip = [
        alt.Tooltip("parameter:N"),
        *(alt.Tooltip(f"{name}:Q", format=".0%") for name in Share._fields[1:]),
    ]
    base = alt.Chart(data).encode(
        y=alt.Y("parameter:N", sort=None, title=None, axis=alt.Axis(labelLimit=150))
    )
    x = alt.X(
        title="share of variance", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%", tickCount=5)
    )
    total = base.mark_bar(color=SKY, size=16).encode(x=x.field("total").type("quantitative"), tooltip=tooltip)
    alone = base.mark_bar(color=BLUE, size=7).encode(x=x.field("alone").type("quantitative"), tooltip=tooltip)
    return alt.layer(total, alone).properties(height=ROW * len(shares))
