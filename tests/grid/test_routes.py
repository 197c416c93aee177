"""Routes: the fused kernel where it covers the cell and exists, else the loop and why; refused where it was asked."""

import pytest

from hornlib.errors import ConfigError, ResourceError
from hornlib.grid import routes
from hornlib.grid.cell import parse_specification
from hornlib.grid.routes import Route, kinds_of, required_route, route_of, routes_on

NO_COMPILER = "there is no C compiler"
UNCOVERED = [
    ({"name": "horn_cnn", "constants_per": "unit"}, "constants_per: unit"),
    ({"name": "horn_cnn", "recurrence": "full"}, "recurrence: full"),
    ({"name": "leaky_cnn", "readout": "rms"}, "readout: rms"),
    ({"name": "horn", "fast_path": "autograd"}, "fast_path: autograd"),
]


@pytest.fixture(autouse=True)
def compiler(monkeypatch):
    """Let fused kernels exist, whether or not this machine has a compiler; return what takes it away."""
    monkeypatch.setattr(routes, "obstacle", lambda library, device: "")
    return lambda: monkeypatch.setattr(routes, "obstacle", lambda library, device: NO_COMPILER)


def cell_of(model, **training):
    needed = {"horn_cnn": {"timesteps": 4}, "leaky_cnn": {"timesteps": 4}, "horn": {"timesteps": 4}}
    model = {**needed.get(model["name"], {}), **model}
    return parse_specification({"data": {"name": "digits"}, "model": model, "training": training})


def test_a_covered_recurrence_is_fused_where_there_is_a_compiler(compiler):
    cell = cell_of({"name": "horn_cnn"})
    assert route_of(cell, "auto", "cpu") == route_of(cell, "fused", "cpu") == Route("fused")
    assert str(route_of(cell, "loop", "cpu")) == "loop: the setting is kernel: loop"
    compiler()
    assert str(route_of(cell, "auto", "cpu")) == f"loop: {NO_COMPILER}"


@pytest.mark.parametrize(("model", "parameter"), UNCOVERED, ids=str)
def test_a_parameter_that_no_kernel_covers_is_the_reason_of_the_loop(model, parameter, compiler):
    assert route_of(cell_of(model), "auto", "cpu") == Route("loop", f"no fused kernel covers {parameter}")
    compiler()
    assert parameter in route_of(cell_of(model), "auto", "cpu").reason


def test_half_precision_takes_the_loop():
    route = route_of(cell_of({"name": "leaky_cnn"}, precision="bf16"), "auto", "cpu")
    assert route == Route("loop", "no fused kernel covers training.precision: bf16")


@pytest.mark.parametrize("kernel", ["auto", "fused", "loop"])
def test_a_model_without_recurrence_has_no_route_and_is_never_refused(kernel, compiler):
    compiler()
    assert str(required_route(cell_of({"name": "cnn", "channels": 4}), kernel, "cpu")) == "none"


def test_a_kernel_asked_for_by_name_that_cannot_be_had_is_an_error_with_reason_and_remedy(compiler):
    cell = cell_of({"name": "horn_cnn"})
    assert required_route(cell, "fused", "cpu").kind == "fused"
    compiler()
    assert required_route(cell, "auto", "cpu").kind == "loop"
    with pytest.raises(ResourceError) as caught:
        required_route(cell, "fused", "cpu")
    assert str(caught.value).startswith(f"{cell.name}: kernel: fused, but {NO_COMPILER}. ")
    assert "`kernel: auto`" in str(caught.value)


def test_the_routes_of_a_machine_name_what_it_fuses(monkeypatch):
    assert (routes_on("auto", "cpu"), routes_on("loop", "cpu")) == ("fused field and recurrence", "loops")
    monkeypatch.setattr(routes, "obstacle", lambda library, device: "it failed" if library == "field" else "")
    assert routes_on("auto", "cpu") == "fused recurrence"
    monkeypatch.setattr(routes, "obstacle", lambda library, device: NO_COMPILER)
    assert routes_on("fused", "cpu") == "loops"


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        ("none", "none"),
        ("loop: cc failed (1): error, then nothing", "loop"),
        ("loop: there is no C compiler, then fused", "loop, then fused"),
        ("unknown, then loop: there is no C compiler", "unknown, then loop"),
        ("", ""),
    ],
)
def test_kinds_of_routes_are_told_without_reasons(words, kinds):
    assert kinds_of(words) == kinds


CONFIG = """
    kernel: {kernel}
    sweeps:
      one:
        data: {{name: digits}}
        model:
          - {{name: cnn, channels: 4-8}}
          - {{name: horn_cnn, arm: oscillators, timesteps: 4, readout: {readout}}}
"""


def test_a_configuration_that_asks_for_a_kernel_is_refused_for_an_arm_that_none_covers(grid_from, compiler):
    compiler()  # what the machine lacks is no mistake of the configuration: another machine may train
    assert len(grid_from(CONFIG.format(kernel="fused", readout="mean")).cells) == 2
    assert len(grid_from(CONFIG.format(kernel="auto", readout="rms")).cells) == 2
    with pytest.raises(ConfigError) as caught:
        grid_from(CONFIG.format(kernel="fused", readout="rms"))
    message = str(caught.value)
    assert (
        "config.yaml:8: sweeps.one.model[1]: kernel: fused, but no fused kernel covers readout: rms"
        in message
    )
    assert "of the arm 'oscillators'" in message and "`kernel: auto`" in message


def test_an_unknown_kernel_is_refused_with_those_that_are_valid(grid_from):
    with pytest.raises(ConfigError, match=r"kernel: unknown 'fast'.*valid: auto, fused, loop"):
        grid_from(CONFIG.format(kernel="fast", readout="mean"))


def test_the_setting_is_part_of_no_name(grid_from):
    names = [
        list(grid_from(CONFIG.format(kernel=kernel, readout="mean")).cells) for kernel in ("auto", "loop")
    ]
    assert names[0] == names[1]
