"""The page on the influence of parameters: an order only where the statistics tell one, and no null as a fact."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

FINDINGS = Path(__file__).resolve().parents[2] / "docs" / "findings"
HEAD = """# A head
kept
<!-- below: made by docs/findings/influence.py -->
old
"""


def statistics(leading="num_nodes", p_holm=0.001, limits=(), arrived=1.0):
    """Return the statistics of two parameters of two levels, of which only num_nodes has a clear effect."""
    over, dims = ("dataset", "outcome"), {"dataset": ["digits"], "outcome": ["log_time"]}
    levels = ["num_nodes=4", "num_nodes=8", "timesteps=4", "timesteps=8"]
    main, spread = np.array([0.5, -0.5, 0.01, -0.01]), 0.1
    ds = xr.Dataset(
        {
            "main_effect": ((*over, "parameter_level"), main[None, None]),
            "main_effect_bound": (
                (*over, "parameter_level", "bound"),
                np.stack([main - spread, main + spread], -1)[None, None],
            ),
            "interaction": ((*over, "level_pair"), [[[0.0]]]),
            "interaction_bound": ((*over, "level_pair", "bound"), [[[[-0.1, 0.1]]]]),
            "first_order_share": ((*over, "axis_name"), [[[0.9, 0.0]]]),
            "total_share": ((*over, "axis_name"), [[[0.95, 0.05]]]),
            "total_share_bound": ((*over, "axis_name", "bound"), [[[[0.9, 1.0], [0.0, 0.1]]]]),
            "largest_in_draws": ((*over, "axis_name"), [[[0.97, 0.03]]]),
            "difference_p": (over, [[p_holm]]),
            "difference_p_holm": (over, [[p_holm]]),
            "leading_parameter": (over, np.array([[leading]], object)),
            "noise_share": (over, [[0.2]]),
            "arrived_share": (over, [[arrived]]),
            "factorial_cells": (over, [[4.0]]),
            "factorial_seeds": (over, [[7.0]]),
        },
        coords={
            **dims,
            "parameter_level": levels,
            "level_axis": ("parameter_level", [level.split("=")[0] for level in levels]),
            "level_pair": ["num_nodes=4, timesteps=4"],
            "axis_name": ["num_nodes", "timesteps"],
        },
    )
    return ds.assign_attrs(limits=json.dumps(list(limits)), settings=json.dumps({"alpha": 0.05}))


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A function that gives the page made of statistics."""

    def make(ds):
        path = tmp_path / "influence.md"
        path.write_text(HEAD)
        monkeypatch.setattr("hornlib.statistics.write.open_statistics", lambda *_: ds)
        monkeypatch.setattr(sys, "argv", ["influence.py", "statistics.nc", "influence", "--out", str(path)])
        runpy.run_path(str(FINDINGS / "influence.py"), run_name="__main__")
        return path.read_text()

    return make


def test_the_leader_is_named_with_its_share_and_the_test(page):
    text = page(statistics())
    assert "num_nodes matters most: 95 % [90, 100] of the variance between cells that is left once" in text
    assert "the cells differ (F test of any difference, p = 0.001" in text
    assert "num_nodes: an interval excludes 'no effect' (num_nodes=4 1.65 [1.49, 1.82]" in text


@pytest.mark.parametrize(("p_holm", "words"), [(0.01, "the cells differ"), (0.2, "is not shown")])
def test_without_a_leader_no_parameter_is_told_apart(page, p_holm, words):
    text = page(statistics(leading="", p_holm=p_holm))
    assert "matters most" not in text
    assert "No parameter is told apart: num_nodes has the largest share, 95 % [90, 100]" in text
    assert words in text.split("No parameter is told apart")[1].split("\n")[0]


def test_a_null_is_not_shown_and_has_its_intervals(page):
    text = page(statistics())
    assert (
        "timesteps: an effect is not shown (timesteps=4 1.01 [0.91, 1.12]; timesteps=8 0.99 [0.90, 1.09])"
        in text
    )
    assert "about 0 would exclude 'no effect' by chance" in text
    assert not [words for words in ("does not help", "nothing else", "no effect of") if words in text]


def test_runs_that_miss_the_target_are_counted_where_effects_are_told(page):
    text = page(statistics(arrived=0.25))
    assert text.count("25 % of the runs reach the target within the budget that all cells share;") == 2
    assert "of the runs reach the target" not in page(statistics())


def test_the_next_run_keeps_the_head_and_replaces_the_rest(page):
    text = page(statistics())
    assert "old" not in text and text.startswith("# A head\nkept\n")
    assert "carry that lag" not in text


def test_results_with_lagging_statistics_are_marked(page):
    lag = "horn were evaluated with `batch_norm_statistics: recent`, which lag behind the weights."
    text = page(statistics(limits=[lag]))
    assert "carry that lag" in text.split("## In short")[0]


def test_a_share_without_an_interval_stands_alone(page):
    ds = statistics()
    text = page(ds.assign(total_share_bound=ds["total_share_bound"] * np.nan))
    assert "nan" not in text and "num_nodes matters most: 95 % of the variance" in text


def test_statistics_without_the_test_are_refused(page):
    with pytest.raises(SystemExit):
        page(statistics().drop_vars("difference_p"))
