"""A sweep on this machine is refused while SLURM has jobs of the same results folder, which it would train again.

A head with the executor notes in the results folder where its records are. A head without the executor reads the note.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hornlib.errors import ResultsError
from hornlib.results.atomic import written_atomically

if TYPE_CHECKING:
    from snakemake_executor_plugin_submitit.batches import Batch
    from snakemake_executor_plugin_submitit.slurm import Slurm

__all__ = ["note_executor", "refuse_beside_cluster"]

NOTE = ".submitit"


class _Note(NamedTuple):
    """Where a head keeps the records of its jobs, and its working directory, to which outputs are relative."""

    folder: Path
    directory: str


def note_executor(results: str | Path, folder: str | Path | None) -> None:
    """Note in the results folder where the records of its submitted jobs are.

    Args:
        results: the results folder.
        folder: the executor's folder; None for its default in the working directory.

    Raises:
        ResultsError: the note cannot be written.
    """
    records = Path(folder or ".snakemake/submitit").expanduser().absolute()
    with written_atomically(Path(results) / NOTE) as temporary:
        temporary.write_text(json.dumps({"folder": str(records), "directory": os.getcwd()}))


def refuse_beside_cluster(results: str | Path, slurm: "Slurm | None" = None) -> None:
    """Refuse to train on this machine while jobs of the results folder are in SLURM's queue.

    Args:
        results: the results folder.
        slurm: the SLURM to ask; None for the programs on the PATH.

    Raises:
        ResultsError: such jobs wait or run, or SLURM cannot be asked although the records do not say that they ended.
    """
    from snakemake_executor_plugin_submitit.batches import read_batches
    from snakemake_executor_plugin_submitit.clusters import LocalCluster
    from snakemake_executor_plugin_submitit.slurm import Refused, Slurm, Unavailable

    note = _read_note(Path(results) / NOTE)
    if note is None or not (note.folder / "batches").is_dir():
        return
    folder = note.folder
    batches = read_batches(folder)
    unfinished = [batch for batch in batches if _has_unfinished_jobs(batch, note.directory, results)]
    harmless = {batch.uuid for batch in batches} - {batch.uuid for batch in unfinished}
    processes = LocalCluster(folder, []).queued(batch.array for batch in unfinished if batch.array)
    if processes:
        numbers = " ".join(sorted(array for array, _ in processes))
        raise ResultsError(
            f"{results}: process {numbers} on this machine trains jobs of this folder. Wait until it ends, or stop it: "
            f"kill {numbers}"
        )
    try:
        queued = (slurm or Slurm()).arrays_by_script(folder)
    except (Unavailable, Refused) as error:
        if not unfinished:
            return
        raise ResultsError(
            f"{results}: jobs of this folder were submitted to SLURM, and SLURM does not say whether they still wait "
            f"or run ({error}). Nothing was started, because they would be trained twice. Try again when SLURM "
            f"answers. If you know that none of them waits or runs, remove {folder / 'batches'}"
        ) from None
    if arrays := sorted(array for uuid, array in queued.items() if uuid not in harmless):
        raise ResultsError(
            f"{results}: SLURM has jobs of this folder in array {', '.join(arrays)}, and nothing was started, because "
            "they would be trained twice. To go on with them, give the command with the profile that submitted them, "
            f"e.g. --profile cluster/slurm. To train here instead, cancel them first: scancel {' '.join(arrays)}; "
            "their checkpoints stay"
        )


def _read_note(path: Path) -> _Note | None:
    """Return what a head with the executor noted; None for a results folder that was never used with SLURM.

    Raises:
        ResultsError: the note is damaged.
    """
    try:
        note = json.loads(path.read_bytes())
        return _Note(Path(note["folder"]), str(note["directory"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError):
        raise ResultsError(
            f"{path}: damaged; it says where jobs of this folder were submitted to SLURM. If you know that none of "
            "them waits or runs, remove it"
        ) from None


def _has_unfinished_jobs(batch: "Batch", directory: str, results: str | Path) -> bool:
    """Return whether a batch may have a job of the results folder that has not ended."""
    ended = batch.list_ended() | batch.collected
    outputs: Iterator[str] = (
        output for number, job in enumerate(batch.jobs) if number not in ended for output in job.outputs
    )
    inside = Path(os.path.abspath(results))
    return not batch.jobs or any(
        Path(os.path.normpath(os.path.join(directory, output))).is_relative_to(inside) for output in outputs
    )
