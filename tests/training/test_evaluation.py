"""Losses and metrics against torch.nn and by hand."""

import pytest
import torch
from torch.nn import functional

from hornlib.data.loading import Split
from hornlib.grid.cell import parse_specification
from hornlib.training import evaluation as module
from hornlib.training.chunk import start_chunk
from hornlib.training.evaluation import (
    accuracy,
    cross_entropy,
    evaluate,
    mean_squared_error,
    relative_l2,
    thinned,
)

DRAW = torch.Generator().manual_seed(0)


def test_cross_entropy_of_each_lane_is_torchs():
    logits = torch.randn(3, 8, 5, generator=DRAW)
    targets = torch.randint(5, (3, 8), generator=DRAW)
    found = cross_entropy(logits, targets, 0.1)
    for lane in range(3):
        expected = functional.cross_entropy(
            logits[lane], targets[lane], reduction="none", label_smoothing=0.1
        )
        torch.testing.assert_close(found[lane], expected)


def test_accuracy_counts_the_largest_logit():
    logits = torch.tensor([[[0.0, 2.0], [3.0, 1.0], [0.0, 1.0]]])
    assert accuracy(logits, torch.tensor([[1, 1, 1]])).tolist() == [[1.0, 0.0, 1.0]]


def test_regression_scores_by_hand():
    outputs, targets = torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[0.0, 8.0]]])
    assert mean_squared_error(outputs, targets).item() == (9 + 16) / 2
    assert relative_l2(outputs, targets).item() == 5 / 8


def test_a_thinned_split_is_evenly_spaced():
    split = Split(torch.arange(100.0), torch.arange(100))
    assert thinned(split, 5).targets.tolist() == [0, 25, 50, 74, 99]
    assert thinned(split, None) is split and thinned(split, 100) is split


@pytest.mark.parametrize(
    ("data", "loss", "metric"), [("digits", "cross_entropy", "accuracy"), ("peaks", "mse", "relative_l2")]
)
def test_a_split_evaluated_in_parts_scores_as_a_whole(monkeypatch, data, loss, metric):
    cell = parse_specification({"data": {"name": data}, "model": {"name": "mlp", "hidden_nodes": "6"}})
    lanes = start_chunk(cell, [0, 1, 2], torch.device("cpu")).lanes
    inputs = torch.randn(50, *cell.task().input_shape, generator=DRAW)
    if loss == "mse":
        targets = torch.randn(50, cell.task().num_outputs, generator=DRAW)
    else:
        targets = torch.randint(cell.task().num_outputs, (50,), generator=DRAW)
    split = Split(inputs, targets)
    whole = evaluate(lanes, split, loss, metric)
    monkeypatch.setattr(module, "_examples_at_once", lambda inputs: 3 * 8)  # parts of 8, and a last one of 2
    parts = evaluate(lanes, split, loss, metric)
    torch.testing.assert_close(parts.loss, whole.loss)
    torch.testing.assert_close(parts.metric, whole.metric)
    assert len(set(whole.loss.tolist())) == 3
