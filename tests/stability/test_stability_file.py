"""stability.nc: every node of every seed's own draw predicted, beside what happened."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from hornlib.dynamics import stability
from hornlib.errors import ResultsError
from hornlib.grid.cell import Selection, parse_specification
from hornlib.models.build import build_network
from hornlib.results.selection_file import Choice, write_choice
from hornlib.stability.nodes import drawn_nodes, has_oscillators
from hornlib.stability.predictions import expectation
from hornlib.stability.stability_file import join_outcome, stability_table, write_stability

CONFIG = """
    seeds: 3
    sweeps:
      one:
        data: {name: digits}
        training: {steps: 2}
        model:
          - {name: horn_cnn, num_nodes: 4, timesteps: [4, 8], heterogeneity: [0, 1]}
          - {name: horn, num_nodes: 8, omega: 2.4, data: {presentation: pixels}}
          - {name: cnn, channels: 4-8}
"""


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    from hornlib.grid import read_grid

    path = tmp_path_factory.mktemp("stability") / "config.yaml"
    path.write_text(CONFIG)
    return read_grid([path])


@pytest.fixture(scope="module")
def table(grid):
    return stability_table(grid)


def happened(table, diverged=()):
    """What open_results would give for the table's cells, one cell and one seed missing."""
    cells, seeds = table["cell"].values[:-1], table["seed"].values[:-1]
    status = np.full((len(cells), len(seeds)), "complete", dtype=object)
    at = np.full(status.shape, np.nan)
    for cell, seed in diverged:
        status[cell, seed], at[cell, seed] = "diverged", 3
    dims = ("cell", "seed")
    attributes = {"units": "1", "long_name": "of a test"}
    return xr.Dataset(
        {
            "status": (dims, status, attributes),
            "diverged_at_step": (dims, at, attributes),
            "final_test_metric": (dims, np.where(np.isnan(at), 0.9, np.nan), attributes),
        },
        coords={
            "cell": cells,
            "seed": seeds,
            "chance_level": ("cell", np.full(len(cells), 0.1), attributes),
            "omega": ("cell", np.full(len(cells), 0.3), attributes),
        },
    )


def test_only_cells_with_oscillators_are_predicted(grid, table):
    assert table.sizes == {"cell": 5, "seed": 3}
    assert set(table["model"].values) == {"horn_cnn", "horn"}
    gap = parse_specification(
        {"data": {"name": "digits"}, "model": {"name": "cnn_horn", "channels": "4", "unit": "gru"}}
    )
    assert not has_oscillators(gap)


def test_the_worst_node_and_the_shares_are_those_of_the_network_that_the_seed_draws(grid, table):
    name = next(name for name, own in grid.cells.items() if own.model.canonical().get("heterogeneity") == 1.0)
    cell = grid.cells[name]
    for seed in (0, 2):
        network = build_network(cell.model, cell.task(), seed)
        omega, damping = (
            torch.cat(
                [getattr(stage.oscillators.constants(), key).flatten() for stage in network.stages]
            ).double()
            for key in ("omega", "damping")
        )
        radii = [
            stability.spectral_radius(*pair, 1.0, "symplectic_euler")
            for pair in zip(omega.tolist(), damping.tolist(), strict=True)
        ]
        assert len(radii) == 4 + 8 + 16
        own = table.sel(cell=name, seed=seed)
        assert float(own["worst_spectral_radius"]) == pytest.approx(max(radii), rel=1e-12)
        assert float(own["unstable_share"]) == pytest.approx(np.mean(np.array(radii) > 1))
    assert float(table["worst_spectral_radius"].sel(cell=name).std()) > 0


def test_a_homogeneous_cell_is_the_same_for_every_seed(grid, table):
    homogeneous = table.isel(cell=np.flatnonzero(table["heterogeneity"] == 0))
    assert homogeneous.sizes["cell"] == 3
    assert np.ptp(homogeneous["worst_spectral_radius"].values, axis=1).max() == 0
    np.testing.assert_allclose(
        homogeneous["worst_spectral_radius"].isel(seed=0), homogeneous["spectral_radius"], rtol=1e-6
    )
    assert len(drawn_nodes(grid.cells[str(homogeneous["cell"].values[0])], 0).num_nodes) == 1


def test_the_unstable_cell_is_expected_to_overflow_and_the_stable_ones_are_bounded(table):
    horn = table.isel(cell=np.flatnonzero(table["model"] == "horn"))
    assert horn["stability"].item() == "unstable" and (horn["expected_failure"] == "amplification").all()
    assert horn["worst_growth"].values == pytest.approx(np.full((1, 3), 64 * np.log10(3.5)), rel=1e-4)
    stable = table.isel(cell=np.flatnonzero((table["timesteps"] == 8) & (table["heterogeneity"] == 1)))
    assert stable["stability"].item() == "stable"
    assert (stable["expected_failure"] == "saturation or limit cycle").all()
    assert expectation(39.0, 1.0) == "overflow" and expectation(0.0, 1e-4) == "vanishing gradient"


def test_what_happened_stands_beside_and_what_is_not_there_is_missing(table):
    joined = join_outcome(table, happened(table, diverged=[(0, 1)]))
    assert joined["status"].sel(seed=2).values.tolist() == ["missing"] * 5
    assert joined["status"].isel(cell=0).values.tolist() == ["complete", "diverged", "missing"]
    assert joined["diverged_at_step"].isel(cell=0).values.tolist()[1] == 3
    assert "omega" not in joined.coords
    assert int(joined["num_runs"].sum()) == 8 and int(joined["num_runs"].sel(outcome="diverged").sum()) == 1
    for name, variable in joined.variables.items():
        assert variable.attrs["units"] and variable.attrs["long_name"], name


def test_results_of_another_configuration_are_refused(table):
    foreign = happened(table).assign_coords(cell=["a", "b", "c", "d"])
    with pytest.raises(ResultsError, match="another configuration"):
        join_outcome(table, foreign)


def test_the_file_has_four_groups_that_plain_xarray_opens(grid, tmp_path, monkeypatch):
    from hornlib.stability import stability_file

    monkeypatch.setattr(stability_file, "plane_map", lambda: xr.Dataset({"one": 1}))
    monkeypatch.setattr(stability_file, "heterogeneity_map", lambda: xr.Dataset({"two": 2}))
    monkeypatch.setattr(stability_file, "integrator_orders", lambda: xr.Dataset({"three": 3}))
    path = write_stability(grid, tmp_path / "stability.nc")
    with xr.open_dataset(path) as root, xr.open_dataset(path, group="cells") as cells:
        assert root.attrs["schema_version"] == 1 and cells.sizes["cell"] == 5
        assert (cells["integrator"] == "symplectic_euler").all()
    for name in ("plane", "heterogeneity", "orders"):
        with xr.open_dataset(path, group=name) as group:
            assert len(group.data_vars) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["stability.nc"]


def test_a_tuned_cell_is_predicted_with_what_was_chosen_and_left_out_before(grid_from, tmp_path):
    made = grid_from(
        """
        seeds: 1
        sweeps:
          one:
            data: {name: digits}
            training: {learning_rate: {tune: {low: 1e-3, high: 1e-1, scale: log}}}
            tuning: {trials: 4, seeds: 2}
            model:
              - {name: horn_cnn, num_nodes: 2, timesteps: 8, num_cycles: {tune: {low: 0.5, high: 4.0, scale: log}}}
              - {name: cnn, channels: 2-4}
        statistics: {baseline: cnn}
        """
    )
    made = replace(made, settings=made.settings.model_copy(update={"results": str(tmp_path)}))
    tuned = [name for name, own in made.cells.items() if own.tuned and own.model.name == "horn_cnn"]
    assert len(tuned) == 2 and stability_table(made).sizes["cell"] == 1
    chosen = Selection(0, {"training.learning_rate": 0.01, "model.num_cycles": 4.0})
    write_choice(made.selection_path(tuned[0]), Choice(tuned[0], chosen, [], [1.0], 0.9, {}))
    table = stability_table(made)
    assert (
        table["num_cycles"].sel(cell=tuned[0]).item() == 4
        and table["stability"].sel(cell=tuned[0]) == "unstable"
    )
