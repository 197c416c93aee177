"""Charts as SVG: no text is cut off, whichever font the reader has."""

import re

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from hornlib.report.blocks import Chart
from hornlib.report.charts.effects import LevelEffect, effects_chart
from hornlib.report.figures import embedded_svg


def test_labels_have_space_in_a_wide_font():
    label = "heterogeneity=0.5"
    effects = [LevelEffect(label, 0.1, 0.0, 0.2), LevelEffect("short", -0.1, -0.2, 0.0)]
    svg = embedded_svg(Chart("name", "Title", "", "", effects_chart(effects, "effect")))
    left = float(re.search(r"translate\(([\d.]+),", svg)[1])
    width = TextPath((0, 0), label, size=11, prop=FontProperties(family="DejaVu Sans")).get_extents().width
    assert label in svg and left >= width
    assert "DejaVu" not in svg and "system-ui" in svg
