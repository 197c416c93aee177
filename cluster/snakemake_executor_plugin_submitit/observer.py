"""The observer says what a person should know about a job in the queue: why it waits, or that a clock is wrong."""

import logging
import time

from snakemake_executor_plugin_submitit.clusters import Cluster
from snakemake_executor_plugin_submitit.explain import HOPELESS
from snakemake_executor_plugin_submitit.requests import Request
from snakemake_executor_plugin_submitit.slurm import Queued, Refused, Unavailable
from snakemake_executor_plugin_submitit.tails import last_lines

__all__ = ["Observer"]

LAUNCH_FAILED = "launch failed requeued held"
NODES_MISSING = ("ReqNodeNotAvail", "Nodes required for job are DOWN")
SECONDS_BETWEEN_LOOKS = 60
"""Seconds between two looks at the nodes of a partition whose jobs wait for nodes."""
SHOWN = 8
"""The most nodes that a warning names."""


class Observer:
    """Notes the state of jobs in the queue, and reports once what needs a person.

    Args:
        cluster: the cluster on which jobs run.
        releases: how often a job that a node did not start is released.
        say: the logger for people.
    """

    def __init__(self, cluster: Cluster, releases: int, say: logging.Logger) -> None:
        self.cluster, self.releases, self.say = cluster, releases, say
        self.warned: set[str] = set()  # warnings that were given already
        self.looked_at: dict[str, float] = {}  # warning -> when the nodes were looked at (monotonic seconds)

    def observe(self, request: Request, task: Queued) -> None:
        """Note a job's state in the queue; report a job that went back into it, or may wait there for ever.

        Args:
            request: the job.
            task: its task in the queue.
        """
        if request.state not in ("", "PENDING") and task.state == "PENDING":
            why = last_lines([request.place.batch.log(request.place.number)], 1) if request.place else ""
            self.say.info(
                f"{request.label} is back in the queue and goes on from its checkpoint {why.strip()}".rstrip()
            )
        if task.state == "RUNNING" and request.state != "RUNNING":
            self._check_clock(request)
        if task.state == "PENDING":
            self._check_reason(request, task.reason)
        request.state, request.reason = task.state, task.reason
        request.ended_at, request.polls_since_end = None, 0

    def _check_reason(self, request: Request, reason: str) -> None:
        if reason.replace("_", " ") == LAUNCH_FAILED:
            self._release(request)
        elif reason in HOPELESS:
            self._warn_once(
                f"{request.task[0]} {reason}",
                f"array {request.task[0]} may wait for ever ({reason}): {HOPELESS[reason]}",
            )
        elif reason.replace("_", " ").startswith(NODES_MISSING):
            self._check_nodes(request, reason)

    def _warn_once(self, key: str, message: str) -> None:
        if key not in self.warned:
            self.warned.add(key)
            self.say.warning(message)

    def _check_nodes(self, request: Request, reason: str) -> None:
        """Warn once that no node of a partition takes jobs, or that none of those that the job may use does.

        SLURM gives one of its two reasons also to a job that merely waits for jobs of a higher priority.
        """
        partitions = request.parameters.get("partition")
        key = f"nodes of {partitions}"
        now = time.monotonic()
        looked_at = self.looked_at.get(key)
        if key in self.warned or (looked_at is not None and now - looked_at < SECONDS_BETWEEN_LOOKS):
            return
        self.looked_at[key] = now
        try:
            unavailable, num_nodes = self.cluster.unavailable_nodes(partitions)
        except (Unavailable, Refused):  # without this remark, jobs are watched all the same
            return
        if not unavailable or (len(unavailable) < num_nodes and not reason.startswith(NODES_MISSING[0])):
            return
        where = f"partition {partitions}" if partitions else "the default partition"
        shown = ", ".join(unavailable[:SHOWN]) + (", ..." if len(unavailable) > SHOWN else "")
        self._warn_once(
            key,
            f"array {request.task[0]} waits ({reason}): {len(unavailable)} of {num_nodes} nodes of {where} take no "
            f"jobs: {shown}. Its jobs start as soon as a node is back (an administrator: scontrol update "
            "nodename=... state=resume). For another partition, end this with Ctrl-C, change slurm_partition and "
            "give the same command again",
        )

    def _release(self, request: Request) -> None:
        """Release a job that a node did not start; after some releases, leave it to a person."""
        task = f"{request.task[0]}_{request.task[1]}"
        request.releases += 1
        if request.releases <= self.releases:
            self.say.info(f"{request.label}: a node did not start it, and SLURM holds it; released")
            self.cluster.release(task)
        elif request.releases == self.releases + 1:
            self.say.warning(
                f"{request.label}: nodes refuse it again and again, and SLURM holds it; look at slurmd's log there, "
                f"then scontrol release {task}, or scancel {task}"
            )

    def _check_clock(self, request: Request) -> None:
        """Warn once of a host whose clock differs from the file server's; Snakemake compares the times of files."""
        place = request.place
        assert place is not None
        for start in place.batch.read_starts(place.number)[-1:]:
            skew = place.batch.seconds_ahead(place.number, start)
            if abs(skew) > 10:
                self._warn_once(
                    f"clock of {start.host}",
                    f"the clock of {start.host} is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the file "
                    "server's: files may look older than what they were made from; tell the administrator",
                )
