"""The count of what is run against hand formulas, torch's counter and fvcore's."""

import logging
import math
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from hornlib.kernels.route import loops
from hornlib.models.build import build_network
from hornlib.models.cnn.parameters import CnnParameters
from hornlib.models.horn.parameters import HornParameters
from hornlib.models.horn_cnn.parameters import HornCnnParameters
from hornlib.models.leaky_cnn.parameters import LeakyCnnParameters
from hornlib.models.mlp.parameters import MlpParameters
from hornlib.models.operations import (
    FREE,
    PER_INPUT,
    PER_OUTPUT,
    PRODUCTS,
    WorkCounter,
    forward_work,
    training_work,
)
from hornlib.models.rnn.parameters import RnnParameters
from hornlib.parameters import Task

IMAGE, ROWS = Task((1, 8, 8), 10), Task((8, 8), 10)
NETWORKS = [
    (CnnParameters(channels=(4, 6)), IMAGE),
    (CnnParameters(channels=(4, 6), normalisation="group", activation="gelu"), IMAGE),
    (MlpParameters(hidden_nodes=(8, 6)), IMAGE),
    (HornParameters(num_nodes=6), ROWS),
    (HornParameters(num_nodes=6, fast_path="autograd", readout="mean"), ROWS),
    (HornCnnParameters(num_nodes=4, timesteps=2), IMAGE),
    (LeakyCnnParameters(num_nodes=4, timesteps=2, recurrence="full"), IMAGE),
    (RnnParameters(unit="gru", num_nodes=6, num_layers=2), ROWS),
    (RnnParameters(unit="lstm", num_nodes=6, readout="mean"), ROWS),
]


def product_in_place(added, first, second, **_):  # torch's counter knows addmm, and not addmm_
    return 2 * math.prod(first) * second[-1]


IN_PLACE = dict.fromkeys([torch.ops.aten.addmm_, torch.ops.aten.baddbmm_], product_in_place)
IDS = [f"{parameters.name}-{i}" for i, (parameters, _) in enumerate(NETWORKS)]


@pytest.mark.parametrize(("parameters", "task"), NETWORKS, ids=IDS)
def test_forward_and_backward_know_every_operation(parameters, task):
    network = build_network(parameters, task, 0)
    assert not forward_work(network, task).unknown
    assert not training_work(network, task).unknown


@pytest.mark.parametrize(("parameters", "task"), NETWORKS, ids=IDS)
def test_forward_products_are_those_of_torchs_counter(parameters, task):
    network = build_network(parameters, task, 0)
    work = forward_work(network, task)
    with loops(), FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter, torch.no_grad():
        network.eval()(torch.zeros(3, *task.input_shape))
    assert work.of_batch(3).products == counter.get_total_flops()


@pytest.mark.parametrize(
    ("parameters", "task"), [row for row in NETWORKS if row[0].name in ("cnn", "mlp", "rnn", "horn")]
)
def test_training_products_are_those_of_torchs_counter(parameters, task):
    network = build_network(parameters, task, 0)
    with loops(), FlopCounterMode(display=False, custom_mapping=IN_PLACE) as counter:
        network(torch.zeros(3, *task.input_shape)).sum().backward()
    assert training_work(network, task).of_batch(3).products == counter.get_total_flops()


@pytest.mark.parametrize(
    "parameters", [row[0] for row in NETWORKS if row[0].name in ("cnn", "mlp", "horn_cnn", "leaky_cnn")]
)
def test_forward_products_are_twice_fvcores_multiply_accumulates(parameters):
    task = Task((3, 20, 20), 10)  # on maps of 16 pixels fvcore does not see depthwise convolutions
    fvcore = pytest.importorskip("fvcore.nn")
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    network = build_network(parameters, task, 0)
    analysis = fvcore.FlopCountAnalysis(network.eval(), torch.zeros(2, *task.input_shape))
    with loops():
        by_operator = analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).by_operator()
    macs = sum(count for name, count in by_operator.items() if name in ("conv", "linear", "matmul", "addmm"))
    assert forward_work(network, task).of_batch(2).products == 2 * macs


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_a_convolutions_backward_pass_costs_twice_its_forward_pass_whatever_its_groups(groups):
    convolution = nn.Conv2d(4, 8, 3, padding=1, groups=groups, bias=False)
    inputs = torch.zeros(2, 4, 5, 5, requires_grad=True)
    with WorkCounter() as forward:
        outputs = convolution(inputs)
    with WorkCounter() as backward:
        torch.autograd.grad(outputs.sum(), [inputs, convolution.weight])
    assert forward.products == 2 * (2 * 25 * 8) * (4 // groups * 9)
    assert backward.products == 2 * forward.products


def test_a_transposed_convolution_multiplies_each_input_with_the_kernel():
    convolution = nn.ConvTranspose2d(4, 8, 3, stride=2)
    with WorkCounter() as counter:
        outputs = convolution(torch.zeros(2, 4, 5, 5))
    assert counter.products == 2 * (2 * 4 * 25) * 8 * 9
    assert counter.elementwise == outputs.numel()


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (lambda x, y: x + y, 12),
        (lambda x, y: torch.add(x, y, alpha=2.0), 24),
        (lambda x, y: x - y, 12),
        (lambda x, y: torch.addcmul(x, x, y), 24),
        (lambda x, y: torch.addcmul(x, x, y, value=-1), 24),
        (lambda x, y: torch.addcmul(x, x, y, value=0.5), 36),
        (lambda x, y: torch.lerp(x, y, 0.3), 36),
        (lambda x, y: x.mean(0), 12),
        (lambda x, y: x.clamp(0, 1), 24),
        (lambda x, y: x.clamp(min=0), 12),
        (lambda x, y: x.tanh_().mul_(2), 24),
        (lambda x, y: torch.add(x, y, out=torch.empty(3, 4)), 12),
        (lambda x, y: x[:, :2].t().reshape(-1).clone(), 0),
        (lambda x, y: torch.cat([x, y]).index_select(0, torch.tensor([1, 2])), 0),
        (lambda x, y: torch.arange(12) * 3 >> 1, 0),
        (lambda x, y: nn.functional.batch_norm(x, torch.zeros(4), torch.ones(4)), 24),
        (lambda x, y: nn.functional.batch_norm(x, torch.zeros(4), torch.ones(4), training=True), 60),
        (lambda x, y: nn.functional.layer_norm(x, (4,)), 60),
        (lambda x, y: torch.linalg.vector_norm(x, dim=0), 24 + 4),
    ],
)
def test_elementwise_work_follows_the_convention(run, expected):
    with WorkCounter() as counter, torch.no_grad():
        run(torch.ones(3, 4), torch.ones(3, 4))
    assert (counter.products, counter.elementwise, counter.unknown) == (0, expected, set())


def test_an_operation_in_no_table_is_reported():
    with WorkCounter() as counter:
        torch.digamma(torch.ones(3, 4))
    assert counter.unknown == {"digamma"} and counter.elementwise == 12


def test_counting_loads_no_compiler():
    code = (
        "import sys, torch\nfrom hornlib.models.operations import WorkCounter\n"
        "with WorkCounter() as counter: torch.ones(3) + 1\n"
        "print(counter.elementwise, *{'torch._dynamo', 'torch._inductor', 'sympy'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == ["3"]


def test_no_operation_stands_in_two_tables():
    tables = [set(PRODUCTS), set(PER_OUTPUT), set(PER_INPUT), set(FREE)]
    assert sum(map(len, tables)) == len(set().union(*tables))


@pytest.mark.parametrize(("parameters", "task"), NETWORKS[:6], ids=IDS[:6])
def test_work_is_affine_in_the_batch_so_that_two_small_batches_tell_all(parameters, task):
    network = build_network(parameters, task, 0)
    with WorkCounter() as counter, torch.no_grad():
        network.eval()(torch.zeros(11, *task.input_shape))
    assert forward_work(network, task).of_batch(11) == (counter.products, counter.elementwise)


def test_counting_leaves_network_and_random_state_as_they_were():
    network = build_network(CnnParameters(channels=(4,)), IMAGE, 0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    random_state = torch.get_rng_state()
    training_work(network, IMAGE)
    forward_work(network, IMAGE)
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert torch.equal(random_state, torch.get_rng_state())


def test_a_penalty_is_part_of_the_step():
    class Penalised(nn.Linear):
        def penalty(self):
            return self.weight.square().sum()

    task, plain, penalised = Task((4, 1), 3), nn.Linear(4, 3), Penalised(4, 3)
    plain, penalised = nn.Sequential(nn.Flatten(), plain), nn.Sequential(nn.Flatten(), penalised)
    penalised.penalty = penalised[1].penalty
    extra = (
        training_work(penalised, task).of_batch(5).elementwise
        - training_work(plain, task).of_batch(5).elementwise
    )
    assert extra >= 12 + 12 + 1 + 12  # square, sum; added to the loss; at least one product back


@pytest.mark.parametrize("fails", [False, True])
def test_a_count_leaves_the_kernels_of_convolutions_as_they_were(fails):
    network = build_network(CnnParameters(channels=(3,)), Task((1, 8, 8), 4), 0)
    before, seen = torch.backends.mkldnn.enabled, []
    network.convolutions[0].register_forward_hook(lambda *_: seen.append(torch.backends.mkldnn.enabled))
    if fails:
        with pytest.raises(RuntimeError):
            forward_work(network, Task((2, 8, 8), 4))
    else:
        training_work(network, Task((1, 8, 8), 4))
        assert seen == [False, False]
    assert torch.backends.mkldnn.enabled == before
