"""Weights that training ended with: one file for each job, with values, buffers and masks of every run that completed.

Example::

    from hornlib.training.kept_weights import network_of, read_weights, weights_path

    for run in read_weights(weights_path(run_file), cell):
        network = network_of(run, cell.task())
"""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hornlib.data.loading import Splits
from hornlib.errors import ConfigError, ResultsError
from hornlib.evolution.network import evolved_network
from hornlib.grid.cell import Cell, Specification, parse_specification
from hornlib.grid.jobs import Job, Range, parse_run_name, weights_path
from hornlib.models import MODELS
from hornlib.models.build import build_network
from hornlib.models.compressed import masked, masks_of, places_of
from hornlib.models.evolved.parameters import EvolvedParameters
from hornlib.models.lanes import network_tensors
from hornlib.models.sparse_product import Places
from hornlib.parameters import ModelParameters, Task
from hornlib.results.atomic import written_atomically
from hornlib.results.run_file import specification_differences
from hornlib.training.chunk import Chunk, Group
from hornlib.training.evaluation import evaluated_lanes
from hornlib.training.tensor_file import packed, unpacked

__all__ = [
    "KeptRun",
    "RunState",
    "WeightsFile",
    "dense_run",
    "network_of",
    "read_weights",
    "read_weights_file",
    "run_states",
    "weights_path",
    "write_weights",
]

KIND = "weights file 1"

REMEDY = "Delete it, write `keep_weights: last` at the top of config.yaml, and give the same command again"

RunState = dict[str, Any]
"""A `KeptRun` in plain values: tensors, numbers, strings and dicts, for a checkpoint or a file."""


class KeptRun(NamedTuple):
    """The network that one run ended with. No tensor has a lane axis; all are on the CPU.

    Attributes:
        seed: of the run.
        model: parameters of the network, which a structure may have changed since the first step.
        parameters: name -> trained tensor. Weights that a mask removes are 0.
        buffers: name -> fixed or running tensor. Batch norm has the statistics of the last evaluation.
        masks: weight -> bool, True where a connection exists; weights without a mask are dense.
        training_flops: FLOPs of all training steps of the run, and of those of the run that it started from.
    """

    seed: int
    model: ModelParameters
    parameters: dict[str, Tensor]
    buffers: dict[str, Tensor]
    masks: dict[str, Tensor]
    training_flops: int


class WeightsFile(NamedTuple):
    """What a weights file holds.

    Attributes:
        cell: the cell of the job, with the values that were chosen where it is tuned.
        data_digest: digest of the examples that the runs were trained on.
        runs: those that completed, in the order of their seeds. Runs that diverged are absent.
    """

    cell: Cell
    data_digest: str
    runs: list[KeptRun]


def run_states(chunk: Chunk, splits: Splits) -> list[RunState]:
    """Return the network of every run of a finished chunk that completed, in the order of its rows.

    Args:
        chunk: after its last step.
        splits: the data, from which batch norm's statistics are computed where the last evaluation did not.
    """
    states: dict[int, RunState] = {}
    for group in chunk.groups:
        if len(group.lanes):
            buffers = _evaluated_buffers(chunk, group, splits)
            for lane, row in enumerate(group.lanes.rows):
                states[row] = _state(chunk, group, buffers, lane)
    return [states[row] for row in sorted(states)]


def _evaluated_buffers(chunk: Chunk, group: Group, splits: Splits) -> dict[str, Tensor]:
    """Return the buffers of the networks that the last evaluation judged, (lanes, ...)."""
    evaluated = group.evaluated or evaluated_lanes(group.lanes, chunk.cell.training, splits.train)
    return evaluated.buffers


def _state(chunk: Chunk, group: Group, buffers: Mapping[str, Tensor], lane: int) -> RunState:
    row = group.lanes.rows[lane]

    def lane_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:  # a copy: a view would save all lanes
        return {name: tensor[lane].detach().cpu().clone() for name, tensor in tensors.items()}

    first = chunk.rows[row].cell.model
    constants = {name: getattr(first, name) for name in group.model.per_lane}
    return {
        "seed": group.lanes.seeds[lane],
        "model": group.model.model_copy(update=constants).canonical(),
        "parameters": lane_of(group.lanes.parameters),
        "buffers": lane_of(buffers),
        "masks": lane_of(group.masks),
        "training_flops": int(chunk.flops[row]),
    }


def write_weights(path: Path, cell: Cell, seeds: Range, data_digest: str, states: Sequence[RunState]) -> None:
    """Write the weights of a job, whole or not at all.

    Args:
        path: see `weights_path`.
        cell: what was trained.
        seeds: all seeds of the job.
        data_digest: digest of the examples.
        states: of the runs that completed.

    Raises:
        ResultsError: the disk is full or cannot be written.
    """
    document = {
        "seeds": list(seeds),
        "specification": cell.specification(),
        "tuned": None if cell.tuned is None else cell.tuned.document(),
        "data_digest": data_digest,
        "runs": list(states),
    }
    with written_atomically(path) as temporary, temporary.open("wb") as file:
        file.writelines(packed(KIND, document))


def read_weights(path: Path, cell: Cell) -> list[KeptRun]:
    """Return the network of every run that completed, in the order of the seeds.

    Args:
        path: see `weights_path`.
        cell: whose runs they must be; a tuned cell with its chosen values.

    Raises:
        ResultsError: the file is missing, damaged, renamed, or of another cell; the message says what to do.
    """
    weights = read_weights_file(path)
    if weights.cell.specification() != cell.specification():
        differences = "; ".join(specification_differences(cell.specification(), weights.cell.specification()))
        raise ResultsError(f"{path}: of another specification: {differences}. {REMEDY}")
    return weights.runs


def read_weights_file(path: Path) -> WeightsFile:
    """Return what a weights file holds, after verifying its checksum, its cell and its seeds.

    Args:
        path: the file. Its name gives the cell and the seeds.

    Raises:
        ResultsError: the file is missing, damaged or renamed; the message says what to do.
    """
    document = _document(path)
    try:
        cell = _cell(document["specification"], document["tuned"])
        runs = [_run(state) for state in document["runs"]]
        stored, digest = Job(cell.name, Range(*document["seeds"])), document["data_digest"]
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise ResultsError(f"{path}: the weights cannot be read ({error!r}). {REMEDY}") from error
    job = parse_run_name(f"{path.stem}.nc")
    if job != stored:
        raise ResultsError(
            f"{path}: the file holds the seeds {stored.range.first} to {stored.range.last} of {stored.cell}: it was "
            f"renamed. {REMEDY}"
        )
    return WeightsFile(cell, digest, runs)


def _document(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ResultsError(
            f"{path}: there are no weights of these runs. Write `keep_weights: last` at the top of config.yaml, and "
            f"train the job again: `snakemake --cores 1 {path}`"
        ) from None
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read ({error.strerror}). {REMEDY}") from None
    try:
        return unpacked(KIND, content)
    except (ValueError, pickle.UnpicklingError) as error:
        raise ResultsError(f"{path}: {error}. {REMEDY}") from None


def _cell(specification: Specification, tuned: dict[str, Any] | None) -> Cell:
    """Return the cell with the values that its runs were trained with; a tuned one has the name of its protocol."""
    cell = parse_specification(specification)
    if tuned is None:
        return cell
    protocol = parse_specification({**specification, "tuned": tuned})
    return replace(cell, name=protocol.name, tuned=protocol.tuned)


def _run(state: RunState) -> KeptRun:
    model = MODELS[state["model"]["name"]](**state["model"])
    return KeptRun(**{**state, "model": model})


def network_of(run: KeptRun, task: Task) -> nn.Module:
    """Return the network of a run in evaluation mode, on the CPU.

    Args:
        run: its values and its model.
        task: shapes of inputs and outputs.
    """
    values = {**run.parameters, **run.buffers}
    if isinstance(run.model, EvolvedParameters):
        return evolved_network(run.model, task, values)
    network = build_network(run.model, task, run.seed)
    with torch.no_grad():
        for name, tensor in chain.from_iterable(part.items() for part in network_tensors(network)):
            tensor.copy_(values[name])
        weights = dict(network.named_parameters())
        for name, mask in run.masks.items():
            weights[name].mul_(mask)
    return network.eval()


def dense_run(run: KeptRun, task: Task) -> KeptRun:
    """Return the same network with dense weights and masks, where it stores its connections alone.

    Args:
        run: a network in either form.
        task: shapes of inputs and outputs.
    """
    model, connections = run.model.masked_form(task)
    if not connections:
        return run
    parameters = {name: tensor.unsqueeze(0) for name, tensor in run.parameters.items()}
    buffers = {name: tensor.unsqueeze(0) for name, tensor in run.buffers.items()}
    places = {f"{layer}.{field}" for layer, _ in places_of(buffers) for field in Places._fields}
    return run._replace(
        model=model,
        parameters=_lone(masked(parameters, buffers)),
        buffers={name: tensor for name, tensor in run.buffers.items() if name not in places},
        masks=_lone(masks_of(buffers)),
    )


def _lone(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.squeeze(0) for name, tensor in tensors.items()}
