"""Charts as files, SVG and PNG, drawn without a browser."""

import json
from collections.abc import Iterable
from pathlib import Path

from hornlib.report.blocks import Chart
from hornlib.report.charts.style import CONFIG
from hornlib.results.atomic import written_atomically

__all__ = ["specification", "write_figures"]

WIDTH = 640
SCALE = 2


def specification(chart: Chart, width: int | str, legend: bool) -> dict:
    """Return a chart for vega-lite.

    Args:
        chart: the chart.
        width: pixels, or "container" for the width of the page.
        legend: whether the picture names its series itself; in the page, the legend below does.
    """
    config = {**CONFIG, **({} if legend else {"legend": {"disable": True}})}
    autosize = {"type": "fit-x", "contains": "padding"}
    return {**chart.specification, "width": width, "config": config, "autosize": autosize}


def write_figures(charts: Iterable[Chart], folder: Path) -> list[Path]:
    """Write each chart as SVG and PNG, and return the paths.

    Raises:
        ResultsError: the folder cannot be written.
    """
    import vl_convert

    written = []
    for chart in charts:
        drawn = {
            **specification(chart, WIDTH, legend=True),
            "title": {"text": chart.title, "anchor": "start", "fontSize": 13},
            "background": "white",
        }
        text = json.dumps(drawn)
        svg = vl_convert.vegalite_to_svg(text)
        png = vl_convert.svg_to_png(svg, scale=SCALE)
        for kind, content in (("svg", svg.encode()), ("png", png)):
            written.append(folder / f"{chart.name}.{kind}")
            with written_atomically(written[-1]) as temporary:
                temporary.write_bytes(content)
    return written
