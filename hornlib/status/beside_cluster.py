"""A sweep is refused while submitted jobs of its results folder wait or run that it would train again.

A head that submits jobs notes in the results folder where its records are. A later head takes over the jobs in its own
records if they run where its own jobs run. All other submitted jobs are a reason to refuse.
"""

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hornlib.errors import ResultsError
from hornlib.results.atomic import written_atomically

if TYPE_CHECKING:
    from snakemake_executor_plugin_submitit.batches import Batch
    from snakemake_executor_plugin_submitit.slurm import Slurm

__all__ = ["SubmittingHead", "note_head", "refuse_beside_cluster", "submitting_head"]

NOTE = ".submitit"


class SubmittingHead(NamedTuple):
    """A Snakemake process that submits jobs.

    Attributes:
        folder: the executor's folder, where the records of its jobs are.
        directory: its working directory, to which the outputs of its jobs are relative.
        cluster: where its jobs run: slurm, or local (processes of its machine, which outlive it).
    """

    folder: str
    directory: str
    cluster: str


def submitting_head(settings: Any) -> SubmittingHead | None:
    """Return this process as a head that submits jobs; None where its jobs end with it.

    Args:
        settings: Snakemake's settings of its executor.

    Raises:
        ResultsError: the folder cannot be the executor's.
    """
    from snakemake_executor_plugin_submitit.folder import FolderError, find_folder
    from snakemake_executor_plugin_submitit.settings import ExecutorSettings

    if not isinstance(settings, ExecutorSettings) or settings.cluster == "debug":
        return None
    try:
        folder = find_folder(settings.folder)
    except FolderError as error:
        raise ResultsError(str(error)) from None
    return SubmittingHead(os.path.realpath(folder), os.getcwd(), str(settings.cluster))


def note_head(results: str | Path, head: SubmittingHead) -> None:
    """Note in the results folder where the records of a head's jobs are, beside earlier heads with unfinished jobs.

    Args:
        results: the results folder.
        head: the head that begins to submit.

    Raises:
        ResultsError: the note is damaged or cannot be written.
    """
    path = Path(results) / NOTE
    others = [other for other in _read_note(path) if other != head and _may_have_jobs(other, results)]
    with written_atomically(path) as temporary:
        temporary.write_text(json.dumps([noted._asdict() for noted in [*others, head]]))


def refuse_beside_cluster(
    results: str | Path, head: SubmittingHead | None = None, slurm: "Slurm | None" = None
) -> None:
    """Refuse to train while jobs of the results folder wait or run that this head does not take over.

    Args:
        results: the results folder.
        head: this process if it submits jobs; None if it trains on this machine.
        slurm: the SLURM to ask; None for the programs on the PATH.

    Raises:
        ResultsError: such jobs wait or run, or it cannot be found out.
    """
    path = Path(results) / NOTE
    for other in _read_note(path):
        if head is not None and (other.folder, other.cluster) == (head.folder, head.cluster):
            continue
        try:
            batches = _read_batches(other)
            if other.cluster == "local":
                _refuse_processes(results, other, batches)
            elif os.path.isdir(os.path.join(other.folder, "batches")):
                _refuse_arrays(results, other, batches, slurm)
        except OSError as error:
            raise ResultsError(
                f"{results}: jobs of this folder were submitted by {_owner(other.folder, path)}, and their records in "
                f"{other.folder} cannot be read ({error.strerror}). Nothing was started, because jobs that still wait "
                "or run would be trained twice. Ask the owner; if you know that none of them waits or runs, remove "
                f"{path}"
            ) from None


def _refuse_processes(results: str | Path, head: SubmittingHead, batches: "Iterable[Batch]") -> None:
    from snakemake_executor_plugin_submitit.clusters import LocalCluster

    unfinished = [batch for batch in batches if _has_unfinished_jobs(batch, head.directory, results)]
    arrays = [batch.array or batch.find_array() for batch in unfinished]
    processes = LocalCluster(Path(head.folder), []).queued(array for array in arrays if array is not None)
    if processes:
        numbers = " ".join(sorted(array for array, _ in processes))
        # after SIGTERM, submitit's controller starts a job again, which goes on from its checkpoint
        raise ResultsError(
            f"{results}: processes of this machine train jobs of this folder. Wait until they end, or stop them: "
            f"kill -INT {numbers}"
        )


def _refuse_arrays(
    results: str | Path, head: SubmittingHead, batches: "Iterable[Batch]", slurm: "Slurm | None"
) -> None:
    from snakemake_executor_plugin_submitit.slurm import ENDED, Refused, Slurm, Unavailable

    records = Path(head.folder) / "batches"
    is_unfinished = {batch.uuid: _has_unfinished_jobs(batch, head.directory, results) for batch in batches}
    unfinished = [uuid for uuid, answer in is_unfinished.items() if answer]
    try:
        listed = (slurm or Slurm()).find_arrays(Path(head.folder), unfinished)
    except (Unavailable, Refused) as error:
        if not unfinished:
            return
        raise ResultsError(
            f"{results}: jobs of this folder were submitted to SLURM, and SLURM does not say whether they still wait "
            f"or run ({error}). Nothing was started, because they would be trained twice. Try again when SLURM "
            f"answers. If you know that none of them waits or runs, remove {records}"
        ) from None
    # A job that leaves its node may still save a checkpoint; it has ended if its record is gone.
    over = {
        uuid
        for uuid, array in listed.items()
        if array.states <= ENDED or (array.has_ended and uuid not in is_unfinished)
    }
    arrays = sorted(
        array.id for uuid, array in listed.items() if uuid not in over and is_unfinished.get(uuid, True)
    )
    if arrays:
        raise ResultsError(
            f"{results}: SLURM has jobs of this folder in array {', '.join(arrays)}, and nothing was started, because "
            "they would be trained twice. To go on with them, give the command with the profile that submitted them, "
            f"e.g. --profile cluster/slurm, with the submitit-folder {head.folder}. To train them anew instead, cancel "
            f"them first: scancel {' '.join(arrays)}; their checkpoints stay"
        )


def _read_note(path: Path) -> list[SubmittingHead]:
    """Return the heads that submitted jobs of a results folder; none for a folder that was never used in this way.

    Raises:
        ResultsError: the note is damaged, or cannot be read.
    """
    try:
        heads = [SubmittingHead(**fields) for fields in json.loads(path.read_bytes())]
        if not all(isinstance(field, str) for head in heads for field in head):
            raise ValueError("a field is no text")
        return heads
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError):
        raise ResultsError(
            f"{path}: damaged; it says where jobs of this folder were submitted to SLURM. If you know that none of "
            "them waits or runs, remove it"
        ) from None


def _read_batches(head: SubmittingHead) -> "list[Batch]":
    """Return the records of a head's jobs.

    Raises:
        OSError: the records cannot be read.
    """
    from snakemake_executor_plugin_submitit.batches import read_batches

    return read_batches(Path(head.folder))


def _may_have_jobs(head: SubmittingHead, results: str | Path) -> bool:
    """Return whether a head may have a job of the results folder that has not ended."""
    try:
        return any(_has_unfinished_jobs(batch, head.directory, results) for batch in _read_batches(head))
    except OSError:
        return True


def _has_unfinished_jobs(batch: "Batch", directory: str, results: str | Path) -> bool:
    """Return whether a batch may have a job of the results folder that has not ended."""
    ended = batch.list_ended() | batch.collected
    folders = {
        os.path.dirname(os.path.join(directory, output))
        for number, job in enumerate(batch.jobs)
        if number not in ended
        for output in job.outputs
    }
    inside = Path(os.path.realpath(results))
    return not batch.jobs or any(Path(os.path.realpath(folder)).is_relative_to(inside) for folder in folders)


def _owner(folder: str, note: Path) -> str:
    """Return the owner of an executor's folder, else that of the note about it."""
    for path in (Path(folder), note):
        with suppress(OSError, KeyError):
            return path.owner()
    return "another user"
