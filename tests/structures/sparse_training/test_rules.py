"""Rules of rewiring: what they drop and grow, against a brute force, and the totals that they keep."""

import math

import pytest
import torch

from hornlib.parameters import Weight
from hornlib.structures.connections.masks import chosen_at_random, mask_draws
from hornlib.structures.sparse_training.parameters import SparseTrainingParameters
from hornlib.structures.sparse_training.rule_values import RULE_VALUES
from hornlib.structures.sparse_training.rules import RULES, Look
from hornlib.structures.sparse_training.rules.set import closest_to_zero_by_sign

LANES = 3
SIZES = {"small": (40, 30), "large": (400, 60), "crowded": (50, 45)}
"""Weight -> number of its entries, and of its connections."""
SHAPES = {"small": (8, 5), "large": (50, 8), "crowded": (1, 50)}
NETWORK = [
    Weight(name, shape, layer, role, 1, 1)
    for layer, (role, (name, shape)) in enumerate(
        zip(("input", "hidden", "output"), SHAPES.items(), strict=True)
    )
]


def look(rule="rigl", share=0.3, seeds=(0, 1, 2), threshold=0.5, **changed):
    """Return a look at weights and scores that are normally distributed."""
    draw, draws = torch.Generator().manual_seed(0), mask_draws(seeds, 100)
    masks, weights, growth = {}, {}, {}
    for name, (size, connections) in SIZES.items():
        places = torch.ones(LANES, size, dtype=torch.bool)
        masks[name] = chosen_at_random(places, [connections] * LANES, mask_draws(range(LANES), 0)(name))
        weights[name] = torch.randn(LANES, size, generator=draw) * masks[name]
        growth[name] = torch.randn(LANES, size, generator=draw).abs()
    fields = {
        "parameters": SparseTrainingParameters(rule=rule),
        "network": NETWORK,
        "weights": weights,
        "masks": masks,
        "growth": growth,
        "drop_share": share,
        "total": sum(connections for _, connections in SIZES.values()),
        "threshold": torch.full((LANES,), threshold),
        "exponent": 2.0,
        "draws": draws,
    }
    return Look(**(fields | changed))


def totals(masks):
    return sum(mask.sum(1) for mask in masks.values()).tolist()


def test_every_rule_but_static_has_a_function():
    rules = SparseTrainingParameters.model_fields["rule"].annotation.__args__
    assert set(rules) == {"static", *RULES} == set(RULE_VALUES)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9])
def test_the_number_of_connections_of_every_lane_is_kept_and_within_a_layer_too_unless_the_rule_moves_them(
    rule, share
):
    before = look(rule, share=share)
    after = RULES[rule](before)
    assert totals(after.masks) == totals(before.masks)
    if rule in ("set", "rigl", "srigl", "chts", "granet"):
        for name, (_, connections) in SIZES.items():
            assert (after.masks[name].sum(1) == connections).all()


@pytest.mark.parametrize("rule", RULES)
def test_many_equal_numbers_keep_the_counts_and_depend_on_the_seed_alone(rule):
    equal = look(rule)
    flat = {name: mask.float() for name, mask in equal.masks.items()}
    even = {name: torch.ones_like(score) for name, score in equal.growth.items()}
    first = RULES[rule](equal._replace(weights=flat, growth=even, threshold=torch.full((LANES,), 2.0)))
    again = RULES[rule](equal._replace(weights=flat, growth=even, threshold=torch.full((LANES,), 2.0)))
    other = RULES[rule](
        equal._replace(
            weights=flat,
            growth=even,
            threshold=torch.full((LANES,), 2.0),
            draws=mask_draws((7, 8, 9), 100),
        )
    )
    assert totals(first.masks) == totals(equal.masks) == totals(other.masks)
    assert all(torch.equal(mask, again.masks[name]) for name, mask in first.masks.items())
    assert not torch.equal(first.masks["large"], other.masks["large"])


@pytest.mark.parametrize("rule", RULES)
def test_a_lane_decides_as_it_would_alone(rule):
    every = look(rule)
    alone = every._replace(
        **{
            field: {name: tensor[1:2] for name, tensor in getattr(every, field).items()}
            for field in ("weights", "masks", "growth")
        },
        threshold=every.threshold[1:2],
        draws=mask_draws((1,), 100),
    )
    together, single = RULES[rule](every), RULES[rule](alone)
    for name, mask in single.masks.items():
        assert torch.equal(mask[0], together.masks[name][1])


@pytest.mark.parametrize("rule", RULES)
def test_a_diverged_lane_keeps_its_number(rule):
    broken = look(rule)
    for tensors in (broken.weights, broken.growth):
        for tensor in tensors.values():
            tensor[1] = math.nan
    assert totals(RULES[rule](broken).masks) == totals(broken.masks)


def test_rigl_grows_the_set_of_a_brute_force():
    before = look()
    after = RULES["rigl"](before)
    for name, (_, connections) in SIZES.items():
        number = round(0.3 * connections)
        for lane in range(LANES):
            weight, score = before.weights[name][lane].tolist(), before.growth[name][lane].tolist()
            active = before.masks[name][lane].nonzero().squeeze(1).tolist()
            kept = set(sorted(active, key=lambda place: abs(weight[place]))[number:])
            others = [place for place in range(len(weight)) if place not in kept]
            grown = set(sorted(others, key=lambda place: -score[place])[:number])
            assert set(after.masks[name][lane].nonzero().squeeze(1).tolist()) == kept | grown


def test_rigl_may_grow_what_it_has_just_dropped():
    before = look()
    weakest = torch.where(before.masks["large"], before.weights["large"].abs(), torch.inf).argmin(1)
    for lane, place in enumerate(weakest):
        before.growth["large"][lane, place] = 100.0
    after = RULES["rigl"](before)
    assert all(after.masks["large"][lane, place] for lane, place in enumerate(weakest))


@pytest.mark.parametrize("positive", [0.1, 0.5, 0.9, 1.0])
def test_set_drops_its_share_of_the_positive_and_of_the_negative_weights(positive):
    draw = torch.Generator().manual_seed(3)
    signs = torch.where(torch.rand(400, generator=draw) < positive, 1.0, -1.0)
    weights = signs * (0.1 + torch.rand(400, generator=draw))
    dropped = closest_to_zero_by_sign(weights, 0.3, draw)
    for sign in (1, -1):
        part = weights * sign > 0
        number = round(0.3 * int(part.sum()))
        assert int((dropped & part).sum()) == number
        if number:
            assert weights[dropped & part].abs().max() <= weights[part & ~dropped].abs().min()


def test_set_grows_among_places_that_had_no_connection():
    before = look()
    after = RULES["set"](before)
    assert (after.masks["large"] & before.masks["large"]).sum(1).tolist() == [42] * LANES
    crowded = after.masks["crowded"]
    assert crowded[~before.masks["crowded"]].all()  # there were fewer free places than dropped connections


def test_snfs_shares_out_what_all_layers_lost_by_their_mean_momentum():
    sizes = {"weak": (1000, 100), "strong": (1000, 100)}
    mask = {name: (torch.arange(size) < count).expand(1, -1) for name, (size, count) in sizes.items()}
    growth = {"weak": torch.full((1, 1000), 1.0), "strong": torch.full((1, 1000), 3.0)}
    growth["strong"][0, 500:520] = 9.0
    before = look()._replace(
        weights={name: torch.rand(1, 1000) * part for name, part in mask.items()},
        masks=mask,
        growth=growth,
        threshold=torch.zeros(1),
        drop_share=0.4,
        draws=mask_draws((0,), 1),
    )
    after = RULES["snfs"](before)
    # 40 + 40 connections in the proportions 1 : 3
    assert {name: int(part.sum()) for name, part in after.masks.items()} == {"weak": 80, "strong": 120}
    assert after.masks["strong"][0, 500:520].all()


def test_snfs_gives_what_a_full_layer_cannot_take_to_the_others():
    before = look(share=0.5)
    before.growth["crowded"].fill_(1e6)
    after = RULES["snfs"](before)
    assert after.masks["crowded"].all() and totals(after.masks) == totals(before.masks)


def test_dsr_drops_below_its_threshold_and_adapts_it():
    before = look("dsr", share=0.3, threshold=0.5)
    after = RULES["dsr"](before)
    for name, mask in before.masks.items():
        strong = mask & (before.weights[name].abs() >= 0.5)
        assert (after.masks[name] | ~strong).all()
    dropped = sum((mask & (before.weights[name].abs() < 0.5)).sum(1) for name, mask in before.masks.items())
    wanted = 0.3 * 135
    expected = [
        1.0 if number < 0.9 * wanted else 0.25 if number > 1.1 * wanted else 0.5
        for number in dropped.tolist()
    ]
    assert after.threshold.tolist() == expected
    assert RULES["dsr"](look("dsr", threshold=1e-9)).threshold.tolist() == pytest.approx([2e-9] * LANES)
    assert RULES["dsr"](look("dsr", threshold=8.0)).threshold.tolist() == [4.0] * LANES


def test_dsr_gives_layers_with_more_survivors_more_connections():
    mask = {name: (torch.arange(1000) < 100).expand(1, -1) for name in ("dying", "living")}
    weights = {"dying": torch.where(torch.arange(1000) < 20, 1.0, 0.0), "living": torch.ones(1000)}
    before = look()._replace(
        weights={name: weight[None] * mask[name] for name, weight in weights.items()},
        masks=mask,
        threshold=torch.tensor([0.5]),
        draws=mask_draws((0,), 1),
    )
    after = RULES["dsr"](before)  # 80 connections in the proportions 20 : 100
    assert {name: int(part.sum()) for name, part in after.masks.items()} == {"dying": 33, "living": 167}


def test_granet_prunes_all_layers_together_to_the_total_and_then_exchanges():
    before = look(share=0.0)._replace(total=100)
    after = RULES["granet"](before)
    assert totals(after.masks) == [100] * LANES
    for lane in range(LANES):
        magnitudes = torch.cat([weight[lane].abs() for weight in before.weights.values()])
        kept = torch.cat([mask[lane] for mask in after.masks.values()])
        assert magnitudes[kept].min() >= magnitudes[~kept].max()
    exchanged = RULES["granet"](before._replace(drop_share=0.5))
    for name, mask in exchanged.masks.items():
        assert torch.equal(mask.sum(1), after.masks[name].sum(1))
    assert not torch.equal(exchanged.masks["large"], after.masks["large"])
