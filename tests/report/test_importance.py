"""The section on importance: it appears where importance was measured, and its numbers are those of the file."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from hornlib.report.blocks import Chart, PageTable
from hornlib.report.evidence import collect
from hornlib.report.page import render
from hornlib.report.sections.importance import importance

PROXIES = ("magnitude", "second_order", "wanda")
ORDERS = ("magnitude", "exact", "random")
SHARES = np.array([0.0, 0.5, 0.9])


def measured(rho):
    """Return what importance.nc would hold of two cells with five seeds, from correlations (cell, proxy)."""
    sizes = {"cell": 2, "seed": 5, "split": 2, "proxy": 3, "removal_order": 3, "removed_share": 3}
    noise = 0.01 * np.array([1, -1, 0, 1, -1.0])

    def over(*dims):
        return dims, np.broadcast_to(
            noise.reshape([-1 if dim == "seed" else 1 for dim in dims]), [sizes[d] for d in dims]
        )

    dims, spread = over("cell", "seed", "split", "proxy")
    variables = {"pooled_spearman": (dims, spread + np.asarray(rho)[:, None, None, :])}
    for name in ("mean_importance", "gini", "harmful_share", "idle_share"):
        variables[f"pooled_{name}"] = over("cell", "seed", "split")
    dims, spread = over("cell", "seed", "split", "removal_order", "removed_share")
    slopes = np.array([[1.0], [np.nan], [3.0]])
    variables["curve_loss"] = (dims, 0.2 + spread + slopes * SHARES)
    coordinates = {
        "cell": ["a", "b"],
        "seed": np.arange(5),
        "split": ["training", "held_out"],
        "proxy": list(PROXIES),
        "removal_order": list(ORDERS),
        "removed_share": SHARES,
        "dataset": ("cell", ["digits", "digits"]),
        "in_thesis": ("cell", np.array([1, 1], np.int8), {"seeds": np.arange(5)}),
        "arm_thesis": ("cell", ["mlp", "mlp"]),
        "label_in_thesis": ("cell", ["relu", "tanh"]),
    }
    return xr.Dataset(variables, coordinates)


@pytest.fixture(scope="module")
def evidence(folder):
    dense = collect(folder("yes", arms=["cnn", "horn"], datasets=["digits"]), ["thesis"])
    return dataclasses.replace(dense, importance=measured([[0.6, 0.98, 0.7], [0.4, 0.96, 0.5]]))


def test_a_page_without_importance_has_no_such_section(evidence):
    assert importance(dataclasses.replace(evidence, importance=None)).blocks == []
    others = dataclasses.replace(evidence, sweeps=[])
    assert importance(others).blocks == []


def test_a_page_with_importance_has_tables_and_a_chart(evidence):
    page, charts = render(evidence)
    assert 'href="#importance"' in page and "Importance of connections" in page
    assert any(chart.name == "thesis-digits-importance-removal" for chart in charts)


def test_the_best_proxy_stands_first_with_the_mean_over_cells_and_the_range_of_cells(evidence):
    proxies, cells = [block for block in importance(evidence).all_blocks() if isinstance(block, PageTable)]
    first, *_ = rows = [[entry.shown for entry in row] for row in proxies.rows]
    assert [row[0] for row in rows] == ["second_order", "wanda", "magnitude"]
    assert first[1].startswith("0.97") and first[3:5] == ["0.96", "0.98"] and first[-1] == "5"
    assert [row[0].shown for row in cells.rows] == ["relu", "tanh"]
    assert cells.rows[0][1].shown.startswith("0.6")


def test_an_order_without_numbers_is_not_drawn(evidence):
    (chart,) = [block for block in importance(evidence).all_blocks() if isinstance(block, Chart)]
    assert [swatch.label for swatch in chart.legend] == ["magnitude", "random"]
    assert "magnitude 0.5; random 1.5" in chart.alternative


def test_a_cell_whose_runs_all_diverged_is_left_out(evidence):
    ds = evidence.importance
    completed = ds["cell"] == "b"
    with_diverged = ds.assign({name: values.where(completed) for name, values in ds.data_vars.items()})
    section = importance(dataclasses.replace(evidence, importance=with_diverged))
    proxies, cells = [block for block in section.all_blocks() if isinstance(block, PageTable)]
    assert [row[0].shown for row in cells.rows] == ["tanh"]
    assert {row[-2].shown for row in proxies.rows} == {"1"} and {row[-1].shown for row in proxies.rows} == {
        "5"
    }
    assert proxies.rows[0][1].shown.startswith("0.96")
    assert any(isinstance(block, Chart) for block in section.all_blocks())
    nothing = ds.assign({name: values.where(False) for name, values in ds.data_vars.items()})
    section = importance(dataclasses.replace(evidence, importance=nothing))
    assert not [block for block in section.all_blocks() if isinstance(block, PageTable | Chart)]
    without_seeds = importance(dataclasses.replace(evidence, importance=ds.isel(seed=slice(0))))
    assert not [block for block in without_seeds.all_blocks() if isinstance(block, PageTable | Chart)]


def test_an_order_or_a_proxy_that_one_cell_lacks_has_no_mean_over_cells(evidence):
    ds = evidence.importance.copy()
    ds["curve_loss"] = ds["curve_loss"].where((ds["cell"] == "a") | (ds["removal_order"] != "magnitude"))
    ds["pooled_spearman"] = ds["pooled_spearman"].where((ds["cell"] == "a") | (ds["proxy"] != "wanda"))
    blocks = importance(dataclasses.replace(evidence, importance=ds)).all_blocks()
    (chart,) = [block for block in blocks if isinstance(block, Chart)]
    assert [swatch.label for swatch in chart.legend] == ["random"]
    proxies, _ = [block for block in blocks if isinstance(block, PageTable)]
    shown = {row[0].shown: [entry.shown for entry in row[1:]] for row in proxies.rows}
    assert shown["wanda"][:2] == ["–", "–"] and shown["wanda"][-2:] == ["1", "0"]
    assert shown["second_order"][0].startswith("0.97") and shown["second_order"][-2:] == ["2", "5"]


def test_a_seed_that_one_cell_lacks_counts_in_no_mean_over_cells(evidence):
    ds = evidence.importance.copy()
    lost = (ds["cell"] == "a") & (ds["seed"] == 4)
    ds = ds.assign({name: values.where(~lost) for name, values in ds.data_vars.items()})
    blocks = importance(dataclasses.replace(evidence, importance=ds)).all_blocks()
    (chart,) = [block for block in blocks if isinstance(block, Chart)]
    assert "n = 4 seeds" in chart.caption
