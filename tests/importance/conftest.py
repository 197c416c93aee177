"""Small networks with weights, statistics and masks like those of a finished run, and the plain loop as an oracle."""

import pytest
import torch

from hornlib.data.loading import Split
from hornlib.importance.losses import example_losses
from hornlib.importance.networks import TrainedNetwork, connections_of_run
from hornlib.models import MODELS
from hornlib.models.build import build_network
from hornlib.parameters import Task

TASKS = {"image": Task((1, 6, 6), 4), "rows": Task((6, 6), 4), "vector": Task((5,), 3)}


@pytest.fixture
def double():
    """Compute with double precision within a test."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def make_network(double):
    """A function that returns a network whose norms have seen examples, and examples; a density masks its weights."""

    def make(name, presentation="image", density=1.0, loss="cross_entropy", num_examples=12, **fields):
        task, draw = TASKS[presentation], torch.Generator().manual_seed(7)
        model = MODELS[name](**fields)
        network = build_network(model, task, seed=1)
        inputs = torch.randn(40 + num_examples, *task.input_shape, generator=draw)
        network.train()
        network(inputs)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw))
        weights = model.weights(task)
        masks = {}
        if density < 1:
            for weight in weights:
                masks[weight.name] = torch.rand(weight.shape, generator=draw) < density
                network.get_parameter(weight.name).data.mul_(masks[weight.name])
        targets = torch.randint(task.num_outputs, (num_examples,), generator=draw)
        if loss == "mse":
            targets = torch.randn(num_examples, task.num_outputs, generator=draw)
        network = network.eval().requires_grad_(False)
        trained = TrainedNetwork(network, weights, connections_of_run(weights, masks), loss, seed=1)
        return trained, Split(inputs[40:], targets)

    return make


@pytest.fixture
def loop():
    """The plain loop: set one connection to 0, run the network, put the value back."""

    def changes(network, split, loss, places):
        def mean_loss():
            return example_losses(network(split.inputs), split.targets, loss).mean()

        before, result = mean_loss(), {}
        for name, among in places.items():
            entries = network.get_parameter(name).data.view(-1)
            column = []
            for place in among.tolist():
                value = entries[place].item()
                entries[place] = 0
                column.append(mean_loss() - before)
                entries[place] = value
            result[name] = torch.stack(column)
        return result

    return changes
