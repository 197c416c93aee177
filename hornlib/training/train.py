"""One job: one cell with a range of seeds, trained chunk by chunk, checkpointed, written to its run file."""

import datetime
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from hornlib import __version__
from hornlib.cell import Cell
from hornlib.checkpoint import load_checkpoint, remove_checkpoint, save_checkpoint, set_aside
from hornlib.data.loading import Splits, load
from hornlib.errors import CheckpointError, ConfigError, ResourceError
from hornlib.jobs import Range
from hornlib.provenance import commit
from hornlib.results.run_file import RunRecord, write_run_file
from hornlib.training.interruption import Interrupted, StopRequest
from hornlib.training.loop import Chunk, start_chunk, train_chunk
from hornlib.training.progress import Reporter
from hornlib.training.width import chunk_width, is_out_of_memory, warm_up

__all__ = ["TrainOptions", "resolve_device", "train_job"]


class TrainOptions(NamedTuple):
    """How a job runs on this machine; none of it is part of a cell's name.

    Attributes:
        lanes: lanes at once, or "auto".
        threads: CPU threads.
        device: auto, cpu, cuda, cuda:N or mps.
        checkpoints: folder of checkpoints.
        checkpoint_seconds: wall time between two checkpoints.
    """

    lanes: int | str
    threads: int
    device: str
    checkpoints: Path
    checkpoint_seconds: float


class _Saved(NamedTuple):
    """What a checkpoint holds: the width, the finished chunks' rows, the state of the one in training."""

    width: int
    finished: list[dict[str, Any]]
    current: dict[str, Any] | None
    versions: list[str]


def train_job(cell: Cell, seeds: Range, output: Path, options: TrainOptions) -> None:
    """Train the seeds and write the run file; an interrupted job goes on from its checkpoint.

    Args:
        cell: what to train.
        seeds: first and last seed.
        output: the run file.
        options: how to run here.

    Raises:
        DataError: the data are not there.
        CheckpointError, ResultsError: a folder is full or cannot be written; what was trained is kept.
        ResourceError: the memory does not hold even the lanes that were asked for.
        Interrupted: a signal asked to stop; the checkpoint is saved.
    """
    try:
        _train_job(cell, seeds, output, options)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise ResourceError(
            f"{output.stem}: out of memory with {cell.model.num_parameters(cell.task()):,} parameters and batches of "
            f"{cell.training.batch_size}; lower training.batch_size, the model's width or `lanes`, or give the job "
            "more memory"
        ) from error


def _train_job(cell: Cell, seeds: Range, output: Path, options: TrainOptions) -> None:
    started = datetime.datetime.now(datetime.UTC)
    device = resolve_device(options.device)
    torch.set_num_threads(options.threads)
    _set_precision(cell.training.precision, device)
    splits = load(cell.data, device)
    checkpoint = options.checkpoints / f"{output.stem}.checkpoint"
    with StopRequest() as stop, Reporter(cell.data.metric) as reporter:
        reporter.say(f"{output.stem} on {device}, {options.threads} thread(s)")
        saved = _resume(checkpoint, cell, seeds, reporter)
        if saved is None:
            width = chunk_width(options.lanes, cell, list(seeds.seeds()), splits)
            saved = _Saved(width, [], None, [__version__])
        elif saved.versions[-1] != __version__:
            saved.versions.append(__version__)
        reporter.say(f"{saved.width} lane(s) at a time")
        warm_up(cell, list(seeds.seeds())[: saved.width], splits)
        keeper = _Keeper(checkpoint, cell, seeds, saved, options.checkpoint_seconds, stop)
        finished = _train_chunks(cell, seeds, splits, saved, keeper, reporter)
        attributes = _attributes(device, options.threads, started, saved.versions)
        write_run_file(output, cell, _record(cell, finished, attributes))
        remove_checkpoint(checkpoint)
        reporter.say(f"wrote {output}")


def _train_chunks(
    cell: Cell, seeds: Range, splits: Splits, saved: _Saved, keeper: "_Keeper", reporter: Reporter
) -> list[dict[str, Any]]:
    """Train what is still to be trained, and return the rows of every chunk."""
    everything = list(seeds.seeds())
    total_steps = cell.training.total_steps(cell.data.num_train)
    device = splits.train.targets.device
    for start in range(len(saved.finished) * saved.width, len(everything), saved.width):
        chunk = start_chunk(cell, everything[start : start + saved.width], device)
        if saved.current is not None:
            chunk.restore_(saved.current)
            saved = saved._replace(current=None)
        reporter.begin(chunk.seeds, chunk.step, total_steps)
        keeper.save(chunk)

        def after_step(chunk: Chunk) -> None:
            reporter.step(chunk)
            keeper.after_step(chunk)

        train_chunk(
            chunk, splits, after_step, lambda found: reporter.evaluation(found, cell.training.batch_size)
        )
        saved.finished.append(_rows(chunk))
    return saved.finished


class _Keeper:
    """Saves the job by the clock, and when a signal asks to stop."""

    def __init__(
        self, path: Path, cell: Cell, seeds: Range, saved: _Saved, every: float, stop: StopRequest
    ) -> None:
        self.path, self.cell, self.seeds, self.saved = path, cell, seeds, saved
        self.every, self.stop = every, stop
        self.last = time.monotonic()

    def save(self, chunk: Chunk) -> None:
        """Save the finished chunks and this one."""
        state = {
            "specification": self.cell.specification(),
            "seeds": list(self.seeds),
            "width": self.saved.width,
            "finished": self.saved.finished,
            "current": chunk.state(),
            "versions": self.saved.versions,
        }
        save_checkpoint(self.path, state)
        self.last = time.monotonic()

    def after_step(self, chunk: Chunk) -> None:
        """Save if it is time; save and stop if a signal came."""
        if self.stop.signal_name:
            self.save(chunk)
            raise Interrupted(
                f"stopped by {self.stop.signal_name} at step {chunk.step}, checkpoint saved; "
                "the same command goes on from there"
            )
        if time.monotonic() - self.last >= self.every:
            self.save(chunk)


def _resume(path: Path, cell: Cell, seeds: Range, reporter: Reporter) -> _Saved | None:
    """Return the checkpoint's content; one that is damaged or of another job is set aside and reported."""
    try:
        state = load_checkpoint(path)
        if state is None:
            return None
        if state.get("specification") != cell.specification() or state.get("seeds") != list(seeds):
            raise CheckpointError(f"{path}: the checkpoint is of another specification")
    except CheckpointError as error:
        reporter.say(f"{error}; it is now {set_aside(path).name}, and training starts again")
        return None
    return _Saved(state["width"], state["finished"], state["current"], state["versions"])


def _rows(chunk: Chunk) -> dict[str, Any]:
    return {
        "seeds": chunk.seeds,
        "curves": chunk.curves,
        "diverged_at": chunk.diverged_at,
        "lanes": len(chunk.seeds),
    }


def _record(
    cell: Cell, finished: list[dict[str, Any]], attributes: dict[str, str | int | float]
) -> RunRecord:
    diverged_at = torch.cat([rows["diverged_at"] for rows in finished]).numpy()
    curves = {
        name: torch.cat([rows["curves"][name] for rows in finished]).numpy() for name in finished[0]["curves"]
    }
    return RunRecord(
        seeds=[seed for rows in finished for seed in rows["seeds"]],
        steps=torch.tensor(cell.training.evaluation_steps(cell.data.num_train)).numpy(),
        curves=curves,
        status=["complete" if step != step else "diverged" for step in diverged_at],
        diverged_at_step=diverged_at,
        lanes=torch.tensor([rows["lanes"] for rows in finished for _ in rows["seeds"]]).numpy(),
        attributes=attributes,
    )


def resolve_device(device: str) -> torch.device:
    """Return the device; auto takes CUDA, else MPS, else the CPU.

    Raises:
        ConfigError: the device that was asked for is not there.
    """
    available: dict[str, Callable[[], bool]] = {
        "cuda": torch.cuda.is_available,
        "mps": torch.backends.mps.is_available,
        "cpu": lambda: True,
    }
    if device == "auto":
        return torch.device(next(kind for kind, there in available.items() if there()))
    kind = device.split(":")[0]
    if kind not in available or not available[kind]():
        there = ", ".join(name for name, found in available.items() if found())
        raise ConfigError(f"device: {device!r} is not there; on this machine: {there}")
    return torch.device(device)


def _set_precision(precision: str, device: torch.device) -> None:
    """Products in full fp32 unless asked otherwise; always the same kernels, so that a resumed run is the same run."""
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def _attributes(
    device: torch.device, threads: int, started: datetime.datetime, versions: list[str]
) -> dict[str, str | int | float]:
    finished = datetime.datetime.now(datetime.UTC)
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or platform.machine()
    )
    return {
        "hornlib_version": __version__,
        "hornlib_versions_trained": " ".join(versions),
        "hornlib_commit": commit(),
        "torch_version": torch.__version__,
        "device": f"{device.type} {name}".strip(),
        "host": platform.node(),
        "threads": threads,
        "started": started.isoformat(timespec="seconds"),
        "finished": finished.isoformat(timespec="seconds"),
        "job_seconds": (finished - started).total_seconds(),
    }
