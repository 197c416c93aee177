"""Trains the runs of a job, chunk by chunk, with checkpoints; an interrupted job is resumed exactly."""

import datetime
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from hornlib.config.settings import KeepWeights, Kernel
from hornlib.data.loading import Splits, load_with_digest
from hornlib.errors import CheckpointError, ResourceError
from hornlib.grid.cell import Cell
from hornlib.grid.routes import THEN, required_route
from hornlib.kernels.library import cpu_model
from hornlib.kernels.route import taking
from hornlib.parameters.probes import ProbeSettings
from hornlib.provenance import commit, version
from hornlib.results.file_kind import SCHEMA_VERSION
from hornlib.training.checkpoint import load_checkpoint, remove_checkpoint, save_checkpoint, set_aside
from hornlib.training.chunk import Chunk, EventRecord, Run
from hornlib.training.connectivity import connectivity_remarks
from hornlib.training.curve_log import CurveLog, make_curve_log
from hornlib.training.curves import Evaluation
from hornlib.training.devices import (
    is_out_of_memory,
    keep_freed_memory,
    require_products,
    resolve_device,
    set_precision,
)
from hornlib.training.interruption import Interrupted, StopRequest
from hornlib.training.newborn import newborn_remarks
from hornlib.training.probing import Probe, ProbePlan
from hornlib.training.progress import Reporter
from hornlib.training.recording import Numbers, Recorder
from hornlib.training.rows import ChunkRows, stacked
from hornlib.training.starting import Starts, refuse_other_data, start_from_
from hornlib.training.trainers import TRAINERS
from hornlib.training.width import chunk_width

__all__ = ["Assignment", "Attributes", "TrainOptions", "run_assignment"]

Attributes = dict[str, str | int | float]
"""Provenance of a file: versions, commit, device, route of recurrences, host, threads, times."""


class TrainOptions(NamedTuple):
    """How a job runs on this machine. Nothing of it is part of a cell's name.

    Attributes:
        lanes: number of lanes trained at once, or "auto".
        threads: CPU threads.
        device: auto, cpu, cuda, cuda:N or mps.
        checkpoints: folder of checkpoints.
        checkpoint_seconds: wall time between two checkpoints, seconds.
        probes: which states inside the networks are recorded; None: nothing.
        log_format: how the curves are logged beside the checkpoint while runs train: none, csv or tensorboard.
        kernel: how recurrences are computed: auto, fused or loop.
        keep_weights: off, or last: the networks after the last step are handed over with the rows.
    """

    lanes: int | str
    threads: int
    device: str
    checkpoints: Path
    checkpoint_seconds: float
    probes: ProbeSettings | None = None
    log_format: str = "none"
    kernel: Kernel = "auto"
    keep_weights: KeepWeights = "off"


class Assignment(NamedTuple):
    """What a job trains.

    Attributes:
        name: name of the job, which is the name of its file without the ending.
        groups: runs that can train side by side. Data, batch size, precision and steps are the same in all groups.
        specification: tells the checkpoint of this job from those of other jobs.
        seeds: first and last seed.
        starts: the networks that the runs start from; None: fresh weights.
    """

    name: str
    groups: Sequence[Sequence[Run]]
    specification: Any
    seeds: tuple[int, int]
    starts: Starts | None = None

    @property
    def cell(self) -> Cell:
        """The first cell. All runs share its data, batch size, precision and steps."""
        return self.groups[0][0].cell

    def width(self, lanes: int | str, device_type: str) -> int:
        """Return the number of lanes trained at once: what the costliest group allows, and at most the largest group.

        Args:
            lanes: a number, or "auto".
            device_type: cpu, cuda or mps.
        """
        num_runs = max(map(len, self.groups))
        return min(chunk_width(lanes, group[0].cell, num_runs, device_type) for group in self.groups)

    def chunks(self, width: int) -> Iterator[Sequence[Run]]:
        """Yield the runs that train together, at most `width` at once, in their order."""
        for group in self.groups:
            for start in range(0, len(group), width):
                yield group[start : start + width]


class _Saved(NamedTuple):
    """What a checkpoint holds: the width, the rows of finished chunks, and the state of the chunk in training.

    Attributes:
        trained_by: version of hornlib, route of the recurrence and model of the CPU of every process that trained the
            job, without repetitions.
    """

    data_digest: str
    width: int
    finished: list[ChunkRows]
    current: dict[str, Any] | None
    probes: Numbers
    trained_by: dict[str, list[str]]

    def note(self, **words: str) -> None:
        """Add what this process trains the job with to `trained_by`."""
        for name, word in words.items():
            history = self.trained_by.setdefault(name, [])
            if history[-1:] != [word]:
                history.append(word)


def run_assignment(
    assignment: Assignment,
    options: TrainOptions,
    write: Callable[[list[ChunkRows], Attributes], Path],
    plan: ProbePlan | None = None,
) -> None:
    """Train every run and pass the rows to `write`. An interrupted job goes on from its checkpoint.

    Args:
        assignment: what to train.
        options: how to run here.
        write: writes the job's file and returns its path. The checkpoint is removed afterwards.
        plan: which states inside the networks are recorded; None: nothing. It does not change the training.

    Raises:
        ConfigError: the machine has no such device, or the device lacks products that the network needs.
        DataError: a file of the dataset is missing.
        CheckpointError, ResultsError: a folder is full or cannot be written. The last checkpoint stays.
        ResourceError: the lanes do not fit into the memory; fewer lanes are not tried, because they round differently.
            Or there is no fused kernel, and `options.kernel` asks for one.
        Interrupted: a signal asked to stop. The checkpoint was saved.
    """
    try:
        with taking(options.kernel):
            _run(assignment, options, write, plan)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        cell = assignment.cell
        raise ResourceError(
            f"{assignment.name}: out of memory with {cell.model.num_parameters(cell.task()):,} parameters and batches "
            f"of {cell.training.batch_size}; lower training.batch_size, the model's width or `lanes`, or give the job "
            "more memory"
        ) from error


def _run(
    assignment: Assignment,
    options: TrainOptions,
    write: Callable[[list[ChunkRows], Attributes], Path],
    plan: ProbePlan | None,
) -> None:
    started = datetime.datetime.now(datetime.UTC)
    device = resolve_device(options.device)
    torch.set_num_threads(options.threads)
    cell = assignment.cell
    require_products(cell, device)
    route = required_route(cell, options.kernel, device.type)
    set_precision(cell.training.precision, device)
    splits, digest = load_with_digest(cell.data, device)
    if assignment.starts is not None:
        refuse_other_data(assignment.starts, digest)
    keep_freed_memory()  # from here on: what loading has freed goes back
    checkpoint = options.checkpoints / f"{assignment.name}.checkpoint"
    with StopRequest() as stop, Reporter(cell.data.metric) as reporter:
        reporter.say(f"{assignment.name} on {device}, {options.threads} thread(s)")
        keeps_weights = options.keep_weights == "last"
        saved = _resume(checkpoint, assignment, digest, keeps_weights, reporter)
        if saved is None:
            width = assignment.width(options.lanes, device.type)
            saved = _Saved(digest, width, [], None, {}, {})
        saved.note(hornlib=version(), kernel=str(route), cpu_model=cpu_model())
        reporter.say(f"{saved.width} lane(s) at a time")
        if route.kind != "none":
            reporter.say(f"recurrence: {route}")
        TRAINERS[cell.model.trainer].warm_up(assignment.groups[0][: saved.width], splits)
        keeper = _Keeper(checkpoint, assignment, saved, options.checkpoint_seconds, stop)
        probe = None if plan is None or not plan.layers else Probe(cell, plan, splits)
        curve_log = make_curve_log(options.log_format, options.checkpoints, reporter.say)
        finished = _train_chunks(assignment, splits, saved, keeps_weights, probe, keeper, reporter, curve_log)
        for remark in cell.structure.remarks(
            sum(len(rows.events) for rows in finished), sum(len(rows.diverged_at) for rows in finished)
        ):
            reporter.say(remark)
        rows = stacked(finished)
        remarks = [
            *connectivity_remarks(cell, rows.profiles),
            *newborn_remarks(cell, [EventRecord(*event) for event in rows.events], len(rows.diverged_at)),
        ]
        for remark in remarks:
            reporter.say(remark)
        path = write(finished, _attributes(device, options.threads, started, saved))
        remove_checkpoint(checkpoint)
        reporter.say(f"wrote {path}")


def _train_chunks(
    assignment: Assignment,
    splits: Splits,
    saved: _Saved,
    keeps_weights: bool,
    probe: Probe | None,
    keeper: "_Keeper",
    reporter: Reporter,
    curve_log: CurveLog,
) -> list[ChunkRows]:
    """Train the chunks that are not finished, and return the rows of all chunks."""
    cell = assignment.cell
    trainer, total_steps = TRAINERS[cell.model.trainer], cell.training.total_steps(cell.data.num_train)
    device = splits.train.targets.device
    for rows in list(assignment.chunks(saved.width))[len(saved.finished) :]:
        chunk, recorder = trainer.start(rows, device), Recorder(probe, len(rows), saved.probes)
        if saved.current is not None:
            chunk.restore_(saved.current, device)
            saved = saved._replace(current=None, probes={})
        elif assignment.starts is not None:
            start_from_(chunk, assignment.starts)
        reporter.begin(chunk.seeds, chunk.step, total_steps)
        if chunk.step == 0:
            recorder.after_step(chunk)
        keeper.begin(chunk, recorder)
        curve_log.begin(chunk)

        def after_step(chunk: Chunk, recorder: Recorder = recorder) -> None:
            recorder.after_step(chunk)
            reporter.step(chunk)
            keeper.after_step(chunk)

        def after_evaluation(evaluation: Evaluation, chunk: Chunk = chunk) -> None:
            reporter.evaluation(evaluation, cell.training.batch_size * cell.model.networks_per_example)
            curve_log.record(chunk, evaluation)

        trainer.train(chunk, splits, after_step, after_evaluation)
        events = [list(event) for event in chunk.events]
        weights = trainer.states(chunk, splits) if keeps_weights else ()
        saved.finished.append(
            ChunkRows(
                chunk.curves, chunk.diverged_at, len(rows), recorder.numbers, chunk.profiles, events, weights
            )
        )
    return saved.finished


class _Keeper:
    """Saves the checkpoint after a set wall time, and when a signal asks to stop.

    Args:
        path: of the checkpoint.
        assignment: cell and seeds of the job.
        saved: finished chunks, saved with the chunk in training.
        every: seconds between two checkpoints.
        stop: notes the signal.
    """

    def __init__(
        self, path: Path, assignment: Assignment, saved: _Saved, every: float, stop: StopRequest
    ) -> None:
        self.path, self.assignment, self.saved = path, assignment, saved
        self.every, self.stop = every, stop
        self.last = time.monotonic()
        self.recorder: Recorder | None = None

    def begin(self, chunk: Chunk, recorder: Recorder) -> None:
        """Save a chunk when it starts or is resumed. From now on its probes are saved with it.

        Args:
            chunk: the lanes that are trained next.
            recorder: holds what the probes of this chunk have measured.
        """
        self.recorder = recorder
        self.save(chunk)

    def save(self, chunk: Chunk) -> None:
        """Save the finished chunks and the chunk in training."""
        state = {
            "schema_version": SCHEMA_VERSION,
            "specification": self.assignment.specification,
            "seeds": list(self.assignment.seeds),
            "data_digest": self.saved.data_digest,
            "width": self.saved.width,
            "finished": [rows._asdict() for rows in self.saved.finished],
            "current": chunk.state(),
            "probes": {} if self.recorder is None else self.recorder.numbers,
            "trained_by": self.saved.trained_by,
        }
        save_checkpoint(self.path, state)
        self.last = time.monotonic()

    def after_step(self, chunk: Chunk) -> None:
        """Save if the wall time has passed. Save and stop if a signal came."""
        if self.stop.signal_name:
            self.save(chunk)
            raise Interrupted(
                f"stopped by {self.stop.signal_name} at step {chunk.step}, checkpoint saved; "
                "the same command goes on from there"
            )
        if time.monotonic() - self.last >= self.every:
            self.save(chunk)


def _resume(
    path: Path, assignment: Assignment, digest: str, keeps_weights: bool, reporter: Reporter
) -> _Saved | None:
    """Return the content of the checkpoint.

    A checkpoint that is damaged, of another job or of other data is renamed and reported. So is one whose finished runs
    lack the weights that are to be kept. One of hornlib 0.2 does not say of which data it is; it counts as one of these
    data.
    """
    expected = (assignment.specification, list(assignment.seeds))
    try:
        state = load_checkpoint(path)
        if state is None:
            return None
        if (state.get("specification"), state.get("seeds")) != expected:
            raise CheckpointError(f"{path}: the checkpoint belongs to another specification")
        if "groups" not in state["current"] or state.get("schema_version") != SCHEMA_VERSION:
            raise CheckpointError(f"{path}: the checkpoint was written by an older hornlib")
        stored_digest = state.get("data_digest", digest)
        if stored_digest != digest:
            raise CheckpointError(
                f"{path}: the checkpoint belongs to other examples of {assignment.cell.data.name} (digest "
                f"{stored_digest}, now {digest})"
            )
        if keeps_weights and not all(map(_has_weights, state["finished"])):
            raise CheckpointError(
                f"{path}: runs of the checkpoint were finished with keep_weights: off, and their weights are gone"
            )
    except CheckpointError as error:
        reporter.say(f"{error}; it is now {set_aside(path).name}, and training starts again")
        return None
    finished = [ChunkRows(**rows) for rows in state["finished"]]
    trained_by = state.get("trained_by")
    if trained_by is None:  # an earlier hornlib wrote the checkpoint
        trained_by = {"hornlib": state["versions"], "kernel": ["unknown"], "cpu_model": ["unknown"]}
    return _Saved(digest, state["width"], finished, state["current"], state["probes"], trained_by)


def _has_weights(rows: dict[str, Any]) -> bool:
    """Return whether the rows of a finished chunk, as a checkpoint holds them, have all weights of completed runs."""
    return len(rows.get("weights", ())) == int(rows["diverged_at"].isnan().sum())


def _attributes(
    device: torch.device, threads: int, started: datetime.datetime, saved: _Saved
) -> dict[str, str | int | float]:
    finished = datetime.datetime.now(datetime.UTC)
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or platform.machine()
    )
    return {
        "hornlib_version": version(),
        "hornlib_versions_trained": " ".join(saved.trained_by["hornlib"]),
        "hornlib_commit": commit(),
        "torch_version": torch.__version__,
        "device": f"{device.type} {name}".strip(),
        "kernel": THEN.join(saved.trained_by["kernel"]),
        "cpu_model": THEN.join(saved.trained_by["cpu_model"]),
        "host": platform.node(),
        "threads": threads,
        "data_digest": saved.data_digest,
        "started": started.isoformat(timespec="seconds"),
        "finished": finished.isoformat(timespec="seconds"),
        "job_seconds": (finished - started).total_seconds(),
    }
