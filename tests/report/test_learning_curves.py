"""Learning curves: every arm is told, n is stated, and the numbers drawn are medians over all runs."""

import re

import numpy as np
import pytest
import xarray as xr

from hornlib.errors import ResultsError
from hornlib.report.curves import panels
from hornlib.report.learning_curves import AXES, DETAILED, draw, plot_sweep
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
        },
        coords={
            "cell": [f"cell{index}" for index in range(len(cells))],
            "seed": np.arange(num_seeds),
            "step": STEPS,
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
    return ds


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


def text_of(path):
    """Return the words of an SVG."""
    return " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text()))


def caption(ds):
    """Return the words below the figure of a dataset."""
    return draw(select_sweep(ds, "small"), "small", "steps").get_supxlabel()


@pytest.mark.parametrize("cells", [FEW, MANY], ids=["few", "many"])
def test_every_figure_is_written_and_tells_every_arm_and_n(cells, tmp_path):
    paths = plot_sweep(results(cells), "small", tmp_path / "figures")
    expected = {f"small-{axis}.{kind}" for axis in AXES for kind in ("svg", "png")}
    assert (
        {path.name for path in paths} == expected == {path.name for path in (tmp_path / "figures").iterdir()}
    )
    for path in paths:
        assert path.stat().st_size > 5000
        if path.suffix == ".svg":
            words = text_of(path)
            for arm in {arm for _, _, arm, _, _ in cells}:
                assert arm in words
            assert (
                "n = 5 seeds a cell" in words
                and "median" in words
                and "quartiles" in words
                and "chance" in words
            )
    assert "not calibrated" in text_of(tmp_path / "figures" / "small-seconds.svg")


def test_the_same_results_give_the_same_svg(tmp_path):
    for folder in ("first", "second"):
        plot_sweep(results(FEW), "small", tmp_path / folder)
    for axis in AXES:
        first, second = (
            (tmp_path / folder / f"small-{axis}.svg").read_bytes() for folder in ("first", "second")
        )
        assert first == second and b"<dc:date>" not in first


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
    assert (curve.arm, curve.axes, curve.num_seeds) == ("horn_cnn", {"timesteps": 8}, 5)


def test_a_run_that_diverged_counts_as_chance_and_is_told():
    ds = results(FEW, num_seeds=3, diverged=[(0, 0, 10), (0, 1, 10)])
    curve = panels(select_sweep(ds, "small"), "training_flops")[0].curves[0]
    assert curve.median[-1] == 0.1 and curve.num_diverged == 2 and len(curve.x) == len(STEPS)
    assert "2 of 12 runs diverged" in caption(ds)


def test_missing_runs_are_left_out_and_counted():
    ds = results(FEW, missing=[(0, 0), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4)])
    drawn = panels(select_sweep(ds, "small"), "step")
    assert drawn[0].curves[0].num_seeds == 4 and not drawn[1].curves
    words = caption(ds)
    assert "n = 4 to 5 seeds" in words and "6 runs are missing" in words


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
    own = [curve.median[-1] for curve in panel.curves if curve.arm == "arm3"]
    assert panel.best("arm3").median[-1] == last(own)


def test_styles_of_different_cells_differ():
    for cells in (FEW, MANY):
        figure = draw(select_sweep(results(cells), "small"), "small", "steps")
        handles = figure.legends[0].legend_handles
        styles = {(str(h.get_color()), str(h.get_linestyle()), str(h.get_marker())) for h in handles}
        assert len(styles) == len(handles)
        bold = [line for line in figure.axes[0].get_lines() if line.get_linewidth() > 1]
        assert len(bold) == (3 if cells is FEW else 9)
        assert figure.axes[0].get_xscale() == "log"
    assert len(MANY) / 2 > DETAILED


def test_an_unknown_sweep_is_told(tmp_path):
    with pytest.raises(ResultsError, match="did you mean 'small'"):
        plot_sweep(results(FEW), "smal", tmp_path)
