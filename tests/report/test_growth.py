"""The section on growth: it appears only with networks whose units change, and its numbers are the results'."""

import dataclasses

import altair as alt
import numpy as np
import pytest

from hornlib.report.blocks import Chart, PageTable
from hornlib.report.evidence import collect
from hornlib.report.page import render
from hornlib.report.sections.growth import growth


@pytest.fixture(scope="module")
def fixed(folder):
    """What a folder with three arms of fixed width holds."""
    return collect(folder("yes", arms=["cnn", "horn", "leaky"], datasets=["digits"]), ["thesis"])


@pytest.fixture(scope="module")
def grown(fixed):
    """The same, as if horn had grown in two layers twice, and leaky had lost units of one layer."""
    (sweep,) = fixed.sweeps
    ds = sweep.results
    cells, seeds, steps = (ds.sizes[name] for name in ("cell", "seed", "step"))
    width = np.full((cells, seeds, steps, 2), np.nan)
    width[1] = np.linspace(4, 12, steps)[:, None] * [1, 2]
    width[2] = np.linspace(9, 3, steps)[:, None]
    events = {
        name: np.full((cells, seeds, 4), np.nan) for name in ("step", "position", "number", "score", "drawn")
    }
    kind = np.full((cells, seeds, 4), "", object)
    active = np.full((cells, seeds, 4), np.nan)
    ratio = np.full((cells, seeds, 4, 4), np.nan)
    kind[1], kind[2, :, 0] = "grown", "narrowed"
    events["step"][1], events["step"][2, :, 0] = [10, 10, 40, 40], 25
    events["position"][1], events["position"][2, :, 0] = [0, 1, 0, 1], 1
    events["number"][1], events["number"][2, :, 0] = [4, 8, 4, 8], 6
    events["score"][1], events["drawn"][1] = [3.0, 1.0, 2.0, 1.0], [0, 2, 0, 4]
    active[1], ratio[1] = [1.0, 0.5, 0.5, 0.5], [0.2, 0.4, 0.8, 1.0]
    dims = ("cell", "seed", "event")
    results = ds.assign(
        **{f"event_{name}": (dims, values) for name, values in events.items()},
        width=(("cell", "seed", "step", "layer"), width),
        event_kind=(dims, kind),
        event_active_share=(dims, active),
        event_gradient_ratio=((*dims, "delay"), ratio),
    ).assign_coords(layer=[0, 1], event=range(4), delay=[0, 1, 10, 100])
    return dataclasses.replace(fixed, sweeps=[dataclasses.replace(sweep, results=results)])


def of_kind(section, kind):
    return [block for block in section.all_blocks() if isinstance(block, kind)]


def rows_of(table):
    return [dict(zip(table.columns, (entry.key for entry in row), strict=True)) for row in table.rows]


def test_a_page_of_networks_of_fixed_width_has_no_such_section(fixed):
    assert growth(fixed).blocks == []


def test_a_page_of_networks_that_grow_has_it_and_links_to_it(grown):
    page, charts = render(grown)
    assert 'href="#growth"' in page and 'id="growth"' in page
    assert any(chart.name == "thesis-digits-growth-units-layer-1" for chart in charts)


def test_the_table_of_events_has_their_numbers_by_layer_and_kind(grown):
    _, table = of_kind(growth(grown), PageTable)
    rows = {(row["contender"], row["layer"]): row for row in rows_of(table)}
    assert rows.keys() == {("horn", 1), ("horn", 2), ("leaky", 2)}
    first, second, narrowed = rows.values()
    assert (first["kind"], narrowed["kind"]) == ("grown", "narrowed")
    assert (first["events"], first["units"], first["first step"], first["last step"]) == (2, 8, 10, 40)
    assert (second["units"], second["drawn"], second["active at the end"]) == (16, 6, 0.5)
    assert (first["score"], first["ratio at once"], first["active at the end"]) == (2.5, 0.2, 0.75)
    assert (narrowed["units"], narrowed["first step"]) == (6, 25) and np.isnan(narrowed["ratio at once"])
    assert all(row["n"] == 8 for row in rows.values())


def test_the_table_of_contenders_has_their_last_widths_and_ratios_to_the_largest(grown):
    table, _ = of_kind(growth(grown), PageTable)
    rows = {row["contender"]: row for row in rows_of(table)}
    assert [rows[arm]["widths"] for arm in ("cnn", "horn", "leaky")] == ["", "12-24", "3-3"]
    assert rows["cnn"]["training FLOPs, ratio"] == 1  # of 9,100 parameters, the others have 9,000
    assert rows["horn"]["training FLOPs, ratio"] == pytest.approx(9000 / 9100)
    assert "Ratios are those to cnn" in table.caption


def test_ratios_are_those_to_a_network_that_never_grew_where_others_end_as_large(grown):
    (sweep,) = grown.sweeps
    equal = sweep.results.assign(num_parameters=sweep.results["num_parameters"] * 0 + 9000)
    for order in ([0, 1, 2], [1, 2, 0]):
        results = equal.isel(cell=order)
        evidence = dataclasses.replace(grown, sweeps=[dataclasses.replace(sweep, results=results)])
        table, _ = of_kind(growth(evidence), PageTable)
        assert "Ratios are those to cnn" in table.caption


def test_charts_show_sizes_costs_widths_and_gradients(grown):
    charts = {
        chart.name.removeprefix("thesis-digits-growth-"): chart for chart in of_kind(growth(grown), Chart)
    }
    assert charts.keys() == {
        "num-parameters",
        "forward-flops",
        "training-flops",
        "units-layer-1",
        "units-layer-2",
        "gradient-ratio",
    }
    assert "horn 0.2 at once" in charts["gradient-ratio"].alternative
    assert "horn 8 to 24" in charts["units-layer-2"].alternative
    for chart in charts.values():
        alt.LayerChart.from_dict(chart.chart.to_dict(validate=True))
        assert "n = 8" in chart.caption and "digits" in chart.alternative


def test_deep_networks_show_the_sum_of_their_layers(grown):
    (sweep,) = grown.sweeps
    ds = sweep.results
    deep = ds["width"].isel(layer=[0, 0, 0, 1, 1]).assign_coords(layer=range(5))
    results = ds.drop_vars("width").drop_dims("layer").assign(width=deep)
    section = growth(dataclasses.replace(grown, sweeps=[dataclasses.replace(sweep, results=results)]))
    units = [chart for chart in of_kind(section, Chart) if "units" in chart.name]
    assert [chart.name for chart in units] == ["thesis-digits-growth-units-all-layers"]
    assert "horn 28 to 84" in units[0].alternative
