"""The fields of a GPU, without a GPU: computed by Triton's interpreter, and compiled to machine code.

Triton decides at its import whether it interprets, so that each test runs a process of its own.
"""

import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hornlib.kernels.devices import MOST_PIXELS

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")

START = """
import itertools

import torch

from hornlib.kernels import field as fields
from hornlib.kernels.field import FieldConstants, FieldOptions, field
"""

INTERPRETED = """
fields.BACKENDS["cpu"] = "hornlib.kernels.field_triton"
from test_field import CHOICES, errors, loop, make, outcomes

def check(shape, choice, coupled=True):
    options, tensors = FieldOptions(shape[-1], *choice), make(shape, torch.float64)
    expected = outcomes(loop, tensors, options, coupled)
    worst = max(errors(outcomes(field, tensors, options, coupled), expected))
    assert worst < 1e-12, (shape, choice, coupled, worst)
"""

COMPILED = """
import triton
from triton.backends.compiler import GPUTarget

from hornlib.kernels import field_triton

class Driver:
    # of one GPU for each capability, none of which exists
    capability = 90
    get_active_torch_device = staticmethod(lambda: torch.device("cpu"))
    get_current_device = staticmethod(lambda: Driver.capability)
    get_current_stream = staticmethod(lambda device: 0)
    get_current_target = staticmethod(lambda: GPUTarget("cuda", Driver.capability, 32))

class Compiled:
    # a kernel that is compiled for its arguments, but not started
    def __init__(self, kernel):
        self.kernel = kernel

    def __getitem__(self, grid):
        def compile(*arguments, **options):
            result = self.kernel.warmup(*arguments, grid=grid, **options)
            assert result.asm["cubin"], "no machine code"
            assert ".local" not in result.asm["ptx"], "states are not in registers"
            assert result.metadata.shared <= 48 * 1024
        return compile

triton.runtime.driver.set_active(Driver())
field_triton.forward_kernel = Compiled(field_triton.forward_kernel)
field_triton.backward_kernel = Compiled(field_triton.backward_kernel)

def check(pixels, capability, dtype=torch.float32, choice=("sum", "velocity", False), coupled=True, learned=True):
    Driver.capability = capability
    drive, numbers = torch.ones(1, 2, *pixels, dtype=dtype), torch.ones(2, dtype=dtype)
    kernel = torch.ones(2, 1, 3, 3, dtype=dtype) if coupled else None
    arguments = (drive, FieldConstants(kernel, numbers, numbers, numbers), FieldOptions(1, *choice))
    field_triton.forward(*arguments)
    field_triton.backward(drive, *arguments, learned)
"""


def run(tmp_path, *parts, **variables):
    """Run Python code in a process that finds the tests of the CPU's fields."""
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "TRITON_CACHE_DIR": str(tmp_path / "triton"),
        **variables,
    }
    code = START + "".join(map(textwrap.dedent, parts))
    script = tmp_path / "script.py"
    script.write_text(code, encoding="utf-8")
    process = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


def interpret(tmp_path, code):
    run(tmp_path, INTERPRETED, code, TRITON_INTERPRET="1")


def test_values_and_gradients_of_every_option_are_those_of_the_loop(tmp_path):
    interpret(
        tmp_path,
        """
        for choice, coupled in itertools.product(CHOICES, (True, False)):
            check((3, 1, 3, 2, 3), choice, coupled)
        """,
    )


def test_values_and_gradients_of_any_shape_are_those_of_the_loop(tmp_path):
    interpret(
        tmp_path,
        """
        for shape in ((1, 1, 1, 1, 1), (17, 2, 2, 2, 2), (2, 1, 3, 1, 4), (2, 2, 33, 31, 2)):
            check(shape, ("sum", "velocity", False))
        """,
    )


def test_lanes_with_fixed_constants_are_lone_fields(tmp_path):
    interpret(
        tmp_path,
        """
        options = FieldOptions(2, "sum", "velocity", False)
        drive, kernel, *rest = make((2, 2, 3, 3, 2), torch.float64, (2,))
        fixed = [part.detach() for part in rest]
        lanes = torch.vmap(lambda drive, *parts: field(drive, FieldConstants(*parts), options))
        result = lanes(drive, kernel, *fixed)
        gradients = torch.autograd.grad(result.square().sum(), (drive, kernel))
        for lane in range(2):
            alone = [tensor[lane].detach().requires_grad_() for tensor in (drive, kernel)]
            lone = loop(alone[0], (alone[1], *(part[lane] for part in fixed)), options)
            torch.testing.assert_close(result[lane], lone, rtol=0, atol=1e-12)
            for one, many in zip(torch.autograd.grad(lone.square().sum(), alone), gradients, strict=True):
                torch.testing.assert_close(one, many[lane], rtol=0, atol=1e-12)
        """,
    )


def test_a_number_that_is_not_finite_goes_where_it_goes_in_the_loop(tmp_path):
    interpret(
        tmp_path,
        """
        options = FieldOptions(2, "sum", "velocity", False)
        for value, place in itertools.product((float("nan"), float("inf")), range(5)):
            tensors = make((2, 1, 3, 3, 2), torch.float64)
            with torch.no_grad():
                tensors[place].view(-1)[0] = value
            outcome = outcomes(field, tensors, options)
            for one, other in zip(outcome, outcomes(loop, tensors, options), strict=True):
                torch.testing.assert_close(one, other, equal_nan=True)
        """,
    )


def test_kernels_of_small_and_large_maps_compile_to_machine_code_with_all_states_in_registers(tmp_path):
    """Several planes a program; one plane in a warp, in two warps, and in as many as the largest map takes."""
    assert MOST_PIXELS["cuda"] == 32 * 32
    run(
        tmp_path,
        COMPILED,
        "for side in (2, 8, 14, 32): [check((side, side), version) for version in (80, 90)]",
    )


@pytest.mark.slow
def test_kernels_of_every_option_compile_to_machine_code(tmp_path):
    run(
        tmp_path,
        COMPILED,
        """
        switches = itertools.product(
            ("sum", "position", "velocity"), ("velocity", "position"), (False, True), (False, True), (False, True)
        )
        for number, (*choice, coupled, learned) in enumerate(switches):
            dtype = (torch.float32, torch.float64)[number // 2 % 2]
            check((2, 2), (80, 90)[number % 2], dtype, choice, coupled, learned)
        """,
    )
