"""Claims about every structure of the table: its name, its code, and what it may not do to a model."""

import pytest
import torch

from hornlib.data.loading import load
from hornlib.models import MODELS
from hornlib.parameters import Task
from hornlib.parameters.structure import Course
from hornlib.structures import STRUCTURES
from hornlib.structures.events import EVENT_KINDS
from hornlib.structures.interface import Moment, make_structure
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk

SMALL = {
    "static": {},
    "layer_insertion": {"insert_at": 1},
    "layer_pruning": {},
    "sparse_training": {"rule": "set", "density": 0.6},
    "growth": {"times": 1, "start_share": 0.2, "every_share": 0.5, "rule": "gaussian"},
    "grow_and_prune": {
        "times": 1,
        "start_share": 0.2,
        "every_share": 0.5,
        "drop_share": 0.5,
        "prune_start": 0.6,
    },
    "unit_pruning": {"drop_share": 0.5, "prune_start": 0.2},
    "weight_pruning": {"density": 0.6, "update_every": 10, "prune_start": 0.1},
}
"""The fewest parameters of every structure; a new one needs a row. Each is due after step 10 and not after step 5."""

OF_LAYERS = ("layer_insertion", "layer_pruning")

OF_UNITS = ("growth", "unit_pruning", "grow_and_prune")
"""Structures that change the number of units, which a time_resnet does not let them."""

TASK, COURSE = Task((2,), 2), Course(epochs=5, steps_per_epoch=10, num_validation=0)


def model_of(name):
    """Return the values of a model that the structure can change."""
    if name in OF_UNITS:
        return {"name": "mlp", "hidden_nodes": "4-6", "activation": "relu_one", "readout_norm": "none"}
    return {"name": "time_resnet", "num_layers": 3, "num_nodes": 6, "activation": "tanh"}


def test_every_structure_has_a_row_here_and_its_name_is_its_key():
    assert SMALL.keys() == STRUCTURES.keys()
    assert all(parameters.model_fields["name"].default == name for name, parameters in STRUCTURES.items())


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_code_of_every_structure_exists_and_answers_when_it_is_due(name):
    structure = make_structure(STRUCTURES[name](**SMALL[name]))
    assert (structure is None) == (name == "static")
    if structure is not None:
        due = [structure.is_due(Moment(step, 50, 10, evaluated=False)) for step in (5, 10)]
        assert due == [False, True]


@pytest.mark.parametrize("name", STRUCTURES)
def test_models_that_a_structure_reaches_are_other_models_of_the_same_kind(name):
    structure, model_values = STRUCTURES[name](**SMALL[name]), model_of(name)
    model = MODELS[model_values.pop("name")](**model_values)
    assert structure.problems(model, TASK, COURSE) == []
    for reached in structure.reachable(model, TASK):
        assert type(reached) is type(model) and reached != model
        assert reached.num_parameters(TASK) > 0


@pytest.mark.parametrize("name", STRUCTURES)
def test_without_an_event_every_structure_replays_to_the_same_model(name):
    values = model_of(name)
    model = MODELS[values.pop("name")](**values)
    assert STRUCTURES[name](**SMALL[name]).replayed(model, []) == model


@pytest.mark.parametrize("name", STRUCTURES)
def test_every_event_of_a_structure_is_of_a_kind_of_the_table(short_cell, name):
    model = model_of(name)
    structure = {"name": name, **SMALL[name]}
    structure |= {"threshold": 0.9} if name == "layer_pruning" else {}
    structure |= {"update_every": 2} if "update_every" in structure else {}
    cell, device = short_cell(model, structure), torch.device("cpu")
    chunk = start_chunk(cell, [0, 1], device)
    train_chunk(chunk, load(cell.data, device))
    kinds = {event.kind for event in chunk.events}
    assert kinds <= EVENT_KINDS.keys() and bool(kinds) == (name != "static")


@pytest.mark.parametrize("name", OF_LAYERS)
@pytest.mark.parametrize("model", ["rnn", "horn", "resnet"])
def test_every_structure_of_layers_refuses_a_model_without_them_in_its_own_name(name, model):
    (problem,) = STRUCTURES[name](**SMALL[name]).problems(MODELS[model](), TASK, COURSE)
    assert problem.startswith(f"{name}: {model} has no layers")


@pytest.mark.parametrize("name", OF_UNITS)
@pytest.mark.parametrize("model", ["rnn", "horn", "time_resnet"])
def test_every_structure_of_units_refuses_a_model_without_them_in_its_own_name(name, model):
    (problem,) = STRUCTURES[name](**SMALL[name]).problems(MODELS[model](), TASK, COURSE)
    assert problem.startswith(f"{name}: {model} has no ") and "units" in problem
