"""Samples of connections: their number, their strata, and the same draw for the same network."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hornlib.importance.sampling import NUM_STRATA, sampled_connections, stratified_sample


@given(available=st.integers(1, 300), wanted=st.integers(1, 300), seed=st.integers(0, 5))
def test_a_sample_has_its_number_without_repetition(available, wanted, seed):
    number = min(available, wanted)
    chosen = stratified_sample(torch.rand(available), number, torch.Generator().manual_seed(seed))
    assert len(chosen) == number == len(set(chosen.tolist()))
    assert torch.equal(chosen, chosen.sort().values)
    assert chosen.min() >= 0 and chosen.max() < available


def test_every_tenth_of_the_magnitudes_gives_as_many():
    magnitudes = torch.rand(1000)
    chosen = stratified_sample(magnitudes, 50, torch.Generator().manual_seed(0))
    ranks = magnitudes.argsort().argsort()[chosen]
    assert (ranks * NUM_STRATA // 1000).bincount(minlength=NUM_STRATA).tolist() == [5] * NUM_STRATA


def test_every_connection_is_equally_likely():
    draw = torch.Generator().manual_seed(0)
    counts = torch.zeros(25)
    for _ in range(2000):
        counts[stratified_sample(torch.arange(25.0), 10, draw)] += 1
    # strata of 3 and of 2 connections, each with one place
    expected = torch.tensor([2000 / 3] * 15 + [2000 / 2] * 10)
    assert (counts - expected).abs().max() < 5 * 2000**0.5 / 2


def test_only_weights_with_more_connections_are_sampled_and_always_alike(make_network):
    trained, _ = make_network("mlp", hidden_nodes="6-5")
    chosen = sampled_connections(trained, 40)
    assert [len(places) for places in chosen.values()] == [40, 30, 20]
    again = sampled_connections(trained, 40)
    assert all(torch.equal(places, again[name]) for name, places in chosen.items())
    other = sampled_connections(trained._replace(seed=2), 40)
    assert not torch.equal(chosen["linears.0.weight"], other["linears.0.weight"])
    whole = sampled_connections(trained, None)
    assert all(len(whole[name]) == len(places) for name, places in trained.connections.items())


@pytest.mark.parametrize("sample", [10, None])
def test_a_sample_of_a_masked_weight_has_connections_alone(make_network, sample):
    trained, _ = make_network("mlp", density=0.5, hidden_nodes="6-5")
    for name, chosen in sampled_connections(trained, sample).items():
        assert len(chosen) <= len(trained.connections[name])
        assert (trained.values(name)[chosen] != 0).all()
