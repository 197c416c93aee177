"""Progress of a job while it trains: a bar on a terminal, plain lines in a log."""

import sys
import time
from types import TracebackType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn, TimeRemainingColumn

from hornlib.training.chunk import Chunk
from hornlib.training.curves import Evaluation
from hornlib.training.progress_lines import begin_line, evaluation_line, seeds_label

__all__ = ["Reporter"]


class Reporter:
    """Reports loss, metric, samples per second and time left of the chunk in training.

    Args:
        metric: the metric's name.
        stream: where to write; None: stderr. A terminal shows a bar, other streams get one line for each evaluation.
    """

    def __init__(self, metric: str, stream: TextIO | None = None) -> None:
        self.metric = metric
        self.stream = stream or sys.stderr
        self.bar: Progress | None = None
        self.task: TaskID | None = None
        self.started, self.first_step = time.perf_counter(), 0

    def __enter__(self) -> "Reporter":
        if self.stream.isatty():
            columns: tuple[ProgressColumn, ...] = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=8),  # with all that follows it fits into 80 columns
                TextColumn("{task.completed}/{task.total}"),
                TimeRemainingColumn(compact=True),
                TextColumn("{task.fields[scores]}"),
            )
            self.bar = Progress(*columns, console=Console(file=self.stream))
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()

    def say(self, line: str) -> None:
        """Write one line, above the bar where there is one."""
        if self.bar:
            self.bar.console.print(line, highlight=False, markup=False)
        else:
            print(line, file=self.stream, flush=True)

    def begin(self, seeds: list[int], first_step: int, total_steps: int) -> None:
        """Begin the report on a chunk.

        Args:
            seeds: its seeds.
            first_step: training steps done already.
            total_steps: training steps of the whole training.
        """
        self.started, self.first_step = time.perf_counter(), first_step
        if self.bar:
            if self.task is not None:
                self.bar.remove_task(self.task)
            label = seeds_label(seeds)
            self.task = self.bar.add_task(label, total=total_steps, completed=first_step, scores="")
        else:
            self.say(begin_line(seeds, first_step, total_steps))

    def step(self, chunk: Chunk) -> None:
        """Advance the bar to the chunk's step."""
        if self.bar and self.task is not None:
            self.bar.update(self.task, completed=chunk.step)

    def evaluation(self, evaluation: Evaluation, batch_size: int) -> None:
        """Report the medians over the lanes.

        Args:
            evaluation: what was measured.
            batch_size: examples of a training step of one lane, for samples per second.
        """
        elapsed = time.perf_counter() - self.started
        done = evaluation.step - self.first_step
        rate = done * batch_size * evaluation.lanes / max(elapsed, 1e-9)
        scores = f"loss {evaluation.loss:.4f} {self.metric} {evaluation.metric:.4f} {rate:,.0f} samples/s"
        if self.bar and self.task is not None:
            self.bar.update(self.task, scores=scores)
            return
        left = elapsed / max(done, 1) * (evaluation.total_steps - evaluation.step)
        self.say(evaluation_line(evaluation.step, evaluation.total_steps, scores, left))
