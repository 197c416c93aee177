"""Numbers that the ready sweeps state: widths and FLOPs of VGG-16-A, epochs of Scratch-B, and equal training FLOPs."""

from pathlib import Path

import pytest

from hornlib.errors import ConfigError
from hornlib.grid import read_grid
from hornlib.grid.matching import count, network_of
from hornlib.models.layer_cost import convolution, linear, normalisation
from hornlib.parameters import Cost

CONFIG = Path(__file__).resolve().parents[3] / "config"

VGG_16 = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512)
VGG_16_A = (32, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", *(256,) * 3, "pool", *(256,) * 3)


def vgg_cost(layers):
    """Return the cost of Li et al.'s VGG-16 on images of 32x32 pixels: pools, batch norm, 512 nodes, 10 classes."""
    total, channels, side = Cost(), 3, 32
    for layer in layers:
        if layer == "pool":
            side //= 2
            continue
        total += convolution(channels, layer, 3, side**2, bias=True) + normalisation("batch", layer, side**2)
        channels = layer
    return total + linear(channels, 512) + normalisation("batch", 512, 1) + linear(512, 10)


def test_vgg_16_a_has_the_published_parameters_and_saves_the_published_flops():
    """Li et al. 2017, table 1: 1.5e7 and 5.4e6 parameters, 3.13e8 and 2.06e8 products, 34.2 % less."""
    whole, pruned = vgg_cost(VGG_16), vgg_cost(VGG_16_A)
    assert whole.num_parameters == pytest.approx(1.5e7, rel=0.01)
    assert pruned.num_parameters == pytest.approx(5.40e6, abs=5e3)
    products = [cost.flops.products / 2 for cost in (whole, pruned)]
    assert products == pytest.approx([3.13e8, 2.06e8], rel=0.003)
    assert 1 - products[1] / products[0] == pytest.approx(0.342, abs=5e-4)


@pytest.fixture(scope="module")
def cells():
    """Return a function that gives the first cell of every arm of a sweep of a ready configuration."""

    def read(name, sweep):
        grid = read_grid([CONFIG / f"{name}.yaml"])
        arms = {}
        for cell, arm in grid.sweeps[sweep].arms.items():
            arms.setdefault(arm, grid.cells[cell])
        return arms

    return read


@pytest.mark.parametrize(
    ("sweep", "large", "small"),
    [
        ("mnist", "large", "prune"),
        ("fashion_mnist", "large", "prune"),
        ("vgg_16_a", "unpruned", "fine_tuned"),
    ],
)
def test_scratch_b_has_the_epochs_that_the_flops_of_the_large_network_pay(cells, sweep, large, small):
    arms = cells("grow_and_prune", sweep)
    ratio = arms[large].cost().flops.total / arms[small].cost().flops.total
    epochs = arms[large].training.epochs
    assert arms["scratch_b"].training.epochs == int(epochs * ratio)
    assert arms["scratch_b"].cost() == arms[small].cost()
    scratch_e = arms.get("scratch_e", arms.get("never_grown"))
    assert scratch_e.training.epochs == epochs and scratch_e.cost() == arms[small].cost()


def training_flops(cell):
    return count(network_of(cell), "training_flops") * cell.training.total_steps(cell.data.num_train)


@pytest.mark.parametrize(
    ("config", "grown", "rival"),
    [("grow_and_prune", "grow_then_prune", "equal_flops"), ("growth", "gradmax", "large_stopped")],
)
def test_rivals_at_equal_flops_have_the_training_flops_of_the_network_that_grows(cells, config, grown, rival):
    arms = cells(config, "mnist")
    assert training_flops(arms[rival]) == pytest.approx(training_flops(arms[grown]), rel=0.02)


def test_all_arms_of_growth_with_pruning_end_with_equally_many_parameters(cells):
    sizes = {arm: cell.cost().num_parameters for arm, cell in cells("grow_and_prune", "mnist").items()}
    assert {size for arm, size in sizes.items() if arm != "large"} == {6442}


def test_a_network_of_widths_that_depend_on_the_seed_cannot_be_trained_from_scratch(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(
        "sweeps:\n"
        "  rethinking:\n"
        "    data: {name: digits}\n"
        "    model:\n"
        "      - {name: mlp, arm: pruned, hidden_nodes: 8-8, structure: {name: unit_pruning, drop_share: 0.5, "
        "distribution: global}}\n"
        "      - {name: mlp, arm: scratch_b, hidden_nodes: 8-8, match: {to: pruned, by: parameters}}\n"
    )
    with pytest.raises(ConfigError, match="trained from scratch"):
        read_grid([file])
