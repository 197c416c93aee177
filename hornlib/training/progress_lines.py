"""The lines of a training log that report progress: training writes them, and `hornlib status` reads them."""

import re
from collections.abc import Sequence
from string import Formatter
from typing import NamedTuple

__all__ = ["Progress", "begin_line", "evaluation_line", "read_progress", "seeds_label"]

BEGIN = "{seeds}: step {step} of {total_steps}"
EVALUATION = "step {step}/{total_steps}  {scores}  {seconds_left} s left"
ONE_SEED = "seed {first}"
MANY_SEEDS = "seeds {first}-{last}"


class Progress(NamedTuple):
    """Progress of the chunk in training.

    Attributes:
        step, total_steps: training steps done, and all of them, of each seed.
        seconds_left: estimated time left of this chunk; None before its first evaluation.
        seeds: first and last seed of the chunk; None where the log does not name them.
    """

    step: int
    total_steps: int
    seconds_left: float | None = None
    seeds: tuple[int, int] | None = None

    def job_seconds_left(self, last_seed: int) -> float | None:
        """Return the time left of a job up to its last seed, seconds, if its later chunks take as long as this one.

        None where nothing was measured yet, or where this chunk is at its end and others follow.
        """
        if self.seconds_left is None or self.seeds is None or self.seeds[1] >= last_seed:
            return self.seconds_left
        if self.step >= self.total_steps:
            return None
        width = self.seeds[1] - self.seeds[0] + 1
        chunks_to_come = -(-(last_seed - self.seeds[1]) // width)
        return self.seconds_left * (1 + chunks_to_come * self.total_steps / (self.total_steps - self.step))


def seeds_label(seeds: Sequence[int]) -> str:
    """Return the label of a chunk: seed 3, seeds 0-4."""
    template = ONE_SEED if len(seeds) == 1 else MANY_SEEDS
    return template.format(first=seeds[0], last=seeds[-1])


def begin_line(seeds: Sequence[int], step: int, total_steps: int) -> str:
    """Return the line that opens a chunk.

    Args:
        seeds: seeds of the chunk.
        step: training steps done already.
        total_steps: training steps of the whole training.
    """
    return BEGIN.format(seeds=seeds_label(seeds), step=step, total_steps=total_steps)


def evaluation_line(step: int, total_steps: int, scores: str, seconds_left: float) -> str:
    """Return the line of an evaluation.

    Args:
        step, total_steps: training steps done, and all of them.
        scores: text with loss and metric.
        seconds_left: estimated time left of this chunk.
    """
    return EVALUATION.format(
        step=step, total_steps=total_steps, scores=scores, seconds_left=f"{seconds_left:.0f}"
    )


def read_progress(text: str) -> Progress | None:
    """Return the progress that the end of a log reports; None without a complete line of progress.

    Args:
        text: the log, or its end. Incomplete lines and lines of other programs are skipped.
    """
    progress: Progress | None = None
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):  # half a number would read as a number
            continue
        if match := _BEGIN.fullmatch(line.rstrip()):
            progress = Progress(int(match["step"]), int(match["total_steps"]), None, _seeds(match["seeds"]))
        elif match := _EVALUATION.fullmatch(line.rstrip()):
            seeds = progress.seeds if progress else None
            left = float(match["seconds_left"])
            progress = Progress(int(match["step"]), int(match["total_steps"]), left, seeds)
    return progress


def _reader(template: str, **fields: str) -> re.Pattern[str]:
    """Return the pattern of a template's lines. It is made from the template, so that both always agree."""
    parts = (
        re.escape(literal) + (f"(?P<{name}>{fields.get(name, '[0-9]+')})" if name else "")
        for literal, name, _, _ in Formatter().parse(template)
    )
    return re.compile("".join(parts))


_ONE_SEED, _MANY_SEEDS = _reader(ONE_SEED), _reader(MANY_SEEDS)
_BEGIN, _EVALUATION = _reader(BEGIN, seeds="seeds? [0-9-]+"), _reader(EVALUATION, scores=".*")


def _seeds(label: str) -> tuple[int, int] | None:
    if match := _ONE_SEED.fullmatch(label):
        return int(match["first"]), int(match["first"])
    if match := _MANY_SEEDS.fullmatch(label):
        return int(match["first"]), int(match["last"])
    return None
