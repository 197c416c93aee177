"""Growth in the training loop: counts, old weights and moments, groups of lanes, interruptions, work of looks."""

import io
import random
from itertools import pairwise

import pytest
import torch

from hornlib.data.loading import load
from hornlib.grid.cell import parse_specification
from hornlib.grid.refusals import course_of
from hornlib.models.flops import training_step_flops
from hornlib.structures.growth.births import FIRST
from hornlib.training.batches import Batches
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk
from hornlib.training.restructuring import restructure, structure_of

CPU = torch.device("cpu")
MLP = {"name": "mlp", "hidden_nodes": "4-6", "activation": "tanh", "readout_norm": "none"}
STEPS, MOST_KILLS = 12, 30

WAYS = {
    "all": {"final_factor": 2},
    "round_robin": {"final_factor": 2, "place": "round_robin", "every_steps": 1},
    "largest_singular_value": {"times": 3, "place": "largest_singular_value"},
    "random": {"times": 4, "place": "random", "every_steps": 1},
    "layer": {"times": 2, "place": "layer", "position": 1},
    "plateau": {"times": 2, "when": "plateau", "patience": 1, "least_improvement": 0.5, "every_steps": None},
    "activation_rank": {"times": 3, "when": "activation_rank", "rank_share": 0.5, "rank_threshold": 0.05},
    "weight_rank": {"times": 2, "when": "weight_rank", "rank_share": 0.9, "start_step": 0},
    "singular_value": {"times": 3, "when": "singular_value", "gradient_ratio": 0.8},
    "fresh": {"times": 2, "optimizer_state": "fresh", "rate_factor": 0.5},
}
"""Triggers and places that grow some or all of three lanes within twelve steps."""


@pytest.fixture
def way_cell(growth_cell):
    """Return a function that gives the cell of one of `WAYS`."""

    def make(way, optimizer="sgd", **values):
        return growth_cell(optimizer=optimizer, **{**WAYS[way], **values})

    return make


def test_parameters_and_flops_are_those_of_every_width(growth_cell, trained):
    cell, numbers = growth_cell(final_factor=2, rule="gaussian"), {}

    def note(chunk):
        (group,) = chunk.groups  # lanes that grow alike stay together
        numbers[chunk.step] = group.model, group.num_parameters, chunk.flops.tolist()

    trained(cell, after_step=note)
    task, so_far = cell.task(), 0
    planned = cell.structure.planned_models(cell.model, task, course_of(cell))
    for step in range(1, STEPS + 1):
        model = [model for start, model in planned if start < step][-1]
        so_far += training_step_flops(model, task, 25, "sgd_nesterov").total
        assert numbers[step] == (model, [model.num_parameters(task)] * 3, [so_far] * 3), step
    assert len(planned) == 6 and numbers[STEPS][0].hidden_nodes == (8, 11)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_old_weights_and_moments_stay_bit_for_bit_and_new_moments_are_zero(growth_cell, trained, optimizer):
    chunk = trained(growth_cell(final_factor=2, optimizer=optimizer), steps=3)
    (before,) = chunk.groups
    splits, structure = load(chunk.cell.data, CPU), structure_of(chunk.cell)
    restructure(chunk, structure, Batches(chunk, splits.train))
    (after,) = chunk.groups
    assert after.model.hidden_nodes == (5, 7) and after.since == before.since
    for name, old in before.lanes.parameters.items():
        stay = tuple(slice(size) for size in old.shape)
        assert torch.equal(after.lanes.parameters[name][stay], old), name
    old_state, new_state = before.optimizer.state, after.optimizer.state
    assert new_state.keys() - old_state.keys() == ({"age"} if optimizer == "adamw" else set())
    for moment, tensors in old_state.items():
        for old, new in zip(tensors, new_state[moment], strict=True):
            stay = tuple(slice(size) for size in old.shape)
            assert torch.equal(new[stay], old)
            rest = new.clone()
            rest[stay] = 0
            assert not rest.any()
    for old, age in zip(
        before.lanes.parameters.values(), new_state.get("age", []), strict=optimizer == "adamw"
    ):
        assert (age[tuple(slice(size) for size in old.shape)] == 3).all() and age.sum() == 3 * old.numel()


def test_all_moments_start_anew_where_they_shall(way_cell, trained):
    chunk = trained(way_cell("fresh", optimizer="adamw"))
    (group,) = chunk.groups
    assert group.since == 5 and "age" not in group.optimizer.state
    assert group.rate_factors.tolist() == [0.25] * 3


@pytest.mark.parametrize("way", WAYS)
def test_a_lane_is_what_its_seed_is_alone(way_cell, trained, way):
    cell = way_cell(way)
    together, alone = trained(cell, (3, 1, 2)), trained(cell, (1,))
    events = [event for event in together.events if event.row == 1]
    assert [event[1:4] for event in events] == [event[1:4] for event in alone.events] and events
    group = next(group for group in together.groups if 1 in group.lanes.rows)
    lane = group.lanes.rows.index(1)
    for name, tensor in alone.groups[0].lanes.parameters.items():
        torch.testing.assert_close(tensor[0], group.lanes.parameters[name][lane], rtol=1e-4, atol=1e-5)
    assert together.flops[1] == alone.flops[0]
    for event, lone in zip(events, alone.events, strict=True):
        torch.testing.assert_close(
            torch.tensor(event.gradient_ratios),
            torch.tensor(lone.gradient_ratios),
            rtol=1e-3,
            atol=1e-4,
            equal_nan=True,
        )


def test_lanes_that_grow_differently_part_and_meet_again(way_cell, trained):
    numbers = {}
    chunk = trained(
        way_cell("random", times=None, final_factor=1.25, share=0.25, start_step=1),
        seeds=range(6),
        after_step=lambda chunk: numbers.update({chunk.step: len(chunk.groups)}),
    )
    assert numbers[1] == 1 and max(numbers.values()) > 1
    (group,) = chunk.groups  # every lane has reached 5-8
    assert group.model.hidden_nodes == (5, 8) and group.lanes.rows == list(range(6))


def test_units_remember_when_they_were_added(growth_cell, trained):
    chunk = trained(growth_cell(times=2, place="layer"))
    (group,) = chunk.groups
    assert group.memory["born/0"].tolist() == [[FIRST] * 4 + [3, 5]] * 3
    assert group.memory["born/1"].tolist() == [[FIRST] * 6] * 3


def test_events_have_the_singular_value_that_decided(growth_cell, trained):
    chosen = trained(growth_cell(times=1, rule="gaussian", place="largest_singular_value"))
    assert all(event.score > 0 for event in chosen.events)
    drawn = trained(growth_cell(times=1, rule="gaussian"))
    assert all(event.score != event.score for event in drawn.events)


def test_only_lanes_whose_validation_loss_has_stopped_falling_grow(way_cell, trained):
    stopped = trained(way_cell("plateau", least_improvement=0.9))
    assert {event.row for event in stopped.events} == {0, 1, 2}
    falling = trained(way_cell("plateau", least_improvement=0.0))
    assert not falling.events


@pytest.mark.parametrize(
    "always",
    [
        {"when": "plateau", "patience": 1, "least_improvement": 0.99, "every_steps": None},
        {"when": "activation_rank", "rank_share": 1e-6, "every_steps": 1},
        {"when": "weight_rank", "rank_share": 1e-6, "every_steps": 1},
        {"when": "singular_value", "gradient_ratio": 1e-9, "every_steps": 1},
    ],
    ids=lambda values: values["when"],
)
def test_a_trigger_that_always_fires_makes_as_many_events_as_are_asked_for(growth_cell, trained, always):
    times = 1 if always["when"] == "plateau" else 2
    chunk = trained(growth_cell(times=times, place="layer", start_step=1, **always), steps=12)
    assert [len([event for event in chunk.events if event.row == row]) for row in range(3)] == [times] * 3


def test_a_plateau_fires_again_only_after_as_many_epochs_without_a_fall_since_the_last_event(trained):
    """An epoch has four steps and ends with an evaluation. The loss never falls by as much as is asked for."""
    cell = parse_specification(
        {
            "data": {"name": "digits", "train_subset": 100, "validation": 0.2},
            "model": MLP,
            "structure": {
                "name": "growth",
                "when": "plateau",
                "patience": 2,
                "least_improvement": 0.99,
                "times": 9,
                "place": "layer",
            },
            "training": {
                "epochs": 12,
                "batch_size": 25,
                "optimizer": "sgd",
                "learning_rate": 0.05,
                "evaluate_at_epochs": "-".join(map(str, range(1, 13))),
            },
        }
    )
    chunk = trained(cell, steps=48)
    for row in range(3):
        steps = [0, *(event.step for event in chunk.events if event.row == row)]
        pauses = [after - before for before, after in pairwise(steps)]
        assert len(pauses) >= 3 and min(pauses) > 8  # an evaluation since the last event, and two epochs


def test_looks_count_for_the_lanes_that_take_them(growth_cell, trained):
    def flops(**values):
        return trained(growth_cell(times=1, **values)).flops

    drawn, looked = flops(rule="gaussian"), flops(rule="gradmax")
    (twice,) = set((flops(rule="gradmax", batches=2) - drawn).tolist())
    (once,) = set((looked - drawn).tolist())
    assert 1.8 * once < twice < 2.1 * once
    step = training_step_flops(
        growth_cell(times=1).model, growth_cell(times=1).task(), 25, "sgd_nesterov"
    ).total
    assert 0.5 * step < once < 5 * step


def copied(state):
    """Return the state as a checkpoint gives it back."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def assert_equal(chunk, other):
    """Assert that two chunks are equal bit for bit, but for their seconds."""
    assert str(chunk.events) == str(other.events)  # as text, because NaN equals nothing
    assert torch.equal(chunk.flops, other.flops)
    assert [group.model for group in chunk.groups] == [group.model for group in other.groups]
    for group, other_group in zip(chunk.groups, other.groups, strict=True):
        assert group.lanes.seeds == other_group.lanes.seeds
        for name, tensor in group.lanes.parameters.items():
            assert torch.equal(tensor, other_group.lanes.parameters[name]), name
        for name, tensor in group.memory.items():
            assert torch.equal(tensor, other_group.memory[name]), name
    for name, curve in chunk.curves.items():
        if name != "seconds":
            assert torch.equal(curve.nan_to_num(-1), other.curves[name].nan_to_num(-1)), name


@pytest.mark.parametrize("way", WAYS)
def test_wherever_it_was_interrupted_a_chunk_ends_bit_identical(way_cell, way):
    cell, saved = way_cell(way, optimizer="adamw"), {}
    splits, undisturbed = load(cell.data, CPU), start_chunk(way_cell(way, optimizer="adamw"), [0, 1, 2], CPU)
    train_chunk(undisturbed, splits, lambda chunk: saved.update({chunk.step: copied(chunk.state())}))
    assert undisturbed.events
    event_steps = {event.step for event in undisturbed.events}
    for step in sorted({1, *event_steps, *(step + 1 for step in event_steps)} & saved.keys()):
        resumed = start_chunk(cell, [0, 1, 2], CPU)
        resumed.restore_(saved[step], CPU)
        train_chunk(resumed, splits)
        assert_equal(undisturbed, resumed)


class KilledError(Exception):
    """The process ends here."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "rule"), [*((way, "gradmax") for way in WAYS), ("all", "net2net"), ("random", "firefly")]
)
def test_a_storm_of_kills_over_events_ends_bit_identical(way_cell, way, rule):
    """A process is killed at random steps, half of them right after a growth, and goes on from an older checkpoint."""
    cell = way_cell(way, optimizer="adamw", rule=rule)
    splits, undisturbed = load(cell.data, CPU), start_chunk(cell, [0, 1, 2], CPU)
    train_chunk(undisturbed, splits)
    event_steps = sorted({event.step + 1 for event in undisturbed.events})
    draws = random.Random(f"{way} {rule}")
    checkpoint = copied(start_chunk(cell, [0, 1, 2], CPU).state())
    kills = 0
    while True:
        at = draws.choice(event_steps) if draws.random() < 0.5 else draws.randrange(1, STEPS + 1)
        keep = draws.random() < 0.7

        def killed(chunk, at=at if kills < MOST_KILLS else STEPS + 1, keep=keep):
            nonlocal checkpoint
            if keep:
                checkpoint = copied(chunk.state())
            if chunk.step == at:
                raise KilledError

        resumed = start_chunk(cell, [0, 1, 2], CPU)
        resumed.restore_(copied(checkpoint), CPU)
        try:
            train_chunk(resumed, splits, killed)
        except KilledError:
            kills += 1
            continue
        break
    assert kills
    assert_equal(undisturbed, resumed)
