"""The executor class: it hands ready jobs to the dispatcher's thread and reports their ends to Snakemake."""

import asyncio
import contextlib
import functools
import os
import signal
import sys
from collections.abc import AsyncGenerator
from types import FrameType
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface

from snakemake_executor_plugin_submitit.batches import JobRecord
from snakemake_executor_plugin_submitit.clusters import install_runner, make_cluster, program_missing
from snakemake_executor_plugin_submitit.commands import (
    describe_job,
    job_environment,
    needs_snakemake,
    prepare,
)
from snakemake_executor_plugin_submitit.dispatcher import Dispatcher
from snakemake_executor_plugin_submitit.explain import explain_refusal
from snakemake_executor_plugin_submitit.folder import FolderError, find_folder
from snakemake_executor_plugin_submitit.lease import Lease, RivalError
from snakemake_executor_plugin_submitit.parameters import ParameterError, sbatch_parameters
from snakemake_executor_plugin_submitit.requests import Event, Policy, Request, StopSweep
from snakemake_executor_plugin_submitit.slurm import Refused, Slurm, Unavailable
from snakemake_executor_plugin_submitit.snapshots import SnapshotError, snapshot

__all__ = ["Executor"]


class Executor(RemoteExecutor):
    """Sends jobs to SLURM as arrays; see the package's README.

    The scheduler's thread only queues jobs here. One other thread prepares, submits, polls and reports, so that a
    controller that is away stops nothing, and no signal falls into the middle of a submission.
    """

    dispatcher: Dispatcher | None = None
    """Made with the first job; the polling thread may run before that."""

    def __init__(self, workflow: Any, logger: Any) -> None:
        # the base class starts the polling thread before it calls __post_init__
        self.loop: asyncio.AbstractEventLoop | None = None
        self.awake = asyncio.Event()
        super().__init__(workflow, logger)

    def __post_init__(self) -> None:
        """Check what can be checked before the first job is ready.

        Raises:
            WorkflowError: SLURM's programs are missing, or the folder cannot be named or is not the user's alone.
        """
        settings = self.workflow.executor_settings
        try:
            self.folder = find_folder(settings.folder)
        except FolderError as error:
            raise WorkflowError(str(error)) from None
        self.lease = Lease(self.folder)
        self.queue: list[Request] = []
        self.recorded: list[Request] = []
        self.requests: dict[JobExecutorInterface, Request] = {}
        self.rules_with_snakemake: set[str] = set()
        self.snapshots = ""
        self.leaving = ""
        missing = program_missing() if settings.cluster == "slurm" else None
        if missing:
            raise WorkflowError(
                f"{missing} is not on the PATH: this is no login node of a SLURM cluster (a module to load?). To run "
                "here, leave the profile away: snakemake --cores 2; to try the profile on this machine: make testbed"
            )

    # -- the scheduler's thread

    def run_jobs(self, jobs: list[JobExecutorInterface]) -> None:
        """Queue all jobs that are ready; those with the same resources will be one array."""
        if self.dispatcher is None:
            self._start()
        requests = []
        # SLURM starts the tasks of an array in their order: by priority, then in the workflow's order. Snakemake's jobs
        # have a priority, which the interface of executors does not declare.
        for job in sorted(jobs, key=lambda job: (-getattr(job, "priority", 0), job.jobid)):
            self.run_job_pre(job)
            requests.append(self._request(job))
        with self.lock:
            self.queue.extend(requests)
        self._wake()

    def run_job(self, job: JobExecutorInterface) -> None:
        """Queue one job."""
        self.run_jobs([job])

    def handle_job_success(self, job: JobExecutorInterface) -> None:
        """Note that Snakemake has recorded the job, so that the record here can be removed."""
        request = self.requests.pop(job, None)
        if request is not None:
            with self.lock:
                self.recorded.append(request)
            self._wake()

    def handle_job_error(self, job: JobExecutorInterface) -> None:
        """Keep the record, for `status` and for the next call."""
        self.requests.pop(job, None)

    def shutdown(self) -> None:
        """Stop; jobs that are still in the queue stay there.

        Raises:
            WorkflowError: jobs stay. After a plain return, Snakemake would remove their empty output folders.
        """
        self._stop()
        if count := self._num_active():
            raise WorkflowError(f"left {count} jobs in the queue; the same command takes them over")

    def cancel(self) -> None:
        """Cancel the submitted jobs after Ctrl-C, unless the setting says otherwise; after any other end leave them.

        Raises:
            WorkflowError: jobs are left in the queue.
        """
        ended_by = sys.exc_info()[1]
        self._stop()
        count = self._num_active()
        if not count or self.dispatcher is None:
            if self.queue or (self.dispatcher is not None and self.dispatcher.wanted):
                self.logger.info(
                    "nothing was submitted yet; what an earlier call left in the queue is still there, and the same "
                    "command takes it over"
                )
            return
        if (
            isinstance(ended_by, KeyboardInterrupt)
            and self.workflow.executor_settings.on_interrupt == "cancel"
        ):
            try:
                self.dispatcher.cancel()
            except (Unavailable, Refused, OSError) as error:
                arrays = " ".join(self.dispatcher.arrays())
                self.logger.error(f"could not cancel ({error}); to do it by hand: scancel {arrays}")
            else:
                self.logger.info(
                    f"cancelled {count} jobs; their checkpoints are kept, the same command goes on from them"
                )
                return
        if not isinstance(ended_by, Exception):  # Snakemake prints an error itself
            why = f" ({self.leaving})" if self.leaving else ""
            raise WorkflowError(f"left {count} jobs in the queue{why}; the same command takes them over")

    def _num_active(self) -> int:
        return self.dispatcher.num_submitted if self.dispatcher is not None else 0

    def _stop(self) -> None:
        """End the dispatcher's thread, and keep the records in step with what Snakemake has recorded."""
        if self.dispatcher is not None:
            self.dispatcher.stop()
        with self.lock:
            self.wait = False
        self._wake()
        self.wait_thread.join()
        if not self._num_active():  # a Snakemake on a node waits for a file in the folder that this removes
            super().shutdown()
        if self.dispatcher is not None:
            self._drop_recorded(self.dispatcher)
            self.dispatcher.cancel_leftovers()
        self.lease.release()

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Do nothing: `cancel` cancels whole arrays."""

    def _start(self) -> None:
        """Take the lease and make the dispatcher.

        Raises:
            WorkflowError: no SLURM to talk to, a living rival, a folder that cannot be written, a snapshot that cannot
                be made.
        """
        self._take_signals()  # first: what follows may wait for SLURM, or for a rival's end
        settings = self.workflow.executor_settings
        slurm = Slurm()
        if settings.cluster == "slurm":
            _require_configuration(slurm)
        try:
            if self.lease.is_damaged():
                self.logger.warning(
                    f"{self.lease.path} is damaged; waiting for some seconds to see whether a living head mends it"
                )
            self.lease.acquire()
            zips = [snapshot(package, self.folder) for package in settings.snapshot or ()]
            runner = install_runner(self.folder)
            code = {path: path.read_bytes() for path in (runner, *zips)}
        except (RivalError, SnapshotError) as error:
            raise WorkflowError(str(error)) from None
        except OSError as error:
            raise WorkflowError(
                f"{self.folder}: the executor's folder cannot be written ({error.strerror}); nothing was submitted. "
                "Make room, or name another folder with --submitit-folder"
            ) from None
        self.snapshots = os.pathsep.join(map(str, zips))
        cluster = make_cluster(
            settings.cluster, runner, list(settings.setup or ()), settings.array_parallelism, slurm
        )
        policy = Policy(
            settings.array_size,
            settings.jobs_per_task,
            settings.requeues,
            settings.memory_retries,
            settings.poll_min,
            max(settings.poll_max, settings.poll_min),
        )
        from snakemake.shell import shell

        header = {
            "shell": shell.get_executable() or "/bin/bash",
            "directory": os.getcwd(),
            "umask": _umask(),
            "snapshots": list(map(str, zips)),
        }
        explain = functools.partial(explain_refusal, slurm=slurm if settings.cluster == "slurm" else None)
        self.dispatcher = Dispatcher(self.folder, cluster, policy, header, explain, self.logger, code)

    def _take_signals(self) -> None:
        """Let SIGTERM and SIGHUP end the head at once, since its jobs end on the cluster.

        Snakemake's own handler waits for running jobs to end. What it received up to now counts as received here.
        """
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                signal.signal(number, self._leave)
        if getattr(self.workflow.scheduler, "_user_kill", None):
            self._leave(signal.SIGTERM, None)

    def _leave(self, number: int, frame: FrameType | None) -> None:
        self.leaving = signal.Signals(number).name
        raise SystemExit(128 + number)

    def _request(self, job: Any) -> Request:
        """Return the request for a job.

        Raises:
            WorkflowError: a group job, or a resource that sbatch cannot be given.
        """
        if job.is_group():
            raise WorkflowError(
                f"{job}: group jobs are not supported (one failed member deletes its siblings' outputs); to pack small "
                "jobs into one task set --submitit-jobs-per-task"
            )
        settings = self.workflow.executor_settings
        try:
            parameters = sbatch_parameters(
                job.resources, job.threads, settings.jobs_per_task, settings.signal_seconds
            )
        except ParameterError as error:
            raise WorkflowError(f"rule {job.rule.name}: resource {error}") from None
        reason = needs_snakemake(job)
        if reason and job.rule.name not in self.rules_with_snakemake:
            self.rules_with_snakemake.add(job.rule.name)
            self.logger.info(f"rule {job.rule.name} starts a Snakemake of its own on the node: {reason}")
        from snakemake.shell import shell

        command = (
            self.format_job_exec(job) if reason else f"{shell._get_process_prefix('bash')}{job.shellcmd}"
        )
        checkpoint = job.params.get("checkpoint")
        record = JobRecord(
            # a rule without output is known by its wildcards
            outputs=tuple(map(str, job.output)) or (f"{job.rule.name} {dict(job.wildcards_dict)}",),
            name=describe_job(job),
            logs=tuple(map(str, job.log)),
            command=command,
            environment=job_environment(job.threads, self.snapshots),
            checkpoint=str(checkpoint) if checkpoint else None,
        )
        why = self.workflow.dag.reason(job)
        anew = why.forced or why.updated_input or why.updated_input_run
        marked = self.workflow.persistence.external_jobids(job)
        keeps_outputs = self.workflow.execution_settings.ignore_incomplete and not anew
        request = Request(
            record=record,
            parameters=parameters,
            prepare=_nothing if reason else functools.partial(prepare, job, keeps_outputs),
            adopts_success=bool(marked) or not anew,
            handle=job,
            keeps_outputs=keeps_outputs,
        )
        self.requests[job] = request
        return request

    # -- the dispatcher's thread

    async def check_active_jobs(
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Give the dispatcher its turn, report the events, and yield the jobs that still run."""
        self.loop = asyncio.get_running_loop()
        dispatcher = self.dispatcher
        settled: set[int] = set()
        if dispatcher is not None:
            if self.lease.lost:
                raise WorkflowError(
                    f"another head has taken over {self.folder}, since this one gave no sign for too long; "
                    "the jobs go on"
                )
            with self.lock:
                requests, self.queue = self.queue, []
            dispatcher.add(requests)
            self._drop_recorded(dispatcher)
            try:
                events = await dispatcher.turn()
            except StopSweep as stop:
                raise WorkflowError(str(stop)) from None
            settled = self._report(events)
            self.next_seconds_between_status_checks = dispatcher.seconds_to_next_turn()
        for info in active_jobs:
            if id(info.job) not in settled:
                yield info

    def _report(self, events: list[Event]) -> set[int]:
        settled = set()
        for event in events:
            job, place = event.request.handle, event.request.place
            external = place.batch.external_id(place.number) if place is not None else None
            info = SubmittedJobInfo(job=job, external_jobid=external)
            if event.kind == "submitted":
                self.report_job_submission(info)
                continue
            settled.add(id(job))
            if event.kind == "succeeded":
                self.report_job_success(info)
            else:
                self.report_job_error(info, msg=f"{event.message} ")
        with self.lock:  # a job may be submitted and end within one turn
            self.active_jobs[:] = [info for info in self.active_jobs if id(info.job) not in settled]
        return settled

    def _drop_recorded(self, dispatcher: Dispatcher) -> None:
        with self.lock:
            recorded, self.recorded = self.recorded, []
        try:
            dispatcher.collect(recorded)
        except OSError as error:  # kept, they are read again at the next start, and found done
            self.logger.warning(f"records of jobs that are done cannot be removed: {error}")

    async def sleep(self) -> None:
        """Sleep until something is due, a job is queued, or the sweep ends."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.awake.wait(), self.next_seconds_between_status_checks)
        self.awake.clear()

    def _wake(self) -> None:
        loop = self.loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self.awake.set)


def _require_configuration(slurm: Slurm) -> None:
    """Refuse a machine whose SLURM programs know of no cluster; one whose controller is away is waited for.

    Raises:
        WorkflowError: there is no slurm.conf.
    """
    file, said = os.environ.get("SLURM_CONF"), ""
    if file and not os.path.exists(file):  # scontrol itself would try for a minute
        said = f"SLURM_CONF names {file}, which is not there"
    elif not file:
        try:
            slurm.configuration()
        except Refused as refused:
            said = " ".join(str(refused).split()) if "configuration source" in str(refused) else ""
        except Unavailable:
            return
    if said:
        raise WorkflowError(
            f"SLURM's programs find no cluster here ({said}); nothing was submitted. Is this a login node? If its "
            "slurm.conf lies elsewhere, name it: export SLURM_CONF=..."
        )


async def _nothing() -> None:
    """Do nothing: a remote Snakemake prepares its job itself."""


def _umask() -> int:
    """Return the process's umask; it can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
