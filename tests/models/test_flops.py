"""The work of a training step against a count by hand and against what the optimisers run."""

import pytest
import torch

from hornlib.grid.cell import parse_specification
from hornlib.models.build import build_network
from hornlib.models.cnn.parameters import CnnParameters
from hornlib.models.flops import UPDATE_FLOPS, VECTOR_UPDATE_FLOPS, gradient_flops, training_step_flops
from hornlib.models.mlp.parameters import MlpParameters
from hornlib.models.operations import WorkCounter, training_work
from hornlib.parameters import Flops, Task
from hornlib.parameters.training import TrainingParameters
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_step
from hornlib.training.optimizers import OPTIMIZERS, make_optimizer


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


UPDATES = {
    "adamw": TrainingParameters(optimizer="adamw"),
    "sgd_nesterov": TrainingParameters(optimizer="sgd"),
    "sgd": TrainingParameters(optimizer="sgd", momentum=0, acceleration="none"),
    "sgd with momentum": TrainingParameters(optimizer="sgd", acceleration="none"),
    "beta_lasso": TrainingParameters(optimizer="beta_lasso", l1=1e-4),
}


def test_every_update_rule_is_tried_with_every_optimiser():
    assert {training.update_rule for training in UPDATES.values()} == set(UPDATE_FLOPS)
    assert {training.optimizer for training in UPDATES.values()} == set(OPTIMIZERS)


@pytest.mark.parametrize("training", UPDATES.values(), ids=UPDATES)
def test_the_update_costs_what_the_optimiser_runs(training):
    tensors = [torch.zeros(1, 30, 10), torch.zeros(1, 40)]
    optimizer = make_optimizer(tensors, training)
    with WorkCounter() as counter:
        optimizer.update_(tensors, [torch.ones_like(tensor) for tensor in tensors], torch.tensor([0.1]), 1)
    of_weight = UPDATE_FLOPS[training.update_rule]
    of_other = VECTOR_UPDATE_FLOPS.get(training.update_rule, of_weight)
    assert (counter.elementwise, counter.unknown) == (of_weight * 300 + of_other * 40, set())


def test_a_step_is_forward_backward_and_update():
    model, task = CnnParameters(channels=(4,)), Task((1, 8, 8), 10)
    work = training_work(build_network(model, task, 0), task)
    update = Flops(0, 6 * model.num_parameters(task))
    assert training_step_flops(model, task, 32, "sgd_nesterov") == work.of_batch(32) + update


@pytest.mark.parametrize("acceleration", ["none", "nesterov"])
def test_a_step_of_the_loop_runs_what_is_counted(acceleration):
    """But for 4 sums: the loss over lanes, the penalty, and what is kept of both."""
    training = {"batch_size": 3, "optimizer": "sgd", "acceleration": acceleration}
    model = {"name": "mlp", "hidden_nodes": "32-32"}
    cell = parse_specification({"data": {"name": "digits"}, "model": model, "training": training})
    inputs = torch.randn(1, 3, *cell.task().input_shape, generator=torch.Generator().manual_seed(0))
    chunk = start_chunk(cell, [0], torch.device("cpu"))
    with WorkCounter() as counter:
        train_step(chunk, chunk.groups[0], inputs, torch.tensor([[0, 1, 2]]), total_steps=10)
    flops = training_step_flops(cell.model, cell.task(), 3, cell.training.update_rule)
    assert Flops(counter.products, counter.elementwise) == Flops(flops.products, flops.elementwise + 4)


MLP, TASK = MlpParameters(hidden_nodes=(30, 20), readout_norm="none"), Task((40,), 10)
DENSE = {"linears.0.weight": 1200, "linears.1.weight": 600, "readout.linear.weight": 200}
SPARSE = {"linears.0.weight": 120, "linears.1.weight": 150, "readout.linear.weight": 200}


def products(**masks):
    """Return the products of a training step with one example, with the first layer's gradient of its input.

    Published counts take three times the forward products for a step. hornlib computes no gradient of the input.
    """
    connections = masks.get("connections", DENSE)
    return training_step_flops(MLP, TASK, 1, "sgd", **masks).products + 2 * connections["linears.0.weight"]


def test_products_of_masked_training_are_those_of_appendix_h():
    """Evci et al., ICML 2020: 3 f_S of a fixed mask and SET; 2 f_S + f_D of SNFS; RigL's mean over an interval."""
    dense, sparse = (2 * sum(connections.values()) for connections in (DENSE, SPARSE))
    assert products() == 3 * dense
    static = products(connections=SPARSE)
    snfs = products(connections=SPARSE, dense="moments")
    assert (static, snfs) == (3 * sparse, 2 * sparse + dense)
    look = gradient_flops(MLP, TASK, 1, SPARSE, dense="gradients").products + 2 * 120
    interval = 100
    assert (interval * static + look) / (interval + 1) == pytest.approx(
        (3 * sparse * interval + 2 * sparse + dense) / (interval + 1)
    )


@pytest.mark.parametrize("part", ["nothing", "gradients"])
def test_gradual_pruning_costs_its_mean_density(part):
    """E_t[3 f_D (1 - s_t)], or E_t[2 f_D (1 - s_t) + f_D] where masked weights have gradients."""
    size, total, formula = 2 * sum(DENSE.values()), 0, 0.0
    for removed in range(0, 100, 10):
        connections = {name: size * (100 - removed) // 100 for name, size in DENSE.items()}
        total += products(connections=connections, dense=part)
        kept = (100 - removed) / 100
        formula += size * (2 * kept + 1 if part == "gradients" else 3 * kept)
    assert total == pytest.approx(formula)


@pytest.mark.parametrize("part", ["nothing", "gradients", "moments"])
def test_a_full_mask_costs_exactly_what_no_mask_costs(part):
    for batch in (1, 32):
        dense = training_step_flops(MLP, TASK, batch, "adamw")
        assert training_step_flops(MLP, TASK, batch, "adamw", DENSE, part) == dense


def test_a_missing_connection_is_not_updated_unless_moments_are_dense():
    missing = sum(DENSE.values()) - sum(SPARSE.values())
    dense, masked, with_moments = (
        training_step_flops(MLP, TASK, 8, "adamw", *masks).elementwise
        for masks in ((), (SPARSE,), (SPARSE, "moments"))
    )
    assert (dense - masked, dense - with_moments) == (14 * missing, 0)
