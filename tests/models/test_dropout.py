"""Dropout by counter: rate, independence, determinism, the same mask alone and in lanes."""

import pytest
import torch

from hornlib.models.dropout import CounterDropout, keep_mask, set_dropout_keys_

SHAPE = torch.Size((400, 250))


def key(value):
    return torch.tensor(value, dtype=torch.int64)


def mask(value, layer=0, p=0.5):
    return keep_mask(key(value), layer, SHAPE, p).double()


def correlation(first, second):
    return torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1].abs().item()


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("value", [0, 1, 2**62 + 12345, -7])
def test_the_share_kept_is_one_minus_p_within_four_standard_errors(p, value):
    standard_error = (p * (1 - p) / SHAPE.numel()) ** 0.5
    assert abs(mask(value, p=p).mean().item() - (1 - p)) < 4 * standard_error


def test_masks_of_different_keys_and_layers_are_uncorrelated():
    bound = 4 / SHAPE.numel() ** 0.5
    masks = [mask(value, layer) for value in (0, 1, 2, 2**40) for layer in (0, 1, 2)]
    pairs = [(i, j) for i in range(len(masks)) for j in range(i)]
    assert max(correlation(masks[i], masks[j]) for i, j in pairs) < bound


def test_neighbouring_elements_are_uncorrelated():
    flat = mask(5).flatten()
    assert max(correlation(flat[lag:], flat[:-lag]) for lag in (1, 2, 3, 64, 250)) < 4 / SHAPE.numel() ** 0.5


def test_every_bit_pattern_of_eight_neighbours_is_equally_frequent():
    scipy_stats = pytest.importorskip("scipy.stats")
    words = mask(11).flatten().reshape(-1, 8) @ (2.0 ** torch.arange(8, dtype=torch.float64))
    counts = torch.bincount(words.long(), minlength=256)
    assert scipy_stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_the_stream_is_splitmix64():
    # reference values: the first three outputs of SplitMix64 with seed 1234567
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    from hornlib.models.dropout import GOLDEN, _mix

    outputs = _mix(key(1234567) + GOLDEN * torch.arange(1, 4))
    assert [value % 2**64 for value in outputs.tolist()] == expected


def test_the_same_key_gives_the_same_mask_and_a_prefix_of_a_larger_batch():
    assert torch.equal(mask(3), mask(3))
    small = keep_mask(key(3), 0, torch.Size((10, 250)), 0.5)
    assert torch.equal(small.double(), mask(3)[:10])


def test_lanes_drop_what_they_would_drop_alone():
    layers = [CounterDropout(0.3, layer=2) for _ in range(3)]
    _, buffers = torch.func.stack_module_state(layers)
    set_dropout_keys_(buffers, torch.tensor([10, 11, 10]))
    inputs = torch.randn(3, 6, 5)

    def run(buffers, inputs):
        return torch.func.functional_call(layers[0], buffers, (inputs,))

    together = torch.vmap(run, randomness="different")(buffers, inputs)
    for lane, value in enumerate((10, 11, 10)):
        layers[lane].dropout_key.fill_(value)
        assert torch.equal(together[lane], layers[lane](inputs[lane]))
    assert torch.equal(together[0] == 0, together[2] == 0) and not torch.equal(
        together[0] == 0, together[1] == 0
    )


def test_what_is_kept_is_scaled_so_that_the_mean_stays():
    layer = CounterDropout(0.25, layer=0)
    outputs = layer(torch.ones(400, 400))
    torch.testing.assert_close(outputs.unique(), torch.tensor([0, 4 / 3]))
    assert outputs.mean().item() == pytest.approx(1, abs=0.01)


def test_evaluation_and_p_zero_are_the_identity():
    inputs = torch.randn(3, 4)
    assert CounterDropout(0.5, layer=0).eval()(inputs) is inputs
    assert CounterDropout(0.0, layer=0)(inputs) is inputs


def test_keys_stand_outside_the_state_dict():
    layer = CounterDropout(0.5, layer=0)
    assert not layer.state_dict() and dict(layer.named_buffers())["dropout_key"].dtype == torch.int64
