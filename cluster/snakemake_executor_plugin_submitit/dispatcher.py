"""The dispatcher adopts running jobs, submits missing ones, watches them, and acts on every end.

It knows neither Snakemake nor a model. Everything that must survive is on the disk or in SLURM: a head may die between
any two lines, and the next head goes on.
"""

import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from snakemake_executor_plugin_submitit.batches import Batch
from snakemake_executor_plugin_submitit.causes import Cause, Verdict, judge
from snakemake_executor_plugin_submitit.clusters import Cluster
from snakemake_executor_plugin_submitit.observer import Observer
from snakemake_executor_plugin_submitit.parameters import with_more_memory
from snakemake_executor_plugin_submitit.requests import Event, Policy, Request, StopSweep
from snakemake_executor_plugin_submitit.slurm import STILL_GOING, Accounted, Refused, Unavailable
from snakemake_executor_plugin_submitit.submission import Submitter
from snakemake_executor_plugin_submitit.tails import last_lines
from snakemake_executor_plugin_submitit.waiting import Wait, poll_seconds

__all__ = ["Dispatcher"]

KILLED = {-signal.SIGKILL, 128 + signal.SIGKILL}


class Dispatcher:
    """The sweep's jobs on one cluster.

    Args:
        folder: the executor's folder, which all nodes share.
        cluster: the cluster on which jobs run.
        policy: limits, numbers of retries, and pauses.
        header: fields of every batch record: shell, directory, umask.
        explain: returns a message for a refusal of sbatch and the parameters that were refused.
        say: the logger for people.
        code: the content of the files that jobs run, by path.
    """

    def __init__(
        self,
        folder: Path,
        cluster: Cluster,
        policy: Policy,
        header: dict[str, Any],
        explain: Callable[[str, dict[str, Any]], str],
        say: logging.Logger,
        code: Mapping[Path, bytes] = MappingProxyType({}),
    ) -> None:
        self.cluster, self.policy, self.say = cluster, policy, say
        self.submitter = Submitter(folder, cluster, policy, header, explain, say, code)
        self.wanted: list[Request] = []  # to be adopted or submitted
        self.active: dict[tuple[str, ...], Request] = {}
        self.changed_at = time.monotonic()
        self.next_poll = self.next_submission = 0.0
        self.submission_wait, self.poll_wait = Wait(say), Wait(say)
        self.observer = Observer(cluster, policy.requeues, say)
        self.hidden: set[str] = set()  # arrays that squeue does not list, as was said already
        self.seen = False

    def add(self, requests: Iterable[Request]) -> None:
        """Add jobs that are wanted."""
        self.wanted.extend(requests)

    async def turn(self) -> list[Event]:
        """Submit and poll if that is due now, and return the events.

        Raises:
            StopSweep: nothing more can be submitted before a person acts.
        """
        events: list[Event] = []
        try:
            await self._turn(events)
        except OSError as error:
            raise StopSweep(
                f"{self.submitter.folder}: the records of batches cannot be read or written ({error.strerror}), so "
                "nothing more is submitted; make room, or name another folder with --submitit-folder, and give the "
                "same command again: what is in the queue is left there, and will be taken over"
            ) from None
        return events

    async def _turn(self, events: list[Event]) -> None:
        if self.wanted and time.monotonic() >= self.next_submission:
            try:
                await self._submit(events)
                self.submission_wait.end(time.monotonic())
            except (Unavailable, Refused) as error:
                if any(event.kind == "submitted" for event in events):  # the queue took a part
                    self.submission_wait.shorten()
                self.next_submission = self.submission_wait.go_on(str(error), time.monotonic())
        if self.active and time.monotonic() >= self.next_poll:
            try:
                self._poll(events)
                self.poll_wait.end(time.monotonic())
            except (Unavailable, Refused) as error:
                self.next_poll = self.poll_wait.go_on(str(error), time.monotonic())
                self._collect_from_disk(events)

    def stop(self) -> None:
        """Submit nothing more, not even in the current turn."""
        self.submitter.stopping = True

    def seconds_to_next_turn(self) -> float:
        """Return the seconds until a submission or a poll is due."""
        due = ([self.next_poll] if self.active else []) + ([self.next_submission] if self.wanted else [])
        return max(0.05, min(due) - time.monotonic()) if due else self.policy.poll_max

    @property
    def num_submitted(self) -> int:
        """Number of jobs that are, or may be, in the queue."""
        return len(self.active) + sum(len(batch.jobs) for batch in self.submitter.unsettled)

    def arrays(self) -> list[str]:
        """Return the ids of the arrays that have jobs in the queue."""
        return sorted({request.task[0] for request in self.active.values()})

    def cancel(self) -> int:
        """Give up every batch, cancel its tasks, and return the number of its jobs.

        Raises:
            Unavailable, Refused: SLURM does not answer. Tasks that have not started will do nothing all the same.
        """
        places = [request.place for request in self.active.values() if request.place is not None]
        unsettled = self.submitter.unsettled
        batches = {batch.uuid: batch for batch in [*(place.batch for place in places), *unsettled]}
        for batch in batches.values():
            batch.abandon("cancelled by the user")
        uuids = [batch.uuid for batch in unsettled]
        listed = self.cluster.find_arrays(self.submitter.folder, uuids) if unsettled else {}
        arrays = {batch.array for batch in batches.values() if batch.array is not None}
        arrays |= {listed[uuid].id for uuid in uuids if uuid in listed}
        if arrays:
            self.cluster.cancel(sorted(arrays))
        return self.num_submitted

    def collect(self, requests: Iterable[Request]) -> None:
        """Remove the records of jobs whose results the workflow has recorded, and what is left of their arrays."""
        by_batch: dict[str, tuple[Batch, list[int]]] = {}
        for request in requests:
            earlier = self.submitter.superseded.pop(request.record.outputs, [])
            for place in [*earlier, *([request.place] if request.place else [])]:
                by_batch.setdefault(place.batch.uuid, (place.batch, []))[1].append(place.number)
        for batch, numbers in by_batch.values():
            batch.collect(numbers)
        finished = [batch for batch, _ in by_batch.values() if len(batch.collected) == len(batch.jobs)]
        self._cancel_waiting({str(batch.array): batch.uuid for batch in finished})

    def cancel_leftovers(self) -> None:
        """Cancel what waits in the queue of this sweep's arrays, when no job of it is wanted there any more."""
        if not self.num_submitted:
            self._cancel_waiting(self.submitter.arrays)

    def _cancel_waiting(self, arrays: dict[str, str]) -> None:
        """Cancel the waiting tasks of arrays whose every job has ended.

        A controller that crashes can forget that a task has ended, and queue it again. If a node does not start it
        then, SLURM holds it for ever.

        Args:
            arrays: ids of arrays, and the uuids of their batches.
        """
        with contextlib.suppress(Unavailable, Refused):  # tasks that stay in the queue do nothing
            waiting = [
                f"{array}_{task}"
                for (array, task), entry in self.cluster.queued(arrays).items()
                # that controller also gives numbers of arrays out again
                if entry.state == "PENDING" and entry.comment.split()[:1] == [arrays[array]]
            ]
            if waiting:
                self.cluster.cancel(waiting)

    async def _submit(self, events: list[Event]) -> None:
        before = len(events)
        try:
            await self.submitter.submit(self.wanted, events)
        finally:
            settled = {id(event.request) for event in events[before:]}
            self.wanted = [request for request in self.wanted if id(request) not in settled]
            for event in events[before:]:
                if event.kind == "submitted":
                    self.active[event.request.record.outputs] = event.request
            if len(events) > before:
                self.changed_at, self.next_poll = (
                    time.monotonic(),
                    time.monotonic() + self.policy.poll_min / 2,
                )
        self.next_submission = time.monotonic() + self._pause()

    def _pause(self) -> float:
        return poll_seconds(time.monotonic() - self.changed_at, self.policy.poll_min, self.policy.poll_max)

    def _poll(self, events: list[Event]) -> None:
        queued = self.cluster.queued({request.task[0] for request in self.active.values()})
        self._collect_from_disk(events)
        gone_requests = []
        for request in self.active.values():
            task = queued.get(request.task)
            if task is None or not request.owns(task):
                gone_requests.append(request)
            else:
                self.observer.observe(request, task)
        self._look_for_ends(gone_requests, events)
        self.next_poll = time.monotonic() + self._pause()

    def _collect_from_disk(self, events: list[Event]) -> None:
        """Act on exit files first. A file missing from a directory listing may still exist (stale NFS cache)."""
        listed: dict[str, set[int]] = {}
        for request in list(self.active.values()):
            place = request.place
            assert place is not None
            if place.batch.uuid not in listed:
                listed[place.batch.uuid] = place.batch.list_ended()
            if place.number not in listed[place.batch.uuid]:
                continue
            record = place.batch.read_exit(place.number)
            if (
                record and record["code"] not in KILLED
            ):  # SLURM names the cause of a kill once the task has left the queue.
                self._act(request, record, None, events)

    def _look_for_ends(self, gone_requests: list[Request], events: list[Event]) -> None:
        """Judge jobs that left the queue, by their exit file or else by the accounting after two polls."""
        silent_requests = []
        for request in gone_requests:
            place = request.place
            assert place is not None
            record = place.batch.read_exit(place.number)
            if record and record["code"] not in KILLED:
                self._act(request, record, None, events)
                continue
            request.polls_since_end += 1
            request.ended_at = request.ended_at or time.monotonic()
            silent_requests.append(request)
        # One poll is no proof: SLURM shows a job that it requeues as failed for a moment, and files appear late.
        doubted_requests = [request for request in silent_requests if request.polls_since_end >= 2]
        accounts = (
            self.cluster.accounted({request.task[0] for request in doubted_requests})
            if doubted_requests
            else {}
        )
        accounted_arrays = {array for array, _ in accounts}
        believed_requests = [
            request for request in doubted_requests if self._is_believed(request, accounts.get(request.task))
        ]
        lost_requests = [
            request
            for request in doubted_requests
            if request not in believed_requests and self._is_overdue(request)
        ]
        for request in [*believed_requests, *self._without_hidden(lost_requests)]:
            account = accounts.get(request.task)
            alone_unknown = account is None and request.task[0] in accounted_arrays
            record = request.place.batch.read_exit(request.place.number) if request.place else None
            self._act(
                request, record, account if request in believed_requests else None, events, alone_unknown
            )

    def _is_overdue(self, request: Request) -> bool:
        assert request.ended_at is not None
        return time.monotonic() - request.ended_at > self.policy.vanished_after

    def _without_hidden(self, lost_requests: list[Request]) -> list[Request]:
        """Return the requests whose task the controller does not know either, asked by its id.

        A second start of a task that still runs would train the same job twice at the same time. The accounting is no
        proof of life: a controller that crashed can have forgotten a task that the accounting calls running.
        """
        queued = self.cluster.look_up({request.task[0] for request in lost_requests}) if lost_requests else {}
        gone_requests = []
        for request in lost_requests:
            task = queued.get(request.task)
            if task is None or not request.owns(task):
                gone_requests.append(request)
                continue
            if request.task[0] not in self.hidden:
                self.hidden.add(request.task[0])
                self.say.warning(
                    f"squeue does not list array {request.task[0]}, although the controller knows it; its jobs are "
                    "watched by what they write, and are not submitted again"
                )
            self.observer.observe(request, task)
        return gone_requests

    def _is_believed(self, request: Request, account: Accounted | None) -> bool:
        """Return whether the accounting's record is this job's end: not late, and not of an earlier job with its id."""
        place = request.place
        assert place is not None
        if account is None or account.state.split(" ")[0] in STILL_GOING:
            return False
        if account.state != "COMPLETED" or not place.batch.read_starts(place.number):
            return True
        return request.has_outputs()

    def _act(
        self,
        request: Request,
        record: dict[str, Any] | None,
        account: Accounted | None,
        events: list[Event],
        alone_unknown: bool = False,
    ) -> None:
        """Report a job's end, or submit the job again."""
        assert request.place is not None
        verdict = self._judge(request, record, account, alone_unknown)
        if verdict.cause is not Cause.SUCCESS and request.keeps_outputs and request.has_outputs():
            # Snakemake would remove the files of a failed job. The job was killed in its last moments, say, or it was
            # refused because an earlier start of it was still at work, which has written them since.
            self.say.info(f"{request.label}: {verdict.sentence}; its results are whole, and count")
            verdict = Verdict(Cause.SUCCESS, "done")
        again = verdict.cause.goes_on or verdict.cause is Cause.MEMORY
        # SLURM may still requeue the job. The record that gives it up keeps it from running beside its successor.
        if record is None and again and not request.place.batch.give_up(request.place.number, verdict):
            verdict = self._judge(request, request.place.batch.read_exit(request.place.number), account)
        if verdict.cause is Cause.UNSEEN and self._some_node_sees():
            verdict = Verdict(Cause.NODE, verdict.sentence, verdict.nodes)
        if verdict.cause is Cause.UNSEEN:
            count = self.cancel()
            self.active.clear()
            raise StopSweep(
                f"{request.label}: {verdict.sentence} ({self.submitter.folder}); all {count} jobs are cancelled. "
                "Put the project, or --submitit-folder, on a file system that all nodes share, and try again"
            )
        del self.active[request.record.outputs]
        if verdict.cause is Cause.SUCCESS:
            self.seen = True
            events.append(Event("succeeded", request))
        elif self._goes_on(request, verdict):
            self.wanted.append(request)
            self.next_submission = 0.0
        else:
            if verdict.cause is not Cause.EXIT_CODE:  # an exit code on record needs no judgement
                request.place.batch.conclude(request.place.number, verdict)
            events.append(Event("failed", request, self._story(request, verdict)))

    def _some_node_sees(self) -> bool:
        """Return whether any task ever left a trace. If so, a task without a trace is its node's fault."""
        batches = {
            request.place.batch.uuid: request.place.batch for request in self.active.values() if request.place
        }
        self.seen = self.seen or any(batch.find_array() for batch in batches.values())
        return self.seen

    def _judge(
        self,
        request: Request,
        record: dict[str, Any] | None,
        account: Accounted | None,
        alone_unknown: bool = False,
    ) -> Verdict:
        if record is not None and record["code"] == 0:
            return Verdict(Cause.SUCCESS, "done")
        place = request.place
        assert place is not None
        batch = place.batch
        memory = request.parameters.get("mem")
        return judge(
            record,
            account,
            said=last_lines([batch.log(place.number), *map(Path, request.record.logs)], 20),
            memory_mb=float(str(memory).removesuffix("MB")) if memory else None,
            started=bool(batch.read_starts(place.number)) or record is not None,
            fenced=batch.is_abandoned,
            alone_unknown=alone_unknown,
            logged=batch.log(place.number).exists(),
        )

    def _goes_on(self, request: Request, verdict: Verdict) -> bool:
        """Return whether a job is submitted again, and change its request according to the cause."""
        if verdict.cause is Cause.MEMORY:
            more = with_more_memory(request.parameters, 2)
            if more is None or request.memory_retries >= self.policy.memory_retries:
                return False
            request.parameters = more
            request.memory_retries += 1
            self.say.warning(
                self._story(
                    request, verdict, f"submitted again with {more.get('mem') or more['mem_per_cpu']}"
                )
            )
            return True
        if not verdict.cause.goes_on or request.restarts >= 4 * max(1, self.policy.requeues):
            return False
        request.restarts += 1
        if verdict.cause is Cause.NODE:
            request.failed_nodes.extend(verdict.nodes)
        assert request.place is not None
        marks = tuple(start.mark for start in request.place.batch.read_starts(request.place.number))
        request.record = request.record._replace(earlier_marks=(*request.record.earlier_marks, *marks))
        self.say.warning(self._story(request, verdict, "submitted again; it goes on from its checkpoint"))
        return True

    def _story(self, request: Request, verdict: Verdict, what_next: str = "") -> str:
        """Return a message with name, job id, cause, log and the log's last lines."""
        assert request.place is not None
        logs = [Path(log) for log in request.record.logs] or [request.place.batch.log(request.place.number)]
        lines = last_lines([request.place.batch.log(request.place.number), *logs][::-1], 10)
        log_end = f"\n{lines}" if lines else ""
        follows = f"; {what_next}" if what_next else ""
        return f"{request.label}: {verdict.sentence}{follows}. Log: {', '.join(map(str, logs))}{log_end}\n"
