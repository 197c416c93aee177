"""CHTs: link prediction, relative importance and soft sampling against their definitions, and units on no path."""

from itertools import product

import pytest
import torch

from hornlib.parameters import Weight
from hornlib.structures.connections.masks import chosen_at_random, mask_draws
from hornlib.structures.sparse_training.parameters import SparseTrainingParameters
from hornlib.structures.sparse_training.rules import RULES, Look
from hornlib.structures.sparse_training.rules.chts import on_paths, relative_importance
from hornlib.structures.sparse_training.rules.link_prediction import path_flops, path_scores
from hornlib.structures.sparse_training.rules.sampling import sampled

LANES = 3
CHAIN = {"first": (12, 10), "second": (14, 12)}
DROPS = ("magnitude", "soft_magnitude", "importance", "soft_importance")
GROWTHS = ("random", "gradient", "soft_gradient", "paths", "soft_paths")


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def look(share=0.3, exponent=1.0, density=0.25, **values):
    """Return a look at two sparse layers before a dense one."""
    random, first = draw(1), mask_draws(range(LANES), 0)
    masks, weights, growth = {}, {}, {}
    for name, (outputs, inputs) in CHAIN.items():
        size = outputs * inputs
        places = torch.ones(LANES, size, dtype=torch.bool)
        masks[name] = chosen_at_random(places, [round(density * size)] * LANES, first(name))
        weights[name] = torch.randn(LANES, size, generator=random) * masks[name]
        growth[name] = torch.rand(LANES, size, generator=random)
    return Look(
        parameters=SparseTrainingParameters(rule="chts", **values),
        network=[
            *(Weight(name, shape, 0, "hidden", 1, 1) for name, shape in CHAIN.items()),
            Weight("readout", (3, 14), 2, "output", 1, 1),
        ],
        weights=weights,
        masks=masks,
        growth=growth,
        drop_share=share,
        total=sum(int(mask[0].sum()) for mask in masks.values()),
        threshold=torch.zeros(LANES),
        exponent=exponent,
        draws=mask_draws(range(LANES), 100),
    )


def score_by_paths(mask, output, entry):
    """Return the score of a pair from a list of its paths of three connections, in plain loops over a graph."""
    outputs, inputs = mask.shape
    neighbours = {("out", u): {("in", v) for v in range(inputs) if mask[u, v]} for u in range(outputs)}
    neighbours |= {("in", v): {("out", u) for u in range(outputs) if mask[u, v]} for v in range(inputs)}
    seeds = {("out", output), ("in", entry)}
    paths = [
        (first, second)
        for first in neighbours["out", output]
        for second in neighbours[first]
        if second not in seeds and ("in", entry) in neighbours[second] and first not in seeds
    ]
    community = {node for path in paths for node in path}
    return sum(
        (1 + len(neighbours[node] & community)) / (1 + len(neighbours[node] - community - seeds))
        for node in community
    )


@pytest.mark.parametrize("density", [0.2, 0.3, 0.7])
def test_scores_of_missing_connections_are_those_of_their_paths_of_three_connections(density):
    mask = torch.rand(7, 9, generator=draw(5)) < density
    scores, positive = path_scores(mask), 0
    for output, entry in product(range(7), range(9)):
        if not mask[output, entry]:
            expected = score_by_paths(mask, output, entry)
            assert float(scores[output, entry]) == pytest.approx(expected, rel=1e-5)
            positive += expected > 0
    assert positive


def test_a_place_whose_units_no_path_joins_has_the_score_0():
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[:2, :2] = mask[2:, 2:] = True
    mask[0, 1] = False
    scores = path_scores(mask)
    assert float(scores[0, 1]) == 2 * (1 + 1) / (1 + 0)  # one path, without connections that lead elsewhere
    assert not scores[:2, 2:].any() and not scores[2:, :2].any()


def test_the_flops_are_those_of_four_products_with_the_sparse_mask():
    mask = torch.rand(30, 20, generator=draw()) < 0.1
    connections = int(mask.sum())
    assert path_flops(mask) == 2 * connections * (30 + 20 + 30 + 20)
    assert RULES["chts"](look(grow_by="random")).flops == [0] * LANES
    before = look(grow_by="paths", cut_off="kept")
    remaining = [30 - round(0.3 * 30), 42 - round(0.3 * 42)]
    expected = 4 * (remaining[0] * (12 + 10) + remaining[1] * (14 + 12))
    assert RULES["chts"](before).flops == [expected] * LANES


def test_relative_importance_is_the_share_among_the_weights_of_both_units():
    weights = torch.randn(2, 5, 4, generator=draw()) * (torch.rand(2, 5, 4, generator=draw(1)) < 0.6)
    weights[0, 2] = 0.0
    importance = relative_importance(weights)
    for lane, output, entry in product(range(2), range(5), range(4)):
        weight = abs(float(weights[lane, output, entry]))
        column = sum(abs(float(weights[lane, other, entry])) for other in range(5))
        row = sum(abs(float(weights[lane, output, other])) for other in range(4))
        expected = weight / column + weight / row if weight else 0.0
        assert float(importance[lane, output, entry]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("exponent", [1.0, 3.0])
def test_draws_follow_the_probabilities_of_draws_without_replacement(exponent):
    from scipy.stats import chisquare

    scores, trials = [0.5, 1.0, 1.5, 2.0], 2000
    rows = torch.tensor([scores]).expand(trials, -1)
    candidates = torch.ones(trials, 4, dtype=torch.bool)
    chosen = sampled(rows, candidates, [2] * trials, [draw(7)] * trials, exponent)
    assert (chosen.sum(1) == 2).all()
    weights = [score**exponent for score in scores]
    pairs = [(first, second) for first in range(4) for second in range(first + 1, 4)]
    expected = [
        sum(
            weights[a] / sum(weights) * weights[b] / (sum(weights) - weights[a])
            for a, b in ((first, second), (second, first))
        )
        for first, second in pairs
    ]
    counts = [int((chosen[:, first] & chosen[:, second]).sum()) for first, second in pairs]
    assert chisquare(counts, [trials * share for share in expected]).pvalue > 1e-3


def test_scores_of_0_are_drawn_last_and_at_random():
    scores = torch.tensor([[0.0, 0.0, 0.0, 3.0, 0.0, 1.0]]).expand(60, -1)
    candidates = torch.tensor([[True, True, True, True, False, True]]).expand(60, -1)
    chosen = sampled(scores, candidates, [3] * 60, [draw(9)] * 60)
    assert chosen[:, [3, 5]].all() and not chosen[:, 4].any()
    assert (chosen[:, :3].sum(1) == 1).all() and chosen[:, :3].any(0).all()


@pytest.mark.parametrize("drop", DROPS)
@pytest.mark.parametrize("grow", GROWTHS)
def test_every_combination_keeps_the_counts_of_every_layer(drop, grow):
    before = look(drop_by=drop, grow_by=grow)
    after = RULES["chts"](before)
    for name, mask in before.masks.items():
        assert torch.equal(after.masks[name].sum(1), mask.sum(1))
        assert not torch.equal(after.masks[name], mask)


@pytest.mark.parametrize("drop", ["magnitude", "importance"])
def test_the_lowest_scores_are_dropped_and_the_highest_paths_grow(drop):
    before = look(drop_by=drop, grow_by="paths", cut_off="kept")
    after = RULES["chts"](before).masks
    for name, shape in CHAIN.items():
        weights = before.weights[name]
        scores = weights.abs()
        if drop == "importance":
            scores = relative_importance(weights.view(LANES, *shape)).flatten(1)
        for lane in range(LANES):
            active = before.masks[name][lane].nonzero().squeeze(1).tolist()
            number = round(0.3 * len(active))
            stay = sorted(active, key=lambda place: float(scores[lane, place]))[number:]
            mask = torch.zeros(shape, dtype=torch.bool)
            mask.view(-1)[stay] = True
            assert set(stay) <= set(after[name][lane].nonzero().squeeze(1).tolist())
            grown = after[name][lane] & ~mask.flatten()
            path = path_scores(mask).flatten()
            assert int(grown.sum()) == number
            others = ~after[name][lane]
            assert path[grown].min() >= path[others].max()


def test_a_large_exponent_drops_the_smallest_weights():
    before = look(drop_by="soft_magnitude", grow_by="random", cut_off="kept", exponent=1e4)
    hard = look(drop_by="magnitude", grow_by="random", cut_off="kept")
    for name, mask in RULES["chts"](before).masks.items():
        number = round(0.3 * int(before.masks[name][0].sum()))
        for lane in range(LANES):
            active = before.masks[name][lane].nonzero().squeeze(1)
            strong = before.weights[name][lane, active].abs().argsort()[number:]
            assert mask[lane, active[strong]].all()
            assert RULES["chts"](hard).masks[name][lane, active[strong]].all()


def test_connections_on_no_path_are_dropped():
    before = look(density=0.12)
    kept = on_paths(before, before.masks)
    for lane in range(LANES):
        first, second = (before.masks[name][lane].view(shape) for name, shape in CHAIN.items())
        for output, entry in product(*map(range, CHAIN["first"])):
            expected = first[output, entry] and second[:, output].any()
            assert kept["first"][lane].view(CHAIN["first"])[output, entry] == expected
        for output, entry in product(*map(range, CHAIN["second"])):
            expected = second[output, entry] and first[entry].any()
            assert kept["second"][lane].view(CHAIN["second"])[output, entry] == expected
    assert any(not torch.equal(kept[name], mask) for name, mask in before.masks.items())


def test_units_that_are_cut_off_stay_so_where_paths_decide():
    before = look(density=0.3, share=0.2, drop_by="magnitude", grow_by="paths")
    before.masks["second"].view(LANES, 14, 12)[:, :, 0] = False
    after = RULES["chts"](before).masks["first"].view(LANES, 12, 10)
    assert not after[:, 0].any()
    kept = RULES["chts"](before._replace(parameters=before.parameters.model_copy(update={"cut_off": "kept"})))
    assert kept.masks["first"].view(LANES, 12, 10)[:, 0].any()
