"""Fields of sparse training: published values, schedules, and refusals in the configuration's words."""

import math

import pytest
from pydantic import ValidationError

from hornlib.grid.cell import parse_specification
from hornlib.grid.refusals import refusals
from hornlib.models import MODELS
from hornlib.parameters import Task
from hornlib.parameters.structure import Course
from hornlib.structures.sparse_training.parameters import SparseTrainingParameters
from hornlib.structures.sparse_training.rule_values import RULE_VALUES

TASK, COURSE = Task((1, 28, 28), 10), Course(epochs=15, steps_per_epoch=600, num_validation=0)
LENET = MODELS["mlp"](hidden_nodes=(300, 100))


def message(**values):
    with pytest.raises(ValidationError) as error:
        SparseTrainingParameters(**values)
    return str(error.value)


@pytest.mark.parametrize("rule", RULE_VALUES)
def test_a_rule_gets_its_published_values_whether_they_are_given_or_not(rule):
    parameters = SparseTrainingParameters(rule=rule)
    assert {name: getattr(parameters, name) for name in RULE_VALUES[rule]} == RULE_VALUES[rule]
    assert SparseTrainingParameters(rule=rule, **RULE_VALUES[rule]) == parameters
    assert SparseTrainingParameters(**parameters.canonical()) == parameters
    others = {name for row in RULE_VALUES.values() for name in row} - RULE_VALUES[rule].keys()
    assert all(getattr(parameters, name) is None for name in others)


def test_a_network_that_is_never_rewired_is_named_by_what_differs_from_the_class():
    assert SparseTrainingParameters().changed() == {"name": "sparse_training"}
    filled = {name for name, value in RULE_VALUES["rigl"].items() if value is not None}
    assert SparseTrainingParameters(rule="rigl").changed().keys() == {"name", "rule", *filled}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"drop_share": 0.3}, "drop_share means nothing to rule: static; leave it out"),
        ({"rule": "set", "threshold": 0.1}, "threshold means nothing to rule: set; leave it out"),
        ({"rule": "rigl", "grow_by": "paths"}, "grow_by means nothing to rule: rigl; leave it out"),
        (
            {"rule": "chts", "drop_by": "magnitude", "last_exponent": 2.0},
            "last_exponent means nothing to drop_by: magnitude; leave it out",
        ),
        ({"rule": "rigl", "initial_density": 0.5}, "initial_density means nothing to rule: rigl"),
        ({"rule": "rigl", "update_every": 9, "update_every_epochs": 1}, "not both"),
        (
            {"rule": "snfs", "storage": "compressed"},
            "rule: snfs does not keep them; valid: static, set, rigl",
        ),
        ({"rule": "granet", "density": 0.6}, "initial_density: 0.5 is below density: 0.6"),
        ({"rule": "granet", "prune_start": 0.5}, "prune_start: 0.5 is not before prune_end: 0.5"),
        ({"rule": "rigl", "restart_density": 0.5}, "restart_density means nothing without restart_at_epoch"),
        (
            {"rule": "rigl", "restart_at_epoch": 3, "storage": "compressed"},
            "another number of units in every run; give storage: masked",
        ),
        ({"distribution": "given"}, "distribution: given needs `proportions:`"),
        ({"proportions": (1, 2)}, "no other distribution takes them"),
        ({"density": 0.0}, "greater than 0"),
        ({"density": 1.1}, "less than or equal to 1"),
        ({"rule": "rigel"}, "'static', 'set', 'rigl'"),
    ],
)
def test_values_that_do_not_fit_together_are_refused(values, words):
    assert words in message(**values)


@pytest.mark.parametrize(
    ("model", "values", "words"),
    [
        (
            LENET,
            {"density": 1e-3, "distribution": "uniform"},
            "235 connections to linears.0.weight, so that 65 of",
        ),
        (
            LENET,
            {"distribution": "given", "proportions": (1, 2)},
            "got 2 numbers for 3 weights: linears.0.weight",
        ),
        (LENET, {"sparse_layers": "recurrent"}, "sparse_layers: recurrent chooses no weight of mlp"),
        (
            LENET,
            {"rule": "rigl", "update_end": 0.01},
            "first update at step 100, and update_end: 0.01 of 9000 steps",
        ),
        (
            LENET,
            {"rule": "set", "update_every_epochs": 15},
            "update_every_epochs: 15 puts the first update at",
        ),
        (LENET, {"rule": "rigl", "update_every": 1}, "update_every: 1 leaves no training step between"),
        (
            LENET,
            {"rule": "rigl", "restart_at_epoch": 14, "update_every": 500},
            "first update at step 500, and update_end: 0.75 of 600 steps",
        ),
        (
            LENET,
            {"rule": "granet", "prune_end": 0.9, "update_end": 0.8},
            "prune_end: 0.9 puts the last pruning at step 9000, and update_end: 0.8",
        ),
        (LENET, {"storage": "compressed", "density": 1.0}, "would store every weight; give storage: masked"),
        (LENET, {"rule": "rigl", "restart_at_epoch": 15}, "restart_at_epoch: 15, but training ends after 15"),
        (
            MODELS["cnn"](),
            {"rule": "rigl", "restart_at_epoch": 5},
            "takes fully connected layers only, and cnn",
        ),
        (
            MODELS["cnn"](),
            {"rule": "chts", "start": "random"},
            "rule: chts takes fully connected layers only",
        ),
        (
            MODELS["cnn"](),
            {"start": "correlated"},
            "start: correlated takes fully connected layers only, and cnn",
        ),
        (MODELS["cnn"](), {"storage": "compressed"}, "takes fully connected layers only, and cnn has others"),
        (MODELS["mlp"](connections=(900, 900, 900)), {}, "connections of model: mlp are chosen already"),
    ],
)
def test_what_cannot_be_trained_sparsely_is_refused_before_training(model, values, words):
    problems = SparseTrainingParameters(**values).problems(model, TASK, COURSE)
    assert problems and words in problems[0]
    assert all(problem.startswith("sparse_training: ") for problem in problems)


@pytest.mark.parametrize("rule", RULE_VALUES)
@pytest.mark.parametrize("density", [0.02, 0.1])
def test_lenet_at_published_densities_is_not_refused(rule, density):
    assert SparseTrainingParameters(rule=rule, density=density).problems(LENET, TASK, COURSE) == []


def test_a_cell_is_refused_in_the_words_of_its_structure():
    cell = parse_specification(
        {
            "data": {"name": "digits"},
            "model": {"name": "mlp"},
            "structure": {"name": "sparse_training", "density": 0.001},
            "training": {},
        }
    )
    assert any("sparse_training: density: 0.001" in sentence for sentence in refusals(cell))


def test_the_share_of_rigl_falls_along_half_a_cosine_to_0_at_the_end_of_updates():
    parameters = SparseTrainingParameters(rule="rigl")
    assert parameters.share_at(0, 1000) == 0.3
    assert parameters.share_at(250, 1000) == pytest.approx(0.15 * (1 + math.cos(math.pi / 3)))
    assert parameters.share_at(375, 1000) == pytest.approx(0.15)
    assert parameters.share_at(749, 1000) < 1e-5
    assert parameters.share_at(750, 1000) == parameters.share_at(900, 1000) == 0
    assert SparseTrainingParameters(rule="set").share_at(999, 1000) == 0.3


def test_the_density_of_granet_falls_along_its_cubic():
    parameters = SparseTrainingParameters(rule="granet", density=0.1, prune_start=0.1, prune_end=0.6)
    densities = [parameters.density_at(step, 1000) for step in (0, 100, 225, 350, 600, 999)]
    assert densities == pytest.approx([0.5, 0.5, 0.1 + 0.4 * 0.75**3, 0.1 + 0.4 * 0.5**3, 0.1, 0.1])
    assert SparseTrainingParameters(rule="rigl").density_at(5, 1000) == 0.1


def test_given_proportions_set_the_density_of_each_layer():
    # appendix B of the RigL paper: 1 % and 11 % of the first two weights of LeNet-300-100
    parameters = SparseTrainingParameters(
        density=5652 / 265200, distribution="given", proportions=(1, 11), sparse_layers="all_but_last"
    )
    assert parameters.connections(LENET, TASK) == {"linears.0.weight": 2352, "linears.1.weight": 3300}
    assert SparseTrainingParameters(**parameters.canonical()) == parameters


def test_compressed_storage_trains_a_network_of_connections():
    compressed = SparseTrainingParameters(storage="compressed", density=0.1)
    trained = compressed.trained_model(LENET, TASK)
    assert trained.connections == tuple(compressed.connections(LENET, TASK).values())
    assert trained.num_parameters(TASK) == compressed.cost(LENET, TASK).num_parameters
    assert SparseTrainingParameters(density=0.1).trained_model(LENET, TASK) == LENET


def test_the_exponent_of_a_soft_drop_rises_linearly_and_a_hard_drop_has_none():
    soft = SparseTrainingParameters(rule="chts", update_end=0.5)
    assert [soft.exponent_at(step, 1000) for step in (0, 250, 500, 900)] == [1.0, 2.0, 3.0, 3.0]
    hard = SparseTrainingParameters(rule="chts", drop_by="importance")
    assert hard.first_exponent is hard.last_exponent is None and hard.exponent_at(250, 1000) == 1.0
    assert SparseTrainingParameters(**hard.canonical()) == hard


@pytest.mark.parametrize(("grow", "looks"), [("random", False), ("gradient", True), ("soft_paths", False)])
def test_only_growth_by_gradients_looks_at_dense_gradients(grow, looks):
    parameters = SparseTrainingParameters(rule="chts", grow_by=grow)
    assert parameters.grows_by_gradient == looks
    assert (parameters.dense_gradient_share(COURSE) > 0) == looks
