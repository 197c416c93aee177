"""Learning curves: every curve names its cell, n is stated, and the numbers drawn are medians over all runs."""

import numpy as np
import pytest
import xarray as xr

from hornlib.errors import ResultsError
from hornlib.report.curves import cell_labels, panels
from hornlib.report.learning_curves import MOST_CELLS, curve_charts, plot_sweep
from hornlib.results.opening import select_sweep

STEPS = np.array([1, 3, 10, 30, 100])


def results(cells, num_seeds=5, diverged=(), missing=(), random=None):
    """Return what results.nc would hold; a cell is (dataset, presentation, arm, model, timesteps)."""
    random = random or np.random.default_rng(0)
    dims = ("cell", "seed", "step")
    shape = (len(cells), num_seeds, len(STEPS))
    metric = 0.1 + 0.8 * STEPS / (STEPS + 20) + 0.02 * random.random(shape)
    diverged_at = np.full(shape[:2], np.nan)
    status = np.full(shape[:2], "complete", dtype="U8")
    for cell, seed, step in diverged:
        diverged_at[cell, seed], status[cell, seed] = step, "diverged"
        metric[cell, seed, step <= STEPS] = np.nan
    for cell, seed in missing:
        metric[cell, seed], status[cell, seed] = np.nan, "missing"
    flops = np.where(np.isnan(metric), np.nan, 1e6 * STEPS)
    datasets, presentations, arms, models, timesteps = zip(*cells, strict=True)
    ds = xr.Dataset(
        {
            "validation_metric": (dims, metric),
            "test_metric": (dims, metric - 0.01),
            "training_flops": (dims, flops),
            "seconds": (dims, flops / 1e8),
            "samples": (("cell", "step"), np.tile(32.0 * STEPS, (len(cells), 1))),
            "diverged_at_step": (dims[:2], diverged_at),
            "status": (dims[:2], status),
            "device": (dims[:2], np.where(status == "missing", "", "cpu x86")),
            "step_time": (("cell", "calibration_device"), np.full((len(cells), 1), 0.5)),
        },
        coords={
            "cell": [f"cell{index}" for index in range(len(cells))],
            "seed": np.arange(num_seeds),
            "step": STEPS,
            "calibration_device": ["cpu EPYC"],
            "dataset": ("cell", list(datasets), {"kind": "string"}),
            "presentation": ("cell", list(presentations), {"kind": "string"}),
            "model": ("cell", list(models), {"kind": "string"}),
            "timesteps": ("cell", np.array(timesteps, float), {"kind": "integer"}),
            "metric": ("cell", ["accuracy"] * len(cells)),
            "direction": ("cell", ["maximise"] * len(cells)),
            "chance_level": ("cell", [0.1] * len(cells)),
            "in_small": ("cell", np.full(len(cells), True)),
            "arm_small": ("cell", list(arms)),
        },
    )
    ds["in_small"].attrs["seeds"] = np.arange(num_seeds)
    return ds.assign(
        {f"final_{name}": ds[name].isel(step=-1) for name in ("validation_metric", "test_metric")}
    )


FEW = [
    ("digits", "image", "horn_cnn", "horn_cnn", 4),
    ("digits", "image", "horn_cnn", "horn_cnn", 8),
    ("digits", "image", "overdamped", "horn_cnn", 8),
    ("digits", "rows", "gru", "rnn", np.nan),
]
MANY = [
    (dataset, "image", f"arm{arm}", "horn_cnn", timesteps)
    for dataset in ("mnist", "cifar10")
    for arm in range(9)
    for timesteps in range(1, 5)
]


def charts_of(ds):
    return curve_charts(select_sweep(ds, "small"), "small")


def lines_of(chart, mark):
    """Return the points of the layers of a chart with this mark's opacity or width, by series."""
    series = {}
    for layer in chart.specification["layer"]:
        if layer["mark"].get("type") == "line" and layer["mark"].get("strokeWidth") == mark:
            data = layer.get("data") or chart.specification["data"]
            for row in data["values"]:
                series.setdefault(row["series"], []).append(row["y"])
    return series


BOLD, FAINT = 2, 1
"""Width of the lines of best cells, and of the others."""


def test_every_figure_is_written_as_svg_and_png_and_names_every_cell_and_the_axis(tmp_path):
    paths = plot_sweep(results(FEW), "small", tmp_path / "figures")
    expected = {
        f"small-digits-{presentation}-curves-{axis}.{kind}"
        for presentation in ("image", "rows")
        for axis in ("step", "samples", "training-flops", "seconds")
        for kind in ("svg", "png")
    }
    assert {path.name for path in paths} == expected
    words = (tmp_path / "figures" / "small-digits-image-curves-seconds.svg").read_text()
    assert "calibrated seconds on cpu EPYC" in words
    assert "horn_cnn timesteps=" in words and ">overdamped<" in words


def test_the_same_results_give_the_same_svg(tmp_path):
    first, second = (plot_sweep(results(FEW), "small", tmp_path / folder) for folder in ("first", "second"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_seconds_are_calibrated_or_not_drawn():
    ds = results(FEW)
    chart = next(chart for chart in charts_of(ds) if chart.name.endswith("seconds"))
    points = [
        row["x"]
        for layer in chart.specification["layer"]
        for row in layer.get("data", {"values": []})["values"]
        if "x" in row
    ]
    assert max(points) == pytest.approx(0.5 * STEPS[-1])
    uncalibrated = charts_of(ds.drop_vars("step_time"))
    assert len(uncalibrated) == 6 and not any(chart.name.endswith("seconds") for chart in uncalibrated)


def test_of_few_cells_all_are_drawn_and_of_many_the_best_of_each_arm():
    few, many = charts_of(results(FEW))[0], charts_of(results(MANY))[0]
    assert lines_of(few, FAINT).keys() | lines_of(few, BOLD).keys() == {
        "horn_cnn timesteps=4",
        "horn_cnn timesteps=8",
        "overdamped",
    }
    assert len(lines_of(few, BOLD)) == 2 and len(lines_of(few, FAINT)) == 1
    assert len(lines_of(many, BOLD)) == 9 and not lines_of(many, FAINT)
    assert len(MANY) / 2 > MOST_CELLS


def test_a_label_of_the_results_wins_over_one_made_of_the_axes():
    ds = select_sweep(results(FEW), "small")
    assert cell_labels(ds).tolist() == ["horn_cnn timesteps=4", "horn_cnn timesteps=8", "overdamped", "gru"]
    labelled = ds.assign_coords(label=("cell", ["a", "b", "c", "d"]))
    assert cell_labels(labelled).tolist() == ["a", "b", "c", "d"]


def test_panels_part_what_must_not_be_compared():
    drawn = panels(select_sweep(results(FEW), "small"), "step")
    assert [panel.title for panel in drawn] == ["digits, image", "digits, rows"]
    assert [len(panel.curves) for panel in drawn] == [3, 1]
    assert drawn[0].label == "validation accuracy" and drawn[0].chance == 0.1
    assert [panel.title for panel in panels(select_sweep(results(MANY), "small"), "step")] == [
        "mnist",
        "cifar10",
    ]


def test_a_curve_is_the_median_and_the_quartiles_over_seeds():
    ds = select_sweep(results(FEW), "small")
    curve = panels(ds, "samples")[0].curves[1]
    values = ds.validation_metric.isel(cell=1)
    np.testing.assert_allclose(curve.median, values.median("seed"))
    np.testing.assert_allclose(curve.low, values.quantile(0.25, "seed"))
    np.testing.assert_allclose(curve.high, values.quantile(0.75, "seed"))
    assert curve.x.tolist() == (32 * STEPS).tolist()
    assert (curve.arm, curve.label, curve.num_seeds) == ("horn_cnn", "horn_cnn timesteps=8", 5)


def test_a_run_that_diverged_counts_as_chance_and_is_counted():
    ds = results(FEW, num_seeds=3, diverged=[(0, 0, 10), (0, 1, 10)])
    curve = panels(select_sweep(ds, "small"), "training_flops")[0].curves[0]
    assert curve.median[-1] == 0.1 and curve.num_diverged == 2 and len(curve.x) == len(STEPS)
    assert "2 of these 9 runs diverged" in charts_of(ds)[0].caption


def test_missing_runs_are_left_out_and_counted():
    ds = results(FEW, missing=[(0, 0), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4)])
    drawn = panels(select_sweep(ds, "small"), "step")
    assert drawn[0].curves[0].num_seeds == 4 and not drawn[1].curves
    (chart, *_), others = charts_of(ds), [chart for chart in charts_of(ds) if "rows" in chart.name]
    assert "n = 4 to 5 seeds" in chart.caption and "1 of these cells' runs are missing" in chart.caption
    assert not others


def test_without_a_validation_part_test_is_drawn_and_said():
    ds = results(FEW)
    ds["validation_metric"][:] = np.nan
    panel = panels(select_sweep(ds, "small"), "step")[0]
    assert panel.label == "test accuracy"
    np.testing.assert_allclose(panel.curves[0].median, ds.test_metric.isel(cell=0).median("seed"))


@pytest.mark.parametrize(("direction", "last"), [("maximise", max), ("minimise", min)])
def test_the_best_cell_is_by_the_direction_of_the_metric(direction, last):
    ds = results(MANY, random=np.random.default_rng(3))
    ds["direction"][:] = direction
    panel = panels(select_sweep(ds, "small"), "step")[0]
    ends = [curve.median[-1] for curve in panel.curves if curve.arm == "arm3"]
    best = next(curve for curve in panel.best_curves() if curve.arm == "arm3")
    assert best.median[-1] == last(ends)


def test_styles_of_different_arms_differ():
    for cells in (FEW, MANY):
        legend = charts_of(results(cells))[0].legend
        assert len({(swatch.colour, swatch.dash) for swatch in legend}) == len(legend)


def test_an_unknown_sweep_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(ResultsError, match="did you mean 'small'"):
        plot_sweep(results(FEW), "smal", tmp_path)
