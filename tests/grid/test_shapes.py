"""Shapes: cells that run the same kernels share one, and nothing else makes two of it."""

import pytest

from hornlib.grid.cell import parse_specification
from hornlib.grid.shapes import WAYS, describe_shape, distinct_shapes, shape_name
from hornlib.models import MODELS
from hornlib.models.build import build_network
from hornlib.parameters import Task

MODEL = {"name": "horn_cnn", "num_nodes": 4, "timesteps": 3}


def cell(model=None, data=None, training=None):
    sections = {"data": {"name": "digits", **(data or {})}, "model": {**MODEL, **(model or {})}}
    return parse_specification({**sections, "training": training or {}})


SAME = [
    {"model": {"heterogeneity": 1.0}},
    {"model": {"num_cycles": 0.5, "damping_ratio": 2.0}},
    {"model": {"gain": "reference"}},
    {"training": {"learning_rate": 0.1, "steps": 7, "schedule": "constant"}},
    {"data": {"validation": 0.2}},
]
OTHER = [
    {"model": {"num_nodes": 5}},
    {"model": {"timesteps": 4}},
    {"model": {"integrator": "implicit_damping"}},
    {"model": {"recurrence": "none"}},
    {"data": {"image_size": 16}},
    {"data": {"name": "photo_patches"}},
    {"data": {"train_subset": 64}},  # the batch of 128 is smaller then
    {"training": {"batch_size": 64}},
    {"training": {"optimizer": "sgd"}},
    {"training": {"precision": "bf16"}},
    {"training": {"gradient_clip": 1.0}},
]


@pytest.mark.parametrize("changes", SAME, ids=str)
def test_what_no_kernel_sees_makes_no_other_shape(changes):
    assert shape_name(cell(**changes)) == shape_name(cell())


@pytest.mark.parametrize("changes", OTHER, ids=str)
def test_what_a_kernel_sees_makes_another_shape(changes):
    assert shape_name(cell(**changes)) != shape_name(cell())


def test_the_first_cell_stands_for_its_shape():
    cells = [cell(), cell({"heterogeneity": 1.0}), cell({"num_nodes": 5})]
    assert list(distinct_shapes(cells).values()) == [cells[0], cells[2]]
    assert describe_shape(cells[0])["data"]["input_shape"] == [1, 8, 8]


def test_every_constant_is_a_parameter_of_a_model():
    known = {name for model in MODELS.values() for name in model.model_fields}
    assert known >= {*WAYS, *(name for model in MODELS.values() for name in model.per_lane)}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        (
            "horn",
            {"omega": 0.3, "damping": 0.02, "alpha": 0.1, "heterogeneity": 1.0, "integration_step": 0.5},
        ),
        ("horn", {"preset": "unit_gain", "num_cycles": 2.0, "damping_ratio": 0.3, "dc_gain": 2.0}),
        ("horn_cnn", {"preset": "public", "heterogeneity": 1.0, "heterogeneity_draw": "uniform"}),
        ("horn_cnn", {"gain": "reference", "recurrence_gain": 0.5}),
        ("leaky_cnn", {"leak_rate": 0.5, "constant_drive_gain": 0.4}),
        ("leaky_cnn", {"num_cycles": 0.5, "damping_ratio": 0.3, "dc_gain": 2.0}),
        ("time_resnet", {"initial_horizon": 6.0, "initial_steps": "uniform"}),
    ],
)
def test_constants_change_neither_the_tensors_of_a_network_nor_its_work(name, changes):
    sizes = {"num_nodes": 4, **({} if name == "time_resnet" else {"timesteps": 3})}
    plain, other = (MODELS[name](**sizes, **more) for more in ({}, changes))
    task = Task((1, 8, 8), 10)
    tensors = [
        {key: tensor.shape for key, tensor in build_network(model, task, 0).state_dict().items()}
        for model in (plain, other)
    ]
    assert set(changes) <= {*WAYS, *MODELS[name].per_lane}
    assert tensors[0] == tensors[1] and plain.forward_flops(task) == other.forward_flops(task)
