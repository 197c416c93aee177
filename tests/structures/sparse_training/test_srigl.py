"""SRigL: equal numbers of inputs, units that lose theirs, and an update by hand."""

import math

import pytest
import torch

from hornlib.parameters import Weight
from hornlib.structures.connections.masks import mask_draws
from hornlib.structures.sparse_training.fan_in import constant_fan_in, highest_of_units
from hornlib.structures.sparse_training.parameters import SparseTrainingParameters
from hornlib.structures.sparse_training.rules import RULES, Look
from hornlib.structures.sparse_training.rules.srigl import active_units

LANES, UNITS, INPUTS = 3, 9, 12


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def look(connections=36, share=0.3, min_salient=0.3, role="hidden", growth=None):
    """Return a look at one layer of 9 units and 12 inputs with distinct weights and scores."""
    random, draws = draw(1), mask_draws(range(LANES), 100)
    mask = constant_fan_in((UNITS, INPUTS), connections, mask_draws(range(LANES), 0)("w"))
    scores = torch.rand(LANES, UNITS * INPUTS, generator=random) if growth is None else growth
    return Look(
        parameters=SparseTrainingParameters(rule="srigl", min_salient=min_salient),
        network=[Weight("w", (UNITS, INPUTS), 0, role, 1, 1)],
        weights={"w": torch.randn(LANES, UNITS * INPUTS, generator=random) * mask},
        masks={"w": mask},
        growth={"w": scores},
        drop_share=share,
        total=connections,
        threshold=torch.zeros(LANES),
        exponent=1.0,
        draws=draws,
    )


def by_hand(before, lane, min_salient):
    """Return the places after an update as a set of (unit, input), and the active units, in plain loops."""
    places = [(unit, entry) for unit in range(UNITS) for entry in range(INPUTS)]
    weight = dict(zip(places, before.weights["w"][lane].tolist(), strict=True))
    score = dict(zip(places, before.growth["w"][lane].tolist(), strict=True))
    active = [place for place, there in zip(places, before.masks["w"][lane].tolist(), strict=True) if there]
    total, number = len(active), round(before.drop_share * len(active))
    strong = sorted(active, key=lambda place: -abs(weight[place]))[: total - number]
    others = [place for place in places if place not in strong]
    salient = strong + sorted(others, key=lambda place: -score[place])[:number]
    counts = [sum(place[0] == unit for place in salient) for unit in range(UNITS)]
    units = [unit for unit in range(UNITS) if counts[unit] >= max(1, min_salient * total / UNITS)]
    remaining = sorted(
        (place for place in active if place[0] in units), key=lambda place: -abs(weight[place])
    )
    remaining = remaining[: total - number]
    after = []
    fan_in, rest = divmod(total, len(units))
    by_count = sorted(units, key=lambda unit: -counts[unit])
    for unit in units:
        size = fan_in + (unit in by_count[:rest])
        inputs = [place for place in remaining if place[0] == unit][:size]
        free = [place for place in places if place[0] == unit and place not in inputs]
        after += inputs + sorted(free, key=lambda place: -score[place])[: size - len(inputs)]
    return set(after), units, (counts, rest)


def places_of(mask):
    return set(map(tuple, mask.view(UNITS, INPUTS).nonzero().tolist()))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
@pytest.mark.parametrize("min_salient", [0.3, 0.8])
def test_an_update_is_that_of_plain_loops(share, min_salient):
    before = look(share=share, min_salient=min_salient)
    after, compared = RULES["srigl"](before).masks["w"], 0
    for lane in range(LANES):
        expected, units, (counts, rest) = by_hand(before, lane, min_salient)
        assert after[lane].sum() == 36
        numbers = after[lane].view(UNITS, INPUTS).sum(1)
        assert set(numbers.nonzero().squeeze(1).tolist()) == set(units)
        assert numbers[numbers > 0].max() - numbers[numbers > 0].min() <= 1
        ordered = sorted((counts[unit] for unit in units), reverse=True)
        if not rest or ordered[rest - 1] > ordered[rest]:  # no draw decides who gets one input more
            assert places_of(after[lane]) == expected
            compared += 1
    assert compared


def test_units_without_salient_inputs_lose_them_all_and_the_others_share_them():
    before = look(connections=36, share=0.5)
    lane, weights, growth = 0, before.weights["w"], before.growth["w"]
    for tensor in (weights, growth):
        tensor.view(LANES, UNITS, INPUTS)[lane, :3] *= 1e-6
    after = RULES["srigl"](before).masks["w"][lane].view(UNITS, INPUTS)
    assert after.sum(1).tolist() == [0, 0, 0, 6, 6, 6, 6, 6, 6]


@pytest.mark.parametrize(("min_salient", "role"), [(0.0, "hidden"), (0.3, "output")])
def test_no_unit_loses_its_inputs_where_that_is_off_or_in_the_last_layer(min_salient, role):
    before = look(share=0.5, min_salient=min_salient, role=role)
    for tensor in (before.weights["w"], before.growth["w"]):
        tensor.view(LANES, UNITS, INPUTS)[:, :3] *= 1e-6
    after = RULES["srigl"](before).masks["w"].view(LANES, UNITS, INPUTS)
    assert (after.sum(2) == 4).all()


def test_a_unit_without_inputs_comes_back_when_its_gradients_are_large():
    before = look(share=0.5)
    for tensor in (before.weights["w"], before.growth["w"]):
        tensor.view(LANES, UNITS, INPUTS)[:, 0] *= 1e-6
    mask = RULES["srigl"](before).masks["w"]
    assert not mask.view(LANES, UNITS, INPUTS)[:, 0].any()
    before.growth["w"].view(LANES, UNITS, INPUTS)[:, 0] = 100.0
    again = before._replace(masks={"w": mask}, weights={"w": before.weights["w"] * mask})
    after = RULES["srigl"](again).masks["w"].view(LANES, UNITS, INPUTS)
    assert after[:, 0].any(1).all() and (after.flatten(1).sum(1) == 36).all()


def test_as_many_units_stay_as_are_needed_to_hold_all_connections():
    def salient(*counts):
        return torch.arange(5) < torch.tensor(counts).unsqueeze(1)

    # 15 connections of 6 units: the mean is 2.5 inputs, and 3 units of 5 inputs hold them all.
    assert active_units(salient(5, 5, 4, 1, 0, 0), 1.0, draw()).tolist() == [True] * 3 + [False] * 3
    assert active_units(salient(5, 5, 4, 1, 0, 0), 0.1, draw()).tolist() == [True] * 4 + [False] * 2
    assert active_units(salient(5, 2, 2, 2, 2, 2), 0.0, draw()).all()
    drawn = [active_units(salient(5, 2, 2, 2, 2, 2), 1.0, draw(seed)) for seed in range(9)]
    assert all(units[0] and int(units.sum()) == 3 for units in drawn)
    assert len({tuple(units.tolist()) for units in drawn}) > 1


@pytest.mark.parametrize("connections", [36, 40, 9, 108])
def test_first_connections_are_as_many_for_every_unit_and_differ_between_lanes(connections):
    masks = constant_fan_in((UNITS, INPUTS), connections, mask_draws(range(LANES), 0)("w"))
    numbers = masks.view(LANES, UNITS, INPUTS).sum(2)
    assert (numbers.sum(1) == connections).all()
    assert (numbers.max(1).values - numbers.min(1).values <= (connections % UNITS > 0)).all()
    assert connections == 108 or not torch.equal(masks[0], masks[1])


def test_the_highest_of_each_unit_are_those_of_a_sort_and_ties_are_drawn():
    scores = torch.rand(40, 25, generator=draw(2))
    candidates = torch.rand(40, 25, generator=draw(3)) < 0.6
    counts = torch.randint(0, 5, (40,), generator=draw(4)).minimum(candidates.sum(1))
    chosen = highest_of_units(scores, candidates, counts, draw())
    for unit, count in enumerate(counts.tolist()):
        places = candidates[unit].nonzero().squeeze(1).tolist()
        expected = sorted(places, key=lambda place: -float(scores[unit, place]))[:count]
        assert set(chosen[unit].nonzero().squeeze(1).tolist()) == set(expected)
    equal = [
        highest_of_units(torch.full((40, 25), math.nan), candidates, counts, draw(seed)) for seed in (0, 1)
    ]
    assert all(torch.equal(mask.sum(1), counts) and not (mask & ~candidates).any() for mask in equal)
    assert not torch.equal(*equal)
