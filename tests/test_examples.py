"""The examples run as a stranger would run them; what the analyst's prints is what was planted in the results."""

import contextlib
import io
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from hornlib.grid import read_grid
from hornlib.parameters.statistics import StatisticsSettings
from hornlib.results.gather import gather
from hornlib.results.run_file import RunRecord, write_run_file
from hornlib.results.variables import CURVES
from hornlib.statistics.write import write_statistics

EXAMPLES = Path(__file__).parents[1] / "examples"
EXAMPLE = EXAMPLES / "analyse.py"

SEEDS = 8

CONFIG = """
seeds: 8
per_job: 8
defaults:
  data: {name: digits}
  training: {steps: 300, batch_size: 64}
sweeps:
  digits:
    model:
      - {name: horn_cnn, num_nodes: 4, timesteps: 4}
      - {name: cnn, channels: 4-8-16, match: {to: horn_cnn, by: parameters}}
      - {name: rnn, unit: gru, data: {presentation: rows}}
"""

TIME_CONSTANTS = {"horn_cnn": 20, "cnn": 60, "rnn": 120}
"""Training steps in which the distance to the final metric falls to 1/e: the oscillator is three times as fast."""


def paces(arm):
    """Return the time constant of every seed: it varies a little, differently in each arm."""
    random = np.random.default_rng(len(arm))
    return TIME_CONSTANTS[arm] * np.exp(0.1 * random.standard_normal(SEEDS))


def planted(cell):
    """Return a record whose metric rises exponentially from chance to 0.98."""
    steps = np.array(cell.training.evaluation_steps(cell.data.num_train))
    metric = 0.98 - 0.88 * np.exp(-steps / paces(cell.model.name)[:, None])
    curves = {name: 1 - metric for name, curve in CURVES.items() if not curve.optional}
    curves |= {"validation_metric": metric, "test_metric": metric}
    for name, each_step in (("training_flops", 1e6), ("seconds", 1e-3)):
        curves[name] = np.tile(each_step * steps, (SEEDS, 1))
    curves["num_parameters"] = np.full(metric.shape, 1000.0)
    return RunRecord(
        seeds=list(range(SEEDS)),
        steps=steps,
        curves=curves,
        status=["complete"] * SEEDS,
        diverged_at_step=np.full(SEEDS, np.nan),
        lanes=np.full(SEEDS, SEEDS),
        attributes={"hornlib_version": "1.0", "hornlib_commit": "abc", "device": "cpu x86", "threads": 1},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A results folder with the planted runs, gathered, and their statistics."""
    results = tmp_path_factory.mktemp("example") / "results"
    config = results.with_name("config.yaml")
    config.write_text(f"results: {results}\n{CONFIG}")
    grid = read_grid([config])
    for job in grid.jobs({}):
        write_run_file(grid.run_path(job), grid.cells[job.cell], planted(grid.cells[job.cell]))
    gather(grid).close()
    settings = {"digits": StatisticsSettings(bootstrap=1000)}
    write_statistics(results / "results.nc", results / "statistics.nc", settings)
    return results


@pytest.fixture(scope="module")
def computed(folder):
    """What the example has computed, by name; what it has printed is under `printed`."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setenv("MPLBACKEND", "agg")
        patch.setattr(sys, "argv", [str(EXAMPLE), str(folder)])
        return runpy.run_path(str(EXAMPLE), run_name="__main__") | {"printed": printed.getvalue()}


def planted_samples(results, arm, level):
    """Return when each planted curve is first at or above a level, in samples, by the closed form."""
    crossing = paces(arm) * np.log(0.88 / (0.98 - level))
    index = np.searchsorted(results["step"].values, crossing)
    cell = results["arm"].values.tolist().index(arm)
    return results["samples"].transpose("cell", "step").values[cell][index]


def test_the_query_keeps_what_may_be_compared_and_the_curves_are_drawn(computed, folder):
    assert computed["results"]["arm"].values.tolist() == ["horn_cnn", "cnn"], "the GRU reads rows"
    assert computed["curves"].dims == ("arm", "step")
    assert (folder / "analysis.svg").read_text().count("<path") > 2


def test_the_times_are_those_of_the_planted_curves(computed):
    results, reached = computed["results"], computed["reached"]
    assert reached["event"].all()
    for cell, arm in enumerate(("horn_cnn", "cnn")):
        np.testing.assert_array_equal(
            reached["time"].transpose("cell", "seed")[cell], planted_samples(results, arm, 0.9)
        )


def test_the_headline_ratio_is_the_planted_one_and_the_answer_is_printed(computed):
    results, headline = computed["results"], computed["headline"]
    final = 0.98 - 0.88 * np.exp(-300 / paces("cnn"))
    level = 0.1 + 0.9 * (np.median(final) - 0.1)
    differences = np.log(planted_samples(results, "horn_cnn", level) / planted_samples(results, "cnn", level))
    expected = np.exp(differences.mean())
    ratio = headline.sel(rival="cnn")
    assert ratio["ratio"].item() == pytest.approx(expected, rel=1e-9)
    assert ratio["num_pairs"].item() == SEEDS and ratio["contender"].values.tolist() == ["horn_cnn"]
    assert ratio["ratio_bound"].sel(bound="low") < expected < ratio["ratio_bound"].sel(bound="high") < 1
    low, high = ratio["ratio_bound"].values.ravel()
    assert f"{expected:.3f} [{low:.3f}, {high:.3f}] times the samples that cnn needs" in computed["printed"]


def run(name, argument):
    """Run an example with one argument; return what it has computed, and what it has printed under `printed`."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(sys, "argv", [name, argument])
        return runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__") | {
            "printed": printed.getvalue()
        }


@pytest.mark.parametrize("name", ["fnn_sine", "cnn_digits"])
def test_a_learning_problem_is_trained_for_the_steps_asked_for(name):
    computed = run(name, "4")
    assert computed["chunk"].step == 4
    assert "step 4: " in computed["printed"]
    assert computed["chunk"].curves["test_metric"][:, -1].isfinite().all()


def test_the_depth_sweep_holds_fixed_horizons_and_moves_learned_ones():
    computed = run("resnet_depth", "2")
    horizons = computed["horizons"]
    for depth in (2, 4, 8, 16):
        assert horizons[depth, "fixed, T = 1"] == pytest.approx(1, rel=1e-6)
        assert horizons[depth, "fixed, T = L"] == pytest.approx(depth, rel=1e-6)
        assert horizons[depth, "learned"] != 1
    assert computed["printed"].count("median test accuracy") == 16


def test_the_fractional_network_keeps_fixed_steps_and_learns_the_others():
    computed = run("fractional_peaks", "2")
    for (_, kind), steps in computed["layer_steps"].items():
        assert (steps == 0.25).all() == (kind == "fixed")
        assert (steps >= 1e-4).all()
    assert np.isfinite(list(computed["errors"].values())).all()


def test_three_recurrent_units_read_the_rows():
    computed = run("rnn_rows", "2")
    assert list(computed["accuracies"]) == ["tanh", "gru", "lstm"]
    assert "lstm (5706 parameters)" in computed["printed"]


def test_the_four_descents_see_equally_many_examples():
    computed = run("descent", "1")
    num_train = computed["problem"].data.num_train
    by_64 = -(-num_train // 64)
    assert computed["updates"] == {
        "gradient descent": 1, "stochastic": num_train, "mini-batch": by_64, "Adam": by_64
    }  # fmt: skip


def test_every_example_is_run_here():
    tested = {"analyse", "fnn_sine", "cnn_digits", "resnet_depth", "fractional_peaks", "rnn_rows", "descent"}
    assert {path.stem for path in EXAMPLES.glob("*.py")} == tested
