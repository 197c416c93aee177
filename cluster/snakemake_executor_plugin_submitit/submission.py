"""Adoption and submission of jobs.

The record is written before sbatch is called, and the job id after it. A kill between two steps loses nothing.
"""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from snakemake_executor_plugin_submitit.batches import (
    Batch,
    Place,
    clear_removed,
    index_latest,
    list_unfinished,
    read_batches,
    write_batch,
)
from snakemake_executor_plugin_submitit.causes import Cause, Verdict
from snakemake_executor_plugin_submitit.clusters import Cluster
from snakemake_executor_plugin_submitit.parameters import describe_array
from snakemake_executor_plugin_submitit.records import VERSION
from snakemake_executor_plugin_submitit.requests import Event, Policy, Request, StopSweep
from snakemake_executor_plugin_submitit.slurm import (
    ENDED,
    STILL_GOING,
    Queued,
    QueueFull,
    Refused,
    TaskId,
    Unavailable,
)
from snakemake_executor_plugin_submitit.snapshots import restore

__all__ = ["Submitter"]

UNSETTLED = "it is not known whether it was submitted"

UNWATCHED = Verdict(
    Cause.VANISHED, "it left the queue while no head watched it, and nothing says how it ended"
)

MAY_RETURN = STILL_GOING | {"NODE_FAIL", "PREEMPTED"}
"""States of a job outside the queue that SLURM may requeue at any moment; it is watched, not submitted again."""


class Submitter:
    """Turns wanted jobs into arrays, unless an earlier head submitted them.

    Args:
        folder: the executor's folder, which all nodes share.
        cluster: the cluster to submit to.
        policy: the limits of arrays, and the numbers of requeues.
        header: fields of every batch record: shell, directory, umask.
        explain: returns a message for a refusal of sbatch and the parameters that were refused.
        say: the logger for people.
        code: the content of the files that jobs run; a site may remove old files while the head lives.
    """

    def __init__(
        self,
        folder: Path,
        cluster: Cluster,
        policy: Policy,
        header: dict[str, Any],
        explain: Callable[[str, dict[str, Any]], str],
        say: logging.Logger,
        code: Mapping[Path, bytes],
    ) -> None:
        self.folder, self.cluster, self.policy, self.header = folder, cluster, policy, header
        self.explain, self.say, self.code = explain, say, code
        self.latest: dict[tuple[str, ...], Place] | None = (
            None  # outputs -> latest submission; None: not read yet
        )
        self.unsettled: list[Batch] = []  # sbatch gave no answer
        self.arrays: dict[str, str] = {}  # every array of this sweep that has a record, and its batch's uuid
        self.superseded: dict[tuple[str, ...], list[Place]] = {}  # earlier submissions of a job
        self.warned: set[str] = set()  # warnings about records that were given already
        self.room: int | None = None  # tasks that the queue took when it was full
        self.stopping = False

    async def submit(self, wanted: list[Request], events: list[Event]) -> None:
        """Adopt or submit the wanted jobs, as far as that is possible now.

        Args:
            wanted: the jobs.
            events: receives one event for each job that was submitted, adopted or failed.

        Raises:
            Unavailable: SLURM is away or the queue is full. A job without an event is still wanted.
            StopSweep: sbatch refuses, or the record cannot be written.
        """
        if self.latest is None:
            self.latest = self._read_latest()
        if self.unsettled:
            for batch in self._resolve(self.unsettled):
                self._index(batch)
            self.unsettled = []
        for alike in _alike(self._adopt(wanted, events)):
            while alike and not self.stopping:
                size = self._array_size()
                chunk, alike = alike[:size], alike[size:]
                prepared = [request for request in chunk if await _prepare(request, events)]
                if prepared:
                    events += self._submit(prepared)

    def _adopt(self, wanted: list[Request], events: list[Event]) -> list[Request]:
        """Take over the jobs that wait, run or ended well; return the jobs that must be submitted."""
        assert self.latest is not None
        places = [(request, self.latest.get(request.record.outputs)) for request in wanted]
        arrays = {place.batch.array for _, place in places if place and place.batch.array}
        queued = self.cluster.queued(arrays) if arrays else {}
        silent = {
            place.batch.array
            for request, place in places
            if place and self._is_silent(request, place, queued)
        }
        accounts = self.cluster.accounted(filter(None, silent)) if silent else {}
        queued = {**(self.cluster.look_up(filter(None, silent)) if silent else {}), **queued}
        unsubmitted = []
        cancelled: set[str] = set()
        adopted = 0
        for request, place in places:
            if place is None:
                unsubmitted.append(request)
                continue
            task = (str(place.batch.array), place.batch.task(place.number))
            account = accounts.get(task)
            # A job that has been judged already is alive again only if the queue lists it.
            may_return = MAY_RETURN if not request.restarts else set()
            stands = (task in queued and place.batch.owns(queued[task].comment)) or (
                account is not None and account.state.split(" ")[0] in may_return
            )
            ended = place.batch.read_exit(place.number)
            if ended is None and not stands and not place.batch.give_up(place.number, UNWATCHED):
                ended = place.batch.read_exit(place.number)  # It ended at this moment.
            if ended is None and stands and place.batch.is_abandoned:
                cancelled.add(
                    task[0]
                )  # It still saves, or the controller was away at its cancellation. Its successor waits.
                continue
            done = ended["code"] == 0 if ended else account is not None and account.state == "COMPLETED"
            finished = done and request.adopts_success and request.has_outputs()
            if finished or (ended is None and stands):
                request.submitted(place)
                events.append(Event("submitted", request))
                adopted += 1
            else:
                unsubmitted.append(request)
        if cancelled:
            self.cluster.cancel(sorted(cancelled))
        if adopted:
            self.say.info(f"{adopted} jobs were submitted before and are taken over")
        return unsubmitted

    def _is_silent(self, request: Request, place: Place, queued: dict[TaskId, Queued]) -> bool:
        """Return whether neither the queue nor the disk knows the state of a job."""
        batch = place.batch
        if batch.array is None or batch.is_abandoned:
            return False
        task = queued.get((batch.array, batch.task(place.number)))
        return (task is None or not batch.owns(task.comment)) and batch.read_exit(place.number) is None

    def _read_latest(self) -> dict[tuple[str, ...], Place]:
        clear_removed(self.folder)
        batches = read_batches(self.folder)
        for batch in batches:
            if batch.version != VERSION:
                raise StopSweep(
                    f"{batch.folder} was written by another version of the executor (its records have the version "
                    f"{batch.version}, and this one reads version {VERSION}). Nothing was submitted or cancelled. Use "
                    "the hornlib that submitted these jobs until they are done, or name another folder with "
                    "--submitit-folder"
                )
        for sentence in (sentence for batch in batches for sentence in batch.damage):
            self._warn_once(sentence)
        self._end_unknown(batches)
        batches = [batch for batch in batches if batch.jobs]
        self._resolve([batch for batch in batches if batch.array is None])
        batches = [batch for batch in batches if batch.array is not None]
        self.arrays.update({str(batch.array): batch.uuid for batch in batches})
        latest = index_latest(batches)
        used = {place.batch.uuid for place in latest.values()}
        for batch in batches:
            if batch.uuid not in used:
                batch.remove()  # all its jobs are done, or were submitted again later
                continue
            for number, job in enumerate(batch.jobs):
                if number not in batch.collected and latest[job.outputs] != Place(batch, number):
                    self.superseded.setdefault(job.outputs, []).append(Place(batch, number))
        return latest

    def _warn_once(self, sentence: str) -> None:
        if sentence not in self.warned:
            self.warned.add(sentence)
            self.say.warning(sentence)

    def _end_unknown(self, batches: list[Batch]) -> None:
        """Cancel the arrays of this folder whose jobs are unknown, because their record is damaged or missing.

        Their jobs would otherwise run beside jobs that are submitted again. An array that ends by itself may have no
        record, because its results were collected.

        Raises:
            Unavailable: such an array is still in the queue.
        """
        damaged_batches = {batch.uuid: batch for batch in batches if not batch.jobs}
        for batch in damaged_batches.values():
            if not batch.is_abandoned:
                batch.abandon("its record is damaged")
        headless_uuids = {place.name for place in list_unfinished(self.folder)}
        listed_arrays = self.cluster.find_arrays(self.folder, damaged_batches.keys() | headless_uuids)
        arrays = {
            uuid: listed_arrays[uuid].id if uuid in listed_arrays else batch.array or batch.find_array()
            for uuid, batch in damaged_batches.items()
        }
        uuids = {array: uuid for uuid, array in arrays.items() if array is not None}
        queued = {**self.cluster.look_up(uuids), **self.cluster.queued(uuids)} if uuids else {}
        unknown_arrays = {
            array: f"{damaged_batches[uuids[array]].folder}: its record is damaged"
            for (array, _), task in queued.items()
            if damaged_batches[uuids[array]].owns(task.comment)
        }
        for uuid in listed_arrays.keys() - {batch.uuid for batch in batches}:
            listed_array = listed_arrays[uuid]
            fence = Batch(self.folder / "batches" / uuid, [], 1, {}, 0.0)
            if listed_array.states <= ENDED or (listed_array.has_ended and not fence.is_abandoned):
                continue
            fence.abandon("its record is missing")  # the next head waits for it too while it saves
            unknown_arrays[listed_array.id] = f"{fence.folder}: its record is missing"
        if unknown_arrays:
            self.cluster.cancel(sorted(unknown_arrays))
            names = ", ".join(f"array {array} ({why})" for array, why in sorted(unknown_arrays.items()))
            raise Unavailable(
                f"the queue has unknown jobs of this sweep: {names}. Their arrays are cancelled, and jobs without a "
                "result are submitted again when the arrays have left the queue"
            )
        for batch in damaged_batches.values():
            self._warn_once(
                f"{batch.folder}: the jobs of this record are unknown, and its array is not in the queue; the record "
                "is removed, and jobs whose results are missing are submitted again"
            )
            batch.remove()
        for place in list_unfinished(self.folder):
            Batch(place, [], 1, {}, 0.0).remove()

    def _resolve(self, batches: list[Batch]) -> list[Batch]:
        """Find out whether batches without a job id were submitted; return those that were, and remove the others.

        The sbatch of a killed head may still be on its way. The fence is raised before a batch counts as not
        submitted, and a task that has started by then is in the queue. A task that starts later has no record, in
        which its commands stand.
        """
        if not batches:
            return []
        for batch in batches:
            if not batch.is_abandoned:
                batch.abandon(UNSETTLED)
        listed_arrays = self.cluster.find_arrays(self.folder, {batch.uuid for batch in batches})
        submitted_batches = []
        for batch in batches:
            array = listed_arrays[batch.uuid].id if batch.uuid in listed_arrays else batch.find_array()
            if array is None:
                batch.remove()
                continue
            if batch.abandoned_because == UNSETTLED:
                batch.readopt()
            batch.record_array(array)
            self.arrays[array] = batch.uuid
            submitted_batches.append(batch)
        return submitted_batches

    def _index(self, batch: Batch) -> None:
        """Note that the jobs of a batch are in the queue, each after its earlier submissions."""
        assert self.latest is not None
        for number, job in enumerate(batch.jobs):
            if before := self.latest.get(job.outputs):
                self.superseded.setdefault(job.outputs, []).append(before)
            self.latest[job.outputs] = Place(batch, number)

    def _array_size(self) -> int:
        """Return the largest number of jobs in the next array: the least that SLURM, settings and queue allow."""
        limits = (self.cluster.max_tasks(), self.policy.array_size, self.room)
        return min(limit for limit in limits if limit) * self.policy.jobs_per_task

    def _submit(self, requests: list[Request]) -> list[Event]:
        """Submit one array."""
        parameters = requests[0].final_parameters
        batch = self._write(requests, parameters)
        name, comment = describe_array(batch.uuid, [request.record.name for request in requests])
        try:
            array = self.cluster.submit(batch, name, comment)
        except QueueFull:
            self.room = max(1, batch.num_tasks // 2)
            batch.remove()
            raise
        except Unavailable:
            # The array may exist although no answer came. The queue is asked before its jobs are submitted again.
            self.unsettled.append(batch)
            raise
        except Refused as refused:
            batch.remove()
            if any(request.failed_nodes for request in requests):
                for request in requests:
                    request.failed_nodes.clear()
                raise Unavailable(f"{refused}: without the nodes that failed there are none left") from None
            message = self.explain(str(refused), parameters)
            if all(request.memory_retries for request in requests):
                return [_out_of_memory(request, message) for request in requests]
            raise StopSweep(
                f"{message}. Nothing of this batch was submitted; running jobs are left alone"
            ) from None
        batch.record_array(array)
        self.arrays[array] = batch.uuid
        self.room = None if self.room is None else 2 * self.room
        tasks = "" if batch.num_tasks == len(requests) else f" in {batch.num_tasks} tasks"
        self.say.info(f"submitted {len(requests)} jobs{tasks} as array {array}: {name}")
        self._index(batch)
        for number, request in enumerate(requests):
            request.submitted(Place(batch, number))
        return [Event("submitted", request) for request in requests]

    def _write(self, requests: list[Request], parameters: dict[str, Any]) -> Batch:
        for path, content in self.code.items():
            restore(path, content)
        return write_batch(
            self.folder,
            [request.record for request in requests],
            parameters,
            self.policy.jobs_per_task,
            requeues=self.policy.requeues,
            **self.header,
        )


def _alike(requests: list[Request]) -> list[list[Request]]:
    """Group the requests with equal parameters; an array has one set of parameters."""
    groups: dict[str, list[Request]] = {}
    for request in requests:
        groups.setdefault(repr(sorted(request.final_parameters.items())), []).append(request)
    return list(groups.values())


def _out_of_memory(request: Request, message: str) -> Event:
    """Return the failure of a job that needs more memory than SLURM gives, and record it at its last place."""
    verdict = Verdict(Cause.MEMORY, f"out of memory; {message}")
    if request.place is not None:
        request.place.batch.conclude(request.place.number, verdict)
    return Event("failed", request, f"{request.record.name}: {verdict.sentence}")


async def _prepare(request: Request, events: list[Event]) -> bool:
    if request.is_prepared:  # the queue was full, and it is tried again
        return True
    try:
        await request.prepare()
        request.is_prepared = True
    except Exception as error:  # whatever the workflow raises concerns this one job
        events.append(Event("failed", request, str(error)))
        return False
    return True
