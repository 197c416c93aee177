"""Marks of the workflow: empty files that say which configuration a stage's output was made with."""

from pathlib import Path

__all__ = ["withdraw_marks"]

FOLDER = "digests"
"""Folder of the marks in the results folder; `workflow/rules/gather.smk` makes them."""


def withdraw_marks(results_folder: Path, stage: str, digest: str | None) -> None:
    """Remove the marks that no longer hold once a command writes the output of a stage.

    The next whole run then makes the output anew. Without this it would keep the output of another configuration, or
    of an unfinished sweep, because Snakemake only sees that the file is new.

    Args:
        results_folder: the results folder.
        stage: `gather`, `statistics` or `report`.
        digest: the digest that the new output has, whose mark stays. None removes all marks of the stage: the output
            is not what the workflow makes.
    """
    for mark in (results_folder / FOLDER).glob(f"{stage}-*"):
        if mark.name != f"{stage}-{digest}":
            mark.unlink(missing_ok=True)
