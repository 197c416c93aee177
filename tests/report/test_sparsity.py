"""The section on sparsity: it appears with sparse networks alone, and its numbers are those of the results."""

import dataclasses

import altair as alt
import numpy as np
import pytest

from hornlib.report.blocks import Chart, PageTable
from hornlib.report.charts.intervals import IntervalPoint, interval_chart
from hornlib.report.evidence import collect
from hornlib.report.page import render
from hornlib.report.sections.compared import compared
from hornlib.report.sections.sparsity import sparsity
from hornlib.report.series import swatches

DENSITIES = np.array([np.nan, 0.1, 0.2])
"""Of the arms cnn, which is dense, horn and leaky."""


@pytest.fixture(scope="module")
def dense(folder):
    """What a folder with three dense arms holds."""
    return collect(folder("yes", arms=["cnn", "horn", "leaky"], datasets=["digits"]), ["thesis"])


@pytest.fixture(scope="module")
def sparse(dense):
    """The same, as if two of the arms were sparse in two layers."""
    (sweep,) = dense.sweeps
    ds = sweep.results
    sizes = (ds.sizes["cell"], ds.sizes["seed"], ds.sizes["step"], 2)
    layers = np.broadcast_to((DENSITIES[:, None] * [1, 3])[:, None, None], sizes)
    units = np.where(np.isnan(layers), np.nan, [[[[7.0, 10.0]]]])
    explored = np.where(np.isnan(layers[..., 0]), np.nan, np.linspace(0.1, 0.6, sizes[2]))
    flops = ds["training_flops"] * np.where(np.isnan(DENSITIES), 1, DENSITIES)[:, None, None]
    results = ds.assign(
        layer_density=(("cell", "seed", "step", "layer"), layers),
        active_units=(("cell", "seed", "step", "layer"), units),
        explored=(("cell", "seed", "step"), explored),
        training_flops=(("cell", "seed", "step"), flops.values),
    ).assign_coords(density=("cell", DENSITIES, {"kind": "number"}), layer=[0, 1])
    return dataclasses.replace(dense, sweeps=[dataclasses.replace(sweep, results=results)])


def kinds(section, kind):
    return [block for block in section.all_blocks() if isinstance(block, kind)]


def values_of(chart):
    """Return the inline data of a chart's specification."""
    specification = chart.specification
    parts = [specification, *specification["layer"]]
    return next(part["data"]["values"] for part in parts if "data" in part)


def test_a_page_of_dense_networks_has_no_such_section(dense):
    assert sparsity(dense).blocks == []
    bare = dataclasses.replace(dense, sweeps=[])
    assert "sparsity" not in render(bare)[0].lower()


def test_a_page_of_sparse_networks_has_it_and_links_to_it(sparse):
    page, charts = render(sparse)
    assert 'href="#sparsity"' in page and 'id="sparsity"' in page
    assert any(chart.name == "thesis-digits-sparsity-layers" for chart in charts)


def test_what_was_compared_names_the_structure_of_an_arm_and_what_tells_it_from_others(sparse):
    (sweep,) = sparse.sweeps
    words = {"structure": ["static", "sparse_training", "sparse_training"], "rule": ["", "set", "rigl"]}
    ds = sweep.results.assign_coords({name: ("cell", values) for name, values in words.items()})
    (facts,) = compared(dataclasses.replace(sweep, results=ds))
    by_arm = dict(facts.facts)
    assert "Structure" not in by_arm["cnn"]
    assert by_arm["horn"].endswith("Structure sparse training: rule set, density 0.1.")
    assert by_arm["leaky"].endswith("Structure sparse training: rule rigl, density 0.2.")


def test_ratios_of_the_table_are_those_to_the_dense_network(sparse):
    (table,) = kinds(sparsity(sparse), PageTable)
    rows = {row[0].shown: [entry.key for entry in row] for row in table.rows}
    place = {name: table.columns.index(name) for name in table.columns}
    assert [rows[arm][place["density"]] for arm in ("cnn", "horn", "leaky")] == [1, 0.1, 0.2]
    assert rows["cnn"][place["FLOPs, ratio"]] == 1
    # the scene's FLOPs are proportional to the parameters, 9,000 of 9,100
    assert rows["horn"][place["FLOPs, ratio"]] == pytest.approx(0.1 * 9000 / 9100)
    assert rows["horn"][place["active units"]] == 17
    assert rows["horn"][place["explored"]] == pytest.approx(0.6)
    assert np.isnan(rows["cnn"][place["explored"]])
    assert rows["leaky"][place["n"]] == 8
    assert "Ratios are those to cnn" in table.caption


def test_charts_show_density_layers_and_the_course_of_training(sparse):
    charts = {
        chart.name.removeprefix("thesis-digits-sparsity-"): chart for chart in kinds(sparsity(sparse), Chart)
    }
    assert charts.keys() == {"final-test-metric", "training-flops", "layers", "explored", "active-units"}
    points = values_of(charts["final-test-metric"])
    assert sorted(point["x"] for point in points) == [0.1, 0.2, 1]
    assert all(point["low"] < point["y"] < point["high"] for point in points)
    layers = {(point["series"], point["x"]): point["y"] for point in values_of(charts["layers"])}
    assert layers == pytest.approx({("horn", 1): 0.1, ("horn", 2): 0.3, ("leaky", 1): 0.2, ("leaky", 2): 0.6})
    assert {row["series"] for row in values_of(charts["explored"])} == {"horn", "leaky"}
    for chart in charts.values():
        alt.LayerChart.from_dict(chart.chart.to_dict(validate=True))
        assert "n = 8" in chart.caption and "digits" in chart.alternative
        assert len(chart.legend) == (3 if chart.name.endswith(("metric", "flops")) else 2)


def test_an_arm_is_drawn_in_the_same_way_in_every_chart(sparse):
    drawings = {}
    for chart in kinds(sparsity(sparse), Chart):
        for swatch in chart.legend:
            drawings.setdefault(swatch.label, set()).add(swatch)
    assert drawings.keys() == {"cnn", "horn", "leaky"}
    assert all(len(swatches_of_arm) == 1 for swatches_of_arm in drawings.values())


def test_a_density_that_no_field_gives_is_the_share_of_parameters_that_remain(sparse):
    (sweep,) = sparse.sweeps
    ds = sweep.results.drop_vars("density")
    parameters = ds["num_parameters"].copy()
    parameters[1, :, -1] = parameters[1, :, 0] / 4
    changed = dataclasses.replace(sweep, results=ds.assign(num_parameters=parameters))
    (table,) = kinds(sparsity(dataclasses.replace(sparse, sweeps=[changed])), PageTable)
    rows = {row[0].shown: row[table.columns.index("density")].key for row in table.rows}
    assert rows == pytest.approx({"cnn": 1, "horn": 0.25, "leaky": 1})


@pytest.mark.parametrize("scales", [("log", "log"), ("log", "linear"), ("linear", "log")])
def test_series_of_equal_x_stand_side_by_side_and_tell_their_true_x(scales):
    points = [IntervalPoint(name, name, 2.0, 3.0, 2.5, 3.5) for name in "abc"]
    chart = interval_chart(points, swatches("abc"), ("x", "y"), scales)
    rows = (
        chart.to_dict()["layer"][0]["data"]["values"]
        if "data" not in chart.to_dict()
        else chart.to_dict()["data"]["values"]
    )
    assert [row["x"] for row in rows] == [2, 2, 2]
    places = [row["place"] for row in rows]
    assert places == sorted(set(places)) and places[1] == 2 and max(places) - min(places) < 0.2
