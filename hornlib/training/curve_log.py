"""Learning curves of every run while it trains, as CSV files or for TensorBoard; off unless asked for."""

import csv
import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from hornlib.errors import ConfigError, ResultsError
from hornlib.results.atomic import written_atomically
from hornlib.training.chunk import CURVES, Chunk, Run
from hornlib.training.curves import Evaluation

__all__ = ["LOG_FORMATS", "CsvLog", "CurveLog", "TensorBoardLog", "make_curve_log"]

COLUMNS = ("step", "samples", "epochs", *CURVES)


class CurveLog:
    """The base class of the formats. It writes nothing.

    Args:
        folder: where the files belong, beside the checkpoint.
        report: prints one line. It reports a folder that cannot be written; training then goes on without the log.
    """

    def __init__(self, folder: Path, report: Callable[[str], None]) -> None:
        self.folder, self.report = folder, report
        self.is_broken = False

    def begin(self, chunk: Chunk) -> None:
        """Open the log of every run. Entries after the chunk's step are dropped, because training writes them again."""
        for run in chunk.rows:
            self._guarded(partial(self._begin, run, chunk.step))

    def record(self, chunk: Chunk, evaluation: Evaluation) -> None:
        """Append an evaluation to the log of every run that still trains.

        Args:
            chunk: its curves hold the values of the evaluation.
            evaluation: step and samples.
        """
        for run, entry in _entries(chunk, evaluation):
            self._guarded(partial(self._append, run, entry))

    def _begin(self, run: Run, step: int) -> None:
        pass

    def _append(self, run: Run, entry: dict[str, float]) -> None:
        pass

    def _guarded(self, action: Callable[[], None]) -> None:
        """Do the action. A full disk, or a damaged file, ends the log and not the training."""
        if self.is_broken:
            return
        try:
            action()
        except (OSError, ValueError, ResultsError) as error:
            self.is_broken = True
            reason = getattr(error, "strerror", None) or error
            self.report(
                f"{self.folder}: the log of the curves cannot be written ({reason}); training goes on"
            )


class CsvLog(CurveLog):
    """One CSV file for each run, `<cell>.seed-<seed>.csv`: step, samples, epochs and all curves."""

    def path(self, run: Run) -> Path:
        """Return the file of a run."""
        return self.folder / f"{_run_name(run)}.csv"

    def _begin(self, run: Run, step: int) -> None:
        path = self.path(run)
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        *lines, _ = text.split("\n")  # after the last line feed is nothing, or a part of a line
        earlier = [line for line in lines if (line_step := _step_of(line)) is not None and line_step <= step]
        with written_atomically(path) as temporary:
            temporary.write_text("\n".join([",".join(COLUMNS), *earlier, ""]), encoding="utf-8")

    def _append(self, run: Run, entry: dict[str, float]) -> None:
        with self.path(run).open("a", newline="", encoding="utf-8") as file:
            values = ("" if math.isnan(entry[name]) else f"{entry[name]:.9g}" for name in COLUMNS[1:])
            csv.writer(file, lineterminator="\n").writerow([int(entry["step"]), *values])


class TensorBoardLog(CurveLog):
    """One folder of TensorBoard's event files for each run, `tensorboard/<cell>.seed-<seed>`; see `CurveLog`."""

    def __init__(self, folder: Path, report: Callable[[str], None]) -> None:
        super().__init__(folder, report)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                "--log-format tensorboard needs the package tensorboard: pip install tensorboard; "
                "--log-format csv needs none"
            ) from error
        self._open = SummaryWriter
        self._writers: dict[str, Any] = {}

    def _begin(self, run: Run, step: int) -> None:
        name = _run_name(run)
        self._writers[name] = self._open(str(self.folder / "tensorboard" / name), purge_step=step + 1)

    def _append(self, run: Run, entry: dict[str, float]) -> None:
        writer = self._writers[_run_name(run)]
        for name in CURVES:
            if not math.isnan(entry[name]):
                writer.add_scalar(name, entry[name], int(entry["step"]))
        writer.flush()


LOG_FORMATS: dict[str, type[CurveLog]] = {"none": CurveLog, "csv": CsvLog, "tensorboard": TensorBoardLog}


def make_curve_log(log_format: str, folder: Path, report: Callable[[str], None]) -> CurveLog:
    """Return the log of a format.

    Args:
        log_format: a key of LOG_FORMATS.
        folder: where the files belong.
        report: prints one line.

    Raises:
        ConfigError: there is no such format, or its package is not installed.
    """
    if log_format not in LOG_FORMATS:
        raise ConfigError(f"--log-format {log_format}: it is one of {', '.join(LOG_FORMATS)}")
    return LOG_FORMATS[log_format](folder, report)


def _run_name(run: Run) -> str:
    return f"{run.cell.name}.seed-{run.seed}"


def _step_of(line: str) -> int | None:
    """Return the step of a line; None for the header, and for what a power cut made of a line."""
    values = line.split(",")
    try:
        step, *_ = [float(value) if value else math.nan for value in values]
        return int(step) if len(values) == len(COLUMNS) else None
    except ValueError:
        return None


def _entries(chunk: Chunk, evaluation: Evaluation) -> Iterator[tuple[Run, dict[str, float]]]:
    """Yield every run that still trains, and its values at an evaluation by column."""
    num_train = chunk.cell.data.num_train
    column = chunk.cell.training.evaluation_steps(num_train).index(evaluation.step)
    position = {
        "step": evaluation.step,
        "samples": evaluation.samples,
        "epochs": evaluation.samples / (num_train * chunk.cell.model.networks_per_example),
    }
    for row in chunk.training_rows:
        yield chunk.rows[row], position | {name: float(chunk.curves[name][row, column]) for name in CURVES}
