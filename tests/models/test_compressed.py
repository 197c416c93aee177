"""Conversions between masked and compressed tensors of sparse layers."""

import pytest
import torch

from hornlib.models.compressed import compressed, masked, masks_of, move, positions_of, relaid, rewired

LANES, SHAPE = 3, (6, 4)
WEIGHT, VALUES = "linears.0.weight", "linears.0.values"


def random_mask(connections: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.zeros(LANES, SHAPE[0] * SHAPE[1], dtype=torch.bool)
    for lane in mask:
        lane[torch.randperm(len(lane), generator=generator)[:connections]] = True
    return mask.view(LANES, *SHAPE)


@pytest.fixture
def parameters():
    return {
        WEIGHT: torch.randn(LANES, *SHAPE),
        "linears.0.bias": torch.randn(LANES, 6),
        "readout.linear.weight": torch.randn(LANES, 2, 6),
    }


def test_the_way_there_and_back_gives_the_masked_tensors_and_the_masks(parameters):
    masks = {WEIGHT: random_mask(5, 0)}
    values, buffers = compressed(parameters, masks)
    assert values.keys() == {VALUES, "linears.0.bias", "readout.linear.weight"}
    assert values[VALUES].shape == (LANES, 5)
    assert torch.equal(masks_of(buffers)[WEIGHT], masks[WEIGHT])
    back = masked(values, buffers)
    assert torch.equal(back.pop(WEIGHT), parameters.pop(WEIGHT) * masks[WEIGHT])
    assert back.keys() == parameters.keys()
    assert all(back[name] is parameters[name] for name in back)


def test_tensors_laid_for_other_places_are_those_of_the_masked_form(parameters):
    before, after = random_mask(9, 0), random_mask(9, 1)
    values, buffers = compressed(parameters, {WEIGHT: before})
    positions = positions_of(buffers)[WEIGHT]
    dropped = ~after.flatten(1).gather(1, positions)
    grown = torch.cat([mask.flatten().nonzero()[:, 0].flip(0) for mask in after & ~before])
    moves = {WEIGHT: move(positions, dropped, grown)}
    new_buffers, laid = rewired(buffers, moves), relaid(values, moves)
    expected = compressed({**parameters, WEIGHT: parameters[WEIGHT] * (before & after)}, {WEIGHT: after})
    assert laid.keys() == {VALUES} and torch.equal(laid[VALUES], expected.parameters[VALUES])
    assert new_buffers.keys() == expected.buffers.keys()
    assert all(torch.equal(new_buffers[name], expected.buffers[name]) for name in new_buffers)
    was_there = before.flatten(1).gather(1, moves[WEIGHT].positions)
    assert torch.equal(moves[WEIGHT].is_new, ~was_there)


def test_weights_that_do_not_move_are_absent(parameters):
    values, buffers = compressed(parameters, {WEIGHT: random_mask(9, 0)})
    assert rewired(buffers, {}) == {} == relaid(values, {})


def test_lanes_with_different_counts_are_refused(parameters):
    mask = random_mask(9, 0)
    mask[1] = True
    with pytest.raises(ValueError, match=r"linears.0.weight: .* equal counts, got \[9, 24, 9\]"):
        compressed(parameters, {WEIGHT: mask})
