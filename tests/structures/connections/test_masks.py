"""Exact choices: as many as asked, the lowest ones, and equal scores told apart by draws alone."""

import math
from collections import Counter
from itertools import combinations

import pytest
import torch

from hornlib.structures.connections.masks import (
    chosen_at_random,
    drawn_places,
    grown_at_random,
    highest,
    highest_places,
    lowest,
    mask_draws,
    pruned_globally,
)


def draws(seeds=(0, 1, 2), step=0):
    return mask_draws(seeds, step)("weight")


def test_the_lowest_candidates_are_those_of_a_sort():
    scores = torch.randn(3, 200, generator=torch.Generator().manual_seed(0))
    candidates = torch.rand(3, 200, generator=torch.Generator().manual_seed(1)) < 0.6
    counts = [0, 17, int(candidates[2].sum())]
    chosen, opposite = (
        lowest(scores, candidates, counts, draws()),
        highest(scores, candidates, counts, draws()),
    )
    for lane, count in enumerate(counts):
        order = sorted(candidates[lane].nonzero().squeeze(1).tolist(), key=lambda place: scores[lane, place])
        assert sorted(chosen[lane].nonzero().squeeze(1).tolist()) == sorted(order[:count])
        assert sorted(opposite[lane].nonzero().squeeze(1).tolist()) == sorted(order[len(order) - count :])


@pytest.mark.parametrize("count", [1, 40, 199])
def test_equal_scores_are_drawn_evenly_and_the_number_is_exact(count):
    scores, candidates = torch.zeros(400, 200), torch.ones(400, 200, dtype=torch.bool)
    chosen = lowest(scores, candidates, [count] * 400, draws(range(400)))
    assert (chosen.sum(1) == count).all()
    share = count / 200
    deviation = (chosen.double().mean(0) - share).abs().max()
    assert deviation < 5 * math.sqrt(share * (1 - share) / 400)  # of a binomial


def test_only_equal_scores_are_drawn():
    scores = torch.tensor([[0.0] + [1.0] * 50 + [2.0] * 50])
    chosen = lowest(scores, torch.ones_like(scores, dtype=torch.bool), [20], draws([3]))
    assert chosen[0, 0] and chosen[0, 1:51].sum() == 19 and not chosen[0, 51:].any()


def test_a_choice_depends_on_seed_weight_and_step_and_not_on_other_lanes():
    scores, candidates = torch.zeros(3, 1000), torch.ones(3, 1000, dtype=torch.bool)
    together = lowest(scores, candidates, [100] * 3, draws((0, 1, 2)))
    alone = lowest(scores[:1], candidates[:1], [100], draws((1,)))
    assert torch.equal(together[1], alone[0])
    assert not torch.equal(together[0], together[1])
    later = lowest(scores[:1], candidates[:1], [100], draws((1,), step=5))
    elsewhere = lowest(scores[:1], candidates[:1], [100], mask_draws((1,), 0)("other"))
    assert not torch.equal(later, alone) and not torch.equal(elsewhere, alone)


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_scores_of_a_diverged_run_are_chosen_last_and_keep_the_number(broken):
    scores = torch.tensor([[broken] * 6 + [1.0, 2.0, 3.0]])
    candidates = torch.ones_like(scores, dtype=torch.bool)
    for choose in (lowest, highest):
        chosen = choose(scores, candidates, [5], draws([0]))
        assert chosen.sum() == 5 and chosen[0, 6:].all()


@pytest.mark.parametrize("count", [1, 30, 150, 200])
def test_random_choices_are_exact_even_and_among_the_candidates(count):
    candidates = torch.arange(400).expand(300, 400) % 2 == 0
    chosen = chosen_at_random(candidates, [count] * 300, draws(range(300)))
    assert (chosen.sum(1) == count).all() and not (chosen & ~candidates).any()
    share = count / 200
    deviation = (chosen[:, ::2].double().mean(0) - share).abs().max()
    assert deviation <= 5 * math.sqrt(share * (1 - share) / 300)


def test_connections_grow_where_none_was_as_long_as_there_is_room():
    before = torch.tensor([[True] * 6 + [False] * 4])
    remaining = torch.tensor([[True] * 2 + [False] * 8])
    grown = grown_at_random(before, remaining, [3], draws([0]))
    assert grown.sum() == 5 and grown[0, :2].all() and not grown[0, 2:6].any()
    crowded = grown_at_random(before, remaining, [7], draws([0]))
    assert crowded.sum() == 9 and crowded[0, 6:].all()


@pytest.mark.parametrize("taken", [[], [0, 1, 2], [1, 4, 5, 9], [0, 2, 4, 6, 8, 9]])
def test_every_set_of_free_places_is_drawn_equally_often(taken):
    places, trials = torch.tensor(taken, dtype=torch.long), 4000
    free = sorted({*range(10)} - set(taken))
    draw, drawn = torch.Generator().manual_seed(0), Counter()
    for _ in range(trials):
        chosen = drawn_places(places, places, 10, 2, draw).tolist()
        assert len(set(chosen)) == 2
        drawn[tuple(sorted(chosen))] += 1
    sets = list(combinations(free, 2))
    assert drawn.keys() <= set(sets)
    share = 1 / len(sets)
    deviation = max(abs(drawn[pair] / trials - share) for pair in sets)
    assert deviation < 5 * math.sqrt(share * (1 - share) / trials)


@pytest.mark.parametrize("count", [40, 200])
def test_few_of_many_free_places_are_drawn_evenly_exactly_and_only_once(count):
    size, trials = 4000, 400
    taken = torch.arange(0, size, 4)
    hits = torch.zeros(size)
    for seed in range(trials):
        places = drawn_places(taken, taken, size, count, torch.Generator().manual_seed(seed))
        assert len(places.unique()) == count
        hits[places] += 1
    assert not hits[taken].any()
    share = count / (size - len(taken))
    others = hits.view(-1, 4)[:, 1:].sum(0) / (
        trials * size / 4
    )  # of the places behind a taken one, and so on
    assert (others - share).abs().max() < 5 * math.sqrt(share * (1 - share) / (trials * size / 4))


def test_without_room_all_free_places_and_dropped_ones_are_drawn():
    taken, dropped = torch.arange(7), torch.tensor([2, 5, 6])
    places = drawn_places(taken, dropped, 10, 5, torch.Generator().manual_seed(0)).tolist()
    assert len(set(places)) == 5 and {7, 8, 9} < set(places) <= {2, 5, 6, 7, 8, 9}


@pytest.mark.parametrize("kind", ["normal", "ties", "constant", "few_large", "broken"])
@pytest.mark.parametrize("some", [True, False], ids=["some", "all"])
def test_the_highest_of_many_are_those_of_a_sort(kind, some):
    size, count = 300_000, 2000
    draw = torch.Generator().manual_seed(1)
    scores = torch.randn(size, generator=draw)
    if kind == "ties":
        scores = (scores * 4).round()
    elif kind == "constant":
        scores.zero_()
    elif kind == "few_large":  # a sample with a stride of 18 sees none of them
        scores.clamp_(max=0)[1 : 18 * 3000 : 18] = 5.0
    elif kind == "broken":
        scores[::2] = math.nan
        scores[1::4] = math.inf
    among = torch.rand(size, generator=draw) < 0.7 if some else None
    places = highest_places(scores, count, draw, among)
    assert len(places.unique()) == count
    assert among is None or among[places].all()
    rest = torch.ones(size, dtype=torch.bool) if among is None else among.clone()
    rest[places] = False
    assert scores[places].isfinite().all()
    others = scores[rest]
    assert scores[places].min() >= others[others.isfinite()].max()


def test_global_pruning_compares_scores_across_weights_and_never_adds():
    weights = {"a": torch.tensor([[0.1, 5.0, 0.3]]), "b": torch.tensor([[0.2, 4.0]])}
    everywhere = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
    remaining = pruned_globally(weights, everywhere, 2, draws([0]))
    assert remaining["a"].tolist() == [[False, True, False]] and remaining["b"].tolist() == [[False, True]]
    same = pruned_globally(weights, remaining, 4, draws([0]))
    assert all(torch.equal(mask, remaining[name]) for name, mask in same.items())
