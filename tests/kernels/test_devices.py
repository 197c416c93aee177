"""Which fused kernels run on which device, as the plan foretells it and as a job finds it."""

import subprocess
import sys

import pytest
import torch

from hornlib.grid.cell import parse_specification
from hornlib.grid.routes import route_of
from hornlib.kernels import devices
from hornlib.kernels.devices import obstacle, too_large
from hornlib.kernels.route import is_fused


@pytest.fixture(autouse=True)
def _nothing_remembered():
    remembered = (devices._failure_on_gpu, devices._has_triton)
    for function in remembered:
        function.cache_clear()
    yield
    for function in remembered:
        function.cache_clear()


def cell_of(model):
    return parse_specification({"data": {"name": "digits"}, "model": {"timesteps": 4, **model}})


def test_on_a_gpu_fields_are_fused_and_dense_recurrences_are_not(monkeypatch):
    monkeypatch.setattr(devices, "find_spec", lambda name: name)
    assert route_of(cell_of({"name": "horn_cnn"}), "auto", "cuda").kind == "fused"
    assert route_of(cell_of({"name": "horn"}), "auto", "cuda").reason == "no fused kernel runs on cuda"
    assert obstacle("field", "mps") == "no fused kernel runs on mps"


def test_maps_that_are_too_large_for_a_gpu_take_the_loop(monkeypatch):
    monkeypatch.setattr(devices, "find_spec", lambda name: name)
    image = {"name": "digits", "image_size": 33}
    model = {"name": "horn_cnn", "timesteps": 4}
    route = route_of(parse_specification({"data": image, "model": model}), "auto", "cuda")
    assert str(route) == "loop: the field on cuda covers maps of up to 1024 pixels, not 1089"
    assert not too_large(1024, "cuda") and not too_large(10**6, "cpu")


def test_on_a_device_of_another_type_the_loop_runs():
    assert not is_fused("field", torch.zeros(1, 1, 2, 2, device="meta"))


def test_without_triton_the_loop_runs_on_a_gpu_and_the_reason_is_said(monkeypatch):
    monkeypatch.setattr(devices, "find_spec", lambda name: None)
    assert str(route_of(cell_of({"name": "horn_cnn"}), "auto", "cuda")) == "loop: Triton is not installed"


def test_a_gpu_that_triton_cannot_use_takes_the_loop(monkeypatch):
    def no_driver(*arguments, **keywords):
        raise AssertionError("no NVIDIA driver\nsecond line")

    monkeypatch.setattr(devices, "find_spec", lambda name: name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", no_driver)
    assert obstacle("field", "cuda") == "Triton failed: no NVIDIA driver"


def test_neither_a_plan_for_a_gpu_nor_a_model_on_the_cpu_loads_triton():
    code = """
import sys
from hornlib.kernels.devices import obstacle
obstacle("field", "cuda")
assert "torch" not in sys.modules and "triton" not in sys.modules
import hornlib.training.train, hornlib.models.horn_cnn.network
sys.exit("triton" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
