"""Fields of weight pruning: published values, schedules, and refusals in the configuration's words."""

import pytest
from pydantic import ValidationError

from hornlib.models import MODELS
from hornlib.parameters import Task
from hornlib.parameters.structure import Course
from hornlib.structures.connections.schedules import cubic_density
from hornlib.structures.weight_pruning.parameters import RULE_VALUES, WeightPruningParameters

TASK, COURSE = Task((1, 28, 28), 10), Course(epochs=60, steps_per_epoch=600, num_validation=0)
LENET = MODELS["mlp"](hidden_nodes=(300, 100))


@pytest.mark.parametrize("rule", RULE_VALUES)
def test_a_rule_gets_its_published_values_and_takes_no_others(rule):
    parameters = WeightPruningParameters(rule=rule)
    assert {name: getattr(parameters, name) for name in RULE_VALUES[rule]} == RULE_VALUES[rule]
    assert WeightPruningParameters(**parameters.canonical()) == parameters
    assert parameters.problems(LENET, TASK, COURSE) == []
    others = {name for row in RULE_VALUES.values() for name in row} - RULE_VALUES[rule].keys()
    for name in others:
        value = next(row[name] for row in RULE_VALUES.values() if name in row)
        with pytest.raises(ValidationError, match=f"{name} means nothing to rule: {rule}; leave it out"):
            WeightPruningParameters(**{"rule": rule, name: value})


def test_the_published_ticket_keeps_a_tenth_and_is_matched_by_nothing():
    ticket = WeightPruningParameters(rule="lottery")
    assert ticket.final_density() == pytest.approx(0.107, abs=5e-4)
    assert sum(ticket.connections(LENET, TASK).values()) == round(ticket.final_density() * 266200)
    assert ticket.match_problems() and not WeightPruningParameters(rule="snip").match_problems()


def test_the_cubic_density_at_five_steps():
    steps = [999, 1000, 3500, 6000, 7000]
    densities = [cubic_density(step, 1.0, 0.2, 1000, 6000) for step in steps]
    assert densities == pytest.approx([1.0, 1.0, 0.2 + 0.8 * 0.125, 0.2, 0.2])


def test_gradual_pruning_ends_with_the_first_pruning_behind_its_end():
    prunings = WeightPruningParameters(prune_start=0.1, prune_end=0.5, update_every=300).prunings(5000, 100)
    assert list(prunings) == [600, 900, 1200, 1500, 1800, 2100, 2400, 2700]
    assert prunings[2400] > 0.1 and prunings[2700] == 0.1


def test_rounds_need_the_same_learning_rates():
    (problem,) = WeightPruningParameters(rule="lottery").problems(
        LENET, TASK, COURSE._replace(has_constant_rate=False)
    )
    assert "schedule: constant" in problem
    assert WeightPruningParameters().problems(LENET, TASK, COURSE._replace(has_constant_rate=False)) == []


@pytest.mark.parametrize(
    ("model", "values", "words"),
    [
        (
            LENET,
            {"rule": "snip", "density": 1e-3},
            "leaves 266 connections to 410 units, so that at least 144",
        ),
        (LENET, {"density": 1e-3}, "leaves 235 connections to linears.0.weight"),
        (LENET, {"prune_end": 0.999, "update_every": 100}, "put the last pruning at step 36000"),
        (LENET, {"rule": "lottery", "rounds": 12}, "rounds: 12 of 5 epochs end after epoch 60"),
        (LENET, {"rule": "lottery", "rounds": 12}, "give epochs: 65"),
        (LENET, {"sparse_layers": "recurrent"}, "sparse_layers: recurrent chooses no weight of mlp"),
        (MODELS["mlp"](connections=(900, 900, 900)), {}, "connections of model: mlp are chosen already"),
    ],
)
def test_what_cannot_be_pruned_is_refused_before_training(model, values, words):
    problem, *_ = WeightPruningParameters(**values).problems(model, TASK, COURSE)
    assert words in problem and problem.startswith("weight_pruning: ")
