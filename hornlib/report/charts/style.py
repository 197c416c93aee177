"""What all charts share: scales of colour, dash and shape by series, and the looks of axes and text."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any, Literal

import altair as alt

from hornlib.report.blocks import Swatch

__all__ = [
    "CONFIG",
    "GREY",
    "HEIGHT",
    "Layered",
    "Scale",
    "colour",
    "dash",
    "horizontal",
    "round_to",
    "rows",
    "shape",
    "wrapped",
]

Layered = alt.LayerChart | alt.FacetChart
"""What layering gives; alt.layer promises no more."""

Scale = Literal["log", "linear", "symlog"]

GREY = "#767676"
HEIGHT = 260
TITLE_WIDTH = 38
"""Letters of an axis title beside a chart of that height."""

CONFIG: dict[str, Any] = {
    "font": "system-ui, sans-serif",
    "background": "transparent",
    "view": {"stroke": None},
    "axis": {
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "gridColor": "#e3e3e3",
        "domainColor": GREY,
        "tickColor": GREY,
        "labelOverlap": True,
        "labelSeparation": 6,
    },
    "text": {"fontSize": 11},
}
"""Looks of every chart; the page's style sheet recolours text and lines in the dark."""


def colour(legend: Sequence[Swatch], field: str = "series") -> alt.Color:
    """Return the encoding of a series by its colour.

    Args:
        legend: one swatch for each series of the chart.
        field: column of the chart's data that holds the label of the series.
    """
    domain = [swatch.label for swatch in legend]
    scale = alt.Scale(domain=domain, range=[swatch.colour for swatch in legend])
    return alt.Color(field, type="nominal", scale=scale, title=None)


def dash(legend: Sequence[Swatch], field: str = "series") -> alt.StrokeDash:
    """Return the encoding of a series by its dashes.

    Args:
        legend: one swatch for each series of the chart.
        field: column of the chart's data that holds the label of the series.
    """
    domain = [swatch.label for swatch in legend]
    scale = alt.Scale(domain=domain, range=[list(swatch.dash) or [1, 0] for swatch in legend])
    return alt.StrokeDash(field, type="nominal", scale=scale, title=None)


def shape(legend: Sequence[Swatch], field: str = "series") -> alt.Shape:
    """Return the encoding of a series by its mark.

    Args:
        legend: one swatch for each series of the chart.
        field: column of the chart's data that holds the label of the series.
    """
    domain = [swatch.label for swatch in legend]
    scale = alt.Scale(domain=domain, range=[swatch.shape for swatch in legend])
    return alt.Shape(field, type="nominal", scale=scale, title=None)


def horizontal(
    field: str, title: str, scale: Scale = "log", padding: int = 0, number_format: str = "~s"
) -> alt.X:
    """Return x, with few labels such as 10k and 1M.

    Args:
        field: the column.
        title: of the axis.
        scale: log, linear or symlog.
        padding: pixels that stay free at both ends.
        number_format: of the labels, as d3 has them; ~s writes 0.001 as 1m.
    """
    axis = alt.Axis(format=number_format, tickCount=5, grid=False)
    # vega-lite complains of "zero" on a logarithmic scale, be it wanted or not
    zero = alt.Undefined if scale == "log" else False
    made = alt.Scale(type=scale, nice=False, padding=padding, zero=zero)
    return alt.X(field, type="quantitative", title=title, scale=made, axis=axis)


def wrapped(title: str, width: int = TITLE_WIDTH) -> list[str]:
    """Return a title as the lines of an axis title.

    Args:
        title: the title.
        width: most letters of a line. The default fits an axis of height `HEIGHT`.
    """
    return textwrap.wrap(title, width)


def round_to(value: float, digits: int = 4) -> float | None:
    """Return a number rounded to significant digits, so that its JSON is short; None if it is not finite.

    Args:
        value: the number.
        digits: number of significant digits.
    """
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def rows(**columns: Sequence[Any]) -> alt.Data:
    """Return the data of a chart, inline, from columns of equal length; numbers are rounded."""
    names = list(columns)
    values = [
        {
            name: round_to(entry) if isinstance(entry, float) else entry
            for name, entry in zip(names, row, strict=True)
        }
        for row in zip(*columns.values(), strict=True)
    ]
    return alt.Data(values=values)
