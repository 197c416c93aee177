"""What results.nc says of masked cells: counts by mask, what is really computed, the last network."""

from types import SimpleNamespace

import numpy as np

from hornlib.grid.cell import parse_specification
from hornlib.results.calibrated_seconds import models_over_time
from hornlib.results.coordinates import coordinate_values
from hornlib.results.final_network import final_forward_flops, may_change
from hornlib.results.gather import gather

MLP = {"name": "mlp", "hidden_nodes": "8-6"}


def cell_of(model=None, **structure):
    return parse_specification(
        {
            "data": {"name": "digits"},
            "model": model or MLP,
            "structure": {"name": "sparse_training", "density": 0.3, **structure} if structure else {},
        }
    )


def run_of(cell, **variables):
    """Return a run file of two seeds, evaluated after steps 1 and 10."""
    return SimpleNamespace(
        variables={"seed": np.array([0, 1]), "step": np.array([1, 10]), **variables}, job=None
    )


def layer_densities(cell):
    planned, weights = cell.structure.connections(cell.model, cell.task()), cell.model.weights(cell.task())
    layers = range(weights[-1].layer + 1)
    members = [[weight for weight in weights if weight.layer == layer] for layer in layers]
    return np.array(
        [
            sum(planned.get(weight.name, weight.size) for weight in group)
            / sum(weight.size for weight in group)
            for group in members
        ]
    )


def test_coordinates_count_by_the_mask_and_beside_it_what_is_computed():
    dense, sparse = coordinate_values(cell_of()).values, coordinate_values(cell_of(rule="static")).values
    cost = cell_of(rule="static").cost()
    assert sparse["forward_flops"] == cost.flops.total and sparse["forward_products"] == cost.products
    assert sparse["computed_forward_flops"] == dense["forward_flops"] == dense["computed_forward_flops"]
    assert sparse["forward_flops"] < dense["forward_flops"]
    stored = coordinate_values(cell_of(rule="static", storage="compressed")).values
    assert stored["computed_forward_flops"] == stored["forward_flops"] == sparse["forward_flops"]


def test_fields_of_the_structure_are_coordinates():
    values = coordinate_values(cell_of(rule="rigl")).values
    assert values["structure"] == "sparse_training"
    assert (values["rule"], values["density"], values["distribution"]) == ("rigl", 0.3, "erk")


def test_a_network_with_the_planned_connections_ends_with_the_planned_flops():
    models = [MLP, {"name": "resnet", "channels": "4-6"}]
    for cell in (cell_of(model, rule="set") for model in models):
        density = np.broadcast_to(layer_densities(cell), (2, 2, len(layer_densities(cell))))
        run = run_of(cell, layer_density=density)
        np.testing.assert_allclose(final_forward_flops(run, cell), [cell.cost().flops.total] * 2)
        np.testing.assert_array_equal(final_forward_flops(run_of(cell), cell), [cell.cost().flops.total] * 2)


def test_connections_that_moved_to_another_layer_count_where_they_ended():
    """A convolution uses each number at every pixel, the last layer once."""
    cell = cell_of({"name": "cnn", "channels": "4-6"}, rule="dsr")
    task = cell.task()
    weights = {weight.layer: weight for weight in cell.model.weights(task)}
    planned = layer_densities(cell)
    moved = planned.copy()
    moved[1] -= 10 / weights[1].size
    moved[2] += 10 / weights[2].size
    density = np.stack([[planned, moved], [planned, planned]])
    run = run_of(cell, layer_density=density)
    expected = cell.cost().flops.total - np.array([20 * (weights[1].uses - 1), 0])
    np.testing.assert_allclose(final_forward_flops(run, cell), expected)


def test_a_diverged_run_ends_with_its_last_recorded_masks():
    cell = cell_of(rule="dsr")
    planned = layer_densities(cell)
    density = np.stack([[np.ones(3), np.full(3, np.nan)], [planned, planned]])
    flops = final_forward_flops(run_of(cell, layer_density=density), cell)
    np.testing.assert_allclose(flops, [cell.model.forward_flops(cell.task()).total, cell.cost().flops.total])


def test_gradual_pruning_begins_without_masks_and_a_run_that_never_had_any_is_dense():
    cell = cell_of(rule="dsr")
    planned, dense = layer_densities(cell), cell.model.forward_flops(cell.task()).total
    nothing = np.full(3, np.nan)
    flops = final_forward_flops(
        run_of(cell, layer_density=np.array([[nothing, planned], [nothing, nothing]])), cell
    )
    np.testing.assert_allclose(flops, [cell.cost().flops.total, dense])


def test_masked_networks_may_change_and_stored_connections_keep_their_number():
    assert may_change(cell_of(rule="static")) and not may_change(cell_of())
    assert not may_change(cell_of(rule="static", storage="compressed"))


def test_rewiring_makes_no_other_network_however_often_it_takes_place():
    events = {
        "event_seed": np.zeros(6, int),
        "event_step": np.array([0, 0, 5, 5, 10, 10]),
        "event_kind": np.array(["masked", "masked", *["rewired"] * 4]),
        "event_position": np.array([0, 1] * 3),
    }
    for storage in ("masked", "compressed"):
        cell = cell_of(rule="set", storage=storage)
        assert list(models_over_time(run_of(cell, **events), cell, 0)) == [(0, cell.trained_model())]


def test_layers_of_sparse_networks_stand_at_their_cell_seeds_and_steps(grid, record, write_run):
    """Three cells: two layers, three layers, and none because nothing is sparse."""
    cells = [cell_of({**MLP, "hidden_nodes": nodes}, rule="static") for nodes in ("8", "8-6")] + [cell_of()]
    profiles = {}
    for number, cell in enumerate(cells):
        made, layers = record(cell, range(2)), number + 2
        if number < 2:
            shape = (2, len(made.steps), layers)
            profiles[cell.name] = np.random.default_rng(number).random(shape)
            made.layers.update(layer_density=profiles[cell.name], active_units=profiles[cell.name] * 8)
        write_run(cell, 0, 1, made)
    with gather(grid({"one": ({"sparse": cells}, range(2))})) as ds:
        assert ds["layer_density"].dims == ("cell", "seed", "step", "layer") and ds.sizes["layer"] == 3
        for number, cell in enumerate(cells[:2]):
            recorded = ds["layer_density"].sel(cell=cell.name).dropna("step", how="all")
            np.testing.assert_array_equal(recorded[:, :, : number + 2], profiles[cell.name])
            assert recorded[:, :, number + 2 :].isnull().all()
        assert ds["active_units"].sel(cell=cells[2].name).isnull().all()
    with gather(grid({"one": ({"dense": cells[2:]}, range(2))})) as ds:
        assert "layer" not in ds.dims and "layer_density" not in ds
