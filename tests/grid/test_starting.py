"""Cells that start from the weights of another cell: which one is meant, what names depend on, what is refused."""

from pathlib import Path

import pytest

from hornlib.errors import ConfigError
from hornlib.grid.jobs import Job, Range

BASE = """
keep_weights: last
seeds: 3
defaults:
  data: {name: digits}
  training: {steps: 20, learning_rate: 3e-3}
sweeps:
  base:
    model:
      - {arm: dense, name: mlp, hidden_nodes: 8}
      - {arm: wide, name: mlp, hidden_nodes: 16}
      - {arm: sparse, name: mlp, hidden_nodes: 8, structure: {name: sparse_training, density: 0.5}}
      - {arm: both, name: mlp, hidden_nodes: [8, 16], activation: tanh}
      - {arm: pruned, name: mlp, hidden_nodes: 8, structure: {name: weight_pruning, rule: snip, density: 0.5}}
      - {arm: narrowed, name: mlp, hidden_nodes: 8, structure: {name: unit_pruning, drop_share: 0.5}}
      - {arm: small, name: mlp, hidden_nodes: 8, data: {train_subset: 100}}
  next:
"""


def configuration(model, rest=""):
    return f"{BASE}    model: {model}\n{rest}"


def fine(start, **others):
    """Return a model's entry whose training starts from an arm."""
    keys = {"arm": "fine", "name": "mlp", "hidden_nodes": "8"} | others
    entry = ", ".join(f"{key}: {value}" for key, value in keys.items())
    return f"{{{entry}, training: {{start_from: {start}, learning_rate: 1e-4}}}}"


def cells(grid, sweep, arm):
    return [grid.cells[name] for name, label in grid.sweeps[sweep].arms.items() if label == arm]


@pytest.fixture
def only(grid_from):
    """Return the grid and the only cell of the arm `fine`."""

    def one(model, rest=""):
        grid = grid_from(configuration(model, rest))
        (cell,) = cells(grid, "next", "fine")
        return grid, cell

    return one


@pytest.fixture
def refusal(grid_from):
    def message(text):
        with pytest.raises(ConfigError) as caught:
            grid_from(text)
        return str(caught.value)

    return message


def test_an_arm_becomes_the_name_of_its_cell(only):
    grid, cell = only(fine("base.dense"))
    (base,) = cells(grid, "base", "dense")
    assert cell.training.start_from == base.name
    assert cell.job_specification()["training"]["start_from"] == base.name


def test_the_name_depends_on_the_weights_that_training_starts_from(only, grid_from):
    _, cell = only(fine("base.dense"))
    assert only(fine("base.dense"))[1].name == cell.name
    longer = "{arm: dense, name: mlp, hidden_nodes: 8, training: {steps: 21}}"
    text = configuration(fine("base.dense")).replace("{arm: dense, name: mlp, hidden_nodes: 8}", longer)
    changed = grid_from(text)
    (other,) = cells(changed, "next", "fine")
    assert {**other.changed()["training"], "start_from": None} == {
        **cell.changed()["training"],
        "start_from": None,
    }
    assert other.name != cell.name


def test_the_name_of_a_cell_gives_the_same_cell(only):
    grid, cell = only(fine("base.dense"))
    (base,) = cells(grid, "base", "dense")
    assert only(fine(base.name))[1].name == cell.name


def test_an_arm_may_start_from_a_sweep_that_stands_below_it_or_from_its_own_sweep(grid_from):
    text = configuration("{name: cnn}").replace(
        "  base:\n", f"  above:\n    model: {fine('base.dense')}\n  base:\n"
    )
    grid = grid_from(text)
    (cell,) = cells(grid, "above", "fine")
    assert cell.training.start_from == cells(grid, "base", "dense")[0].name
    grid = grid_from(configuration(f"[{fine('next.first')}, {{arm: first, name: mlp, hidden_nodes: 8}}]"))
    assert cells(grid, "next", "fine")[0].training.start_from == cells(grid, "next", "first")[0].name


def test_a_chain_of_starts_names_each_link(grid_from):
    grid = grid_from(configuration(f"[{fine('base.dense', arm='one')}, {fine('next.one', arm='two')}]"))
    (one,), (two,) = cells(grid, "next", "one"), cells(grid, "next", "two")
    assert two.training.start_from == one.name and two.name != one.name


def test_an_arm_of_several_cells_gives_one_cell_for_each_with_the_same_network(grid_from):
    grid = grid_from(configuration(fine("base.both", hidden_nodes="[8, 16]", activation="tanh")))
    bases = {cell.name: cell.model.hidden_nodes for cell in cells(grid, "base", "both")}
    started = cells(grid, "next", "fine")
    assert {cell.training.start_from: cell.model.hidden_nodes for cell in started} == bases
    assert len(started) == len(bases) == 2


def test_dropout_may_differ_since_it_has_no_weights(only):
    assert only(fine("base.dense", dropout="0.2"))[1].training.start_from


def test_a_matched_arm_can_start_from_one_of_its_width(grid_from):
    entry = fine("base.wide", hidden_nodes="4", match="{to: wide_again, by: parameters}")
    grid = grid_from(
        configuration(f"[{{arm: wide_again, name: mlp, hidden_nodes: 16, training: {{steps: 21}}}}, {entry}]")
    )
    (cell,) = cells(grid, "next", "fine")
    assert (
        cell.model.hidden_nodes == (16,) and cell.training.start_from == cells(grid, "base", "wide")[0].name
    )


@pytest.mark.parametrize("start", ["kept", "kept_units"])
def test_masks_of_a_sparse_arm_are_kept_or_lead_to_rigl_plus(only, start):
    structure = f"{{name: sparse_training, density: 0.5, start: {start}}}"
    grid, cell = only(fine("base.sparse", structure=structure))
    assert cell.training.start_from == cells(grid, "base", "sparse")[0].name


def test_pruned_weights_can_be_fine_tuned_under_their_masks(only):
    structure = "{name: sparse_training, density: 0.5, distribution: uniform, start: kept}"
    assert only(fine("base.pruned", structure=structure))[1].training.start_from


def test_each_cell_warns_that_some_costs_begin_at_0(only):
    grid, cell = only(fine("base.dense"))
    (caution,) = [caution for caution in grid.warnings if caution.cell == cell.name]
    assert "training FLOPs count on" in caution.sentence and "seconds start at 0" in caution.sentence


def test_a_job_waits_for_the_weights_of_its_own_seeds(grid_from):
    grid = grid_from(configuration(fine("base.dense")).replace("seeds: 3", "seeds: 6\nper_job: 2"))
    (base,), (cell,) = cells(grid, "base", "dense"), cells(grid, "next", "fine")
    jobs = [job for job in grid.jobs({base.name: [Range(1, 4)]}) if job.cell == base.name]
    names = [path.name for path in grid.start_paths(Job(cell.name, Range(0, 1)), jobs)]
    assert names == [f"{base.name}.seeds-{seeds}.weights" for seeds in ("0-0", "1-4")]
    assert grid.start_paths(jobs[0], jobs) == []
    assert grid.weights_path(jobs[0]).parent == Path("results/weights")


REFUSED = {
    "keep_weights: last": (
        configuration(fine("base.dense")).replace("keep_weights: last", "keep_weights: off"),
        "keeps no weights; write `keep_weights: last`",
    ),
    "sweep": (
        configuration(fine("bas.dense")),
        "there is no sweep 'bas' (did you mean 'base'?); valid: base, next",
    ),
    "arm": (
        configuration(fine("base.dens")),
        "has no arm 'dens' (did you mean 'dense'?); valid: dense, wide",
    ),
    "neither": (configuration(fine("dense")), "valid: <sweep>.<arm>"),
    "cell": (
        configuration(fine("digits-mlp-0123456789ab")),
        "the configuration has no cell digits-mlp-0123456789ab",
    ),
    "itself": (configuration(fine("next.fine")), "would start from its own weights"),
    "circle": (
        configuration(f"[{fine('next.two', arm='one')}, {fine('next.one', arm='two')}]"),
        "would start from its own weights",
    ),
    "circle through a match": (
        configuration(
            f"[{fine('next.two', arm='one')}, {{name: mlp, arm: two, match: {{to: one, by: parameters}}}}]"
        ),
        "would start from its own weights",
    ),
    "shape": (configuration(fine("base.wide")), "hidden_nodes: '8' here, '16' there"),
    "model": (
        configuration("{arm: fine, name: cnn, training: {start_from: base.dense}}"),
        "model: cnn here, mlp there",
    ),
    "data": (
        configuration(fine("base.small")),
        "has no cell with the data of this arm (name: digits), and validation examples must be the same; it has cells "
        "with name: digits, train_subset: 100",
    ),
    "dataset": (
        configuration(fine("base.dense", data="{name: mnist}")),
        "no cell with the data of this arm (name: mnist",
    ),
    "seeds": (
        configuration(fine("base.dense"), "    seeds: 5\n"),
        "seed 3 starts from the run of the same seed, and",
    ),
    "shapes by run": (configuration(fine("base.narrowed")), "unit_pruning of digits-mlp-unit_pruning"),
    "masks without a structure": (
        configuration(fine("base.sparse")),
        "have masks, which structure: static would not keep; give structure: {name: sparse_training, rule: static, "
        "start: kept}",
    ),
    "another density": (
        configuration(fine("base.sparse", structure="{name: sparse_training, density: 0.4, start: kept}")),
        "give those of that arm",
    ),
    "no masks to keep": (
        configuration(fine("base.dense", structure="{name: sparse_training, density: 0.5, start: kept}")),
        "have no masks; leave `start` out",
    ),
    "no units to keep": (
        configuration(
            fine("base.dense", structure="{name: sparse_training, density: 0.5, start: kept_units}")
        ),
        "all units are connected",
    ),
    "a start without weights": (
        configuration("{name: mlp, structure: {name: sparse_training, start: kept}}"),
        "takes the masks of other networks; give training: {start_from: <sweep>.<arm>}",
    ),
    "scaled weights": (
        configuration(
            fine("base.dense", structure="{name: sparse_training, density: 0.5, initial_scale: fan_in}")
        ),
        "would scale weights that are trained already",
    ),
    "kept units that are rewired at random": (
        configuration(fine("base.sparse", structure="{name: sparse_training, rule: set, start: kept_units}")),
        "start: kept_units takes rule: static or rigl",
    ),
    "a tuned sweep": (
        configuration(
            "{name: mlp, arm: mlp, hidden_nodes: 8}",
            "    training: {start_from: base.dense, learning_rate: {tune: {low: 1e-4, high: 1e-2, scale: log}}}\n"
            "    statistics: {baseline: mlp}\n    tuning: {trials: 2}\n",
        ),
        "trials of a tuned sweep have seeds of their own",
    ),
    "from a tuned sweep": (
        configuration(
            "{name: mlp, arm: mlp, hidden_nodes: 8}",
            "    training: {learning_rate: {tune: {low: 1e-4, high: 1e-2, scale: log}}}\n"
            "    statistics: {baseline: mlp}\n    tuning: {trials: 2}\n"
            f"  last:\n    model: {fine('next.mlp')}\n",
        ),
        "the sweep next is tuned",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_start_that_cannot_be_is_refused_in_the_words_of_the_configuration(refusal, name):
    text, told = REFUSED[name]
    message = refusal(text)
    assert told in message and "config.yaml:" in message
