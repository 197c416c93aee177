"""The first connections: correlated places against numpy, and trainings from every start with every part of CHTs."""

from itertools import product

import numpy as np
import pytest
import torch

from hornlib.data.loading import load
from hornlib.structures.sparse_training.starts import STARTS, first_masks, input_correlations
from hornlib.training.batches import Batches
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk
from hornlib.training.restructuring import view_of

CPU = torch.device("cpu")
DROPS = ("magnitude", "soft_magnitude", "importance", "soft_importance")
GROWTHS = ("random", "gradient", "soft_gradient", "paths", "soft_paths")


@pytest.fixture
def chts_cell(short_cell):
    """Return a function that gives a cell of CHTs on digits, with layers once and twice as wide as the input."""

    def make(**structure):
        values = {"name": "sparse_training", "rule": "chts", "density": 0.1, "sparse_layers": "all_but_last"}
        return short_cell({"name": "mlp", "hidden_nodes": "128-64"}, values | structure)

    return make


def trained(cell, seeds=(0, 1), stop=None):
    chunk = start_chunk(cell, list(seeds), CPU)
    train_chunk(chunk, load(cell.data, CPU), stop or (lambda chunk: None))
    return chunk


@pytest.mark.parametrize("start", STARTS)
def test_every_start_trains_with_every_drop_and_every_growth(chts_cell, start):
    for drop, grow in product(DROPS, GROWTHS):
        cell = chts_cell(start=start, drop_by=drop, grow_by=grow)
        expected = cell.structure.connections(cell.model, cell.task())
        chunk = trained(cell)
        (group,) = chunk.groups
        for name, mask in group.masks.items():
            assert mask.flatten(1).sum(1).tolist() == [expected[name]] * 2, (drop, grow)
            assert not group.lanes.parameters[name][~mask].any(), (drop, grow)
        assert torch.isfinite(chunk.curves["training_loss"][:, -1]).all(), (drop, grow)
        assert any(event.kind == "rewired" and event.number for event in chunk.events), (drop, grow)


def view_at_start(cell, seeds=(0, 1)):
    chunk = start_chunk(cell, list(seeds), CPU)
    return view_of(chunk, chunk.groups[0], Batches(chunk, load(cell.data, CPU).train))


def test_correlations_are_those_of_numpy_over_the_training_examples(chts_cell):
    cell = chts_cell()
    view = view_at_start(cell)
    correlations, examples = input_correlations(view)
    for lane in range(2):
        inputs = torch.cat([numbers[lane].flatten(1) for numbers, _ in view.batches(None)]).numpy()
        assert len(inputs) == examples
        with np.errstate(invalid="ignore"):
            expected = np.nan_to_num(np.corrcoef(inputs.T.astype(np.float64)))
        np.fill_diagonal(expected, 0)
        np.testing.assert_allclose(correlations[lane].numpy(), expected, atol=1e-5)


def test_first_connections_are_the_most_correlated_places_of_every_layer(chts_cell):
    cell = chts_cell(drop_by="magnitude", grow_by="random")
    view = view_at_start(cell)
    correlations, examples = input_correlations(view)
    weights = cell.structure.sparse_weights(cell.model, cell.task())
    counts = cell.structure.connections(cell.model, cell.task())
    masks, flops = first_masks("correlated", view, weights, counts)
    assert flops == 2 * examples * 64**2
    for weight in weights:
        outputs, inputs = weight.shape
        for lane in range(2):
            mask = masks[weight.name][lane]
            places = [
                [abs(float(correlations[lane, u % 64, v % 64])) for v in range(inputs)]
                for u in range(outputs)
            ]
            scores = torch.tensor(places)
            assert int(mask.sum()) == counts[weight.name]
            assert scores[mask].min() >= scores[~mask].max()


def test_the_flops_of_correlations_and_of_looks_at_paths_count(chts_cell):
    def flops(**values):
        return trained(chts_cell(drop_by="magnitude", cut_off="kept", **values)).flops

    cell = chts_cell()
    counts = cell.structure.connections(cell.model, cell.task())
    look = sum(
        4 * (counts[weight.name] - round(0.3 * counts[weight.name])) * sum(weight.shape)
        for weight in cell.structure.sparse_weights(cell.model, cell.task())
    )
    start = 2 * input_correlations(view_at_start(cell))[1] * 64**2
    nothing = flops(start="random", grow_by="random")
    assert torch.equal(flops(start="correlated", grow_by="random"), nothing + start)
    assert torch.equal(
        flops(start="random", grow_by="soft_paths"), nothing + 2 * look
    )  # after two of three epochs


@pytest.mark.parametrize("start", STARTS)
def test_a_lane_starts_as_its_seed_does_alone(chts_cell, start):
    cell = chts_cell(start=start)
    arguments = (
        cell.structure.sparse_weights(cell.model, cell.task()),
        cell.structure.connections(cell.model, cell.task()),
    )
    together, _ = first_masks(start, view_at_start(cell, (0, 1)), *arguments)
    alone, _ = first_masks(start, view_at_start(cell, (1,)), *arguments)
    for name, mask in alone.items():
        assert torch.equal(mask[0], together[name][1])
