"""Every table that needs a row for each model has one: a new model without it fails here."""

import pytest
import torch
from torch import nn

from hornlib.dynamics.parameters import OscillatorParameters
from hornlib.models import MODELS, layer_cost
from hornlib.models.build import build_network
from hornlib.models.layered_parameters import LayeredParameters
from hornlib.models.layers import ACTIVATIONS, LAYER_ACTIVATIONS, layer_activation
from hornlib.models.oscillator_constants import OscillatorConstants
from hornlib.models.tracing import UNTRACED, is_traced, trace
from hornlib.parameters import Task
from hornlib.parameters.statistics import OSCILLATORS
from hornlib.structures.layers.insertion_parameters import LayerInsertionParameters

TASKS = {"image": Task((1, 8, 8), 3), "rows": Task((5, 4), 3)}


def small(name):
    """The smallest network of a model, and its task."""
    parameters = MODELS[name]
    task = TASKS["image" if "image" in parameters.presentations else "rows"]
    needed = {"timesteps": 3} if name == "horn" else {}
    return build_network(parameters(**needed).with_width(4), task, 0).eval(), task


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if model.trainer == "gradient"])
def test_every_model_has_a_tracer_or_is_named_as_one_without(name):
    network, task = small(name)
    assert is_traced(network) == (name not in UNTRACED)
    if name not in UNTRACED:
        inputs = torch.randn(2, *task.input_shape)
        logits, layers = trace(network, inputs)
        assert layers and torch.allclose(logits, network(inputs), atol=1e-5)


def test_every_model_of_oscillators_may_be_the_subject_of_a_claim():
    assert set(OSCILLATORS) == {
        name for name, parameters in MODELS.items() if issubclass(parameters, OscillatorParameters)
    }


@pytest.mark.parametrize("name", OSCILLATORS)
def test_every_model_of_oscillators_keeps_its_constants_where_analyses_look_for_them(name):
    network, _ = small(name)
    assert any(isinstance(module, OscillatorConstants) for module in network.modules())


def test_the_refusal_of_an_insertion_lists_every_model_with_layers():
    structure = LayerInsertionParameters(insert_at=1)
    (problem,) = structure.problems(MODELS["rnn"](), TASKS["rows"], None)
    layered = [name for name, parameters in MODELS.items() if issubclass(parameters, LayeredParameters)]
    assert problem.endswith(f"valid: {', '.join(layered)}") and len(layered) == 3


@pytest.mark.parametrize("name", layer_cost.LayerActivation.__args__)
def test_every_activation_has_a_function_and_a_cost(name):
    assert layer_activation(name, 3, 0, 0.5)(torch.ones(2, 3)).shape == (2, 3)
    assert layer_cost.activation(name, 3, 2).elementwise >= 6


def test_every_activation_that_a_function_stands_for_may_be_chosen():
    assert set(ACTIVATIONS) == set(layer_cost.Activation.__args__)
    assert set(LAYER_ACTIVATIONS) == set(layer_cost.LayerActivation.__args__) - set(ACTIVATIONS)
    assert not any(isinstance(function, nn.Module) for function in ACTIVATIONS.values())
