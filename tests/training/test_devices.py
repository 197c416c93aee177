"""Devices: an accelerator against the CPU, skipped where there is none; and memory between the steps of a CPU."""

import platform
import subprocess
import sys
from contextlib import nullcontext

import pytest
import torch

from hornlib.data.loading import load
from hornlib.errors import ConfigError
from hornlib.grid.cell import parse_specification
from hornlib.grid.jobs import Range
from hornlib.training import job
from hornlib.training.chunk import start_chunk
from hornlib.training.devices import require_products, resolve_device
from hornlib.training.job import TrainOptions
from hornlib.training.loop import train_chunk
from hornlib.training.train import train_job

THERE = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available}


@pytest.mark.parametrize("kind", THERE)
@pytest.mark.parametrize(
    ("model", "presentation"),
    [
        ({"name": "cnn", "channels": "4-8"}, "image"),
        (
            {"name": "horn_cnn", "num_nodes": 4, "num_stages": 2, "timesteps": 3, "heterogeneity": 1.0},
            "image",
        ),
        ({"name": "mlp", "hidden_nodes": "16", "dropout": 0.3}, "image"),
        ({"name": "horn", "num_nodes": 8, "heterogeneity": 1.0}, "rows"),
        ({"name": "rnn", "unit": "gru", "num_nodes": 8}, "rows"),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_the_first_steps_are_those_of_the_cpu(kind, model, presentation):
    if not THERE[kind]():
        pytest.skip(f"no {kind} device on this machine")
    cell = parse_specification(
        {
            "data": {"name": "digits", "train_subset": 200, "presentation": presentation},
            "model": model,
            "training": {"steps": 3, "batch_size": 16, "schedule": "constant"},
        }
    )
    chunks = {}
    for device in (torch.device("cpu"), resolve_device(kind)):
        chunks[device.type] = start_chunk(cell, [0, 1, 2], device)
        train_chunk(chunks[device.type], load(cell.data, device))
    for curve in ("training_loss", "validation_loss", "test_loss"):
        torch.testing.assert_close(
            chunks[kind].curves[curve], chunks["cpu"].curves[curve], rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("storage", ["masked", "compressed"])
@pytest.mark.parametrize("rule", ["set", "rigl"])
def test_sparse_networks_take_the_first_steps_of_the_cpu_on_a_gpu(rule, storage):
    if not THERE["cuda"]():
        pytest.skip("no cuda device on this machine")
    structure = {
        "name": "sparse_training",
        "density": 0.3,
        "rule": rule,
        "update_every": 2,
        "storage": storage,
    }
    cell = parse_specification(
        {
            "data": {"name": "digits", "train_subset": 200},
            "model": {"name": "mlp", "hidden_nodes": "16-12"},
            "structure": structure,
            "training": {"steps": 6, "batch_size": 16, "schedule": "constant"},
        }
    )
    chunks = {}
    for device in (torch.device("cpu"), resolve_device("cuda")):
        chunks[device.type] = start_chunk(cell, [0, 1, 2], device)
        train_chunk(chunks[device.type], load(cell.data, device))
    for curve in ("training_loss", "test_loss", "num_parameters", "training_flops"):
        torch.testing.assert_close(
            chunks["cuda"].curves[curve], chunks["cpu"].curves[curve], rtol=1e-3, atol=1e-3
        )


SPARSE = {"name": "sparse_training", "density": 0.3}


@pytest.mark.parametrize(
    ("connections", "structure", "stores"),
    [
        (None, SPARSE | {"storage": "compressed"}, True),
        ("64-48-40", {"name": "static"}, True),
        (None, SPARSE, False),
        (None, {"name": "static"}, False),
    ],
    ids=["compressed", "by_the_model", "masked", "dense"],
)
def test_stored_connections_are_refused_on_mps_before_training(connections, structure, stores):
    """torch has no matrices in CSR form there."""
    model = {"name": "mlp", "hidden_nodes": "16-12"} | ({"connections": connections} if connections else {})
    cell = parse_specification({"data": {"name": "digits"}, "model": model, "structure": structure})
    require_products(cell, torch.device("cpu"))
    require_products(cell, torch.device("cuda"))
    with pytest.raises(ConfigError, match="give device: cpu") if stores else nullcontext():
        require_products(cell, torch.device("mps"))


def test_a_job_on_mps_refuses_stored_connections_before_it_writes_anything(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "resolve_device", torch.device)
    model = {"name": "mlp", "hidden_nodes": "16-12", "connections": "64-48-40"}
    cell = parse_specification({"data": {"name": "digits"}, "model": model})
    options = TrainOptions(1, 1, "mps", tmp_path / "checkpoints", 60)
    with pytest.raises(ConfigError, match=f"{cell.name}: device: mps has no products"):
        train_job(cell, Range(0, 0), tmp_path / "runs" / f"{cell.name}.seeds-0-0.nc", options)
    assert not list(tmp_path.rglob("*.nc"))


def test_auto_takes_an_accelerator_before_the_cpu():
    expected = next((kind for kind, there in THERE.items() if there()), "cpu")
    assert resolve_device("auto").type == expected


PAGES_OF_FIVE_STEPS = """
import resource, sys, torch
from hornlib.training.devices import keep_freed_memory

def step():
    maps = [torch.ones(12_000_000) for _ in range(4)]  # above glibc's largest threshold, 32 MiB

if sys.argv[1] == "keep":
    keep_freed_memory()
for _ in range(15):  # the heap grows until its gaps fit aligned blocks
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_blocks_that_a_step_frees_serve_the_next_step():
    def pages(word):
        command = [sys.executable, "-c", PAGES_OF_FIVE_STEPS, word]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert pages("keep") < pages("give back") / 4
