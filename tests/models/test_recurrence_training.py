"""Recurrent weights frozen as they were drawn: the same network at the start, the same weights at the end."""

import copy

import pytest
import torch

from hornlib.errors import ConfigError
from hornlib.grid.cell import parse_specification
from hornlib.models.build import build_network
from hornlib.models.horn.parameters import HornParameters
from hornlib.models.horn_cnn.parameters import HornCnnParameters
from hornlib.models.leaky_cnn.parameters import LeakyCnnParameters
from hornlib.models.operations import training_work
from hornlib.parameters import Task
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk

IMAGE, ROWS = Task((1, 8, 8), 3), Task((6, 4), 3)
SMALL = {"num_nodes": 4, "num_stages": 2, "timesteps": 3}
CASES = [
    pytest.param(HornCnnParameters, SMALL, IMAGE, 9 * (4 + 8), id="horn_cnn"),
    pytest.param(LeakyCnnParameters, SMALL, IMAGE, 9 * (4 + 8), id="leaky_cnn"),
    pytest.param(HornParameters, {"num_nodes": 5}, ROWS, 5 * 6, id="horn"),
    pytest.param(
        HornParameters, {"num_nodes": 5, "fast_path": "autograd"}, ROWS, 5 * 6, id="horn by autograd"
    ),
]
every_case = pytest.mark.parametrize(("parameter_class", "fields", "task", "num_frozen"), CASES)


def both(parameter_class, fields):
    return [parameter_class(**fields, recurrence_training=training) for training in ("learned", "frozen")]


@every_case
def test_at_the_start_frozen_and_learned_are_one_network(parameter_class, fields, task, num_frozen):
    inputs = torch.randn(5, *task.input_shape)
    learned, frozen = (build_network(model, task, 3) for model in both(parameter_class, fields))
    assert torch.equal(learned(inputs), frozen(inputs))
    assert learned.state_dict().keys() == frozen.state_dict().keys()


@every_case
def test_only_what_is_trained_is_counted_and_the_work_forward_is_the_same(
    parameter_class, fields, task, num_frozen
):
    learned, frozen = both(parameter_class, fields)
    assert learned.num_parameters(task) - frozen.num_parameters(task) == num_frozen
    network = build_network(frozen, task, 0)
    assert frozen.num_parameters(task) == sum(parameter.numel() for parameter in network.parameters())
    assert frozen.forward_flops(task) == learned.forward_flops(task)


@every_case
def test_the_other_gradients_are_those_of_the_learned_network(parameter_class, fields, task, num_frozen):
    inputs = torch.randn(5, *task.input_shape, dtype=torch.float64)
    gradients = []
    for model in both(parameter_class, fields):
        network = build_network(model, task, 0).double()
        network(inputs).square().sum().backward()
        gradients.append({name: parameter.grad for name, parameter in network.named_parameters()})
    learned, frozen = gradients
    assert len(learned) > len(frozen)
    for name, gradient in frozen.items():
        torch.testing.assert_close(gradient, learned[name])


@every_case
def test_lanes_of_frozen_networks_are_lone_networks(parameter_class, fields, task, num_frozen):
    model = both(parameter_class, fields)[1]
    networks = [build_network(model, task, seed).double() for seed in range(3)]
    parameters, buffers = torch.func.stack_module_state(networks)
    inputs = torch.randn(3, 5, *task.input_shape, dtype=torch.float64)
    template = copy.deepcopy(networks[0])

    def run(parameters, buffers, inputs):
        return torch.func.functional_call(template, (parameters, buffers), (inputs,))

    logits = torch.vmap(run)(parameters, buffers, inputs)
    gradients = torch.autograd.grad(logits.square().sum(), list(parameters.values()))
    for lane, network in enumerate(networks):
        alone = network(inputs[lane])
        torch.testing.assert_close(logits[lane], alone)
        own = torch.autograd.grad(alone.square().sum(), list(network.parameters()))
        for together, lone in zip(gradients, own, strict=True):
            torch.testing.assert_close(together[lane], lone)


def test_training_leaves_frozen_weights_as_they_were_drawn_and_moves_the_others():
    from hornlib.data.loading import load

    cell = parse_specification(
        {
            "data": {"name": "digits", "train_subset": 64},
            "model": {"name": "horn_cnn", **SMALL, "recurrence_training": "frozen"},
            "training": {"steps": 3, "batch_size": 16, "evaluation_examples": 8},
        }
    )
    chunk = start_chunk(cell, [0, 1], torch.device("cpu"))
    frozen = {name: tensor.clone() for name, tensor in chunk.lanes.buffers.items() if name.endswith("kernel")}
    before = {name: tensor.detach().clone() for name, tensor in chunk.lanes.parameters.items()}
    train_chunk(chunk, load(cell.data, "cpu"))
    assert len(frozen) == 2
    assert all(torch.equal(chunk.lanes.buffers[name], tensor) for name, tensor in frozen.items())
    assert all(not torch.equal(chunk.lanes.parameters[name], tensor) for name, tensor in before.items())


def test_frozen_weights_of_horn_cost_no_gradient():
    learned, frozen = both(HornParameters, {"num_nodes": 5})
    work = [
        training_work(build_network(model, ROWS, 0), ROWS).example.products for model in (learned, frozen)
    ]
    assert work[0] - work[1] == 2 * 5 * 5 * 5  # n^2 products at each of the five steps that recur


def test_the_default_is_no_part_of_a_name_and_nothing_cannot_be_frozen():
    def name(**fields):
        return parse_specification({"data": {"name": "digits"}, "model": {"name": "horn_cnn", **fields}}).name

    assert name() == name(recurrence_training="learned") != name(recurrence_training="frozen")
    with pytest.raises(ConfigError, match="means nothing to recurrence: none"):
        name(recurrence="none", recurrence_training="frozen")
