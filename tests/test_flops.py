"""The work of a training step against a count by hand and against what the optimisers run."""

import pytest
import torch

from hornlib.flops import OPTIMIZER_FLOPS, training_step_flops
from hornlib.models.build import build_network
from hornlib.models.cnn.parameters import CnnParameters
from hornlib.models.mlp.parameters import MlpParameters
from hornlib.operations import WorkCounter, training_work
from hornlib.parameters import Flops, Task
from hornlib.training.optimizers import OPTIMIZERS
from hornlib.training.parameters import TrainingParameters


def test_a_training_step_of_two_linear_layers_is_the_hand_count():
    n, d, k, batch, task = 5, 16, 3, 7, Task((16, 1), 3)
    model = MlpParameters(hidden_nodes=(n,), activation="tanh", readout_norm="none")
    forward = 2 * (d * n + n * k)
    backward = 2 * (d * n + n * k + n * k)  # both weights, and the hidden layer's gradient
    elementwise_forward = (n + n) + k + (5 * k + 1)  # bias, tanh; bias; log-softmax, mean of losses
    # mean: 1; log-softmax; bias of the read-out; tanh: 1 - y^2 times g; bias of the hidden layer
    elementwise_backward = 1 + 4 * k + k + 3 * n + n
    parameters = n * (d + 1) + k * (n + 1)
    flops = training_step_flops(model, task, batch, "adamw")
    assert flops.products == batch * (forward + backward)
    assert flops.elementwise == batch * (elementwise_forward + elementwise_backward) + 14 * parameters


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_update_costs_what_the_optimiser_runs(name):
    tensors = [torch.zeros(1, 30, 10), torch.zeros(1, 40)]
    training = TrainingParameters(optimizer=name)
    optimizer = OPTIMIZERS[name](tensors, training)
    with WorkCounter() as counter:
        optimizer.update_(tensors, [torch.ones_like(tensor) for tensor in tensors], torch.tensor([0.1]), 1)
    assert (counter.elementwise, counter.unknown) == (OPTIMIZER_FLOPS[name] * 340, set())


def test_a_step_is_forward_backward_and_update():
    model, task = CnnParameters(channels=(4,)), Task((1, 8, 8), 10)
    work = training_work(build_network(model, task, 0), task)
    update = Flops(0, 6 * model.num_parameters(task))
    assert training_step_flops(model, task, 32, "sgd") == work.of_batch(32) + update
