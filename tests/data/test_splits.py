"""Claims about the fixed draws: disjoint, whole, stable, in proportion, nested."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hornlib.data.splits import balanced_order, split_training, stratified_order
from hornlib.randomness import generator

STRATA = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(torch.tensor)


@given(strata=STRATA, seed=st.integers(0, 9))
@pytest.mark.parametrize("order", [stratified_order, balanced_order])
def test_orders_are_permutations_and_repeat_with_the_generator(order, strata, seed):
    first, second = (order(strata, generator("test", seed)) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(first.sort().values, torch.arange(len(strata)))


@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=6), seed=st.integers(0, 9))
def test_every_prefix_of_a_stratified_order_holds_each_class_in_its_share(counts, seed):
    counts = torch.tensor(counts)
    strata = torch.arange(len(counts)).repeat_interleave(counts)
    taken = torch.nn.functional.one_hot(strata[stratified_order(strata, generator(seed))]).cumsum(0)
    share = counts / counts.sum()
    expected = torch.arange(1, len(strata) + 1).unsqueeze(1) * share
    # the common threshold is met to within half an example a class, each class to within another half
    assert ((taken - expected).abs() <= 0.5 + share * len(counts) / 2 + 1e-4).all()


@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=6), seed=st.integers(0, 9))
def test_every_prefix_of_a_balanced_order_holds_equally_many_of_each_class_while_they_last(counts, seed):
    counts = torch.tensor(counts)
    strata = torch.arange(len(counts)).repeat_interleave(counts)
    taken = torch.nn.functional.one_hot(strata[balanced_order(strata, generator(seed))]).cumsum(0)
    most = taken.max(dim=1, keepdim=True).values
    assert ((taken >= most - 1) | (taken == counts)).all()


@given(strata=STRATA, share=st.floats(0, 0.5), data=st.data())
def test_splits_are_disjoint_and_together_the_whole(strata, share, data):
    num_validation = round(share * len(strata))
    train, validation = split_training("digits", strata, num_validation, None)
    assert len(validation) == num_validation
    assert torch.equal(torch.cat([train, validation]).sort().values, torch.arange(len(strata)))

    size = data.draw(st.integers(1, len(train)))
    subset, same_validation = split_training("digits", strata, num_validation, size)
    assert torch.equal(validation, same_validation)
    assert len(subset) == size and torch.isin(subset, train).all()


@given(strata=STRATA.filter(lambda strata: len(strata) > 3), data=st.data())
def test_larger_subsets_and_validation_parts_contain_the_smaller(strata, data):
    small, large = sorted(data.draw(st.lists(st.integers(1, len(strata) // 2), min_size=2, max_size=2)))
    smaller, _ = split_training("digits", strata, 1, small)
    larger, _ = split_training("digits", strata, 1, large)
    assert torch.isin(smaller, larger).all()
    assert torch.isin(
        split_training("digits", strata, small, None)[1], split_training("digits", strata, large, None)[1]
    ).all()


def test_split_of_a_regression_is_plainly_random():
    _, validation = split_training("waves", torch.zeros(1000, dtype=torch.long), 200, None)
    assert abs(validation.double().mean() - 499.5) < 4 * (1000**2 / 12 / 200) ** 0.5
    assert not torch.equal(validation, torch.arange(200))


def test_the_split_does_not_move_between_versions():
    """A golden: another draw would silently change what every stored result was trained on."""
    strata = torch.arange(40) % 4
    train, validation = split_training("digits", strata, 6, 8)
    assert validation.tolist() == [2, 8, 15, 16, 17, 27]
    assert train.tolist() == [0, 7, 10, 11, 14, 28, 29, 37]
