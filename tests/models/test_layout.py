"""Channels innermost in memory: nothing but the order changes, alone and in lanes."""

import torch

from hornlib.models.layout import channels_last


def test_values_and_gradients_are_untouched():
    maps = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.equal(channels_last(maps), maps)
    assert torch.autograd.gradcheck(channels_last, (maps,))


def test_channels_are_innermost_in_memory():
    assert channels_last(torch.randn(2, 3, 4, 5)).is_contiguous(memory_format=torch.channels_last)


def test_under_vmap_lanes_are_folded_into_channels_and_stay_so():
    """The strides of lanes and channels lie within those of pixels, also after elementwise work."""
    maps = torch.randn(6, 2, 3, 4, 5)
    for function in (channels_last, lambda x: torch.tanh(channels_last(x)) + 1):
        out = torch.vmap(function)(maps)
        torch.testing.assert_close(out, torch.stack([function(lane) for lane in maps]))
        lane, _, channel, row, column = out.stride()
        assert (channel, lane, column, row) == (1, 3, 18, 90)


def test_the_gradient_leaves_with_channels_innermost():
    maps = torch.randn(6, 2, 3, 4, 5, requires_grad=True)
    (gradient,) = torch.autograd.grad(torch.vmap(channels_last)(maps), maps, torch.randn_like(maps))
    assert gradient.stride(2) == 1
