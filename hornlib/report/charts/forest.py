"""Ratios with their intervals, one below the other, on a logarithmic line around 1."""

from collections.abc import Sequence

import altair as alt
import numpy as np

from hornlib.report.charts.style import GREY, Layered, rows
from hornlib.report.comparisons import Comparison

__all__ = ["forest_chart"]

ROW = 50
"""Pixels of one ratio: its words stand in two lines above its own, so that a phone has room for all."""

BELOW = 15
"""Pixels from the middle of a row to the interval."""

WIDEST = 100.0
"""Ratio at which the axis ends, and intervals are cut off."""

BLUE = "#0072B2"


def forest_chart(pairs: Sequence[Comparison], title: str) -> Layered:
    """Return the forest plot of pairs; below 1 the first of a pair needs less.

    Args:
        pairs: at least one, each with a finite ratio.
        title: title of the axis.
    """
    domain = _domain(pairs)
    data = rows(
        place=[str(index) for index in range(len(pairs))],
        words=[f"{pair.label}\n{pair.words}" for pair in pairs],
        pair=[pair.label for pair in pairs],
        ratio=[_end(pair.ratio, pair.ratio, domain) for pair in pairs],
        low=[_end(pair.low, pair.ratio, domain) for pair in pairs],
        high=[_end(pair.high, pair.ratio, domain) for pair in pairs],
        n=[pair.num_pairs for pair in pairs],
    )
    scale = alt.Scale(type="log", domain=list(domain), nice=False)
    axis = alt.Axis(format="~g", tickCount=5, grid=False)
    y = alt.Y("place:N", sort=None, axis=None, scale=alt.Scale(paddingInner=0))
    base = alt.Chart(data).encode(y=y)
    tooltip = [
        alt.Tooltip("pair:N"),
        *(alt.Tooltip(f"{name}:Q", format=".3~g") for name in ("ratio", "low", "high", "n")),
    ]
    interval = base.mark_rule(strokeWidth=2.5, stroke=BLUE, yOffset=BELOW).encode(
        x=alt.X("low:Q", scale=scale, axis=axis, title=title), x2="high:Q", tooltip=tooltip
    )
    point = base.mark_point(filled=True, size=75, color=BLUE, yOffset=BELOW, opacity=1).encode(
        x=alt.X("ratio:Q", scale=scale, title=title), tooltip=tooltip
    )
    words = base.mark_text(
        align="left", baseline="top", dy=2 - ROW / 2, lineBreak="\n", limit=alt.ExprRef("width")
    ).encode(x=alt.value(0), text="words:N", tooltip=tooltip)
    # beside each interval alone: a line through all of them would cross the words
    equal = (
        base.transform_calculate(one="1")
        .mark_tick(orient="vertical", color=GREY, thickness=1.5, size=16, yOffset=BELOW)
        .encode(x=alt.X("one:Q", scale=scale, title=title))
    )
    return alt.layer(equal, interval, point, words).properties(height=ROW * len(pairs))


def _domain(pairs: Sequence[Comparison]) -> tuple[float, float]:
    """Return the ends of the axis: all intervals and 1 lie within, unless one is open or very wide."""
    ends = np.array([[pair.low, pair.ratio, pair.high] for pair in pairs])
    finite = np.clip(ends[np.isfinite(ends)], 1 / WIDEST, WIDEST)
    return float(min(finite.min(), 0.9) * 0.95), float(max(finite.max(), 1.1) * 1.05)


def _end(end: float, ratio: float, domain: tuple[float, float]) -> float:
    """Return an interval's end, within the axis; the ratio itself where there is no interval."""
    return float(np.clip(ratio if np.isnan(end) else end, *domain))
