"""One job through the command that a node runs: killed, stopped, damaged, full disk; nothing is lost."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from hornlib.data.loading import load_with_digest
from hornlib.errors import ConfigError, HornlibError, ResultsError
from hornlib.grid.cell import parse_specification
from hornlib.grid.jobs import Range, weights_path
from hornlib.parameters.probes import ProbeSettings
from hornlib.results.run_file import read_run_file
from hornlib.training.checkpoint import load_checkpoint, save_checkpoint
from hornlib.training.devices import resolve_device
from hornlib.training.interruption import EXIT_INTERRUPTED
from hornlib.training.job import TrainOptions
from hornlib.training.kept_weights import read_weights_file
from hornlib.training.train import train_job

STEPS = 120
SPECIFICATION = {
    "data": {"name": "digits", "train_subset": 200},
    "model": {"name": "horn_cnn", "num_nodes": 4, "num_stages": 2, "timesteps": 3, "heterogeneity": 1.0},
    "training": {"steps": STEPS, "batch_size": 16, "learning_rate": 0.01},
}
GROWING = {
    "data": {"name": "digits", "train_subset": 200},
    "model": {"name": "mlp", "hidden_nodes": "4-4", "activation": "relu_one", "readout_norm": "none"},
    "structure": {
        "name": "growth",
        "rule": "gradmax",
        "when": "singular_value",
        "place": "random",
        "start_step": 10,
        "every_steps": 10,
        "final_factor": 3,
    },
    "training": {"steps": STEPS, "batch_size": 16, "optimizer": "adamw", "learning_rate": 0.01},
}
"""Lanes grow in layers of their own, so that they train in groups of other shapes, and join again."""
SEEDS = Range(0, 2)
VOLATILE = {"seconds"}


def output_in(folder: Path, specification: dict = SPECIFICATION) -> Path:
    cell = parse_specification(specification)
    return folder / "runs" / f"{cell.name}.seeds-{SEEDS.first}-{SEEDS.last}.nc"


def checkpoint_of(output: Path) -> Path:
    return output.parents[1] / "checkpoints" / f"{output.stem}.checkpoint"


def command(output: Path, specification: dict = SPECIFICATION) -> list[str]:
    return [
        *(str(Path(sys.executable).parent / "hornlib"), "train", str(output)),
        *("--cell", json.dumps(specification), "--lanes", "2", "--threads", "1", "--device", "cpu"),
        *("--checkpoints", str(output.parents[1] / "checkpoints"), "--checkpoint-minutes", "0.001"),
        *("--keep-weights", "last"),
    ]


def start(output: Path, specification: dict = SPECIFICATION) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(output, specification), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for_step(output: Path, process: subprocess.Popen[str], beyond: int) -> int:
    """Wait until the checkpoint is past a step of the first chunk, or a chunk is finished."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        state = load_checkpoint(checkpoint_of(output))
        steps = state["current"]["step"] + STEPS * len(state["finished"]) if state else 0
        if steps > beyond:
            return steps
        time.sleep(0.05)
    raise AssertionError(f"no checkpoint beyond step {beyond}: {process.communicate()[0]}")


def assert_same(found: Path, expected: Path) -> None:
    with xr.open_dataset(found) as one, xr.open_dataset(expected) as other:
        assert set(one.variables) == set(other.variables)
        for name in set(other.variables) - VOLATILE:
            np.testing.assert_array_equal(one[name].values, other[name].values, err_msg=name)


def assert_same_weights(output: Path, expected: Path) -> None:
    runs, others = (read_weights_file(weights_path(path)).runs for path in (output, expected))
    assert [run.seed for run in runs] == [other.seed for other in others] == list(SEEDS.seeds())
    for run, other in zip(runs, others, strict=True):
        assert (run.model, run.training_flops) == (other.model, other.training_flops)
        for part in ("parameters", "buffers", "masks"):
            tensors, expected_tensors = getattr(run, part), getattr(other, part)
            assert tensors.keys() == expected_tensors.keys()
            assert all(torch.equal(tensor, expected_tensors[name]) for name, tensor in tensors.items())


@pytest.fixture(scope="module")
def undisturbed_job(tmp_path_factory):
    """Run file and log of a job that nothing disturbs."""
    output = output_in(tmp_path_factory.mktemp("undisturbed"))
    result = subprocess.run(command(output), capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr
    assert not checkpoint_of(output).exists()
    return output, result.stdout + result.stderr


@pytest.fixture(scope="module")
def undisturbed(undisturbed_job):
    return undisturbed_job[0]


def test_killed_again_and_again_the_same_command_ends_bit_identical(undisturbed, tmp_path):
    output = output_in(tmp_path)
    step = 0
    for beyond in (10, 60, 130):  # in the first chunk of two lanes, and in the second of one
        process = start(output)
        step = wait_for_step(output, process, max(beyond, step))
        process.kill()
        process.wait()
        process.stdout.close()
        assert not output.exists()
    result = subprocess.run(command(output), capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr
    assert_same(output, undisturbed)
    assert_same_weights(output, undisturbed)


@pytest.mark.slow
def test_a_storm_of_kills_over_events_of_growth_ends_bit_identical(tmp_path):
    expected, output = (output_in(tmp_path / name, GROWING) for name in ("undisturbed", "killed"))
    subprocess.run(command(expected, GROWING), check=True, capture_output=True, timeout=500)
    step, num_kills = 0, 0
    while True:  # every process is killed once it has passed another event or two
        process = start(output, GROWING)
        try:
            step = wait_for_step(output, process, step + 13)
        except AssertionError:
            assert process.returncode == 0 and output.exists()
            break
        process.kill()
        process.wait()
        process.stdout.close()
        num_kills += 1
    assert num_kills >= 5
    with xr.open_dataset(expected) as ds:
        assert set(ds["event_kind"].values) == {"grown"} and len(ds["event_step"]) > 10
    assert_same(output, expected)
    assert_same_weights(output, expected)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR2", "SIGINT"])
def test_a_signal_saves_at_the_next_step_and_asks_to_be_started_again(tmp_path, name):
    output = output_in(tmp_path)
    process = start(output)
    wait_for_step(output, process, 10)
    process.send_signal(getattr(signal, name))
    said, _ = process.communicate(timeout=300)
    assert process.returncode == EXIT_INTERRUPTED, said
    assert name in said and "Traceback" not in said
    assert load_checkpoint(checkpoint_of(output)) is not None


def test_after_a_signal_the_same_command_ends_bit_identical(undisturbed, tmp_path):
    output = output_in(tmp_path)
    process = start(output)
    wait_for_step(output, process, 10)
    process.send_signal(signal.SIGTERM)
    assert process.wait(300) == EXIT_INTERRUPTED
    process.stdout.close()
    result = subprocess.run(command(output), capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr
    assert_same(output, undisturbed)


def test_a_damaged_checkpoint_is_reported_set_aside_and_training_starts_again(undisturbed, tmp_path):
    output = output_in(tmp_path)
    checkpoint = checkpoint_of(output)
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"half a checkpoi")
    result = subprocess.run(command(output), capture_output=True, text=True, timeout=500)
    assert result.returncode == 0, result.stderr
    assert f"{checkpoint.name}.damaged" in result.stdout + result.stderr
    assert checkpoint.with_name(f"{checkpoint.name}.damaged").exists()
    assert_same(output, undisturbed)


def test_the_run_file_holds_the_digest_of_its_examples(undisturbed):
    _, digest = load_with_digest(parse_specification(SPECIFICATION).data, "cpu")
    assert read_run_file(undisturbed).attributes["data_digest"] == digest


def test_a_checkpoint_of_other_examples_is_set_aside_and_training_starts_again(undisturbed, tmp_path, capsys):
    output = output_in(tmp_path)
    process = start(output)
    wait_for_step(output, process, 10)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=300)
    checkpoint = checkpoint_of(output)
    save_checkpoint(checkpoint, {**load_checkpoint(checkpoint), "data_digest": "0" * 16})
    train_job(
        parse_specification(SPECIFICATION), SEEDS, output, TrainOptions(2, 1, "cpu", checkpoint.parent, 60.0)
    )
    assert "belongs to other examples of digits (digest 0000000000000000, now" in capsys.readouterr().err
    assert_same(output, undisturbed)


def test_a_checkpoint_of_hornlib_0_2_without_a_digest_goes_on_and_is_of_these_examples_from_now_on(
    undisturbed, tmp_path, capsys
):
    output = output_in(tmp_path)
    process = start(output)
    wait_for_step(output, process, STEPS + 10)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=300)
    checkpoint = checkpoint_of(output)
    state = load_checkpoint(checkpoint)
    digest = state.pop("data_digest")
    save_checkpoint(checkpoint, state)
    options = TrainOptions(2, 1, "cpu", checkpoint.parent, checkpoint_seconds=0.0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("hornlib.training.train.write_run_file", unwritable)
        with pytest.raises(ResultsError, match="cannot be written"):
            train_job(parse_specification(SPECIFICATION), SEEDS, output, options)
    assert "training starts again" not in capsys.readouterr().err
    assert load_checkpoint(checkpoint)["data_digest"] == digest
    train_job(parse_specification(SPECIFICATION), SEEDS, output, options)
    assert_same(output, undisturbed)
    assert read_run_file(output).attributes["data_digest"] == digest


def test_an_unwritable_results_folder_is_refused_before_anything_is_trained(tmp_path):
    output = output_in(tmp_path)
    output.parent.write_text("a file where the folder should be")
    result = subprocess.run(command(output), capture_output=True, text=True, timeout=500)
    assert result.returncode == 1
    assert str(output) in result.stderr and "Traceback" not in result.stderr
    assert not checkpoint_of(output).exists()


def unwritable(path, *_):
    raise ResultsError(f"{path}: cannot be written")


def test_a_run_file_that_cannot_be_written_leaves_the_checkpoint(tmp_path, monkeypatch):
    output = output_in(tmp_path)
    monkeypatch.setattr("hornlib.training.train.write_run_file", unwritable)
    options = TrainOptions(3, 1, "cpu", tmp_path / "checkpoints", 60.0)
    with pytest.raises(ResultsError, match="cannot be written"):
        train_job(parse_specification(SPECIFICATION), SEEDS, output, options)
    assert load_checkpoint(checkpoint_of(output)) is not None


def test_a_second_training_of_the_same_run_file_is_refused_and_names_the_first(tmp_path):
    output = output_in(tmp_path)
    first = start(output)
    try:
        wait_for_step(output, first, beyond=0)
        first.send_signal(signal.SIGSTOP)  # it keeps its lock, and cannot end before the second has started
        second = subprocess.run(command(output), capture_output=True, text=True, timeout=500)
    finally:
        first.kill()
        first.wait()
        first.stdout.close()
    assert second.returncode == 1
    assert f"process {first.pid} on " in second.stderr and f"kill {first.pid}" in second.stderr


def finished_while_waiting(output, finished):
    """Return a lock for which another process waits until the run file is finished."""

    @contextlib.contextmanager
    def lock(path):
        assert path == output
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(finished, output)
        yield

    return lock


def refused(*_):
    raise AssertionError("the job is trained")


def test_a_run_file_that_is_finished_while_the_lock_is_awaited_is_not_trained_again(
    undisturbed, tmp_path, monkeypatch, capsys
):
    output = output_in(tmp_path)
    monkeypatch.setattr("hornlib.training.train.lock_run_file", finished_while_waiting(output, undisturbed))
    monkeypatch.setattr("hornlib.training.train.run_assignment", refused)
    options = TrainOptions(2, 1, "cpu", tmp_path / "checkpoints", 60.0)
    train_job(parse_specification(SPECIFICATION), SEEDS, output, options)
    assert output.read_bytes() == undisturbed.read_bytes()
    assert f"{output} is finished" in capsys.readouterr().err


@pytest.mark.parametrize("lack", ["damaged", "no dynamics file"])
def test_a_run_file_that_is_not_whole_is_trained_again(undisturbed, tmp_path, monkeypatch, lack):
    output = output_in(tmp_path)
    monkeypatch.setattr("hornlib.training.train.lock_run_file", finished_while_waiting(output, undisturbed))
    monkeypatch.setattr("hornlib.training.train.run_assignment", refused)
    options = TrainOptions(2, 1, "cpu", tmp_path / "checkpoints", 60.0)
    if lack == "damaged":
        damaged = tmp_path / "damaged.nc"
        damaged.write_bytes(undisturbed.read_bytes()[:-100])
        monkeypatch.setattr("hornlib.training.train.lock_run_file", finished_while_waiting(output, damaged))
    else:
        options = options._replace(probes=ProbeSettings())
    with pytest.raises(AssertionError, match="the job is trained"):
        train_job(parse_specification(SPECIFICATION), SEEDS, output, options)


def test_a_full_disk_stops_the_run_cleanly_and_the_last_checkpoint_survives(tmp_path, monkeypatch):
    output = output_in(tmp_path)
    options = TrainOptions(3, 1, "cpu", tmp_path / "checkpoints", 0.0)
    real, calls = os.fsync, []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) > 3:
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HornlibError, match="No space left on device"):
        train_job(parse_specification(SPECIFICATION), SEEDS, output, options)
    state = load_checkpoint(checkpoint_of(output))
    assert state["current"]["step"] == 2 and not output.exists()
    monkeypatch.undo()
    train_job(parse_specification(SPECIFICATION), SEEDS, output, options._replace(checkpoint_seconds=60))
    assert output.exists()


def test_a_device_that_is_not_there_is_told_with_what_is():
    with pytest.raises(ConfigError, match=r"tpu.*cpu"):
        resolve_device("tpu")


def test_the_log_has_plain_lines_with_loss_metric_rate_and_time_left(undisturbed_job):
    _, log = undisturbed_job
    last = next(line for line in log.splitlines() if line.startswith(f"step {STEPS}/{STEPS}"))
    for word in ("loss", "accuracy", "samples/s", "s left"):
        assert word in last
    assert "\x1b[" not in log and "\r" not in log
