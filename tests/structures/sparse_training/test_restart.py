"""The second start of RigL+: which units are left, and that nothing grows between those that are gone."""

import itertools

import pytest
import torch

from hornlib.data.loading import load
from hornlib.structures.interface import Moment
from hornlib.structures.sparse_training.parameters import SparseTrainingParameters
from hornlib.structures.sparse_training.restart import allowed_places, connected_units
from hornlib.structures.sparse_training.structure import SparseTraining
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk

CPU = torch.device("cpu")


def test_connected_units_are_those_on_a_path_from_an_input_to_an_output():
    draw = torch.Generator().manual_seed(0)
    masks = [torch.rand(5, *shape, generator=draw) < 0.25 for shape in ((6, 7), (5, 6), (3, 5))]
    units = connected_units(masks)
    for lane in range(5):
        sizes = (7, 6, 5, 3)
        expected = [torch.zeros(size, dtype=torch.bool) for size in sizes]
        for path in itertools.product(*map(range, sizes)):
            if all(
                mask[lane, after, before] for mask, before, after in zip(masks, path, path[1:], strict=False)
            ):
                for layer, unit in enumerate(path):
                    expected[layer][unit] = True
        for layer, connected in enumerate(units):
            assert torch.equal(connected[lane], expected[layer])


def test_places_are_allowed_between_connected_units_and_to_all_outputs():
    first = torch.tensor([[[True, False, False], [False, True, False]]])  # unit 1 is never read
    last = torch.tensor([[[True, False], [False, False]]])  # output 1 has no input
    before, after = allowed_places([first, last])
    assert before[0].tolist() == [[True, False, False], [False, False, False]]
    assert after[0].tolist() == [[True, False], [True, False]]


@pytest.mark.parametrize("sparse_layers", ["all", "all_but_last"])
def test_the_second_start_keeps_to_the_units_that_the_first_one_left(short_cell, sparse_layers):
    structure = {
        "name": "sparse_training",
        "rule": "rigl",
        "density": 0.08,
        "distribution": "uniform",
        "sparse_layers": sparse_layers,
        "update_every": 2,
        "restart_at_epoch": 1,
        "restart_density": 0.5,
    }
    cell = short_cell({"name": "mlp", "hidden_nodes": "24-16"}, structure, "adamw", 0.01)
    masks, weights, starts = {}, {}, {}

    def remember(chunk):
        (group,) = chunk.groups
        masks[chunk.step] = {name: mask.clone() for name, mask in group.masks.items()}
        weights[chunk.step] = {name: tensor.clone() for name, tensor in group.lanes.parameters.items()}
        starts[chunk.step] = group.since

    chunk = start_chunk(cell, [0, 1, 2], CPU)
    train_chunk(chunk, load(cell.data, CPU), remember)
    names = [weight.name for weight in cell.model.weights(cell.task())]
    full = {name: torch.ones_like(weights[4][name], dtype=torch.bool) for name in names}
    allowed = allowed_places(list((full | masks[4]).values()))
    assert not all(places.all() for places in allowed)
    for step in range(5, 13):
        for name, places in zip(names, allowed, strict=True):
            assert not (masks[step][name] & ~places).any()
            assert not weights[step][name][~masks[step][name]].any()
    sparse = list(cell.structure.connections(cell.model, cell.task()))
    for lane in range(3):
        rooms = {name: int(places[lane].sum()) for name, places in zip(names, allowed, strict=True)}
        for step in (5, 12):
            kept = sum(int(masks[step][name][lane].sum()) for name in sparse)
            assert kept == round(0.5 * sum(rooms[name] for name in sparse))
    assert {event.step for event in chunk.events if event.kind == "restarted"} == {4}
    assert starts[5] == 4 and starts[7] == 5  # a new optimiser, which misses the update at step 6
    assert any(not torch.equal(masks[5][name], masks[12][name]) for name in sparse)
    fresh, bias = start_chunk(cell, [0, 1, 2], CPU), "linears.0.bias"
    assert not torch.allclose(fresh.lanes.parameters[bias], weights[5][bias], atol=0.02)


def test_both_trainings_have_their_own_schedule():
    parameters = SparseTrainingParameters(rule="rigl", update_every=4, update_end=0.5, restart_at_epoch=2)
    structure = SparseTraining(parameters)
    due = [step for step in range(60) if structure.is_due(Moment(step, 60, 10, False))]
    assert due == [0, 4, 8, 20, 24, 28, 32, 36]
