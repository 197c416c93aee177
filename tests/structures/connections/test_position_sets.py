"""Sets of positions beside sets of Python."""

import pytest
import torch

from hornlib.structures.connections.position_sets import num_positions, position_set, with_positions


def members(bits):
    return [
        {place for place in range(8 * bits.shape[1]) if lane[place // 8] >> place % 8 & 1} for lane in bits
    ]


@pytest.mark.parametrize("size", [1, 8, 83])
def test_unions_and_numbers_are_those_of_sets(size):
    draw = torch.Generator().manual_seed(size)
    expected = [set(), set()]
    bits = position_set(torch.empty(2, 0, dtype=torch.long), size)
    for _ in range(4):
        more = [torch.randperm(size, generator=draw)[:number] for number in ((size + 3) // 4, size // 5)]
        before = bits.clone()
        joined = with_positions(bits, more)
        assert torch.equal(bits, before)
        bits = joined
        expected = [have | set(new.tolist()) for have, new in zip(expected, more, strict=True)]
        assert members(bits) == expected
        assert num_positions(bits).tolist() == [len(have) for have in expected]
    assert bits.shape == (2, (size + 7) // 8)
