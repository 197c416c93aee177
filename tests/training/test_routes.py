"""The route that a job says is the one it takes: in its log and its run file, with and without a compiler."""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hornlib.calibration.timing import TimedLane, random_examples
from hornlib.errors import ResourceError
from hornlib.grid.cell import parse_specification
from hornlib.grid.jobs import Range
from hornlib.grid.routes import route_of
from hornlib.kernels import library
from hornlib.kernels.library import cpu_model, load
from hornlib.kernels.route import taking
from hornlib.results.run_file import read_run_file
from hornlib.training import job
from hornlib.training.checkpoint import load_checkpoint, save_checkpoint
from hornlib.training.interruption import Interrupted
from hornlib.training.job import TrainOptions
from hornlib.training.train import train_job
from hornlib.training.trainers import TRAINERS

CPU = torch.device("cpu")
ROWS = {"presentation": "rows"}
SMALL_HORN_CNN = {"name": "horn_cnn", "num_nodes": 3, "num_stages": 2, "timesteps": 3}
CASES = {
    "cnn": ({"name": "cnn", "channels": "3-4"}, {}),
    "mlp": ({"name": "mlp", "hidden_nodes": 4}, {}),
    "horn_cnn": (SMALL_HORN_CNN, {}),
    "horn_cnn of units": ({**SMALL_HORN_CNN, "constants_per": "unit"}, {}),
    "horn_cnn of all channels": ({**SMALL_HORN_CNN, "recurrence": "full"}, {}),
    "horn_cnn of sequences": ({**SMALL_HORN_CNN, "between": "sequence"}, {}),
    "horn_cnn without recurrence": ({**SMALL_HORN_CNN, "recurrence": "none"}, {}),
    "leaky_cnn": ({**SMALL_HORN_CNN, "name": "leaky_cnn"}, {}),
    "leaky_cnn with rms": ({**SMALL_HORN_CNN, "name": "leaky_cnn", "readout": "rms"}, {}),
    "horn": ({"name": "horn", "num_nodes": 4}, ROWS),
    "horn with rms": ({"name": "horn", "num_nodes": 4, "readout": "rms"}, ROWS),
    "horn by autograd": ({"name": "horn", "num_nodes": 4, "fast_path": "autograd"}, ROWS),
    "horn without recurrence": ({"name": "horn", "num_nodes": 4, "recurrence": "none"}, ROWS),
    "tanh": ({"name": "rnn", "unit": "tanh", "num_nodes": 4}, ROWS),
    "gru": ({"name": "rnn", "unit": "gru", "num_nodes": 4}, ROWS),
    "lstm": ({"name": "rnn", "unit": "lstm", "num_nodes": 4}, ROWS),
    "cnn_horn": ({"name": "cnn_horn", "channels": "3-4", "num_nodes": 4}, {}),
    "cnn_horn with gru": ({"name": "cnn_horn", "channels": "3-4", "num_nodes": 4, "unit": "gru"}, {}),
    "cnn_horn without sequence": ({"name": "cnn_horn", "channels": "3-4", "unit": "gap_mlp"}, {}),
}
"""Name -> model, and how digits are presented."""

WITHOUT_RECURRENCE = ("cnn", "mlp", "cnn_horn without sequence")


def cell_of(model, data=(), **training):
    return parse_specification(
        {
            "data": {"name": "digits", "train_subset": 64, **dict(data)},
            "model": model,
            "training": {"steps": 3, "batch_size": 8, **training},
        }
    )


@pytest.fixture
def calls(monkeypatch):
    """Return a list of the functions of compiled libraries that are looked up from now on."""
    names = []

    class Noted(ctypes.CDLL):
        def __getattr__(self, name):
            names.append(name)
            return super().__getattr__(name)

    monkeypatch.setattr(library.ctypes, "CDLL", Noted)
    load.cache_clear()
    yield names
    load.cache_clear()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", CASES)
def test_a_training_step_calls_a_kernel_where_its_route_is_fused_and_nowhere_else(name, precision, calls):
    cell = cell_of(*CASES[name], precision=precision)
    route = route_of(cell, "auto", "cpu")
    TimedLane(cell, random_examples(cell, CPU)).steps(1)
    assert bool(calls) == (route.kind == "fused"), (str(route), calls)
    assert (route.kind == "none") == (name in WITHOUT_RECURRENCE)


def test_the_setting_loop_calls_no_kernel(calls):
    cell = cell_of(SMALL_HORN_CNN)
    with taking("loop"):
        TimedLane(cell, random_examples(cell, CPU)).steps(1)
    assert route_of(cell, "loop", "cpu").kind == "loop" and not calls


def train(cell, folder, kernel, seconds=1e9):
    """Train two seeds, one after the other, and return the run file."""
    output = folder / "runs" / f"{cell.name}.seeds-0-1.nc"
    output.parent.mkdir(parents=True, exist_ok=True)
    options = TrainOptions(1, 1, "cpu", folder / "checkpoints", seconds, kernel=kernel)
    train_job(cell, Range(0, 1), output, options)
    return output


@pytest.mark.parametrize(
    "model", [SMALL_HORN_CNN, {"name": "cnn", "channels": "3-4"}], ids=lambda model: model["name"]
)
@pytest.mark.parametrize("kernel", ["auto", "loop"])
def test_log_and_run_file_name_the_route_and_the_cpu(model, kernel, tmp_path, capsys):
    cell = cell_of(model)
    route = route_of(cell, kernel, "cpu")
    attributes = read_run_file(train(cell, tmp_path, kernel), cell).attributes
    assert attributes["kernel"] == str(route) and attributes["cpu_model"] == cpu_model()
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("recurrence: ")]
    assert lines == ([f"recurrence: {route}"] if route.kind != "none" else [])


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A cell whose job took the loop and was stopped, and its checkpoint."""
    cell, real = cell_of(SMALL_HORN_CNN), job._Keeper.after_step

    def stopping(keeper, chunk):
        real(keeper, chunk)
        if chunk.step == 2 and chunk.seeds == [1]:
            raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(job._Keeper, "after_step", stopping)
        with pytest.raises(Interrupted):
            train(cell, tmp_path, "loop", seconds=0.0)
    (checkpoint,) = tmp_path.rglob("*.checkpoint")
    return cell, checkpoint


def test_a_job_that_goes_on_by_another_route_records_both(stopped, tmp_path):
    cell, _ = stopped
    attributes = read_run_file(train(cell, tmp_path, "auto"), cell).attributes
    first, last = route_of(cell, "loop", "cpu"), route_of(cell, "auto", "cpu")
    assert attributes["kernel"] == f"{first}, then {last}" and attributes["cpu_model"] == cpu_model()


def test_of_a_checkpoint_of_an_earlier_hornlib_the_route_is_unknown(stopped, tmp_path):
    cell, checkpoint = stopped
    state = load_checkpoint(checkpoint)
    state["versions"] = state.pop("trained_by")["hornlib"]
    save_checkpoint(checkpoint, state)
    attributes = read_run_file(train(cell, tmp_path, "loop"), cell).attributes
    assert attributes["kernel"] == "unknown, then loop: the setting is kernel: loop"
    assert attributes["cpu_model"] == f"unknown, then {cpu_model()}"


def test_a_kernel_asked_for_by_name_that_cannot_be_had_is_an_error_before_training(tmp_path):
    cell = cell_of({**SMALL_HORN_CNN, "readout": "rms"})
    with pytest.raises(
        ResourceError, match=r"kernel: fused, but no fused kernel covers readout: rms.*kernel: auto"
    ):
        train(cell, tmp_path, "fused")
    assert not list(tmp_path.rglob("*.nc")) and not list(tmp_path.rglob("*.checkpoint"))


def test_a_kernel_that_gets_no_memory_ends_the_job_with_advice(tmp_path, monkeypatch):
    def fail(*_):
        raise MemoryError("no memory is left for the states of a recurrence")

    monkeypatch.setitem(TRAINERS, "gradient", TRAINERS["gradient"]._replace(train=fail))
    with pytest.raises(ResourceError, match=r"out of memory with .* lower training\.batch_size"):
        train(cell_of(SMALL_HORN_CNN), tmp_path, "auto")


@pytest.fixture
def without_compiler(tmp_path):
    """A function that calls hornlib as on a machine without a compiler, whose cache is empty."""
    scripts = Path(sys.executable).parent
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "hornlib").symlink_to(scripts / "hornlib")
    environment = {name: value for name, value in os.environ.items() if name != "CC"}
    environment |= {"PATH": str(folder), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def call(*words):
        return subprocess.run(
            [sys.executable, "-m", "hornlib.cli", *map(str, words)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return call


NO_COMPILER = "there is no C compiler (cc, or the one that $CC names)"


def test_without_a_compiler_a_job_ends_and_plan_log_and_run_file_say_that_it_took_the_loop(
    without_compiler, tmp_path
):
    cell = cell_of(SMALL_HORN_CNN)
    output = tmp_path / "results" / "runs" / f"{cell.name}.seeds-0-1.nc"
    words = ["train", output, "--cell", json.dumps(cell.job_specification()), "--device", "cpu"]
    trained = without_compiler(*words)
    assert trained.returncode == 0, trained.stderr
    assert f"\nrecurrence: loop: {NO_COMPILER}\n" in trained.stderr
    assert read_run_file(output, cell).attributes["kernel"] == f"loop: {NO_COMPILER}"
    (tmp_path / "config.yaml").write_text(
        json.dumps({"seeds": 2, "sweeps": {"one": {**cell.job_specification(), "model": [SMALL_HORN_CNN]}}})
    )
    planned = without_compiler("plan")
    assert planned.returncode == 0, planned.stderr
    assert f"\na loop computes the recurrence of horn_cnn: {NO_COMPILER}\n" in planned.stdout
