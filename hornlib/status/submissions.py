"""The state of submitted jobs, from the executor's records and SLURM. Nothing is written."""

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hornlib.grid.jobs import Job
from hornlib.status.standing import JobState, Standing

if TYPE_CHECKING:
    from snakemake_executor_plugin_submitit.batches import Batch, Place
    from snakemake_executor_plugin_submitit.causes import Verdict
    from snakemake_executor_plugin_submitit.slurm import Accounted, Queued, Slurm, TaskId

__all__ = ["Submissions", "parse_duration", "task_id"]

WAITING = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT"}
KILLED = {-9, 137}
"""Exit codes of SIGKILL. Only the accounting knows whether memory was the cause."""


class Submissions:
    """The latest submission of every job that the workflow has not recorded as done.

    Args:
        folder: the executor's folder.
        slurm: the SLURM to ask; None for the programs on the PATH.

    Attributes:
        latest: run file (normalised path) -> latest submission of its job.
        processes: tasks that are processes of this machine, outside SLURM.
        queue: tasks that wait or run. If SLURM does not answer, only the processes of this machine.
        silence: why SLURM did not answer, or "".
        damage: a sentence for each damaged file of the records.
        head: the Snakemake process that watches the jobs, or None.
    """

    def __init__(self, folder: Path, slurm: "Slurm | None" = None) -> None:
        from snakemake_executor_plugin_submitit.batches import index_latest, read_batches
        from snakemake_executor_plugin_submitit.lease import read_head
        from snakemake_executor_plugin_submitit.slurm import Slurm

        self.slurm = slurm or Slurm()
        self.silence = ""
        self.head = read_head(folder)
        batches = read_batches(folder)
        self.damage = [sentence for batch in batches for sentence in batch.damage]
        self._find_arrays(batches, folder)
        self.latest: dict[str, Place] = {
            os.path.normpath(output): place
            for outputs, place in index_latest(batches).items()
            for output in outputs
        }
        self.processes: set[TaskId] = set()
        self.queue: dict[TaskId, Queued] = self._ask_queue(folder)
        self._listed: dict[str, set[int]] = {}

    def place(self, run: str | Path) -> "Place | None":
        """Return the latest submission of the job with this run file."""
        return self.latest.get(os.path.normpath(run))

    def queued(self, place: "Place") -> "Queued | None":
        """Return the entry of a submission in the queue, or None."""
        return self.queue.get(task_id(place))

    def has_ended(self, place: "Place") -> bool:
        """Return whether a job has ended.

        The exit file of a job that left the queue is looked for by its name. For a queued job, one listing of the
        folder serves all jobs.
        """
        batch, number = place
        if self.queued(place) is None:
            return batch.read_exit(number) is not None
        if batch.uuid not in self._listed:
            self._listed[batch.uuid] = batch.list_ended()
        return number in self._listed[batch.uuid]

    def stand(self, places: "Mapping[Job, Place]") -> dict[Job, Standing]:
        """Return the states of these jobs; one query of the accounting serves all jobs without an exit file."""
        standings: dict[Job, Standing] = {}
        ended: dict[Job, dict[str, Any] | None] = {}
        for job, place in places.items():
            record = place.batch.read_exit(place.number) if self.has_ended(place) else None
            standing = None if record else self._going_on(job, place)
            if standing is None:
                ended[job] = record
            else:
                standings[job] = standing
        unexplained = [
            places[job]
            for job, record in ended.items()
            if record is None or (record["code"] in KILLED and "cause" not in record)
        ]
        accounts = self._ask_accounts(place.batch for place in unexplained)
        for job, record in ended.items():
            standings[job] = self._ended(job, places[job], record, accounts.get(task_id(places[job])))
        return standings

    def _going_on(self, job: Job, place: "Place") -> Standing | None:
        """Return the state of a job without an exit file; None for one that left the queue."""
        batch, number = place
        if batch.array is None:
            if self.head is not None and self.head.lives:
                return Standing(job, JobState.QUEUED, "is being submitted")
            return Standing(
                job,
                JobState.OPEN,
                "the head was stopped while it submitted this job; the next head finds out",
            )
        name = batch.external_id(number)
        task = self.queued(place)
        if task is not None:
            return _from_queue(job, name, task)
        if not self.silence:
            return None
        starts = batch.read_starts(number)
        if not starts:
            return Standing(job, JobState.QUEUED, "as of the records", name)
        # A process of another machine is unknown to SLURM: its id has no task.
        return (
            Standing(job, JobState.RUNNING, "as of the records", name, starts[-1].host)
            if "_" in starts[-1].job
            else None
        )

    def _ended(
        self, job: Job, place: "Place", record: dict[str, Any] | None, account: "Accounted | None"
    ) -> Standing:
        from snakemake_executor_plugin_submitit.causes import Cause
        from snakemake_executor_plugin_submitit.slurm import STILL_GOING

        batch, number = place
        name = batch.external_id(number)
        if record is None and account is not None and account.state.split(" ")[0] in STILL_GOING:
            return Standing(job, JobState.RUNNING, "is leaving the queue", name, account.nodes)
        verdict = _verdict(place, record, account)
        if verdict.cause is Cause.SUCCESS:
            sentence = (
                "it ended without an error, but its run file is missing: removed, or late on this file system"
            )
            return Standing(job, JobState.FAILED, sentence, name)
        goes_on = verdict.cause.goes_on
        if record is not None and "cause" in record:  # a head's judgement, which it may not have made final
            goes_on = not record.get("final")
        is_stopped = goes_on or verdict.cause is Cause.CANCELLED
        return Standing(job, JobState.STOPPED if is_stopped else JobState.FAILED, verdict.sentence, name)

    def _find_arrays(self, batches: "Iterable[Batch]", folder: Path) -> None:
        """Find the ids of arrays that no head recorded: in what their tasks wrote, else in the queue."""
        from snakemake_executor_plugin_submitit.slurm import Refused, Unavailable

        for batch in batches:
            batch.array = batch.array or batch.find_array()
        nameless = [batch for batch in batches if batch.array is None]
        with contextlib.suppress(Unavailable, Refused):
            listed = self.slurm.find_arrays(folder, {batch.uuid for batch in nameless}) if nameless else {}
            for batch in nameless:
                batch.array = listed[batch.uuid].id if batch.uuid in listed else None

    def _ask_queue(self, folder: Path) -> "dict[TaskId, Queued]":
        from snakemake_executor_plugin_submitit.clusters import LocalCluster
        from snakemake_executor_plugin_submitit.slurm import Refused, Unavailable

        arrays = {place.batch.array for place in self.latest.values() if place.batch.array is not None}
        processes = LocalCluster(folder, []).queued(arrays) if arrays else {}
        self.processes = set(processes)
        try:
            return {**self.slurm.queued(arrays - {array for array, _ in processes}), **processes}
        except (Unavailable, Refused) as error:
            self.silence = str(error)
            return processes

    def _ask_accounts(self, batches: "Iterable[Batch]") -> "dict[TaskId, Accounted]":
        from snakemake_executor_plugin_submitit.slurm import Refused, Unavailable

        arrays = {batch.array for batch in batches if batch.array is not None}
        if not arrays or self.silence:
            return {}
        try:
            return self.slurm.accounted(arrays)
        except (Unavailable, Refused) as error:
            self.silence = str(error)
            return {}


def task_id(place: "Place") -> "TaskId":
    """Return array and task of a submission."""
    return str(place.batch.array), place.batch.task(place.number)


def parse_duration(text: str) -> float | None:
    """Return the seconds of SLURM's 1-02:03:04, 02:03:04 or 59:10; None for UNLIMITED and the like."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text.strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _from_queue(job: Job, name: str, task: "Queued") -> Standing:
    if task.state in WAITING:
        reason = "" if task.reason in ("", "None") else task.reason
        return Standing(job, JobState.QUEUED, reason, name)
    reason = "" if task.state == "RUNNING" else task.state.lower()
    return Standing(job, JobState.RUNNING, reason, name, task.nodes, parse_duration(task.time_left))


def _verdict(place: "Place", record: dict[str, Any] | None, account: "Accounted | None") -> "Verdict":
    """Return the cause of an end, by the same rules as the head."""
    from snakemake_executor_plugin_submitit.causes import judge
    from snakemake_executor_plugin_submitit.tails import last_lines

    batch, number = place
    memory = batch.parameters.get("mem")
    return judge(
        record,
        account,
        said=last_lines([batch.log(number), *map(Path, place.record.logs)], 20),
        memory_mb=float(str(memory).removesuffix("MB")) if memory else None,
        started=record is not None or bool(batch.read_starts(number)),
        fenced=batch.is_abandoned,
    )
