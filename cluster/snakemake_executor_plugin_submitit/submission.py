"""Adopting and submitting: the record first, then sbatch, then the job id, so that a kill between two loses nothing."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from snakemake_executor_plugin_submitit.batches import Batch, Place, index_latest, read_batches, write_batch
from snakemake_executor_plugin_submitit.clusters import Cluster
from snakemake_executor_plugin_submitit.parameters import describe_array
from snakemake_executor_plugin_submitit.requests import Event, Policy, Request, StopSweep
from snakemake_executor_plugin_submitit.slurm import (
    STILL_GOING,
    Queued,
    QueueFull,
    Refused,
    TaskId,
    Unavailable,
)

__all__ = ["Submitter"]

UNSETTLED = "it is not known whether it was submitted"

MAY_RETURN = STILL_GOING | {"NODE_FAIL", "PREEMPTED"}
"""States of a job out of the queue that SLURM may be about to requeue; whoever watches it sees what becomes of it."""


class Submitter:
    """Turns wanted jobs into arrays, unless an earlier head already did.

    Args: see `Dispatcher`.
    """

    def __init__(
        self,
        folder: Path,
        cluster: Cluster,
        policy: Policy,
        header: dict[str, Any],
        explain: Callable[[str, dict[str, Any]], str],
        say: logging.Logger,
    ) -> None:
        self.folder, self.cluster, self.policy, self.header = folder, cluster, policy, header
        self.explain, self.say = explain, say
        self.known: dict[tuple[str, ...], Place] | None = None
        self.unsettled: list[Batch] = []  # sbatch gave no answer
        self.superseded: dict[tuple[str, ...], list[Place]] = {}  # earlier submissions of a job
        self.room: int | None = None  # tasks that the queue took when it was full
        self.stopping = False

    async def submit(self, wanted: list[Request], events: list[Event]) -> None:
        """Adopt or submit what is wanted, as far as possible now; each event tells of one that is settled.

        Raises:
            Unavailable: SLURM is away or the queue full; what has no event is still wanted.
            StopSweep: sbatch refuses, or the record cannot be written.
        """
        if self.known is None:
            self.known = self._read_known()
        if self.unsettled:
            self._resolve(self.unsettled)
            self.unsettled = []
        anew = self._adopt(wanted, events)
        for alike in _alike(anew):
            while alike and not self.stopping:
                size = self._array_size()
                chunk, alike = alike[:size], alike[size:]
                prepared = [request for request in chunk if await _prepare(request, events)]
                if prepared:
                    events += self._submit(prepared)

    def _adopt(self, wanted: list[Request], events: list[Event]) -> list[Request]:
        """Take over what is queued, running or has ended well; return what is to be submitted."""
        assert self.known is not None
        places = [(request, self.known.get(request.record.outputs)) for request in wanted]
        arrays = {place.batch.array for _, place in places if place and place.batch.array}
        queued = self.cluster.queued(arrays) if arrays else {}
        silent = {
            place.batch.array
            for request, place in places
            if place and self._is_silent(request, place, queued)
        }
        accounts = self.cluster.accounted(filter(None, silent)) if silent else {}
        queued = {**(self.cluster.look_up(filter(None, silent)) if silent else {}), **queued}
        anew = []
        cancelled: set[str] = set()
        adopted = 0
        for request, place in places:
            if place is None:
                anew.append(request)
                continue
            task = (str(place.batch.array), place.batch.task(place.number))
            account = accounts.get(task)
            # of a job that has been judged already, only the queue says that it came back
            may_return = MAY_RETURN if not request.restarts else set()
            stands = (task in queued and place.batch.owns(queued[task].comment)) or (
                account is not None and account.state.split(" ")[0] in may_return
            )
            ended = place.batch.read_exit(place.number)
            if ended is None and not stands and not place.batch.give_up(place.number):
                ended = place.batch.read_exit(place.number)  # it ended at this moment
            if ended is None and stands and place.batch.is_abandoned:
                cancelled.add(
                    task[0]
                )  # and still saving, or the controller was not told: its successor waits
                continue
            done = ended["code"] == 0 if ended else account is not None and account.state == "COMPLETED"
            finished = done and _counts(request)
            if finished or (ended is None and stands):
                request.submitted(place)
                events.append(Event("submitted", request))
                adopted += 1
            else:
                anew.append(request)
        if cancelled:
            self.cluster.cancel(sorted(cancelled))
        if adopted:
            self.say.info(f"{adopted} jobs were submitted before and are taken over")
        return anew

    def _is_silent(self, request: Request, place: Place, queued: dict[TaskId, Queued]) -> bool:
        """Whether neither the queue nor the disk says how a job stands."""
        batch = place.batch
        if batch.array is None or batch.is_abandoned:
            return False
        found = queued.get((batch.array, batch.task(place.number)))
        return (found is None or not batch.owns(found.comment)) and batch.read_exit(place.number) is None

    def _read_known(self) -> dict[tuple[str, ...], Place]:
        batches = read_batches(self.folder)
        self._resolve([batch for batch in batches if batch.array is None])
        known = index_latest(batches)
        used = {place.batch.uuid for place in known.values()}
        for batch in batches:
            if batch.uuid not in used:
                batch.remove()  # all its jobs are done, or were submitted again later
                continue
            for number, job in enumerate(batch.jobs):
                if number not in batch.collected and known[job.outputs] != Place(batch, number):
                    self.superseded.setdefault(job.outputs, []).append(Place(batch, number))
        return known

    def _resolve(self, batches: list[Batch]) -> None:
        """Find out whether batches without a job id were submitted; raise the fence before saying no.

        The sbatch of a killed head may still be on its way: a task of it that starts later sees the fence.
        """
        if not batches:
            return
        for batch in batches:
            if not batch.is_abandoned:
                batch.abandon(UNSETTLED)
        arrays = self.cluster.arrays_by_comment()
        for batch in batches:
            array = arrays.get(batch.uuid) or batch.find_array()
            if array is not None:
                if batch.abandoned_because == UNSETTLED:
                    batch.readopt()
                batch.record_array(array)
            elif batch.abandoned_because == UNSETTLED:
                batch.abandon("it was not found in the queue, and its jobs are submitted anew")  # for good

    def _array_size(self) -> int:
        """Return the most jobs of the next array: as many as SLURM, the settings and a full queue allow."""
        limits = (self.cluster.max_tasks(), self.policy.array_size, self.room)
        return min(limit for limit in limits if limit) * self.policy.jobs_per_task

    def _submit(self, requests: list[Request]) -> list[Event]:
        """Submit one array."""
        assert self.known is not None
        parameters = requests[0].asked
        batch = self._write(requests, parameters)
        name, comment = describe_array(batch.uuid, [request.record.name for request in requests])
        try:
            array = self.cluster.submit(batch, name, comment)
        except QueueFull:
            self.room = max(1, batch.num_tasks // 2)
            batch.remove()
            raise
        except Unavailable:
            # it may have arrived although no answer came: asked again before anything is submitted anew
            self.unsettled.append(batch)
            self.known.update({request.record.outputs: Place(batch, n) for n, request in enumerate(requests)})
            raise
        except Refused as refused:
            batch.remove()
            if any(request.failed_nodes for request in requests):
                for request in requests:
                    request.failed_nodes.clear()
                raise Unavailable(f"{refused}: without the nodes that failed there are none left") from None
            told = self.explain(str(refused), parameters)
            if all(request.memory_retries for request in requests):
                return [
                    Event("failed", request, f"{request.record.name}: out of memory; {told}")
                    for request in requests
                ]
            raise StopSweep(
                f"{told}. Nothing of this batch was submitted; what runs is left running"
            ) from None
        batch.record_array(array)
        self.room = None if self.room is None else 2 * self.room
        tasks = "" if batch.num_tasks == len(requests) else f" in {batch.num_tasks} tasks"
        self.say.info(f"submitted {len(requests)} jobs{tasks} as array {array}: {name}")
        for number, request in enumerate(requests):
            place = Place(batch, number)
            request.submitted(place)
            if before := self.known.get(request.record.outputs):
                self.superseded.setdefault(request.record.outputs, []).append(before)
            self.known[request.record.outputs] = place
        return [Event("submitted", request) for request in requests]

    def _write(self, requests: list[Request], parameters: dict[str, Any]) -> Batch:
        return write_batch(
            self.folder,
            [request.record for request in requests],
            parameters,
            self.policy.jobs_per_task,
            requeues=self.policy.requeues,
            **self.header,
        )


def _alike(requests: list[Request]) -> list[list[Request]]:
    """Put together what asks for the same: only that can be one array."""
    groups: dict[str, list[Request]] = {}
    for request in requests:
        groups.setdefault(repr(sorted(request.asked.items())), []).append(request)
    return list(groups.values())


def _counts(request: Request) -> bool:
    """Whether a success on record is this job's result: wanted as such, and the files are there."""
    return request.adopts_success and all(os.path.exists(output) for output in request.record.outputs)


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
