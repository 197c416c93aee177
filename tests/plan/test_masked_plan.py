"""The plan of masked cells: counts by the mask, hours by what is really computed."""

import io

import pytest
from rich.console import Console

from hornlib.grid import Grid
from hornlib.plan.choosing_cells import select
from hornlib.plan.estimates import (
    SPARSE_OVER_DENSE_RATE,
    Estimates,
    rate_keys,
    training_forward_flops,
)
from hornlib.plan.plan import Plan
from hornlib.plan.table import print_plan
from hornlib.plan.weights_size import run_bytes

CONFIG = """
    results: {results}
    sweeps:
      one:
        data: {{name: digits}}
        training: {{epochs: 20, batch_size: 32}}
        model:
          - {{name: mlp, arm: dense, hidden_nodes: 64-32}}
          - {{name: mlp, arm: static, hidden_nodes: 64-32, structure: {{name: sparse_training, density: 0.2}}}}
          - {{name: mlp, arm: set, hidden_nodes: 64-32, structure: {{name: sparse_training, rule: set, density: 0.2}}}}
          - name: mlp
            arm: stored
            hidden_nodes: 64-32
            structure: {{name: sparse_training, rule: set, density: 0.2, storage: compressed}}
"""


@pytest.fixture
def grid(grid_from, tmp_path) -> Grid:
    return grid_from(CONFIG.format(results=tmp_path / "results"))


@pytest.fixture
def rows(grid):
    return {row.arm: row for row in Plan(grid, select(grid), {}).rows()}


def test_rows_count_parameters_and_flops_by_the_mask(rows):
    assert rows["static"].parameters == rows["set"].parameters == rows["stored"].parameters
    assert rows["static"].parameters < (0.25 * rows["dense"].parameters[0],) * 2
    assert rows["static"].flops == rows["stored"].flops < rows["dense"].flops
    assert rows["static"].computed_flops == rows["dense"].flops
    assert rows["stored"].computed_flops == rows["stored"].flops


def test_hours_of_masks_are_those_of_all_products_and_stored_connections_have_their_own_rate(rows):
    assert rows["static"].left == rows["set"].left == rows["dense"].left
    share = rows["stored"].flops[0] / rows["dense"].flops[0]
    seconds = rows["dense"].left.seconds * share / SPARSE_OVER_DENSE_RATE
    assert rows["stored"].left.seconds == pytest.approx(seconds)


def test_the_plan_says_how_much_of_the_computed_work_counts(grid):
    stream = io.StringIO()
    print_plan(Plan(grid, select(grid), {}), Console(file=stream))
    (line,) = [line for line in stream.getvalue().splitlines() if "zeros of masked weights" in line]
    assert line.endswith("count (static, set)")
    assert "13.2k FLOPs, of which 2.85k count" in line


def test_a_measured_rate_of_masks_serves_the_dense_network_and_not_stored_connections(grid):
    dense, static, _, stored = grid.cells.values()
    rates = {rate_keys(static)[0]: 2.0}
    estimates = Estimates(rates=rates)
    assert estimates.run_seconds(dense) == 2 * training_forward_flops(dense)
    assert estimates.run_seconds(stored) is None


def test_the_plan_states_the_bytes_of_weights_that_are_kept_and_nothing_where_none_are(grid_from, tmp_path):
    texts = {
        setting: CONFIG.replace("results:", f"keep_weights: {setting}\n    results:", 1).format(
            results=tmp_path / "results"
        )
        for setting in ("off", "last")
    }
    lines = {}
    for setting, text in texts.items():
        grid, stream = grid_from(text), io.StringIO()
        print_plan(Plan(grid, select(grid), {}), Console(file=stream))
        lines[setting] = [line for line in stream.getvalue().splitlines() if "weights of all runs" in line]
    assert lines["off"] == []
    # 6,464 entries of weights and 106 biases; 1,293 connections that are stored take 4 bytes and 12 of their places
    dense, masked, stored = 4 * 6570, 4 * 6570 + 6464, 4 * (1293 + 106) + 12 * 1293 + 3 * 2000
    kilobytes = 5 * (4 * 4000 + dense + 2 * masked + stored) / 1000
    assert lines["last"] == [f"weights of all runs (keep_weights: last): {kilobytes:.0f}kB"]


@pytest.mark.parametrize("arm", ["dense", "static", "set", "stored"])
def test_the_planned_bytes_of_weights_are_nearly_those_of_the_file(grid_from, tmp_path, arm):
    pytest.importorskip("torch")
    from hornlib.grid.jobs import Range, weights_path
    from hornlib.training.job import TrainOptions
    from hornlib.training.train import train_job

    text = CONFIG.replace("epochs: 20", "epochs: 2").format(results=tmp_path / "results")
    grid = grid_from(text)
    (name,) = [name for name, label in grid.sweeps["one"].arms.items() if label == arm]
    output = tmp_path / "runs" / f"{name}.seeds-0-1.nc"
    train_job(
        grid.cells[name],
        Range(0, 1),
        output,
        TrainOptions("auto", 1, "cpu", tmp_path, 60.0, keep_weights="last"),
    )
    size = weights_path(output).stat().st_size
    assert 2 * run_bytes(grid.cells[name]) == pytest.approx(size, rel=0.15)
