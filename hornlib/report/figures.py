"""Figures of the report: charts drawn by vega without a browser, and matplotlib drawings taken into the page."""

import base64
import html
import io
import json
import re
import textwrap
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hornlib.report.blocks import Chart, Drawing, Picture, Swatch
from hornlib.report.charts.style import CONFIG
from hornlib.results.atomic import written_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MATPLOTLIB_STYLE", "drawing", "embedded_svg", "picture", "specification", "write_figures"]

WIDTH = 480
"""Width of a chart as SVG, pixels: its text can still be read on a phone."""

WIDE_FONT = "DejaVu Sans"
"""Space for text is measured in this font. The text is shown in the reader's, which may be as wide."""

PNG_SCALE = 2

LINE_HEIGHT = 17

TITLE_LETTER = 7.5
"""Mean width of a letter of a title, pixels."""

LARGEST_SVG = 150_000
"""Bytes; of a larger drawing the page takes the PNG, so that the page stays small."""

MATPLOTLIB_STYLE: dict[Any, Any] = {"svg.hashsalt": "hornlib", "svg.fonttype": "none", "font.size": 9}
"""The same data give the same file, and text stays text."""


def specification(chart: Chart, width: int | str) -> dict[str, Any]:
    """Return a chart's description for vega-lite, without a legend: page and files draw it below the chart.

    Args:
        chart: the chart.
        width: pixels, or "container" for the width of the page.
    """
    config = {**CONFIG, "legend": {"disable": True}}
    autosize = {"type": "fit-x", "contains": "padding"}
    return {**chart.specification, "width": width, "config": config, "autosize": autosize}


def embedded_svg(chart: Chart) -> str:
    """Return a chart as SVG for the page: it fills its column, and it is seen without a script."""
    import vl_convert

    _register_wide_font()
    visible = _without_hover_marks(specification(chart, WIDTH))
    visible["config"] = {**visible["config"], "font": WIDE_FONT}
    svg = vl_convert.vegalite_to_svg(json.dumps(visible))
    return _compact(svg.replace(f'"{WIDE_FONT}"', f'"{CONFIG["font"]}"'), chart.name)


@cache
def _register_wide_font() -> None:
    """Register the fonts of matplotlib, which brings the wide one, whatever this machine has."""
    import matplotlib
    import vl_convert

    vl_convert.register_font_directory(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf"))


def _without_hover_marks(description: dict[str, Any]) -> dict[str, Any]:
    """Return a description without the invisible marks, which only show a tooltip under the mouse."""
    layers = [layer for layer in description.get("layer", ()) if not _is_invisible(layer)]
    return {**description, "layer": layers} if "layer" in description else description


def _is_invisible(layer: dict[str, Any]) -> bool:
    mark = layer.get("mark")
    return isinstance(mark, dict) and mark.get("opacity") == 0


def _compact(svg: str, name: str) -> str:
    """Return an SVG for the page: unique ids, no fixed size, no labels of its parts, coordinates with one decimal.

    Args:
        svg: as vega writes it.
        name: of the chart, which goes before every id.
    """
    opening, content = svg.split(">", 1)
    opening = re.sub(r' (?:width|height|version|xmlns:xlink|class)="[^"]*"', "", opening)
    content = re.sub(r"<[^>]*>", lambda tag: _compact_tag(tag[0], name), content)
    return f'{opening} aria-hidden="true">{content}'


def _compact_tag(tag: str, name: str) -> str:
    # The figure has one alternative text; the style sheet needs the class of grid lines alone.
    is_grid = "role-axis-grid" in tag
    tag = re.sub(r' (?:role|aria-[a-z]+|class|pointer-events)="[^"]*"', "", tag)
    tag = tag.replace("<g", '<g class="role-axis-grid"', 1) if is_grid else tag
    tag = re.sub(r'( id="|url\(#|href="#)', rf"\g<1>{name}-", tag)
    return re.sub(r"(\d+\.\d)\d+", r"\1", tag)


def write_figures(pictures: Mapping[Chart, str], folder: Path) -> list[Path]:
    """Write each chart as SVG and PNG with its title and legend, and return the paths.

    Args:
        pictures: chart -> its SVG, as `embedded_svg` returns it. Names of charts become names of files.
        folder: it is made where it does not exist.

    Raises:
        ResultsError: the folder cannot be written.
    """
    import vl_convert

    written = []
    for chart, embedded in pictures.items():
        svg = _standalone(chart, embedded)
        png = vl_convert.svg_to_png(svg, scale=PNG_SCALE)
        for kind, content in (("svg", svg.encode()), ("png", png)):
            written.append(folder / f"{chart.name}.{kind}")
            with written_atomically(written[-1]) as temporary:
                temporary.write_bytes(content)
    return written


def _standalone(chart: Chart, embedded: str) -> str:
    """Return the SVG of a file: the title, the chart as the page has it, and the legend below."""
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', embedded)
    assert size is not None, "vega writes a viewBox"
    width, height = (float(number) for number in size.groups())
    titles = textwrap.wrap(chart.title, int(width / TITLE_LETTER))
    top = LINE_HEIGHT * len(titles) + 6
    nested = embedded.replace("<svg", f'<svg y="{top}" width="{width:g}" height="{height:g}"', 1)
    rows = [
        _legend_row(swatch, chart.marked, top + height + LINE_HEIGHT * index)
        for index, swatch in enumerate(chart.legend)
    ]
    total = top + height + LINE_HEIGHT * len(rows) + 4
    heading = "".join(
        f'<text x="6" y="{LINE_HEIGHT * (line + 1) - 4}" font-size="13" font-weight="bold">{html.escape(title)}</text>'
        for line, title in enumerate(titles)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{total:g}" '
        f'viewBox="0 0 {width:g} {total:g}" font-family="system-ui, sans-serif">'
        f'<rect width="100%" height="100%" fill="white"/>{heading}{nested}{"".join(rows)}</svg>'
    )


def _legend_row(swatch: Swatch, marked: bool, y: float) -> str:
    dash = f' stroke-dasharray="{" ".join(map(str, swatch.dash))}"' if swatch.dash else ""
    mark = (
        f'<path d="{swatch.path}" fill="{swatch.colour}"/>'
        if marked
        else f'<line x1="1" x2="33" y1="6" y2="6" stroke="{swatch.colour}" stroke-width="2"{dash}/>'
    )
    label = f'<text x="40" y="10" font-size="11">{html.escape(swatch.label)}</text>'
    return f'<g transform="translate(6 {y:g})">{mark}{label}</g>'


def picture(name: str, title: str, caption: str, figures: Sequence["Figure"]) -> Picture:
    """Return a picture of one or more panels that were drawn by matplotlib.

    Args:
        name: anchor.
        title: what it shows.
        caption: n and estimator.
        figures: one for each panel, so that a phone can show one panel a row.
    """
    return Picture(name, title, caption, f"{title}. {caption}", [drawing(figure) for figure in figures])


def drawing(figure: "Figure") -> Drawing:
    """Return a matplotlib figure as an image for the page."""
    import matplotlib

    vector, bitmap = io.BytesIO(), io.BytesIO()
    with matplotlib.rc_context(MATPLOTLIB_STYLE):
        figure.savefig(vector, format="svg", metadata={"Date": None})
        if len(vector.getvalue()) > LARGEST_SVG:
            figure.savefig(bitmap, format="png", dpi=150)
    kind, content = ("svg+xml", vector) if not bitmap.getvalue() else ("png", bitmap)
    width, _ = figure.get_size_inches()
    address = f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
    return Drawing(address, round(100 * float(width)))
