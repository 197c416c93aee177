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
