"""Runs that start from the weights of finished runs: `training.start_from`, for fine-tuning and for RigL+."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from hornlib.errors import ResultsError
from hornlib.grid.cell import Cell
from hornlib.grid.jobs import Job, Range, covering_ranges, parse_run_name, weights_path
from hornlib.training.chunk import Chunk
from hornlib.training.divergence import drop_empty_groups, take_out
from hornlib.training.kept_weights import KeptRun, dense_run, read_weights_file

__all__ = ["Starts", "read_starts", "refuse_other_data", "start_from_"]


class Starts(NamedTuple):
    """The networks that the runs of a job start from.

    Attributes:
        cell: name of the cell that they are runs of.
        data_digest: digest of the examples that they were trained on.
        runs: seed -> its network, with dense weights and masks. Seeds whose run diverged are absent.
    """

    cell: str
    data_digest: str
    runs: dict[int, KeptRun]


def read_starts(cell: Cell, seeds: Range, output: Path) -> Starts | None:
    """Return the networks that a job starts from, None for a cell with fresh weights.

    They are read from the folder `weights` beside the folder of the run file.

    Args:
        cell: its `training.start_from` is the name of a cell.
        seeds: of the job.
        output: the run file of the job.

    Raises:
        ResultsError: a seed has no file, or a file is damaged, renamed, or of other examples than another one.
    """
    name = cell.training.start_from
    if name is None:
        return None
    files = _files(name, seeds, output)
    weights = [read_weights_file(path) for path in files]
    digests = {content.data_digest for content in weights}
    if len(digests) > 1:
        raise ResultsError(
            f"{', '.join(map(str, files))}: trained on different examples; delete them, and give the same command again"
        )
    task = cell.task()
    runs = {
        run.seed: dense_run(run, task)
        for content in weights
        for run in content.runs
        if run.seed in seeds.seeds()
    }
    return Starts(name, digests.pop(), runs)


def _files(cell: str, seeds: Range, output: Path) -> list[Path]:
    """Return the weights files of a cell that together hold the seeds, as jobs are chosen from run files."""
    folder = weights_path(output).parent
    jobs = [parse_run_name(f"{path.stem}.nc") for path in folder.glob(f"{cell}.seeds-*.weights")]
    present = [job.range for job in jobs if job is not None]
    chosen = covering_ranges(list(seeds.seeds()), present, per_job=1)
    missing = [str(lone.first) for lone in chosen if lone not in present]
    if missing:
        raise ResultsError(
            f"{folder}: there are no weights of {cell} with the seeds {', '.join(missing)}, from which these runs "
            "start. Write `keep_weights: last` at the top of config.yaml, and train that cell first; snakemake does so"
        )
    return [weights_path(output.parent / Job(cell, of_file).file_name) for of_file in chosen]


def refuse_other_data(starts: Starts, digest: str) -> None:
    """Refuse networks that were trained on other examples, since the validation split would be another one.

    Args:
        starts: the networks.
        digest: of the examples of this job.

    Raises:
        ResultsError: the digests differ.
    """
    if starts.data_digest != digest:
        raise ResultsError(
            f"training.start_from: the weights of {starts.cell} were trained on other examples (digest "
            f"{starts.data_digest}, now {digest}); delete its run files and weights, and give the same command again"
        )


@torch.no_grad()
def start_from_(chunk: Chunk, starts: Starts) -> None:
    """Give every run the weights, running statistics and masks of the network of its seed.

    FLOPs count on from those of that network. A run whose network does not exist, because that training diverged,
    counts as diverged at step 0.

    Args:
        chunk: before its first step; changed in place.
        starts: the networks.
    """
    (group,) = chunk.groups
    lanes, runs = group.lanes, [starts.runs.get(seed) for seed in group.lanes.seeds]
    for lane, run in enumerate(runs):
        if run is None:
            continue
        _copy_(lanes.parameters, run.parameters, lane, starts.cell)
        shared = {name: tensor for name, tensor in run.buffers.items() if name in lanes.buffers}
        _copy_(lanes.buffers, {**_nth(lanes.buffers, lane), **shared}, lane, starts.cell)
        chunk.flops[lanes.rows[lane]] = run.training_flops
    masked = dict.fromkeys(name for run in runs if run is not None for name in run.masks)
    group.masks = {
        name: torch.stack([_mask(run, name, lanes.parameters[name][0]) for run in runs]) for name in masked
    }
    missing = torch.tensor([run is None for run in runs])
    if missing.any():
        chunk.groups = [take_out(chunk, group, missing, torch.zeros(len(runs)))]
        drop_empty_groups(chunk)


def _copy_(tensors: dict[str, Tensor], values: Mapping[str, Tensor], lane: int, cell: str) -> None:
    """Copy values without a lane axis into one lane of tensors (lanes, ...) of the same names."""
    shapes = [
        {name: tuple(tensor.shape[1:]) for name, tensor in tensors.items()},
        {name: tuple(tensor.shape) for name, tensor in values.items()},
    ]
    if shapes[0] != shapes[1]:
        differing = next(
            name for name in {**shapes[0], **shapes[1]} if shapes[0].get(name) != shapes[1].get(name)
        )
        raise ResultsError(
            f"training.start_from: {differing} of {cell} has the shape {shapes[1].get(differing, 'of no tensor')}, and "
            f"that of this network {shapes[0].get(differing, 'of no tensor')}"
        )
    for name, tensor in tensors.items():
        tensor[lane].copy_(values[name])


def _mask(run: KeptRun | None, name: str, weight: Tensor) -> Tensor:
    """Return the mask of a weight, True everywhere for a run without one; on the weight's device."""
    if run is None or name not in run.masks:
        return torch.ones_like(weight, dtype=torch.bool)
    return run.masks[name].to(weight.device)


def _nth(tensors: Mapping[str, Tensor], lane: int) -> dict[str, Tensor]:
    return {name: tensor[lane] for name, tensor in tensors.items()}
