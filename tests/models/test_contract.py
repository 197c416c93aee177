"""What every model of the table keeps: shapes, gradients, counts, lanes, seeds, widths."""

import copy
import subprocess
import sys
from itertools import pairwise

import pytest
import torch

from hornlib.models import MODELS
from hornlib.models.build import build_network
from hornlib.models.operations import forward_work, training_work
from hornlib.parameters import Task

# Small enough to be run in a blink; one entry a model, or several where its parts differ.
SMALL = {
    "horn": [{"num_nodes": 5, "heterogeneity": 1.0}],
    "horn_cnn": [{"num_nodes": 3, "num_stages": 2, "timesteps": 3, "heterogeneity": 1.0}],
    "leaky_cnn": [{"num_nodes": 3, "num_stages": 2, "timesteps": 3}],
    "cnn_horn": [{"channels": (4, 6), "num_nodes": 5}, {"channels": (4,), "num_nodes": 5, "unit": "gru"}],
    "cnn": [{"channels": (4, 6)}, {"channels": (4, 6), "normalisation": "group"}],
    "mlp": [
        {"hidden_nodes": (8, 6), "dropout": 0.3, "normalisation": "batch"},
        {"hidden_nodes": (8,)},
        {"hidden_nodes": (8, 6), "bias": "without"},
        {"hidden_nodes": (8, 6), "bias": "without", "connections": (20, 9, 24)},
        {"hidden_nodes": (8, 6), "normalisation": "layer", "activation": "srelu"},
        {"hidden_nodes": (8, 6), "connections": (20, 9, 24)},
    ],
    "rnn": [{"num_nodes": 5, "unit": unit} for unit in ("tanh", "gru", "lstm")],
    "vgg": [
        {"channels": (4, 6), "strides": (1, 2)},
        {"channels": (4, 6), "strides": (2, 1), "output_layer": "flatten", "normalisation": "batch"},
    ],
    "resnet": [
        {"channels": (4, 6)},
        {"channels": (4, 6), "block": "preactivation", "inner_channels": (3, 5), "norms": "trunk"},
    ],
    "time_resnet": [
        {"num_nodes": 6, "num_layers": 3, "horizon_penalty": 0.5, "activation": "softplus"},
        {"num_nodes": 6, "num_layers": 4, "layer_steps": "partly_fixed", "last_step": "dependent"},
        {"num_nodes": 6, "num_layers": 3, "layer_steps": "fixed", "opening_step": "without"},
        {
            "num_nodes": 6,
            "num_layers": 3,
            "block": "two_weight",
            "layer_steps": "simplex",
            "readout_bias": "without",
        },
    ],
    "time_densenet": [
        {"num_nodes": 6, "num_layers": 3, "connection": connection, "layer_steps": "softplus"}
        for connection in ("additive", "concatenating")
    ],
    "fractional_dnn": [
        {"num_nodes": 6, "num_layers": 4, "initial_steps": "uniform", "initial_horizon": 3.0},
        {"num_nodes": 6, "num_layers": 4, "last_step": "dependent", "opening_step": "without"},
    ],
    "mobilenet_v3": [{"width_multiplier": 0.1, "dropout": 0.2}],
    "shufflenet_v2": [{"width_multiplier": 0.1}],
    "squeezenet": [{"width_multiplier": 0.2}],
    "efficientnet": [{"width_multiplier": 0.05}],
    "shallow": [
        {"num_channels": 2},
        {"num_channels": 2, "connectivity": "local", "kernel_size": 3},
        {"num_channels": 2, "connectivity": "local", "normalisation": "none"},
        {"num_channels": 2, "connectivity": "full"},
        {"num_channels": 2, "kernel_size": 5, "normalisation": "none", "activation": "tanh"},
    ],
}
TASKS = {
    "image": [Task((3, 8, 10), 4)],
    "rows": [Task((7, 6), 4)],
    "pixels": [Task((12, 1), 4)],
    "permuted_pixels": [],  # shaped as pixels
    "vector": [Task((9,), 4)],
}


TRAINED_BY_GRADIENT = {name: model for name, model in MODELS.items() if model.trainer == "gradient"}
"""The others have no network before they are trained: tests/evolution/test_table.py holds them."""


def _cases():
    for name, parameters in TRAINED_BY_GRADIENT.items():
        for number, values in enumerate(SMALL[name]):
            for presentation in parameters.presentations:
                needed = {"timesteps": 3} if (name, presentation) == ("horn", "image") else {}
                for task in TASKS[presentation]:
                    shape = "x".join(map(str, task.input_shape))
                    yield pytest.param(parameters(**values, **needed), task, id=f"{name}-{number}-{shape}")


@pytest.fixture(autouse=True, scope="module")
def _one_thread_and_a_cache_of_its_own(tmp_path_factory):
    """Networks this small lose by sharing out their work; counts are not left in the user's cache folder."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
    torch.set_num_threads(threads)


every_model = pytest.mark.parametrize(("model", "task"), list(_cases()))


def inputs_of(task, *leading, dtype=torch.float32):
    return torch.randn(*leading, *task.input_shape, generator=torch.Generator().manual_seed(0), dtype=dtype)


def test_every_model_has_a_small_entry_here_and_its_name_is_its_key():
    assert SMALL.keys() == TRAINED_BY_GRADIENT.keys()
    assert all(parameters.model_fields["name"].default == name for name, parameters in MODELS.items())
    assert all(set(parameters.presentations) <= TASKS.keys() for parameters in MODELS.values())


def test_the_table_is_imported_without_torch():
    code = "import sys, hornlib.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@every_model
def test_logits_have_one_row_an_example(model, task):
    network = build_network(model, task, 0)
    assert network(inputs_of(task, 6)).shape == (6, task.num_outputs)
    assert network.eval()(inputs_of(task, 1)).shape == (1, task.num_outputs)


@every_model
def test_finite_gradients_reach_every_parameter(model, task):
    network = build_network(model, task, 0)
    weights = torch.randn(8, task.num_outputs, generator=torch.Generator().manual_seed(1))
    (network(inputs_of(task, 8)) * weights).sum().backward()
    for name, parameter in network.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        if name.rpartition(".")[2] != "distance":  # 0 as long as the slope behind an SReLU's border is 1
            assert (parameter.grad != 0).any(), name


@every_model
def test_counts_in_closed_form_are_those_of_the_network(model, task):
    network = build_network(model, task, 0)
    assert model.num_parameters(task) == sum(parameter.numel() for parameter in network.parameters())
    work = forward_work(network, task)
    assert model.forward_flops(task) == work.example
    assert not work.unknown
    assert not training_work(network, task).unknown


@every_model
def test_a_state_dict_restores_the_network(model, task):
    network, other = build_network(model, task, 0), build_network(model, task, 1)
    network(inputs_of(task, 8))
    other.load_state_dict(network.state_dict())
    assert torch.equal(network.eval()(inputs_of(task, 3)), other.eval()(inputs_of(task, 3)))


@every_model
def test_double_precision_agrees_with_single(model, task):
    network = build_network(model, task, 0).eval()
    single = network(inputs_of(task, 4))
    double = network.double()(inputs_of(task, 4).double())
    assert double.dtype == torch.float64
    torch.testing.assert_close(single.double(), double, atol=1e-4, rtol=1e-4)


@every_model
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_a_lane_does_what_it_would_do_alone(model, task, training):
    networks = [build_network(model, task, seed).double().train(training) for seed in range(3)]
    template = copy.deepcopy(networks[0])
    parameters, buffers = torch.func.stack_module_state(networks)
    inputs = inputs_of(task, 3, 5, dtype=torch.float64)
    weights = torch.randn(3, 5, task.num_outputs, dtype=torch.float64)

    def run(parameters, buffers, inputs):
        return torch.func.functional_call(template, (parameters, buffers), (inputs,))

    logits = torch.vmap(run, randomness="different")(parameters, buffers, inputs)
    gradients = dict(
        zip(parameters, torch.autograd.grad((logits * weights).sum(), list(parameters.values())), strict=True)
    )
    for lane, network in enumerate(networks):
        alone = network(inputs[lane])
        (alone * weights[lane]).sum().backward()
        torch.testing.assert_close(logits[lane], alone, atol=1e-10, rtol=1e-8)
        for name, parameter in network.named_parameters():
            torch.testing.assert_close(gradients[name][lane], parameter.grad, atol=1e-10, rtol=1e-8)
        for name, buffer in network.named_buffers():
            torch.testing.assert_close(buffers[name][lane], buffer)


@every_model
def test_the_seed_alone_decides_the_weights(model, task):
    random_state = torch.get_rng_state()
    first = build_network(model, task, 0).state_dict()
    assert torch.equal(random_state, torch.get_rng_state())
    torch.rand(7)
    again, other = build_network(model, task, 0).state_dict(), build_network(model, task, 1).state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@every_model
def test_the_counts_grow_with_the_width(model, task):
    assert model.with_width(model.width()) == model
    assert model.with_width(7).width() == 7
    widths = [1, 2, 5, 12]
    counts = [model.with_width(width).num_parameters(task) for width in widths]
    work = [model.with_width(width).forward_flops(task).total for width in widths]
    assert all(low < high for low, high in pairwise(counts))
    assert all(low < high for low, high in pairwise(work))


@every_model
def test_another_width_is_another_network_of_the_counted_size(model, task):
    wider = model.with_width(model.width() + 3)
    network = build_network(wider, task, 0)
    assert wider.num_parameters(task) == sum(parameter.numel() for parameter in network.parameters())


@every_model
def test_what_is_sound_raises_no_problem(model, task):
    assert model.problems(task) == []
