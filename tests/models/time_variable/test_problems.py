"""What a network with time steps refuses, in the configuration's words."""

import pytest
from pydantic import ValidationError

from hornlib.models.time_variable.parameters import (
    FractionalDnnParameters,
    TimeDensenetParameters,
    TimeResnetParameters,
)
from hornlib.parameters import Task

IMAGE, VECTOR = Task((1, 8, 6), 3), Task((2,), 3)
FAMILY = (TimeResnetParameters, TimeDensenetParameters, FractionalDnnParameters)


@pytest.mark.parametrize(
    ("fields", "messages"),
    [
        ({"num_layers": 1, "opening_step": "without"}, "no layer with a time step"),
        ({"num_layers": 1, "layer_steps": "simplex"}, "a simplex over one layer leaves nothing to learn"),
        ({"layer_steps": "fixed", "last_step": "dependent"}, "means nothing to layer_steps: fixed"),
        ({"layer_steps": "simplex", "last_step": "dependent"}, "means nothing to layer_steps: simplex"),
        (
            {"num_layers": 1, "layer_steps": "projected", "last_step": "dependent"},
            "leaves none of 1 time steps",
        ),
        (
            {"layer_steps": "projected", "least_step": 0.3},
            "6 steps of 0.3 and more exceed initial_horizon: 1",
        ),
        ({"layer_steps": "softplus", "least_step": 0.3}, "least_step means nothing to layer_steps: softplus"),
        ({"layer_steps": "fixed", "l1_penalty": 0.1}, "l1_penalty means nothing to layer_steps: fixed"),
        (
            {"layer_steps": "fixed", "horizon_penalty": 0.1},
            "horizon_penalty means nothing to layer_steps: fixed",
        ),
        ({"layer_steps": "simplex", "l1_penalty": 0.1}, "l1_penalty means nothing to layer_steps: simplex"),
        (
            {"layer_steps": "simplex", "horizon_penalty": 0.1},
            "horizon_penalty means nothing to layer_steps: simplex",
        ),
        (
            {"layer_steps": "projected", "last_step": "dependent", "horizon_penalty": 0.1},
            "horizon_penalty means nothing to last_step: dependent",
        ),
        ({"opening_pool": 2}, "opening_pool means nothing to layer_type: dense"),
        ({"layer_type": "convolutional", "opening_pool": 7}, "opening_pool: 7, but the image has 8x6 pixels"),
    ],
    ids=str,
)
@pytest.mark.parametrize("parameters", FAMILY)
def test_steps_and_layers_that_cannot_be_are_told(parameters, fields, messages):
    assert messages in " ".join(parameters(**fields).problems(IMAGE))


@pytest.mark.parametrize("parameters", FAMILY)
def test_convolutions_of_a_vector_are_refused(parameters):
    (messages,) = parameters(layer_type="convolutional").problems(VECTOR)
    assert "give presentation: image, or layer_type: dense" in messages


def test_a_fractional_derivative_with_steps_that_may_turn_negative_is_refused():
    with pytest.raises(ValidationError, match="layer_steps"):
        FractionalDnnParameters(layer_steps="learned")
    (messages,) = FractionalDnnParameters(layer_steps="softplus", last_step="dependent").problems(VECTOR)
    assert "needs positive steps" in messages


@pytest.mark.parametrize("order", [0.0, -0.5, 1.0001])
def test_an_order_outside_zero_and_one_is_refused(order):
    with pytest.raises(ValidationError, match="fractional_order"):
        FractionalDnnParameters(fractional_order=order)


@pytest.mark.parametrize(
    "field", [{"initial_horizon": 0.0}, {"initial_horizon": -1.0}, {"least_step": 0.0}, {"l1_penalty": -0.1}]
)
def test_a_horizon_or_a_least_step_of_zero_and_a_negative_penalty_are_refused(field):
    with pytest.raises(ValidationError, match=next(iter(field))):
        TimeResnetParameters(**field)


@pytest.mark.parametrize("parameters", FAMILY)
@pytest.mark.parametrize("kind", ["fixed", "softplus", "projected", "simplex"])
def test_what_is_sound_raises_no_problem(parameters, kind):
    assert parameters(layer_steps=kind).problems(VECTOR) == []
