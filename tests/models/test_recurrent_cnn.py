"""What horn_cnn and leaky_cnn share: counts, lanes, sequences, read-outs and learning."""

import copy
import math

import pytest
import torch
from torch.nn import functional as F

from hornlib.kernels.library import compiler
from hornlib.kernels.route import is_fused, loops
from hornlib.models.horn_cnn.network import HornCnn
from hornlib.models.horn_cnn.parameters import HornCnnParameters
from hornlib.models.leaky_cnn.network import LeakyCnn
from hornlib.models.leaky_cnn.parameters import LeakyCnnParameters
from hornlib.models.recurrent_cnn import half_tanh
from hornlib.parameters import Task

BOTH = [(HornCnnParameters, HornCnn), (LeakyCnnParameters, LeakyCnn)]
TASK = Task((2, 8, 8), 3)
SMALL = {"num_nodes": 4, "num_stages": 2, "timesteps": 4}
VARIANTS = [
    {},
    {"recurrence": "full", "readout": "last"},
    {"recurrence": "none", "normalisation": "group"},
    {"readout": "rms", "normalisation": "none", "pooling": "max"},
    {"between": "sequence", "readout_norm": "none"},
    {"timesteps": 1, "between": "sequence", "readout": "rms"},
]
both = pytest.mark.parametrize(("parameter_class", "network_class"), BOTH, ids=["horn_cnn", "leaky_cnn"])
variants = pytest.mark.parametrize(
    "variant", VARIANTS, ids=lambda variant: "-".join(map(str, variant.values()))
)


def build(parameter_class, network_class, task=TASK, seed=0, **fields):
    torch.manual_seed(seed)
    parameters = parameter_class(**(SMALL | fields))
    return parameters, network_class(parameters, task, torch.Generator().manual_seed(seed))


@both
@variants
def test_closed_forms_count_what_is_built_and_run(
    parameter_class, network_class, variant, work_of_one_example
):
    parameters, network = build(parameter_class, network_class, **variant)
    assert parameters.num_parameters(TASK) == sum(p.numel() for p in network.parameters())
    assert parameters.forward_flops(TASK) == work_of_one_example(network, TASK)


@both
@pytest.mark.parametrize(
    ("recurrence", "num_parameters", "mmacs"),
    [("none", 94_762, 10.3), ("depthwise", 96_778, 14.5), ("full", 288_298, 236.8)],
)
def test_the_reference_table_on_cifar10_is_reproduced(
    parameter_class, network_class, recurrence, num_parameters, mmacs
):
    parameters = parameter_class(recurrence=recurrence)
    task = Task((3, 32, 32), 10)
    assert parameters.num_parameters(task) == num_parameters
    assert round(parameters.forward_flops(task).products / 2e6, 1) == mmacs


@both
def test_counts_grow_with_the_width(parameter_class, network_class):
    parameters = parameter_class(**SMALL)
    counts = [
        (wide.num_parameters(TASK), wide.forward_flops(TASK).total)
        for wide in map(parameters.with_width, range(1, 20))
    ]
    assert counts == sorted(counts)
    assert parameters.with_width(7).width() == 7


@both
@variants
def test_lanes_under_vmap_are_single_networks(parameter_class, network_class, variant):
    """Logits, gradients and running statistics, in training and in evaluation, in float64."""
    networks = [build(parameter_class, network_class, seed=seed, **variant)[1].double() for seed in range(3)]
    params, buffers = torch.func.stack_module_state(networks)
    base = copy.deepcopy(networks[0]).to("meta")
    inputs = torch.randn(3, 5, *TASK.input_shape, dtype=torch.float64)
    for training in (True, False):
        base.train(training)
        logits = torch.vmap(
            lambda p, b, x: torch.func.functional_call(base, (p, b), (x,)),
            in_dims=(0, 0, 0),
            randomness="different",
        )(params, buffers, inputs)
        gradients = torch.autograd.grad(logits.square().sum(), list(params.values()))
        for lane, network in enumerate(networks):
            single = network.train(training)(inputs[lane])
            expected = torch.autograd.grad(single.square().sum(), list(network.parameters()))
            torch.testing.assert_close(logits[lane], single)
            for stacked, alone in zip(gradients, expected, strict=True):
                torch.testing.assert_close(stacked[lane], alone)
            for key, value in network.named_buffers():
                torch.testing.assert_close(buffers[key][lane], value)


@both
@pytest.mark.parametrize("readout", ["mean", "last"])
def test_a_sequence_of_one_stage_is_its_read_out(parameter_class, network_class, readout):
    fields = {"num_stages": 1, "readout": readout}
    one, other = (build(parameter_class, network_class, between=b, **fields)[1] for b in ("mean", "sequence"))
    inputs = torch.randn(4, *TASK.input_shape)
    with loops():  # which a sequence always takes
        torch.testing.assert_close(one(inputs), other(inputs), rtol=0, atol=0)


@both
def test_a_sequence_is_convolved_and_normalised_step_by_step(parameter_class, network_class):
    _, network = build(parameter_class, network_class, between="sequence")
    network = network.double()
    inputs = torch.randn(4, *TASK.input_shape, dtype=torch.float64)
    first, second = network.stages
    handed_on = first(inputs)
    assert handed_on.shape == (4 * 4, 4, 8, 8)
    drives = [F.conv2d(F.avg_pool2d(x, 2), second.convolution.weight, padding=1) for x in handed_on.chunk(4)]
    over_time = torch.stack(drives)
    mean, variance = over_time.mean((0, 1, 3, 4)), over_time.var((0, 1, 3, 4), correction=0)
    normed = (over_time - mean[:, None, None]) / (variance[:, None, None] + second.norm.eps).sqrt()
    states, scale = second.states(list(2 * normed))
    expected = torch.stack([state * scale for state in states]).mean(0).mean((-2, -1))
    torch.testing.assert_close(network(inputs), network.readout(expected))


@both
@pytest.mark.parametrize("readout", ["mean", "last", "rms"])
def test_read_outs_over_time_are_what_they_say(parameter_class, network_class, readout):
    _, network = build(parameter_class, network_class, readout=readout)
    stage = network.stages[0].double().eval()
    inputs = torch.randn(3, *TASK.input_shape, dtype=torch.float64)
    states, scale = stage.states([2 * stage.norm(stage.convolution(inputs))] * 4)
    x = torch.stack([state * scale for state in states])
    expected = {"mean": x.mean(0), "last": x[-1], "rms": x.square().mean(0).sqrt()}[readout]
    torch.testing.assert_close(stage(inputs), expected)


OSCILLATING = [
    {"integrator": integrator, "recurrence_on": on, "readout": readout, **learning}
    for integrator in ("symplectic_euler", "explicit_euler", "implicit_damping")
    for on in ("velocity", "position")
    for readout in ("mean", "last")
    for learning in (
        {},
        {"oscillator_training": "learned", "heterogeneity": 0.5, "heterogeneity_draw": "uniform"},
    )
]
LEAKY = [{"readout": readout, "recurrence": k} for readout in ("mean", "last") for k in ("depthwise", "none")]


@pytest.mark.skipif(not compiler(), reason="there is no C compiler on this machine")
@pytest.mark.parametrize(
    ("classes", "fields"),
    [*((BOTH[0], fields) for fields in OSCILLATING), *((BOTH[1], fields) for fields in LEAKY)],
    ids=str,
)
def test_a_fused_stage_has_the_values_and_gradients_of_the_loop(classes, fields):
    _, network = build(*classes, timesteps=6, **fields)
    network = network.double()
    inputs = torch.randn(7, *TASK.input_shape, dtype=torch.float64, requires_grad=True)
    assert is_fused("field", inputs) and all(stage.has_fused_kernel for stage in network.stages)

    def outcomes():
        logits = network(inputs)
        return [logits, *torch.autograd.grad(logits.sin().sum(), [inputs, *network.parameters()])]

    fused = outcomes()
    with loops():
        for one, other in zip(fused, outcomes(), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


@both
def test_rms_has_a_finite_gradient_where_nothing_moves(parameter_class, network_class):
    _, network = build(
        parameter_class, network_class, readout="rms", normalisation="none", readout_norm="none"
    )
    for stage in network.stages:
        torch.nn.init.zeros_(stage.convolution.bias)
    network(torch.zeros(2, *TASK.input_shape)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


@both
@pytest.mark.parametrize("recurrence", ["depthwise", "full"])
def test_the_kernel_starts_at_variance_one_over_fan_in(parameter_class, network_class, recurrence):
    _, network = build(parameter_class, network_class, num_nodes=64, num_stages=1, recurrence=recurrence)
    kernel = network.stages[0].kernel
    fan_in = 9 * kernel.shape[1]
    assert kernel.var().item() == pytest.approx(1 / fan_in, rel=0.15)
    assert kernel.abs().max().item() <= math.sqrt(3 / fan_in)


@both
@variants
def test_the_loss_of_a_toy_problem_falls(parameter_class, network_class, variant):
    """Three classes: vertical, horizontal and diagonal stripes in noise."""
    _, network = build(parameter_class, network_class, **variant)
    rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    stripes = torch.stack([torch.sin(phase) for phase in (rows, columns, rows + columns)])
    labels = torch.arange(48) % 3
    images = stripes[labels][:, None].expand(-1, 2, -1, -1) + 0.3 * torch.randn(48, 2, 8, 8)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


@both
def test_too_many_stages_for_the_image_are_a_problem(parameter_class, network_class):
    task = Task((1, 7, 9), 3)
    assert parameter_class(num_stages=3).problems(task) == []
    (problem,) = parameter_class(num_stages=4).problems(task)
    assert "at most 3" in problem


@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-3, 1e-4])
def test_half_a_tanh_errs_by_less_than_1e_7_so_that_small_arguments_lose_digits(scale):
    arguments = scale * torch.linspace(0.5, 1, 1000)
    error = half_tanh(2 * arguments).double() - torch.tanh(arguments.double()) / 2
    assert error.abs().max() <= 1e-7
