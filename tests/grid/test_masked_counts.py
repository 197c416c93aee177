"""Counts of cells with masks: parameters, FLOPs, matches and shapes follow from model and structure."""

import math

import pytest

from hornlib.errors import ConfigError
from hornlib.grid.cell import parse_specification
from hornlib.grid.matching import count, network_of
from hornlib.grid.shapes import describe_shape, distinct_shapes, shape_name
from hornlib.models.flops import UPDATE_FLOPS, training_step_flops
from hornlib.training.width import chunk_width, numbers_a_step

LENET = {"name": "mlp", "hidden_nodes": "300-100"}
STATIC = {"name": "sparse_training", "rule": "static", "distribution": "uniform", "density": 0.1}


def cell_of(structure=None, model=None, **training):
    return parse_specification(
        {
            "data": {"name": "mnist"},
            "model": model or LENET,
            "structure": structure or {"name": "static"},
            "training": {"epochs": 2, "batch_size": 100, **training},
        }
    )


@pytest.fixture(autouse=True, scope="module")
def _counts_are_not_left_in_the_cache_of_the_user(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def dense_products(cell):
    return sum(2 * weight.size * weight.uses for weight in cell.model.weights(cell.task()))


def test_a_uniform_density_scales_weights_and_products_and_nothing_else():
    dense, sparse = cell_of(), cell_of(STATIC)
    weights, others = 784 * 300 + 300 * 100 + 100 * 10, 300 + 100 + 10
    assert dense.cost().num_parameters == weights + others
    assert sparse.cost().num_parameters == weights // 10 + others
    assert sparse.cost().products == dense.cost().products // 10 == 2 * weights // 10
    assert sparse.cost().elementwise == dense.cost().elementwise
    assert sparse.computed_cost() == dense.cost() == dense.computed_cost()


def test_a_full_density_gives_the_dense_counts_exactly():
    full = cell_of({**STATIC, "density": 1.0})
    assert full.cost() == cell_of().cost()
    for quantity in ("parameters", "forward_flops", "training_flops"):
        assert count(network_of(full), quantity) == count(network_of(cell_of()), quantity)


def test_a_recurrent_matrix_saves_its_products_of_every_step_but_the_first():
    structure = {**STATIC, "sparse_layers": "recurrent", "density": 0.25}
    model = {"name": "rnn", "num_nodes": 20, "unit": "gru"}
    rows = {"data": {"name": "digits", "presentation": "rows"}, "model": model}
    dense, sparse = parse_specification(rows), parse_specification({**rows, "structure": structure})
    removed = 3 * 20 * 20 * 3 // 4
    assert dense.cost().num_parameters - sparse.cost().num_parameters == removed
    assert dense.cost().products - sparse.cost().products == 2 * removed * (8 - 1)


def test_training_flops_drop_the_products_of_missing_connections_and_their_update():
    """The first layer has no gradient of its input: 2 products of three remain there, 3 elsewhere."""
    dense, sparse = cell_of(), cell_of(STATIC)
    first, others = 784 * 300, 300 * 100 + 100 * 10
    missing = 0.9 * (first + others)
    saved = 0.9 * (4 * first + 6 * others) + UPDATE_FLOPS[dense.training.update_rule] * missing / 100
    difference = count(network_of(dense), "training_flops") - count(network_of(sparse), "training_flops")
    assert difference == pytest.approx(saved, abs=1)


def test_dense_gradients_and_moments_cost_what_they_cost_in_a_dense_network():
    """SNFS: 2 f_S + f_D of the products, and every number is updated."""
    dense, snfs = cell_of(), cell_of({**STATIC, "rule": "snfs"})
    first, others = 784 * 300, 300 * 100 + 100 * 10
    difference = count(network_of(dense), "training_flops") - count(network_of(snfs), "training_flops")
    assert difference == pytest.approx(0.9 * (2 * first + 4 * others), abs=1)


def test_updates_by_gradient_cost_their_dense_gradients():
    """RigL: (3 f_S dT + 2 f_S + f_D) / (dT + 1) without the work on the first layer's input; Evci et al., appendix H.

    1080 steps with updates after 100, 200, ... 800 (75 % are 810).
    """
    static, rigl = (cell_of({**STATIC, "rule": rule}) for rule in ("static", "rigl"))
    weights = 784 * 300 + 300 * 100 + 100 * 10
    difference = count(network_of(rigl), "training_flops") - count(network_of(static), "training_flops")
    assert rigl.training.total_steps(rigl.data.num_train) == 1080
    assert difference == pytest.approx(8 / 1080 * 2 * 0.9 * weights, abs=1)


def test_training_flops_of_a_match_are_those_that_the_loop_records_of_a_static_mask():
    cell = cell_of(STATIC)
    connections = cell.structure.connections(cell.model, cell.task())
    flops = training_step_flops(cell.model, cell.task(), 100, cell.training.update_rule, connections)
    assert count(network_of(cell), "training_flops") == round(flops.total / 100)


@pytest.mark.parametrize(
    ("structure", "mean"),
    [
        # half of the training dense, then the cubic fall to .1 within a quarter, in very many steps
        (
            {"rule": "gmp", "density": 0.1, "prune_start": 0.5, "prune_end": 0.75, "update_every": 1},
            0.5 + 0.25 * (0.1 + 0.9 / 4) + 0.25 * 0.1,
        ),
        # four rounds of equal length: 1, .8, .64, .512
        ({"rule": "lottery", "rounds": 3, "epochs_per_round": 5}, (1 + 0.8 + 0.64 + 0.512) / 4),
    ],
    ids=["gmp", "lottery"],
)
def test_the_mean_number_of_connections_follows_the_course_of_pruning(structure, mean):
    cell = cell_of({"name": "weight_pruning", **structure}, epochs=20)
    network = network_of(cell)
    means = network.structure.mean_connections(network.model, network.task, network.course)
    sizes = {weight.name: weight.size for weight in cell.model.weights(cell.task())}
    assert sum(means.values()) / sum(sizes.values()) == pytest.approx(mean, rel=2e-3)


SWEEP = """
    sweeps:
      one:
        data: {{name: digits}}
        training: {{epochs: 20, batch_size: 32}}
        model:
          - {{name: mlp, arm: {first}, hidden_nodes: 64-32{first_more}}}
          - {{name: mlp, arm: {second}, hidden_nodes: 64-32{second_more}}}
"""
RIGL = ", structure: {name: sparse_training, rule: rigl, density: 0.2, update_every: 20}"


@pytest.mark.parametrize("by", ["parameters", "forward_flops", "training_flops"])
def test_a_dense_rival_becomes_as_small_as_its_sparse_target(grid_from, by):
    more = f", match: {{to: sparse, by: {by}}}"
    grid = grid_from(SWEEP.format(first="sparse", first_more=RIGL, second="small dense", second_more=more))
    (match,) = grid.matches
    sparse, small = grid.cells.values()
    assert match.target == count(network_of(sparse), by) and match.reached == count(network_of(small), by)
    assert abs(match.deviation) < 0.05
    assert small.model.width() < sparse.model.width() and small.structure.name == "static"


@pytest.mark.parametrize("by", ["parameters", "forward_flops", "training_flops"])
def test_a_sparse_rival_becomes_as_wide_as_its_dense_target_needs(grid_from, by):
    more = f"{RIGL}, match: {{to: dense, by: {by}}}"
    grid = grid_from(SWEEP.format(first="dense", first_more="", second="wide sparse", second_more=more))
    (match,) = grid.matches
    dense, wide = grid.cells.values()
    assert abs(match.deviation) < 0.05
    assert wide.model.width() > dense.model.width()
    assert match.reached == count(network_of(wide), by)


@pytest.mark.parametrize(
    ("structure", "words"),
    [
        (
            "{name: weight_pruning, rule: lottery, rounds: 3, epochs_per_round: 4}, training: {schedule: constant}",
            "weight_pruning with rule: lottery",
        ),
        (
            "{name: sparse_training, rule: rigl, density: 0.2, update_every: 20, restart_at_epoch: 10}",
            "sparse_training with restart_at_epoch",
        ),
    ],
    ids=["lottery", "restart"],
)
def test_a_match_to_a_network_without_one_size_is_refused_in_the_words_of_the_configuration(
    grid_from, structure, words
):
    first, more = f", structure: {structure}", ", match: {to: ticket, by: parameters}"
    with pytest.raises(ConfigError, match=f"match: to: ticket: structure: {words}"):
        grid_from(SWEEP.format(first="ticket", first_more=first, second="small", second_more=more))


def test_a_shape_says_that_there_are_masks_and_neither_density_nor_rule():
    sparse = cell_of(STATIC)
    others = [
        cell_of({**STATIC, "density": 0.02}),
        cell_of({**STATIC, "rule": "rigl"}),
        cell_of({"name": "weight_pruning", "rule": "snip"}),
    ]
    assert describe_shape(sparse)["structure"] == {"name": "masked"}
    assert {shape_name(cell) for cell in others} == {shape_name(sparse)}
    assert shape_name(sparse) != shape_name(cell_of())
    assert list(distinct_shapes([cell_of(), sparse, *others]).values())[1:] == [sparse]


def test_masks_take_the_lanes_of_the_dense_network_and_stored_connections_take_more():
    dense, masked = cell_of(), cell_of({**STATIC, "density": 0.01})
    compressed = cell_of({**STATIC, "density": 0.01, "storage": "compressed"})
    assert numbers_a_step(masked) == numbers_a_step(dense)
    assert chunk_width("auto", masked, 10**6, "cpu") == chunk_width("auto", dense, 10**6, "cpu")
    assert numbers_a_step(compressed) < 0.1 * numbers_a_step(dense)
    assert chunk_width("auto", compressed, 10**6, "cpu") > 10 * chunk_width("auto", dense, 10**6, "cpu")


def test_stored_connections_have_the_counts_of_masks_and_a_shape_of_their_own():
    masked, compressed = cell_of(STATIC), cell_of({**STATIC, "storage": "compressed"})
    assert masked.cost() == compressed.cost() == compressed.computed_cost()
    assert compressed.model == masked.model and compressed.trained_model() != compressed.model
    assert masked.is_masked() and not compressed.is_masked()
    (shape,) = distinct_shapes([compressed])
    assert shape != shape_name(masked) and shape != shape_name(cell_of())
    assert distinct_shapes([compressed])[shape] is compressed
    for quantity in ("parameters", "forward_flops", "training_flops"):
        assert count(network_of(masked), quantity) == count(network_of(compressed), quantity)


@pytest.mark.parametrize(("density", "share"), [(0.2, 0.35), (0.1, 0.17)])
def test_a_wide_resnet_has_the_published_flops(density, share):
    """WRN-22-2 with ERK; Evci et al. 2020, appendix H. The reproduction counts products alone, 3.15e8 FLOPs."""
    model = {"name": "resnet", "channels": "16-32-64", "blocks_per_stage": 3, "widening": 2}
    cifar = {"data": {"name": "cifar10"}, "model": model}
    structure = {"name": "sparse_training", "distribution": "erk", "density": density}
    dense, sparse = parse_specification(cifar), parse_specification({**cifar, "structure": structure})
    assert dense.cost().flops.total == pytest.approx(3.17e8, rel=2e-3)
    assert dense.cost().products == pytest.approx(3.15e8, rel=2e-3)
    assert dense.cost().num_parameters == pytest.approx(1.08e6, rel=0.01)
    assert sparse.cost().products / dense.cost().products == pytest.approx(share, abs=0.01)
    assert math.isclose(
        sum(sparse.structure.connections(sparse.model, sparse.task()).values()),
        density * sum(weight.size for weight in dense.model.weights(dense.task())),
        abs_tol=1,
    )
