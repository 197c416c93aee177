"""Files for other programs: the network of one finished run as a state_dict of torch, or as an ONNX model."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from hornlib.errors import ConfigError, ResourceError, ResultsError
from hornlib.evolution.network import EvolvedNetwork, genome_tensors
from hornlib.grid.cell import Cell
from hornlib.grid.jobs import weights_path
from hornlib.kernels.route import taking
from hornlib.parameters import Task
from hornlib.results.atomic import written_atomically
from hornlib.results.run_file import read_run_file
from hornlib.training.kept_weights import dense_run, network_of, read_weights_file

__all__ = ["FORMATS", "SUFFIXES", "export_network", "trained_network"]

ONNX_PACKAGES = ("onnx", "onnxscript")


def trained_network(run_file: Path, seed: int) -> tuple[Cell, nn.Module]:
    """Return the cell of a run file and the network that one of its runs ended with, in evaluation mode on the CPU.

    Weights are dense tensors with zeros where there is no connection.

    Args:
        run_file: `<cell>.seeds-<first>-<last>.nc`; its weights are kept beside it.
        seed: of the run.

    Raises:
        ConfigError: the file has no such seed, or this run diverged.
        ResultsError: the run file or its weights are missing, damaged, or of different cells.
    """
    run, path = read_run_file(run_file), weights_path(run_file)
    seeds = run.variables["seed"].tolist()
    if seed not in seeds:
        raise ConfigError(f"--seed {seed}: {run_file.name} has the seeds {', '.join(map(str, seeds))}")
    weights = read_weights_file(path)
    if weights.cell.specification() != run.specification:
        raise ResultsError(
            f"{path}: the weights are of another specification than {run_file}; delete both, and train the job again"
        )
    runs = {trained.seed: trained for trained in weights.runs}
    if seed not in runs:
        raise ConfigError(
            f"--seed {seed}: this run diverged and has no weights; valid: {', '.join(map(str, runs)) or 'none'}"
        )
    task = weights.cell.task()
    return weights.cell, network_of(dense_run(runs[seed], task), task)


def export_network(network: nn.Module, task: Task, kind: str, output: Path) -> None:
    """Write a network, whole or not at all.

    Args:
        network: in evaluation mode.
        task: shapes of inputs and outputs.
        kind: a key of `FORMATS`.
        output: the file.

    Raises:
        ConfigError: there is no such format.
        ResourceError: a package is missing.
        ResultsError: the disk is full or cannot be written.
    """
    if kind not in FORMATS:
        raise ConfigError(f"--format {kind!r}: valid: {', '.join(FORMATS)}")
    with written_atomically(output) as temporary:
        FORMATS[kind](network, task, temporary)


def _write_state_dict(network: nn.Module, task: Task, path: Path) -> None:
    """Write name -> tensor.

    The network that `hornlib.models.build.build_network` builds loads it. The topology of an evolved network is no
    parameter of its model: its file holds the genome, from which `hornlib.evolution.network.evolved_network` builds it.
    """
    if isinstance(network, EvolvedNetwork):
        tensors = genome_tensors(network.trained_genome(), shared_weight=1.0)
        torch.save({**tensors["parameters"], **tensors["buffers"]}, path)
        return
    torch.save(network.state_dict(), path)


def _write_onnx(network: nn.Module, task: Task, path: Path) -> None:
    """Write the forward pass from `inputs`, (batch, ...), to `outputs`, (batch, outputs), for any number of examples.

    Recurrences are unrolled: their number of time steps is part of the network.
    """
    missing = [package for package in ONNX_PACKAGES if find_spec(package) is None]
    if missing:
        raise ResourceError(
            f"--format onnx needs the package {' and '.join(missing)}; `pip install 'hornlib[onnx]'` installs it"
        )
    examples = torch.zeros(2, *task.input_shape)
    with taking("loop"), torch.no_grad():  # fused kernels are no operators of ONNX
        program = torch.onnx.export(
            network,
            (examples,),
            input_names=["inputs"],
            output_names=["outputs"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
    assert program is not None
    program.save(path, external_data=False)


FORMATS: dict[str, Callable[[nn.Module, Task, Path], None]] = {
    "state_dict": _write_state_dict,
    "onnx": _write_onnx,
}
"""Format -> function that writes a network to a path."""

SUFFIXES = {"state_dict": ".pt", "onnx": ".onnx"}
"""Format -> end of the name of its files."""
