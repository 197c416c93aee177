"""Marks of the workflow: empty files that say which configuration a stage's output was made with."""

import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["keep_mark", "withdraw_marks"]

FOLDER = "digests"
"""Folder of the marks in the results folder; `workflow/rules/gather.smk` makes them."""


def withdraw_marks(results_folder: Path, stage: str, digest: str | None) -> None:
    """Remove the marks that no longer hold once a command writes the output of a stage.

    The next whole run then makes the output anew. Without this it would keep the output of another configuration, or
    of an unfinished sweep, because Snakemake only sees that the file is new.

    Args:
        results_folder: the results folder.
        stage: `gather`, `importance`, `statistics` or `report`.
        digest: the digest that the new output has, whose mark stays. None removes all marks of the stage: the output
            is not what the workflow makes.
    """
    for mark in (results_folder / FOLDER).glob(f"{stage}-*"):
        if mark.name != f"{stage}-{digest}":
            mark.unlink(missing_ok=True)


def keep_mark(results_folder: Path, stage: str, digest: str, outputs: Iterable[Path]) -> None:
    """Make the mark of outputs that a command has made or found current, so that the next whole run keeps them.

    Snakemake makes anew what is older than its mark. The mark therefore gets the time of the oldest output.

    Args:
        results_folder: the results folder.
        stage: whose mark it is.
        digest: of the configuration that the outputs belong to.
        outputs: files of the stage.
    """
    withdraw_marks(results_folder, stage, digest)
    times = [path.stat().st_mtime_ns for path in outputs]
    if not times:
        return
    mark = results_folder / FOLDER / f"{stage}-{digest}"
    mark.parent.mkdir(exist_ok=True)
    mark.touch()
    os.utime(mark, ns=(min(times), min(times)))
