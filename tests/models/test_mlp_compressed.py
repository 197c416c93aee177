"""Conversions between masked and compressed tensors of a multilayer perceptron."""

import pytest
import torch

from hornlib.models.mlp.compressed import compressed, masked, masks_of, positions_of, relaid, rewired

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
    before, after = random_mask(9, 0), random_mask(11, 1)
    values, buffers = compressed(parameters, {WEIGHT: before})
    positions = {WEIGHT: torch.stack([mask.flatten().nonzero()[:, 0] for mask in after])}
    new_buffers = rewired(buffers, positions)
    assert torch.equal(positions_of(new_buffers)[WEIGHT], positions[WEIGHT])
    laid = relaid(values, buffers, new_buffers)
    expected = compressed({**parameters, WEIGHT: parameters[WEIGHT] * (before & after)}, {WEIGHT: after})
    assert torch.equal(laid[VALUES], expected.parameters[VALUES])
    assert laid["linears.0.bias"] is parameters["linears.0.bias"]
    assert all(torch.equal(new_buffers[name], expected.buffers[name]) for name in new_buffers)


def test_places_that_are_not_named_stay(parameters):
    _, buffers = compressed(parameters, {WEIGHT: random_mask(9, 0)})
    same = rewired(buffers, {})
    assert same.keys() == buffers.keys()
    assert all(torch.equal(same[name], buffers[name]) for name in buffers)


def test_lanes_with_different_counts_are_refused(parameters):
    mask = random_mask(9, 0)
    mask[1] = True
    with pytest.raises(ValueError, match=r"linears.0.weight: .* equal counts, got \[9, 24, 9\]"):
        compressed(parameters, {WEIGHT: mask})
