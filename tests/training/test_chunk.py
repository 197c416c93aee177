"""Groups of lanes: one map over their tensors takes lanes out, joins groups and moves them."""

import torch

from hornlib.grid.cell import parse_specification
from hornlib.training.chunk import start_chunk

CELL = parse_specification(
    {"data": {"name": "digits"}, "model": {"name": "cnn", "channels": "4"}, "training": {"steps": 2}}
)


def started_group(seeds):
    """Return a group whose tensors all differ from lane to lane."""
    (group,) = start_chunk(CELL, seeds, torch.device("cpu")).groups
    count = len(seeds)
    group.rate_factors = torch.arange(count, dtype=torch.float64)
    group.first_loss = torch.rand(count)
    group.sums = torch.rand(3, count)
    group.window = [torch.rand(2, count), torch.rand(2, count)]
    for moments in group.optimizer.state.values():
        for moment in moments:
            moment.copy_(torch.rand(moment.shape))
    return group


def tensors_of(state, path=""):
    """Yield path and tensor of everything in a checkpoint's state."""
    if isinstance(state, torch.Tensor):
        yield path, state
    elif isinstance(state, dict):
        for name, part in state.items():
            yield from tensors_of(part, f"{path}/{name}")
    elif isinstance(state, list):
        for place, part in enumerate(state):
            yield from tensors_of(part, f"{path}/{place}")


def test_groups_that_were_taken_apart_are_the_same_when_joined():
    group = started_group([3, 5, 8])
    rejoined = group.keep([1]).joined([group.keep([2, 0])])
    assert (rejoined.lanes.seeds, rejoined.lanes.rows) == ([3, 5, 8], [0, 1, 2])
    expected = dict(tensors_of(group.state()))
    assert len(expected) > 10
    for path, tensor in tensors_of(rejoined.state()):
        torch.testing.assert_close(tensor, expected[path], rtol=0, atol=0, msg=path)


def test_lanes_are_kept_in_the_order_that_was_asked_for():
    group = started_group([3, 5, 8])
    kept = group.keep([2, 0])
    assert (kept.lanes.seeds, kept.lanes.rows) == ([8, 3], [2, 0])
    assert torch.equal(kept.sums, group.sums[:, [2, 0]])
    assert torch.equal(kept.window[1], group.window[1][:, [2, 0]])
    assert torch.equal(kept.rate_factors, group.rate_factors[[2, 0]])


def test_a_map_reaches_everything_that_a_checkpoint_holds_of_the_lanes():
    group = started_group([3, 5])
    expected, mapped = dict(tensors_of(group.state())), group.map(lambda tensor: tensor + 1)
    assert (mapped.lanes.seeds, mapped.lanes.rows) == ([4, 6], [1, 2])
    for path, tensor in tensors_of(mapped.state()):
        torch.testing.assert_close(tensor, expected[path] + 1, rtol=0, atol=0, msg=path)
