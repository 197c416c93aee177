"""When and where units are added, how many, and what is refused: all of it is known before the training."""

from itertools import pairwise

import pytest
from pydantic import ValidationError

from hornlib.models import MODELS
from hornlib.parameters import Task
from hornlib.parameters.structure import Course, PastEvent
from hornlib.structures.growth.amounts import with_changed_units
from hornlib.structures.growth.parameters import GrowthParameters
from hornlib.structures.growth.rule_facts import RULE_FACTS
from hornlib.structures.growth.rule_values import PLACE_VALUES, RULE_VALUES, WHEN_VALUES
from hornlib.structures.growth.structure import Growth
from hornlib.structures.interface import Moment

TASK = Task((3, 32, 32), 10)
LONG = Course(epochs=200, steps_per_epoch=391, num_validation=5000, longest_pause=391)
MLP = MODELS["mlp"](hidden_nodes=(16, 12), activation="tanh", readout_norm="none")
VGG11 = (64, 128, 256, 256, 512, 512, 512, 512)


def vgg(sixteenths):
    """Return the vgg of 11 layers whose widths are so many sixteenths of VGG11's."""
    return MODELS["vgg"](channels=tuple(width * sixteenths // 16 for width in VGG11), activation="relu_one")


def growth(**values):
    return GrowthParameters(**values)


def test_a_quarter_becomes_the_whole_in_twelve_events_with_the_counts_of_each_width():
    structure = growth(start_step=10_000, every_steps=2_500, final_factor=4)
    planned = structure.planned_models(vgg(4), TASK, LONG)
    assert [start for start, _ in planned] == [0, *(10_000 + 2_500 * event for event in range(12))]
    for sixteenths, (_, model) in zip(range(4, 17), planned, strict=True):
        assert model.cost(TASK) == vgg(sixteenths).cost(TASK)
    assert structure.cost(vgg(4), TASK) == vgg(16).cost(TASK)
    assert structure.problems(vgg(4), TASK, LONG) == []


def test_steps_that_are_saved_are_those_by_which_the_source_trains_longer():
    """(1 - w) start + (1 - w) / 2 every (events - 1), in steps of the large network; growneuron's adjust_epochs."""
    structure = growth(start_step=10_000, every_steps=2_500, final_factor=4)
    planned = structure.planned_models(MODELS["mlp"](hidden_nodes=(16,), activation="tanh"), TASK, LONG)
    ends = [*(start for start, _ in planned[1:]), LONG.total_steps]
    saved = sum(
        (end - start) * (1 - model.units()[0] / 64) for (start, model), end in zip(planned, ends, strict=True)
    )
    assert saved == pytest.approx(0.75 * 10_000 + 0.75 / 2 * 2_500 * 11)


def test_shares_of_the_training_are_the_published_steps():
    assert growth(times=12).moments(78_125) == [10_000 + 2_500 * event for event in range(12)]


def test_events_and_looks_take_place_within_the_training():
    assert growth(times=9, start_step=3, every_steps=4).moments(12) == [3, 7, 11]
    looks = growth(times=1, when="weight_rank", start_step=2, every_steps=5)
    assert looks.moments(14) == [2, 7, 12]  # it may fire at any of them
    structure = Growth(looks)
    due = [step for step in range(14) if structure.is_due(Moment(step, 14, 2, evaluated=False))]
    assert due == [0, 2, 7, 12]  # and before the first step it looks at the first network
    plateau = Growth(growth(times=1, when="plateau", start_step=4))
    assert [plateau.is_due(Moment(step, 14, 2, True)) for step in (3, 4)] == [False, True]
    assert not plateau.is_due(Moment(4, 14, 2, False))


def test_an_event_adds_a_share_of_the_first_width_and_at_least_one_unit():
    models = growth(times=3, share=0.29).models(MODELS["mlp"](hidden_nodes=(100, 3)), TASK)
    assert [model.units() for model in models] == [(129, 4), (158, 5), (187, 6)]


def test_layers_end_at_their_own_widths():
    models = growth(final_units="20-30", share=0.5).models(MLP, TASK)
    assert [model.units() for model in models] == [(20, 18), (20, 24), (20, 30)]
    models = growth(final_factor=1.3, share=0.25).models(MLP, TASK)
    assert [model.units() for model in models] == [(20, 15), (21, 16)]


def test_one_layer_after_another_grows_in_turn():
    models = growth(place="round_robin", final_units="24-15", share=0.25).models(MLP, TASK)
    assert [model.units() for model in models] == [(20, 12), (20, 15), (24, 15)]
    models = growth(place="layer", position=1, times=2).models(MLP, TASK)
    assert [model.units() for model in models] == [(16, 15), (16, 18)]


@pytest.mark.parametrize("place", ["all", "round_robin"])
@pytest.mark.parametrize("quantity", ["most_parameters", "most_flops"])
def test_growth_ends_at_the_last_unit_within_a_budget(quantity, place):
    task = Task((20,), 10)

    def size(model):
        return (
            model.num_parameters(task) if quantity == "most_parameters" else model.forward_flops(task).total
        )

    budget = 3 * size(MLP) + 7
    models = growth(place=place, **{quantity: budget}).models(MLP, task)
    assert all(size(model) <= budget for model in models)
    last = models[-1]
    assert all(size(last.with_units(layer, last.units()[layer] + 1)) > budget for layer in (0, 1))


@pytest.mark.parametrize("place", ["all", "round_robin", "random"])
def test_few_shapes_stand_for_all_from_the_first_to_the_last(place):
    structure = growth(place=place, final_factor=4, share=1 / 16)
    first = MODELS["mlp"](hidden_nodes=(16,) * 4, activation="tanh")
    assert len(structure.models(first, TASK)) in (48, 192)
    shapes = structure.reachable(first, TASK)
    assert len(shapes) == 6 and shapes[-1] == structure.deepest(first, TASK)
    flops = [first.forward_flops(TASK).total, *(shape.forward_flops(TASK).total for shape in shapes)]
    steps = [after - before for before, after in pairwise(flops)]
    assert max(steps) < 1.3 * min(steps)


def test_events_replayed_give_the_model():
    events = [PastEvent("grown", 0, 4.0), PastEvent("grown", 1, 3.0), PastEvent("reset", -1, float("nan"))]
    assert growth(times=1).replayed(MLP, events).units() == (20, 15)
    assert with_changed_units(MLP, [PastEvent("narrowed", 1, 5.0)]).units() == (16, 7)


def test_every_rule_has_fields_and_facts_and_each_choice_a_row():
    fields = GrowthParameters.model_fields
    for name, table in (
        ("rule", RULE_VALUES),
        ("rule", RULE_FACTS),
        ("when", WHEN_VALUES),
        ("place", PLACE_VALUES),
    ):
        assert set(fields[name].annotation.__args__) == set(table), name


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "growth needs an end; give one of times, final_factor"),
        ({"final_factor": 2, "most_flops": 9}, "give one end of growth, not"),
        ({"times": 1, "rule": "net2net", "scale": 0.5}, "scale means nothing to rule: net2net"),
        ({"times": 1, "rule": "gradmax", "search_steps": 9}, "search_steps means nothing to rule: gradmax"),
        ({"times": 1, "patience": 2}, "patience means nothing to when: schedule"),
        ({"times": 1, "when": "plateau", "every_steps": 2}, "every_steps means nothing to when: plateau"),
        ({"times": 1, "when": "plateau", "rank_share": 0.9}, "rank_share means nothing to when: plateau"),
        ({"times": 1, "position": 1}, "position means nothing to place: all"),
        ({"times": 1, "start_step": 1, "start_share": 0.1}, "give `start_step:` or `start_share:`, not both"),
        ({"times": 1, "every_steps": 1, "every_share": 0.1}, "give `every_steps:` or `every_share:`, not both"),
        ({"times": 1, "rule": "gaussian", "batches": 2}, "batches means nothing where"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_fields_that_contradict_each_other_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        growth(**values)


def test_batches_are_those_of_any_look():
    assert growth(times=1).batches == 1 and growth(times=1, rule="gaussian").batches is None
    assert growth(times=1, rule="gaussian", place="largest_singular_value", batches=3).batches == 3
    assert growth(times=1, rule="gaussian", when="activation_rank").batches == 1
    structure = growth(times=1, rule="gaussian")
    assert GrowthParameters(**structure.canonical()) == structure


SHORT = Course(epochs=5, steps_per_epoch=10, num_validation=0, longest_pause=12)
PROBLEMS = [
    ({"times": 1}, {"activation": "relu"}, "activation: relu has slope 0 at 0"),
    ({"times": 1}, {"activation": "sigmoid"}, "activation: sigmoid is not 0 at 0"),
    ({"times": 1}, {"readout_norm": "batch"}, "readout_norm: batch divides their gradients by a variance of 0; give "),
    ({"times": 1}, {"normalisation": "batch"}, "normalisation: batch divides their gradients"),
    ({"times": 1}, {"normalisation": "layer"}, "normalisation: layer takes the mean over all units"),
    ({"times": 1, "place": "layer", "position": 2}, {}, "position: 2 is no layer of mlp that can grow; valid: 0 to 1"),
    ({"final_units": "64"}, {}, "final_units: got 1 numbers for 2 layers"),
    ({"final_units": "64-6"}, {}, "final_units: 6 units of layer 1, but it starts with 12"),
    ({"final_units": "16-12"}, {}, "nothing grows"),
    ({"most_parameters": 500}, {}, "most_parameters: 500 leaves no room for a unit; the network starts with 670"),
    ({"most_flops": 500}, {}, "most_flops: 500 leaves no room for a unit"),
    ({"final_factor": 4, "times": 2}, {}, "times: 2 events leave layer 0 with 24 of 64 units"),
    ({"times": 3, "start_step": 30, "every_steps": 10}, {}, "3 events are needed, and only 2 of them, from step 30 on"),
    ({"times": 3, "when": "weight_rank", "start_step": 50}, {}, "start_step: 50, but training ends after 50 steps"),
    ({"times": 2, "every_share": 0.01}, {}, "every_share: 0.01 of 50 steps is less than a step"),
    ({"times": 2, "when": "plateau"}, {}, "when: plateau looks at the validation loss; give data.validation"),
    ({"times": 2, "when": "plateau", "patience": 1}, {}, "patience: 1 epochs are 10 steps, and up to 12 steps lie"),
    ({"times": 1, "batches": 11}, {}, "batches: 11, but an epoch has 10"),
    ({"times": 2, "when": "plateau"}, {}, "patience: 5 epochs are 50 steps, and training ends after 50"),
    ({"place": "layer", "final_units": "32-24"}, {}, "24 units of layer 1, but only layer 0 grows; give 12"),
    ({"times": 1, "rule": "tiny"}, {"activation": "sigmoid"}, "rule: tiny computes its units for an activation"),
    ({"times": 1, "rule": "nest"}, {"activation": "softplus"}, "rule: nest computes its units for an activation"),
    ({"times": 1, "when": "singular_value"}, {"activation": "relu"}, "never fires, since activation: relu"),
    ({"times": 1, "every_share": 0.01}, {}, "give every_steps: 1 or more, or train longer"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "model", "message"), PROBLEMS, ids=[problem[-1] for problem in PROBLEMS])
def test_what_cannot_grow_as_asked_is_refused_in_the_words_of_the_configuration(values, model, message):
    first = MLP.model_copy(update=model)
    values = {"every_steps": 10, **values} if values.get("when") != "plateau" else values
    if "every_share" in values:
        del values["every_steps"]
    problems = growth(**values).problems(first, Task((20,), 10), SHORT)
    assert any(problem.startswith("growth: ") and message in problem for problem in problems), problems


@pytest.mark.parametrize("values", [{"when": "singular_value"}, {"place": "largest_singular_value"}])
@pytest.mark.parametrize(
    "norm", [{"normalisation": "batch"}, {"normalisation": "group"}, {"readout_norm": "batch"}]
)
def test_singular_values_are_not_asked_for_behind_a_norm(values, norm):
    plain = MODELS["cnn"](channels=(4, 8), activation="tanh", normalisation="none", readout_norm="none")
    structure = growth(times=1, rule="zero_outgoing", share=1, **values)
    assert structure.problems(plain, TASK, LONG) == []
    problems = structure.problems(plain.model_copy(update=norm), TASK, LONG)
    ((field, kind),) = norm.items()
    assert any(f"gradients that do not pass {field}: {kind}" in problem for problem in problems)
    if field == "readout_norm":
        first = growth(times=1, rule="zero_outgoing", **values | {"place": "layer", "position": 0})
        assert first.problems(plain.model_copy(update=norm), TASK, LONG) == []


@pytest.mark.parametrize(
    ("model", "position", "columns"),
    [
        (MLP, 0, 4),
        (MODELS["cnn"](channels=(2, 3), activation="tanh", normalisation="none", readout_norm="none"), 0, 4 * 32 * 32),
        (MODELS["cnn"](channels=(2, 3), activation="tanh", normalisation="none", readout_norm="none"), 1, 4),
        (MODELS["vgg"](channels=(2, 3), strides=(8, 2), output_layer="flatten"), 1, 4 * 2 * 2),
    ],
    ids=["mlp", "cnn", "cnn pooled", "vgg flatten"],
)  # fmt: skip
def test_a_rank_needs_as_many_examples_and_positions_as_units(model, position, columns):
    """A batch has 4 examples here."""
    course = LONG._replace(batch_size=4)
    growing = {"when": "activation_rank", "rule": "zero_outgoing", "place": "layer", "position": position}

    def problems(units, **values):
        final = tuple(units if layer == position else number for layer, number in enumerate(model.units()))
        return growth(**growing, final_units=final, share=1, **values).problems(model, TASK, course)

    units = max(columns, model.units()[position] + 1)
    batches = -(-units // columns)
    assert problems(units, batches=batches) == []
    (problem,) = problems(units + 1 + (batches * columns - units), batches=batches)
    assert f"looks at {batches * columns} examples and positions of layer {position}" in problem
    assert f"give batches: {batches + 1}" in problem


def test_batch_norm_takes_rules_that_draw_incoming_weights():
    first = MLP.model_copy(update={"normalisation": "batch", "readout_norm": "batch", "activation": "relu"})
    for rule, facts in RULE_FACTS.items():
        problems = growth(times=1, rule=rule).problems(first, TASK, LONG)
        assert bool(problems) == (facts.zero_side == "incoming"), (rule, problems)
    only_first = growth(times=1, place="layer").problems(
        MLP.model_copy(update={"readout_norm": "batch"}), TASK, LONG
    )
    assert only_first == []  # the norm of the read-out is behind the last layer


def test_group_norm_keeps_the_size_of_its_groups():
    cnn = MODELS["cnn"](channels=(2, 4), normalisation="group", activation="tanh", readout_norm="none")
    ends = {"rule": "zero_outgoing", "share": 1}
    assert growth(final_factor=2, **ends).problems(cnn, TASK, LONG) == []  # one channel a group
    (problem,) = growth(final_factor=3, **ends).problems(cnn, TASK, LONG)
    assert "normalisation: group has gcd(8, units) groups, whose size changes while layer 0 grows" in problem


def test_group_norm_refuses_units_of_zero_and_copies_of_single_channels():
    """A group of channels that are 0 has the variance 0, and a group of copies is none that was there before."""
    cnn = MODELS["cnn"](channels=(3, 6), normalisation="group", activation="tanh", readout_norm="none")
    (problem,) = growth(final_factor=2, share=1).problems(cnn, TASK, LONG)
    assert "normalisation: group divides their gradients by a variance of 0" in problem
    (problem,) = growth(final_factor=2, share=1, rule="net2net").problems(cnn, TASK, LONG)
    assert "rule: net2net copies single units, and normalisation: group normalises several of them" in problem
    assert growth(final_factor=2, share=1, rule="zero_outgoing").problems(cnn, TASK, LONG) == []


@pytest.mark.parametrize("name", ["horn", "rnn"])
def test_a_model_without_units_is_refused_with_those_that_have_some(name):
    (problem,) = growth(times=1).problems(MODELS[name](), TASK, LONG)
    assert problem.startswith(
        f"growth: {name} has no hidden layers whose number of units can change; valid: "
    )
    assert "mlp" in problem and "cnn" in problem and name not in problem.partition("valid")[2]


def test_a_last_size_that_the_training_decides_on_is_nothing_to_match():
    assert growth(times=3).match_problems() == [] and growth(times=3).rival_problems() == []
    assert growth(final_factor=2, place="random").match_problems() == []
    for values in ({"times": 3, "when": "plateau"}, {"most_flops": 9, "place": "random"}):
        for problems in (growth(**values).match_problems(), growth(**values).rival_problems()):
            assert len(problems) == 1 and "ends with another network in every run" in problems[0]
