"""The project's habits: what is written down twice says the same, and importing the library changes nothing."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

REPOSITORY = Path(__file__).resolve().parents[1]
CONTAINERS = REPOSITORY / "cluster/containers"


def recipe(target):
    """Return the commands of a target of the Makefile."""
    lines = (REPOSITORY / "Makefile").read_text().split(f"\n{target}:")[1].splitlines()[1:]
    commands = []
    for line in lines:
        if not line.startswith("\t"):
            break
        commands.append(line.strip())
    return commands


def test_pre_commit_runs_what_make_lint_runs():
    (local,) = YAML(typ="safe").load(REPOSITORY / ".pre-commit-config.yaml")["repos"]
    entries = [re.sub(r'^bash -c "(.*)"$', r"\1", hook["entry"]) for hook in local["hooks"]]
    assert entries == recipe("lint")
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in local["hooks"])


def test_every_target_of_the_makefile_is_phony_and_has_a_line_of_help():
    text = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", text, re.M))
    assert set(re.search(r"^\.PHONY: (.*)$", text, re.M)[1].split()) == targets
    assert set(re.findall(r"^([a-z-]+):.*## ", text, re.M)) == targets


def copied_into_the_image():
    """Return source and destination of everything that the Dockerfile copies."""
    copied = {}
    for line in (CONTAINERS / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY "):
            *sources, destination = line.split()[1:]
            for source in sources:
                copied[source] = f"{destination}{source}" if destination.endswith("/") else destination
    return copied


def section(name):
    """Return the lines of a section of the Apptainer recipe."""
    text = (CONTAINERS / "hornlib.def").read_text()
    body = re.search(rf"^%{name}\n(.*?)(?=^%|\Z)", text, re.M | re.S)[1]
    return [line.strip() for line in body.splitlines() if line.strip() and not line.strip().startswith("#")]


def test_both_images_hold_the_same_files_and_all_of_them_exist():
    copied = copied_into_the_image()
    assert copied == dict(line.split() for line in section("files"))
    assert all((REPOSITORY / source).exists() for source in copied)
    sent = (CONTAINERS / "Dockerfile.dockerignore").read_text().splitlines()
    assert {line[1:] for line in sent if line.startswith("!")} == set(copied)


def test_an_image_holds_all_that_a_sweep_needs_and_refuses_to_start_without_the_profile(tmp_path):
    """The files of the image, without the rest of the repository, plan the smallest sweep in another folder."""
    image, sweep = tmp_path / "image", tmp_path / "sweep"
    for source, destination in copied_into_the_image().items():
        copy = image / Path(destination).relative_to("/opt/hornlib")
        copy.parent.mkdir(parents=True, exist_ok=True)
        if (REPOSITORY / source).is_dir():
            shutil.copytree(REPOSITORY / source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(REPOSITORY / source, copy)
    sweep.mkdir()
    shutil.copy(REPOSITORY / "config/two_cells.yaml", sweep / "config.yaml")
    command = [sys.executable, "-m", "hornlib.cli", "run", "--dry-run", "--cores", "1"]
    environment = os.environ | {"PYTHONPATH": str(image)}
    planned = subprocess.run(command, cwd=sweep, env=environment, capture_output=True, text=True)
    assert planned.returncode == 0, planned.stderr
    assert f"profile {image}/profiles/default" in planned.stderr
    (image / "profiles/default/config.yaml").unlink()
    refused = subprocess.run(command, cwd=sweep, env=environment, capture_output=True, text=True)
    assert (
        refused.returncode == 1
        and f"{image}/profiles/default/config.yaml: there is no such" in refused.stderr
    )


def test_both_images_install_the_versions_of_the_lock_and_then_the_library_without_others():
    docker = re.findall(r"^RUN (python .*)$", (CONTAINERS / "Dockerfile").read_text(), re.M)
    assert docker == [line for line in section("post") if line.startswith("python ")]
    lock, library = docker
    assert lock.endswith("--requirement /opt/hornlib/requirements.lock")
    assert "--no-deps" in library


def test_both_images_start_from_a_python_that_the_library_supports():
    (docker,) = re.findall(r"^FROM (\S+)$", (CONTAINERS / "Dockerfile").read_text(), re.M)
    (apptainer,) = re.findall(r"^From: (\S+)$", (CONTAINERS / "hornlib.def").read_text(), re.M)
    assert docker == apptainer
    required = re.search(r'requires-python = ">=3\.(\d+)"', (REPOSITORY / "pyproject.toml").read_text())[1]
    assert int(re.search(r"python:3\.(\d+)", docker)[1]) >= int(required)


IMPORT_ALL = """
import json, os, pkgutil, signal, sys
import numpy, torch
def state():
    return {
        "threads": torch.get_num_threads(), "interop": torch.get_num_interop_threads(),
        "seed": torch.initial_seed(), "numpy": str(numpy.random.get_state()[1][:3]),
        "dtype": str(torch.get_default_dtype()), "precision": torch.get_float32_matmul_precision(),
        "gradients": torch.is_grad_enabled(), "deterministic": torch.backends.cudnn.deterministic,
        "environment": sorted(set(os.environ) - before - allowed), "folder": os.getcwd(),
        "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)],
    }
before = set(os.environ)
allowed = {"HDF5_USE_FILE_LOCKING", "TORCHINDUCTOR_CACHE_DIR"}  # of netCDF files on disks without locks; of torchvision
torch.set_num_threads(3)
first = state()
import importlib, hornlib
changed = {}
for module in pkgutil.walk_packages(hornlib.__path__, "hornlib."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
        now = state()
        changed |= {f"{module.name}: {key}": [first[key], now[key]] for key in first if now[key] != first[key]}
        first = now
print(json.dumps(changed))
"""


def test_importing_any_module_changes_neither_threads_nor_any_other_global_state():
    pytest.importorskip("torch")
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == {}


def test_no_script_or_folder_beside_it_has_the_name_of_a_package_that_others_look_for():
    """xarray imports `sparse` and the like if it can, and takes what it gets for the package."""
    paths = [path for folder in ("benchmarks", "docs/findings") for path in (REPOSITORY / folder).iterdir()]
    modules = {path.stem for path in paths if path.is_dir() or path.suffix == ".py"}
    assert len(modules) > 50 and not {"cupy", "dask", "pint", "sparse"} & modules
